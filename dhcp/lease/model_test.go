package lease_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// fold follows the events alone and returns who holds what, as any reader of the outbox would see it. It fails if an
// address ever has two holders or a client two addresses of the network.
func fold(t rapid.TB, s lease.Store) map[netip.Addr]lease.Lease {
	t.Helper()
	held := make(map[netip.Addr]lease.Lease)
	byHW := make(map[hwaddr.Addr]netip.Addr)
	var seq uint64
	for e, err := range s.Events(context.Background(), 0) {
		if err != nil {
			t.Fatalf("events: %v", err)
		}
		if seq++; e.Seq != seq {
			t.Fatalf("event %d has number %d", seq, e.Seq)
		}
		addr, hw := e.Lease.Addr, e.Lease.Client.HW
		old, ok := held[addr]
		switch e.Kind {
		case lease.KindBound:
			if ok {
				t.Fatalf("event %d binds %s to %s, which %s holds", seq, addr, hw, old.Client.HW)
			}
			if other, ok := byHW[hw]; ok {
				t.Fatalf("event %d binds %s to %s, who holds %s", seq, addr, hw, other)
			}
			held[addr], byHW[hw] = e.Lease, addr
		case lease.KindRenewed, lease.KindMoved:
			if !ok || old.Client.HW != hw {
				t.Fatalf("event %d renews %s for %s, who doesn't hold it", seq, addr, hw)
			}
			held[addr] = e.Lease
		case lease.KindReleased, lease.KindExpired, lease.KindDeclined:
			if ok != (e.Prev.State == lease.Bound) || ok && old.Client.HW != e.Prev.Client.HW {
				t.Fatalf("event %d ends %s of %s, which %s holds", seq, addr, e.Prev.Client.HW, old.Client.HW)
			}
			delete(held, addr)
			delete(byHW, old.Client.HW)
		case lease.KindNone:
			t.Fatalf("event %d says nothing", seq)
		}
	}
	return held
}

// model is the naive idea of a table of one network with the addresses .10 to .17, of which .11 is reserved for
// client 1. What is held it takes from the events in the store; the rest it knows from what was done.
type model struct {
	store    *failing
	scope    lease.Scope
	held     map[netip.Addr]lease.Lease
	known    map[netip.Addr]lease.Lease // what is on disk, as far as the table has seen it
	last     map[hwaddr.Addr]netip.Addr // where its former lease was, while nobody got it
	declined map[netip.Addr]time.Time   // nobody's, until
	offers   map[hwaddr.Addr]offered
	// After a failed commit, nobody knows what became of these; hidden may have gone to somebody else, or to nobody.
	vague, hidden map[netip.Addr]bool
	unknown       map[hwaddr.Addr]bool

	full    bool                // the disk takes no writes
	shunned map[netip.Addr]bool // declined while it was full: bound on disk, but nobody's
}

type offered struct {
	addr  netip.Addr
	until time.Time
}

// someone draws a client, more often than not one that has a lease.
func (m *model) someone(rt *rapid.T) lease.Client {
	var all []int
	for n := range 12 {
		if a, ok := m.holds(client(n).HW); ok {
			all = append(all, n, n)
			if m.shunned[a] {
				all = append(all, n, n, n, n, n, n)
			}
		}
		all = append(all, n)
	}
	return client(rapid.SampledFrom(all).Draw(rt, "client"))
}

// somewhere draws an address, more often than not one that there is something about.
func (m *model) somewhere(rt *rapid.T) netip.Addr {
	var all []netip.Addr
	for n := 9; n <= 18; n++ {
		a := ip(n)
		if _, declined := m.declined[a]; declined || m.vague[a] || m.shunned[a] {
			all = append(all, a, a, a, a)
		}
		all = append(all, a)
	}
	return rapid.SampledFrom(all).Draw(rt, "addr")
}

// sure takes note that the table has read the store again.
func (m *model) sure() {
	clear(m.vague)
	clear(m.hidden)
	clear(m.unknown)
}

