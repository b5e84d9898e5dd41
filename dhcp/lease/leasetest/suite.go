package leasetest

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// TestStore checks that a store keeps the contract of [lease.Store], and that of [lease.Cursors] if it has them.
// Open returns a new, empty store each time, and closes it by t.Cleanup.
//
// Beyond the words of the contract it fixes what a [lease.Table] relies on: the revision alone decides whether a record
// is still what Prev said; a later change of the same commit sees the earlier one; a commit that fails takes no event
// numbers; nothing is lost of any field, down to the nanosecond and to bytes that are no text.
func TestStore(t *testing.T, open func(t *testing.T) lease.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*testing.T, lease.Store)
	}{
		{"Empty", testEmpty},
		{"RoundTrip", testRoundTrip},
		{"CompareAndSwap", testCompareAndSwap},
		{"AllOrNone", testAllOrNone},
		{"SameAddressTwice", testSameAddressTwice},
		{"KindNone", testKindNone},
		{"EventNumbers", testEventNumbers},
		{"EventsAfter", testEventsAfter},
		{"Order", testOrder},
		{"Concurrent", testConcurrent},
		{"Race", testRace},
		{"Cursors", testCursors},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// sample returns a lease that uses all fields; the number tells it from others.
func sample(n byte) lease.Lease {
	start := time.Date(2026, 3, 1, 8, 0, 0, 123456789, time.UTC)
	return lease.Lease{
		Addr:    netip.AddrFrom4([4]byte{192, 0, 2, n}),
		Network: "voice",
		Client: lease.Client{
			HW:          hwaddr.Addr{0x00, 0x15, 0x65, 0, 0, n},
			ID:          "\x01\x00\x15\x65\x00\x00" + string([]byte{n}),
			VendorClass: "yealink\x00",
			UserClass:   "\xff\xfe raw",
			Hostname:    "SIP-T46S\n\x1b[31m",
			Params:      []uint8{1, 3, 6, 15, 66, 1},
			Circuit:     "\x00\x04\x00\x65\x00\x07",
			Remote:      "\x00\x06\x00\x11\x22\x33\x44\x55",
			Relay:       netip.AddrFrom4([4]byte{198, 51, 100, n}),
		},
		State:  lease.Bound,
		Origin: lease.Pool,
		Start:  start,
		Expiry: start.Add(8 * time.Hour),

		Boot: 1772352000 + uint32(n), LastBoot: 1772352000,
	}
}

func create(l lease.Lease) lease.Change {
	return lease.Change{At: l.Start, Kind: lease.KindBound, Next: l}
}

func commit(t *testing.T, s lease.Store, changes ...lease.Change) []lease.Event {
	t.Helper()
	events, err := s.CommitLeases(t.Context(), changes...)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return events
}

func leases(t *testing.T, s lease.Store) []lease.Lease {
	t.Helper()
	var all []lease.Lease
	for l, err := range s.LoadLeases(t.Context()) {
		if err != nil {
			t.Fatalf("load leases: %v", err)
		}
		all = append(all, l)
	}
	return all
}

func events(t *testing.T, s lease.Store, after uint64) []lease.Event {
	t.Helper()
	var all []lease.Event
	for e, err := range s.Events(t.Context(), after) {
		if err != nil {
			t.Fatalf("events after %d: %v", after, err)
		}
		all = append(all, e)
	}
	return all
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	opts := gocmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})}
	if d := gocmp.Diff(want, got, opts); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func testEmpty(t *testing.T, s lease.Store) {
	diff(t, "leases", []lease.Lease(nil), leases(t, s))
	diff(t, "events", []lease.Event(nil), events(t, s, 0))
	diff(t, "events of a commit without changes", []lease.Event(nil), commit(t, s))
	diff(t, "events", []lease.Event(nil), events(t, s, 0))
}

func testRoundTrip(t *testing.T, s lease.Store) {
	bare := lease.Lease{Addr: netip.MustParseAddr("203.0.113.9"), State: lease.Expired}
	full, kept := sample(7), bare
	full.Rev, kept.Rev = 1, 1

	want := []lease.Event{{Seq: 1, At: full.Start, Kind: lease.KindBound, Lease: full}}
	got := commit(t, s, create(sample(7)), lease.Change{Kind: lease.KindNone, Next: bare})
	diff(t, "returned events", want, got)
	diff(t, "stored events", want, events(t, s, 0))
	diff(t, "leases", []lease.Lease{full, kept}, leases(t, s))

	for i, state := range []lease.State{lease.Released, lease.Declined, lease.Expired, lease.Bound} {
		next := full
		next.State, next.Origin = state, lease.Origin(i%3+1)
		next.Client = sample(byte(100 + i)).Client
		next.Expiry = full.Expiry.Add(time.Duration(i))
		at := full.Start.Add(time.Duration(i) * time.Minute)
		kind := lease.Kind(i%6 + 1)
		want := lease.Event{Seq: uint64(i) + 2, At: at, Kind: kind, Lease: next, Prev: full}
		want.Lease.Rev = full.Rev + 1
		got := commit(t, s, lease.Change{At: at, Kind: kind, Prev: full, Next: next})
		diff(t, "returned events", []lease.Event{want}, got)
		diff(t, "stored events", []lease.Event{want}, events(t, s, want.Seq-1))
		full = want.Lease
		diff(t, "leases", []lease.Lease{full, kept}, leases(t, s))
	}
}

