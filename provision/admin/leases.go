package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// Told takes in what other DHCP servers say of their leases.
type Told interface {
	// Tell takes in that a client holds an address (Bound) or holds it no more (any other state), and returns what the
	// table has of the address then. ErrWrongNet: the address or the client can't be. ErrTaken: we ourselves leased the
	// address to another client.
	Tell(context.Context, lease.Lease) (lease.Lease, error)
}

// LeaseEvent is what another DHCP server says of one of its leases.
type LeaseEvent struct {
	// State is Bound for a lease that begins or goes on; Released, Expired and Declined for one that ended.
	State  lease.State
	Addr   netip.Addr
	Client lease.Client // of a lease that ended, it may be empty
	// Expires and Lifetime say when the lease runs out; one of them, or none if the server doesn't know.
	Expires  time.Time
	Lifetime time.Duration
}

// LeaseEvent takes in what another DHCP server says of one of its leases, and returns what is known of the address then.
// The device is made known by it as by a lease of ours.
func (s *Service) LeaseEvent(ctx context.Context, e LeaseEvent) (lease.Lease, error) {
	l := lease.Lease{Addr: e.Addr, State: e.State, Client: e.Client, Expiry: e.Expires}
	switch {
	case !e.Addr.Is4():
		return lease.Lease{}, fmt.Errorf("lease event: %w", invalidField("/ip", "the lease's IPv4 address is needed"))
	case e.State == lease.Bound && e.Client.HW.IsZero():
		return lease.Lease{}, fmt.Errorf("lease event: %w", invalidField("/mac", "the MAC of who holds %s is needed", e.Addr))
	case e.Lifetime < 0, e.Lifetime > 0 && !e.Expires.IsZero():
		return lease.Lease{}, fmt.Errorf("lease event: %w", invalidField("/lifetime", "say when the lease of %s runs out, or for how long it is, not both", e.Addr))
	case e.Lifetime > 0:
		l.Expiry = time.Now().Add(e.Lifetime)
	}
	now, err := s.Told.Tell(ctx, l)
	switch {
	case errors.Is(err, lease.ErrTaken):
		err = &toldError{err, provision.ErrConflict}
	case errors.Is(err, lease.ErrWrongNet):
		err = &toldError{err, provision.ErrInvalid}
	case err != nil:
		err = fmt.Errorf("lease event: %w", err)
	}
	return now, err
}

// toldError is why an event wasn't taken in, which its text says without the kind's.
type toldError struct{ err, kind error }

func (e *toldError) Error() string   { return "lease event: " + e.err.Error() }
func (e *toldError) Unwrap() []error { return []error{e.err, e.kind} }

// ReleaseLease ends the lease of an address, by an event as if its holder had given it back. Who holds it isn't told: it
// goes on using the address until it renews, and may be leased it again then. It returns the lease as it was.
func (s *Service) ReleaseLease(ctx context.Context, addr netip.Addr, w Write) (lease.Lease, error) {
	if err := checkBy(w.By); err != nil {
		return lease.Lease{}, fmt.Errorf("release %s: %w", addr, err)
	}
	l, ok := s.Leases.ByAddr(addr)
	if !ok {
		return lease.Lease{}, fmt.Errorf("release %s: nobody holds it: %w", addr, provision.ErrNotFound)
	}
	if w.DryRun {
		return l, nil
	}
	err := describe(ctx, "lease "+addr.String(), map[string]any{
		"address": addr, "mac": l.Client.HW, "network": l.Network, "expires": l.Expiry,
	}, nil)
	if err != nil {
		return lease.Lease{}, err
	}
	if l.Origin == lease.External {
		_, err = s.LeaseEvent(ctx, LeaseEvent{State: lease.Released, Addr: addr, Client: l.Client})
	} else {
		err = s.EndLease(ctx, lease.Scope{}, l.Client, addr)
	}
	switch {
	case errors.Is(err, lease.ErrNone):
		return lease.Lease{}, fmt.Errorf("release %s: it is no longer %s's: %w", addr, l.Client.HW, provision.ErrConflict)
	case err != nil:
		return lease.Lease{}, fmt.Errorf("release %s: %w", addr, err)
	}
	return l, nil
}
