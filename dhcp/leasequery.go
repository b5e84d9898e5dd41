package dhcp

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// The messages and options of RFC 4388 §6.1.
const (
	typeQuery      = 10
	typeUnassigned = 11
	typeUnknown    = 12
	typeActive     = 13

	optLastSeen   = 91
	optAssociated = 92
)

const (
	// perAsker is what one host may ask: some questions at once, then one each interval. That by client identifier goes
	// through all leases.
	perAskerBurst = 100
	perAskerEvery = 50 * time.Millisecond
)

// isQuery reports whether a datagram is a DHCPLEASEQUERY. It may have no hardware address, and so be no message that
// decode takes.
func isQuery(b []byte) bool {
	if len(b) < optionsAt || b[0] != byte(dhcpv4.OpcodeBootRequest) || string(b[cookieAt:optionsAt]) != magic {
		return false
	}
	for b = b[optionsAt:]; len(b) > 2 && b[0] != optEnd; {
		switch {
		case b[0] == optPad:
			b = b[1:]
		case b[0] == optType:
			return b[1] == 1 && b[2] == typeQuery
		case int(b[1])+2 > len(b):
			return false
		default:
			b = b[2+int(b[1]):]
		}
	}
	return false
}

// query answers a DHCPLEASEQUERY, and reports whether the datagram is one. Only those who are listed get an answer, and
// only at an address that is listed, too; all others learn nothing.
func (s *Server) query(ctx context.Context, p *port, b []byte, ing Ingress, workers *sync.WaitGroup) bool {
	if !isQuery(b) {
		return false
	}
	s.heard(p, dhcpv4.MessageTypeNone)
	src, giaddr := ing.Src.Addr(), fromIP(b[24:28])
	switch {
	case !slices.Contains(s.Askers, src), !slices.Contains(s.Askers, giaddr):
		s.count.dropped[ReasonQuery].Add(1)
		return true
	case !s.limiter.queries.take(src.String(), perAskerBurst, perAskerEvery):
		s.count.dropped[ReasonRate].Add(1)
		return true
	}
	b = bytes.Clone(b)
	workers.Go(func() {
		defer s.rescue(ctx)
		reply, reason := s.inquire(b, ing)
		if reason != ReasonNone {
			s.count.dropped[reason].Add(1)
			return
		}
		to := target{To: netip.AddrPortFrom(giaddr, serverPort), From: source(reply, ing)}
		out, _ := Encode(reply, maxReply)
		if _, err := p.send(to, out); err != nil {
			s.count.sendErrors.Add(1)
			return
		}
		s.count.queries.Add(1)
	})
	return true
}

// inquire finds what was asked for (RFC 4388 §6.4): by address, by client identifier or by hardware address.
func (s *Server) inquire(b []byte, ing Ingress) (*dhcpv4.DHCPv4, Reason) {
	asked := make(dhcpv4.Options, 8)
	readOptions(asked, b[optionsAt:])
	nets := s.Networks.Networks()
	reply := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: iana.HWTypeEthernet, HopCount: b[3], TransactionID: dhcpv4.TransactionID(b[4:8]),
		ClientIPAddr: net.IP(bytes.Clone(b[12:16])), GatewayIPAddr: net.IP(bytes.Clone(b[24:28])), Options: make(dhcpv4.Options, 8),
	}
	x := exchange{srv: s, ing: ing, nets: nets, net: nets.Containing(fromIP(b[24:28]))}
	if x.net == nil {
		x.net = &network.Network{}
	}
	if id := x.ownAddr(); id.IsValid() {
		reply.Options[optServer] = id.AsSlice()
	} else {
		return nil, ReasonNoServerID
	}
	if id := asked[optClientID]; id != nil {
		reply.Options[optClientID] = bytes.Clone(id)
	}
	found, kind, reason := s.find(b, asked[optClientID], nets)
	reply.Options[optType] = []byte{kind}
	if kind == typeActive {
		describe(reply, found)
		if ago, ok := lastSeen(nets, found[0]); ok {
			reply.Options[optLastSeen] = binary.BigEndian.AppendUint32(nil, ago)
		}
	}
	return reply, reason
}

