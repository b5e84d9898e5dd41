package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// The spans of quarantine if the caller names none. An address that is reserved for the client that declined it comes
// back sooner: the client has no other of its own, and administrators tend to fix such a conflict.
const (
	quarantine         = 24 * time.Hour
	quarantineReserved = 10 * time.Minute
)

// Bind leases an address to the client, or extends its lease. When it returns without an error, the lease is on disk
// and visible. An older address of the client in that network is ended by the same commit.
//
// The errors are ErrTaken, ErrWrongNet (also for an address that isn't the one that is reserved for the client, if it
// can have that) and those of the store; after one of the store's the client must hear nothing, for the lease may be on
// disk or not. One exception keeps phones working while the disk is full or broken: if the client holds that address
// already, the error is ErrDegraded as well and the lease is the one that it holds, as it was. The client may be told
// of that for what is left of it, until Expiry by [Table.Now], and for not a second more: that much was on disk before.
func (t *Table) Bind(ctx context.Context, s Scope, c Client, addr netip.Addr) (Lease, error) {
	o, err := t.begin(ctx, func(now time.Time) (*op, *op, error) { return t.planBind(now, s, c, addr) })
	unsure := errors.Is(err, errUnsure)
	if err == nil {
		err = t.commit(ctx, o)
		unsure = err != nil && !errors.Is(err, ErrConflict)
	}
	if err == nil {
		return o.changes[len(o.changes)-1].Next, nil
	}
	if unsure {
		if l, ok := t.held(s, c, addr); ok {
			return l, fmt.Errorf("bind %s to %s: %w: %w", addr, c.HW, ErrDegraded, err)
		}
	}
	return Lease{}, fmt.Errorf("bind %s to %s: %w", addr, c.HW, err)
}

// held returns the lease of ours by which the client holds the address, whatever became of the commits since: none of
// them can have taken it from the client, or it would be hidden.
func (t *Table) held(s Scope, c Client, addr netip.Addr) (Lease, bool) {
	now := t.clock.now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := t.at(addr)
	if e == nil || !e.visible(now) || e.hw != c.HW || e.traits.network != s.Network.ID || e.origin == External {
		return Lease{}, false
	}
	return e.lease(), true
}

// Release ends the client's lease of the address. It is ErrNone if the client doesn't hold it, or holds it of another
// server. The scope's network may be nil: then the address alone decides, for the network may no longer be declared.
func (t *Table) Release(ctx context.Context, s Scope, c Client, addr netip.Addr) error {
	err := t.end(ctx, s, c, addr, func(_ time.Time, l *Lease) Kind {
		l.State = Released
		return KindReleased
	})
	if err != nil {
		return fmt.Errorf("release %s of %s: %w", addr, c.HW, err)
	}
	return nil
}

// Decline ends the client's lease of an address that it found in use by a stranger. Nobody gets the address before the
// span has passed; zero means a day, or ten minutes if the address is reserved for the client. It is ErrNone if the
// client doesn't hold the address.
func (t *Table) Decline(ctx context.Context, s Scope, c Client, addr netip.Addr, span time.Duration) error {
	err := t.end(ctx, s, c, addr, func(now time.Time, l *Lease) Kind {
		switch {
		case span > 0:
		case l.Origin == Reserved:
			span = quarantineReserved
		default:
			span = quarantine
		}
		l.State, l.Start, l.Expiry = Declined, now, now.Add(span)
		return KindDeclined
	})
	if err != nil {
		return fmt.Errorf("decline %s by %s: %w", addr, c.HW, err)
	}
	return nil
}

// end changes the client's active lease of the address to one that isn't.
func (t *Table) end(ctx context.Context, s Scope, c Client, addr netip.Addr, change func(time.Time, *Lease) Kind) error {
	o, err := t.begin(ctx, func(now time.Time) (*op, *op, error) {
		e := t.at(addr)
		switch {
		case e == nil:
			return nil, nil, ErrNone
		case e.op != nil:
			return nil, e.op, nil
		case e.suspect:
			return nil, nil, errUnsure
		case !e.visible(now) || e.hw != c.HW || e.origin == External,
			s.Network != nil && s.Network.ID != e.traits.network:
			return nil, nil, ErrNone
		}
		next := e.lease()
		next.Expiry = now
		kind := change(now, &next)
		o := &op{entries: []*entry{e}}
		o.add(now, kind, e.lease(), next)
		return o, nil, nil
	})
	if err != nil {
		return err
	}
	return t.commit(ctx, o)
}

