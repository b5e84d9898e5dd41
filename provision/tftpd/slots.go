package tftpd

import (
	"net/netip"
	"sync"
	"sync/atomic"
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
	name   string
	at     time.Time
	nearly *atomic.Bool // the client has all but the last block: what it asks now, it asks anew
}

func newSlots(all, each int) *slots {
	return &slots{all: all, each: each, peers: map[netip.Addr]int{}, asked: map[netip.AddrPort]question{}}
}

// take takes a slot for a request. If it returns dropNone, the caller gives it back with give.
//
// A request that comes twice within three seconds is a repetition: a second transfer to the same port would confuse
// the phone (and render the file twice). nearly is to become true when the client has all but the file's last block.
// From then on it has no reason to repeat the request: it has finished before we know, and uses its port again.
func (s *slots) take(peer netip.AddrPort, name string, now time.Time, nearly *atomic.Bool) drop {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, ok := s.asked[peer]; ok && q.name == name && now.Sub(q.at) < repeatWindow && !q.nearly.Load() {
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
	s.asked[peer] = question{name, now, nearly}
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

// maxScolds is how many datagrams a second are refused before the pipeline is asked: write requests and malformed ones.
// A phone sends none.
const maxScolds = 100

// scolds counts them, for the goroutine that receives.
type scolds struct {
	second int64
	n      int
}

// allow tells whether there may be another one.
func (s *scolds) allow(now time.Time) bool {
	if sec := now.Unix(); sec != s.second {
		s.second, s.n = sec, 0
	}
	s.n++
	return s.n <= maxScolds
}
