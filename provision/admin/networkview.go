package admin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// PoolUsage is how many addresses of a pool are whose.
type PoolUsage struct {
	Network network.ID
	network.Pool
	Size        int // addresses that the pool may lease
	Used        int // leased or on offer
	Reserved    int // kept for a client that hasn't got it now
	Quarantined int // in use by a stranger
	Free        int
}

// PoolUsages counts the addresses of all pools in force, by network.
func (s *Service) PoolUsages() []PoolUsage {
	set, now := s.Networks.Networks(), time.Now()
	var out []PoolUsage
	for _, n := range set.All() {
		for _, p := range set.Pools(n.ID) {
			u := PoolUsage{Network: n.ID, Pool: p, Size: poolSize(p)}
			for i := range n.Reservations {
				if p.Contains(n.Reservations[i].Addr) {
					u.Reserved++
				}
			}
			out = append(out, u)
		}
	}
	for _, l := range s.Leases.All() {
		if !now.Before(l.Expiry) {
			continue
		}
		i := slices.IndexFunc(out, func(u PoolUsage) bool { return u.Network == l.Network && u.Contains(l.Addr) })
		if i < 0 {
			continue
		}
		switch l.State {
		case lease.Bound, lease.Offered:
			out[i].Used++
		case lease.Declined:
			out[i].Quarantined++
		default:
			continue
		}
		if set.Reserved(l.Addr) != nil {
			out[i].Reserved--
		}
	}
	for i := range out {
		u := &out[i]
		u.Free = u.Size - u.Used - u.Reserved - u.Quarantined
	}
	return out
}

func poolSize(p network.Pool) int {
	number := func(a netip.Addr) int {
		b := a.As4()
		return int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	}
	n := number(p.Last) - number(p.First) + 1
	excluded := make(map[netip.Addr]bool, len(p.Exclude))
	for _, a := range p.Exclude {
		if !a.Less(p.First) && !p.Last.Less(a) {
			excluded[a] = true
		}
	}
	return n - len(excluded)
}

// ReservationState is what has become of a reservation.
type ReservationState string

// The states.
const (
	ReservationUsed     ReservationState = "in_use"   // whom it is for has the address
	ReservationConflict ReservationState = "conflict" // another client has it
	ReservationDeclined ReservationState = "declined" // a stranger uses it
	ReservationExpired  ReservationState = "expired"  // whom it is for had it
	ReservationUnused   ReservationState = "unused"   // nobody is known to have had it
)

// Reserved is a reservation with what the lease table knows of its address.
type Reserved struct {
	network.Reservation
	Network network.ID
	State   ReservationState
	Lease   lease.Lease // the address's; the zero one: it has none
}

// PageReservations returns a page of the reservations in force, by address if nothing else is said, and the revision of
// what is declared.
func (s *Service) PageReservations(ctx context.Context, p Page) (List[Reserved], uint64, error) {
	d, rev, err := s.Networks.LoadDeclared(ctx)
	if err != nil {
		return List[Reserved]{}, 0, err
	}
	now := time.Now()
	leases := make(map[netip.Addr]lease.Lease)
	for _, l := range s.Leases.All() {
		leases[l.Addr] = l
	}
	var all []Reserved
	for i := range d.Networks {
		for _, r := range d.Networks[i].Reservations {
			l, ok := leases[r.Addr]
			x := Reserved{Reservation: r, Network: d.Networks[i].ID, Lease: l, State: ReservationUnused}
			if ok {
				x.State = reservationState(&r, &l, now)
			}
			all = append(all, x)
		}
	}
	list, err := reservedTable().page(all, p)
	return list, rev, err
}

func reservationState(r *network.Reservation, l *lease.Lease, now time.Time) ReservationState {
	switch over := !now.Before(l.Expiry); {
	case l.State == lease.Declined && !over:
		return ReservationDeclined
	case l.Active(now) && isFor(r, l.Client):
		return ReservationUsed
	case l.Active(now):
		return ReservationConflict
	case l.State != lease.Offered && isFor(r, l.Client):
		return ReservationExpired
	}
	return ReservationUnused
}

func reservedTable() *table[Reserved] {
	type x = Reserved
	return &table[x]{sort: "address", id: func(r *x) string { return addrKey(r.Addr) }, fields: map[string]field[x]{
		"address":  {text: func(r *x) string { return r.Addr.String() }, key: func(r *x) string { return addrKey(r.Addr) }, free: true},
		"mac":      {text: func(r *x) string { return r.HW.String() }, free: true, mac: true},
		"owner":    {text: func(r *x) string { return r.Owner() }, free: true},
		"network":  {text: func(r *x) string { return string(r.Network) }, exact: true},
		"hostname": {text: func(r *x) string { return provision.Printable(r.Hostname) }, free: true},
		"status":   {text: func(r *x) string { return string(r.State) }, exact: true},
	}}
}

