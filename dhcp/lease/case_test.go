package lease_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

// TestCase runs the cases of the conformance list that are the table's alone, by their ids.
func TestCase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id  string
		run func(*testing.T)
	}{
		{"D-AUT-06", degraded},
		{"D-SEL-15", refusedCommit},
		{"D-SEL-16", killedBeforeReply},
		{"D-DB-12", twoLeasesOfOneClient},
		{"F-STO-05", brokenForGood},
		{"F-STO-06", fullAndBack},
		{"F-STO-08", slowDisk},
		{"F-CLK-01", clockAheadAndBack},
		{"F-CLK-02", clockUnsetAtStart},
		{"F-CLK-03", smallSteps},
		{"F-CLK-05", stepWhileCommitting},
		{"F-CLK-06", suspended},
	} {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
		})
	}
}

// degraded: while the disk takes no writes, a lease that runs is confirmed to its end and not beyond.
func degraded(t *testing.T) {
	store := newFailing()
	table, s := open(t, store), voice(t)
	bind(t, table, s, client(1), ip(10))
	durable, _ := table.ByAddr(ip(10))
	for _, fault := range []error{lease.ErrReadOnly, errDisk} {
		store.fault.Store(&leasetest.Fault{Err: fault})
		for range 3 { // the first fails in the store, the next before it
			pass(time.Minute)
			l, err := table.Bind(t.Context(), s, client(1), ip(10))
			if !errors.Is(err, lease.ErrDegraded) || !l.Expiry.Equal(durable.Expiry) || l.Rev != durable.Rev {
				t.Errorf("renewal after %v: got %v, error %v; want the durable lease and ErrDegraded", fault, l, err)
			}
			if left := l.Expiry.Sub(table.Now()); left <= 0 || left >= s.Lifetime {
				t.Errorf("got %v left of the lease, want less than %v", left, s.Lifetime)
			}
		}
		for _, c := range []struct {
			client lease.Client
			addr   int
		}{{client(2), 14}, {client(1), 16}} {
			if l, err := table.Bind(t.Context(), s, c.client, ip(c.addr)); err == nil || errors.Is(err, lease.ErrDegraded) || l.Addr.IsValid() {
				t.Errorf("new lease after %v: got %v, error %v; want none", fault, l, err)
			}
		}
		if l, ok := table.ByAddr(ip(14)); ok {
			t.Errorf("got %v, want no lease of .14", l)
		}
	}
	pass(s.Lifetime)
	if l, err := table.Bind(t.Context(), s, client(1), ip(10)); err == nil || errors.Is(err, lease.ErrDegraded) {
		t.Errorf("after the lease has run out: got %v, error %v; want none", l, err)
	}
}

// refusedCommit: what isn't written is promised to nobody and in nobody's way, and what was there before stays.
func refusedCommit(t *testing.T) {
	store := newFailing()
	table, s := open(t, store), voice(t)
	bind(t, table, s, client(1), ip(10))
	store.fault.Store(&leasetest.Fault{Err: lease.ErrReadOnly})
	if l, err := table.Bind(t.Context(), s, client(2), ip(14)); !errors.Is(err, lease.ErrReadOnly) {
		t.Errorf("got %v, error %v; want ErrReadOnly", l, err)
	}
	if err := table.Release(t.Context(), s, client(1), ip(10)); !errors.Is(err, lease.ErrReadOnly) {
		t.Errorf("release: got error %v, want ErrReadOnly", err)
	}
	if _, ok := table.ByAddr(ip(10)); !ok {
		t.Error("got no lease of .10, want the one whose release wasn't written")
	}
	if err := table.Decline(t.Context(), s, client(1), ip(10), 0); !errors.Is(err, lease.ErrReadOnly) {
		t.Errorf("decline: got error %v, want ErrReadOnly", err)
	}
	if l, ok := table.ByAddr(ip(10)); ok {
		t.Errorf("got %v, want no lease of an address that a stranger is at", l)
	}
	if l, err := table.Bind(t.Context(), s, client(1), ip(10)); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("the declined address: got %v, error %v; want ErrTaken", l, err)
	}
	// At once, without a look at the store: nobody was in doubt. The stranger isn't forgotten.
	store.fault.Store(nil)
	bind(t, table, s, client(3), ip(14))
	bind(t, table, s, client(1), ip(16))
	want := []string{"bound .10 1", "bound .14 3", "declined .10 1", "bound .16 1"}
	check(t, "events", want, story(t, store, 0))
}

