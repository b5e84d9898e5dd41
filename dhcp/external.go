package dhcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

const (
	// assumed is how long another server's lease counts if nobody says for how long it is.
	assumed = 8 * time.Hour
	// longest is what a lease without an end is cut to, so that one that is forgotten there is forgotten here.
	longest = 365 * 24 * time.Hour
)

// External takes other servers' leases into the table: those that the [Observer] overhears, and those that the servers
// tell of. Set the fields, then use it; it is safe for concurrent use.
type External struct {
	Table    *lease.Table
	Networks network.Source
	// Foreign are the prefixes beside the declared networks in which other servers lease addresses, and Interfaces those
	// whose own prefixes are foreign, too. A lease there has its prefix for a network.
	Foreign    []netip.Prefix
	Interfaces []string
}

// Tell takes in that a client holds an address (Bound), or holds it no more (any other state), and returns what the
// table has of the address then. The lease's network and origin are found out here. A zero Expiry means that it isn't
// known; of a lease that ended, the client need not be known. What is left out of the client is kept as it was: a server
// that was started again, say, knows the vendor class no more.
//
// The error is [lease.ErrWrongNet] if the address or the client can't be, and [lease.ErrTaken] if we ourselves leased
// the address to another client.
func (x *External) Tell(ctx context.Context, l lease.Lease) (lease.Lease, error) {
	now := x.Table.Now()
	id, err := x.place(l.Addr)
	if err != nil {
		return lease.Lease{}, err
	}
	known, _ := x.Table.At(l.Addr)
	held := known.Active(now)
	if l.State != lease.Bound && l.Client.HW.IsZero() {
		if !held {
			return known, nil
		}
		l.Client = known.Client
	}
	if l.Client.HW.IsZero() || l.Client.HW.IsGroup() {
		return lease.Lease{}, fmt.Errorf("a lease of %s to %q: that is nobody's hardware address: %w", l.Addr, l.Client.HW, lease.ErrWrongNet)
	}
	same := known.Client.HW == l.Client.HW
	switch {
	case held && known.Origin != lease.External && same:
		return known, nil
	case held && known.Origin != lease.External && l.State == lease.Bound:
		return lease.Lease{}, fmt.Errorf("%s is told to be %s's, but we leased it to %s until %s: %w",
			l.Addr, l.Client.HW, known.Client.HW, known.Expiry.Format(time.RFC3339), lease.ErrTaken)
	}
	l.Network, l.Origin = id, lease.External
	if same {
		l.Client = complete(l.Client, known.Client)
	}
	sure := !l.Expiry.IsZero()
	if !sure {
		l.Expiry = now.Add(assumed)
	}
	if latest := now.Add(longest); l.Expiry.After(latest) {
		l.Expiry = latest
	}
	if held && same && l.State == lease.Bound && sameClient(known.Client, l.Client) && idle(known.Expiry, l.Expiry, sure) {
		return known, nil // it teaches nothing, so it writes nothing
	}
	if err := x.Table.Observe(ctx, l); err != nil {
		return lease.Lease{}, err
	}
	known, _ = x.Table.At(l.Addr)
	return known, nil
}

// idle reports whether a new end of a lease is not worth writing down.
func idle(before, now time.Time, sure bool) bool {
	if sure {
		return now.Sub(before).Abs() < 2*time.Second // ends are told in whole seconds
	}
	return now.Sub(before) < assumed/2
}

// place names the network that an address is in.
func (x *External) place(addr netip.Addr) (network.ID, error) {
	if n := x.Networks.Networks().Containing(addr); n != nil {
		if !n.Usable(addr) {
			return "", fmt.Errorf("%s is no client's address in %s: %w", addr, n.Prefix, lease.ErrWrongNet)
		}
		return n.ID, nil
	}
	prefixes := slices.Clone(x.Foreign)
	for _, name := range x.Interfaces {
		prefixes = append(prefixes, prefixesOn(name)...)
	}
	for _, p := range prefixes {
		if p.Contains(addr) {
			return network.ID(p.Masked().String()), nil
		}
	}
	return "", fmt.Errorf("%s is neither in a declared network nor in a foreign one (dhcp.foreign): %w", addr, lease.ErrWrongNet)
}

// prefixesOn returns the IPv4 prefixes that an interface has addresses in.
func prefixesOn(name string) []netip.Prefix {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil // it may come back
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil
	}
	var list []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			list = append(list, p)
		}
	}
	return list
}

// complete fills what a client left out with what it said before.
func complete(c, before lease.Client) lease.Client {
	for _, f := range [...]struct {
		now    *string
		before string
	}{
		{&c.ID, before.ID},
		{&c.VendorClass, before.VendorClass},
		{&c.UserClass, before.UserClass},
		{&c.Hostname, before.Hostname},
		{&c.Circuit, before.Circuit},
		{&c.Remote, before.Remote},
	} {
		if *f.now == "" {
			*f.now = f.before
		}
	}
	if len(c.Params) == 0 {
		c.Params = before.Params
	}
	if !c.Relay.IsValid() {
		c.Relay = before.Relay
	}
	return c
}

func sameClient(a, b lease.Client) bool {
	return a.HW == b.HW && a.ID == b.ID && a.VendorClass == b.VendorClass && a.UserClass == b.UserClass &&
		a.Hostname == b.Hostname && a.Circuit == b.Circuit && a.Remote == b.Remote && a.Relay == b.Relay &&
		slices.Equal(a.Params, b.Params)
}