// EffectiveOption is an option that clients are given, and the level that says so: all, shared or network.
type EffectiveOption struct {
	network.Option
	From string
}

// EffectiveOptions returns what every client of a network is given, but for what its class, pool, reservation or plugin
// says over it, and the revision of what is declared.
func (s *Service) EffectiveOptions(ctx context.Context, id network.ID) ([]EffectiveOption, uint64, error) {
	d, rev, err := s.Networks.LoadDeclared(ctx)
	if err != nil {
		return nil, 0, err
	}
	i, err := place(d, id)
	if err != nil {
		return nil, 0, err
	}
	var link []network.Option
	for _, l := range d.Shared {
		if l.Name == d.Networks[i].Shared {
			link = l.Options
		}
	}
	var merged []network.Option
	from := make(map[uint8]string)
	for _, level := range []struct {
		name string
		list []network.Option
	}{{"all", d.Options}, {"shared", link}, {"network", d.Networks[i].Options}} {
		merged = network.Merge(merged, level.list)
		for _, o := range level.list {
			from[o.Code] = level.name
		}
	}
	var out []EffectiveOption
	for _, o := range merged {
		out = append(out, EffectiveOption{o, from[o.Code]})
	}
	return out, rev, nil
}

// EditNetwork changes a network by what edit makes of it. Faults, also those that edit returns, have pointers into it. Rev
// is as in [Service.Declare]; with 0, edit is called again if another change was faster.
func (s *Service) EditNetwork(
	ctx context.Context, id network.ID, rev uint64, w Write, edit func(network.Network) (network.Network, error),
) (NetworkResult, error) {
	return s.editNetwork(ctx, "network "+provision.Printable(string(id)), id, rev, w, func(n *network.Network) (string, error) {
		to, err := edit(*n)
		if err == nil && to.ID != id {
			err = Faults{{Pointer: "/id", Text: "a network can't be renamed; make a new one", Kind: provision.ErrInvalid}}
		}
		*n = to
		return "", err
	})
}

// EditReservation changes the reservation of an address as [Service.EditNetwork] does a network.
func (s *Service) EditReservation(
	ctx context.Context, at netip.Addr, rev uint64, w Write, edit func(network.Reservation) (network.Reservation, error),
) (NetworkResult, error) {
	id, err := s.networkAround(ctx, at)
	if err != nil {
		return NetworkResult{}, err
	}
	return s.editNetwork(ctx, fmt.Sprintf("reservation of %s", at), id, rev, w, func(n *network.Network) (string, error) {
		i, err := reservationOf(n, at)
		if err != nil {
			return "", err
		}
		pointer := fmt.Sprintf("/reservations/%d", i)
		n.Reservations[i], err = edit(n.Reservations[i])
		return pointer, err
	})
}

// AddReservation keeps an address for a client, in the network that the address is of. Faults have pointers into r.
func (s *Service) AddReservation(ctx context.Context, r network.Reservation, rev uint64, w Write) (NetworkResult, error) {
	id, err := s.networkAround(ctx, r.Addr)
	if err != nil {
		return NetworkResult{}, Faults{{Pointer: "/ip", Text: err.Error(), Kind: provision.ErrInvalid}}
	}
	return s.PutReservation(ctx, id, netip.Addr{}, r, rev, w)
}

// RemoveReservation ends that an address is kept for a client.
func (s *Service) RemoveReservation(ctx context.Context, at netip.Addr, rev uint64, w Write) (NetworkResult, error) {
	id, err := s.networkAround(ctx, at)
	if err != nil {
		return NetworkResult{}, err
	}
	return s.DeleteReservation(ctx, id, at, rev, w)
}

// networkAround returns the declared network that an address is of.
func (s *Service) networkAround(ctx context.Context, at netip.Addr) (network.ID, error) {
	d, _, err := s.Networks.LoadDeclared(ctx)
	if err != nil {
		return "", err
	}
	for i := range d.Networks {
		if d.Networks[i].Prefix.Contains(at) {
			return d.Networks[i].ID, nil
		}
	}
	return "", fmt.Errorf("%s is in no network that is declared: %w", at, provision.ErrNotFound)
}
