package lease_test

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

// clock is a wall clock that can be set.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.off.Load())) }

func (c *clock) open(t *testing.T, store lease.Store) *lease.Table {
	t.Helper()
	table, err := lease.Open(t.Context(), store, c.now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// clockAheadAndBack: a clock that goes wrong by years and is soon right again changes nothing.
func clockAheadAndBack(t *testing.T) {
	store := new(leasetest.Memory)
	var wall clock
	bind(t, wall.open(t, store), voice(t), client(1), ip(10))
	table := wall.open(t, store)
	run(t, table)
	bind(t, table, voice(t), client(2), ip(14))
	for _, off := range []time.Duration{10 * 365 * 24 * time.Hour, -10 * 365 * 24 * time.Hour} {
		wall.off.Store(int64(off))
		for range 5 {
			pass(time.Minute)
			if n := len(table.All()); n != 2 || len(table.ByHW(client(1).HW)) != 1 || len(table.ByHW(client(2).HW)) != 1 {
				t.Fatalf("clock off by %s: got leases %v, want both active", off, table.All())
			}
		}
		wall.off.Store(0)
		pass(time.Minute)
	}
	if got := story(t, store, 0); len(got) != 2 {
		t.Errorf("got events %v, want no more than two", got)
	}
}

// smallSteps: seconds to and fro, as when the clock is disciplined or at a leap second, are nobody's concern.
func smallSteps(t *testing.T) {
	store := new(leasetest.Memory)
	var wall clock
	table := wall.open(t, store)
	run(t, table)
	bind(t, table, voice(t), client(1), ip(10))
	for n := range 60 {
		wall.off.Store(int64(3*time.Second) * int64(n%3-1))
		pass((lifetime - time.Minute) / 60)
		if len(table.ByHW(client(1).HW)) != 1 {
			t.Fatal("got no lease before its end, want one")
		}
	}
	wall.off.Store(0)
	pass(2 * time.Minute)
	check(t, "events", []string{"bound .10 1", "expired .10 1"}, story(t, store, 0))
}

// clockUnsetAtStart: without a battery-backed clock the right time comes later.
func clockUnsetAtStart(t *testing.T) {
	for _, back := range []time.Duration{2 * 365 * 24 * time.Hour, -time.Hour} {
		store := new(leasetest.Memory)
		var wall clock
		table := wall.open(t, store)
		bind(t, table, voice(t), client(1), ip(10)) // before the power cut
		wall.off.Store(int64(-back))

		table = wall.open(t, store)
		run(t, table)
		l := bind(t, table, voice(t), client(2), ip(14))
		pass(30 * time.Minute)
		wall.off.Store(0)
		pass(20 * time.Minute)
		if len(table.ByHW(client(2).HW)) != 1 {
			t.Fatal("got no lease after the clock was set, want the one from before")
		}
		got, _ := table.ByAddr(ip(14))
		if want := l.Expiry.Add(back); got.Expiry.Sub(want).Abs() > time.Minute {
			t.Errorf("got expiry %s, want %s: what is left of a lease doesn't change", got.Expiry, want)
		}
		// The new time is on disk, too, without an event.
		check(t, "events", []string{"bound .10 1", "bound .14 2"}, story(t, store, 0))
		stored, _ := open(t, store).ByAddr(ip(14))
		check(t, "after a restart", got, stored)

		pass(lifetime - 50*time.Minute - time.Second)
		if len(table.ByHW(client(2).HW)) != 1 {
			t.Error("got no lease just before its end, want one")
		}
		pass(time.Minute)
		check(t, "later events", []string{"expired .10 1", "expired .14 2"}, sorted(story(t, store, 2)))
	}
}

// stepWhileCommitting has a commit under way while a step is taken over.
func stepWhileCommitting(t *testing.T) {
	gate := make(chan struct{})
	store := new(leasetest.Memory)
	var first atomic.Bool
	store.OnCommit = func([]lease.Change) leasetest.Fault {
		if first.CompareAndSwap(false, true) {
			<-gate
		}
		return leasetest.Fault{}
	}
	var wall clock
	table := wall.open(t, store)
	run(t, table)
	done := make(chan struct{})
	go func() {
		defer close(done)
		bind(t, table, voice(t), client(1), ip(10))
	}()
	synctest.Wait()
	wall.off.Store(int64(24 * time.Hour))
	pass(11 * time.Minute)
	close(gate)
	<-done
	pass(2 * time.Second)
	l, ok := table.ByAddr(ip(10))
	if left := l.Expiry.Sub(wall.now()); !ok || left < lifetime-12*time.Minute || left > lifetime {
		t.Errorf("got %v left of a lease of %v, active %v", left, lifetime, ok)
	}
}

// suspended: the machine sleeps for eight hours, and only the wall clock goes on. What ran out meanwhile ends once; what
// was leased since the start is kept for as long as its client may have slept, too.
func suspended(t *testing.T) {
	store := new(leasetest.Memory)
	var wall clock
	bind(t, wall.open(t, store), voice(t), client(1), ip(10))
	table := wall.open(t, store)
	run(t, table)
	bind(t, table, voice(t), client(2), ip(14))
	pass(time.Hour)
	wall.off.Store(int64(lifetime))
	pass(20 * time.Minute)
	check(t, "events", []string{"bound .10 1", "bound .14 2", "expired .10 1"}, story(t, store, 0))
	l, ok := table.ByAddr(ip(14))
	if left := l.Expiry.Sub(wall.now()); !ok || left < lifetime-2*time.Hour || left > lifetime {
		t.Errorf("got %v left of a lease of %v, active %v", left, lifetime, ok)
	}
	pass(lifetime)
	check(t, "later events", []string{"expired .14 2"}, story(t, store, 3))
}