// Quarantine puts an address that nobody holds out of use, for a probe found a stranger there. An offer of it is
// withdrawn. Zero means a day. It is ErrTaken if somebody holds the address or it is in quarantine already.
func (t *Table) Quarantine(ctx context.Context, s Scope, addr netip.Addr, span time.Duration) error {
	if span <= 0 {
		span = quarantine
	}
	o, err := t.begin(ctx, func(now time.Time) (*op, *op, error) {
		if !s.Network.Usable(addr) {
			return nil, nil, ErrWrongNet
		}
		e := t.at(addr)
		if e != nil {
			switch {
			case e.op != nil:
				return nil, e.op, nil
			case e.suspect:
				return nil, nil, errUnsure
			case e.active(now), e.state == Declined:
				return nil, nil, ErrTaken
			}
		} else {
			e = t.entry(addr)
		}
		o := &op{entries: []*entry{e}}
		next := Lease{Addr: addr, Network: s.Network.ID, State: Declined, Origin: Pool, Start: now, Expiry: now.Add(span)}
		o.add(now, KindDeclined, o.clear(now, e), next)
		return o, nil, nil
	})
	if err == nil {
		err = t.commit(ctx, o)
	}
	if err != nil {
		return fmt.Errorf("quarantine %s: %w", addr, err)
	}
	return nil
}

// Observe records what is known of another server's lease: that it is Bound, or that it ended (any other state). Its
// Origin must be External. What another server says doesn't overrule a lease of ours: it is ErrTaken if we leased the
// address to another client, and nothing changes if we leased it to that one.
func (t *Table) Observe(ctx context.Context, l Lease) error {
	if l.Origin != External || !l.Addr.Is4() || l.Client.HW.IsZero() {
		return fmt.Errorf("observe lease of %s: %w", l.Addr, ErrWrongNet)
	}
	o, err := t.begin(ctx, func(now time.Time) (*op, *op, error) { return t.planObserve(now, l) })
	if err == nil && o != nil {
		err = t.commit(ctx, o)
	}
	if err != nil {
		return fmt.Errorf("observe lease of %s: %w", l.Addr, err)
	}
	return nil
}

