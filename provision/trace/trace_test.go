package trace

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// source makes outcomes the way that the pipeline does: it publishes to a journal.
type source struct {
	t *testing.T
	*provision.Pipeline
	body string
}

func newSource(t *testing.T, restored []*provision.Outcome, last uint64) *source {
	s := &source{t: t, body: "one"}
	store := provision.NewMemory()
	plugin := &provisiontest.Plugin{
		T: t, Name: "p-1",
		OnExtract: func(r *provision.Request) []provision.Claim {
			return []provision.Claim{{Attr: provision.AttrMAC, Value: strings.TrimSuffix(r.Path, ".cfg"), Source: provision.SourcePath, By: "extract[0]"}}
		},
		OnSupport: func(provision.Identity) (provision.Support, string) { return provision.SupportExact, "" },
		OnRoute: func(*provision.Request, provision.Identity) (provision.Route, bool) {
			return provision.Route{Rule: "*.cfg", File: "x.cfg", Class: provision.ClassSite}, true
		},
		OnAnswer: func(context.Context, provision.Route, *provision.View) (*provision.Answer, error) {
			return provisiontest.TextAnswer(s.body), nil
		},
	}
	j := provision.NewJournal(4)
	j.Restore(restored, last)
	s.Pipeline = &provision.Pipeline{
		Devices: store, Configs: store, Plugins: provisiontest.PluginsOf(plugin), Journal: j,
		PolicyFor: func(netip.Addr) provision.Policy {
			return provision.Policy{AutoAdd: provision.AddRecognised, Configure: true, Guard: provision.GuardLegacy}
		},
	}
	return s
}

// ask lets the n-th phone fetch its file.
func (s *source) ask(n int, d provision.Delivery) *provision.Outcome {
	s.t.Helper()
	a, o := s.Handle(s.t.Context(), &provision.Request{
		Proto: provision.HTTP, Peer: netip.MustParseAddr("192.0.2.23"), Path: fmt.Sprintf("001565%06x.cfg", n),
		Fields: map[string]string{provision.FieldUserAgent: "phone"},
	})
	if o.Err != nil {
		s.t.Fatal(o.Err)
	}
	if err := a.Body.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.Delivered(o.Request.ID, d)
	return o
}

var whole = provision.Delivery{Bytes: 3, Took: time.Millisecond}

// during runs the log beside f, until everything that f published is written.
func during(t *testing.T, l *Log, j *provision.Journal, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx, j) }()
	synctest.Wait()
	f()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}

func load(t *testing.T, l *Log, n int) ([]*provision.Outcome, uint64) {
	t.Helper()
	all, last, err := l.Load(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return all, last
}

func ids(all []*provision.Outcome) []uint64 {
	var list []uint64
	for _, o := range all {
		list = append(list, o.Request.ID)
	}
	return list
}

// A phone is faster than a task: what was asked before the log ran is written, too.
func TestOutcomesBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: t.TempDir()}
		s := newSource(t, nil, 0)
		first := s.ask(1, whole)
		during(t, l, s.Journal, func() { s.ask(2, whole) })
		all, _ := load(t, l, 10)
		if got := ids(all); len(got) != 2 || got[0] != first.Request.ID {
			t.Fatalf("requests %v were written, want two from %d on", got, first.Request.ID)
		}
		next := &Log{Dir: l.Dir}
		restored, last := load(t, next, 10)
		s = newSource(t, restored, last)
		during(t, next, s.Journal, func() {})
		if again, _ := load(t, &Log{Dir: l.Dir}, 10); !slices.Equal(ids(again), ids(all)) {
			t.Errorf("after a restart there are %v", ids(again))
		}
		if lines, err := linesOf(next.segment(first.Request.ID), nil, new(bytes.Buffer)); err != nil || len(lines) != 2 {
			t.Errorf("%d lines, %v: what was written already was written again", len(lines), err)
		}
	})
}

func TestOutcomesSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: filepath.Join(t.TempDir(), "trace")}
		if all, last := load(t, l, 10); len(all) != 0 || last != 0 {
			t.Fatalf("an empty trace has %d outcomes up to %d", len(all), last)
		}
		s := newSource(t, nil, 0)
		var device provision.DeviceID
		during(t, l, s.Journal, func() {
			for n := range 6 {
				device = s.ask(n, whole).Device.ID
				<-time.After(flushAfter) // the journal holds four: the trace must be as long as it was, not as the journal is
			}
			s.ask(5, whole)
		})

		again := &Log{Dir: l.Dir}
		all, last := load(t, again, 4)
		if got, want := ids(all), []uint64{4, 5, 6, 7}; !slices.Equal(got, want) || last != 7+gap {
			t.Errorf("after a restart there are %v, and IDs go on after %d; want %v, %d", got, last, want, 7+gap)
		}
		if d := all[3].Delivery; d == nil || *d != whole {
			t.Errorf("delivery %+v, want %+v", d, whole)
		}
		s = newSource(t, all, last)
		if got, want := ids(s.Journal.Recent(0)), []uint64{7, 6, 5, 4}; !slices.Equal(got, want) {
			t.Errorf("the journal has %v, want %v", got, want)
		}
		if got := s.ask(9, whole).Request.ID; got != last+1 {
			t.Errorf("the next request is number %d, want %d", got, last+1)
		}
		if got, err := again.ByDevice(t.Context(), device, 0); err != nil || !slices.Equal(ids(got), []uint64{7, 6}) {
			t.Errorf("of %s there are %v, %v; want 7 and 6", device, ids(got), err)
		}
		if o, ok, err := again.Get(t.Context(), 2); err != nil || !ok || o.Request.ID != 2 {
			t.Errorf("request 2: %v, %v, %v", o, ok, err)
		}
		if _, ok, err := again.Get(t.Context(), 99); err != nil || ok {
			t.Errorf("request 99: %v, %v; want none", ok, err)
		}
	})
}

func TestTornLineIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: t.TempDir()}
		s := newSource(t, nil, 0)
		during(t, l, s.Journal, func() { s.ask(1, whole); s.ask(2, whole) })
		names, err := l.names()
		if err != nil || len(names) != 1 {
			t.Fatalf("segments %v, %v; want one", names, err)
		}
		data, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(names[0], append([]byte("\x00\x00nonsense\n"), data[:len(data)-20]...), 0o600); err != nil {
			t.Fatal(err)
		}
		again := &Log{Dir: l.Dir}
		all, last := load(t, again, 10)
		if got := ids(all); !slices.Equal(got, []uint64{1}) {
			t.Errorf("the torn trace has %v, want 1", got)
		}
		s = newSource(t, all, last)
		during(t, again, s.Journal, func() { s.ask(3, whole) })
		all, _ = load(t, &Log{Dir: l.Dir}, 10)
		if got, want := ids(all), []uint64{1, last + 1}; !slices.Equal(got, want) {
			t.Errorf("what came after the tear: %v, want %v", got, want)
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: t.TempDir(), MaxBytes: 64 << 10}
		s := newSource(t, nil, 0)
		during(t, l, s.Journal, func() {
			for n := range 200 {
				s.ask(n, whole)
				<-time.After(flushAfter)
			}
		})
		var size int64
		names, err := l.names()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		if size > l.MaxBytes || size < l.MaxBytes/2 {
			t.Errorf("the trace has %d bytes, want at most %d and not much less", size, l.MaxBytes)
		}
		all, _ := load(t, &Log{Dir: l.Dir}, 1000)
		if len(all) == 0 || all[len(all)-1].Request.ID != 200 {
			t.Errorf("the newest request isn't in the trace")
		}

		old := &Log{Dir: l.Dir, MaxAge: time.Hour, Now: func() time.Time { return time.Now().Add(50 * 365 * 24 * time.Hour) }}
		load(t, old, 1)
		during(t, old, s.Journal, func() { s.ask(1000, whole) })
		if all, _ = load(t, old, 1000); len(all) != 1 {
			t.Errorf("%d outcomes are left, want the one that isn't too old", len(all))
		}
	})
}

// A flood within a second doesn't take more room either.
func TestFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: t.TempDir(), MaxBytes: 1 << 20}
		s := newSource(t, nil, 0)
		most := int64(0)
		during(t, l, s.Journal, func() {
			for n := range 5000 {
				s.ask(n%4, whole)
				if n%500 == 0 {
					synctest.Wait()
				}
			}
			<-time.After(2 * flushAfter)
		})
		names, err := l.names()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			most += info.Size()
		}
		if most > l.MaxBytes {
			t.Errorf("the trace has %d bytes, want at most %d", most, l.MaxBytes)
		}
		if all, _ := load(t, &Log{Dir: l.Dir}, 1); len(all) != 1 || all[0].Request.ID != 5000 {
			t.Errorf("the newest request isn't in the trace")
		}
	})
}

func TestLaggedWriterReadsTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: t.TempDir()}
		s := newSource(t, nil, 0)
		s.Journal = provision.NewJournal(3 * buffered)
		during(t, l, s.Journal, func() {
			l.mu.Lock() // the disk is slow
			for n := range 2 * buffered {
				s.ask(n%4, whole)
			}
			l.mu.Unlock()
			synctest.Wait()
			<-time.After(2 * flushAfter)
		})
		if all, _ := load(t, &Log{Dir: l.Dir}, 4*buffered); len(all) != 2*buffered {
			t.Errorf("%d outcomes are written, want %d", len(all), 2*buffered)
		}
	})
}

func TestFullDiskCostsHistoryOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: filepath.Join(t.TempDir(), "gone")}
		s := newSource(t, nil, 0)
		during(t, l, s.Journal, func() {
			s.ask(1, whole)
			<-time.After(2 * flushAfter)
			if err := os.Mkdir(l.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s.ask(2, whole)
		})
		if all, _ := load(t, l, 10); !slices.Equal(ids(all), []uint64{2}) {
			t.Errorf("the trace has %v, want what came after the folder was there", ids(all))
		}
	})
}

func TestStrangersLeasesAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: t.TempDir()}
		s := newSource(t, nil, 0)
		during(t, l, s.Journal, func() {
			client := lease.Client{HW: hwaddr.Addr{2, 0, 0, 0, 0, 1}}
			s.PolicyFor = func(netip.Addr) provision.Policy { return provision.Policy{AutoAdd: provision.AddOff} }
			for range 3 {
				o := s.Observe(t.Context(), lease.Event{Kind: lease.KindBound, Lease: lease.Lease{Addr: netip.MustParseAddr("192.0.2.9"), Client: client}})
				if o == nil || o.Device.ID != "" {
					t.Fatalf("a stranger's lease comes to %+v", o)
				}
			}
		})
		if all, _ := load(t, l, 10); len(all) != 0 {
			t.Errorf("%d leases of a stranger are in the trace", len(all))
		}
	})
}

func TestFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Log{Dir: t.TempDir()}
		s := newSource(t, nil, 0)
		var o *provision.Outcome
		during(t, l, s.Journal, func() {
			o = s.ask(1, whole)
			synctest.Wait()
			if got := l.Fetched(o.Device.ID); len(got) != 1 {
				t.Errorf("fetched %+v before anything is written, want one file", got)
			}
			s.body = "two"
			s.ask(1, provision.Delivery{Bytes: 1})
			s.ask(1, provision.Delivery{Bytes: 3, Err: errors.New("gone")})
		})
		want := []Fetch{{
			Path: "001565000001.cfg", Proto: provision.HTTP, UserAgent: "phone", Hash: sha256.Sum256([]byte("one")),
			At: o.Request.At, Request: 1,
		}}
		if diff := cmp.Diff(want, l.Fetched(o.Device.ID)); diff != "" {
			t.Errorf("half a file counts (-want +got):\n%s", diff)
		}
		again := &Log{Dir: l.Dir}
		all, last := load(t, again, 10)
		s = newSource(t, all, last)
		during(t, again, s.Journal, func() {})
		if diff := cmp.Diff(want, again.Fetched(o.Device.ID)); diff != "" {
			t.Errorf("after a restart (-want +got):\n%s", diff)
		}
		s.body = "two"
		during(t, again, s.Journal, func() { s.ask(1, whole) })
		if got := again.Fetched(o.Device.ID); len(got) != 1 || got[0].Hash != sha256.Sum256([]byte("two")) {
			t.Errorf("fetched %+v, want the newer content", got)
		}
	})
}

// Whether they come in their order or, as those of a start do, the newest first.
func TestFetchesAreBounded(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for _, order := range []string{"rising", "falling"} {
		var l Log
		for i := range 2 * maxFetches {
			n := i
			if order == "falling" {
				n = 2*maxFetches - 1 - i
			}
			l.fetches.note(&provision.Outcome{
				Request: provision.Request{ID: uint64(n + 1), At: at.Add(time.Duration(n) * time.Second), Path: strconv.Itoa(n)},
				Device:  provision.Device{ID: "d"}, Route: provision.Route{Rule: "r"}, Delivery: &provision.Delivery{},
			})
		}
		got := l.Fetched("d")
		if len(got) != maxFetches || slices.ContainsFunc(got, func(x Fetch) bool { return x.Request <= maxFetches }) {
			t.Errorf("%s: %d files are remembered, want the %d newest", order, len(got), maxFetches)
		}
	}
}

