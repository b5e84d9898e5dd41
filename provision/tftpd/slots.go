package tftpd

import (
	"net/netip"
	"sync"
	"time"
)

// repeatWindow is how long a request counts as a repetition of the one that is being answered.
const repeatWindow = 3 * time.Second

// slots says which transfers may run. The limits are set once.
type slots struct {
	all, each int

	mu    sync.Mutex // guards what follows
	used  int
	peers map[netip.Addr]int
	asked map[netip.AddrPort]question // what the running transfers were asked for
}

type question struct {
	name string
	at   time.Time
}

func newSlots(all, each int) *slots {
	return &slots{all: all, each: each, peers: map[netip.Addr]int{}, asked: map[netip.AddrPort]question{}}
}

// take takes a slot for a request. If it returns dropNone, the caller gives it back with give.
//
// A request that comes twice within three seconds is a repetition: a second transfer to the same port would confuse
// the phone (and render the file twice).
func (s *slots) take(peer netip.AddrPort, name string, now time.Time) drop {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, ok := s.asked[peer]; ok && q.name == name && now.Sub(q.at) < repeatWindow {
		return dropRepeated
	}
	switch {
	case s.used >= s.all:
		return dropBusy
	case s.peers[peer.Addr()] >= s.each:
		return dropPeerBusy
	}
	s.used++
	s.peers[peer.Addr()]++
	s.asked[peer] = question{name, now}
	return dropNone
}

// give gives back the slot that take took at that time.
func (s *slots) give(peer netip.AddrPort, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.peers[peer.Addr()]--; s.peers[peer.Addr()] == 0 {
		delete(s.peers, peer.Addr())
	}
	if q, ok := s.asked[peer]; ok && q.at.Equal(at) {
		delete(s.asked, peer)
	}
}

// inUse returns how many slots are taken.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}