func (m *model) active(addr netip.Addr) (hwaddr.Addr, bool) {
	l, ok := m.held[addr]
	return l.Client.HW, ok && l.Active(time.Now()) && !m.shunned[addr]
}

func (m *model) holds(hw hwaddr.Addr) (netip.Addr, bool) {
	for n := 9; n <= 18; n++ {
		if l, ok := m.held[ip(n)]; ok && l.Client.HW == hw {
			return ip(n), true
		}
	}
	return netip.Addr{}, false
}

// doubtful reports whether what is asked touches what nobody knows.
func (m *model) doubtful(hw hwaddr.Addr, addr netip.Addr) bool {
	older, ok := m.holds(hw)
	return m.vague[addr] || m.unknown[hw] || ok && m.vague[older]
}

func (m *model) free(hw hwaddr.Addr, addr netip.Addr) bool {
	if holder, ok := m.active(addr); ok && holder != hw || m.vague[addr] || m.shunned[addr] {
		return false
	}
	if _, ok := m.declined[addr]; ok {
		return false
	}
	for other, o := range m.offers {
		if other != hw && o.addr == addr && time.Now().Before(o.until) {
			return false
		}
	}
	return true
}

func (m *model) allowed(hw hwaddr.Addr, addr netip.Addr) error {
	r := m.scope.Networks.Reserved(addr)
	switch {
	case r != nil && r.HW != hw:
		return lease.ErrTaken
	case r == nil && !m.scope.Pools[0].Contains(addr):
		return lease.ErrWrongNet
	}
	return nil
}

// bindable says how Bind should end, if the store works.
func (m *model) bindable(hw hwaddr.Addr, addr netip.Addr) error {
	r := m.scope.Networks.ReservedFor("n", hw)
	switch err := m.allowed(hw, addr); {
	case err != nil:
		return err
	case m.doubtful(hw, addr):
		return errAny
	case !m.free(hw, addr):
		return lease.ErrTaken
	case r != nil && r.Addr != addr && m.free(hw, r.Addr):
		return lease.ErrWrongNet
	}
	return nil
}

// errAny is an error that is none of those that would become a NAK.
var errAny = errors.New("any other error")

func match(got, want error) bool {
	if errors.Is(want, errAny) {
		return got != nil && !errors.Is(got, lease.ErrTaken) && !errors.Is(got, lease.ErrWrongNet) && !errors.Is(got, lease.ErrNone)
	}
	return errors.Is(got, want) && (want != nil || got == nil)
}

// offer expects the first of what the client may have, or else an address that it may have.
func (m *model) offer(rt *rapid.T, table *lease.Table, c lease.Client, want netip.Addr) {
	peek, peekErr := table.Peek(context.Background(), m.scope, c, want)
	l, err := table.Offer(context.Background(), m.scope, c, want)
	if peek.Addr != l.Addr || (peekErr == nil) != (err == nil) {
		rt.Fatalf("offer to %s: got %v, error %v; Peek said %v, error %v", c.HW, l, err, peek, peekErr)
	}
	if older, ok := m.holds(c.HW); m.unknown[c.HW] || ok && m.vague[older] {
		if !match(err, errAny) {
			rt.Fatalf("offer to a client in doubt: got %v, error %v", l, err)
		}
		return
	}
	var wishes []netip.Addr
	if r := m.scope.Networks.ReservedFor("n", c.HW); r != nil {
		wishes = append(wishes, r.Addr)
	}
	if a, ok := m.holds(c.HW); ok {
		wishes = append(wishes, a)
	}
	if o, ok := m.offers[c.HW]; ok && time.Now().Before(o.until) {
		wishes = append(wishes, o.addr)
	}
	if a, ok := m.last[c.HW]; ok {
		wishes = append(wishes, a)
	}
	wishes = append(wishes, want)
	ok := func(a netip.Addr) bool { return m.allowed(c.HW, a) == nil && m.free(c.HW, a) }
	expect := netip.Addr{}
	for _, a := range wishes {
		if ok(a) {
			expect = a
			break
		}
	}
	if err != nil {
		for n := 9; n <= 18; n++ {
			// Without a sweep, what has run out is free only for who asks for it.
			if _, held := m.held[ip(n)]; ok(ip(n)) && !held || expect.IsValid() || !errors.Is(err, lease.ErrNone) {
				rt.Fatalf("offer to %s: got error %v, want %s or such", c.HW, err, ip(n))
			}
		}
		return
	}
	if expect.IsValid() && l.Addr != expect || !ok(l.Addr) {
		rt.Fatalf("offer to %s: got %s, want %s (of %v) or one that is free", c.HW, l.Addr, expect, wishes)
	}
	m.offers[c.HW] = offered{l.Addr, time.Now().Add(time.Minute)}
}

