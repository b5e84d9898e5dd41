package dhcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Table is what the server asks the lease table; [lease.Table] is it.
type Table interface {
	// Offer finds an address for the client and keeps it for a short while, in memory only.
	Offer(ctx context.Context, s lease.Scope, c lease.Client, want netip.Addr) (lease.Lease, error)
	// Peek returns what Offer would, and keeps nothing.
	Peek(ctx context.Context, s lease.Scope, c lease.Client, want netip.Addr) (lease.Lease, error)
	// Bind leases the address to the client. It returns nil only when the lease is durable and visible. With
	// [lease.ErrDegraded] it returns the lease that the client still holds.
	Bind(ctx context.Context, s lease.Scope, c lease.Client, addr netip.Addr) (lease.Lease, error)
	// Withdraw forgets what was offered to a client in a network.
	Withdraw(id network.ID, hw hwaddr.Addr)
	// Release ends the client's lease of the address. The scope's network may be nil.
	Release(ctx context.Context, s lease.Scope, c lease.Client, addr netip.Addr) error
	// Decline ends it, and nobody gets the address for the span; zero is the table's choice.
	Decline(ctx context.Context, s lease.Scope, c lease.Client, addr netip.Addr, span time.Duration) error
	// Quarantine does so with an address that nobody holds.
	Quarantine(ctx context.Context, s lease.Scope, addr netip.Addr, span time.Duration) error
	// ByAddr and ByHW return active leases only.
	ByAddr(addr netip.Addr) (lease.Lease, bool)
	ByHW(hw hwaddr.Addr) []lease.Lease
	// At returns what is known of an address, be it an offer or a lease that ended.
	At(addr netip.Addr) (lease.Lease, bool)
	// Held returns the client's lease in a network, or the last one that it had there.
	Held(id network.ID, hw hwaddr.Addr) (lease.Lease, bool)
	// Each hands out what is known of each address, whatever its state, until yield returns false.
	Each(yield func(lease.Lease) bool)
	// Now is the clock that leases' times are compared with.
	Now() time.Time
}

var _ Table = (*lease.Table)(nil)

const (
	// maxHops is RFC 1542 §4.1.1's bound on relay agents in a row.
	maxHops = 16
	// maxStrangers is how many occupied addresses we walk into for one DISCOVER: the client doesn't wait for ever.
	maxStrangers = 3
)

// exchange is one message on its way to a reply.
type exchange struct {
	request
	srv  *Server
	msg  *dhcpv4.DHCPv4
	ing  Ingress
	nets *network.Set
	net  *network.Network // one of the link; once choice is made, its
	base netip.Addr       // our address as the client reaches it
	id   netip.Addr       // server identifier
	v    Verdict

	facts  network.Facts
	choice network.Choice // what the client may get in net
	first  network.Choice // of the link's networks, in that which a newcomer gets an address of
}

// Respond decides what a client's message gets: a reply, or nil, which means silence. The verdict says why; where it
// names an address to probe, the caller does so and asks again. Respond is safe for concurrent use and waits only for
// the table, in Bind, Release and Decline. It keeps neither m nor what is in it.
func (s *Server) Respond(ctx context.Context, m *dhcpv4.DHCPv4, ing Ingress) (*dhcpv4.DHCPv4, Verdict) {
	return s.begin(m, ing).respond(ctx)
}

// begin takes up a message. Why it can't be a client's, if so, is in the verdict.
func (s *Server) begin(m *dhcpv4.DHCPv4, ing Ingress) *exchange {
	r, reason := interpret(m, ing)
	x := &exchange{request: r, srv: s, msg: m, ing: ing, nets: s.Networks.Networks()}
	x.v = Verdict{Type: r.kind, State: r.state, Client: r.client, Reason: reason}
	return x
}

