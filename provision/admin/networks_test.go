package admin_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// voice is a network of 192.0.2.0/24 with a pool.
func voice() network.Network {
	return network.Network{
		ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: []network.Pool{{First: ip("192.0.2.100"), Last: ip("192.0.2.199")}},
		Reservations: []network.Reservation{{HW: hwaddr.MustParse("00:15:65:00:00:01"), Addr: ip("192.0.2.20")}},
	}
}

func newNetworks(t *testing.T) *site {
	t.Helper()
	x := newSite(t)
	if _, err := x.Declare(t.Context(), network.Declared{
		Networks: []network.Network{voice()}, Classes: []network.Class{{ID: "yealink", Match: []network.Match{{VendorClass: []string{"yealink*"}}}, NUL: true}},
	}, 0, do); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestNetworkLife(t *testing.T) {
	t.Parallel()
	x, ctx := newNetworks(t), t.Context()
	guests := network.Network{ID: "guests", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Interface: "eth9"}
	for _, w := range []admin.Write{dry, do} {
		r, err := x.CreateNetwork(ctx, guests, 1, w)
		if err != nil || !slices.Equal(r.Added, []network.ID{"guests"}) || r.Changed != nil || !slices.Equal(r.Unserved, []admin.Unserved{{Interface: "eth9", Why: "there is none"}}) {
			t.Fatalf("added: %+v, %v", r, err)
		}
	}
	if n := x.declared.Networks().Get("guests"); n == nil || n.Lease.Default != 8*time.Hour {
		t.Errorf("in force: %+v", n)
	}
	n, rev, err := x.Network(ctx, "guests")
	if err != nil || rev != 2 || n.Lease.Default != 0 {
		t.Errorf("stored: %+v, revision %d, %v; want it as it was declared", n, rev, err)
	}
	n.Probe = true
	if r, err := x.UpdateNetwork(ctx, "guests", n, rev, do); err != nil || r.Rev != 3 || !slices.Equal(r.Changed, []network.ID{"guests"}) {
		t.Errorf("changed: %+v, %v", r, err)
	}
	var late *admin.StaleError
	if _, err := x.UpdateNetwork(ctx, "guests", n, rev, do); !errors.As(err, &late) || late.Rev != 3 {
		t.Errorf("a former revision: %v", err)
	}
	if _, err := x.DeleteNetwork(ctx, "guest", 0, do); !errors.Is(err, provision.ErrNotFound) || !strings.Contains(err.Error(), "did you mean guests?") {
		t.Errorf("deleted nobody: %v", err)
	}
	if r, err := x.DeleteNetwork(ctx, "guests", 0, do); err != nil || !slices.Equal(r.Removed, []network.ID{"guests"}) || x.declared.Networks().Get("guests") != nil {
		t.Errorf("deleted: %+v, %v", r, err)
	}
	all, err := x.Declared(ctx)
	if err != nil || all.Rev != 4 || len(all.Networks) != 1 || len(all.Warnings) != 0 {
		t.Errorf("declared: %+v, %v", all, err)
	}
}

// TestNetworkFaults: each way to change networks tells what is wrong by a pointer into what it was given.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	x, ctx := newNetworks(t), t.Context()
	type result = admin.NetworkResult
	for _, c := range []struct {
		name string
		do   func(admin.Write) (result, error)
		want []string // pointers
		text string
	}{
		{"all", func(w admin.Write) (result, error) {
			a, b := voice(), voice()
			a.Pools[0].Last, b.ID, a.Rivals = ip("192.0.2.99"), "other", "x"
			return x.Declare(ctx, network.Declared{Networks: []network.Network{a, b}}, 0, w)
		}, []string{"/networks/0", "/networks/0/pools/0", "/networks/1", "/networks/1/reservations/0"}, "overlap"},
		{"a network again", func(w admin.Write) (result, error) { return x.CreateNetwork(ctx, voice(), 0, w) }, []string{"/id"}, "already"},
		{"one that overlaps", func(w admin.Write) (result, error) {
			n := voice()
			n.ID, n.Reservations = "other", nil
			n.Options = []network.Option{{Code: 51}}
			return x.CreateNetwork(ctx, n, 0, w)
		}, []string{"/options/0", ""}, "overlap"},
		{"renamed", func(w admin.Write) (result, error) {
			n := voice()
			n.ID = "x"
			return x.UpdateNetwork(ctx, "voice", n, 0, w)
		}, []string{"/id"}, "renamed"},
		{"a pool outside", func(w admin.Write) (result, error) {
			return x.PutPool(ctx, "voice", netip.Addr{}, network.Pool{First: ip("192.0.2.201"), Last: ip("198.51.100.1")}, 0, w)
		}, []string{""}, "reaches beyond"},
		{"its options", func(w admin.Write) (result, error) {
			return x.PutPool(ctx, "voice", ip("192.0.2.100"), network.Pool{First: ip("192.0.2.100"), Last: ip("192.0.2.101"), Options: []network.Option{{Code: 3, Data: []byte{1}}}}, 0, w)
		}, []string{"/options/0"}, "option 3"},
		{"reserved twice", func(w admin.Write) (result, error) {
			return x.PutReservation(ctx, "voice", netip.Addr{}, network.Reservation{HW: hwaddr.MustParse("001565000001"), Addr: ip("192.0.2.21")}, 0, w)
		}, []string{""}, "reserved both"},
		{"options of all", func(w admin.Write) (result, error) {
			return x.PutOptions(ctx, "", []network.Option{{Code: 66, Data: []byte("x")}, {Code: 51}}, 0, w)
		}, []string{"/1"}, "option 51"},
		{"a class that a pool needs", func(w admin.Write) (result, error) {
			return x.PutClass(ctx, network.Class{ID: "x"}, "yealink", 0, w)
		}, []string{""}, "give it a match"},
	} {
		for _, w := range []admin.Write{dry, do} {
			_, err := c.do(w)
			var f admin.Faults
			if !errors.As(err, &f) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: got error %v, want one of %q", c.name, err, c.text)
				continue
			}
			var got []string
			for _, x := range f {
				got = append(got, x.Pointer)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s: %v; pointers (-want +got):\n%s", c.name, err, diff)
			}
		}
	}
	if _, rev, _ := x.declared.LoadDeclared(ctx); rev != 1 {
		t.Errorf("revision %d, want 1: what is wrong was stored", rev)
	}
	if _, err := x.DeleteNetwork(ctx, "voice", 0, admin.Write{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("by nobody: %v", err)
	}
}

