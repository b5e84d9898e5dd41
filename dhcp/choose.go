package dhcp

import (
	"cmp"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Directory knows of clients what they don't say themselves. It is a look-up in memory and safe for concurrent use.
type Directory interface {
	// Known reports whether a device of that address is one of the site's.
	Known(hw hwaddr.Addr) bool
	// Vendor returns the vendor by the plugin that recognises a client of that kind; empty if none does.
	Vendor(c lease.Client) string
}

// choose decides what the client may get on its link, by all that is known of it.
func (x *exchange) choose() Reason {
	x.facts = x.collect()
	x.first = x.nets.Choose(x.net, x.facts)
	x.enter(x.first)
	if x.first.Refuse == "" {
		return ReasonNone
	}
	if x.kind == dhcpv4.MessageTypeRelease || x.kind == dhcpv4.MessageTypeDecline {
		return ReasonNone // what it held it may give back
	}
	x.v.Why = x.first.Refuse
	return ReasonClass
}

// collect brings together what classes and reservations go by.
func (x *exchange) collect() network.Facts {
	c := &x.client
	x.recall()
	f := network.Facts{
		HW: c.HW, ClientID: c.ID, VendorClass: c.VendorClass, UserClass: c.UserClass, Hostname: c.Hostname,
		Circuit: c.Circuit, Remote: c.Remote, Relay: c.Relay, Params: c.Params, Options: x.msg.Options,
	}
	switch {
	case f.Relay.IsValid():
	case x.straight() && len(x.net.Relays) == 1 && x.nets.OnLink(x.ing.Iface, x.ing.Addrs) != x.net:
		f.Relay = x.net.Relays[0] // we know of no lease, but of no other way to that network
	default:
		// What is routed to us may come in by another interface than that of the client's link.
		f.Interface = cmp.Or(x.net.Interface, x.ing.Iface)
	}
	if d := x.srv.Directory; d != nil {
		f.Known, f.Vendor = d.Known(c.HW), d.Vendor(*c)
	}
	return f
}

// recall gives a client that writes straight to us the place on its link that we know it by. Such a message, a renewal
// above all, goes past the relay agent (RFC 2131 §4.3.2), says nothing of where the client is, and must not for that be
// taken for another client's, nor change what is kept with the lease.
func (x *exchange) recall() {
	if !x.straight() {
		return
	}
	c := &x.client
	if l, ok := x.srv.Table.ByAddr(x.ciaddr); ok && l.Client.HW == c.HW {
		c.Circuit, c.Remote, c.Relay = l.Client.Circuit, l.Client.Remote, l.Client.Relay
	}
}

// straight reports whether the client uses an address and wrote to ours.
func (x *exchange) straight() bool {
	return !x.giaddr.IsValid() && !x.ing.Broadcast && x.ciaddr.IsValid()
}

// enter goes on in the network of a choice.
func (x *exchange) enter(c network.Choice) {
	x.choice, x.v.Network = c, c.Network.ID
	if x.net != c.Network {
		x.net = c.Network
		x.name()
	}
}

// within goes on in the network of the link that the address is of, and reports whether there is one.
func (x *exchange) within(addr netip.Addr) bool {
	if x.net.Prefix.Contains(addr) {
		return true
	}
	c, ok := x.first.In(addr)
	if ok {
		x.enter(c)
	}
	return ok
}

// shares reports whether the link has more than one network.
func (x *exchange) shares() bool { return x.net.Shared != "" }

// onLink reports whether a network is on the client's link.
func (x *exchange) onLink(id network.ID) bool {
	if id == x.net.ID {
		return true
	}
	n := x.nets.Get(id)
	return x.shares() && n != nil && n.Shared == x.net.Shared
}
