package network

import (
	"slices"
	"strings"
)

// Provisioning is what an administrator decided about files for the network's phones: what they must prove, and what is
// done by itself. The zero value is the usual.
type Provisioning struct {
	Guard Guard
	// KeepPlugins: only administrators say which plugin a device has.
	KeepPlugins bool
	// Ignore are the sources of evidence that count for nothing here; see [EvidenceSources].
	Ignore []string
	// PluginsOff are the plugins that the network does without, PluginsFirst those that are preferred to others that
	// support a device as well.
	PluginsOff, PluginsFirst []string
	// NeighbourTrusted: the neighbour table is proof enough, as where somebody else's DHCP server leases.
	NeighbourTrusted bool
	// RelaysDistrusted: leases got through the network's relay agents are no proof.
	RelaysDistrusted bool
	CleartextOK      bool // with GuardStrict, secrets may leave unencrypted
	SiteFiles        bool // files of the site are for everybody
	// NAT: several phones share an address, so it proves nothing, and a phone's token is enough.
	NAT bool
	// Tokens: the URLs that phones are given have a part that nobody can guess, and HTTPS: they are of our HTTPS server.
	Tokens, HTTPS bool

	EnrolByCert bool // with GuardStrict, a certificate confirms a new device
	// AddPerMinute and AddMax bound how many devices add themselves: in a minute, and unconfirmed in total. Zero takes the
	// default, a negative number sets no bound.
	AddPerMinute, AddMax int
}

// The bounds that a network has if it doesn't say.
const (
	DefaultAddPerMinute = 1000
	DefaultAddMax       = 10_000
)

// Guard says how much phones must prove before they get files.
type Guard string

// The policies. The zero value takes GuardBalanced where we lease addresses or the neighbour table is trusted, else
// GuardStrict.
const (
	GuardStrict   Guard = "strict"   // a secret only after a person has confirmed the device
	GuardBalanced Guard = "balanced" // a lease is proof enough
	GuardLegacy   Guard = "legacy"   // a phone is who it says it is, unless something contradicts it
)

// EvidenceSources are the names of the sources that a network can ignore.
func EvidenceSources() []string {
	return []string{"guess", "path", "header", "neighbour", "lease", "token", "certificate"}
}

// provisioning fills in defaults and checks.
func (c *checker) provisioning(at place, n *Network) {
	p := &n.Provisioning
	switch p.Guard {
	case "":
		p.Guard = GuardStrict
		if len(n.Pools) > 0 || len(n.Reservations) > 0 || p.NeighbourTrusted {
			p.Guard = GuardBalanced
		}
	case GuardStrict, GuardBalanced, GuardLegacy:
	default:
		c.bad(at, "guard %q is unknown; use strict, balanced or legacy", p.Guard)
	}
	for _, s := range p.Ignore {
		if !slices.Contains(EvidenceSources(), s) {
			c.bad(at, "ignore: %q is no source of evidence; use %s", s, strings.Join(EvidenceSources(), ", "))
		}
	}
	for _, id := range p.PluginsFirst {
		if slices.Contains(p.PluginsOff, id) {
			c.bad(at, "plugin %s is both off and first; say one of it", id)
		}
	}
	if p.CleartextOK && p.Guard != GuardStrict {
		c.warn(at, "cleartext_ok says nothing with guard %s, which lets secrets leave by HTTP and TFTP anyway; leave it out", p.Guard)
	}
	if p.NAT && p.NeighbourTrusted {
		c.bad(at, "neighbour_trusted can't hold where several phones share an address (nat); leave one of them out")
	}
	if p.AddPerMinute == 0 {
		p.AddPerMinute = DefaultAddPerMinute
	}
	if p.AddMax == 0 {
		p.AddMax = DefaultAddMax
	}
}
