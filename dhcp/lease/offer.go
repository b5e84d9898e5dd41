package lease

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

const (
	// offerHold is for how long an offered address is kept for a client. Clients answer within seconds; RFC 2131
	// §4.4.1 lets them wait as long as 64 s only if they hear no offer.
	offerHold = time.Minute
	// maxOffers bounds the offers, so that a flood of DISCOVERs from made-up clients costs neither memory nor, for
	// long, addresses. It is beyond what a site's phones need when they all start at once.
	maxOffers = 4096
)

// Offer chooses an address for a client and keeps it for the client for a minute, in memory only: there is no event,
// and the oldest offer makes room when there are too many. A client that asks again gets the same offer again.
//
// The choice is the first of these that the scope allows and that nobody else holds or was offered: the address that is
// reserved for the client; the one that it holds; the one that it was offered; the last one that it held; the one that
// it wants (may be zero); an address that was never leased, found from a place that depends on the client alone, so that
// it gets the same one even if all leases were lost; the address whose lease ended longest ago. ErrNone: there is none.
func (t *Table) Offer(ctx context.Context, s Scope, c Client, want netip.Addr) (Lease, error) {
	var l Lease
	err := t.seek(ctx, s, c, want, t.pool, func(now time.Time, addr netip.Addr) { l = t.hold(now, s, c, addr).lease() })
	if err != nil {
		return Lease{}, fmt.Errorf("offer to %s: %w", c.HW, err)
	}
	return l, nil
}

// Peek returns what Offer would, and keeps nothing: neither the client nor anybody else is offered another address for
// having been asked about. Like Offer it waits while what the client holds is being written.
func (t *Table) Peek(ctx context.Context, s Scope, c Client, want netip.Addr) (Lease, error) {
	var l Lease
	err := t.seek(ctx, s, c, want, t.view, func(now time.Time, addr netip.Addr) {
		l = Lease{
			Addr: addr, Network: s.Network.ID, Client: c, State: Offered, Origin: s.origin(addr), Start: now, Expiry: now.Add(offerHold),
		}
	})
	if err != nil {
		return Lease{}, fmt.Errorf("look for an address for %s: %w", c.HW, err)
	}
	return l, nil
}

// seek finds the address that a client would be offered and hands it on, under the lock.
func (t *Table) seek(
	ctx context.Context, s Scope, c Client, want netip.Addr, index func(network.Pool) *pool, found func(time.Time, netip.Addr),
) error {
	_, err := t.begin(ctx, func(now time.Time) (o, wait *op, err error) {
		if c.HW.IsZero() {
			return nil, nil, ErrNone
		}
		if wait, err := t.ready(nil, s.Network.ID, c.HW); wait != nil || err != nil {
			return nil, wait, err
		}
		addr, ok := t.pick(now, s, c.HW, want, index)
		if !ok {
			return nil, nil, ErrNone
		}
		found(now, addr)
		return nil, nil, nil
	})
	return err
}

// Withdraw forgets what was offered to a client in a network: it chose another server (RFC 2131 §3.1 step 4).
func (t *Table) Withdraw(id network.ID, hw hwaddr.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tn := t.lookup(id, hw); tn != nil && tn.offered != nil {
		t.drop(tn.offered.hold)
	}
}

// live reports whether the offer still stands; h may be nil.
func (h *hold) live() bool { return h != nil && time.Now().Before(h.until) }

func (h *hold) lease() Lease {
	return Lease{
		Addr: h.entry.ip(), Network: h.tenant.network, Client: h.client,
		State: Offered, Origin: h.origin, Start: h.start, Expiry: h.start.Add(offerHold),
	}
}

// hold makes or renews an offer of an address that is free for the client.
func (t *Table) hold(now time.Time, s Scope, c Client, addr netip.Addr) *hold {
	e, tn := t.entry(addr), t.tenant(s.Network.ID, c.HW)
	if tn.offered != nil && tn.offered != e {
		t.drop(tn.offered.hold)
		tn = t.tenant(s.Network.ID, c.HW) // it may have been all that was known of the client
	}
	h := e.hold
	if h == nil || h.tenant != tn {
		t.drop(h)
		e = t.entry(addr)
		h = &hold{entry: e, tenant: tn}
		h.place = t.holds.PushBack(h)
		e.hold, tn.offered = h, e
	}
	h.client, h.origin, h.start, h.until = c, s.origin(addr), now, time.Now().Add(offerHold)
	t.holds.MoveToBack(h.place)
	if t.holds.Len() > maxOffers {
		t.drop(t.holds.Front().Value.(*hold))
	}
	t.tidy(e, nil)
	return h
}

// drop ends an offer; h may be nil.
func (t *Table) drop(h *hold) {
	if h == nil {
		return
	}
	t.holds.Remove(h.place)
	h.entry.hold, h.tenant.offered = nil, nil
	t.tidy(h.entry, h.tenant)
}

// lapse drops the offers that have stood long enough. All stand equally long, so they lapse in order.
func (t *Table) lapse() {
	for f := t.holds.Front(); f != nil && !f.Value.(*hold).live(); f = t.holds.Front() {
		t.drop(f.Value.(*hold))
	}
}
