package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Choice is what a client may get in one network. Its slices are the set's; the caller must not change them.
type Choice struct {
	Network *Network
	// Classes that the client is in, in order of declaration.
	Classes []ClassID
	// Refuse says why the client gets nothing here, such as "class guests: refused". Then there is nothing else.
	Refuse string
	// Reservation is the client's own in this network, or nil.
	Reservation *Reservation
	// Pools are those that are for the client, without our own, the routers' and the relay agents' addresses. None: only
	// a reservation can help it here.
	Pools []Pool
	// Options are what the client may be sent if the address is from no pool with options of its own; see OptionsAt.
	// Those with Never are not to be sent even if somebody else has a value for them.
	Options []Option
	Next    netip.Addr
	Sname   string
	File    string
	// NUL: the client's classes want texts ended with one. Options has them so; what others add needs [Terminate].
	NUL bool
	// Broadcast: one of the client's classes wants replies to go to everybody.
	Broadcast bool
	Lifetime  Lifetime

	set     *Set
	facts   *Facts
	in      bits
	banned  bool // by a class, so everywhere
	plan    *plan
	home    *plan // of the link's networks, the one in which the client has a reservation
	arrived *plan // the network that Choose was asked for
}

// Choose decides what a client gets that asks in network n: the first network of n's link that is for the client, or
// that which has a reservation for it. It costs less than a microsecond, and as much more for each few classes.
//
// A client that already has an address of the link keeps it: [Choice.In] has the choice for the network of an address.
// When that network's pools are full, [Choice.After] has the next.
func (s *Set) Choose(n *Network, f Facts) Choice {
	p := s.plan(n.ID)
	if p == nil {
		return Choice{Network: n, Refuse: fmt.Sprintf("network %s: no longer declared", n.ID)}
	}
	c := Choice{set: s, facts: &f, arrived: p, Network: p.net}
	r, home := p.reserved(&f)
	f.Known = f.Known || r != nil
	c.home = home
	c.in = s.classify(&f)
	for i := range s.classes {
		if !c.in.has(i) {
			continue
		}
		c.Classes = append(c.Classes, s.classes[i].ID)
		if s.classes[i].Refuse {
			c.banned = true
			c.Refuse = cmp.Or(c.Refuse, fmt.Sprintf("class %s: refused", s.classes[i].ID))
		}
	}
	if c.banned {
		return c
	}
	if home != nil {
		return c.at(home)
	}
	for _, q := range p.link {
		if q.guard.allows(&c.in) {
			return c.at(q)
		}
	}
	c.Refuse = p.net.closed()
	return c
}

// closed words that a network isn't for a client.
func (n *Network) closed() string {
	if len(n.Only) > 0 {
		return fmt.Sprintf("network %s: only for class %s", n.ID, ids(n.Only))
	}
	return fmt.Sprintf("network %s: not for class %s", n.ID, ids(n.Not))
}

// After returns the choice for the next network of the link that is for the client, when there is no address left in
// this one. It is false after the last.
func (c Choice) After() (Choice, bool) {
	if c.Refuse != "" || c.plan == nil {
		return Choice{}, false
	}
	rest := c.arrived.link
	if c.plan != c.home {
		rest = rest[slices.Index(rest, c.plan)+1:]
	}
	for _, q := range rest {
		if q != c.home && q.guard.allows(&c.in) {
			return c.at(q), true
		}
	}
	return Choice{}, false
}

// In returns the choice for the network of the link that addr belongs to. It is false if it belongs to none. A choice
// with Refuse says that the network isn't for the client.
func (c Choice) In(addr netip.Addr) (Choice, bool) {
	if c.arrived == nil {
		return Choice{}, false
	}
	for _, q := range c.arrived.link {
		switch {
		case !q.net.Prefix.Contains(addr):
		case c.banned:
			c.Network = q.net
			return c, true
		case q == c.home || q.guard.allows(&c.in):
			return c.at(q), true
		default:
			return Choice{
				Network: q.net, Classes: c.Classes, Refuse: q.net.closed(),
				set: c.set, facts: c.facts, in: c.in, home: c.home, arrived: c.arrived,
			}, true
		}
	}
	return Choice{}, false
}

// at fills in the choice for one network.
func (c Choice) at(p *plan) Choice {
	c.plan, c.Network, c.Refuse = p, p.net, ""
	c.Reservation, c.Pools = nil, p.pools
	if p == c.home {
		c.Reservation = p.reservation(c.facts)
	}
	if p.guards != nil {
		c.Pools = nil
		for i := range p.pools {
			if p.guards[i].allows(&c.in) {
				c.Pools = append(c.Pools, p.pools[i])
			}
		}
	}
	c.Lifetime, c.Next, c.Sname, c.File, c.NUL, c.Broadcast = p.net.Lease, netip.Addr{}, "", "", false, false
	for i := len(c.set.classes) - 1; i >= 0; i-- { // the first has the last word
		k := &c.set.classes[i]
		if !c.in.has(i) {
			continue
		}
		c.Lifetime = k.Lease.over(c.Lifetime)
		c.Next, c.Sname, c.File = cmp.Or(k.Next, c.Next), cmp.Or(k.Sname, c.Sname), cmp.Or(k.File, c.File)
		c.NUL, c.Broadcast = c.NUL || k.NUL, c.Broadcast || k.Broadcast
	}
	if r := c.Reservation; r != nil {
		c.Lifetime = r.Lease.over(c.Lifetime)
		c.Next, c.Sname, c.File = cmp.Or(c.Next, r.Next), cmp.Or(c.Sname, r.Sname), cmp.Or(c.File, r.File)
	}
	d := &c.set.declared
	c.Next = cmp.Or(c.Next, p.net.Next, d.Next)
	c.Sname, c.File = cmp.Or(c.Sname, p.net.Sname, d.Sname), cmp.Or(c.File, p.net.File, d.File)
	c.Options = c.lay(nil)
	return c
}

