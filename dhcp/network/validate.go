package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

const (
	maxSname = 63  // and a NUL (RFC 2131 §2)
	maxFile  = 127 // likewise
	maxName  = 64  // bytes of a class's name: it stands in logs and reasons
)

// checker goes through what was declared and fills a set from it.
type checker struct {
	set      *Set
	faults   Faults
	warnings []Fault
	numbers  map[ClassID]int // of the classes declared so far
	used     bits            // classes that are named somewhere
	owners   map[netip.Addr]string
}

func (c *checker) check() {
	d := &c.set.declared
	all := place{}
	c.options(place{"", "all networks"}, d.Options)
	c.fields(place{"", "all networks"}, d.Sname, d.File, d.Next)
	c.classes(d.Classes)
	links := make(map[string]place)
	for i := range d.Shared {
		at := all.in("shared", i, "shared %s", d.Shared[i].Name)
		if other, ok := links[d.Shared[i].Name]; ok || d.Shared[i].Name == "" {
			c.clash(at, other, "it needs a name of its own; rename it")
		}
		links[d.Shared[i].Name] = at
		c.options(at, d.Shared[i].Options)
	}
	c.networks(d.Networks)
	for i := range d.Shared {
		if !slices.ContainsFunc(d.Networks, func(n Network) bool { return n.Shared == d.Shared[i].Name }) {
			c.warn(links[d.Shared[i].Name], "no network is on it; name it in the networks of the link, or remove it")
		}
	}
	for i := range d.Classes {
		if i < maxClasses && !c.used.has(i) && d.Classes[i].idle() {
			c.warn(all.in("classes", i, "class %s", d.Classes[i].ID),
				"nothing depends on it; name it in a pool or a network, give it options, or remove it")
		}
	}
}

func (c *checker) classes(list []Class) {
	all := place{}
	if len(list) > maxClasses {
		c.bad(place{"classes", ""}, "%d classes are too many; %d are the most", len(list), maxClasses)
		return
	}
	for i := range list {
		k := &list[i]
		at := all.in("classes", i, "class %s", k.ID)
		other, twice := c.numbers[k.ID]
		switch {
		case k.ID == "":
			c.bad(all.in("classes", i, "class %d", i+1), "it has no name; give it one, such as phones")
		case len(k.ID) > maxName || printable(string(k.ID)) != fmt.Sprintf("%q", string(k.ID)):
			c.bad(at, "its name is not plain text of at most %d letters; rename it", maxName)
		case twice:
			c.clash(at, all.in("classes", other, ""), "there are two of that name; rename one")
		}
		compiled := class{Class: k}
		if len(k.Match) == 0 {
			c.bad(at, "it says nothing of who is in it; give it a match")
		}
		for j := range k.Match {
			if k.Match[j].empty() {
				c.bad(at.in("match", j, "match %d", j+1), "it has no condition, so everybody would be in the class; "+
					"give what is everybody's to the networks")
			}
			m, err := compileMatch(&k.Match[j], c.earlier(list))
			if err != nil {
				c.bad(at.in("match", j, "match %d", j+1), "%v", err)
			}
			compiled.match = append(compiled.match, m)
		}
		c.options(at, k.Options)
		c.fields(at, k.Sname, k.File, k.Next)
		c.part(at, k.Lease)
		c.set.classes = append(c.set.classes, compiled)
		if _, ok := c.numbers[k.ID]; !ok {
			c.numbers[k.ID] = i
		}
	}
}

// earlier finds a class that stands before the one that refers to it: whether a client is in that is known by then.
func (c *checker) earlier(list []Class) func(ClassID) (int, error) {
	return func(id ClassID) (int, error) {
		i, err := c.number(id)
		if err != nil && slices.ContainsFunc(list, func(k Class) bool { return k.ID == id }) {
			err = fmt.Errorf("it refers to class %s, which doesn't stand before it; move that one up", id)
		}
		return i, err
	}
}

// number finds a class and takes note that it is used.
func (c *checker) number(id ClassID) (int, error) {
	i, ok := c.numbers[id]
	if !ok {
		return 0, fmt.Errorf("class %s is not declared; declare it, or correct the name", id)
	}
	c.used.set(i)
	return i, nil
}

// guard compiles whom something is for.
func (c *checker) guard(at place, only, not []ClassID) guard {
	g, err := compileGuard(only, not, c.number)
	if err != nil {
		c.bad(at, "%v", err)
	}
	return g
}

