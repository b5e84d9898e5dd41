package lease

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// Table is the authoritative answer to who holds an address. It is safe for concurrent use; [Open] is the only way to
// get one, and [Table.Run] must run for leases to expire and for trouble with the store to heal.
//
// A client is known by its hardware address within a network; its client identifier is kept but identifies nobody,
// since cloned ones are common. A client holds at most one address in each network.
//
// A change is planned in memory under the lock, where the address and the client are marked as in a commit; it goes to
// the store without the lock, so that the commits of many clients share one write; then it is made visible, and only
// then are events published and does the caller hear of it. An operation on what is marked waits. If the store fails
// with anything but a clear no (ErrReadOnly), nobody knows what the disk holds, and the address and the client stay
// unusable until [Table.Reread] has looked.
type Table struct {
	store Store
	log   *slog.Logger
	clock clock
	pub   publisher

	mu      sync.RWMutex // guards what follows
	entries map[netip.Addr]*entry
	tenants map[hwaddr.Addr][]*tenant
	due     dueHeap
	pools   map[span]*pool
	holds   list.List // of *hold, the oldest first
	doubts  []*op
	shifted []*entry // their times were corrected after a step of the clock but not yet stored
	strays  []*entry // bound to clients that hold another address of the network
}

// entry is what is known of an address.
type entry struct {
	addr  netip.Addr
	lease Lease // as committed; the zero value if there is no record
	hold  *hold
	op    *op // the commit that is under way
	place int // in Table.due; negative: not there

	shifted bool // in Table.shifted
	local   bool // the lease's times were taken from this process's clock
	suspect bool // nobody knows what the store holds
	hidden  bool // perhaps no longer the lease's client's, or in use by a stranger, and the store can't be told
}

// tenant is a client in a network.
type tenant struct {
	network network.ID
	hw      hwaddr.Addr
	current *entry   // bound to it, though perhaps run out
	former  []*entry // what it held and nobody has got since, in the order in which it ended
	offered *entry
	op      *op // the commit that is under way
	suspect bool
}

// hold is an offer.
type hold struct {
	entry  *entry
	tenant *tenant
	client Client
	origin Origin
	start  time.Time
	until  time.Time // by the monotonic clock
	place  *list.Element
}

// op is a commit.
type op struct {
	done    chan struct{} // closed at its end
	entries []*entry
	tenant  *tenant // nil for what changes no client's current address to another
	changes []Change
	shifted []*entry      // whose new times are among the changes
	steps   time.Duration // clock.steps when it was planned
}

var errUnsure = errors.New("what the store holds of the lease is not known until it is read again")

