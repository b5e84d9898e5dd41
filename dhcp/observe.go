package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

const (
	// askedFor is how long a client's request waits to be confirmed. Clients probe an address for some seconds before they
	// use it (RFC 5227 §2.1.1).
	askedFor = time.Minute
	// maxAsked requests are remembered at a time.
	maxAsked = 4096
	// What one interface may teach: a whole office at once, then some leases a second. Whoever can make up frames could
	// have every one written to the disk.
	heardBurst = 1000
	heardEvery = 100 * time.Millisecond
	// reopenAfter is how long we wait for an interface that is gone.
	reopenAfter = 5 * time.Second

	infinite = 0xffffffff // option 51 (RFC 2132 §9.2, RFC 2131 §3.3)
)

// Observer keeps the table where somebody else's server leases the addresses. It only listens.
//
// What it overhears is what is broadcast: the clients' requests, with the address that they want, and the answers that
// go to all. An answer to one client alone doesn't reach us through a switch; then the client itself tells that it has
// the address, by its first ARP messages (RFC 5227 §2.3). Renewals are seen by nobody, so a lease goes on as long as its
// client is heard of by ARP. On a port that mirrors the server's, all is seen.
//
// What is overheard can be forged by anybody on the link, like ARP itself, and is worth no more: the leases are External.
type Observer struct {
	External   *External
	Interfaces []string
	Log        *slog.Logger

	meters meters
	mu     sync.Mutex // guards what follows
	asked  map[hwaddr.Addr]asked
}

// asked is a request that awaits its answer.
type asked struct {
	at     time.Time
	iface  string
	xid    dhcpv4.TransactionID
	client lease.Client
	want   netip.Addr
}

// Run listens until ctx ends. An interface that is gone, or comes later, is tried again and again.
func (o *Observer) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, name := range o.Interfaces {
		all.Go(func() {
			for last := error(nil); ; {
				err := o.listen(ctx, name)
				if ctx.Err() != nil {
					return
				}
				if last == nil || last.Error() != err.Error() {
					o.Log.WarnContext(ctx, "dhcp of others can't be overheard; it is tried again", "interface", name, "err", err)
				}
				last = err
				if !pause(ctx, reopenAfter) {
					return
				}
			}
		})
	}
	<-ctx.Done()
	return nil
}

// hear takes a frame.
func (o *Observer) hear(ctx context.Context, iface string, b []byte) {
	if addr, hw, ok := arpSender(b); ok {
		o.announced(ctx, iface, addr, hw)
		return
	}
	to, payload, ok := readDHCP(b)
	switch {
	case !ok || len(payload) == 0:
	case payload[0] == byte(dhcpv4.OpcodeBootReply):
		if m, ok := readServer(payload); ok {
			o.answered(ctx, iface, m)
		}
	case to == serverPort:
		if m, _, reason := decode(payload); reason == ReasonNone {
			if r, reason := interpret(m, Ingress{Iface: iface, Broadcast: true}); reason == ReasonNone {
				o.requested(ctx, iface, m.TransactionID, r)
			}
		}
	}
}

// requested takes a client's message.
func (o *Observer) requested(ctx context.Context, iface string, xid dhcpv4.TransactionID, r request) {
	want := r.want
	if !want.IsValid() {
		want = r.ciaddr
	}
	switch {
	case !want.IsValid():
	case r.kind == dhcpv4.MessageTypeRequest:
		o.await(asked{at: time.Now(), iface: iface, xid: xid, client: r.client, want: want})
	case r.kind == dhcpv4.MessageTypeRelease, r.kind == dhcpv4.MessageTypeDecline:
		o.forget(r.client.HW)
		if l, ok := o.External.Table.ByAddr(want); ok && l.Client.HW == r.client.HW && l.Origin == lease.External {
			o.tell(ctx, iface, lease.Lease{Addr: want, State: lease.Released, Client: r.client})
		}
	}
}

func (o *Observer) await(a asked) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked == nil {
		o.asked = make(map[hwaddr.Addr]asked)
	}
	if _, again := o.asked[a.client.HW]; !again && len(o.asked) >= maxAsked {
		for hw, old := range o.asked {
			if a.at.Sub(old.at) > askedFor {
				delete(o.asked, hw)
			}
		}
		if len(o.asked) >= maxAsked {
			clear(o.asked) // somebody makes them up, and a look through all for each would help nobody
		}
	}
	o.asked[a.client.HW] = a
}