func (m *model) end(
	rt *rapid.T, try func(string, error, []netip.Addr, hwaddr.Addr, func() error) error,
	table *lease.Table, decline bool,
) {
	c, addr := m.someone(rt), m.somewhere(rt)
	if a, ok := m.holds(c.HW); ok && rapid.IntRange(0, 3).Draw(rt, "its own") > 0 {
		addr = a
	}
	holder, ok := m.active(addr)
	want := lease.ErrNone
	switch {
	case m.vague[addr]:
		want = errAny
	case ok && holder == c.HW:
		want = nil
	}
	unknown := m.unknown[c.HW]
	if decline {
		if err := try("decline", want, []netip.Addr{addr}, c.HW, func() error {
			return table.Decline(context.Background(), m.scope, c, addr, 2*time.Hour)
		}); errors.Is(err, lease.ErrReadOnly) {
			m.shunned[addr] = true
		}
	} else {
		try("release", want, []netip.Addr{addr}, c.HW, func() error {
			return table.Release(context.Background(), m.scope, c, addr)
		})
	}
	if want == nil && !unknown {
		delete(m.unknown, c.HW) // only the address is in doubt, and by it who holds it
	}
}

func (m *model) load(rt *rapid.T) map[netip.Addr]lease.Lease {
	all := make(map[netip.Addr]lease.Lease)
	for l, err := range m.store.LoadLeases(context.Background()) {
		if err != nil {
			rt.Fatal(err)
		}
		all[l.Addr] = l
	}
	return all
}

// check compares what the table shows with what is on disk and in the events.
func (m *model) check(rt *rapid.T, table *lease.Table) {
	was := m.held
	m.held = fold(rt, m.store)
	clear(m.last)
	for addr, l := range m.load(rt) {
		held, ok := m.held[addr]
		if ok != (l.State == lease.Bound) || ok && held.Rev != l.Rev {
			rt.Fatalf("the store has %v, the events say %v", l, held)
		}
		if m.vague[addr] {
			continue
		}
		if m.shunned[addr] && l.State != lease.Bound {
			if l.State != lease.Declined {
				rt.Fatalf("%s was declined, but the store has %v", addr, l)
			}
			delete(m.shunned, addr)
		}
		if l.Rev != m.known[addr].Rev && (l.State == lease.Bound || l.State == lease.Declined) {
			maps.DeleteFunc(m.offers, func(_ hwaddr.Addr, o offered) bool { return o.addr == addr }) // it has served its turn
		}
		m.known[addr] = l
	}
	clear(m.declined)
	for addr, l := range m.known {
		switch l.State {
		case lease.Declined:
			m.declined[addr] = l.Expiry
		case lease.Released, lease.Expired:
			if l.Client.HW.IsZero() {
				break
			}
			if best, ok := m.last[l.Client.HW]; !ok || m.known[best].Expiry.Before(l.Expiry) {
				m.last[l.Client.HW] = addr
			}
		case lease.Offered, lease.Bound:
		}
	}
	m.checkHolders(rt, table, was)
	m.checkViews(rt, table)
}