func TestNetworkParts(t *testing.T) {
	t.Parallel()
	x, ctx := newNetworks(t), t.Context()
	steps := []func() (admin.NetworkResult, error){
		func() (admin.NetworkResult, error) {
			return x.PutPool(ctx, "voice", netip.Addr{}, network.Pool{First: ip("192.0.2.50"), Last: ip("192.0.2.59")}, 0, do)
		},
		func() (admin.NetworkResult, error) {
			return x.PutPool(ctx, "voice", ip("192.0.2.50"), network.Pool{First: ip("192.0.2.51"), Last: ip("192.0.2.59")}, 0, do)
		},
		func() (admin.NetworkResult, error) { return x.DeletePool(ctx, "voice", ip("192.0.2.100"), 0, do) },
		func() (admin.NetworkResult, error) {
			return x.PutReservation(ctx, "voice", ip("192.0.2.20"), network.Reservation{HW: hwaddr.MustParse("001565000001"), Addr: ip("192.0.2.22")}, 0, do)
		},
		func() (admin.NetworkResult, error) {
			return x.PutReservation(ctx, "voice", netip.Addr{}, network.Reservation{HW: hwaddr.MustParse("001565000002"), Addr: ip("192.0.2.23")}, 0, do)
		},
		func() (admin.NetworkResult, error) { return x.DeleteReservation(ctx, "voice", ip("192.0.2.22"), 0, do) },
		func() (admin.NetworkResult, error) {
			return x.PutOptions(ctx, "voice", []network.Option{{Code: 66, Data: []byte("tftp.example")}}, 0, do)
		},
		func() (admin.NetworkResult, error) {
			return x.PutClass(ctx, network.Class{ID: "first", Match: []network.Match{{MAC: []string{"00:15:65"}}}, NUL: true}, "yealink", 0, do)
		},
		func() (admin.NetworkResult, error) { return x.DeleteClass(ctx, "yealink", 0, do) },
	}
	for i, step := range steps {
		if _, err := step(); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
	got, rev, _ := x.declared.LoadDeclared(ctx)
	want := network.Declared{
		Classes: []network.Class{{ID: "first", Match: []network.Match{{MAC: []string{"00:15:65"}}}, NUL: true}},
		Networks: []network.Network{{
			ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: []network.Pool{{First: ip("192.0.2.51"), Last: ip("192.0.2.59")}},
			Reservations: []network.Reservation{{HW: hwaddr.MustParse("001565000002"), Addr: ip("192.0.2.23")}},
			Options:      []network.Option{{Code: 66, Data: []byte("tftp.example")}},
		}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.EquateEmpty()); diff != "" || rev != 10 {
		t.Errorf("revision %d; declared (-want +got):\n%s", rev, diff)
	}
	for name, step := range map[string]func() (admin.NetworkResult, error){
		"pool":           func() (admin.NetworkResult, error) { return x.DeletePool(ctx, "voice", ip("192.0.2.1"), 0, do) },
		"reservation":    func() (admin.NetworkResult, error) { return x.DeleteReservation(ctx, "voice", ip("192.0.2.1"), 0, do) },
		"class":          func() (admin.NetworkResult, error) { return x.DeleteClass(ctx, "yealink", 0, do) },
		"class's before": func() (admin.NetworkResult, error) { return x.PutClass(ctx, network.Class{ID: "x"}, "yealink", 0, do) },
		"network":        func() (admin.NetworkResult, error) { return x.PutOptions(ctx, "voices", nil, 0, do) },
		"lease":          func() (admin.NetworkResult, error) { return x.KeepAddress(ctx, ip("192.0.2.101"), do) },
	} {
		if _, err := step(); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("%s that isn't there: %v", name, err)
		}
	}
}

// TestLeasesOfChange: a dry run tells whose leases are in the way or would end.
func TestLeasesOfChange(t *testing.T) {
	t.Parallel()
	x, ctx := newNetworks(t), t.Context()
	x.table.hold("192.0.2.101", "00:15:65:00:00:05", "voice")
	x.table.hold("192.0.2.150", "00:15:65:00:00:06", "voice")
	x.table.hold("192.0.2.20", "00:15:65:00:00:01", "voice")
	n := voice()
	n.Pools[0].Last = ip("192.0.2.120")
	n.Reservations = []network.Reservation{{HW: hwaddr.MustParse("001565000009"), Addr: ip("192.0.2.101")}}
	r, err := x.UpdateNetwork(ctx, "voice", n, 1, dry)
	if err != nil {
		t.Fatal(err)
	}
	var outside []string
	for _, l := range r.Outside {
		outside = append(outside, l.Addr.String())
	}
	if diff := cmp.Diff([]string{"192.0.2.20", "192.0.2.101", "192.0.2.150"}, outside); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	if len(r.Clashes) != 1 || r.Clashes[0].Addr != ip("192.0.2.101") || r.Clashes[0].For != "00:15:65:00:00:09" || r.Clashes[0].Held.Client.HW[5] != 5 {
		t.Errorf("clashes: %+v", r.Clashes)
	}
	if r, err = x.KeepAddress(ctx, ip("192.0.2.150"), do); err != nil || len(r.Outside)+len(r.Clashes) > 0 {
		t.Fatalf("kept: %+v, %v", r, err)
	}
	if got := x.declared.Networks().Reserved(ip("192.0.2.150")); got == nil || got.HW[5] != 6 {
		t.Errorf("reserved: %+v", got)
	}
	if r, err = x.KeepAddress(ctx, ip("192.0.2.150"), do); err != nil || len(r.Changed) > 0 || len(r.Networks[0].Reservations) != 2 {
		t.Errorf("kept again: %+v, %v", r, err)
	}
	if r, err = x.DeleteNetwork(ctx, "voice", 0, dry); err != nil || len(r.Outside) != 3 {
		t.Errorf("without the network: %+v, %v", r, err)
	}
}

// Changes of different things that don't name a revision all come through.
func TestNetworksTogether(t *testing.T) {
	t.Parallel()
	x := newNetworks(t)
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		wg.Go(func() {
			r := network.Reservation{HW: hwaddr.Addr{0, 0x15, 0x65, 9, 9, byte(i)}, Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(30 + i)})}
			_, errs[i] = x.PutReservation(t.Context(), "voice", netip.Addr{}, r, 0, do)
		})
	}
	wg.Wait()
	if n := len(x.declared.Networks().Get("voice").Reservations); errors.Join(errs...) != nil || n != 6 {
		t.Errorf("%d reservations, %v; want 6", n, errors.Join(errs...))
	}
}

