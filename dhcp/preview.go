package dhcp

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Query is a client about which somebody asks what a DISCOVER of it would get.
type Query struct {
	// Client is what it would say of itself. With a Relay it comes by that agent.
	Client lease.Client
	// Network is where it is, unless Client.Relay says so: on the network's link if we are on it, else behind the network's
	// first relay agent.
	Network network.ID
	// Want is an address that it asks for, if any.
	Want netip.Addr
	// Supposed are networks to answer by in the place of those in force. Then [Limits], which are about this very minute,
	// are left out. Nil: those in force.
	Supposed *network.Set
}

// Hold says how the address of a [Preview] is to be had.
type Hold string

// The holds.
const (
	HoldReserved Hold = "reserved"
	HoldLeased   Hold = "leased"  // the client holds it
	HoldOffered  Hold = "offered" // it was offered a moment ago
	HoldFormer   Hold = "former"  // the client held it last, and nobody has got it since
	HoldFree     Hold = "free"    // it is the next free one for the client
)

// Told is a value of a reply. Origin says where it comes from: as [network.Choice.Origin] does for what is declared,
// "plugin" for what the [BootSource] has for the client's vendor, "declared" for a field that an administrator set
// somewhere, "derived" for what follows from other facts, "protocol" for what DHCP itself needs.
type Told struct {
	Code   uint8 // zero: a field of the header
	Name   string
	Value  string // as [network.FormatOption] writes it
	Origin string
}

// Preview is what a DISCOVER would get.
type Preview struct {
	// Verdict says whether it would be answered, by which network and with which address and lease time, or why not. With
	// Wait the answer depends on whether another server is on the link, which isn't known yet.
	Verdict Verdict
	Classes []network.ClassID
	Hold    Hold // how the address is to be had; empty: there is none
	// Fields are siaddr, sname and file where they are set, and Options the rest, by code.
	Fields, Options []Told
	// LeftOut are options for which a reply that the client takes has no room.
	LeftOut []uint8
}

// Preview tells what a DISCOVER of a client would get, by the code that answers one. It changes nothing: no address is
// kept, nothing is counted, logged or sent. The wire isn't asked either, so an address that a stranger uses counts as free
// until a real client asks for it.
func (s *Server) Preview(ctx context.Context, q Query) Preview {
	understudy := s.understudy(q.Supposed)
	m, ing := s.imagine(q, understudy.Networks.Networks())
	x := understudy.begin(m, ing)
	reply, v := x.respond(ctx)
	p := Preview{Verdict: v, Classes: slices.Clone(x.choice.Classes)}
	if reply == nil {
		return p
	}
	if v.Reply == dhcpv4.MessageTypeOffer && v.Reason == ReasonNone {
		p.Hold = x.hold()
	}
	boot := x.boot()
	p.Fields = x.fields(reply, boot)
	for _, code := range slices.Sorted(maps.Keys(reply.Options)) {
		p.Options = append(p.Options, x.told(code, reply.Options[code], boot))
	}
	_, p.LeftOut = Encode(reply, Limit(m, ing.MTU))
	return p
}

// understudy returns a server that answers as this one does now, but has no sockets, counters and log of its own, and a
// table that keeps nothing.
func (s *Server) understudy(supposed *network.Set) *Server {
	u := &Server{
		Table: onlooker{s.Table}, Networks: s.Networks, Boot: s.Boot, Directory: s.Directory, Doubt: s.Doubt,
		Log: slog.New(slog.DiscardHandler),
	}
	s.limiter.declines.copyTo(&u.limiter.declines)
	s.census.copyTo(&u.census)
	if supposed != nil {
		u.Networks = settled{supposed}
		return u
	}
	u.Limits = s.Limits
	s.limiter.welcomed.copyTo(&u.limiter.welcomed)
	s.limiter.arrivals.copyTo(&u.limiter.arrivals)
	return u
}

// onlooker is a table that is only looked at. Of what a DISCOVER makes a server do to it, an offer is all: the rest follows
// from what the wire says, and that isn't asked.
type onlooker struct{ Table }

// Offer implements [Table].
func (o onlooker) Offer(ctx context.Context, s lease.Scope, c lease.Client, want netip.Addr) (lease.Lease, error) {
	return o.Peek(ctx, s, c, want)
}

// Quarantine implements [Table].
func (o onlooker) Quarantine(context.Context, lease.Scope, netip.Addr, time.Duration) error {
	return nil
}

// settled is networks that stay.
type settled struct{ set *network.Set }

// Networks implements [network.Source].
func (n settled) Networks() *network.Set { return n.set }

// imagine makes the message, and how it would reach us.
func (s *Server) imagine(q Query, nets *network.Set) (*dhcpv4.DHCPv4, Ingress) {
	c := &q.Client
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, ClientHWAddr: net.HardwareAddr(c.HW[:]),
		Options: dhcpv4.Options{optType: {byte(dhcpv4.MessageTypeDiscover)}},
	}
	set := func(code uint8, value string) {
		if value != "" {
			m.Options[code] = []byte(value)
		}
	}
	set(optClientID, c.ID)
	set(optVendorClass, c.VendorClass)
	set(optUserClass, c.UserClass)
	set(optHostname, c.Hostname)
	set(optParams, string(c.Params))
	if q.Want.IsValid() {
		m.Options[optRequested] = q.Want.AsSlice()
	}
	relay := c.Relay
	ing, direct := s.entrance(nets, nets.Get(q.Network))
	if n := nets.Get(q.Network); !relay.IsValid() && !direct && n != nil && len(n.Relays) > 0 {
		relay = n.Relays[0]
	}
	if relay.IsValid() {
		m.GatewayIPAddr, m.HopCount = toIP(relay), 1
		ing.Broadcast, ing.Src = false, netip.AddrPortFrom(relay, 67)
		if agent := sub(agentCircuit, c.Circuit) + sub(agentRemote, c.Remote); agent != "" {
			m.Options[optAgent] = []byte(agent)
		}
	}
	return m, ing
}

