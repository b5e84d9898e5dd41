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

	opened uint32 // when, in seconds since 1970

	mu      sync.RWMutex           // guards what follows
	entries map[uint32]*entry      // by address; see number
	clients map[hwaddr.Addr]*entry // the first of each client's; see entry.next
	tenants map[tenancy]*tenant
	packer  packer
	due     dueHeap
	pools   map[span]*pool
	holds   list.List // of *hold, the oldest first
	doubts  []*op
	shifted []*entry // their times were corrected after a step of the clock but not yet stored
	strays  []*entry // bound to clients that hold another address of the network
	shunned map[*entry]Change
}

// entry is what is known of an address. There are as many as leases, so it is kept small.
type entry struct {
	record // as committed; the zero value if there is none
	addr   uint32
	place  int32 // in Table.due; negative: not there

	current bool // bound to its client, though perhaps run out; a client has one in each network
	shifted bool // in Table.shifted
	local   bool // the lease's times were taken from this process's clock
	suspect bool // nobody knows what the store holds
	hidden  bool // perhaps no longer the lease's client's, or in use by a stranger, and the store doesn't know yet

	next *entry // of the same client: all that it is bound to, and what it held and nobody has got since
	hold *hold
	op   *op // the commit that is under way
}

// tenancy names a client in a network.
type tenancy struct {
	network network.ID
	hw      hwaddr.Addr
}

