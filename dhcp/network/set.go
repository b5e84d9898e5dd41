package network

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Declared is all that an administrator declares about DHCP. Options, Next, Sname and File are for the clients of all
// networks.
type Declared struct {
	Options  []Option
	Next     netip.Addr
	Sname    string
	File     string
	Classes  []Class // the more important first
	Shared   []Shared
	Networks []Network
}

// Shared is what the networks of one link have in common. A link without options needs none.
type Shared struct {
	Name    string // as in the networks' Shared
	Options []Option
}

// Set is a valid set of networks and classes. The zero value and nil are the empty set.
type Set struct {
	nets     []*Network // sorted by ID
	declared Declared
	classes  []class
	plans    map[ID]*plan
	relay    map[netip.Addr]*Network
	byIP     map[netip.Addr]*Reservation
	warnings []Fault
}

// plan is a network, made ready for [Set.Choose].
type plan struct {
	net     *Network
	link    []*plan  // all networks of the link in order, this one, too
	pools   []Pool   // without addresses that are routers', relays' or ours
	guards  []guard  // of the pools; nil: all are for everybody
	guard   guard    // of the network
	options []Option // of the link, and over them of the network
	base    []Option // what a client without classes gets, but for pool and reservation
	byHW    map[hwaddr.Addr]*Reservation
	byID    [3]map[string]*Reservation // by client id, circuit, remote id
}

// NewSet returns the set of networks without classes; see [New].
func NewSet(nets []Network) (*Set, error) { return New(Declared{Networks: nets}) }

// New checks what was declared as a whole. The error is of type [Faults] and has every fault that was found, each with
// its place and the remedy. New fills in defaults in the slices that it is given, and keeps them; the caller leaves them
// alone from then on.
func New(d Declared) (*Set, error) {
	s := &Set{
		declared: d,
		plans:    make(map[ID]*plan, len(d.Networks)),
		relay:    make(map[netip.Addr]*Network),
		byIP:     make(map[netip.Addr]*Reservation),
	}
	c := checker{set: s, numbers: make(map[ClassID]int, len(d.Classes)), owners: make(map[netip.Addr]string)}
	c.check()
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	s.warnings = c.warnings
	for _, n := range s.nets {
		s.plans[n.ID].ready(&s.declared)
	}
	slices.SortFunc(s.nets, func(a, b *Network) int { return cmp.Compare(a.ID, b.ID) })
	return s, nil
}

// ready lays out what doesn't depend on the client.
func (p *plan) ready(d *Declared) {
	var shared []Option
	for i := range d.Shared {
		if d.Shared[i].Name == p.net.Shared {
			shared = d.Shared[i].Options
		}
	}
	p.options = overlay(shared, p.net.Options)
	p.base = overlay(d.Options, p.options)
	taken := p.taken(d)
	p.pools = slices.Clone(p.net.Pools)
	for i := range p.pools {
		pool := &p.pools[i]
		pool.Exclude = slices.Clip(pool.Exclude)
		for _, addr := range taken {
			if pool.Contains(addr) {
				pool.Exclude = append(pool.Exclude, addr)
			}
		}
	}
}

// taken returns addresses of the network that are no client's: ours, the relay agents', and the routers' in whatever
// options.
func (p *plan) taken(d *Declared) []netip.Addr {
	n := p.net
	out := slices.Clone(n.Relays)
	if n.Server.IsValid() {
		out = append(out, n.Server)
	}
	out = appendRouters(out, p.base)
	for i := range d.Classes {
		out = appendRouters(out, d.Classes[i].Options)
	}
	for i := range n.Pools {
		out = appendRouters(out, n.Pools[i].Options)
	}
	for i := range n.Reservations {
		out = appendRouters(out, n.Reservations[i].Options)
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool { return !n.Prefix.Contains(a) })
}

// appendRouters appends the addresses of option 3.
func appendRouters(out []netip.Addr, options []Option) []netip.Addr {
	for _, o := range options {
		if o.Code != codeRouter {
			continue
		}
		for b := o.Data; len(b) >= 4; b = b[4:] {
			out = append(out, netip.AddrFrom4([4]byte(b)))
		}
	}
	return out
}

// Declared returns what the set was made of, defaults filled in. The caller must not change it.
func (s *Set) Declared() Declared {
	if s == nil {
		return Declared{}
	}
	return s.declared
}

// Warnings are what is allowed in what was declared and yet probably not meant. The caller must not change them.
func (s *Set) Warnings() []Fault {
	if s == nil {
		return nil
	}
	return s.warnings
}

// Usable reports whether addr can be a host's: in the prefix, and neither its first (network) nor its last (broadcast).
func (n *Network) Usable(addr netip.Addr) bool {
	return n.Prefix.Contains(addr) && addr != n.Prefix.Addr() && addr != n.Broadcast()
}

// Broadcast returns the prefix's last address.
func (n *Network) Broadcast() netip.Addr {
	a := n.Prefix.Addr().As4()
	for i := n.Prefix.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}

// All returns the networks, sorted by ID. The caller must not change them.
func (s *Set) All() []*Network {
	if s == nil {
		return nil
	}
	return s.nets
}

// Get returns the network of that name, or nil.
func (s *Set) Get(id ID) *Network {
	if p := s.plan(id); p != nil {
		return p.net
	}
	return nil
}

func (s *Set) plan(id ID) *plan {
	if s == nil {
		return nil
	}
	return s.plans[id]
}

// Pools returns all pools of a network as Choose has them: without our own, the routers' and the relay agents' addresses.
// The caller must not change them.
func (s *Set) Pools(id ID) []Pool {
	if p := s.plan(id); p != nil {
		return p.pools
	}
	return nil
}

// Link returns the networks whose clients share n's link, in the order in which they are filled: n alone if it shares
// with none, and nothing if it isn't of the set.
func (s *Set) Link(n *Network) []*Network {
	p := s.plan(n.ID)
	if p == nil {
		return nil
	}
	out := make([]*Network, len(p.link))
	for i, o := range p.link {
		out[i] = o.net
	}
	return out
}

// Containing returns the network whose prefix holds addr, or nil.
func (s *Set) Containing(addr netip.Addr) *Network {
	for _, n := range s.All() {
		if n.Prefix.Contains(addr) {
			return n
		}
	}
	return nil
}

// OnRelay returns the network that a listed relay agent asks for, or nil if giaddr is no listed relay.
func (s *Set) OnRelay(giaddr netip.Addr) *Network {
	if s == nil {
		return nil
	}
	return s.relay[giaddr]
}

// OnLink returns the network whose clients are on the interface: the one bound to it by name, else the one that holds
// one of our addresses there. It is nil when there is none. Of networks that share the link it is any.
func (s *Set) OnLink(iface string, ours []netip.Addr) *Network {
	for _, n := range s.All() {
		if n.Interface != "" && n.Interface == iface {
			return n
		}
	}
	for _, addr := range ours {
		if n := s.Containing(addr); n != nil && n.Interface == "" {
			return n
		}
	}
	return nil
}

// ReservedFor returns the reservation of a device in a network by its hardware address, or nil.
func (s *Set) ReservedFor(id ID, hw hwaddr.Addr) *Reservation {
	if p := s.plan(id); p != nil {
		return p.byHW[hw]
	}
	return nil
}

// Reserved returns the reservation of an address, or nil.
func (s *Set) Reserved(addr netip.Addr) *Reservation {
	if s == nil {
		return nil
	}
	return s.byIP[addr]
}
