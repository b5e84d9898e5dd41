package dhcp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/icmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// pinger asks hosts behind routers whether they are there, by ICMP echo (RFC 2131 §3.1 step 2). Whose address it is, it
// can't tell.
type pinger struct {
	*prober
	conn  *icmp.PacketConn
	raw   bool // else the kernel's socket for ordinary users
	nonce [nonceLen]byte
	seq   atomic.Uint32
}

const (
	echoReply   = 0
	echoRequest = 8
	echoHeader  = 8
	nonceLen    = 8
)

// somebody stands for a host whose hardware address is not known. No client has it for its own.
func somebody() hwaddr.Addr { return hwaddr.Addr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// openPinger opens a raw socket, or the kind that every user may have where net.ipv4.ping_group_range says so.
func openPinger() (*pinger, error) {
	p := &pinger{raw: true}
	var err error
	if p.conn, err = icmp.ListenPacket("ip4:icmp", "0.0.0.0"); err != nil {
		p.raw = false
		if p.conn, err = icmp.ListenPacket("udp4", "0.0.0.0"); err != nil {
			return nil, err
		}
	}
	_, _ = rand.Read(p.nonce[:]) // never fails
	p.prober = newProber(p.ping)
	return p, nil
}

// ping sends a question. To a loopback address it sends none: our own kernel answers for all of them.
func (p *pinger) ping(addr netip.Addr) error {
	if addr.IsLoopback() {
		return nil
	}
	var to net.Addr = &net.UDPAddr{IP: addr.AsSlice()}
	if p.raw {
		to = &net.IPAddr{IP: addr.AsSlice()}
	}
	_, err := p.conn.WriteTo(echo(uint16(p.seq.Add(1)), p.nonce), to) //nolint:gosec // it may wrap around
	return err
}

// listen takes answers until ctx ends.
func (p *pinger) listen(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetReadDeadline(time.Unix(0, 0)) })
	defer stop()
	b := make([]byte, maxRequest)
	for {
		n, from, err := p.conn.ReadFrom(b)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if !pause(ctx, watchEvery) {
				return
			}
			continue
		}
		if isEcho(b[:n], p.nonce) {
			p.answered(addrOf(from), somebody())
		}
	}
}

func (p *pinger) close() { _ = p.conn.Close() }

// pause waits, and returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func addrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.IPAddr:
		return fromIP(a.IP)
	case *net.UDPAddr:
		return fromIP(a.IP)
	}
	return netip.Addr{}
}

// echo makes an echo request (RFC 792). Its identifier is zero: the nonce tells our answers from those to others.
func echo(seq uint16, nonce [nonceLen]byte) []byte {
	b := make([]byte, echoHeader+nonceLen)
	b[0] = echoRequest
	binary.BigEndian.PutUint16(b[6:], seq)
	copy(b[echoHeader:], nonce[:])
	binary.BigEndian.PutUint16(b[2:], ^fold(sum(0, b)))
	return b
}

// isEcho reports whether b is an answer to one of our questions.
func isEcho(b []byte, nonce [nonceLen]byte) bool {
	return len(b) == echoHeader+nonceLen && b[0] == echoReply && b[1] == 0 && [nonceLen]byte(b[echoHeader:]) == nonce
}

// openPings opens the pinger if we may. Without it, addresses behind relay agents count as free; [Server.Problems] says
// so where a network wants them probed.
func (s *Server) openPings(ctx context.Context) {
	p, err := openPinger()
	if err != nil {
		s.Log.DebugContext(ctx, "dhcp can't ping", "err", err)
		return
	}
	s.pings.Store(p)
}