// sub is a sub-option of option 82. What is longer than one can be has come from none.
func sub(code uint8, value string) string {
	if value == "" || len(value) > 253 {
		return ""
	}
	return string([]byte{code, uint8(len(value))}) + value //nolint:gosec // it is short enough
}

// entrance is how a broadcast on a network's link reaches us, and whether one can: without a listener there, what is said
// of us is of the listeners that there are.
func (s *Server) entrance(nets *network.Set, n *network.Network) (ing Ingress, direct bool) {
	if ours := s.ours.Load(); ours != nil {
		ing.Ours = *ours
	}
	ing.Broadcast, ing.Src = true, netip.AddrPortFrom(netip.IPv4Unspecified(), 68)
	for _, p := range s.ports() {
		switch {
		case p == nil:
		case p.spec.Interface == "":
			ing.Local = p.local.Addr()
		case n != nil:
			here := nets.OnLink(p.spec.Interface, p.ours())
			if here == nil || here.ID != n.ID && (n.Shared == "" || here.Shared != n.Shared) {
				continue
			}
			ing.Iface, ing.Addrs, ing.MTU, ing.Local = p.spec.Interface, p.ours(), p.now.Load().mtu, netip.Addr{}
			ing.Standing = s.watch.standing(p.spec.Interface)
			return ing, true
		}
	}
	if n != nil && n.Interface != "" {
		ing.Iface = n.Interface // not served, or not yet
		return ing, true
	}
	return ing, false
}

// standing returns what is known of other servers on a link, which need not be watched.
func (w *watch) standing(iface string) Standing {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links[iface].standing()
}

// hold tells how the address of the verdict is to be had.
func (x *exchange) hold() Hold {
	addr := x.v.Addr
	if r := x.choice.Reservation; r != nil && r.Addr == addr {
		return HoldReserved
	}
	l, ok := x.srv.Table.Held(x.net.ID, x.client.HW)
	switch {
	case !ok || l.Addr != addr:
	case l.Active(x.srv.Table.Now()):
		return HoldLeased
	default:
		return HoldFormer
	}
	if l, ok := x.srv.Table.At(addr); ok && l.State == lease.Offered && l.Client.HW == x.client.HW {
		return HoldOffered
	}
	return HoldFree
}

// fields returns what the header tells a phone to provision from.
func (x *exchange) fields(m *dhcpv4.DHCPv4, boot network.Boot) (list []Told) {
	add := func(name, value string, declared bool) {
		if value == "" {
			return
		}
		origin := "plugin"
		if declared {
			origin = "declared"
		}
		list = append(list, Told{Name: name, Value: value, Origin: origin})
	}
	if boot.Next.IsValid() {
		add("siaddr", boot.Next.String(), x.choice.Next.IsValid())
	}
	add("sname", printable(m.ServerHostName), x.choice.Sname != "")
	add("file", printable(m.BootFileName), x.choice.File != "")
	return list
}

// told describes an option of a reply.
func (x *exchange) told(code uint8, data []byte, boot network.Boot) Told {
	t := Told{Code: code, Origin: "derived"}
	t.Name, t.Value = Describe(code, data)
	switch level := x.choice.Origin(code, x.v.Addr); {
	case serverSets(code):
		t.Origin = "protocol"
	case level != "":
		t.Origin = level
	case slices.ContainsFunc(boot.Options, func(o network.Option) bool { return o.Code == code }):
		t.Origin = "plugin"
	}
	return t
}

// Describe names an option and spells its value: as [network.FormatOption] does, and those that DHCP itself needs, which
// nobody can declare.
func Describe(code uint8, data []byte) (name, value string) {
	name, value = network.FormatOption(network.Option{Code: code, Data: data})
	names := map[uint8]string{
		optLifetime: "lease-time", optT1: "renewal-time", optT2: "rebinding-time", optType: "message-type", optServer: "server-identifier",
		optClientID: "client-identifier", optAgent: "relay-agent-information", optMessage: "message",
	}
	if own, ok := names[code]; ok {
		name = own
	}
	switch {
	case code == optType && len(data) == 1:
		value = dhcpv4.MessageType(data[0]).String()
	case code == optServer && len(data) == net.IPv4len:
		value = fromIP(data).String()
	case len(data) == 4 && (code == optLifetime || code == optT1 || code == optT2):
		value = (time.Duration(binary.BigEndian.Uint32(data)) * time.Second).String()
	}
	return name, value
}

// copyTo makes other meters stand as these do now.
func (m *meters) copyTo(to *meters) {
	m.mu.Lock()
	defer m.mu.Unlock()
	to.seed, to.start, to.slots = m.seed, m.start, slices.Clone(m.slots)
}

// copyTo makes another census know what this one knows now.
func (c *census) copyTo(to *census) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to.last, to.since = maps.Clone(c.last), maps.Clone(c.since)
}