func (c *checker) networks(nets []Network) {
	all := place{}
	names := make(map[ID]place)
	for i := range nets {
		n := &nets[i]
		at := all.in("networks", i, "network %s", n.ID)
		if n.ID == "" {
			c.bad(all.in("networks", i, "network %d", i+1), "it has no name; give it one, such as \"voice\"")
			continue
		}
		if other, ok := names[n.ID]; ok {
			c.clash(at, other, "there are two of that name; rename one")
			continue
		}
		names[n.ID] = at
		if !c.prefix(at, n) {
			continue
		}
		p := &plan{net: n, byHW: make(map[hwaddr.Addr]*Reservation, len(n.Reservations))}
		c.network(at, p)
		for _, o := range c.set.nets {
			c.neighbours(at, names[o.ID], n, o)
		}
		for _, r := range n.Relays {
			switch o := c.set.relay[r]; {
			case o == nil:
				c.set.relay[r] = n
			case n.Shared == "" || n.Shared != o.Shared:
				c.clash(at, names[o.ID], "relay %s already serves network %s; name it in one of them", r, o.ID)
			}
		}
		c.reservations(at, p)
		c.set.nets = append(c.set.nets, n)
		c.set.plans[n.ID] = p
	}
	links := make(map[string][]*plan)
	for _, n := range c.set.nets {
		p := c.set.plans[n.ID]
		p.link = []*plan{p}
		if n.Shared != "" {
			links[n.Shared] = append(links[n.Shared], p)
		}
	}
	for _, link := range links {
		for _, p := range link {
			p.link = link
		}
	}
}

// neighbours checks two networks against each other.
func (c *checker) neighbours(at, other place, n, o *Network) {
	if o.Prefix.Overlaps(n.Prefix) {
		text := fmt.Sprintf("networks %s (%s) and %s (%s) overlap; make their prefixes disjoint", o.ID, o.Prefix, n.ID, n.Prefix)
		c.clash(place{path: at.path}, other, "%s", text)
	}
	one := n.Shared != "" && n.Shared == o.Shared
	switch {
	case n.Interface == "" || o.Interface == "":
	case n.Interface == o.Interface && !one:
		c.clash(at, other, "interface %s is network %s's already; give both the same shared if they are one link, "+
			"or another interface", n.Interface, o.ID)
	case n.Interface != o.Interface && one:
		c.clash(at, other, "it shares its link %s with network %s, which is on interface %s and not %s; give both the same",
			n.Shared, o.ID, o.Interface, n.Interface)
	}
}

// prefix reports whether the rest of the network can be checked against its prefix.
func (c *checker) prefix(at place, n *Network) bool {
	switch {
	case !n.Prefix.IsValid() || !n.Prefix.Addr().Is4() || n.Prefix.Bits() > 30 || n.Prefix.Bits() < 8:
		c.bad(at, "prefix %s is not an IPv4 subnet of /8 to /30, such as 192.0.2.0/24", n.Prefix)
	case n.Prefix != n.Prefix.Masked():
		c.bad(at, "prefix %s has host bits set; write %s", n.Prefix, n.Prefix.Masked())
	default:
		return true
	}
	return false
}

// network fills in defaults and checks one network by itself.
func (c *checker) network(at place, p *plan) {
	n := p.net
	def := DefaultLifetime()
	l := &n.Lease
	l.Default = cmp.Or(l.Default, def.Default)
	l.Min = cmp.Or(l.Min, min(def.Min, l.Default))
	l.Max = cmp.Or(l.Max, max(def.Max, l.Default))
	c.lifetime(at, *l)
	switch n.Rivals {
	case "":
		n.Rivals = RivalsRefuse
	case RivalsRefuse, RivalsAllow:
	default:
		c.bad(at, "rivals %q is unknown; use refuse or allow", n.Rivals)
	}
	switch n.AutoAdd {
	case "":
		n.AutoAdd = AddRecognised
	case AddRecognised, AddAny, AddOff:
	default:
		c.bad(at, "auto_add %q is unknown; use recognised, any or off", n.AutoAdd)
	}
	c.provisioning(at, n)
	switch {
	case n.ShortenAt < 0 || n.ShortenAt > 99:
		c.bad(at, "shorten_at %d is no part in percent; give 1 to 99, or leave it out", n.ShortenAt)
	case n.ShortenAt > 0 && l.Min == l.Default:
		c.warn(at, "shorten_at changes nothing while lease min is as long as default, %s; make min shorter", l.Default)
	}
	if n.Server.IsValid() && !n.Server.Is4() {
		c.bad(at, "server %s is not an IPv4 address", n.Server)
	}
	for _, r := range n.Relays {
		if !r.Is4() || r.IsUnspecified() {
			c.bad(at, "relay %s is not an IPv4 address", r)
		}
	}
	c.options(at, n.Options)
	c.fields(at, n.Sname, n.File, n.Next)
	p.guard = c.guard(at, n.Only, n.Not)
	c.routers(at, n)
	c.pools(at, p)
}

// routers warns of routers that the clients can't reach.
func (c *checker) routers(at place, n *Network) {
	for _, r := range appendRouters(nil, n.Options) {
		if !n.Prefix.Contains(r) {
			c.warn(at, "router %s is not in %s, so its clients can't reach it; name one that is", r, n.Prefix)
		}
	}
}