func TestReleaseLease(t *testing.T) {
	t.Parallel()
	x := newNetworks(t)
	x.table.hold("192.0.2.101", "00:15:65:00:00:05", "voice")
	var ended []netip.Addr
	x.EndLease = func(_ context.Context, _ lease.Scope, c lease.Client, addr netip.Addr) error {
		if c.HW[5] != 5 {
			return lease.ErrNone
		}
		ended = append(ended, addr)
		return nil
	}
	for _, w := range []admin.Write{dry, do} {
		if l, err := x.ReleaseLease(t.Context(), ip("192.0.2.101"), w); err != nil || l.Client.HW[5] != 5 {
			t.Errorf("released: %+v, %v", l, err)
		}
	}
	if !slices.Equal(ended, []netip.Addr{ip("192.0.2.101")}) {
		t.Errorf("ended %v", ended)
	}
	if _, err := x.ReleaseLease(t.Context(), ip("192.0.2.102"), do); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	x.table.hold("192.0.2.103", "00:15:65:00:00:06", "voice")
	if _, err := x.ReleaseLease(t.Context(), ip("192.0.2.103"), do); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("somebody else's by now: %v", err)
	}
	if _, err := x.ReleaseLease(t.Context(), ip("192.0.2.101"), admin.Write{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("by nobody: %v", err)
	}
}

