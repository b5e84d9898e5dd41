package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
	"github.com/dialtone-project/dialtone/provision/trace"
)

var (
	phoneHW   = hwaddr.Addr{0, 0x15, 0x65, 1, 2, 3}
	phoneAddr = netip.MustParseAddr("192.0.2.23")
)

// world is the use cases over a real pipeline, one phone and a plugin whose one file says body.
type world struct {
	*admin.Service
	pipeline *provision.Pipeline
	leases   *provisiontest.Leases
	history  *history
	body     string
}

// history is a trace that tests write.
type history struct {
	outcomes []*provision.Outcome // newest first
	fetched  []trace.Fetch
	err      error
}

func (h *history) Get(_ context.Context, id uint64) (*provision.Outcome, bool, error) {
	i := slices.IndexFunc(h.outcomes, func(o *provision.Outcome) bool { return o.Request.ID == id })
	if i < 0 {
		return nil, false, h.err
	}
	return h.outcomes[i], true, h.err
}

func (h *history) ByDevice(_ context.Context, _ provision.DeviceID, n int) ([]*provision.Outcome, error) {
	if n > 0 && len(h.outcomes) > n {
		return h.outcomes[:n], h.err
	}
	return h.outcomes, h.err
}

func (h *history) Fetched(provision.DeviceID) []trace.Fetch { return h.fetched }

type leases struct{ *provisiontest.Leases }

func (leases) All() []lease.Lease { return nil }

type devices struct{ *provision.Memory }

func (devices) Devices(context.Context) ([]provision.Device, error) { return nil, nil }

type pluginHost struct{ provision.PluginSource }

func (pluginHost) Statuses() []admin.PluginStatus { return nil }
func (pluginHost) Rescan(context.Context) error   { return nil }

func newWorld(t *testing.T) *world {
	w := &world{body: "one", leases: &provisiontest.Leases{}, history: &history{}}
	plugin := &provisiontest.Plugin{
		T: t, Name: "p-1",
		OnSupport: func(provision.Identity) (provision.Support, string) { return provision.SupportExact, "" },
		OnRoute: func(r *provision.Request, _ provision.Identity) (provision.Route, bool) {
			return provision.Route{Rule: "*.cfg", File: r.Path, Class: provision.ClassSite}, r.Path == "a.cfg"
		},
		OnAnswer: func(context.Context, provision.Route, *provision.View) (*provision.Answer, error) {
			return provisiontest.TextAnswer(w.body), nil
		},
		Boot: []provision.BootStep{{Proto: provision.DHCP}, {Proto: provision.HTTP, Path: "a.cfg", Required: true}},
	}
	w.leases.Hold(phoneAddr, lease.Client{HW: phoneHW})
	store := devices{provision.NewMemory()}
	source := provisiontest.PluginsOf(plugin)
	w.pipeline = &provision.Pipeline{
		Leases: w.leases, Devices: store, Configs: store, Plugins: source, Journal: provision.NewJournal(10),
	}
	w.Service = &admin.Service{
		Leases: leases{w.leases}, Devices: store, Pipeline: w.pipeline, Plugins: pluginHost{source}, Journal: w.pipeline.Journal,
		History: w.history, Local: func(netip.Addr) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
	}
	return w
}

// ask lets the phone ask for a file and get all of it.
func (w *world) ask(t *testing.T, path string) *provision.Outcome {
	t.Helper()
	a, o := w.pipeline.Handle(t.Context(), &provision.Request{Proto: provision.HTTP, Peer: phoneAddr, Path: path})
	if a != nil {
		if err := a.Body.Close(); err != nil {
			t.Fatal(err)
		}
		w.pipeline.Delivered(o.Request.ID, provision.Delivery{Bytes: a.Size})
	}
	return o
}

func TestRequestsReachBackToTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pipeline.Journal.Restore(nil, 10)
	o := w.ask(t, "a.cfg")
	old := func(id uint64) *provision.Outcome {
		return &provision.Outcome{Request: provision.Request{ID: id, Proto: provision.HTTP}, Device: o.Device}
	}
	w.history.outcomes = []*provision.Outcome{old(o.Request.ID), old(5), old(3)}
	got, err := w.RequestsOf(t.Context(), phoneHW.String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := []uint64{11, 5, 3}; !slices.Equal(numbers(got), want) || got[0].Route.Rule == "" {
		t.Errorf("requests %v, want %v and the newest from the journal", numbers(got), want)
	}
	if got, err = w.RequestsOf(t.Context(), phoneHW.String(), 2); err != nil || !slices.Equal(numbers(got), []uint64{11, 5}) {
		t.Errorf("the last two: %v, %v", numbers(got), err)
	}
	if o, err := w.Request(t.Context(), 3); err != nil || o.Request.ID != 3 {
		t.Errorf("request 3: %v, %v", o, err)
	}
	if _, err := w.Request(t.Context(), 4); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("request 4: %v, want not found", err)
	}
	if _, err := w.RequestsOf(t.Context(), "192.0.2.99", 0); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("requests of nobody: %v, want not found", err)
	}
	w.history.err = errors.New("disk gone")
	if _, err := w.RequestsOf(t.Context(), phoneHW.String(), 0); !errors.Is(err, w.history.err) {
		t.Errorf("with a disk that fails: %v", err)
	}
	if _, err := w.Request(t.Context(), 4); !errors.Is(err, w.history.err) {
		t.Errorf("with a disk that fails: %v", err)
	}
}

func numbers(all []*provision.Outcome) (ids []uint64) {
	for _, o := range all {
		ids = append(ids, o.Request.ID)
	}
	return ids
}

func TestBoots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, _ := w.leases.ByAddr(phoneAddr)
	if o := w.pipeline.Observe(t.Context(), lease.Event{At: time.Now(), Kind: lease.KindBound, Lease: l}); o.Err != nil {
		t.Fatal(o.Err)
	}
	w.ask(t, "b.cfg")
	boots, err := w.Boots(t.Context(), phoneAddr.String())
	if err != nil || len(boots) != 1 || boots[0].State != provision.BootGoing || len(boots[0].Stages) != 3 {
		t.Fatalf("%+v, %v; want one boot that is going on, in three stages", boots, err)
	}
	w.ask(t, "a.cfg")
	if boots, err = w.Boots(t.Context(), phoneAddr.String()); err != nil || boots[0].State != provision.BootDone {
		t.Errorf("%+v, %v; want it done", boots, err)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.ask(t, "a.cfg")
	r, err := w.Replay(t.Context(), o.Request.ID)
	if err != nil || len(r.Changes) != 0 || r.Then.Request.ID != o.Request.ID {
		t.Errorf("nothing has changed: %+v, %v", r, err)
	}
	w.body = "two"
	w.leases.Drop(phoneAddr)
	r, err = w.Replay(t.Context(), o.Request.ID)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, c := range r.Changes {
		fields = append(fields, c.Field)
	}
	if !slices.Contains(fields, "status") || !slices.Contains(fields, "mac") || !slices.Contains(fields, "content") {
		t.Errorf("with another file and no lease these differ: %v; want status, mac and content among them", fields)
	}
	if len(w.Requests(0)) != 1 {
		t.Error("a replay is in the journal")
	}
	l := lease.Lease{Addr: phoneAddr, Client: lease.Client{HW: phoneHW}}
	o = w.pipeline.Observe(t.Context(), lease.Event{Kind: lease.KindBound, Lease: l})
	if _, err := w.Replay(t.Context(), o.Request.ID); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("replay of a lease: %v, want invalid", err)
	}
	if _, err := w.Replay(t.Context(), 99); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("replay of what never was: %v, want not found", err)
	}
}

func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.ask(t, "a.cfg")
	w.history.fetched = []trace.Fetch{
		{Path: "a.cfg", Proto: provision.HTTP, Hash: o.Hash, UserAgent: "phone"}, {Path: "old.cfg", Proto: provision.TFTP, Hash: o.Hash},
	}
	states := func() (got []string) {
		t.Helper()
		list, err := w.Drift(t.Context(), phoneHW.String())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			got = append(got, fmt.Sprintf("%s %s", d.Path, d.State))
		}
		return got
	}
	if diff := cmp.Diff([]string{"a.cfg same", "old.cfg gone"}, states()); diff != "" {
		t.Errorf("as fetched (-want +got):\n%s", diff)
	}
	w.body = "two"
	if diff := cmp.Diff([]string{"a.cfg drifted", "old.cfg gone"}, states()); diff != "" {
		t.Errorf("with other content (-want +got):\n%s", diff)
	}
	w.History = nil
	if got := states(); got != nil {
		t.Errorf("without a trace: %v, want nothing", got)
	}
}