func (x *exchange) respond(ctx context.Context) (*dhcpv4.DHCPv4, Verdict) {
	r, reason := &x.request, x.v.Reason
	if reason == ReasonNone {
		reason = x.place()
	}
	if reason == ReasonNetwork && r.kind == dhcpv4.MessageTypeRelease {
		return x.release(ctx) // of an address whose network is no longer declared
	}
	if reason != ReasonNone {
		return x.silence(reason)
	}
	if why := x.choose(); why != ReasonNone {
		return x.silence(why)
	}
	if reason := x.rivalry(); reason != ReasonNone || x.v.Wait {
		return x.silence(reason)
	}
	switch r.kind {
	case dhcpv4.MessageTypeDiscover:
		return x.discover(ctx)
	case dhcpv4.MessageTypeRequest:
		return x.answerRequest(ctx)
	case dhcpv4.MessageTypeRelease:
		return x.release(ctx)
	case dhcpv4.MessageTypeDecline:
		return x.decline(ctx)
	default: // interpret lets INFORM through and no other
		return x.inform()
	}
}

// discover answers a DHCPDISCOVER (RFC 2131 §4.3.1). Nothing is written to disk.
func (x *exchange) discover(ctx context.Context) (*dhcpv4.DHCPv4, Verdict) {
	_, named := x.msg.Options[optServer]
	x.v.Violation = named || x.ciaddr.IsValid() // table 5: neither belongs here; both are ignored
	if reason := x.welcome(ctx); reason != ReasonNone {
		return x.silence(reason)
	}
	for range maxStrangers {
		l, err := x.offer(ctx)
		switch {
		case errors.Is(err, lease.ErrNone):
			return x.exhausted()
		case err != nil:
			x.v.Err = err
			return x.silence(ReasonStore)
		}
		x.v.Addr = l.Addr
		sighting := x.seen(l.Addr)
		if sighting == Occupied && !x.mayQuarantine(ctx, l.Addr) {
			sighting = Vacant // something answers for all addresses
		}
		switch sighting {
		case Vacant:
			return x.grant(dhcpv4.MessageTypeOffer, l.Addr, x.life())
		case Unasked:
			x.v.Probe = l.Addr
			return nil, x.v
		case Occupied:
			// As if the client had found out (RFC 2131 §4.4.1): the address goes into quarantine.
			err := x.srv.Table.Quarantine(ctx, x.scope(), l.Addr, 0)
			if err != nil && !errors.Is(err, lease.ErrTaken) { // taken: by another's quarantine
				x.v.Err = err
				return x.silence(ReasonStore)
			}
		}
	}
	return x.silence(ReasonConflict)
}

// offer finds an address for a newcomer, and the network of the link that it is of: that where the client was before,
// or that of the address that it asks for, else the first that has one left.
func (x *exchange) offer(ctx context.Context) (lease.Lease, error) {
	if x.shares() && x.first.Reservation == nil {
		for _, addr := range [...]netip.Addr{x.formerly(), x.want} {
			if !x.within(addr) || x.choice.Refuse != "" {
				continue
			}
			if l, err := x.offerHere(ctx); !errors.Is(err, lease.ErrNone) {
				return l, err
			}
		}
	}
	c, more := x.first, true
	for more {
		x.enter(c)
		l, err := x.offerHere(ctx)
		if !errors.Is(err, lease.ErrNone) {
			return l, err
		}
		c, more = c.After()
	}
	return lease.Lease{}, lease.ErrNone
}

func (x *exchange) offerHere(ctx context.Context) (lease.Lease, error) {
	want := x.want
	if !x.net.Prefix.Contains(want) {
		want = netip.Addr{}
	}
	return x.srv.Table.Offer(ctx, x.scope(), x.client, want)
}

// formerly returns the address that the client holds on its link, or else held there last.
func (x *exchange) formerly() (addr netip.Addr) {
	var ended time.Time
	for _, n := range x.nets.Link(x.net) {
		if l, ok := x.srv.Table.Held(n.ID, x.client.HW); ok && l.Expiry.After(ended) {
			addr, ended = l.Addr, l.Expiry
		}
	}
	return addr
}

