package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// State is what a DHCPREQUEST says about its client (RFC 2131 §4.3.2). It follows from which of server identifier,
// requested address and ciaddr are set, and from how the message came.
type State uint8

// The states. StateNone is that of other messages and of a REQUEST that is none of these.
const (
	StateNone State = iota
	Selecting
	InitReboot
	Renewing
	Rebinding
)

// String returns RFC 2131's name of the state.
func (s State) String() string {
	return [...]string{"", "SELECTING", "INIT-REBOOT", "RENEWING", "REBINDING"}[s]
}

// request is a client's message, understood. Addresses that are absent, zero or malformed are the zero [netip.Addr].
type request struct {
	kind   dhcpv4.MessageType
	state  State
	client lease.Client
	ciaddr netip.Addr
	giaddr netip.Addr
	want   netip.Addr // option 50
	server netip.Addr // option 54
	asked  uint32     // option 51
	lived  bool       // option 51 is there
	agent  agentInfo
}

// agentInfo is what a relay agent added (option 82). It is believed only from a relay agent: giaddr is set.
type agentInfo struct {
	circuit, remote string
	link            netip.Addr // RFC 3527: where the client is, if not at giaddr
	server          netip.Addr // RFC 5107: whom the client shall take for the server
	relayPort       bool       // RFC 8357: answer to the port that the relay sent from
}

// interpret reads what the server needs from a message, and says why if the message can't be a client's.
func interpret(m *dhcpv4.DHCPv4, ing Ingress) (request, Reason) {
	var r request
	hw, ok := hwaddr.FromBytes(m.ClientHWAddr)
	switch {
	case m.OpCode != dhcpv4.OpcodeBootRequest:
		return r, ReasonReply
	case len(m.ClientHWAddr) != len(hw):
		return r, ReasonNoIdentity
	case !ok || hw.IsGroup():
		// A reply to such a client would go to everybody or to nobody.
		return r, ReasonBadAddress
	}
	r.client.HW = hw
	kind, ok := m.Options[optType]
	switch {
	case !ok:
		return r, ReasonBOOTP
	case len(kind) != 1:
		return r, ReasonUnknownType
	}
	r.kind = dhcpv4.MessageType(kind[0])
	switch r.kind {
	case dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeDecline,
		dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeInform:
	default: // a server's, or none that we know
		return r, ReasonUnknownType
	}
	r.ciaddr, r.giaddr = fromIP(m.ClientIPAddr), fromIP(m.GatewayIPAddr)
	r.want, r.server = addrOption(m, optRequested), addrOption(m, optServer)
	if v := m.Options[optLifetime]; len(v) == 4 {
		r.asked, r.lived = binary.BigEndian.Uint32(v), true
	}
	if r.giaddr.IsValid() {
		r.agent = readAgent(m.Options[optAgent])
	}
	r.describe(m)
	if r.kind == dhcpv4.MessageTypeRequest {
		r.state = r.stand(ing)
	}
	return r, ReasonNone
}

// stand finds the client's state by RFC 2131 §4.3.2 table 4. Some clients renew with options 50 and 54, which belong to
// SELECTING; they are taken at their word if everything that they say agrees.
func (r *request) stand(ing Ingress) State {
	switch {
	case r.server.IsValid() && r.want.IsValid():
		if r.ciaddr.IsValid() && r.ciaddr != r.want {
			return StateNone
		}
		return Selecting
	case r.want.IsValid():
		if r.ciaddr.IsValid() {
			return StateNone // INIT-REBOOT MUST have ciaddr 0, RENEWING MUST NOT have option 50
		}
		return InitReboot
	case !r.ciaddr.IsValid():
		return StateNone
	case ing.Broadcast || r.giaddr.IsValid():
		return Rebinding // a renewal is unicast to the server, which no relay sees
	default:
		return Renewing
	}
}

// describe fills in what the client says of itself.
func (r *request) describe(m *dhcpv4.DHCPv4) {
	c := &r.client
	// RFC 2132 §9.14: two bytes at least; a shorter one is none.
	if id := m.Options[optClientID]; len(id) >= 2 {
		c.ID = string(id)
	}
	c.VendorClass = string(m.Options[optVendorClass])
	c.UserClass = userClass(m.Options[optUserClass])
	c.Hostname = string(m.Options[optHostname])
	c.Circuit, c.Remote, c.Relay = r.agent.circuit, r.agent.remote, r.giaddr
	if list := m.Options[optParams]; len(list) > 0 {
		var seen [256]bool
		seen[optPad], seen[optEnd] = true, true
		c.Params = make([]uint8, 0, len(list))
		for _, code := range list {
			if !seen[code] {
				seen[code] = true
				c.Params = append(c.Params, code)
			}
		}
	}
}

// userClass reads option 77. RFC 3004 puts a length before each class; many clients send the bare text. Several classes
// are joined with commas.
func userClass(b []byte) string {
	var classes []string
	for rest := b; len(rest) > 0; {
		n := int(rest[0])
		if n == 0 || n > len(rest)-1 {
			return string(b)
		}
		classes = append(classes, string(rest[1:1+n]))
		rest = rest[1+n:]
	}
	return strings.Join(classes, ",")
}

// readAgent reads the sub-options of option 82; of one whose lengths lie it believes nothing.
func readAgent(b []byte) agentInfo {
	var a agentInfo
	for len(b) > 0 {
		if len(b) < 2 || int(b[1]) > len(b)-2 {
			return agentInfo{}
		}
		code, value := b[0], b[2:2+b[1]]
		b = b[2+int(b[1]):]
		switch code {
		case agentCircuit:
			a.circuit = string(value)
		case agentRemote:
			a.remote = string(value)
		case agentLink:
			a.link = fromIP(value)
		case agentServerID:
			a.server = fromIP(value)
		case agentRelayPort:
			a.relayPort = true
		}
	}
	return a
}

// addrOption returns an option's address, or none unless it is four bytes long and not zero.
func addrOption(m *dhcpv4.DHCPv4, code uint8) netip.Addr {
	v := m.Options[code]
	if len(v) != net.IPv4len {
		return netip.Addr{}
	}
	return fromIP(v)
}

// fromIP leaves the library's address type: none for 0.0.0.0 and for what is no IPv4 address.
func fromIP(ip net.IP) netip.Addr {
	v4 := ip.To4()
	if v4 == nil {
		return netip.Addr{}
	}
	if a := netip.AddrFrom4([4]byte(v4)); !a.IsUnspecified() {
		return a
	}
	return netip.Addr{}
}

// lifetime is how long to lease: what the client asks for within bounds, else the default.
func (r *request) lifetime(l network.Lifetime) time.Duration {
	if !r.lived {
		return l.Default
	}
	// 0xffffffff means for ever (RFC 2131 §3.3), which the bound makes the longest time there is.
	return min(max(time.Duration(r.asked)*time.Second, l.Min), l.Max)
}
