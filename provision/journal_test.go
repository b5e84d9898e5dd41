package provision_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Journal = provision.NewJournal(3)
	sub := w.Journal.Subscribe(4)
	defer sub.Close()
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	for _, path := range []string{"aastra.cfg", "6730i.st", "labels.cfg"} {
		w.ask(t, tftp(addrA, path))
	}
	_, o := w.ask(t, tftp(addrP, "x")) // pushes the first one out
	if got := len(w.Journal.Recent(0)); got != 3 {
		t.Errorf("%d outcomes are kept, want 3", got)
	}
	if got := w.Journal.Recent(1); len(got) != 1 || got[0] != o || o.Request.ID != 4 {
		t.Errorf("newest = %+v, want request 4", got)
	}
	if _, ok := w.Journal.Get(1); ok {
		t.Error("request 1 is still there")
	}
	of := w.Journal.ByDevice("00085d112233", 0)
	if len(of) != 2 || of[0].Request.Path != "labels.cfg" || of[1].Request.Path != "6730i.st" {
		t.Errorf("outcomes of the device: %v", of)
	}
	if got := w.Journal.ByDevice("", 0); got != nil {
		t.Errorf("outcomes of no device: %v", got)
	}
	for i := range 4 {
		if got := <-sub.C; got.Request.ID != uint64(i+1) {
			t.Errorf("subscriber got request %d, want %d", got.Request.ID, i+1)
		}
	}
	if sub.Lagged() {
		t.Error("the subscriber lags")
	}
	w.Delivered(3, provision.Delivery{Bytes: 42})
	if got, ok := w.Journal.Get(3); !ok || got.Delivery == nil || got.Delivery.Bytes != 42 {
		t.Errorf("request 3 after delivery: %+v", got)
	}
	if got := <-sub.C; got.Request.ID != 3 || got.Delivery == nil {
		t.Errorf("subscriber got %+v, want the delivery of request 3", got)
	}
	if of[0].Delivery != nil {
		t.Error("an outcome that was handed out has changed")
	}
	w.Delivered(99, provision.Delivery{}) // forgotten, or never was
}

func TestSubscriberLags(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow, gone := w.Journal.Subscribe(1), w.Journal.Subscribe(1)
	gone.Close()
	gone.Close()
	for range 3 {
		w.ask(t, tftp(addrP, "x"))
	}
	if !slow.Lagged() || slow.Lagged() {
		t.Error("want the lag told once")
	}
	if len(gone.C) != 0 {
		t.Error("a closed subscription gets outcomes")
	}
}

func TestJournalConcurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Log = nil
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				r := tftp(addrA, "6730i.st")
				a, o := w.Handle(t.Context(), &r)
				if a == nil {
					t.Error(o.Err)
					return
				}
				w.Delivered(o.Request.ID, provision.Delivery{Bytes: a.Size})
			}
		})
		wg.Go(func() {
			for range 50 {
				for _, o := range w.Journal.Recent(10) {
					if _, err := json.Marshal(o); err != nil {
						t.Error(err)
					}
				}
				s := w.Journal.Subscribe(1)
				s.Close()
			}
		})
	}
	wg.Wait()
	counted := uint64(0)
	for _, c := range w.Counters.Outcomes() {
		if c.Proto == provision.TFTP && c.Status == provision.StatusOK {
			counted += c.N
		}
	}
	if counted != 200 || w.Counters.Created() != 1 {
		t.Errorf("counted %d answers and %d devices, want 200 and 1", counted, w.Counters.Created())
	}
}

func TestSightingsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Sightings = provision.NewSightings(2)
	for _, peer := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"} {
		w.ask(t, tftp(netip.MustParseAddr(peer), "x"))
	}
	var got []string
	for _, s := range w.Sightings.List() {
		got = append(got, s.Key)
	}
	if diff := cmp.Diff([]string{"addr 192.0.2.3", "addr 192.0.2.1"}, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if s, ok := w.Sightings.Get("addr 192.0.2.2"); ok {
		t.Errorf("the oldest sighting is still there: %+v", s)
	}
	if s, ok := w.Sightings.Get("addr 192.0.2.1"); !ok || s.Count != 2 {
		t.Errorf("sighting = %+v, want it seen twice", s)
	}
}

// The whole of a first request, as people and programs read it.
func TestExplainGolden(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	refused := get(addrA, "00085D445566.cfg", "evil\x1b[2J")
	first := get(addrA, "00085D112233.cfg", aastraAgent(aastraA, "3.2.2"))
	_, answered := w.ask(t, first)
	_, contradicted := w.ask(t, refused)
	_, unknown := w.ask(t, tftp(addrP, "x"))
	for name, o := range map[string]*provision.Outcome{"answered": answered, "refused": contradicted, "unknown": unknown} {
		c := *o
		c.Steps = append([]provision.Step(nil), o.Steps...)
		for i := range c.Steps {
			c.Steps[i].Took = time.Duration(i+1) * time.Microsecond
		}
		c.Delivery = &provision.Delivery{Bytes: o.Size, Took: time.Millisecond}
		golden(t, "testdata/"+name+".txt", explainText(t, &c))
		b, err := json.MarshalIndent(&c, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+name+".json", string(b)+"\n")
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: want (-), got (+):\n%s", file, diff)
	}
}

func TestEmptyPipelinePartsAreOptional(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := provision.Pipeline{Devices: w.memory, Configs: w.memory, Plugins: w.plugins}
	r := get(addrA, "6730i.st", aastraAgent(aastraA, "3.2.2"))
	a, o := p.Handle(t.Context(), &r)
	if got := bodyOf(t, a); got != "firmware 3.2.2" {
		t.Errorf("answer = %q, %v", got, o.Err)
	}
	p.Delivered(o.Request.ID, provision.Delivery{})
	if o := p.Adopt(t.Context(), "x"); !errors.Is(o.Err, provision.ErrNotFound) {
		t.Errorf("adopt = %v, want ErrNotFound", o.Err)
	}
}

func TestNeighbourBacksAClaim(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Neighbours = provisiontest.Neighbours{addrA: aastraA}
	for _, trusted := range []bool{false, true} {
		w.policy.NeighbourTrusted = trusted
		_, o := w.ask(t, get(addrA, "00085D112233.cfg", aastraAgent(aastraA, "3.2.2")))
		if o.Verdict.Allow != trusted || o.Verdict.Held == trusted || o.Verdict.Rule != "ID-19" {
			t.Errorf("neighbour table trusted: %t; verdict %+v, %v", trusted, o.Verdict, o.Err)
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	w := newWorld(b)
	w.Log = nil
	w.hold(addrA, aastraA, "AastraIPPhone6730i")
	r := get(addrA, "00085D112233.cfg", aastraAgent(aastraA, "3.2.2"))
	w.ask(b, r)
	b.ReportAllocs()
	for b.Loop() {
		if a, o := w.Handle(b.Context(), &r); a == nil {
			b.Fatal(o.Err)
		}
	}
}

func BenchmarkConclude(b *testing.B) {
	all := []provision.Claim{{Attr: "mac", Value: aastraA.String(), Source: provision.SourceLease, By: "core"}}
	r := get(addrA, "00085D112233.cfg", aastraAgent(aastraA, "3.2.2"))
	for _, v := range []string{"3.2.2", "3.3.1"} {
		all = append(all, aastra(b, v).Extract(&r)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		provision.Conclude(all)
	}
}