// answerRequest answers a DHCPREQUEST by the client's state (RFC 2131 §4.3.2).
func (x *exchange) answerRequest(ctx context.Context) (*dhcpv4.DHCPv4, Verdict) {
	switch x.state {
	case Selecting:
		x.v.Violation = x.ciaddr.IsValid()
		x.v.Addr = x.want
		if !x.meant() {
			for _, n := range x.nets.Link(x.net) {
				x.srv.Table.Withdraw(n.ID, x.client.HW) // RFC 2131 §3.1 step 4
			}
			return x.silence(ReasonOtherServer)
		}
		// It chose us, so even where we are not authoritative it is ours to refuse, but for an address of a net not ours.
		if !x.within(x.want) {
			return x.refuse(x.authoritative(), ReasonWrongNetwork)
		}
		return x.bind(ctx, x.want)
	case InitReboot:
		return x.initReboot(ctx)
	case Renewing, Rebinding:
		return x.extend(ctx)
	case StateNone:
	}
	x.v.Violation = true
	return x.silence(ReasonIncomplete)
}

// initReboot answers a client that remembers an address. If we know nothing of it and are not authoritative, we MUST
// keep silent (RFC 2131 §4.3.2). If we are, the lease was ours and is forgotten, or never was any: an address that is
// free is leased anew, so that a lost lease store heals without anybody noticing; any other gets a NAK.
func (x *exchange) initReboot(ctx context.Context) (*dhcpv4.DHCPv4, Verdict) {
	x.v.Addr = x.want
	local := x.within(x.want)
	here, known := x.held(x.want)
	if !known && !x.authoritative() {
		return x.silence(ReasonUnknownClient)
	}
	if !local {
		return x.refuse(true, ReasonWrongNetwork) // it was moved to another link
	}
	if here.IsValid() && here != x.want {
		return x.refuse(true, ReasonOtherLease)
	}
	if l, taken := x.srv.Table.ByAddr(x.want); taken && l.Client.HW != x.client.HW {
		return x.refuse(true, ReasonTaken)
	}
	switch x.seen(x.want) {
	case Unasked:
		x.v.Probe = x.want
		return nil, x.v
	case Occupied:
		return x.refuse(true, ReasonTaken)
	case Vacant:
	}
	return x.bind(ctx, x.want)
}

// extend answers a client that uses its address and wants to keep it. A renewal was sent to us, so the client's lease
// is ours to extend or to refuse; a rebinding is sent to everybody, and a stranger's is another server's affair unless
// we are authoritative.
func (x *exchange) extend(ctx context.Context) (*dhcpv4.DHCPv4, Verdict) {
	x.v.Addr = x.ciaddr
	if !x.meant() {
		return x.silence(ReasonOtherServer)
	}
	local := x.within(x.ciaddr)
	here, known := x.held(x.ciaddr)
	if !local {
		return x.refuse(x.authoritative(), ReasonWrongNetwork)
	}
	if x.state == Rebinding && !known && !x.authoritative() {
		return x.silence(ReasonUnknownClient)
	}
	if here.IsValid() && here != x.ciaddr {
		return x.refuse(true, ReasonOtherLease)
	}
	return x.bind(ctx, x.ciaddr)
}

// held returns the address that the client holds on this link, and whether we know it as the holder of addr, or as one
// that belongs elsewhere: it holds an address here, or addr was the last that it held here, or addr is not of this
// network and it holds one in another of ours.
func (x *exchange) held(addr netip.Addr) (here netip.Addr, known bool) {
	leases := x.srv.Table.ByHW(x.client.HW)
	for _, l := range leases {
		if x.onLink(l.Network) && here != addr {
			here = l.Addr
		}
	}
	if here.IsValid() || !x.net.Prefix.Contains(addr) && len(leases) > 0 {
		return here, true
	}
	last, ok := x.srv.Table.Held(x.net.ID, x.client.HW)
	return here, ok && last.Addr == addr
}

