package lease_test

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func run(t *testing.T, table *lease.Table) {
	t.Helper()
	go func() {
		if err := table.Run(t.Context()); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	synctest.Wait()
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		run(t, table)
		s := voice(t)
		bind(t, table, s, client(1), ip(10))
		pass(lifetime / 2)
		bind(t, table, s, client(2), ip(14))
		bind(t, table, s, client(1), ip(10))
		pass(lifetime - time.Millisecond)
		if n := len(table.ByHW(client(1).HW)); n != 1 {
			t.Errorf("got %d leases just before the end, want 1", n)
		}
		pass(2 * time.Second)
		check(t, "events", []string{"expired .10 1", "expired .14 2"}, sorted(story(t, store, 3)))
		if l, ok := table.Held("voice", client(1).HW); !ok || l.State != lease.Expired {
			t.Errorf("got last held %v, want the expired lease", l)
		}
		pass(24 * time.Hour)
		if n := len(story(t, store, 0)); n != 5 {
			t.Errorf("got %d events a day later, want no more than the 5", n)
		}
		bind(t, table, s, client(1), ip(10))
		check(t, "the same client again", []string{"bound .10 1"}, story(t, store, 5))
	})
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func TestExpiryWhileDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		s := voice(t)
		for i, a := range []int{16, 10, 31} {
			bind(t, table, s, client(i), ip(a))
			pass(time.Minute)
		}
		pass(7 * 24 * time.Hour)
		for range 2 {
			run(t, open(t, store))
			check(t, "events", []string{"expired .16 0", "expired .10 1", "expired .31 2"}, story(t, store, 3))
		}
	})
}

// big is 10.0.0.0/16, of which all is a pool.
func big(tb testing.TB) lease.Scope {
	tb.Helper()
	return scope(tb, network.Network{
		ID: "big", Prefix: netip.MustParsePrefix("10.0.0.0/16"), Server: netip.MustParseAddr("10.0.0.1"),
		Pools: []network.Pool{{First: netip.MustParseAddr("10.0.0.1"), Last: netip.MustParseAddr("10.0.255.254")}},
	})
}

func bigIP(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

func TestExpiryInSlices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var largest atomic.Int64
		store := new(leasetest.Memory)
		store.OnCommit = func(changes []lease.Change) leasetest.Fault {
			largest.Store(max(largest.Load(), int64(len(changes))))
			return leasetest.Fault{}
		}
		table := open(t, store)
		s := big(t)
		for n := range 5000 {
			bind(t, table, s, client(n), bigIP(n+2))
		}
		pass(lifetime)
		run(t, table)
		if n := len(story(t, store, 5000)); n != 5000 {
			t.Errorf("got %d events, want 5000", n)
		}
		if got := largest.Load(); got != 100 {
			t.Errorf("got a commit of %d changes, want 100 at most", got)
		}
	})
}

func TestSweepRetries(t *testing.T) {
	t.Parallel()
	for _, written := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := newFailing()
			table := open(t, store)
			sub := table.Subscribe(10)
			run(t, table)
			s := voice(t)
			bind(t, table, s, client(1), ip(10))
			bind(t, table, s, client(2), ip(14))
			store.fault.Store(&leasetest.Fault{Err: errDisk, Written: written})
			pass(lifetime + time.Minute)
			store.fault.Store(nil)
			pass(time.Minute)
			if got := story(t, store, 2); len(got) != 2 {
				t.Errorf("written %v: got events %v, want two", written, got)
			}
			if n := len(sub.C); n != 4 {
				t.Errorf("written %v: heard %d events, want 4", written, n)
			}
			bind(t, table, s, client(3), ip(10))
		})
	}
}