// killedBeforeReply: the process ends between commit and reply; the same request finds the same lease.
func killedBeforeReply(t *testing.T) {
	store := newFailing()
	s := voice(t)
	bind(t, open(t, store), s, client(1), ip(10))
	table := open(t, store)
	if got := offer(t, table, s, client(1), ip(14)); got != ip(10) {
		t.Errorf("after a restart: got an offer of %s, want %s", got, ip(10))
	}
	bind(t, table, s, client(1), ip(10))
}

// twoLeasesOfOneClient: a hand edit left a client with two addresses of a network. The younger tenure is its lease;
// the other is nobody's, and given back to the pool.
func twoLeasesOfOneClient(t *testing.T) {
	store := newFailing()
	now := time.Now()
	for n, addr := range []int{14, 10} {
		l := lease.Lease{
			Addr: ip(addr), Network: "voice", Client: client(1), State: lease.Bound, Origin: lease.Pool,
			Start: now.Add(time.Duration(n) * time.Minute), Expiry: now.Add(8 * time.Hour),
		}
		if _, err := store.CommitLeases(t.Context(), lease.Change{At: l.Start, Kind: lease.KindBound, Next: l}); err != nil {
			t.Fatal(err)
		}
	}
	table, s := open(t, store), voice(t)
	if all := table.ByHW(client(1).HW); len(all) != 1 || all[0].Addr != ip(10) {
		t.Errorf("got leases %v, want the younger one", all)
	}
	if l, ok := table.ByAddr(ip(14)); ok {
		t.Errorf("got %v, want nobody at the older one", l)
	}
	stop := start(t, table)
	pass(2 * time.Second)
	stop()
	if l, ok := table.At(ip(14)); !ok || l.State != lease.Released {
		t.Errorf("got %v, want the older lease released", l)
	}
	bind(t, table, s, client(2), ip(14))
	bind(t, table, s, client(1), ip(10))
}

// brokenForGood: nothing new is promised, what runs is confirmed to its end, and the table neither grows nor spins.
func brokenForGood(t *testing.T) {
	store := newFailing()
	table, s := open(t, store), voice(t)
	bind(t, table, s, client(1), ip(10))
	store.fault.Store(&leasetest.Fault{Err: errDisk})
	store.blind.Store(true)
	stop := start(t, table)
	for range 600 {
		pass(time.Second)
		if _, err := table.Bind(t.Context(), s, client(1), ip(10)); !errors.Is(err, lease.ErrDegraded) {
			t.Fatalf("renewal: got error %v, want ErrDegraded", err)
		}
		if l, err := table.Bind(t.Context(), s, client(2), ip(14)); err == nil {
			t.Fatalf("got %v, want an error", l)
		}
	}
	store.fault.Store(nil)
	store.blind.Store(false)
	pass(10 * time.Second)
	bind(t, table, s, client(2), ip(14))
	bind(t, table, s, client(1), ip(10))
	stop()
}

// fullAndBack: a full disk is over at once when there is space again, also for leases that have to be ended.
func fullAndBack(t *testing.T) {
	store := newFailing()
	table, s := open(t, store), voice(t)
	bind(t, table, s, client(1), ip(10))
	store.fault.Store(&leasetest.Fault{Err: lease.ErrReadOnly})
	stop := start(t, table)
	pass(s.Lifetime + time.Hour)
	if l, ok := table.ByAddr(ip(10)); ok {
		t.Errorf("got %v, want no lease after its end", l)
	}
	store.fault.Store(nil)
	bind(t, table, s, client(2), ip(14))
	pass(10 * time.Second)
	check(t, "events", []string{"bound .10 1", "bound .14 2", "expired .10 1"}, story(t, store, 0))
	stop()
}

// slowDisk: each commit takes 5 s. Resent requests wait for the first, and nobody gets what another waits for.
func slowDisk(t *testing.T) {
	store := new(leasetest.Memory)
	var commits atomic.Int32
	store.OnCommit = func([]lease.Change) leasetest.Fault {
		commits.Add(1)
		pass(5 * time.Second)
		return leasetest.Fault{}
	}
	table, s := open(t, store), voice(t)
	var wg sync.WaitGroup
	var refused atomic.Int32
	for n := range 4 {
		for resend := range 3 {
			wg.Go(func() {
				pass(time.Duration(resend) * time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := table.Bind(ctx, s, client(n), ip(16+n%2)); errors.Is(err, lease.ErrTaken) {
					refused.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	held := fold(t, store)
	if len(held) != 2 || refused.Load() != 6 {
		t.Errorf("got %d leases and %d refusals, want 2 and 6", len(held), refused.Load())
	}
}
