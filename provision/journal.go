package provision

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultJournal is how many outcomes a journal keeps if it isn't told otherwise.
const DefaultJournal = 1000

// Journal keeps the last outcomes. [NewJournal] makes one; a nil Journal keeps nothing. It is safe for concurrent use.
// Outcomes in it never change: their readers need no lock and must not write.
type Journal struct {
	last atomic.Uint64 // the last ID given

	mu   sync.Mutex // guards what follows
	ring []entry    // the oldest is at next once it is full
	next int
	subs []*Subscription // replaced, never changed
}

// entry is an outcome, and how its answer left: a copy that says so is made when somebody wants it.
type entry struct {
	outcome  *Outcome
	delivery *Delivery // nil: the outcome has it, or it isn't known
}

// whole returns the outcome with its delivery. The journal's mutex is held.
func (e *entry) whole() *Outcome {
	if e.delivery != nil {
		o := *e.outcome
		o.Delivery = e.delivery
		e.outcome, e.delivery = &o, nil
	}
	return e.outcome
}

// NewJournal returns a journal of the last n outcomes; of [DefaultJournal] if n isn't positive.
func NewJournal(n int) *Journal {
	if n <= 0 {
		n = DefaultJournal
	}
	return &Journal{ring: make([]entry, 0, n)}
}

// Restore fills an empty journal with outcomes of earlier runs, the oldest first, and lets the IDs go on after last. It
// belongs before the first request.
func (j *Journal) Restore(outcomes []*Outcome, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(outcomes) - cap(j.ring); n > 0 {
		outcomes = outcomes[n:]
	}
	j.ring = j.ring[:0]
	for _, o := range outcomes {
		j.ring = append(j.ring, entry{outcome: o})
	}
	j.next = 0
	j.last.Store(last)
}

// number returns the request's own ID, or a new one if it is zero.
func (j *Journal) number(own uint64) uint64 {
	if own != 0 || j == nil {
		return own
	}
	return j.last.Add(1)
}

// add keeps an outcome, which must not change from now on, and tells the subscribers.
func (j *Journal) add(o *Outcome) {
	if j == nil {
		return
	}
	j.mu.Lock()
	if len(j.ring) < cap(j.ring) {
		j.ring = append(j.ring, entry{outcome: o})
	} else {
		j.ring[j.next] = entry{outcome: o}
		j.next = (j.next + 1) % len(j.ring)
	}
	subs := j.subs
	j.mu.Unlock()
	tell(subs, o)
}

// Delivered completes an outcome. It does nothing if the journal has forgotten it.
func (j *Journal) Delivered(id uint64, d Delivery) {
	if j == nil {
		return
	}
	j.mu.Lock()
	i := j.index(id)
	if i < 0 {
		j.mu.Unlock()
		return
	}
	e, subs := &j.ring[i], j.subs
	e.delivery = &d
	var o *Outcome
	if len(subs) > 0 {
		o = e.whole()
	}
	j.mu.Unlock()
	tell(subs, o)
}

// index looks from the newest one back, since that is what most callers want.
func (j *Journal) index(id uint64) int {
	n := len(j.ring)
	for k := 1; k <= n; k++ {
		if i := (j.next - k + n) % n; j.ring[i].outcome.Request.ID == id {
			return i
		}
	}
	return -1
}

// Get returns the outcome of a request.
func (j *Journal) Get(id uint64) (*Outcome, bool) {
	if j == nil {
		return nil, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.index(id); i >= 0 {
		return j.ring[i].whole(), true
	}
	return nil, false
}

// Recent returns the last n outcomes, newest first; all if n isn't positive.
func (j *Journal) Recent(n int) []*Outcome { return j.collect(n, func(*Outcome) bool { return true }) }

// ByDevice returns the last n outcomes of a device, newest first; all if n isn't positive.
func (j *Journal) ByDevice(id DeviceID, n int) []*Outcome {
	return j.collect(n, func(o *Outcome) bool { return id != "" && o.Device.ID == id })
}

func (j *Journal) collect(n int, keep func(*Outcome) bool) []*Outcome {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []*Outcome
	for k, size := 1, len(j.ring); k <= size && (n <= 0 || len(out) < n); k++ {
		if e := &j.ring[(j.next-k+size)%size]; keep(e.outcome) {
			out = append(out, e.whole())
		}
	}
	return out
}

// Subscription hands outcomes to a reader as they come: each when it is concluded, and again when it is delivered.
type Subscription struct {
	// C has the outcomes. It is never closed.
	C      <-chan *Outcome
	send   chan<- *Outcome
	lagged atomic.Bool
	leave  func(*Subscription)
}

// Subscribe returns a subscription whose buffer holds buf outcomes. The reader ends it with Close.
func (j *Journal) Subscribe(buf int) *Subscription {
	c := make(chan *Outcome, max(buf, 1))
	s := &Subscription{C: c, send: c}
	if j == nil {
		return s
	}
	s.leave = j.leave
	j.mu.Lock()
	defer j.mu.Unlock()
	j.subs = append(slices.Clip(j.subs), s)
	return s
}

// Lagged reports whether outcomes were dropped since it was last asked, because the buffer was full. The reader should
// then read [Journal.Recent].
func (s *Subscription) Lagged() bool { return s.lagged.Swap(false) }

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	if s.leave != nil {
		s.leave(s)
	}
}

func (j *Journal) leave(s *Subscription) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.subs = slices.DeleteFunc(slices.Clone(j.subs), func(x *Subscription) bool { return x == s })
}

func tell(subs []*Subscription, o *Outcome) {
	for _, s := range subs {
		select {
		case s.send <- o:
		default:
			s.lagged.Store(true)
		}
	}
}

// Status is what an outcome came to, in a word.
type Status string

// The statuses.
const (
	StatusOK        Status = "ok"        // answered, or, for a lease, learnt from
	StatusMissing   Status = "missing"   // there is no such file
	StatusForbidden Status = "forbidden" // there is, but not for this one; the phone is told that it's missing
	StatusInvalid   Status = "invalid"
	StatusGone      Status = "gone"   // whoever asked had hung up before there was an answer
	StatusFailed    Status = "failed" // our fault
)

// Status returns what the outcome came to.
func (o *Outcome) Status() Status { return StatusOf(o.Err) }

// Took returns how long the stages took.
func (o *Outcome) Took() time.Duration {
	var d time.Duration
	for _, s := range o.Steps {
		d += s.Took
	}
	return d
}
