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
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
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
	// maxReadErrors is the longest run of reads that fail.
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
	// Trusted tells whether a peer is at the address that it says: because it has a lease, say, or is in the neighbour
	// table. To any other one no more than ten times the bytes of its request are sent before it has acknowledged
	// something, so that nobody can have us flood a third. Such a peer must ask with an option (RFC 2347), for whose
	// acknowledgement that is enough, or for a very short file. It is called for each request that is answered with a
	// file. Nil trusts everybody.
	Trusted func(netip.Addr) bool
	// Allow are the networks that are served; the datagrams of others are dropped. None: all.
	Allow []netip.Prefix
	// Ports are those of the transfers, for firewalls that want to know. Zero: whichever are free.
	Ports PortRange
	// SinglePort has all transfers go through the listening port, for clients that can't reach others. It is slower.
	SinglePort bool
	// Quirks are what the phones of a plugin want otherwise.
	Quirks map[provision.PluginID]Quirks

	conn    *net.UDPConn
	home    netip.AddrPort // what conn is bound to
	six     bool           // conn is an IPv6 socket
	verbose bool           // Log has the debug level
	slots   *slots
	queue   chan asking // to engines that rest
	engines int         // how many there are
	lanes   lanes
	port    atomic.Uint32 // where the search for a port ended
	scolds  scolds
	count   counters
	times   timing
}

// PortRange is First to Last, both included. The zero value is none.
type PortRange struct{ First, Last uint16 }

// Quirks are what some phones want otherwise than the RFCs say. The zero value is nothing.
type Quirks struct {
	// NoBlockSize leaves blksize unanswered, so that blocks have 512 bytes: for phones that ask for more than they take.
	NoBlockSize bool
	// RollToOne has block number 65535 followed by 1 rather than 0.
	RollToOne bool
}

// Open binds the socket. Its errors say what to do about them.
func (s *Server) Open() error {
	if p := s.Ports; p.First > p.Last || p.Last > 0 && p.First == 0 {
		return fmt.Errorf("tftp: ports %d to %d: not a range", p.First, p.Last)
	}
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
	s.home = local(conn)
	s.six = s.home.Addr().Is6()
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
	s.verbose = s.Log.Enabled(context.Background(), slog.LevelDebug)
	s.queue = make(chan asking)
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
func (s *Server) LocalAddr() netip.AddrPort { return s.home }

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
	close(s.queue) // an engine that rests ends, the others do after their transfer

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

// receive takes datagrams until ctx ends and has each request that gets a slot served by an engine.
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
				s.dispatch(work, a, running)
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
		case <-time.After(s.times.retry):
		}
	}
	return nil
}

// dispatch gives a request to an engine that rests, or to a new one. It is the receiving goroutine's.
func (s *Server) dispatch(ctx context.Context, a asking, running *sync.WaitGroup) {
	if s.engines == s.slots.all {
		s.queue <- a // the slot that it got was an engine's, which is about to look
		return
	}
	select {
	case s.queue <- a:
	default:
		s.engines++
		running.Go(func() { s.run(ctx, a) })
	}
}

// admit decides about a datagram: a request that it lets pass has a slot.
func (s *Server) admit(datagram []byte, peer netip.AddrPort, to netip.Addr) (asking, bool) {
	a := asking{length: len(datagram), peer: peer, local: to, at: time.Now(), nearly: new(atomic.Bool)}
	why := s.distrust(peer, to)
	if why == dropNone {
		var err error
		a.request, err = parseRequest(datagram, s.BlockSize)
		switch {
		case errors.Is(err, errNoRequest):
			if s.SinglePort && s.lanes.pass(datagram, peer) {
				return a, false
			}
			why = dropOpcode
		case err != nil && !s.scolds.allow(a.at):
			why = dropFlood
		case errors.Is(err, errWrite):
			s.refuse(peer, to, a.length, violation)
			s.count.results[resultWrite].Add(1)
			return a, false
		case err != nil:
			s.refuse(peer, to, a.length, illegal)
			s.count.results[resultIllegal].Add(1)
			return a, false
		default:
			why = s.slots.take(peer, a.name, a.at, a.nearly)
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
	case peer.Port() == 0, peer.Port() == wellKnownPort, peer.Port() == s.home.Port():
		return dropSource
	case peer.Addr().WithZone("") == to.WithZone("") && !to.IsLoopback():
		return dropSource
	case len(s.Allow) > 0 && !slices.ContainsFunc(s.Allow, func(p netip.Prefix) bool { return p.Contains(peer.Addr().WithZone("")) }):
		return dropOutside
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
		return s.home.Addr()
	}
	addr = addr.Unmap()
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(strconv.Itoa(iface))
	}
	return addr
}

// refuse sends an ERROR from the listening port and the address that was asked. It isn't sent again: a client that
// misses it asks again. It is not sent at all if it is too long an answer to a datagram of that length.
func (s *Server) refuse(peer netip.AddrPort, from netip.Addr, length int, with refusal) {
	if len(with) > unprovenFactor*length {
		return
	}
	if err := s.write([]byte(with), from, peer); err != nil {
		s.Log.Debug("tftp refusal", "ip", peer.Addr(), "err", err)
	}
}

// write sends a datagram from the listening port and that address of ours.
func (s *Server) write(p []byte, from netip.Addr, to netip.AddrPort) error {
	var oob []byte
	switch {
	case from.IsUnspecified():
	case from.Is4():
		oob = (&ipv4.ControlMessage{Src: from.AsSlice()}).Marshal()
	default:
		oob = (&ipv6.ControlMessage{Src: from.AsSlice()}).Marshal()
	}
	_, _, err := s.conn.WriteMsgUDPAddrPort(p, oob, to)
	return err
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
