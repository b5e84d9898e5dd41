package dhcp

import (
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Ingress is how a message reached us.
type Ingress struct {
	Iface string       // the interface that it came in on; empty on a listener that serves relay agents only
	Addrs []netip.Addr // our addresses on that interface
	Ours  []netip.Addr // our addresses on all listeners
	Local netip.Addr   // the address that it was sent to, if that is ours and not broadcast
	Src   netip.AddrPort
	MTU   int // of the interface; zero if unknown
	// Broadcast says that it was sent to everybody.
	Broadcast bool
	// Seen says what the wire answered lately when it was asked who has an address; an answer of the client itself, of
	// which hw is the address, is none. It is nil where the wire can't be asked.
	Seen func(addr netip.Addr, hw hwaddr.Addr) Sighting
	// SeenFar is Seen for clients of relay agents, whose links are out of ARP's reach.
	SeenFar func(addr netip.Addr, hw hwaddr.Addr) Sighting
	// Standing is what is known of other servers on the link.
	Standing Standing
	link     *link // that it is known of; nil if it isn't watched
}

// Sighting is what is known of an address from the wire.
type Sighting uint8

// The sightings.
const (
	Unasked  Sighting = iota // the wire was not asked lately
	Vacant                   // nobody answered
	Occupied                 // a stranger answered
)

// place finds the client's network and our address in it.
func (x *exchange) place() Reason {
	if x.msg.HopCount > maxHops {
		return ReasonHops
	}
	if x.giaddr.IsValid() {
		switch x.net = x.nets.OnRelay(x.giaddr); {
		case slices.Contains(x.ing.Ours, x.giaddr):
			return ReasonLoop
		case x.net == nil:
			// Only a listed relay agent may draw on a network: giaddr is easily forged (RFC 3046 §5).
			return ReasonRelay
		case x.agent.link.IsValid():
			x.net = x.nets.Containing(x.agent.link) // RFC 3527
		}
	} else {
		x.net = x.nets.Containing(x.routed())
		if x.net == nil {
			x.net = x.nets.OnLink(x.ing.Iface, x.ing.Addrs)
		}
	}
	if x.net == nil {
		return ReasonNetwork
	}
	if x.name(); !x.id.IsValid() {
		return ReasonNoServerID
	}
	return ReasonNone
}

// name finds our address in the client's network, and what we call ourselves there.
func (x *exchange) name() {
	x.base = x.ownAddr()
	x.id = x.base
	if x.agent.server.IsValid() {
		x.id = x.agent.server // RFC 5107
	}
}

// routed returns the address of a client that has one and writes to us with it: to renew, to release, or to be informed.
// Such a client may be behind a router, so its network is that of its address and not the one that the message came in
// on.
func (x *exchange) routed() netip.Addr {
	src := x.ing.Src.Addr()
	switch {
	case x.ing.Broadcast:
	case x.ciaddr.IsValid() && x.ciaddr == src && x.kind != dhcpv4.MessageTypeDiscover:
		return src
	case !x.ciaddr.IsValid() && x.kind == dhcpv4.MessageTypeInform:
		return src
	}
	return netip.Addr{}
}

// ownAddr returns our address as the network's clients reach it.
func (x *exchange) ownAddr() netip.Addr {
	if x.net.Server.IsValid() {
		return x.net.Server
	}
	for _, a := range x.ing.Addrs {
		if x.net.Prefix.Contains(a) {
			return a
		}
	}
	if x.ing.Local.IsValid() || len(x.ing.Addrs) == 0 {
		return x.ing.Local
	}
	return x.ing.Addrs[0]
}

// scope is where the client may get an address. It is empty if there is no network.
func (x *exchange) scope() lease.Scope {
	if x.net == nil {
		return lease.Scope{}
	}
	return lease.Scope{
		Network: x.net, Networks: x.nets, Reservation: x.choice.Reservation, Pools: x.pools(), Lifetime: x.life(),
		Boot: x.state == Selecting || x.state == InitReboot,
	}
}

// pools returns the pools that are for the client without our own addresses, wherever an administrator has laid them
// over these.
func (x *exchange) pools() []network.Pool {
	pools := x.choice.Pools
	for _, own := range x.ing.Addrs {
		for i, p := range pools {
			if !p.Contains(own) {
				continue
			}
			pools = slices.Clone(pools)
			pools[i].Exclude = append(slices.Clip(p.Exclude), own)
		}
	}
	return pools
}