// bind commits the lease and acknowledges it. When the table can't store it, the client hears nothing and retries: an
// ACK is a promise.
func (x *exchange) bind(ctx context.Context, addr netip.Addr) (*dhcpv4.DHCPv4, Verdict) {
	if x.choice.Refuse != "" {
		return x.refuse(true, ReasonNotTheirs) // a network of the link that is for others
	}
	scope := x.scope()
	if reason := x.welcome(ctx); reason != ReasonNone {
		return x.silence(reason)
	}
	l, err := x.srv.Table.Bind(ctx, scope, x.client, addr)
	switch {
	case err == nil:
		x.vacate(ctx, l)
		x.watchMoves(ctx, l)
		return x.grant(dhcpv4.MessageTypeAck, l.Addr, scope.Lifetime)
	case errors.Is(err, lease.ErrDegraded):
		return x.confirm(l, err)
	case errors.Is(err, lease.ErrTaken):
		return x.refuse(true, ReasonTaken)
	case errors.Is(err, lease.ErrWrongNet), errors.Is(err, lease.ErrNone):
		return x.refuse(true, ReasonNotTheirs)
	}
	x.v.Err = err
	return x.silence(ReasonStore)
}

// confirm tells the client what is left of its lease, which can't be extended: that much was promised before.
func (x *exchange) confirm(l lease.Lease, why error) (*dhcpv4.DHCPv4, Verdict) {
	x.v.Err = why
	left := l.Expiry.Sub(x.srv.Table.Now())
	if left < time.Second {
		return x.silence(ReasonStore)
	}
	return x.grant(dhcpv4.MessageTypeAck, l.Addr, left.Truncate(time.Second))
}

// vacate ends what else the client holds on the link: it has one address there, whichever of the link's networks it is
// of. If the store fails, the other lease runs out by itself.
func (x *exchange) vacate(ctx context.Context, now lease.Lease) {
	if !x.shares() {
		return
	}
	for _, l := range x.srv.Table.ByHW(x.client.HW) {
		if l.Addr != now.Addr && x.onLink(l.Network) {
			if err := x.srv.Table.Release(ctx, lease.Scope{}, x.client, l.Addr); err != nil && !errors.Is(err, lease.ErrNone) {
				x.v.Err = err
			}
		}
	}
}

// release ends a lease. It is heeded only from the address that is given back: RELEASE is not acknowledged, so whoever
// could forge one would free another's address unnoticed.
func (x *exchange) release(ctx context.Context) (*dhcpv4.DHCPv4, Verdict) {
	x.v.Addr = x.ciaddr
	switch {
	case !x.ciaddr.IsValid():
		return x.silence(ReasonIncomplete)
	case x.server.IsValid() && !x.ours(x.server):
		return x.silence(ReasonOtherServer)
	case !x.giaddr.IsValid() && (x.ing.Broadcast || x.ing.Src.Addr() != x.ciaddr):
		return x.silence(ReasonSpoofed)
	case !x.mayLeave(ctx):
		return x.silence(ReasonReleases)
	case x.net != nil:
		x.within(x.ciaddr)
	}
	return x.give(x.srv.Table.Release(ctx, x.scope(), x.client, x.ciaddr))
}

// decline takes note that the client found its address in use.
func (x *exchange) decline(ctx context.Context) (*dhcpv4.DHCPv4, Verdict) {
	x.v.Addr = x.want
	switch {
	case !x.want.IsValid():
		return x.silence(ReasonIncomplete)
	case x.server.IsValid() && !x.ours(x.server):
		return x.silence(ReasonOtherServer)
	}
	x.within(x.want)
	switch heed, quarantine := x.declined(ctx, x.want); {
	case !heed:
		return x.silence(ReasonDeclines)
	case !quarantine:
		return x.give(x.srv.Table.Release(ctx, x.scope(), x.client, x.want))
	}
	return x.give(x.srv.Table.Decline(ctx, x.scope(), x.client, x.want, 0))
}

// give ends an exchange that has no reply.
func (x *exchange) give(err error) (*dhcpv4.DHCPv4, Verdict) {
	switch {
	case err == nil:
		return nil, x.v
	case errors.Is(err, lease.ErrNone), errors.Is(err, lease.ErrTaken), errors.Is(err, lease.ErrWrongNet):
		return x.silence(ReasonNotTheirs)
	}
	x.v.Err = err
	return x.silence(ReasonStore)
}

