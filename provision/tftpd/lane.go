package tftpd

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// laneDepth is how many datagrams of a client wait for its transfer. It sends one for each window.
const laneDepth = 8

// lanes are the transfers that go through the listening port, by their clients. The zero value is ready.
type lanes struct {
	mu sync.Mutex
	by map[netip.AddrPort]*lane
}

// lane is a transfer's part of the listening port: a [wire] without a socket, for hosts of which only that port can be
// reached (behind NAT or a firewall). A client that sends too much loses what is its own.
type lane struct {
	server *Server
	peer   netip.AddrPort
	local  netip.Addr
	in     chan []byte
	wake   chan struct{} // the deadline changed
	closed chan struct{}

	mu sync.Mutex
	at time.Time
}

// open makes the lane for a request. A peer has one at a time: another request from its port follows the first one's end.
func (l *lanes) open(s *Server, a *asking) *lane {
	n := &lane{
		server: s, peer: a.peer, local: a.local,
		in: make(chan []byte, laneDepth), wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[netip.AddrPort]*lane)
	}
	l.by[a.peer] = n
	return n
}

// pass gives a datagram to the transfer that it is for, if there is one.
func (l *lanes) pass(p []byte, from netip.AddrPort) bool {
	l.mu.Lock()
	n := l.by[from]
	l.mu.Unlock()
	if n == nil {
		return false
	}
	select {
	case n.in <- append([]byte(nil), p...):
	default: // lost, as on a full socket
	}
	return true
}

// ReadFromUDPAddrPort implements wire.
func (n *lane) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	for {
		n.mu.Lock()
		left := time.Until(n.at)
		n.mu.Unlock()
		if left <= 0 {
			return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
		}
		patience := time.NewTimer(left)
		select {
		case d := <-n.in:
			patience.Stop()
			return copy(p, d), n.peer, nil
		case <-n.wake:
		case <-patience.C:
		case <-n.closed:
			patience.Stop()
			return 0, netip.AddrPort{}, net.ErrClosed
		}
		patience.Stop()
	}
}

// WriteToUDPAddrPort implements wire: it sends from the listening port and the address that was asked.
func (n *lane) WriteToUDPAddrPort(p []byte, to netip.AddrPort) (int, error) {
	return len(p), n.server.write(p, n.local, to)
}

// SetReadDeadline implements wire.
func (n *lane) SetReadDeadline(at time.Time) error {
	n.mu.Lock()
	n.at = at
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
	return nil
}

// Close implements wire.
func (n *lane) Close() error {
	n.server.lanes.mu.Lock()
	defer n.server.lanes.mu.Unlock()
	if n.server.lanes.by[n.peer] == n {
		delete(n.server.lanes.by, n.peer)
	}
	close(n.closed)
	return nil
}

var _ wire = (*lane)(nil)
