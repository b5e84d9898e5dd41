package lease

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

const (
	sweepEvery = time.Second // also how late an expiry may be
	sweepSlice = 100         // leases per commit, so that clients' commits get their turn
	sweepPause = 8           // rounds to sit out at most while the store fails
)

// Run ends leases that have run out, those first that ran out while nobody watched, each by a commit with an event. It
// returns nil when ctx ends.
//
// It also tends to what else needs time: it reads the store again after a failure (see [Table.Reread]), and it watches
// for steps of the wall clock. If the clock is suddenly more than five minutes off, the table goes on by its own time,
// so that a slip that is soon corrected changes nothing. A step that stays for ten minutes is believed: leases that
// were written since we started keep what was left of them, and those from before are compared with the new time.
func (t *Table) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	fails, pause := 0, 0
	for {
		t.watchClock(ctx)
		if pause > 0 {
			pause--
		} else if err := t.tend(ctx); err != nil && ctx.Err() == nil {
			fails++
			pause = min(1<<min(fails, 8), sweepPause)
			if fails&(fails-1) == 0 { // it may stay so for long
				t.log.ErrorContext(ctx, "lease table waits for the store", "tries", fails, "err", err)
			}
		} else {
			fails = 0
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (t *Table) tend(ctx context.Context) error {
	unknown := t.Reread(ctx)
	for ctx.Err() == nil {
		o := t.planSweep()
		if o == nil {
			break
		}
		if err := t.commit(ctx, o); err != nil {
			return errors.Join(unknown, fmt.Errorf("sweep %d leases: %w", len(o.changes), err))
		}
	}
	return unknown
}

// planSweep marks the next slice of what has run out or has new times, or returns nil.
func (t *Table) planSweep() *op {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lapse()
	now := t.clock.now()
	o := new(op)
	t.planShunned(now, o) // before what has run out, for that is free afterwards
	var later []*entry
	for len(t.due) > 0 && len(o.entries) < sweepSlice && t.due[0].over(now) {
		e := t.due[0]
		heap.Pop(&t.due)
		later = append(later, e) // it leaves the heap for good when its lease is no longer bound
		if e.op != nil || e.suspect || slices.Contains(o.entries, e) {
			continue
		}
		o.entries = append(o.entries, e)
		next, kind := e.lease(), KindExpired
		if next.State == Declined {
			// The address is free again, but it is not the one to give to the client that declined it.
			next.Client, kind = Client{}, KindNone
		}
		next.State = Expired
		o.add(now, kind, e.lease(), next)
	}
	for _, e := range later {
		heap.Push(&t.due, e)
	}
	t.planStrays(now, o)
	t.planShifted(now, o)
	if len(o.entries) == 0 {
		return nil
	}
	t.mark(o)
	return o
}

// planStrays adds what has no place beside its client's other lease. What is in a commit comes next time.
func (t *Table) planStrays(now time.Time, o *op) {
	var later []*entry
	for _, e := range t.strays {
		switch {
		case !e.hidden || e.state != Bound: // it went another way
		case e.op != nil || e.suspect || len(o.entries) >= sweepSlice || slices.Contains(o.entries, e):
			later = append(later, e)
		default:
			later = append(later, e) // until it is written
			o.entries = append(o.entries, e)
			o.clear(now, e)
		}
	}
	t.strays = later
}

// planShifted adds what a step of the clock gave new times to. What is in a commit or in doubt comes next time; what is
// over was planned for above.
func (t *Table) planShifted(now time.Time, o *op) {
	var later []*entry
	for len(t.shifted) > 0 && len(o.entries) < sweepSlice {
		e := t.shifted[0]
		t.shifted = t.shifted[1:]
		switch {
		case e.place < 0 || e.over(now):
			e.shifted = false
		case e.op != nil || e.suspect || slices.Contains(o.entries, e):
			later = append(later, e)
		default:
			e.shifted = false
			o.entries = append(o.entries, e)
			o.shifted = append(o.shifted, e)
			o.add(now, KindNone, e.lease(), e.lease())
		}
	}
	t.shifted = append(t.shifted, later...)
}

// Reread finds out what the store holds where a commit failed, and makes those addresses and clients usable again. Run
// does it by itself; it is for who can't wait. An error says that some are still not known.
func (t *Table) Reread(ctx context.Context) error {
	t.mu.Lock()
	doubts := slices.Clone(t.doubts)
	found := make(map[netip.Addr]Lease)
	for _, o := range doubts {
		for _, e := range o.entries {
			found[e.ip()] = Lease{}
		}
	}
	t.mu.Unlock()
	if len(doubts) == 0 {
		return t.heal(ctx)
	}
	var fault error
	for l, err := range t.store.LoadLeases(ctx) {
		if err != nil {
			fault = cmp.Or(fault, err)
			continue
		}
		if _, ok := found[l.Addr]; ok {
			found[l.Addr] = l
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read leases again: %w", err)
	}
	t.settle(doubts, found, fault != nil)
	if fault != nil {
		return fmt.Errorf("read leases again: %w", fault)
	}
	return t.heal(ctx)
}

// settle ends the doubts by what was found. If not all records could be read, one that wasn't found may be there.
func (t *Table) settle(doubts []*op, found map[netip.Addr]Lease, partial bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rest []*op
	for _, o := range t.doubts {
		known := slices.Contains(doubts, o)
		for _, e := range o.entries {
			known = known && (!partial || found[e.ip()].State != 0)
		}
		if !known {
			rest = append(rest, o)
			continue
		}
		for _, e := range o.entries {
			e.suspect = false
			// The same revision is the same lease, but for times that were corrected after a step of the clock.
			l := found[e.ip()]
			stray := l.Rev == e.rev && slices.Contains(t.strays, e)
			if l.Rev != e.rev {
				e.local = len(o.changes) > 0
				t.set(e, l)
				if e.local && t.clock.steps != o.steps {
					t.shift(e, t.clock.steps-o.steps)
				}
			}
			_, shunned := t.shuns(t.clock.now(), e)
			e.hidden = stray || shunned
			t.tidy(e, nil)
		}
		if o.tenant != nil {
			o.tenant.suspect = false
			t.tidy(nil, o.tenant)
		}
	}
	t.doubts = rest
}

// heal publishes the events of commits that failed but were written, and what came after them.
func (t *Table) heal(ctx context.Context) error {
	after, missing := t.pub.missing()
	if !missing {
		return nil
	}
	var events []Event
	for e, err := range t.store.Events(ctx, after) {
		if err != nil {
			t.pub.stale.Store(true)
			return fmt.Errorf("read events after %d: %w", after, err)
		}
		if len(events) == maxPending {
			t.pub.stale.Store(true) // the next round goes on
			break
		}
		events = append(events, e)
	}
	t.mu.RLock()
	for i, e := range events {
		if x := t.at(e.Lease.Addr); x != nil && x.op != nil {
			events = events[:i] // perhaps not visible yet
			t.pub.stale.Store(true)
			break
		}
	}
	t.mu.RUnlock()
	t.pub.found(events)
	return nil
}

// lastEvent returns the number of the newest event. The store can only be asked what comes after a number, so it is
// found by halving.
func lastEvent(ctx context.Context, s Store) (uint64, error) {
	newer := func(after uint64) (uint64, error) {
		var fault error
		for e, err := range s.Events(ctx, after) {
			if err == nil {
				return e.Seq, nil
			}
			fault = err
		}
		return 0, cmp.Or(ctx.Err(), fault)
	}
	// low is zero or there is an event of that number; once a step went too far, there is none of low+step.
	low, step, far := uint64(0), uint64(1), false
	for step > 0 {
		seq, err := newer(low + step - 1)
		if err != nil {
			return 0, err
		}
		low = max(low, seq)
		far = far || seq == 0
		if far {
			step /= 2
		} else {
			step *= 2
		}
	}
	return low, nil
}

// dueHeap has the entries whose time is limited, the next one first.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return sooner(h[i], h[j]) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = int32(i), int32(j) //nolint:gosec // there are 2³² addresses
}

// Push implements [heap.Interface].
func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.place = int32(len(*h)) //nolint:gosec // there are 2³² addresses
	*h = append(*h, e)
}

// Pop implements [heap.Interface].
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	e.place = -1
	return e
}

// update puts the entry where it belongs.
func (h *dueHeap) update(e *entry) {
	switch limited := e.state == Bound || e.state == Declined; {
	case limited && e.place >= 0:
		heap.Fix(h, int(e.place))
	case limited:
		heap.Push(h, e)
	case e.place >= 0:
		heap.Remove(h, int(e.place))
	}
}
