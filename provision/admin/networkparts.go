package admin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// PutPool adds a pool to a network, or replaces the one that begins at first. An invalid first adds. Faults have pointers
// into p. Rev is as in [Service.Declare], here and in all that follows.
func (s *Service) PutPool(ctx context.Context, id network.ID, first netip.Addr, p network.Pool, rev uint64, w Write) (NetworkResult, error) {
	return s.editNetwork(ctx, fmt.Sprintf("pool %s of network %s", p, id), id, rev, w, func(n *network.Network) (string, error) {
		i := len(n.Pools)
		if first.IsValid() {
			var err error
			if i, err = poolAt(n, first); err != nil {
				return "", err
			}
			n.Pools[i] = p
		} else {
			n.Pools = append(n.Pools, p)
		}
		return pointerTo("/pools", strconv.Itoa(i)), nil
	})
}

// DeletePool removes the pool that begins at first from a network.
func (s *Service) DeletePool(ctx context.Context, id network.ID, first netip.Addr, rev uint64, w Write) (NetworkResult, error) {
	return s.editNetwork(ctx, fmt.Sprintf("pool from %s of network %s", first, id), id, rev, w, func(n *network.Network) (string, error) {
		i, err := poolAt(n, first)
		if err == nil {
			n.Pools = slices.Delete(n.Pools, i, i+1)
		}
		return "", err
	})
}

func poolAt(n *network.Network, first netip.Addr) (int, error) {
	i := slices.IndexFunc(n.Pools, func(p network.Pool) bool { return p.First == first })
	if i < 0 {
		return 0, fmt.Errorf("no pool begins at %s: %w", first, provision.ErrNotFound)
	}
	return i, nil
}

// PutReservation adds a reservation to a network, or replaces the one of the address at. An invalid address adds. Faults
// have pointers into r.
func (s *Service) PutReservation(
	ctx context.Context, id network.ID, at netip.Addr, r network.Reservation, rev uint64, w Write,
) (NetworkResult, error) {
	return s.editNetwork(ctx, fmt.Sprintf("reservation of %s", r.Addr), id, rev, w, func(n *network.Network) (string, error) {
		i := len(n.Reservations)
		if at.IsValid() {
			var err error
			if i, err = reservationOf(n, at); err != nil {
				return "", err
			}
			n.Reservations[i] = r
		} else {
			n.Reservations = append(n.Reservations, r)
		}
		return pointerTo("/reservations", strconv.Itoa(i)), nil
	})
}

// DeleteReservation removes the reservation of an address.
func (s *Service) DeleteReservation(ctx context.Context, id network.ID, addr netip.Addr, rev uint64, w Write) (NetworkResult, error) {
	return s.editNetwork(ctx, fmt.Sprintf("reservation of %s", addr), id, rev, w, func(n *network.Network) (string, error) {
		i, err := reservationOf(n, addr)
		if err == nil {
			n.Reservations = slices.Delete(n.Reservations, i, i+1)
		}
		return "", err
	})
}

func reservationOf(n *network.Network, addr netip.Addr) (int, error) {
	i := slices.IndexFunc(n.Reservations, func(r network.Reservation) bool { return r.Addr == addr })
	if i < 0 {
		return 0, fmt.Errorf("%s isn't reserved in network %s: %w", addr, n.ID, provision.ErrNotFound)
	}
	return i, nil
}

// KeepAddress makes an address permanent: it is reserved for the client that holds it now. A reservation that is there
// already stays as it is.
func (s *Service) KeepAddress(ctx context.Context, addr netip.Addr, w Write) (NetworkResult, error) {
	object := fmt.Sprintf("reservation of %s", addr)
	l, ok := s.Leases.ByAddr(addr)
	if !ok {
		return NetworkResult{}, fmt.Errorf("%s: nobody holds it: %w", object, provision.ErrNotFound)
	}
	return s.editNetwork(ctx, object, l.Network, 0, w, func(n *network.Network) (string, error) {
		if i, err := reservationOf(n, addr); err == nil && isFor(&n.Reservations[i], l.Client) {
			return "", nil
		}
		n.Reservations = append(n.Reservations, network.Reservation{HW: l.Client.HW, Addr: addr})
		return pointerTo("/reservations", strconv.Itoa(len(n.Reservations)-1)), nil
	})
}

// PutOptions replaces the options that a network's clients are given; those of all networks if id is empty. Pointers of
// faults are into the list.
func (s *Service) PutOptions(ctx context.Context, id network.ID, list []network.Option, rev uint64, w Write) (NetworkResult, error) {
	if id == "" {
		return s.declare(ctx, declaring{object: "options of all networks", rev: rev, edit: func(d *network.Declared) (string, error) {
			d.Options = list
			return "/options", nil
		}}, w)
	}
	return s.editNetwork(ctx, fmt.Sprintf("options of network %s", id), id, rev, w, func(n *network.Network) (string, error) {
		n.Options = list
		return "/options", nil
	})
}

// PutClass replaces the class of k's name, or adds it: before the one that before names, and behind all others if that is
// empty. One that is moved keeps its other properties. Faults have pointers into k.
func (s *Service) PutClass(ctx context.Context, k network.Class, before network.ClassID, rev uint64, w Write) (NetworkResult, error) {
	return s.declare(ctx, declaring{object: "class " + provision.Printable(string(k.ID)), rev: rev, edit: func(d *network.Declared) (string, error) {
		i, err := classAt(d, k.ID)
		there := err == nil
		if there && before == "" {
			d.Classes[i] = k
			return pointerTo("/classes", strconv.Itoa(i)), nil
		}
		if there {
			d.Classes = slices.Delete(d.Classes, i, i+1)
		}
		i = len(d.Classes)
		if before != "" {
			if i, err = classAt(d, before); err != nil {
				return "", err
			}
		}
		d.Classes = slices.Insert(d.Classes, i, k)
		return pointerTo("/classes", strconv.Itoa(i)), nil
	}}, w)
}

// DeleteClass removes a class that nothing refers to.
func (s *Service) DeleteClass(ctx context.Context, id network.ClassID, rev uint64, w Write) (NetworkResult, error) {
	return s.declare(ctx, declaring{object: "class " + provision.Printable(string(id)), rev: rev, edit: func(d *network.Declared) (string, error) {
		i, err := classAt(d, id)
		if err == nil {
			d.Classes = slices.Delete(d.Classes, i, i+1)
		}
		return "", err
	}}, w)
}

func classAt(d *network.Declared, id network.ClassID) (int, error) {
	var names []network.ClassID
	for i := range d.Classes {
		if d.Classes[i].ID == id {
			return i, nil
		}
		names = append(names, d.Classes[i].ID)
	}
	return 0, fmt.Errorf("there is no class %q%s: %w", provision.Printable(string(id)), hint(string(id), names), provision.ErrNotFound)
}
