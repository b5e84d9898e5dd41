package network

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// ID names a network: short, lower case, chosen by the administrator ("voice").
type ID string

// Network is one IPv4 subnet that we lease addresses in.
type Network struct {
	ID     ID
	Prefix netip.Prefix
	// Interface on which the network's clients are on-link. Empty: the one that has an address in Prefix.
	Interface string
	// Server is our address as this network's clients reach it: the server identifier, and the base of the URLs that
	// phones are given. Zero: the address that the request came in on.
	Server netip.Addr
	// Relays are the relay agents (giaddr) that may ask for this network. Relayed requests of others are dropped.
	Relays       []netip.Addr
	Pools        []Pool
	Reservations []Reservation
	Options      []Option // given to every client of the network, unless a pool or a reservation says otherwise
	Lease        Lifetime
	// Shared names the link that the network shares with others, whose clients get an address of any of them: of the
	// first as declared, and when that is full of the next. Empty: the link is the network's own.
	Shared string
	// Only are the classes that the network is for, and Not those that it isn't for, whatever the former say. Of a
	// client that is in several classes, one decides. Both empty: the network is for everybody.
	Only, Not []ClassID
	// Next, Sname and File are siaddr, sname and file of replies, where nothing closer to the client says otherwise.
	Next  netip.Addr
	Sname string
	File  string
	// Authoritative: we are this network's only server, so a client that is wrong about its address is told so
	// (RFC 2131 §4.3.2) instead of being left alone.
	Authoritative bool
	// Rivals says what to do where the network is authoritative but another server answers on its link.
	Rivals Rivals
	// ShortenAt is a part of the pools in percent. While more of those that are for a client is in use, it gets an address
	// for no longer than Lease.Min, or than it was promised the address already. Zero: never.
	ShortenAt int
	// NoAutoconfigure tells clients that ask, and that there is no address for, not to make one up (RFC 2563).
	NoAutoconfigure bool
	// Probe asks the wire whether an address is in use before it is offered for the first time (RFC 2131 §3.1 step 2).
	Probe bool
	// AutoAdd says which unknown devices of this network are added by their first request.
	AutoAdd AutoAdd
	// Configure gives new devices of this network a default config.
	Configure    bool
	Provisioning Provisioning
}

// Rivals says what to do about another server on a network's link.
type Rivals string

// The zero value means RivalsRefuse.
const (
	// RivalsRefuse: if another server answers when we begin to serve the link, clients without a lease of ours get
	// nothing; if one comes later, we are not authoritative while it is there. Clients without a lease of ours wait a few
	// seconds after we have begun, until it is known.
	RivalsRefuse Rivals = "refuse"
	RivalsAllow  Rivals = "allow" // we serve nevertheless, and at once
)

// AutoAdd says which devices become known by asking.
type AutoAdd string

// The zero value means AddRecognised.
const (
	AddRecognised AutoAdd = "recognised" // those that some plugin takes for probably its own
	AddAny        AutoAdd = "any"        // all that have an identity
	AddOff        AutoAdd = "off"        // none; an administrator adds them
)

// Pool is an inclusive range of addresses that are leased to clients without a reservation.
type Pool struct {
	First, Last netip.Addr
	Exclude     []netip.Addr
	// Only are the classes that the pool is for, and Not those that it isn't for, as in [Network]. A client gets nothing
	// of a pool that isn't for it, even if all others are full.
	Only, Not []ClassID
	Options   []Option // given to clients with an address of the pool, over those of the network
	// Edges: addresses that end in 0 or 255 are chosen for clients, too. Old IP stacks take these for a network's and for
	// its broadcast address, whatever the mask.
	Edges bool
}

// Contains reports whether addr is one that the pool may lease.
func (p Pool) Contains(addr netip.Addr) bool {
	return p.spans(addr) && !slices.Contains(p.Exclude, addr)
}

// Fresh reports whether addr is one that the pool may lease to a client that neither has nor asks for it.
func (p Pool) Fresh(addr netip.Addr) bool { return p.Contains(addr) && (p.Edges || !edge(addr)) }

