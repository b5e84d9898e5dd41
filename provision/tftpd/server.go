package tftpd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/dialtone-project/dialtone/provision"
)

const (
	wellKnownPort = 69
	// receiveBuffer holds the requests of a whole office that is switched on at once.
	receiveBuffer = 1 << 20
	// retryPause is between two reads of a socket that fails, and maxReadErrors the longest run of them.
	retryPause    = 100 * time.Millisecond
	maxReadErrors = 100
)

// Server answers read requests. Set its fields, then call Open, then Run, once each. The other methods may be called by
// any goroutine between Open and the end of the program.
type Server struct {
	// Addr is where to listen, "host:port". An empty host means every address, IPv4 and IPv6.
	Addr    string
	Handler provision.Handler
	Log     *slog.Logger // nil: silent
	// Transfers is how many may run at a time, PeerTransfers how many to one address. A request beyond is dropped: a
	// phone repeats an unanswered request, but takes an ERROR for the last word. Zero means 256 and 8.
	Transfers, PeerTransfers int
	// BlockSize is the largest block that is agreed on, at most 65464. Zero means 1428, which isn't cut into fragments
	// on the way.
	BlockSize int

	conn  *net.UDPConn
	six   bool // conn is an IPv6 socket
	slots *slots
	count counters
	times timing
}

// Open binds the socket. Its errors say what to do about them.
func (s *Server) Open() error {
	addr, err := net.ResolveUDPAddr("udp", s.Addr)
	if err != nil {
		return fmt.Errorf("tftp: %w", err)
	}
	family := "udp"
	if addr.IP.To4() != nil {
		family = "udp4" // else 0.0.0.0 would mean IPv6, too
	}
	conn, err := net.ListenUDP(family, addr)
	if err != nil {
		return fmt.Errorf("tftp: %w%s", err, remedy(err, addr.Port))
	}
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		return errors.Join(fmt.Errorf("tftp: receive buffer: %w", err), conn.Close())
	}
	s.six = local(conn).Addr().Is6()
	if s.six {
		err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	} else {
		err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("tftp: ask for the address of datagrams: %w", err), conn.Close())
	}
	s.conn = conn
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	s.slots = newSlots(cmp.Or(s.Transfers, 256), cmp.Or(s.PeerTransfers, 8))
	s.BlockSize = min(cmp.Or(s.BlockSize, wireBlock), largestBlock)
	s.times = cmp.Or(s.times, defaultTiming())
	return nil
}

// remedy says what to do about a port that can't be had.
func remedy(err error, port int) string {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Sprintf(": a port under 1024 needs root or CAP_NET_BIND_SERVICE; else choose another one than %d", port)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf(": another TFTP server has port %d; `ss -lunp sport = :%d` names it", port, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": no interface has that address (yet)"
	}
	return ""
}

// LocalAddr returns the address that Open bound.
func (s *Server) LocalAddr() netip.AddrPort { return local(s.conn) }

// Stats returns the counts since Open.
func (s *Server) Stats() Stats {
	st := s.count.stats()
	st.InProgress = s.slots.inUse()
	return st
}

// Run serves until ctx ends, then gives running transfers five seconds and stops those that are left. It closes the
// socket and returns after all goroutines that it started. It returns nil, unless the socket failed for good.
func (s *Server) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	release := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer release()

	var running sync.WaitGroup
	failed := s.receive(ctx, work, &running)

	ended := make(chan struct{})
	go func() { running.Wait(); close(ended) }()
	patience := time.NewTimer(s.times.drain)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		stop()
		<-ended
	}
	return errors.Join(failed, s.conn.Close())
}

// receive takes datagrams until ctx ends and starts a goroutine for each request that gets a slot.
func (s *Server) receive(ctx, work context.Context, running *sync.WaitGroup) error {
	buf := make([]byte, maxRequest+1)
	oob := make([]byte, 128)
	failures := 0
	for ctx.Err() == nil {
		n, oobn, _, peer, err := s.conn.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case err == nil:
			failures = 0
			if a, ok := s.admit(buf[:n], unmap(peer), s.destination(oob[:oobn])); ok {
				running.Go(func() { s.serve(work, a) })
			}
			continue
		case ctx.Err() != nil:
			continue // Run ended the read
		}
		// An interface that goes away must neither end the server nor make it spin.
		if failures++; failures > maxReadErrors || errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("tftp: read requests: %w", err)
		}
		s.Log.WarnContext(ctx, "tftp socket", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
	return nil
}

// admit decides about a datagram: a request that it lets pass has a slot.
func (s *Server) admit(datagram []byte, peer netip.AddrPort, to netip.Addr) (asking, bool) {
	a := asking{peer: peer, local: to, at: time.Now()}
	why := s.distrust(peer, to)
	if why == dropNone {
		var err error
		a.request, err = parseRequest(datagram, s.BlockSize)
		switch {
		case errors.Is(err, errNoRequest):
			why = dropOpcode
		case errors.Is(err, errWrite):
			s.refuse(peer, to, violation)
			s.count.results[resultWrite].Add(1)
			return a, false
		case err != nil:
			s.refuse(peer, to, illegal)
			s.count.results[resultIllegal].Add(1)
			return a, false
		default:
			why = s.slots.take(peer, a.name, a.at)
		}
	}
	if why != dropNone {
		s.count.dropped[why].Add(1)
	}
	return a, why == dropNone
}

// distrust refuses datagrams by their addresses: an answer to a TFTP server's port, or to our own, may start a loop of
// two servers (CVE-2024-2169), and RFC 1123 §4.2.3.4 wants requests to everybody ignored. On the loopback interface
// nobody can pretend to be us.
func (s *Server) distrust(peer netip.AddrPort, to netip.Addr) drop {
	switch {
	case to.IsMulticast(), to == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return dropBroadcast
	case peer.Port() == 0, peer.Port() == wellKnownPort, peer.Port() == local(s.conn).Port():
		return dropSource
	case peer.Addr().WithZone("") == to.WithZone("") && !to.IsLoopback():
		return dropSource
	}
	return dropNone
}

// destination reads from the control message which of our addresses a datagram came to.
func (s *Server) destination(oob []byte) netip.Addr {
	var ip net.IP
	var iface int
	if s.six {
		var cm ipv6.ControlMessage
		if cm.Parse(oob) == nil {
			ip, iface = cm.Dst, cm.IfIndex
		}
	} else {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) == nil {
			ip = cm.Dst
		}
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return local(s.conn).Addr()
	}
	addr = addr.Unmap()
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(strconv.Itoa(iface))
	}
	return addr
}

// refuse sends an ERROR from the listening port and the address that was asked. It isn't sent again: a client that
// misses it asks again.
func (s *Server) refuse(peer netip.AddrPort, from netip.Addr, with refusal) {
	var oob []byte
	switch {
	case from.IsUnspecified():
	case from.Is4():
		oob = (&ipv4.ControlMessage{Src: from.AsSlice()}).Marshal()
	default:
		oob = (&ipv6.ControlMessage{Src: from.AsSlice()}).Marshal()
	}
	if _, _, err := s.conn.WriteMsgUDPAddrPort([]byte(with), oob, peer); err != nil {
		s.Log.Debug("tftp refusal", "ip", peer.Addr(), "err", err)
	}
}

// local returns the address of a socket.
func local(conn *net.UDPConn) netip.AddrPort {
	a, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return a.AddrPort()
}

// unmap makes an IPv4 address of one that an IPv6 socket shows as ::ffff:192.0.2.1.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