// Of each file the last fetch counts, of lines that are passed over unread and of others: a name with characters that JSON
// escapes is always read. A later line that is no fetch hides no earlier one that is.
func TestRecall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var lines []string
	for i, x := range []struct{ device, path, more string }{
		{"a", "x.cfg", ""},
		{"a", "y.cfg", ""},
		{"b", "x.cfg", ""},
		{"a", `q"&é.cfg`, ""},
		{"a", "x.cfg", ""},
		{"a", `q"&é.cfg`, ""},
		{"b", "x.cfg", `,"error":"gone"`},
		{"a", "none.cfg", `,"error":"gone"`},
	} {
		device, err := json.Marshal(x.device)
		if err != nil {
			t.Fatal(err)
		}
		path, err := json.Marshal(x.path)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf(`{"id":%d,"status":"ok","request":{"proto":"http","at":"2026-01-02T03:04:05Z","path":%s},"device":{"id":%s},`+
			`"route":{"rule":"r","class":"site"},"answer":{"type":"text/plain","size":3,"sha256":"%064x"},"delivery":{"bytes":3,"took_seconds":0.1%s}}`+"\n",
			i+1, path, device, i+1, x.more))
	}
	for i, part := range [][]string{lines[:3], lines[3:]} {
		name := filepath.Join(dir, fmt.Sprintf("%020d%s", 1+3*i, suffix))
		if err := os.WriteFile(name, []byte(strings.Join(part, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := &Log{Dir: dir}
	l.recall(t.Context())
	for device, want := range map[provision.DeviceID]string{"a": `q"&é.cfg 6, x.cfg 5, y.cfg 2`, "b": "x.cfg 3"} {
		var got []string
		for _, x := range l.Fetched(device) {
			got = append(got, fmt.Sprint(x.Path, " ", x.Request))
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%s fetched %s, want %s", device, got, want)
		}
	}
}

// A request is found wherever its line is: where it is expected, or elsewhere because its transfer took long.
func TestGet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := &Log{Dir: dir}
	line := func(id uint64, path string, more string) string {
		return fmt.Sprintf(`{"id":%d,"status":"ok","request":{"proto":"http","at":"2026-01-02T03:04:05Z","peer":"192.0.2.23","path":%q}%s}`+"\n", id, path, more)
	}
	const delivered = `,"delivery":{"bytes":3,"took_seconds":0.1}`
	var b strings.Builder
	const n = 4000
	for id := uint64(10); id < n; id++ {
		if id%7 == 0 {
			continue // none of ours
		}
		path := strings.Repeat("x", int(id%900))
		b.WriteString(line(id, path, map[bool]string{true: delivered}[id != 20]))
		if id == 3000 {
			b.WriteString("torn\n")
		}
	}
	b.WriteString(line(20, "late", delivered)) // its transfer ended only now
	b.WriteString(`{"id":4001,"status":"ok"`)  // cut off
	if b.Len() < 8*window {
		t.Fatal("the segment is too short to look for anything in")
	}
	if err := os.WriteFile(l.segment(10), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	load(t, l, 1)
	quick := 0
	for id := uint64(9); id < n+2; id++ {
		o := near(l.segment(10), id)
		if o != nil {
			quick++
		}
		if o != nil && o.Request.ID != id {
			t.Fatalf("%d: got %d", id, o.Request.ID)
		}
	}
	if want := (n - 10) * 6 / 7; quick < want-2 {
		t.Errorf("%d of %d are found where they are expected", quick, want)
	}
	for _, tt := range []struct {
		id   uint64
		path string
		ok   bool
	}{{10, "xxxxxxxxxx", true}, {20, "late", true}, {2001, strings.Repeat("x", 201), true}, {3999, strings.Repeat("x", 399), true}, {3997, "", false}, {9, "", false}, {4001, "", false}, {9999, "", false}} {
		o, ok, err := l.Get(t.Context(), tt.id)
		if err != nil || ok != tt.ok || ok && (o.Request.ID != tt.id || o.Request.Path != tt.path) {
			t.Errorf("%d: got %v, %v, %v", tt.id, o, ok, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := l.Get(t.Context(), 9999); ok || err != nil {
		t.Errorf("a number beyond the last: got %v, %v; want that no file is looked at", ok, err)
	}
	if _, _, err := l.Get(t.Context(), 10); err == nil {
		t.Error("files that can't be read are taken for empty")
	}
}