// find returns the leases that a query asks for, the newest first, and the type of the answer.
func (s *Server) find(b, id []byte, nets *network.Set) ([]lease.Lease, byte, Reason) {
	var found []lease.Lease
	hw, isHW := hwaddr.FromBytes(b[28 : 28+etherLen])
	isHW = isHW && b[1] == byte(iana.HWTypeEthernet) && b[2] == etherLen
	addr := fromIP(b[12:16])
	switch {
	case addr.IsValid():
		if l, ok := s.Table.ByAddr(addr); ok {
			return []lease.Lease{l}, typeActive, ReasonNone
		}
		n := nets.Containing(addr)
		if n != nil && (nets.Reserved(addr) != nil ||
			slices.ContainsFunc(nets.Pools(n.ID), func(p network.Pool) bool { return p.Contains(addr) })) {
			return nil, typeUnassigned, ReasonNone
		}
		return nil, typeUnknown, ReasonNone
	case len(id) >= 2:
		s.Table.Each(func(l lease.Lease) bool {
			if l.State == lease.Bound && l.Client.ID == string(id) {
				if l, ok := s.Table.ByAddr(l.Addr); ok {
					found = append(found, l)
				}
			}
			return true
		})
	case isHW:
		found = s.Table.ByHW(hw)
	default:
		return nil, typeUnknown, ReasonIncomplete
	}
	if len(found) == 0 {
		return nil, typeUnknown, ReasonNone
	}
	// RFC 4388 §6.4.1 wants the client's last transaction first. That which ends last is our best guess of it.
	slices.SortFunc(found, func(a, b lease.Lease) int {
		return cmp.Or(b.Expiry.Compare(a.Expiry), a.Addr.Compare(b.Addr))
	})
	return found, typeActive, ReasonNone
}

// maxAssociated is how many addresses of a client are told; a client has one in each network.
const maxAssociated = 32

// describe fills in what is known of leases of one client, which an answer is about.
func describe(m *dhcpv4.DHCPv4, found []lease.Lease) {
	l := found[0]
	m.ClientIPAddr = toIP(l.Addr)
	m.ClientHWAddr = net.HardwareAddr(l.Client.HW[:])
	m.Options[optLifetime] = binary.BigEndian.AppendUint32(nil, seconds(time.Until(l.Expiry)))
	if l.Client.ID != "" {
		m.Options[optClientID] = []byte(l.Client.ID)
	}
	if l.Client.VendorClass != "" {
		m.Options[optVendorClass] = []byte(l.Client.VendorClass)
	}
	if agent := agentOption(l.Client); agent != nil {
		m.Options[optAgent] = agent
	}
	if len(found) > 1 {
		var all []byte
		for _, o := range found[:min(len(found), maxAssociated)] {
			all = append(all, o.Addr.AsSlice()...)
		}
		m.Options[optAssociated] = all
	}
}

// lastSeen is how many seconds ago the client last got or renewed its lease. It isn't stored, but follows from what is
// left of the lease unless the client asked for a length of its own; it is not told if that can't be.
func lastSeen(nets *network.Set, l lease.Lease) (uint32, bool) {
	n := nets.Get(l.Network)
	if n == nil {
		return 0, false
	}
	c := l.Client
	choice, ok := nets.Choose(n, network.Facts{
		HW: c.HW, ClientID: c.ID, VendorClass: c.VendorClass, UserClass: c.UserClass, Hostname: c.Hostname,
		Circuit: c.Circuit, Remote: c.Remote, Relay: c.Relay, Params: c.Params,
	}).In(l.Addr)
	ago := choice.Lifetime.Default - time.Until(l.Expiry)
	if !ok || ago < 0 {
		return 0, false
	}
	return uint32(min(ago/time.Second, 1<<32-1)), true
}

// agentOption writes what a relay agent told of a client (RFC 3046).
func agentOption(c lease.Client) []byte {
	var b []byte
	for _, sub := range []struct {
		code  byte
		value string
	}{{agentCircuit, c.Circuit}, {agentRemote, c.Remote}} {
		if sub.value != "" {
			b = append(append(b, sub.code, byte(len(sub.value))), sub.value...) //nolint:gosec // it was as long in a sub-option
		}
	}
	return b
}
