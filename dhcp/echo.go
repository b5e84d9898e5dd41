package dhcp

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// echoFor is within what time of an answer the same message may come by another listener. A client says the same
	// again only after seconds (RFC 2131 §4.1).
	echoFor   = 200 * time.Millisecond
	echoSlots = 1024
)

// echoes remembers messages that were answered lately. Where two listeners are on one link, as a bridge and its port or
// two interfaces on one switch, both hear what one client broadcasts, and it must be answered once. The zero value is
// ready for use.
type echoes struct {
	once  sync.Once
	seed  maphash.Seed
	mu    sync.Mutex // guards slots
	slots []heard
}

type heard struct {
	sum  uint64
	port *port
	at   time.Time
}

func (e *echoes) sum(b []byte) uint64 {
	e.once.Do(func() { e.seed, e.slots = maphash.MakeSeed(), make([]heard, echoSlots) })
	return maphash.Bytes(e.seed, b)
}

// answered reports whether the same message was answered just now on another listener. A client's messages are worked
// on one after the other, so it is known by then.
func (e *echoes) answered(j *job) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.slots[j.sum%echoSlots]
	return s.sum == j.sum && s.port != nil && s.port != j.port && time.Since(s.at) < echoFor
}

// answer takes note of an answer. Messages share slots by their sums; who takes another's makes us forget that one.
func (e *echoes) answer(j *job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slots[j.sum%echoSlots] = heard{j.sum, j.port, time.Now()}
}
