package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
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
	last     map[hwaddr.Addr]netip.Addr // where its former lease was, while nobody got it
	declined map[netip.Addr]time.Time   // nobody's, until
	offers   map[hwaddr.Addr]offered
	// After a failed commit, nobody knows what became of these.
	vague   map[netip.Addr]bool
	unknown map[hwaddr.Addr]bool
}

type offered struct {
	addr  netip.Addr
	until time.Time
}

func (m *model) active(addr netip.Addr) (hwaddr.Addr, bool) {
	l, ok := m.held[addr]
	return l.Client.HW, ok && l.Active(time.Now())
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
	if holder, ok := m.active(addr); ok && holder != hw || m.vague[addr] {
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

// TestStateMachine does what comes to mind, with a store that fails at random and a process that ends at random, and
// compares each answer with the model's.
func TestStateMachine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { inBubble(t, rt, machine) })
}

func machine(rt *rapid.T) {
	nets := []network.Network{{
		ID: "n", Prefix: netip.MustParsePrefix("192.0.2.0/24"),
		Pools:        []network.Pool{{First: ip(10), Last: ip(17)}},
		Reservations: []network.Reservation{{HW: client(1).HW, Addr: ip(11)}},
	}}
	set, err := network.NewSet(nets)
	if err != nil {
		rt.Fatal(err)
	}
	m := &model{
		store:    newFailing(),
		scope:    lease.Scope{Network: &nets[0], Networks: set, Pools: nets[0].Pools, Lifetime: time.Hour},
		last:     make(map[hwaddr.Addr]netip.Addr),
		declined: make(map[netip.Addr]time.Time), offers: make(map[hwaddr.Addr]offered),
		vague: make(map[netip.Addr]bool), unknown: make(map[hwaddr.Addr]bool),
	}
	discard := slog.New(slog.DiscardHandler)
	ctx := context.Background()
	restart := func() *lease.Table {
		table, err := lease.Open(ctx, m.store, time.Now, discard)
		if err != nil {
			rt.Fatal(err)
		}
		clear(m.offers)
		clear(m.vague)
		clear(m.unknown)
		return table
	}
	table := restart()
	someone, somewhere := rapid.IntRange(0, 11), rapid.IntRange(9, 18)
	// try does a commit that the store may spoil; it reports whether it went well.
	try := func(what string, want error, touched []netip.Addr, hw hwaddr.Addr, do func() error) bool {
		faults := []*leasetest.Fault{nil, nil, nil, nil, {Err: errDisk}, {Err: errDisk, Written: true}, {Err: lease.ErrReadOnly}}
		if what == "decline" { // an address that can't be put out of use is hidden, which the model doesn't know
			faults = faults[:6]
		}
		fault := rapid.SampledFrom(faults).Draw(rt, "fault")
		m.store.fault.Store(fault)
		got := do()
		m.store.fault.Store(nil)
		if want == nil && fault != nil && errors.Is(fault.Err, lease.ErrReadOnly) {
			want = lease.ErrReadOnly
		} else if want == nil && fault != nil {
			for _, a := range touched {
				m.vague[a] = true
			}
			m.unknown[hw] = true
			want = errDisk
		}
		if !match(got, want) {
			rt.Fatalf("%s: got error %v, want %v", what, got, want)
		}
		return got == nil
	}
	actions := map[string]func(*rapid.T){
		"offer": func(rt *rapid.T) {
			c, wish := client(someone.Draw(rt, "client")), ip(somewhere.Draw(rt, "want"))
			m.offer(rt, table, c, wish)
		},
		"bind": func(rt *rapid.T) {
			c, addr := client(someone.Draw(rt, "client")), ip(somewhere.Draw(rt, "addr"))
			if o, ok := m.offers[c.HW]; ok && rapid.Bool().Draw(rt, "as offered") {
				addr = o.addr
			}
			touched := []netip.Addr{addr}
			if older, ok := m.holds(c.HW); ok {
				touched = append(touched, older)
			}
			var l lease.Lease
			holder, held := m.active(addr)
			durable := m.held[addr]
			if try("bind", m.bindable(c.HW, addr), touched, c.HW, func() (err error) {
				l, err = table.Bind(ctx, m.scope, c, addr)
				switch degraded := errors.Is(err, lease.ErrDegraded); {
				case degraded && (!held || holder != c.HW || l.Rev != durable.Rev || !l.Expiry.Equal(durable.Expiry)):
					rt.Fatalf("bind: got %v, which goes on, but on disk is %v", l, durable)
				case err != nil && !degraded && l.Addr.IsValid():
					rt.Fatalf("bind: got %v with error %v", l, err)
				}
				return err
			}) {
				stored := m.load(rt)[addr]
				if stored.Rev != l.Rev || stored.Client.HW != c.HW || !stored.Expiry.Equal(time.Now().Add(time.Hour)) {
					rt.Fatalf("bound %v, but the store has %v", l, stored)
				}
				delete(m.offers, c.HW)
			}
		},
		"release": func(rt *rapid.T) { m.end(rt, try, table, someone, somewhere, false) },
		"decline": func(rt *rapid.T) { m.end(rt, try, table, someone, somewhere, true) },
		"withdraw": func(rt *rapid.T) {
			c := client(someone.Draw(rt, "client"))
			table.Withdraw("n", c.HW)
			delete(m.offers, c.HW)
		},
		"wait": func(rt *rapid.T) {
			pass(time.Duration(rapid.IntRange(1, 50).Draw(rt, "minutes")) * time.Minute / 2)
		},
		"sweep": func(rt *rapid.T) {
			ctx, cancel := context.WithCancel(ctx)
			var wg sync.WaitGroup
			wg.Go(func() { _ = table.Run(ctx) })
			synctest.Wait()
			cancel()
			wg.Wait()
			clear(m.vague)
			clear(m.unknown)
			for addr, l := range fold(rt, m.store) {
				if !l.Active(time.Now()) {
					rt.Fatalf("%s has run out but there is no event", addr)
				}
			}
			maps.DeleteFunc(m.declined, func(_ netip.Addr, until time.Time) bool { return !time.Now().Before(until) })
		},
		"restart": func(*rapid.T) { table = restart() },
		"": func(rt *rapid.T) {
			m.check(rt, table)
			pass(time.Millisecond) // no two leases end at once, so that it's clear which was the last
		},
	}
	rt.Repeat(actions)
}