func testCompareAndSwap(t *testing.T, s lease.Store) {
	first := sample(1)
	commit(t, s, create(first))
	first.Rev = 1

	stale := first
	stale.Rev = 9
	missing := sample(2)
	missing.Rev = 1
	for _, c := range []struct {
		name string
		prev lease.Lease
		next lease.Lease
	}{
		{"create what exists", lease.Lease{}, sample(1)},
		{"another revision", stale, sample(1)},
		{"change what does not exist", missing, sample(2)},
	} {
		got, err := s.CommitLeases(t.Context(), lease.Change{Kind: lease.KindRenewed, Prev: c.prev, Next: c.next})
		if !errors.Is(err, lease.ErrConflict) || len(got) != 0 {
			t.Errorf("%s: got events %v, error %v; want none, ErrConflict", c.name, got, err)
		}
	}
	diff(t, "leases after conflicts", []lease.Lease{first}, leases(t, s))
	if got := events(t, s, 0); len(got) != 1 {
		t.Errorf("got %d events after conflicts, want 1", len(got))
	}

	next := first
	next.Rev = 77 // the store counts, not the caller
	commit(t, s, lease.Change{Kind: lease.KindRenewed, Prev: first, Next: next})
	next.Rev = 2
	diff(t, "leases after a change", []lease.Lease{next}, leases(t, s))
}

func testAllOrNone(t *testing.T, s lease.Store) {
	commit(t, s, create(sample(1)))
	kept := sample(1)
	kept.Rev = 1
	got, err := s.CommitLeases(t.Context(), create(sample(2)), create(sample(3)), create(sample(1)))
	if !errors.Is(err, lease.ErrConflict) || len(got) != 0 {
		t.Fatalf("got events %v, error %v; want none, ErrConflict", got, err)
	}
	diff(t, "leases", []lease.Lease{kept}, leases(t, s))
	if got := commit(t, s, create(sample(2))); len(got) != 1 || got[0].Seq != 2 {
		t.Errorf("got events %v after a failed commit, want one with number 2", got)
	}
}

func testSameAddressTwice(t *testing.T, s lease.Store) {
	a := sample(1)
	commit(t, s, create(a))
	a.Rev = 1
	ended := a
	ended.State, ended.Rev = lease.Expired, 2
	b := a
	b.Client, b.Rev = sample(8).Client, 3
	want := []lease.Event{
		{Seq: 2, At: a.Expiry, Kind: lease.KindExpired, Lease: ended, Prev: a},
		{Seq: 3, At: a.Expiry, Kind: lease.KindBound, Lease: b, Prev: ended},
	}
	got := commit(
		t, s,
		lease.Change{At: a.Expiry, Kind: lease.KindExpired, Prev: a, Next: ended},
		lease.Change{At: a.Expiry, Kind: lease.KindBound, Prev: ended, Next: b},
	)
	diff(t, "returned events", want, got)
	diff(t, "stored events", want, events(t, s, 1))
	diff(t, "leases", []lease.Lease{b}, leases(t, s))
}

func testKindNone(t *testing.T, s lease.Store) {
	quiet := create(sample(1))
	quiet.Kind = lease.KindNone
	got := commit(t, s, quiet, create(sample(2)))
	if len(got) != 1 || got[0].Seq != 1 || got[0].Lease.Addr != sample(2).Addr {
		t.Errorf("got events %v, want one for %s with number 1", got, sample(2).Addr)
	}
	if got := leases(t, s); len(got) != 2 || got[0].Rev != 1 {
		t.Errorf("got leases %v, want two with revision 1", got)
	}
}

func testEventNumbers(t *testing.T, s lease.Store) {
	var want []lease.Event
	for n := range byte(10) {
		want = append(want, commit(t, s, create(sample(3*n+3)), create(sample(3*n+1)), create(sample(3*n+2)))...)
		if _, err := s.CommitLeases(t.Context(), create(sample(1))); !errors.Is(err, lease.ErrConflict) {
			t.Fatalf("got error %v, want ErrConflict", err)
		}
	}
	for i, e := range want {
		if e.Seq != uint64(i)+1 {
			t.Errorf("event %d: got number %d, want %d", i, e.Seq, i+1)
		}
		// Within a commit, events come in the order of the changes and not of the addresses.
		if n := e.Lease.Addr.As4()[3]; int(n) != i/3*3+[]int{3, 1, 2}[i%3] {
			t.Errorf("event %d is for %s: not the order of the changes", e.Seq, e.Lease.Addr)
		}
	}
	diff(t, "stored events", want, events(t, s, 0))
}

