package lease

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// maxPending is how many events wait for an earlier one that is missing.
const maxPending = 4096

// Subscription gets events as they happen, in order of their numbers. [Table.Subscribe] makes one.
type Subscription struct {
	// C has the events. It is never closed; who waits for it waits for something else, too.
	C <-chan Event

	c      chan Event
	lagged atomic.Bool
	pub    *publisher
}

// Subscribe returns a subscription whose C holds up to buf events that weren't read yet, at least one. What happens
// while it is full is lost to it; it is up to the reader to close it in the end.
func (t *Table) Subscribe(buf int) *Subscription {
	c := make(chan Event, max(buf, 1))
	s := &Subscription{C: c, c: c, pub: &t.pub}
	t.pub.mu.Lock()
	defer t.pub.mu.Unlock()
	t.pub.subs[s] = struct{}{}
	return s
}

// Lagged reports whether events were lost since it was last called. The reader finds them in [Store.Events], after the
// last number that it has seen; some of them may come by C as well.
func (s *Subscription) Lagged() bool { return s.lagged.Swap(false) }

// Close ends the subscription. Events that are in C stay there.
func (s *Subscription) Close() {
	s.pub.mu.Lock()
	defer s.pub.mu.Unlock()
	delete(s.pub.subs, s)
}

func (s *Subscription) send(events []Event, lost bool) {
	if lost {
		s.lagged.Store(true)
	}
	for _, e := range events {
		select {
		case s.c <- e:
		default:
			s.lagged.Store(true)
		}
	}
}

// publisher brings events to the subscribers in order of number: commits end in that order, but those who waited for
// them come here as they please.
type publisher struct {
	stale atomic.Bool // a failed commit may have been written, and its events with it

	mu      sync.Mutex // guards what follows
	next    uint64     // the number to be published next
	pending map[uint64]Event
	lost    bool // since the last batch
	active  bool // somebody is publishing and takes what comes meanwhile
	subs    map[*Subscription]struct{}
}

// publish takes over events and publishes what is in order now, unless somebody else is at it already.
func (p *publisher) publish(events []Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		if e.Seq >= p.next {
			p.pending[e.Seq] = e
		}
	}
	if p.active {
		return
	}
	p.active = true
	for batch := p.ready(); len(batch) > 0 || p.lost; batch = p.ready() {
		lost, subs := p.lost, slices.Collect(maps.Keys(p.subs))
		p.lost = false
		p.mu.Unlock()
		for _, s := range subs {
			s.send(batch, lost)
		}
		p.mu.Lock()
	}
	p.active = false
}

// ready takes the events that are next from those that wait.
func (p *publisher) ready() []Event {
	if len(p.pending) > maxPending {
		// The missing one doesn't come: its commit failed, and the store can't be read to find it.
		p.lost, p.next = true, slices.Min(slices.Collect(maps.Keys(p.pending)))
	}
	var batch []Event
	for e, ok := p.pending[p.next]; ok; e, ok = p.pending[p.next] {
		delete(p.pending, p.next)
		batch = append(batch, e)
		p.next++
	}
	return batch
}

// missing says after which number the store has events that nobody brings here, if it seems so.
func (p *publisher) missing() (after uint64, missing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next - 1, p.stale.Swap(false) || len(p.pending) > 0
}

// found takes over events that were read from the store, the first of which is the oldest that it still has.
func (p *publisher) found(events []Event) {
	p.mu.Lock()
	if len(events) > 0 && events[0].Seq > p.next {
		p.lost, p.next = true, events[0].Seq
	}
	p.mu.Unlock()
	p.publish(events)
}
