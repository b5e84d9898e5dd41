package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

const (
	// probeFor is how long we listen for an answer, and probeAgain when we ask once more: a phone waits a second or two
	// for its OFFER, and a host on the same wire answers within milliseconds.
	probeFor   = 300 * time.Millisecond
	probeAgain = 100 * time.Millisecond
	// probeFresh is how long an answer counts. A client that asks again is not kept waiting again.
	probeFresh = 30 * time.Second
	// maxProbes are under way at a time. When more are wanted, a whole office is booting and needs its offers sooner
	// than it needs this precaution.
	maxProbes = 64
	maxSeen   = 4096
)

const (
	etherARP   = 0x0806
	arpLen     = 28
	minFrame   = 60 // Ethernet's least, without the checksum
	arpRequest = 1
)

// errProbes says that a probe was left out because too many were under way.
var errProbes = errors.New("too many probes under way")

// prober finds out who has an address, by ARP on a link (RFC 5227 §2.1.1) or by ICMP behind a router, and remembers the
// answer for a while. It is safe for concurrent use.
type prober struct {
	send func(addr netip.Addr) error // asks for an address

	mu      sync.Mutex // guards what follows
	seen    map[netip.Addr]seen
	waiting map[netip.Addr]*inquiry
}

// seen is an answer: zero hw means that there was none.
type seen struct {
	at time.Time
	hw hwaddr.Addr
}

// inquiry is a question under way. hw is set before done is closed and not after.
type inquiry struct {
	done chan struct{}
	hw   hwaddr.Addr
}

func newProber(send func(netip.Addr) error) *prober {
	return &prober{send: send, seen: make(map[netip.Addr]seen), waiting: make(map[netip.Addr]*inquiry)}
}

// sighting is what is known of the address, as [Ingress].Seen.
func (p *prober) sighting(addr netip.Addr, hw hwaddr.Addr) Sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.seen[addr]
	switch {
	case !ok || time.Since(s.at) > probeFresh:
		return Unasked
	case s.hw.IsZero() || s.hw == hw:
		return Vacant
	}
	return Occupied
}

// seen says whether the client may have the address as far as the wire is concerned. Where it needs not be asked, the
// address counts as vacant; who already holds it would be the one who answers.
func (x *exchange) seen(addr netip.Addr) Sighting {
	seen := x.ing.Seen
	if x.giaddr.IsValid() {
		seen = x.ing.SeenFar
	}
	doubt := x.srv.Table.Now().Before(x.srv.Doubt)
	if seen == nil || !x.net.Probe && !doubt {
		return Vacant
	}
	if l, held := x.srv.Table.ByAddr(addr); held && l.Client.HW == x.client.HW && !doubt {
		return Vacant
	}
	return seen(addr, x.client.HW)
}

// probe asks for the address and waits for an answer, which is then known to sighting. It returns who answered, if
// anybody did. The error says that the question was not sent; the address counts as vacant then.
func (p *prober) probe(ctx context.Context, addr netip.Addr) (hwaddr.Addr, error) {
	p.mu.Lock()
	q := p.waiting[addr]
	if q == nil && len(p.waiting) >= maxProbes {
		p.remember(addr, hwaddr.Addr{})
		p.mu.Unlock()
		return hwaddr.Addr{}, errProbes
	}
	first := q == nil
	if first {
		q = &inquiry{done: make(chan struct{})}
		p.waiting[addr] = q
	}
	p.mu.Unlock()

	err := p.ask(ctx, addr, q, first)

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[addr] == q {
		delete(p.waiting, addr)
		p.remember(addr, hwaddr.Addr{})
	}
	return q.hw, err
}

// ask sends the question twice and returns when it is answered, or the time is over.
func (p *prober) ask(ctx context.Context, addr netip.Addr, q *inquiry, first bool) error {
	again, over := time.NewTimer(probeAgain), time.NewTimer(probeFor)
	defer again.Stop()
	defer over.Stop()
	if first {
		if err := p.send(addr); err != nil {
			return err
		}
	}
	for {
		select {
		case <-again.C:
			if !first {
				continue // who asked first sees to that
			}
			if err := p.send(addr); err != nil {
				return err
			}
		case <-q.done:
			return nil
		case <-over.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// answered notes that somebody has the address. If nobody waits to hear it, it is no answer but enough to doubt an
// earlier silence.
func (p *prober) answered(addr netip.Addr, hw hwaddr.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.waiting[addr]
	if q == nil {
		if s, ok := p.seen[addr]; ok && s.hw.IsZero() {
			delete(p.seen, addr)
		}
		return
	}
	delete(p.waiting, addr)
	p.remember(addr, hw)
	q.hw = hw
	close(q.done)
}

// remember notes an answer; p.mu is held.
func (p *prober) remember(addr netip.Addr, hw hwaddr.Addr) {
	now := time.Now()
	if len(p.seen) >= maxSeen {
		for a, s := range p.seen {
			if now.Sub(s.at) > probeFresh {
				delete(p.seen, a)
			}
		}
		if len(p.seen) > maxSeen/2 {
			clear(p.seen) // else every answer would look through all of them
		}
	}
	p.seen[addr] = seen{now, hw}
}

// arpProbe makes the frame that asks for an address without claiming one: the sender's protocol address is zero, so
// that nobody's ARP table is touched (RFC 5227 §2.1.1).
func arpProbe(from hwaddr.Addr, addr netip.Addr) []byte {
	b := make([]byte, minFrame)
	for i := range etherLen {
		b[i] = 0xff
	}
	copy(b[6:], from[:])
	binary.BigEndian.PutUint16(b[12:], etherARP)
	arp := b[etherHeader:]
	binary.BigEndian.PutUint16(arp[0:], 1) // Ethernet
	binary.BigEndian.PutUint16(arp[2:], etherIPv4)
	arp[4], arp[5] = etherLen, 4
	binary.BigEndian.PutUint16(arp[6:], arpRequest)
	copy(arp[8:], from[:])
	target := addr.As4()
	copy(arp[24:], target[:])
	return b
}

// arpSender returns who sent an ARP frame, and from which address.
func arpSender(b []byte) (netip.Addr, hwaddr.Addr, bool) {
	if len(b) < etherHeader+arpLen || binary.BigEndian.Uint16(b[12:]) != etherARP {
		return netip.Addr{}, hwaddr.Addr{}, false
	}
	arp := b[etherHeader:]
	if binary.BigEndian.Uint16(arp) != 1 || binary.BigEndian.Uint16(arp[2:]) != etherIPv4 || arp[4] != etherLen || arp[5] != 4 {
		return netip.Addr{}, hwaddr.Addr{}, false
	}
	addr := netip.AddrFrom4([4]byte(arp[14:18]))
	hw := hwaddr.Addr(arp[8:14])
	return addr, hw, !addr.IsUnspecified() && !hw.IsZero()
}