// Open reads the store and returns the table of what is in it. Records that can't be read are logged, and their
// addresses are nobody's until they can be. It is an error if the store can't be read at all.
//
// Wall is the clock that leases are written and compared with, time.Now but in tests; see [Table.Run] for what happens
// when it steps.
func Open(ctx context.Context, store Store, wall func() time.Time, log *slog.Logger) (*Table, error) {
	t := &Table{
		store:   store,
		log:     log,
		entries: make(map[netip.Addr]*entry),
		tenants: make(map[hwaddr.Addr][]*tenant),
		pools:   make(map[span]*pool),
	}
	t.clock.init(wall)
	var fault error
	for l, err := range store.LoadLeases(ctx) {
		switch {
		case err != nil:
			if !l.Addr.IsValid() {
				fault = err
			}
			log.ErrorContext(ctx, "lease can't be read", "ip", l.Addr, "err", err)
			if l.Addr.IsValid() {
				t.doubt(&op{entries: []*entry{t.entry(l.Addr)}})
			}
		case !l.Addr.Is4() || l.State < Bound || l.State > Expired:
			log.ErrorContext(ctx, "lease makes no sense", "ip", l.Addr, "state", int(l.State))
		default:
			t.set(t.entry(l.Addr), l)
		}
	}
	t.findStrays(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	if fault != nil && len(t.entries) == 0 {
		return nil, fmt.Errorf("read leases: %w", fault)
	}
	last, err := lastEvent(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("read number of last event: %w", err)
	}
	t.pub.next = last + 1
	t.pub.subs = make(map[*Subscription]struct{})
	t.pub.pending = make(map[uint64]Event)
	return t, nil
}

// findStrays takes out of sight what a client holds beyond its one address of a network, as only a store can have it
// that was written by somebody else. Run ends those leases.
func (t *Table) findStrays(ctx context.Context) {
	for _, e := range t.entries {
		if e.lease.State != Bound || e.lease.Client.HW.IsZero() {
			continue
		}
		if tn := t.lookup(e.lease.Network, e.lease.Client.HW); tn.current != e {
			t.log.ErrorContext(ctx, "client has two leases of a network, the older one is ended",
				"mac", tn.hw, "network", tn.network, "ip", e.addr, "keeps", tn.current.addr)
			e.hidden = true
			t.strays = append(t.strays, e)
		}
	}
}

// Now returns the time that leases are compared with. It is the wall clock's, but goes on when that one steps; see
// [Table.Run].
func (t *Table) Now() time.Time { return t.clock.now() }

// ByAddr returns the active lease of an address. It doesn't allocate.
func (t *Table) ByAddr(addr netip.Addr) (Lease, bool) {
	now := t.clock.now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e := t.entries[addr]; e != nil && e.visible(now) {
		return e.lease, true
	}
	return Lease{}, false
}

// ByHW returns the active leases of a client, one per network at most, in order of address.
func (t *Table) ByHW(hw hwaddr.Addr) []Lease {
	now := t.clock.now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []Lease
	for _, tn := range t.tenants[hw] {
		if tn.current != nil && tn.current.visible(now) {
			all = append(all, tn.current.lease)
		}
	}
	slices.SortFunc(all, func(a, b Lease) int { return a.Addr.Compare(b.Addr) })
	return all
}

// At returns what is known of an address, whatever its state: the lease or quarantine that is in force, else an offer
// ([Offered], its Expiry is that of the offer), else the last lease that ended.
func (t *Table) At(addr netip.Addr) (Lease, bool) {
	now := t.clock.now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e := t.entries[addr]; e != nil {
		return e.state(now)
	}
	return Lease{}, false
}

// Held returns the lease that a client has in a network, or the last one that it had there and that nobody got since.
func (t *Table) Held(id network.ID, hw hwaddr.Addr) (Lease, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tn := t.lookup(id, hw)
	switch {
	case tn == nil:
		return Lease{}, false
	case tn.current != nil:
		return tn.current.lease, true
	case tn.last() != nil:
		return tn.last().lease, true
	}
	return Lease{}, false
}

// last returns what the client held last, or nil.
func (tn *tenant) last() *entry {
	if len(tn.former) == 0 {
		return nil
	}
	return tn.former[len(tn.former)-1]
}

// All returns what At returns for each address, in order of address.
func (t *Table) All() []Lease {
	now := t.clock.now()
	t.mu.RLock()
	all := make([]Lease, 0, len(t.entries))
	for e := range maps.Values(t.entries) {
		if l, ok := e.state(now); ok {
			all = append(all, l)
		}
	}
	t.mu.RUnlock()
	slices.SortFunc(all, func(a, b Lease) int { return a.Addr.Compare(b.Addr) })
	return all
}

func (e *entry) visible(now time.Time) bool { return e.lease.Active(now) && !e.hidden }

func (e *entry) state(now time.Time) (Lease, bool) {
	if e.hold.live() && !e.lease.Active(now) && e.lease.State != Declined {
		return e.hold.lease(), true
	}
	return e.lease, e.lease.State != 0
}

// idle reports whether the address had a lease that ended, and nothing is going on with it.
func (e *entry) idle() bool {
	return (e.lease.State == Released || e.lease.State == Expired) && e.hold == nil && e.op == nil && !e.suspect
}

// entry returns the entry of an address, made if need be. Who makes one and doesn't fill it must tidy it away.
func (t *Table) entry(addr netip.Addr) *entry {
	e := t.entries[addr]
	if e == nil {
		e = &entry{addr: addr, place: -1}
		t.entries[addr] = e
	}
	return e
}

// lookup returns a client in a network, or nil.
func (t *Table) lookup(id network.ID, hw hwaddr.Addr) *tenant {
	for _, tn := range t.tenants[hw] {
		if tn.network == id {
			return tn
		}
	}
	return nil
}

// tenant is lookup, but makes what isn't there. Who makes one and doesn't fill it must tidy it away.
func (t *Table) tenant(id network.ID, hw hwaddr.Addr) *tenant {
	tn := t.lookup(id, hw)
	if tn == nil {
		tn = &tenant{network: id, hw: hw}
		t.tenants[hw] = append(t.tenants[hw], tn)
	}
	return tn
}

// tidy forgets the entry and the tenant if there is nothing to know of them, and keeps the pools' view true.
func (t *Table) tidy(e *entry, tn *tenant) {
	if e != nil {
		used := e.lease.State != 0 || e.hold != nil || e.op != nil || e.suspect
		if !used {
			delete(t.entries, e.addr)
		}
		for _, p := range t.pools {
			p.update(e, used)
		}
	}
	if tn != nil && cmp.Or(tn.current, tn.last(), tn.offered) == nil && tn.op == nil && !tn.suspect {
		rest := slices.DeleteFunc(t.tenants[tn.hw], func(o *tenant) bool { return o == tn })
		if len(rest) == 0 {
			delete(t.tenants, tn.hw)
		} else {
			t.tenants[tn.hw] = rest
		}
	}
}

// set puts a lease in the place of an entry's and brings the indices in line.
func (t *Table) set(e *entry, l Lease) {
	if old := e.lease; old.State != 0 {
		if tn := t.lookup(old.Network, old.Client.HW); tn != nil {
			if tn.current == e {
				tn.current = nil
			}
			tn.former = slices.DeleteFunc(tn.former, func(o *entry) bool { return o == e })
			defer t.tidy(nil, tn)
		}
	}
	e.lease = l
	if l.State == Bound || l.State == Declined {
		t.drop(e.hold)
	}
	t.due.update(e)
	if hw := l.Client.HW; !hw.IsZero() {
		switch tn := t.tenant(l.Network, hw); l.State {
		case Bound:
			// There can be two only if the store was written by somebody else; the younger tenure counts.
			if tn.current == nil || tn.current.lease.Start.Before(l.Start) {
				tn.current = e
			}
		case Released, Expired:
			i := len(tn.former)
			for i > 0 && l.Expiry.Before(tn.former[i-1].lease.Expiry) {
				i--
			}
			tn.former = slices.Insert(tn.former, i, e)
		case Offered, Declined:
		}
		defer t.tidy(nil, t.lookup(l.Network, hw))
	}
	t.tidy(e, nil)
}