func (o *Observer) forget(hw hwaddr.Addr) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.asked, hw)
}

// take returns the request of a client that fits, once.
func (o *Observer) take(iface string, hw hwaddr.Addr, fits func(asked) bool) (asked, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, ok := o.asked[hw]
	if !ok || a.iface != iface || !fits(a) {
		return asked{}, false
	}
	delete(o.asked, hw)
	return a, time.Since(a.at) <= askedFor
}

// answered takes a server's answer. It counts only where we heard the request: whoever forges it has to forge that, too.
func (o *Observer) answered(ctx context.Context, iface string, m served) {
	kind := dhcpv4.MessageType(m.opts[optType][0])
	if kind == dhcpv4.MessageTypeOffer {
		return
	}
	a, ok := o.take(iface, m.client, func(a asked) bool { return a.xid == m.xid })
	if !ok || kind != dhcpv4.MessageTypeAck || !m.offered.IsValid() {
		return
	}
	l := lease.Lease{Addr: m.offered, State: lease.Bound, Client: a.client}
	if v := m.opts[optLifetime]; len(v) == 4 {
		l.Expiry = o.end(binary.BigEndian.Uint32(v))
	}
	o.tell(ctx, iface, l)
}

// end is when a lease of so many seconds that begins now runs out.
func (o *Observer) end(seconds uint32) time.Time {
	if seconds == infinite {
		return o.External.Table.Now().Add(longest)
	}
	return o.External.Table.Now().Add(time.Duration(seconds) * time.Second)
}

// announced takes what an ARP message says of its sender: that it has the address that it asked for, or still has it.
func (o *Observer) announced(ctx context.Context, iface string, addr netip.Addr, hw hwaddr.Addr) {
	if a, ok := o.take(iface, hw, func(a asked) bool { return a.want == addr }); ok {
		o.tell(ctx, iface, lease.Lease{Addr: addr, State: lease.Bound, Client: a.client})
		return
	}
	table := o.External.Table
	l, ok := table.At(addr)
	if !ok || l.Origin != lease.External || l.Client.HW != hw || l.State != lease.Bound && l.State != lease.Expired ||
		l.Expiry.Sub(table.Now()) > assumed/2 {
		return
	}
	o.tell(ctx, iface, lease.Lease{Addr: addr, State: lease.Bound, Client: l.Client})
}

// tell has the table know, if it is of that link that the lease is said to be.
func (o *Observer) tell(ctx context.Context, iface string, l lease.Lease) {
	if !o.onLink(iface, l.Addr) || !o.meters.take(iface, heardBurst, heardEvery) {
		return
	}
	now, err := o.External.Tell(ctx, l)
	switch {
	case errors.Is(err, lease.ErrWrongNet), ctx.Err() != nil:
	case err != nil:
		if o.meters.take("warn "+iface, 1, time.Minute) {
			o.Log.WarnContext(ctx, "overheard lease is not kept", "interface", iface, "ip", l.Addr, "mac", l.Client.HW, "err", err)
		}
	default:
		o.Log.DebugContext(ctx, "lease overheard", "interface", iface, "ip", now.Addr, "mac", now.Client.HW,
			"state", now.State.String(), "until", now.Expiry)
	}
}

// onLink reports whether an address may be a client's on the interface: what is heard on one link says nothing of the
// networks on another.
func (o *Observer) onLink(iface string, addr netip.Addr) bool {
	here := prefixesOn(iface)
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	set := o.External.Networks.Networks()
	n := set.Containing(addr)
	if n == nil {
		return slices.ContainsFunc(here, contains) || slices.ContainsFunc(o.External.Foreign, contains)
	}
	var ours []netip.Addr
	for _, p := range here {
		ours = append(ours, p.Addr())
	}
	link := set.OnLink(iface, ours)
	return link != nil && slices.Contains(set.Link(link), n)
}

// readDHCP returns the payload of a frame of DHCP's, and the port that it goes to.
func readDHCP(b []byte) (port uint16, payload []byte, ok bool) {
	if len(b) < frameHeader || binary.BigEndian.Uint16(b[12:]) != etherIPv4 {
		return 0, nil, false
	}
	b = b[etherHeader:]
	size, length := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || size < ipHeader || length < size+udpHeader || length > len(b) || b[9] != protoUDP ||
		binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // fragments
		return 0, nil, false
	}
	udp := b[size:length]
	port = binary.BigEndian.Uint16(udp[2:])
	return port, udp[udpHeader:], port == serverPort || port == clientPort
}