// checkHolders compares who holds which address, asked both ways.
func (m *model) checkHolders(rt *rapid.T, table *lease.Table, was map[netip.Addr]lease.Lease) {
	now := time.Now()
	holders := make(map[netip.Addr]hwaddr.Addr)
	for n := 9; n <= 18; n++ {
		got, ok := table.ByAddr(ip(n))
		if ok {
			holders[ip(n)] = got.Client.HW
		}
		want, active := m.held[ip(n)]
		active = active && want.Active(now) && !m.shunned[ip(n)]
		switch before, held := was[ip(n)]; {
		case m.vague[ip(n)]:
			if held = held && before.Active(now) && !m.hidden[ip(n)]; ok != held || ok && got.Client.HW != before.Client.HW {
				rt.Fatalf("%s is in doubt: got %v, %v, before %v, %v", ip(n), got, ok, before, held)
			}
			m.held[ip(n)] = before
			if before.State == 0 {
				delete(m.held, ip(n))
			}
		case ok != active || ok && (got.Rev != want.Rev || got.Client.HW != want.Client.HW):
			rt.Fatalf("%s: got %v, want %v, active %v", ip(n), got, want, active)
		}
	}
	for n := range 12 {
		all := table.ByHW(client(n).HW)
		if len(all) > 1 {
			rt.Fatalf("client %d holds %v", n, all)
		}
		for _, l := range all {
			if holders[l.Addr] != client(n).HW {
				rt.Fatalf("client %d holds %v, but at that address is %v", n, l, holders[l.Addr])
			}
			delete(holders, l.Addr)
		}
	}
	if len(holders) > 0 {
		rt.Fatalf("%v are held by clients who don't hold them", holders)
	}
}

// checkViews compares what is shown of addresses and clients, whatever their state, with the disk.
func (m *model) checkViews(rt *rapid.T, table *lease.Table) {
	disk, now := m.known, time.Now()
	shown := make(map[netip.Addr]lease.Lease)
	var all []lease.Lease
	for n := 9; n <= 18; n++ {
		got, ok := table.At(ip(n))
		if ok {
			shown[ip(n)] = got
			all = append(all, got)
		}
		want := disk[ip(n)]
		switch {
		case m.vague[ip(n)]:
		case got.State == lease.Offered:
			if o := m.offers[got.Client.HW]; o.addr != ip(n) || !now.Before(o.until) || want.Active(now) || want.State == lease.Declined {
				rt.Fatalf("%s is shown as offered: %v, but on disk is %v", ip(n), got, want)
			}
		case ok != (want.State != 0) || got.State != want.State || got.Rev != want.Rev || got.Client.HW != want.Client.HW:
			rt.Fatalf("%s is shown as %v, but on disk is %v", ip(n), got, want)
		}
	}
	same := func(a, b lease.Lease) bool { return a.Addr == b.Addr && a.State == b.State && a.Rev == b.Rev }
	if got := table.All(); !slices.EqualFunc(got, all, same) {
		rt.Fatalf("all: got %v, one by one %v", got, all)
	}
	each := slices.SortedFunc(table.Each, func(a, b lease.Lease) int { return a.Addr.Compare(b.Addr) })
	if !slices.EqualFunc(each, all, same) {
		rt.Fatalf("each: got %v, one by one %v", each, all)
	}
	if len(m.vague) > 0 {
		return
	}
	for hw, o := range m.offers {
		if _, held := m.held[o.addr]; !held && now.Before(o.until) && shown[o.addr].State != lease.Offered && m.free(hw, o.addr) {
			rt.Fatalf("%s was offered to %s, but is shown as %v", o.addr, hw, shown[o.addr])
		}
	}
	for n := range 12 {
		addr, ok := m.holds(client(n).HW)
		if !ok {
			addr, ok = m.last[client(n).HW]
		}
		if got, has := table.Held("n", client(n).HW); has != ok || has && (got.Addr != addr || got.Rev != disk[addr].Rev) {
			rt.Fatalf("client %d: got %v as its lease, want %v", n, got, disk[addr])
		}
	}
}
