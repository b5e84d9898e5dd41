package provision

import (
	"container/list"
	"sync"
	"time"
)

// DefaultSightings is how many devices that weren't added are remembered if nothing else is said.
const DefaultSightings = 1000

// Sighting is a device that asked and wasn't added. An administrator may make a device of it ([Pipeline.Adopt]).
type Sighting struct {
	Key         string // "mac 00:15:65:aa:bb:cc"; the address of one that has no key of its own
	Identity    Identity
	First       time.Time
	Last        Request // the newest request
	Count       uint64
	Why         string // it wasn't added
	BestSupport Score  // the plugin that comes nearest
}

// Sightings remember the devices that weren't added, the latest ones only. [NewSightings] makes one; nil remembers
// nobody. They are safe for concurrent use.
type Sightings struct {
	mu    sync.Mutex // guards what follows
	limit int
	order *list.List // of *Sighting, newest first
	byKey map[string]*list.Element
}

// NewSightings returns sightings that hold n devices; [DefaultSightings] if n isn't positive.
func NewSightings(n int) *Sightings {
	if n <= 0 {
		n = DefaultSightings
	}
	return &Sightings{limit: n, order: list.New(), byKey: map[string]*list.Element{}}
}

// add remembers who asked, and reports whether it did.
func (s *Sightings) add(o *Outcome, why string) bool {
	if s == nil {
		return false
	}
	key := sightingKey(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byKey[key]
	if ok {
		s.order.MoveToFront(e)
	} else {
		if s.order.Len() == s.limit {
			oldest := s.order.Back()
			delete(s.byKey, s.order.Remove(oldest).(*Sighting).Key)
		}
		e = s.order.PushFront(&Sighting{Key: key, First: o.Request.At})
		s.byKey[key] = e
	}
	x := e.Value.(*Sighting)
	x.Identity, x.Last, x.Why = o.Identity, o.Request, why
	x.Count++
	x.BestSupport = Score{}
	if len(o.Scores) > 0 {
		x.BestSupport = o.Scores[0]
	}
	return true
}

func sightingKey(o *Outcome) string {
	if key := o.Identity.who(); o.Identity.Assurance != SourceNone {
		return key
	}
	return "addr " + addrText(o.Request.Peer)
}

// forget drops the sighting of a device that has been added.
func (s *Sightings) forget(o *Outcome) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byKey) == 0 {
		return
	}
	key := sightingKey(o)
	if e, ok := s.byKey[key]; ok {
		s.order.Remove(e)
		delete(s.byKey, key)
	}
}

// Drop forgets the sighting of that key, if there is one.
func (s *Sightings) Drop(key string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byKey[key]; ok {
		s.order.Remove(e)
		delete(s.byKey, key)
	}
}

// Get returns the sighting of that key.
func (s *Sightings) Get(key string) (Sighting, bool) {
	if s == nil {
		return Sighting{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byKey[key]
	if !ok {
		return Sighting{}, false
	}
	return *e.Value.(*Sighting), true
}

// List returns all sightings, newest first.
func (s *Sightings) List() []Sighting {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Sighting, 0, s.order.Len())
	for e := s.order.Front(); e != nil; e = e.Next() {
		out = append(out, *e.Value.(*Sighting))
	}
	return out
}