// offer expects the first of what the client may have, or else an address that it may have.
func (m *model) offer(rt *rapid.T, table *lease.Table, c lease.Client, want netip.Addr) {
	l, err := table.Offer(context.Background(), m.scope, c, want)
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
	rt *rapid.T, try func(string, error, []netip.Addr, hwaddr.Addr, func() error) bool,
	table *lease.Table, someone, somewhere *rapid.Generator[int], decline bool,
) {
	c, addr := client(someone.Draw(rt, "client")), ip(somewhere.Draw(rt, "addr"))
	if a, ok := m.holds(c.HW); ok && rapid.Bool().Draw(rt, "its own") {
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
		try("decline", want, []netip.Addr{addr}, c.HW, func() error {
			return table.Decline(context.Background(), m.scope, c, addr, 2*time.Hour)
		})
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
	now := time.Now()
	was := m.held
	m.held = fold(rt, m.store)
	clear(m.last)
	for addr, l := range m.load(rt) {
		held, ok := m.held[addr]
		if ok != (l.State == lease.Bound) || ok && held.Rev != l.Rev {
			rt.Fatalf("the store has %v, the events say %v", l, held)
		}
		delete(m.declined, addr)
		switch l.State {
		case lease.Declined:
			m.declined[addr] = l.Expiry
		case lease.Released, lease.Expired:
			if l.Client.HW.IsZero() {
				break
			}
			if best, ok := m.last[l.Client.HW]; !ok || m.load(rt)[best].Expiry.Before(l.Expiry) {
				m.last[l.Client.HW] = addr
			}
		case lease.Offered, lease.Bound:
		}
	}
	for n := 9; n <= 18; n++ {
		got, ok := table.ByAddr(ip(n))
		want, active := m.held[ip(n)]
		active = active && want.Active(now)
		switch {
		case m.vague[ip(n)]:
			// It may be hidden, but it must not be somebody's whose it wasn't.
			if ok && got.Client.HW != was[ip(n)].Client.HW {
				rt.Fatalf("%s is in doubt: got %v, before %v", ip(n), got, was[ip(n)])
			}
			m.held[ip(n)] = was[ip(n)]
			if was[ip(n)].State == 0 {
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
			if by, ok := table.ByAddr(l.Addr); !ok || by.Client.HW != l.Client.HW {
				rt.Fatalf("client %d holds %v, but at that address is %v", n, l, by)
			}
		}
	}
}

// TestHammer has many goroutines do everything at once with few clients and addresses.
func TestHammer(t *testing.T) {
	t.Parallel()
	store := newFailing()
	table := open(t, store)
	s := voice(t)
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() { running <- table.Run(ctx) }()
	sub := table.Subscribe(4)
	var wg sync.WaitGroup
	for g := range 16 {
		rnd := rand.New(rand.NewPCG(uint64(g), 7))
		wg.Go(func() {
			for range 300 {
				c, addr := client(rnd.IntN(4)), ip(14+rnd.IntN(6))
				l, err := table.Offer(ctx, s, c, addr)
				if err == nil && rnd.IntN(2) == 0 {
					addr = l.Addr
				}
				switch rnd.IntN(8) {
				case 0:
					err = table.Release(ctx, s, c, addr)
				case 1:
					err = table.Decline(ctx, s, c, addr, time.Millisecond)
				case 2:
					err = table.Observe(ctx, lease.Lease{
						Addr: addr, Network: "voice", Client: c, State: lease.Bound, Origin: lease.External,
						Expiry: time.Now().Add(time.Minute),
					})
				case 3:
					table.Withdraw("voice", c.HW)
				default:
					_, err = table.Bind(ctx, s, c, addr)
				}
				for _, want := range []error{nil, lease.ErrTaken, lease.ErrNone, lease.ErrWrongNet, nil} {
					if errors.Is(err, want) {
						err = nil
					}
				}
				if err != nil {
					t.Errorf("got error %v", err)
				}
				table.ByHW(c.HW)
				table.ByAddr(addr)
				table.All()
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-running; err != nil {
		t.Error(err)
	}
	sub.Close()
	held := fold(t, store)
	for _, l := range table.All() {
		if _, ok := held[l.Addr]; l.State == lease.Bound && !ok {
			t.Errorf("got %v, but the events say that nobody holds it", l)
		}
	}
}