// tenant is a client in a network with which something is going on.
type tenant struct {
	tenancy
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
		entries: make(map[uint32]*entry),
		clients: make(map[hwaddr.Addr]*entry),
		tenants: make(map[tenancy]*tenant),
		packer:  packer{known: make(map[string]*traits)},
		pools:   make(map[span]*pool),
		shunned: make(map[*entry]Change),
	}
	t.clock.init(wall)
	t.opened = uint32(t.clock.now().Unix()) //nolint:gosec // until 2106
	var fault error
	for l, err := range store.LoadLeases(ctx) {
		switch {
		case err != nil:
			if !l.Addr.Is4() {
				fault = err
			}
			log.ErrorContext(ctx, "lease can't be read", "ip", l.Addr, "err", err)
			if l.Addr.Is4() {
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
		if e.state != Bound || e.hw.IsZero() || e.current {
			continue
		}
		if keeps := t.current(e.traits.network, e.hw); keeps != nil {
			t.log.ErrorContext(ctx, "client has two leases of a network, the older one is ended",
				"mac", e.hw, "network", e.traits.network, "ip", e.ip(), "keeps", keeps.ip())
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
	if e := t.at(addr); e != nil && e.visible(now) {
		return e.lease(), true
	}
	return Lease{}, false
}

// ByHW returns the active leases of a client, one per network at most, in order of address.
func (t *Table) ByHW(hw hwaddr.Addr) []Lease {
	now := t.clock.now()
	t.mu.RLock()
	defer t.mu.RUnlock()
	var all []Lease
	for e := t.clients[hw]; e != nil; e = e.next {
		if e.current && e.visible(now) {
			all = append(all, e.lease())
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
	if e := t.at(addr); e != nil {
		return e.known(now)
	}
	return Lease{}, false
}

// Held returns the lease that a client has in a network, or the last one that it had there and that nobody got since.
func (t *Table) Held(id network.ID, hw hwaddr.Addr) (Lease, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	e := cmp.Or(t.current(id, hw), t.last(id, hw))
	if e == nil {
		return Lease{}, false
	}
	return e.lease(), true
}

// current returns what a client is bound to in a network, or nil.
func (t *Table) current(id network.ID, hw hwaddr.Addr) *entry {
	for e := t.clients[hw]; e != nil; e = e.next {
		if e.current && e.traits.network == id {
			return e
		}
	}
	return nil
}

// last returns what a client held last in a network and nobody has got since, or nil.
func (t *Table) last(id network.ID, hw hwaddr.Addr) *entry {
	var last *entry
	for e := t.clients[hw]; e != nil; e = e.next {
		// Of those that ended at the same time, the first in the list came last.
		if e.ended() && e.traits.network == id && (last == nil || e.expiry > last.expiry) {
			last = e
		}
	}
	return last
}

// All returns what At returns for each address, in order of address.
func (t *Table) All() []Lease {
	now := t.clock.now()
	t.mu.RLock()
	all := make([]Lease, 0, len(t.entries))
	for e := range maps.Values(t.entries) {
		if l, ok := e.known(now); ok {
			all = append(all, l)
		}
	}
	t.mu.RUnlock()
	slices.SortFunc(all, func(a, b Lease) int { return a.Addr.Compare(b.Addr) })
	return all
}

func (e *entry) ip() netip.Addr { return address(e.addr) }

func (e *entry) lease() Lease { return e.record.lease(e.ip()) }

// active is [Lease.Active].
func (e *entry) active(now time.Time) bool { return e.state == Bound && e.lease().Active(now) }

// over is [Lease.over].
func (e *entry) over(now time.Time) bool { return e.lease().over(now) }

func (e *entry) visible(now time.Time) bool { return !e.hidden && e.active(now) }

// ended reports whether the lease is remembered only for its client.
func (e *entry) ended() bool { return e.state == Released || e.state == Expired }

// known is what [Table.At] returns.
func (e *entry) known(now time.Time) (Lease, bool) {
	if e.hold.live() && !e.active(now) && e.state != Declined {
		return e.hold.lease(), true
	}
	return e.lease(), e.state != 0
}

// idle reports whether the address had a lease that ended, and nothing is going on with it.
func (e *entry) idle() bool {
	return e.ended() && e.hold == nil && e.op == nil && !e.suspect
}

// at returns the entry of an address, or nil.
func (t *Table) at(addr netip.Addr) *entry {
	if !addr.Is4() {
		return nil
	}
	return t.entries[number(addr)]
}

// entry is at, but makes what isn't there. Who makes one and doesn't fill it must tidy it away.
func (t *Table) entry(addr netip.Addr) *entry {
	e := t.at(addr)
	if e == nil {
		e = &entry{addr: number(addr), place: -1}
		t.entries[e.addr] = e
	}
	return e
}

// lookup returns what is going on with a client in a network, or nil.
func (t *Table) lookup(id network.ID, hw hwaddr.Addr) *tenant { return t.tenants[tenancy{id, hw}] }

// tenant is lookup, but makes what isn't there. Who makes one and doesn't fill it must tidy it away.
func (t *Table) tenant(id network.ID, hw hwaddr.Addr) *tenant {
	tn := t.lookup(id, hw)
	if tn == nil {
		tn = &tenant{tenancy: tenancy{id, hw}}
		t.tenants[tn.tenancy] = tn
	}
	return tn
}

// tidy forgets the entry if there is nothing to know of it, and the tenant if nothing is going on with it, and keeps the
// pools' view true.
func (t *Table) tidy(e *entry, tn *tenant) {
	if e != nil {
		used := e.state != 0 || e.hold != nil || e.op != nil || e.suspect
		if !used {
			delete(t.entries, e.addr)
		}
		for _, p := range t.pools {
			p.update(e, used)
		}
	}
	if tn != nil && tn.offered == nil && tn.op == nil && !tn.suspect {
		delete(t.tenants, tn.tenancy)
	}
}

// set puts a lease in the place of an entry's and brings the indices in line.
func (t *Table) set(e *entry, l Lease) {
	t.unlink(e)
	old := e.record
	e.record = t.packer.pack(l)
	t.packer.drop(old)
	if l.State == Bound || l.State == Declined {
		t.drop(e.hold)
	}
	t.due.update(e)
	if !e.hw.IsZero() && (l.State == Bound || e.ended()) {
		if l.State == Bound {
			// There can be two only if the store was written by somebody else; the younger tenure counts.
			older := t.current(l.Network, e.hw)
			e.current = older == nil || older.start < e.start
			if older != nil {
				older.current = !e.current
			}
		}
		e.next, t.clients[e.hw] = t.clients[e.hw], e
	}
	t.tidy(e, nil)
}

// unlink takes an entry from its client's list, if it is there.
func (t *Table) unlink(e *entry) {
	first := t.clients[e.hw]
	for at := &first; *at != nil; at = &(*at).next {
		if *at == e {
			*at = e.next
			break
		}
	}
	e.next, e.current = nil, false
	if first == nil {
		delete(t.clients, e.hw)
	} else {
		t.clients[e.hw] = first
	}
}
