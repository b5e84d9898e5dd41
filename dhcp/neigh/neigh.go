// Package neigh has the kernel's neighbour table: which hardware address answers at which address of our own links, as
// the kernel has found out by ARP or by IPv6's neighbour discovery.
//
// The [Table] is subscribed, not polled: the kernel tells of every change by netlink, which needs no privileges, and
// when it says that it had to drop some, all is read again. It also remembers who was at an address before, because an
// address whose hardware address has just changed is what ARP spoofing looks like. What it can't say is who is behind a
// router: there the router is the neighbour, and it has no entry for the hosts beyond.
package neigh

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

const (
	// DefaultLimit is more than the kernel itself keeps, unless it was told otherwise (net.ipv4.neigh.default.gc_thresh3).
	DefaultLimit = 16384
	// rememberFor is how long we know who was at an address after the kernel has dropped its entry.
	rememberFor = time.Hour
	// rereadEvery heals what no message told us of, such as an interface that got another name.
	rereadEvery = 10 * time.Minute
	// retryAfter is how long we wait when the kernel can't be asked.
	retryAfter = 10 * time.Second
	// refuseFor is for how long new entries are refused without another look when the table is full.
	refuseFor = 10 * time.Second
)

// State is how sure the kernel is of an entry.
type State uint8

// The states that count, as in RFC 4861 §7.3.2. The zero value is an entry that doesn't: there is no answer yet, there
// was none, or the interface knows no neighbours.
const (
	Unknown   State = iota
	Reachable       // confirmed lately
	Stale           // confirmed once
	Delay           // stale and in use; about to be asked
	Probing         // being asked
	Permanent       // an administrator's
)

// String returns the kernel's word for the state.
func (s State) String() string {
	return [...]string{"unknown", "reachable", "stale", "delay", "probe", "permanent"}[s]
}

// Entry is who is at an address.
type Entry struct {
	HW    hwaddr.Addr
	Iface string
	State State
	Since time.Time // when HW was first seen there; after a start no earlier than that
	// Prev is who was there before HW came; zero: nobody that we know of.
	Prev hwaddr.Addr
}

// Table is the kernel's neighbour table as it is now. Set the fields, then use it; it is safe for concurrent use.
// Before Open or Run, and while the kernel can't be asked, it knows nobody.
type Table struct {
	Log   *slog.Logger
	Limit int // entries that are kept; 0: DefaultLimit

	dial func() (source, error) // nil: the kernel's

	mu      sync.RWMutex // guards what follows
	feed    source       // that Open has left for Run
	entries map[netip.Addr][]record
	count   int       // of records
	refuse  time.Time // until then, new entries are refused
	refused uint64

	asks asks
}

// record is what is known of an address on an interface. With an Unknown state it is only remembered.
type record struct {
	index    int
	iface    string
	hw, prev hwaddr.Addr
	state    State
	since    time.Time
	left     time.Time // when the kernel ceased to vouch for it
}

// change is one of the kernel's messages.
type change struct {
	index int
	iface string
	addr  netip.Addr
	hw    hwaddr.Addr
	state State
}

// source is where changes come from. Only next is called concurrently with interrupt.
type source interface {
	// dump returns the whole table. What next returns afterwards is no older, but for what was under way already.
	dump() ([]change, error)
	// next waits for changes. errOverflow: some were lost, and the table has to be read again.
	next() ([]change, error)
	// interrupt ends next, for good.
	interrupt()
	close()
}

// Neighbour returns who is at an address. Where several interfaces disagree, nobody is.
func (t *Table) Neighbour(addr netip.Addr) (hwaddr.Addr, bool) {
	e, ok := t.Lookup(addr)
	return e.HW, ok
}

// Lookup is Neighbour with all that is known.
func (t *Table) Lookup(addr netip.Addr) (Entry, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var e Entry
	for _, r := range t.entries[addr] {
		switch {
		case r.state == Unknown:
		case e.HW.IsZero():
			e = Entry{HW: r.hw, Iface: r.iface, State: r.state, Since: r.since, Prev: r.prev}
		case e.HW != r.hw:
			return Entry{}, false
		}
	}
	return e, !e.HW.IsZero()
}

// Len returns how many addresses somebody is at, and how many entries were refused because the table was full.
func (t *Table) Len() (known int, refused uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, list := range t.entries {
		for _, r := range list {
			if r.state != Unknown {
				known++
				break
			}
		}
	}
	return known, t.refused
}