func testEventsAfter(t *testing.T, s lease.Store) {
	var all []lease.Event
	for n := range byte(5) {
		all = append(all, commit(t, s, create(sample(n+1)))...)
	}
	for after := range uint64(6) {
		diff(t, fmt.Sprintf("events after %d", after), all[after:], events(t, s, after))
	}
	for _, after := range []uint64{6, 1 << 40, 1<<64 - 1} {
		if got := events(t, s, after); len(got) != 0 {
			t.Errorf("events after %d: got %v, want none", after, got)
		}
	}
	for e, err := range s.Events(t.Context(), 2) {
		if err != nil || e.Seq != 3 {
			t.Errorf("first event after 2: got %d, error %v; want 3", e.Seq, err)
		}
		break
	}
	for l, err := range s.LoadLeases(t.Context()) {
		if err != nil || l.Addr != sample(1).Addr {
			t.Errorf("first lease: got %s, error %v; want %s", l.Addr, err, sample(1).Addr)
		}
		break
	}
	commit(t, s, create(sample(9))) // an iteration that ends early holds nothing
}

func testOrder(t *testing.T, s lease.Store) {
	var want []netip.Addr
	for _, a := range []string{"192.0.2.9", "192.0.2.10", "192.0.2.200", "198.51.100.1", "203.0.113.0"} {
		want = append(want, netip.MustParseAddr(a))
	}
	for _, i := range []int{3, 1, 4, 0, 2} {
		l := sample(1)
		l.Addr = want[i]
		commit(t, s, create(l))
	}
	var got []netip.Addr
	for _, l := range leases(t, s) {
		got = append(got, l.Addr)
	}
	diff(t, "order of leases", want, got)
}

func testConcurrent(t *testing.T, s lease.Store) {
	const clients = 200
	got := make([][]lease.Event, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			a, b := sample(byte(i)), sample(byte(i))
			b.Addr = netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})
			events, err := s.CommitLeases(t.Context(), create(a), create(b))
			if err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
			got[i] = events
		})
	}
	wg.Wait()
	for i, events := range got {
		if len(events) != 2 || events[1].Seq != events[0].Seq+1 {
			t.Errorf("commit %d: got events %v, want two with consecutive numbers", i, events)
		}
	}
	all := slices.Concat(got...)
	slices.SortFunc(all, func(a, b lease.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	for i, e := range all {
		if e.Seq != uint64(i)+1 {
			t.Fatalf("event %d has number %d: the numbers have a gap or a double", i+1, e.Seq)
		}
	}
	diff(t, "stored events", all, events(t, s, 0))
	if n := len(leases(t, s)); n != 2*clients {
		t.Errorf("got %d leases, want %d", n, 2*clients)
	}
}

func testRace(t *testing.T, s lease.Store) {
	const clients = 20
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			l := sample(1)
			l.Client = sample(byte(i)).Client
			_, errs[i] = s.CommitLeases(t.Context(), create(l))
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("clients %d and %d both created the same record", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, lease.ErrConflict):
			t.Errorf("client %d: got error %v, want ErrConflict", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("no client created the record")
	}
	if got := leases(t, s); len(got) != 1 || got[0].Client.HW != sample(byte(winner)).Client.HW {
		t.Errorf("got leases %v, want the one of client %d", got, winner)
	}
	if got := events(t, s, 0); len(got) != 1 {
		t.Errorf("got events %v, want one", got)
	}
}

func testCursors(t *testing.T, s lease.Store) {
	c, ok := s.(lease.Cursors)
	if !ok {
		t.Skip("the store has no cursors")
	}
	check := func(name string, want uint64) {
		t.Helper()
		got, err := c.LoadCursor(t.Context(), name)
		if err != nil || got != want {
			t.Errorf("cursor %q: got %d, error %v; want %d", name, got, err, want)
		}
	}
	save := func(name string, seq uint64) {
		t.Helper()
		if err := c.SaveCursor(t.Context(), name, seq); err != nil {
			t.Errorf("save cursor %q: %v", name, err)
		}
	}
	check("hook", 0)
	save("hook", 41)
	save("hook", 1<<63+5)
	check("hook", 1<<63+5)
	check("observer", 0)
	save("observer", 1)
	save("hook", 3)
	check("hook", 3)
	check("observer", 1)
	diff(t, "events", []lease.Event(nil), events(t, s, 0))
}
