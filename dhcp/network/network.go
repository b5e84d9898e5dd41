// Package network has what an administrator declares about the networks that phones live in: prefixes, pools,
// reservations and the options that clients are given.
//
// A [Set] is immutable and valid as a whole; the DHCP server swaps one for another atomically. What is leased to whom
// is not here but in package lease.
package network

import (
	"net/netip"
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
	Options      []Option // given to every client of the network, unless a reservation says otherwise
	Lease        Lifetime
	// Authoritative: we are this network's only server, so a client that is wrong about its address is told so
	// (RFC 2131 §4.3.2) instead of being left alone.
	Authoritative bool
	// Probe asks the wire whether an address is in use before it is offered for the first time (RFC 2131 §3.1 step 2).
	Probe bool
	// AutoAdd says which unknown devices of this network are added by their first request.
	AutoAdd AutoAdd
	// Configure gives new devices of this network a default config.
	Configure bool
}

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
}

// Contains reports whether addr is one that the pool may lease.
func (p Pool) Contains(addr netip.Addr) bool {
	if addr.Less(p.First) || p.Last.Less(addr) {
		return false
	}
	for _, x := range p.Exclude {
		if x == addr {
			return false
		}
	}
	return true
}

// Reservation keeps an address for one device.
type Reservation struct {
	HW       hwaddr.Addr
	Addr     netip.Addr
	Hostname string
	Options  []Option
}

// Lifetime bounds how long leases last. Zero fields take the defaults of [DefaultLifetime].
type Lifetime struct {
	Default, Min, Max time.Duration
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
