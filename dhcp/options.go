package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// BootSource knows what a vendor's phones want to be told. It is a look-up in memory and safe for concurrent use.
type BootSource interface {
	// Boot returns what to tell a client of that kind, where base is our address as the client reaches it. The caller
	// doesn't change what it is given.
	Boot(c lease.Client, base netip.Addr) network.Boot
}

// choice is the options that may be sent, by code, and which of them are sent unasked.
type choice struct {
	value  [256]*network.Option
	forced [256]bool
	vendor [256]bool // came from the BootSource, so it is meant for this client
}

// lay puts options over those that are there. Who forces a code forces it for every value that is laid over it.
func (c *choice) lay(options []network.Option, vendor bool) {
	for i := range options {
		o := &options[i]
		if serverSets(o.Code) {
			continue
		}
		c.value[o.Code] = o
		c.forced[o.Code] = c.forced[o.Code] || o.Force
		c.vendor[o.Code] = vendor || c.vendor[o.Code]
	}
}

// serverSets reports whether an option is the protocol's own, which nobody else may set.
func serverSets(code uint8) bool {
	switch code {
	case optPad, optRequested, optLifetime, optOverload, optType, optServer, optParams, optMessage, optMaxSize,
		optT1, optT2, optClientID, optAgent, optEnd:
		return true
	}
	return false
}

// vendorOnly reports whether a code means something else to each vendor, so that a client that states no wishes gets it
// only from its vendor's plugin.
func vendorOnly(code uint8) bool {
	return code == optVendor || code == optVendorInfo || code > 127 && code != optTFTPAddrs
}

// options fills in an OFFER or ACK: the vendor's options, over them the network's, over these the device's own, as far
// as the client asks for them; and siaddr, sname and file as the vendor's phones want them. A life of zero leaves out
// the times of a lease (RFC 2131 §4.3.5).
func (x *exchange) options(m *dhcpv4.DHCPv4, life time.Duration) {
	var boot network.Boot
	if x.srv.Boot != nil {
		boot = x.srv.Boot.Boot(x.client, x.base)
	}
	reserved := x.nets.ReservedFor(x.net.ID, x.client.HW)
	var c choice
	c.lay(boot.Options, true)
	c.lay(x.net.Options, false)
	if reserved != nil {
		c.lay(reserved.Options, false)
	}
	m.ServerIPAddr = toIP(boot.Next)
	m.ServerHostName, m.BootFileName = boot.Sname, boot.File

	var asked [256]bool
	for _, code := range x.client.Params {
		asked[code] = true
	}
	// What every client needs to use its address is sent unasked.
	asked[optMask], asked[optRouter], asked[optDNS] = true, true, true
	silent := len(x.client.Params) == 0
	for code, o := range c.value {
		if o == nil {
			continue
		}
		if asked[code] || c.forced[code] || silent && (c.vendor[code] || !vendorOnly(o.Code)) {
			m.Options[o.Code] = o.Data
		}
	}
	if _, ok := m.Options[optRoutes]; ok {
		delete(m.Options, optStaticRoutes) // RFC 3442: the client has to ignore it
	}
	x.derived(m, asked[:], boot, reserved)
	if life > 0 {
		times(m, life, x.client.HW)
	}
}

// derived adds the options that follow from other facts, where nobody has set them and the client asks.
func (x *exchange) derived(m *dhcpv4.DHCPv4, asked []bool, boot network.Boot, r *network.Reservation) {
	add := func(code uint8, value []byte) {
		if _, ok := m.Options[code]; !ok && asked[code] && len(value) > 0 {
			m.Options[code] = value
		}
	}
	add(optMask, net.CIDRMask(x.net.Prefix.Bits(), 32))
	if asked[optBroadcast] {
		add(optBroadcast, x.net.Broadcast().AsSlice())
	}
	// Some phones read only the options and never the fields.
	add(optTFTPName, []byte(boot.Sname))
	add(optBootFile, []byte(boot.File))
	if r != nil {
		add(optHostname, []byte(r.Hostname))
	}
}

// times sets the lease time and with it when to renew and to rebind: RFC 2131 §4.4.5's 0.5 and 0.875, less a little that
// differs by client and not by message. Phones that got their leases in the same moment, after a power cut, so don't
// renew in the same moment for ever.
func times(m *dhcpv4.DHCPv4, life time.Duration, hw hwaddr.Addr) {
	secs := uint32(min(max(life/time.Second, 1), 1<<32-1))
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 12), secs)
	m.Options[optLifetime] = b[:4:4]
	t1, t2 := secs/2, secs-secs/8
	// Neighbouring phones' addresses count up, which a multiplication spreads. At most 1/16 early.
	part := uint64(binary.BigEndian.Uint32(hw[2:]) * 2654435761 >> 26) // of 1024
	t1 -= uint32(uint64(t1) * part / 1024)                             //nolint:gosec // a part of t1
	t2 -= uint32(uint64(t2) * part / 1024)                             //nolint:gosec // a part of t2
	if t1 == 0 || t1 >= t2 || t2 >= secs {
		return // too short to divide: the client's own rule does
	}
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, t1), t2)
	m.Options[optT1], m.Options[optT2] = b[4:8:8], b[8:12:12]
}