// Open reads the kernel's table, so that it is known before the first request. Without it, or after it has failed, Run
// does that.
func (t *Table) Open() error {
	s, err := t.connect()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.feed = s
	return nil
}

func (t *Table) connect() (source, error) {
	dial := t.dial
	if dial == nil {
		dial = dialKernel
	}
	s, err := dial()
	if err != nil {
		return nil, err
	}
	if err := t.reread(s); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// Run follows the kernel until ctx ends.
func (t *Table) Run(ctx context.Context) error {
	t.mu.Lock()
	s := t.feed
	t.feed = nil
	t.mu.Unlock()
	for last := ""; ctx.Err() == nil; {
		var err error
		if s == nil {
			s, err = t.connect()
		}
		if err == nil {
			err = t.follow(ctx, s)
			s.close()
			s = nil
		}
		if err == nil {
			break // ctx has ended
		}
		t.replace(nil, time.Now()) // what we can't follow we don't know
		if last != err.Error() {
			last = err.Error()
			t.Log.WarnContext(ctx, "neighbour table can't be followed; it is tried again and again", "err", err)
		}
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
	}
	return nil
}

// follow applies what the source says until it fails or ctx ends.
func (t *Table) follow(ctx context.Context, s source) error {
	ended := context.AfterFunc(ctx, s.interrupt)
	defer ended()
	read := time.Now()
	for {
		changes, err := s.next()
		t.apply(changes, time.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case isOverflow(err), err == nil && time.Since(read) > rereadEvery:
			if err := t.reread(s); err != nil {
				return err
			}
			read = time.Now()
		case err != nil:
			return err
		}
	}
}

func (t *Table) reread(s source) error {
	all, err := s.dump()
	if err != nil {
		return err
	}
	t.replace(all, time.Now())
	return nil
}

// replace makes the table what a dump says.
func (t *Table) replace(all []change, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	type place struct {
		addr  netip.Addr
		index int
	}
	there := make(map[place]bool, len(all))
	for _, c := range all {
		there[place{c.addr, c.index}] = true
	}
	for addr, list := range t.entries {
		for i := range list {
			if !there[place{addr, list[i].index}] {
				list[i].leave(now)
			}
		}
	}
	for _, c := range all {
		t.put(c, now)
	}
}

func (t *Table) apply(changes []change, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		t.put(c, now)
	}
}

func (r *record) leave(now time.Time) {
	if r.state != Unknown {
		r.state, r.left = Unknown, now
	}
}

// put takes one change into the table; t.mu is held.
func (t *Table) put(c change, now time.Time) {
	var r *record
	for i, known := range t.entries[c.addr] {
		if known.index == c.index {
			r = &t.entries[c.addr][i]
		}
	}
	if c.state == Unknown || c.hw.IsZero() || c.hw.IsGroup() {
		if r != nil {
			r.leave(now)
		}
		return
	}
	if r == nil {
		if !t.room(now) {
			t.refused++
			return
		}
		if t.entries == nil {
			t.entries = make(map[netip.Addr][]record)
		}
		t.entries[c.addr] = append(t.entries[c.addr], record{
			index: c.index, iface: c.iface, hw: c.hw, state: c.state, since: now,
		})
		t.count++
		return
	}
	switch {
	case r.state == Unknown && now.Sub(r.left) > rememberFor:
		r.hw, r.prev, r.since = c.hw, hwaddr.Addr{}, now
	case r.hw != c.hw:
		t.Log.Info("an address has another neighbour", "ip", c.addr, "interface", c.iface, "before", r.hw, "now", c.hw)
		r.hw, r.prev, r.since = c.hw, r.hw, now
	}
	r.state, r.iface = c.state, c.iface
}

// room reports whether there is room for one more record, after dropping those that are only remembered if need be.
func (t *Table) room(now time.Time) bool {
	limit := t.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	if t.count < limit {
		return true
	}
	if now.Before(t.refuse) {
		return false // a look at every record for each new one would be too much
	}
	for addr, list := range t.entries {
		kept := list[:0]
		for _, r := range list {
			if r.state != Unknown {
				kept = append(kept, r)
			}
		}
		t.count -= len(list) - len(kept)
		if len(kept) == 0 {
			delete(t.entries, addr)
		} else {
			t.entries[addr] = kept
		}
	}
	if t.count < limit {
		return true
	}
	t.refuse = now.Add(refuseFor)
	t.Log.Warn("neighbour table is full; who is new remains unknown", "entries", t.count)
	return false
}