func (c *checker) pools(at place, p *plan) {
	n := p.net
	for i := range n.Pools {
		o := &n.Pools[i]
		in := at.in("pools", i, "pool %s", o)
		ok := false
		switch {
		case !n.Usable(o.First) || !n.Usable(o.Last):
			c.bad(place{in.path, at.name}, "pool %s reaches beyond the usable addresses of %s; keep it within them", o, n.Prefix)
		case o.Last.Less(o.First):
			c.bad(place{in.path, at.name}, "pool %s ends before it begins; swap its ends", o)
		default:
			ok = true
		}
		for j, e := range n.Pools[:i] {
			if !o.Last.Less(e.First) && !e.Last.Less(o.First) {
				c.clash(place{in.path, at.name}, at.in("pools", j, ""), "pools %s and %s overlap; merge them", e, o)
			}
		}
		if ok {
			c.excluded(in, o)
		}
		g := c.guard(in, o.Only, o.Not)
		p.guards = append(p.guards, g)
		c.options(in, o.Options)
	}
	if !slices.ContainsFunc(p.guards, func(g guard) bool { return g != guard{} }) {
		p.guards = nil
	}
}

// excluded warns of a pool that has nothing left to lease.
func (c *checker) excluded(at place, p *Pool) {
	for _, x := range p.Exclude {
		if !p.spans(x) {
			c.warn(at, "excluded %s is not in it", x)
		}
	}
	for a, last := p.First, 2*len(p.Exclude)+3; p.spans(a) && last > 0; a, last = a.Next(), last-1 {
		if p.Fresh(a) {
			return
		}
	}
	c.warn(at, "it has no address to lease; exclude less, or allow edges if .0 and .255 are meant")
}

// lifetime checks times that are complete.
func (c *checker) lifetime(at place, l Lifetime) {
	if l.Min <= 0 || l.Min > l.Default || l.Default > l.Max {
		c.bad(at, "lease times must be positive and ordered min ≤ default ≤ max, not %s, %s, %s", l.Min, l.Default, l.Max)
	}
	c.part(at, Lifetime{Default: l.Default, Renew: l.Renew, Rebind: l.Rebind})
}

// part checks times of which some may be left out.
func (c *checker) part(at place, l Lifetime) {
	if l.Default < 0 || l.Min < 0 || l.Max < 0 || l.Renew < 0 || l.Rebind < 0 {
		c.bad(at, "lease times must be positive")
		return
	}
	if l.Min > 0 && l.Max > 0 && l.Min > l.Max || l.Default > 0 && (l.Min > l.Default || l.Max > 0 && l.Default > l.Max) {
		c.bad(at, "lease times must be ordered min ≤ default ≤ max, not %s, %s, %s", l.Min, l.Default, l.Max)
	}
	// RFC 2131 §4.4.5: T1 < T2 < the lease.
	if l.Rebind > 0 && l.Renew >= l.Rebind || l.Default > 0 && (l.Renew >= l.Default || l.Rebind >= l.Default) {
		c.bad(at, "clients must renew before they rebind, and rebind before the lease ends: not %s, %s, %s", l.Renew, l.Rebind, l.Default)
	}
	if (l.Renew > 0 || l.Rebind > 0) && (l.Default == 0 || l.Renew == 0 || l.Rebind == 0) {
		c.bad(at, "renew and rebind are parts of default; give all three or none of the two")
	}
}

// fields checks what goes into the header.
func (c *checker) fields(at place, sname, file string, next netip.Addr) {
	if len(sname) > maxSname {
		c.bad(at, "sname has %d bytes; %d are the most, or use option 66", len(sname), maxSname)
	}
	if len(file) > maxFile {
		c.bad(at, "file has %d bytes; %d are the most, or use option 67", len(file), maxFile)
	}
	if next.IsValid() && !next.Is4() {
		c.bad(at, "next %s is not an IPv4 address", next)
	}
}

// options checks one level's options.
func (c *checker) options(at place, list []Option) {
	if len(list) == 0 {
		return
	}
	defs := Defs()
	var seen [256]bool
	for i, o := range list {
		def := defOf(defs, o.Code)
		in := at.in("options", i, "option %d (%s)", o.Code, def.Name)
		if seen[o.Code] {
			c.bad(in, "it is given twice; keep one")
		}
		seen[o.Code] = true
		if serverSets(o.Code) {
			c.bad(in, "the server sets it itself; leave it out")
		}
		if clientSets(o.Code) {
			c.bad(in, "it is nothing that a server may choose to send; leave it out")
		}
		if o.Never && len(o.Data) == 0 {
			continue
		}
		if err := def.check(o.Data); err != nil {
			c.bad(in, "%v", err)
		}
		if o.Code == codeRoutes && !slices.ContainsFunc(prefixes(o.Data), func(p netip.Prefix) bool { return p.Bits() == 0 }) {
			c.warn(in, "it has no default route, and clients that read it ignore option 3 (RFC 3442); "+
				"add one, such as default 192.0.2.254, if they are to reach the rest of the world")
		}
	}
}

func prefixes(b []byte) []netip.Prefix {
	list, _ := routes(b)
	return list
}
