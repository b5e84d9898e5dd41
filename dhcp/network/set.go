package network

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Set is a valid set of networks. The zero value and nil are the empty set.
type Set struct {
	nets  []*Network
	relay map[netip.Addr]*Network
	byHW  map[ID]map[hwaddr.Addr]*Reservation
	byIP  map[netip.Addr]*Reservation
}

// NewSet checks the networks one by one and against each other. The error joins every fault that was found, each with
// the network and the remedy. It keeps the slices that it is given; the caller leaves them alone from then on.
func NewSet(nets []Network) (*Set, error) {
	s := &Set{
		relay: make(map[netip.Addr]*Network),
		byHW:  make(map[ID]map[hwaddr.Addr]*Reservation),
		byIP:  make(map[netip.Addr]*Reservation),
	}
	var errs []error
	for i := range nets {
		n := &nets[i]
		if n.ID == "" {
			errs = append(errs, fmt.Errorf("network %d: it has no name; give it one, such as \"voice\"", i+1))
			continue
		}
		if slices.ContainsFunc(s.nets, func(o *Network) bool { return o.ID == n.ID }) {
			errs = append(errs, fmt.Errorf("network %s: there are two of that name; rename one", n.ID))
			continue
		}
		if err := n.complete(); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, o := range s.nets {
			if o.Prefix.Overlaps(n.Prefix) {
				errs = append(errs, fmt.Errorf("networks %s (%s) and %s (%s) overlap; make their prefixes disjoint", o.ID, o.Prefix, n.ID, n.Prefix))
			}
		}
		for _, r := range n.Relays {
			if o := s.relay[r]; o != nil {
				errs = append(errs, fmt.Errorf("network %s: relay %s already serves network %s; name it in one of them", n.ID, r, o.ID))
				continue
			}
			s.relay[r] = n
		}
		errs = append(errs, s.index(n)...)
		s.nets = append(s.nets, n)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(s.nets, func(a, b *Network) int { return cmp.Compare(a.ID, b.ID) })
	return s, nil
}

// index files the network's reservations.
func (s *Set) index(n *Network) (errs []error) {
	hws := make(map[hwaddr.Addr]*Reservation, len(n.Reservations))
	for i := range n.Reservations {
		r := &n.Reservations[i]
		if o := hws[r.HW]; o != nil {
			errs = append(errs, fmt.Errorf("network %s: %s is reserved both %s and %s; keep one", n.ID, r.HW, o.Addr, r.Addr))
			continue
		}
		if o := s.byIP[r.Addr]; o != nil {
			errs = append(errs, fmt.Errorf("network %s: %s is reserved for both %s and %s; keep one", n.ID, r.Addr, o.HW, r.HW))
			continue
		}
		hws[r.HW], s.byIP[r.Addr] = r, r
	}
	s.byHW[n.ID] = hws
	return errs
}

// complete fills in defaults and checks one network by itself.
func (n *Network) complete() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("network %s: "+format, append([]any{n.ID}, args...)...))
	}
	if !n.Prefix.IsValid() || !n.Prefix.Addr().Is4() || n.Prefix.Bits() > 30 || n.Prefix.Bits() < 8 {
		bad("prefix %s is not an IPv4 subnet of /8 to /30, such as 192.0.2.0/24", n.Prefix)
		return errors.Join(errs...)
	}
	if n.Prefix != n.Prefix.Masked() {
		bad("prefix %s has host bits set; write %s", n.Prefix, n.Prefix.Masked())
		return errors.Join(errs...)
	}
	def := DefaultLifetime()
	l := &n.Lease
	l.Default = cmp.Or(l.Default, def.Default)
	l.Min = cmp.Or(l.Min, min(def.Min, l.Default))
	l.Max = cmp.Or(l.Max, max(def.Max, l.Default))
	if l.Min <= 0 || l.Min > l.Default || l.Default > l.Max {
		bad("lease times must be positive and ordered min ≤ default ≤ max, not %s, %s, %s", l.Min, l.Default, l.Max)
	}
	switch n.AutoAdd {
	case "":
		n.AutoAdd = AddRecognised
	case AddRecognised, AddAny, AddOff:
	default:
		bad("auto_add %q is unknown; use recognised, any or off", n.AutoAdd)
	}
	if n.Server.IsValid() && !n.Server.Is4() {
		bad("server %s is not an IPv4 address", n.Server)
	}
	for i, p := range n.Pools {
		switch {
		case !n.Usable(p.First) || !n.Usable(p.Last):
			bad("pool %s-%s reaches beyond the usable addresses of %s; keep it within them", p.First, p.Last, n.Prefix)
		case p.Last.Less(p.First):
			bad("pool %s-%s ends before it begins; swap its ends", p.First, p.Last)
		}
		for _, o := range n.Pools[:i] {
			if !p.Last.Less(o.First) && !o.Last.Less(p.First) {
				bad("pools %s-%s and %s-%s overlap; merge them", o.First, o.Last, p.First, p.Last)
			}
		}
	}
	for _, r := range n.Reservations {
		switch {
		case r.HW.IsZero() || r.HW.IsGroup():
			bad("the reservation of %s has no device's hardware address", r.Addr)
		case !n.Usable(r.Addr):
			bad("%s is reserved for %s but is no usable address of %s", r.Addr, r.HW, n.Prefix)
		case r.Addr == n.Server:
			bad("%s is reserved for %s but is our own address", r.Addr, r.HW)
		}
	}
	return errors.Join(errs...)
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
	for _, n := range s.All() {
		if n.ID == id {
			return n
		}
	}
	return nil
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
// one of our addresses there. It is nil when there is none.
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

// ReservedFor returns the reservation of a device in a network, or nil.
func (s *Set) ReservedFor(id ID, hw hwaddr.Addr) *Reservation {
	if s == nil {
		return nil
	}
	return s.byHW[id][hw]
}

// Reserved returns the reservation of an address, or nil.
func (s *Set) Reserved(addr netip.Addr) *Reservation {
	if s == nil {
		return nil
	}
	return s.byIP[addr]
}