// OptionsAt returns what the client may be sent with an address of the network: Options with those of the pool that it
// is from in their place, over the network's and under the reservation's.
func (c Choice) OptionsAt(addr netip.Addr) []Option {
	if c.plan == nil {
		return nil
	}
	for i := range c.plan.pools {
		if p := &c.plan.pools[i]; len(p.Options) > 0 && p.spans(addr) {
			return c.lay(p.Options)
		}
	}
	return c.Options
}

// Origin says which level has the last word on an option of [Choice.OptionsAt]: "all networks", "class phones", "network
// voice", "pool" or "reservation". It is empty if none has the option.
func (c Choice) Origin(code uint8, addr netip.Addr) string {
	if c.plan == nil {
		return ""
	}
	var pool []Option
	for i := range c.plan.pools {
		if p := &c.plan.pools[i]; len(p.Options) > 0 && p.spans(addr) {
			pool = p.Options
			break
		}
	}
	var names []string
	levels := c.levels(pool, func(kind, id string) { names = append(names, strings.TrimSpace(kind+" "+id)) })
	for i, level := range slices.Backward(levels) {
		if slices.ContainsFunc(level, func(o Option) bool { return o.Code == code }) {
			return names[i]
		}
	}
	return ""
}

// levels returns what is declared for the client, each over the one before, and tells what each is unless note is nil.
func (c *Choice) levels(pool []Option, note func(kind, id string)) [][]Option {
	levels := make([][]Option, 0, 8)
	add := func(kind, id string, options []Option) {
		levels = append(levels, options)
		if note != nil {
			note(kind, id)
		}
	}
	add("all networks", "", c.set.declared.Options)
	for i := len(c.set.classes) - 1; i >= 0; i-- {
		if k := &c.set.classes[i]; len(k.Options) > 0 && c.in.has(i) {
			add("class", string(k.ID), k.Options)
		}
	}
	add("network", string(c.plan.net.ID), c.plan.options)
	add("pool", "", pool)
	if c.Reservation != nil {
		add("reservation", "", c.Reservation.Options)
	}
	return levels
}

// lay lays all levels over each other.
func (c *Choice) lay(pool []Option) []Option {
	levels := c.levels(pool, nil)
	common := len(levels) == 3 && len(pool) == 0 || // all networks' and the network's alone
		len(levels) == 4 && c.Reservation != nil && len(pool)+len(c.Reservation.Options) == 0
	out := c.plan.base
	if !common {
		out = overlay(levels...)
	}
	return c.Fit(out)
}

// Fit makes options such as the client can read: texts end as it needs, and option 125 has the enterprises that it names.
// It is for options from elsewhere; those of [Choice.OptionsAt] are so already. The slice is not changed.
func (c *Choice) Fit(options []Option) []Option {
	cloned := false
	for i := 0; i < len(options); i++ {
		o, keep := c.facts.Narrow(options[i])
		if c.NUL {
			o = Terminate(o)
		}
		if keep && len(o.Data) == len(options[i].Data) {
			continue
		}
		if !cloned {
			options, cloned = slices.Clone(options), true
		}
		if keep {
			options[i] = o
		} else {
			options = slices.Delete(options, i, i+1)
			i--
		}
	}
	return options
}

// reserved finds the client's reservation on the link, by the strongest of what tells it apart, and the network that it
// is in.
func (p *plan) reserved(f *Facts) (*Reservation, *plan) {
	for by := range len(p.byID) + 1 {
		for _, q := range p.link {
			if r := q.reservedBy(by, f); r != nil {
				return r, q
			}
		}
	}
	return nil, nil
}

// reservation finds the client's reservation in the network.
func (p *plan) reservation(f *Facts) *Reservation {
	for by := range len(p.byID) + 1 {
		if r := p.reservedBy(by, f); r != nil {
			return r
		}
	}
	return nil
}

// reservedBy finds it by the hardware address (0), or by one of the texts.
func (p *plan) reservedBy(by int, f *Facts) *Reservation {
	if by == 0 {
		return p.byHW[f.HW]
	}
	key := [...]string{f.ClientID, f.Circuit, f.Remote}[by-1]
	if key == "" {
		return nil
	}
	return p.byID[by-1][key]
}
