package network

import "net/netip"

// reservations checks a network's reservations and files them. There may be thousands, so each is looked up among the
// others and never compared with all.
func (c *checker) reservations(at place, p *plan) {
	n := p.net
	routers := make(map[netip.Addr]bool)
	for _, list := range [][]Option{c.set.declared.Options, n.Options} {
		for _, r := range appendRouters(nil, list) {
			routers[r] = true
		}
	}
	relays := make(map[netip.Addr]bool, len(n.Relays))
	for _, r := range n.Relays {
		relays[r] = true
	}
	for by := range p.byID {
		p.byID[by] = make(map[string]*Reservation)
	}
	paths := make(map[*Reservation]place, len(n.Reservations))
	for i := range n.Reservations {
		r := &n.Reservations[i]
		in := place{at.in("reservations", i, "").path, at.name}
		paths[r] = in
		owner := r.Owner()
		switch {
		case !c.identified(in, r):
		case !n.Usable(r.Addr):
			c.bad(in, "%s is reserved for %s but is no usable address of %s", r.Addr, owner, n.Prefix)
		case r.Addr == n.Server:
			c.bad(in, "%s is reserved for %s but is our own address", r.Addr, owner)
		case routers[r.Addr]:
			c.bad(in, "%s is reserved for %s but is the router's address; reserve another", r.Addr, owner)
		case relays[r.Addr]:
			c.bad(in, "%s is reserved for %s but is a relay agent's address; reserve another", r.Addr, owner)
		}
		c.options(place{in.path, at.name + ": reservation of " + r.Addr.String()}, r.Options)
		c.fields(place{in.path, at.name + ": reservation of " + r.Addr.String()}, r.Sname, r.File, r.Next)
		c.part(place{in.path, at.name + ": reservation of " + r.Addr.String()}, r.Lease)
		if len(r.Hostname) > 255 {
			c.bad(in, "the hostname of %s has %d bytes; 255 are the most", r.Addr, len(r.Hostname))
		}
		if o := p.file(r); o != nil {
			c.clash(in, paths[o], "%s is reserved both %s and %s; keep one", owner, o.Addr, r.Addr)
			continue
		}
		if o := c.set.byIP[r.Addr]; o != nil {
			with := place{path: c.owners[r.Addr]}
			c.clash(in, with, "%s is reserved for both %s and %s; keep one", r.Addr, o.Owner(), owner)
			continue
		}
		c.set.byIP[r.Addr] = r
		c.owners[r.Addr] = in.path
	}
}

// identified reports whether something says whose the reservation is.
func (c *checker) identified(at place, r *Reservation) bool {
	switch {
	case r.HW.IsZero() && r.ClientID+r.Circuit+r.Remote == "", r.HW.IsGroup():
		c.bad(at, "the reservation of %s has no device's hardware address, nor a client id, circuit or remote id; give it one", r.Addr)
	case len(r.ClientID) > 255 || len(r.Circuit) > 255 || len(r.Remote) > 255:
		c.bad(at, "the reservation of %s names its device with over 255 bytes, which no option has room for", r.Addr)
	default:
		return true
	}
	return false
}

// file makes the reservation known by what tells its device apart, or returns one that is already known by the same.
func (p *plan) file(r *Reservation) *Reservation {
	if o := p.byHW[r.HW]; o != nil {
		return o
	}
	keys := [...]string{r.ClientID, r.Circuit, r.Remote}
	for by, key := range keys {
		if o := p.byID[by][key]; o != nil {
			return o
		}
	}
	if !r.HW.IsZero() {
		p.byHW[r.HW] = r
	}
	for by, key := range keys {
		if key != "" {
			p.byID[by][key] = r
		}
	}
	return nil
}