// begin plans a commit and marks what it changes. The plan is made under the lock, and again if it says that another
// commit must end first.
func (t *Table) begin(ctx context.Context, plan func(now time.Time) (o, wait *op, err error)) (*op, error) {
	for {
		t.mu.Lock()
		t.lapse()
		o, wait, err := plan(t.clock.now())
		if wait == nil {
			if err == nil && o != nil {
				t.mark(o)
			}
			t.mu.Unlock()
			return o, err
		}
		t.mu.Unlock()
		select {
		case <-wait.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (t *Table) mark(o *op) {
	o.done = make(chan struct{})
	o.steps = t.clock.steps
	if o.tenant != nil {
		o.tenant.op = o
	}
	for _, e := range o.entries {
		e.op = o
		t.tidy(e, nil)
	}
}

// commit brings a marked change to the disk, then into sight.
func (t *Table) commit(ctx context.Context, o *op) error {
	var events []Event
	err := errors.New("the store did not return") // it panicked; somebody above will say so
	defer func() {
		t.finish(o, err)
		if err == nil {
			t.pub.publish(events)
		}
	}()
	// Its own context may end while the commit waits for others, and we must see what became of it.
	events, err = t.store.CommitLeases(context.WithoutCancel(ctx), o.changes...)
	return err
}

func (t *Table) finish(o *op, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.apply(o)
	case errors.Is(err, ErrReadOnly):
		t.shun(o)
	default:
		t.doubt(o)
	}
	for _, e := range o.shifted {
		if err != nil && !e.shifted {
			e.shifted = true
			t.shifted = append(t.shifted, e)
		}
	}
	if o.tenant != nil {
		o.tenant.op = nil
	}
	for _, e := range o.entries {
		e.op = nil
		t.tidy(e, nil)
	}
	t.tidy(nil, o.tenant)
	close(o.done)
}

func (t *Table) apply(o *op) {
	if tn := o.tenant; tn != nil && tn.offered != nil {
		t.drop(tn.offered.hold)
	}
	for _, c := range o.changes {
		e := t.at(c.Next.Addr)
		e.local, e.hidden = true, false
		t.set(e, c.Next)
		if t.clock.steps != o.steps {
			t.shift(e, t.clock.steps-o.steps)
		}
	}
}

// doubt makes what a failed commit was to change unusable until it is read again. That is so for a conflict, too: it
// wasn't written, but what we know isn't what the store holds.
func (t *Table) doubt(o *op) {
	for _, e := range o.entries {
		e.suspect = true
	}
	for _, c := range o.changes {
		if c.Next.State != Bound || c.Next.Client.HW != c.Prev.Client.HW {
			t.at(c.Next.Addr).hidden = true
		}
	}
	if o.tenant != nil {
		o.tenant.suspect = true
	}
	t.doubts = append(t.doubts, o)
	t.pub.stale.Store(true)
}

func (t *Table) planBind(now time.Time, s Scope, c Client, addr netip.Addr) (o, wait *op, err error) {
	switch {
	case s.Lifetime <= 0:
		return nil, nil, fmt.Errorf("a lifetime of %s is none", s.Lifetime)
	case c.HW.IsZero():
		return nil, nil, ErrWrongNet
	case s.allows(c.HW, addr) != nil:
		return nil, nil, s.allows(c.HW, addr)
	}
	if wait, err := t.ready(t.at(addr), s.Network.ID, c.HW); wait != nil || err != nil {
		return nil, wait, err
	}
	if !t.free(now, c.HW, addr) {
		return nil, nil, ErrTaken
	}
	if r := s.reserved(c.HW); r != nil && r.Addr != addr && t.free(now, c.HW, r.Addr) {
		return nil, nil, ErrWrongNet
	}
	next := Lease{
		Addr: addr, Network: s.Network.ID, Client: c,
		State: Bound, Origin: s.origin(addr), Start: now, Expiry: now.Add(s.Lifetime),
	}
	return t.succeed(now, next, s.Boot), nil, nil
}

func (t *Table) planObserve(now time.Time, l Lease) (o, wait *op, err error) {
	e := t.at(l.Addr)
	if wait, err := t.ready(e, l.Network, l.Client.HW); wait != nil || err != nil {
		return nil, wait, err
	}
	held := e != nil && e.active(now)
	same := held && e.hw == l.Client.HW
	switch {
	case !l.Active(now):
		if !same || e.origin != External {
			return nil, nil, nil
		}
		o := &op{entries: []*entry{e}}
		next := e.lease()
		next.State, next.Expiry = Released, now
		o.add(now, KindReleased, e.lease(), next)
		return o, nil, nil
	case same && e.origin != External:
		return nil, nil, nil
	case held && !same && e.origin != External:
		return nil, nil, ErrTaken
	}
	l.Start = now
	return t.succeed(now, l, false), nil, nil
}

// ready says what must be waited for before a client's address can be changed, or why it can't be.
func (t *Table) ready(e *entry, id network.ID, hw hwaddr.Addr) (wait *op, err error) {
	for _, x := range [...]*entry{e, t.current(id, hw)} {
		switch {
		case x == nil:
		case x.op != nil:
			return x.op, nil
		case x.suspect:
			return nil, errUnsure
		}
	}
	switch tn := t.lookup(id, hw); {
	case tn == nil:
	case tn.op != nil:
		return tn.op, nil
	case tn.suspect:
		return nil, errUnsure
	}
	return nil, nil
}

// sameBoot is how soon after a start a client's next one is the same: its request was repeated, or came by two ways. One that
// was before the table was opened isn't the same as any: whoever holds back what is older than that must see the next.
const sameBoot = time.Minute

// boot numbers the client's start, or keeps the number that it has.
func (t *Table) boot(now time.Time, next *Lease, starts bool) {
	if e := cmp.Or(t.current(next.Network, next.Client.HW), t.last(next.Network, next.Client.HW)); e != nil {
		last := e.lease()
		next.Boot, next.LastBoot = last.Boot, last.LastBoot
	}
	at := uint32(now.Unix()) //nolint:gosec // until 2106
	if starts && (next.Boot < t.opened || at-next.Boot >= uint32(sameBoot/time.Second)) {
		next.Boot, next.LastBoot = max(at, next.Boot+1), next.Boot
	}
}

// succeed plans that next follows what is at its address, and what else its client holds in that network.
func (t *Table) succeed(now time.Time, next Lease, starts bool) *op {
	t.boot(now, &next, starts)
	e := t.entry(next.Addr)
	o := &op{tenant: t.tenant(next.Network, next.Client.HW)}
	if older := t.current(next.Network, next.Client.HW); older != nil && older != e {
		o.entries = append(o.entries, older)
		t.leave(now, o, older)
	}
	o.entries = append(o.entries, e)
	prev := e.lease()
	if !prev.Active(now) || prev.Client.HW != next.Client.HW {
		o.add(now, KindBound, o.clear(now, e), next)
		return o
	}
	next.Start = prev.Start
	if next.Client.Circuit == "" && next.Client.Remote == "" {
		// A renewal goes past the relay agent that would have added them (RFC 3046 §2.1, RFC 2131 §4.3.2).
		next.Client.Circuit, next.Client.Remote = prev.Client.Circuit, prev.Client.Remote
	}
	kind := KindRenewed
	if moved(prev.Client, next.Client) {
		kind = KindMoved
	}
	o.add(now, kind, prev, next)
	return o
}

// moved reports whether a client says something else of who or where it is. Params are no such thing: a boot loader
// and the firmware that it starts ask for different ones.
func moved(a, b Client) bool {
	return a.HW != b.HW || a.ID != b.ID || a.VendorClass != b.VendorClass || a.UserClass != b.UserClass ||
		a.Hostname != b.Hostname || a.Circuit != b.Circuit || a.Remote != b.Remote || a.Relay != b.Relay
}

// clear adds the end of the entry's lease, if it is bound, and returns what its next lease will find.
func (o *op) clear(now time.Time, e *entry) Lease {
	next := e.lease()
	switch {
	case next.State != Bound:
		return next
	case next.Active(now):
		next.State, next.Expiry = Released, now
		return o.add(now, KindReleased, e.lease(), next)
	default:
		next.State = Expired
		return o.add(now, KindExpired, e.lease(), next)
	}
}

// add plans a change, and returns the lease as it will be stored.
func (o *op) add(now time.Time, kind Kind, prev, next Lease) Lease {
	next.Rev = prev.Rev + 1
	o.changes = append(o.changes, Change{At: now, Kind: kind, Prev: prev, Next: next})
	return next
}

// origin says how a client would get an address that the scope allows it.
func (s Scope) origin(addr netip.Addr) Origin {
	if s.Networks.Reserved(addr) != nil {
		return Reserved
	}
	return Pool
}

// reserved returns the client's own reservation in the network, or nil.
func (s Scope) reserved(hw hwaddr.Addr) *network.Reservation {
	if s.Reservation != nil {
		return s.Reservation
	}
	return s.Networks.ReservedFor(s.Network.ID, hw)
}

// allows returns nil if the scope may lease the address to the client, whoever holds it.
func (s Scope) allows(hw hwaddr.Addr, addr netip.Addr) error {
	n := s.Network
	if !n.Usable(addr) || addr == n.Server || routes(n, addr) {
		return ErrWrongNet
	}
	if r := s.Networks.Reserved(addr); r != nil {
		if r != s.reserved(hw) {
			return ErrTaken
		}
		return nil
	}
	for _, p := range s.Pools {
		if p.Contains(addr) {
			return nil
		}
	}
	return ErrWrongNet
}

// routes reports whether the address is that of a router or relay agent of the network.
func routes(n *network.Network, addr netip.Addr) bool {
	if slices.Contains(n.Relays, addr) {
		return true
	}
	const router = 3
	for _, opt := range n.Options {
		if opt.Code != router {
			continue
		}
		for d := opt.Data; len(d) >= 4; d = d[4:] {
			if netip.AddrFrom4([4]byte(d)) == addr {
				return true
			}
		}
	}
	return false
}