// spans reports whether addr is between the pool's ends, leased or not.
func (p Pool) spans(addr netip.Addr) bool { return !addr.Less(p.First) && !p.Last.Less(addr) }

// String returns the pool's ends, such as 192.0.2.100-192.0.2.199.
func (p Pool) String() string { return p.First.String() + "-" + p.Last.String() }

// edge reports whether addr ends in 0 or 255.
func edge(addr netip.Addr) bool {
	b := addr.As4()[3]
	return b == 0 || b == 255
}

// Reservation keeps an address for one device. At least one of HW, ClientID, Circuit and Remote says which, and each that
// is given is enough; where several reservations fit a client, that by the first of these counts. The address is in the
// network's prefix, in a pool or not.
type Reservation struct {
	HW       hwaddr.Addr
	ClientID string // option 61, all its bytes
	Circuit  string // option 82 sub-option 1: the port of a switch
	Remote   string // option 82 sub-option 2: the switch, or the subscriber
	Addr     netip.Addr
	Hostname string
	Options  []Option
	Lease    Lifetime // zero fields leave what else holds
	Next     netip.Addr
	Sname    string
	File     string
}

// Owner names the device that the address is kept for, by what tells it apart.
func (r *Reservation) Owner() string {
	switch {
	case !r.HW.IsZero():
		return r.HW.String()
	case r.ClientID != "":
		return "client id " + printable(r.ClientID)
	case r.Circuit != "":
		return "circuit " + printable(r.Circuit)
	case r.Remote != "":
		return "remote id " + printable(r.Remote)
	}
	return "nobody"
}

// Lifetime bounds how long leases last. In a network, zero fields take the defaults of [DefaultLifetime]; in a class or
// a reservation they leave what else holds, but that a Default without a Max is the longest, too.
type Lifetime struct {
	Default, Min, Max time.Duration
	// Renew and Rebind are T1 and T2 (RFC 2131 §4.4.5) of a lease of Default. Zero: the server's rule.
	Renew, Rebind time.Duration
}

// over lays the lifetime over another.
func (l Lifetime) over(base Lifetime) Lifetime {
	if l.Default > 0 {
		base.Default = l.Default
		base.Min = min(base.Min, l.Default)
		base.Max = l.Default
		if l.Renew == 0 && l.Rebind == 0 {
			base.Renew, base.Rebind = 0, 0 // they were parts of another length
		}
	}
	base.Min = cmp.Or(l.Min, base.Min)
	base.Max = cmp.Or(l.Max, base.Max)
	base.Default = min(max(base.Default, base.Min), max(base.Max, base.Min))
	base.Max = max(base.Max, base.Min)
	base.Renew, base.Rebind = cmp.Or(l.Renew, base.Renew), cmp.Or(l.Rebind, base.Rebind)
	return base
}

// Times returns T1 and T2 of a lease of that length: Renew and Rebind in proportion. They are zero where the server's
// rule holds.
func (l Lifetime) Times(life time.Duration) (renew, rebind time.Duration) {
	if l.Default <= 0 || life <= 0 {
		return 0, 0
	}
	part := float64(life) / float64(l.Default)
	return time.Duration(float64(l.Renew) * part), time.Duration(float64(l.Rebind) * part)
}

// DefaultLifetime suits desk phones: a working day, so that a phone renews while somebody is there to notice.
func DefaultLifetime() Lifetime {
	return Lifetime{Default: 8 * time.Hour, Min: 5 * time.Minute, Max: 24 * time.Hour}
}

// Option is one DHCP option as it goes on the wire.
type Option struct {
	Code uint8
	Data []byte
	// Force sends the option to clients that did not ask for it, too.
	Force bool
	// Never keeps the option from being sent, whoever else gives it or forces it. It needs no Data.
	Never bool
}

// Boot is what a client is told about where to provision from. Zero fields are left out of the reply.
type Boot struct {
	Options []Option
	Next    netip.Addr // siaddr
	Sname   string     // at most 63 bytes
	File    string     // at most 127 bytes
}

// Source gives the networks in force. It is safe for concurrent use; what it returns never changes.
type Source interface{ Networks() *Set }