// TestAddressesInUse: pools count who has their addresses, and a reservation tells what has become of it. What has ended
// counts no more.
func TestAddressesInUse(t *testing.T) {
	t.Parallel()
	x, ctx := newNetworks(t), t.Context()
	n := voice()
	n.Pools = []network.Pool{{First: ip("192.0.2.100"), Last: ip("192.0.2.119"), Exclude: []netip.Addr{ip("192.0.2.110")}}}
	n.Reservations = nil
	for i := range 6 {
		n.Reservations = append(n.Reservations, network.Reservation{HW: hwaddr.Addr{0, 0x15, 0x65, 0, 0, byte(i)}, Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)})})
	}
	if _, err := x.UpdateNetwork(ctx, "voice", n, 0, do); err != nil {
		t.Fatal(err)
	}
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	for _, l := range []struct {
		last, mac byte
		state     lease.State
		until     time.Time
	}{
		{100, 0, lease.Bound, later},    // in use
		{101, 9, lease.Bound, later},    // conflict
		{102, 2, lease.Bound, before},   // expired
		{103, 3, lease.Declined, later}, // a stranger uses it
		{104, 9, lease.Bound, before},   // another one had it
		{111, 9, lease.Offered, later},
		{112, 9, lease.Bound, later},
		{113, 9, lease.Bound, before},
		{114, 9, lease.Declined, later},
		{115, 9, lease.Declined, before},
	} {
		x.table.list = append(x.table.list, lease.Lease{
			Network: "voice", Addr: netip.AddrFrom4([4]byte{192, 0, 2, l.last}), State: l.state, Expiry: l.until,
			Client: lease.Client{HW: hwaddr.Addr{0, 0x15, 0x65, 0, 0, l.mac}},
		})
	}
	got := x.PoolUsages()
	// Of those that are reserved, three are with nobody: .102, .104 and .105.
	want := []admin.PoolUsage{{Network: "voice", Size: 19, Used: 4, Reserved: 3, Quarantined: 2, Free: 10}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(admin.PoolUsage{}, "Pool")); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	list, _, err := x.PageReservations(ctx, admin.Page{})
	if err != nil {
		t.Fatal(err)
	}
	var states []admin.ReservationState
	for _, r := range list.Items {
		states = append(states, r.State)
	}
	if diff := cmp.Diff([]admin.ReservationState{
		admin.ReservationUsed, admin.ReservationConflict, admin.ReservationExpired, admin.ReservationDeclined, admin.ReservationUnused, admin.ReservationUnused,
	}, states); diff != "" {
		t.Errorf("reservations (-want +got):\n%s", diff)
	}
}
