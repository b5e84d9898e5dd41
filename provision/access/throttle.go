package access

import (
	"fmt"
	"sync"
	"time"
)

// How attempts are throttled. Who fails waits, from the fourth failure on, twice as long each time; and all addresses
// that have failed share a budget, so that many of them together guess no faster. Addresses without a failure have a
// budget of their own: nobody can lock out a person by guessing that person's password from elsewhere. Addresses at which
// somebody signed in lately have one more, which fresh addresses can't use up, as long as they don't fail too often.
const (
	freeFailures = 3
	firstWait    = time.Second
	longestWait  = 15 * time.Minute
	forgetAfter  = time.Hour
	failBudget   = 25 // attempts a minute, of all addresses that have failed
	cleanBudget  = 20 // attempts a minute, of all others
	knownBudget  = 5  // attempts a minute more, of those at which somebody signed in
	maxAddrs     = 4096
	maxKnown     = 256
	knownFor     = 30 * 24 * time.Hour
)

// throttle decides who may try a password now. The zero value is ready.
type throttle struct {
	mu    sync.Mutex // guards what follows
	addrs map[string]*attempts
	known map[string]time.Time // when somebody last signed in there
	fails bucket
	clean bucket
	own   bucket // of those that are known
}

// attempts are what an address has tried in vain.
type attempts struct {
	failures int
	last     time.Time
	until    time.Time // it has to wait
}

// bucket counts attempts of the present minute.
type bucket struct {
	from time.Time
	n    int
}

func (b *bucket) take(limit int, now time.Time) (wait time.Duration, ok bool) {
	if now.Sub(b.from) >= time.Minute || now.Before(b.from) {
		b.from, b.n = now, 0
	}
	if b.n >= limit {
		return b.from.Add(time.Minute).Sub(now), false
	}
	b.n++
	return 0, true
}

// allow asks for an attempt; the error says how long to wait.
func (t *throttle) allow(addr string, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.addrs[addr]
	if a != nil && now.Sub(a.last) > forgetAfter {
		delete(t.addrs, addr)
		a = nil
	}
	if last, ok := t.known[addr]; ok && now.Sub(last) <= knownFor && (a == nil || a.failures <= freeFailures) {
		if _, ok := t.own.take(knownBudget, now); ok {
			return nil
		}
	}
	if a == nil {
		if wait, ok := t.clean.take(cleanBudget, now); !ok {
			return throttled(wait)
		}
		return nil
	}
	if wait := a.until.Sub(now); wait > 0 {
		return throttled(wait)
	}
	if wait, ok := t.fails.take(failBudget, now); !ok {
		return throttled(wait)
	}
	return nil
}

// ThrottledError is an ErrThrottled that says how long to wait, in whole seconds.
type ThrottledError struct{ Wait time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("%s; try again in %s", ErrThrottled, e.Wait)
}

// Unwrap makes it an ErrThrottled.
func (e *ThrottledError) Unwrap() error { return ErrThrottled }

func throttled(wait time.Duration) error {
	return &ThrottledError{max((wait + time.Second - 1).Truncate(time.Second), time.Second)}
}

// failed writes down a failure.
func (t *throttle) failed(addr string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.addrs == nil {
		t.addrs = make(map[string]*attempts)
	}
	a := t.addrs[addr]
	if a == nil {
		if len(t.addrs) >= maxAddrs {
			forgetOldest(t.addrs, func(a *attempts) time.Time { return a.last })
		}
		a = &attempts{}
		t.addrs[addr] = a
	}
	a.failures++
	a.last = now
	if n := a.failures - freeFailures; n > 0 {
		a.until = now.Add(min(longestWait, firstWait<<min(n-1, 20)))
	}
}

// forgetOldest drops the address that was heard of longest ago.
func forgetOldest[V any](addrs map[string]V, last func(V) time.Time) {
	var oldest string
	var when time.Time
	for addr, v := range addrs {
		if at := last(v); when.IsZero() || at.Before(when) {
			oldest, when = addr, at
		}
	}
	delete(addrs, oldest)
}

// succeeded forgets an address's failures, and remembers that somebody signed in there.
func (t *throttle) succeeded(addr string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.addrs, addr)
	if t.known == nil {
		t.known = make(map[string]time.Time)
	}
	if _, ok := t.known[addr]; !ok && len(t.known) >= maxKnown {
		forgetOldest(t.known, func(at time.Time) time.Time { return at })
	}
	t.known[addr] = now
}
