package dhcp

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// BootSource knows what a vendor's phones want to be told. It is a look-up in memory and safe for concurrent use.
type BootSource interface {
	// Boot returns what to tell a client of that kind, where base is our address as the client reaches it. The caller
	// doesn't change what it is given.
	Boot(c lease.Client, base netip.Addr) network.Boot
}

// offering is the options that may be sent, by code, and which of them are sent unasked, or never.
type offering struct {
	value  [256]*network.Option
	forced [256]bool
	vendor [256]bool // came from the BootSource, so it is meant for this client
	never  [256]bool
}

// lay puts options over those that are there. Who forces a code, or forbids it, does so whatever is laid over it.
func (o *offering) lay(options []network.Option, vendor bool) {
	for i := range options {
		opt := &options[i]
		if serverSets(opt.Code) {
			continue
		}
		o.value[opt.Code] = opt
		o.forced[opt.Code] = o.forced[opt.Code] || opt.Force
		o.never[opt.Code] = o.never[opt.Code] || opt.Never
		o.vendor[opt.Code] = vendor || o.vendor[opt.Code]
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

// options fills in an OFFER or ACK for a client with that address: the vendor's options, over them what was declared for
// the client, as far as it asks for them; and siaddr, sname and file as declared, or else as the vendor's phones want
// them. A life of zero leaves out the times of a lease (RFC 2131 §4.3.5).
func (x *exchange) options(m *dhcpv4.DHCPv4, addr netip.Addr, life time.Duration) {
	boot := x.boot()
	var o offering
	o.lay(boot.Options, true)
	o.lay(x.choice.OptionsAt(addr), false)
	m.ServerIPAddr = toIP(boot.Next)
	m.ServerHostName, m.BootFileName = boot.Sname, boot.File

	var asked [256]bool
	for _, code := range x.client.Params {
		asked[code] = true
	}
	// What every client needs to use its address is sent unasked.
	asked[optMask], asked[optRouter], asked[optDNS] = true, true, true
	silent := len(x.client.Params) == 0
	for code, v := range o.value {
		if v == nil || o.never[code] {
			continue
		}
		if asked[code] || o.forced[code] || silent && (o.vendor[code] || !vendorOnly(v.Code)) {
			m.Options[v.Code] = v.Data
		}
	}
	if _, ok := m.Options[optRoutes]; ok {
		delete(m.Options, optStaticRoutes) // RFC 3442: the client has to ignore it
	}
	x.derived(m, &asked, &o.never, boot)
	if life > 0 {
		x.times(m, life)
	}
}

// boot returns what the client is told to provision from: what was declared for it before what its vendor says, and in
// the shape that the client can read.
func (x *exchange) boot() network.Boot {
	b := x.vendor()
	c := &x.choice
	b.Next, b.Sname, b.File = cmp.Or(c.Next, b.Next), cmp.Or(c.Sname, b.Sname), cmp.Or(c.File, b.File)
	b.Options = c.Fit(b.Options)
	return b
}

// vendor asks the BootSource. A fault of it must not cost a phone its address: without the options it still has a
// network, and where a console can show what is wrong.
func (x *exchange) vendor() (b network.Boot) {
	if x.srv.Boot == nil {
		return b
	}
	defer func() {
		if p := recover(); p != nil {
			b = network.Boot{}
			x.v.Err = fmt.Errorf("boot options of %q: %v", printable(x.client.VendorClass), p)
			x.srv.count.bootFails.Add(1)
		}
	}()
	return x.srv.Boot.Boot(x.client, x.base)
}

// derived adds the options that follow from other facts, where nobody has set them and the client asks.
func (x *exchange) derived(m *dhcpv4.DHCPv4, asked, never *[256]bool, boot network.Boot) {
	add := func(code uint8, value []byte) {
		if _, ok := m.Options[code]; !ok && asked[code] && !never[code] && len(value) > 0 {
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
	if r := x.choice.Reservation; r != nil {
		add(optHostname, []byte(r.Hostname))
	}
}

// times sets the lease time and with it when to renew and to rebind: as declared, or RFC 2131 §4.4.5's 0.5 and 0.875,
// less a little that differs by client and not by message. Phones that got their leases in the same moment, after a
// power cut, so don't renew in the same moment for ever.
func (x *exchange) times(m *dhcpv4.DHCPv4, life time.Duration) {
	secs := seconds(life)
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 12), secs)
	m.Options[optLifetime] = b[:4:4]
	t1, t2 := secs/2, secs-secs/8
	// Neighbouring phones' addresses count up, which a multiplication spreads. At most 1/16 early.
	part := uint64(binary.BigEndian.Uint32(x.client.HW[2:]) * 2654435761 >> 26) // of 1024
	t1 -= uint32(uint64(t1) * part / 1024)                                      //nolint:gosec // a part of t1
	t2 -= uint32(uint64(t2) * part / 1024)                                      //nolint:gosec // a part of t2
	renew, rebind := x.choice.Lifetime.Times(life)
	if renew > 0 {
		t1 = seconds(renew)
	}
	if rebind > 0 {
		t2 = seconds(rebind)
	}
	if t1 == 0 || t1 >= t2 || t2 >= secs {
		return // too short to divide: the client's own rule does
	}
	b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, t1), t2)
	m.Options[optT1], m.Options[optT2] = b[4:8:8], b[8:12:12]
}

// seconds writes a span as the options have it. All ones would mean for ever (RFC 2131 §3.3).
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 1), 1<<32-2))
}