// inform answers a client that has an address from elsewhere and wants the rest (RFC 2131 §4.3.5). The reply goes to
// the address that it writes from; to any other we would be a reflector.
func (x *exchange) inform() (*dhcpv4.DHCPv4, Verdict) {
	x.v.Addr = x.ciaddr
	if !x.giaddr.IsValid() {
		src := x.ing.Src.Addr()
		switch {
		case !x.ciaddr.IsValid() && (!src.IsValid() || src.IsUnspecified()):
			return x.silence(ReasonIncomplete)
		case x.ciaddr.IsValid() && x.ciaddr != src:
			return x.silence(ReasonSpoofed)
		case !x.within(src):
			return x.silence(ReasonWrongNetwork)
		}
		x.v.Addr = src
	} else if x.ciaddr.IsValid() && !x.within(x.ciaddr) {
		return x.silence(ReasonWrongNetwork)
	}
	reply := x.reply(dhcpv4.MessageTypeAck)
	reply.ClientIPAddr = toIP(x.ciaddr)
	if x.giaddr.IsValid() && !x.ciaddr.IsValid() {
		reply.SetBroadcast() // the relay agent has no other way to reach it
	}
	if x.choice.Refuse != "" {
		return x.silence(ReasonClass)
	}
	x.options(reply, x.v.Addr, 0)
	return reply, x.v
}

// grant makes an OFFER or an ACK. ciaddr is echoed only where it is the leased address: the reply is sent there.
func (x *exchange) grant(kind dhcpv4.MessageType, addr netip.Addr, life time.Duration) (*dhcpv4.DHCPv4, Verdict) {
	x.v.Addr, x.v.Life = addr, life
	reply := x.reply(kind)
	reply.YourIPAddr = toIP(addr)
	if x.choice.Broadcast {
		reply.SetBroadcast()
	}
	if kind == dhcpv4.MessageTypeAck && x.ciaddr == addr {
		reply.ClientIPAddr = reply.YourIPAddr
	}
	x.options(reply, addr, life)
	x.srv.aliases.tell(x.id, life)
	return reply, x.v
}

// refuse sends a NAK if we may speak, with nothing in it but what RFC 2131 table 3 and RFC 6842 ask for.
func (x *exchange) refuse(speak bool, why Reason) (*dhcpv4.DHCPv4, Verdict) {
	if !speak {
		return x.silence(why)
	}
	x.v.Reason = why
	reply := x.reply(dhcpv4.MessageTypeNak)
	reply.Options[optMessage] = []byte(why.String())
	if x.giaddr.IsValid() {
		reply.SetBroadcast() // RFC 2131 §4.3.2: the client's address may be wrong, so the relay agent must not use it
	}
	return reply, x.v
}

func (x *exchange) silence(why Reason) (*dhcpv4.DHCPv4, Verdict) {
	x.v.Reason = why
	return nil, x.v
}

// reply makes what all replies have in common.
func (x *exchange) reply(kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	x.v.Reply = kind
	zero := net.IP{0, 0, 0, 0}
	m := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        iana.HWTypeEthernet,
		TransactionID: x.msg.TransactionID,
		Flags:         x.msg.Flags & flagBroadcast, // the other bits MUST be zero (RFC 2131 §2)
		ClientIPAddr:  zero,
		YourIPAddr:    zero,
		ServerIPAddr:  zero,
		GatewayIPAddr: toIP(x.giaddr),
		ClientHWAddr:  net.HardwareAddr(x.client.HW[:]),
		Options:       make(dhcpv4.Options, 16),
	}
	m.Options[optType] = []byte{byte(kind)}
	m.Options[optServer] = x.id.AsSlice()
	if x.client.ID != "" {
		m.Options[optClientID] = []byte(x.client.ID) // RFC 6842
	}
	if agent, ok := x.msg.Options[optAgent]; ok && x.giaddr.IsValid() {
		m.Options[optAgent] = slices.Clone(agent) // RFC 3046 §2.2: as it came, even if we can't read it
	}
	return m
}

// toIP enters the library's address type: 0.0.0.0 for none.
func toIP(a netip.Addr) net.IP {
	if !a.Is4() {
		return net.IP{0, 0, 0, 0}
	}
	return net.IP(a.AsSlice())
}
