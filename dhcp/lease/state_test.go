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
		known:    make(map[netip.Addr]lease.Lease),
		last:     make(map[hwaddr.Addr]netip.Addr),
		declined: make(map[netip.Addr]time.Time), offers: make(map[hwaddr.Addr]offered),
		vague: make(map[netip.Addr]bool), hidden: make(map[netip.Addr]bool), unknown: make(map[hwaddr.Addr]bool),
		shunned: make(map[netip.Addr]bool),
	}
	discard := slog.New(slog.DiscardHandler)
	ctx := context.Background()
	restart := func() *lease.Table {
		table, err := lease.Open(ctx, m.store, time.Now, discard)
		if err != nil {
			rt.Fatal(err)
		}
		clear(m.offers)
		clear(m.shunned)
		m.sure()
		return table
	}
	table := restart()
	// try does a commit that the store may spoil, of the first address and perhaps of another one that its client leaves.
	try := func(what string, want error, touched []netip.Addr, hw hwaddr.Addr, do func() error) error {
		fault := rapid.SampledFrom([]*leasetest.Fault{
			nil, nil, nil, nil, {Err: errDisk}, {Err: errDisk, Written: true}, {Err: lease.ErrReadOnly},
		}).Draw(rt, "fault")
		if m.full {
			fault = &leasetest.Fault{Err: lease.ErrReadOnly}
		}
		holder, held := m.active(touched[0])
		m.store.fault.Store(fault)
		got := do()
		m.store.fault.Store(nil)
		if want == nil && fault != nil && errors.Is(fault.Err, lease.ErrReadOnly) {
			want = lease.ErrReadOnly
		} else if want == nil && fault != nil {
			for _, a := range touched {
				m.vague[a] = true
				m.hidden[a] = what != "bind" || a != touched[0] || !held || holder != hw
			}
			m.unknown[hw] = true
			want = errDisk
		}
		if !match(got, want) {
			rt.Fatalf("%s: got error %v, want %v", what, got, want)
		}
		return got
	}
	bind := func(rt *rapid.T, c lease.Client, addr netip.Addr) {
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
		}) == nil {
			stored := m.load(rt)[addr]
			if stored.Rev != l.Rev || stored.Client.HW != c.HW || !stored.Expiry.Equal(time.Now().Add(time.Hour)) {
				rt.Fatalf("bound %v, but the store has %v", l, stored)
			}
			delete(m.offers, c.HW)
		}
	}
	actions := map[string]func(*rapid.T){
		"offer": func(rt *rapid.T) {
			m.offer(rt, table, m.someone(rt), m.somewhere(rt))
		},
		"bind": func(rt *rapid.T) { bind(rt, m.someone(rt), m.somewhere(rt)) },
		"crowd": func(rt *rapid.T) { // little is left
			for n := range 12 {
				for a := 10; a <= 17; a++ {
					if c := client(n); m.bindable(c.HW, ip(a)) == nil {
						bind(rt, c, ip(a))
						m.check(rt, table)
						pass(time.Millisecond)
						break
					}
				}
			}
		},
		"release": func(rt *rapid.T) { m.end(rt, try, table, false) },
		"decline": func(rt *rapid.T) { m.end(rt, try, table, true) },
		"withdraw": func(rt *rapid.T) {
			c := m.someone(rt)
			table.Withdraw("n", c.HW)
			delete(m.offers, c.HW)
		},
		"wait": func(rt *rapid.T) {
			pass(time.Duration(rapid.IntRange(1, 50).Draw(rt, "minutes")) * time.Minute / 2)
			if rapid.IntRange(0, 3).Draw(rt, "long") == 0 {
				pass(time.Hour)
			}
		},
		"reread": func(rt *rapid.T) {
			if err := table.Reread(ctx); err != nil {
				rt.Fatal(err)
			}
			m.sure()
		},
		"sweep": func(rt *rapid.T) {
			ctx, cancel := context.WithCancel(ctx)
			var wg sync.WaitGroup
			if m.full {
				m.store.fault.Store(&leasetest.Fault{Err: lease.ErrReadOnly})
			}
			wg.Go(func() { _ = table.Run(ctx) })
			synctest.Wait()
			m.store.fault.Store(nil)
			cancel()
			wg.Wait()
			m.sure()
			if m.full {
				return
			}
			for addr := range m.shunned {
				if l := m.load(rt)[addr]; l.State != lease.Declined {
					rt.Fatalf("%s was declined, but the store has %v", addr, l)
				}
			}
			for addr, l := range fold(rt, m.store) {
				if !l.Active(time.Now()) {
					rt.Fatalf("%s has run out but there is no event", addr)
				}
			}
			maps.DeleteFunc(m.declined, func(_ netip.Addr, until time.Time) bool { return !time.Now().Before(until) })
		},
		"disk":    func(rt *rapid.T) { m.full = rapid.IntRange(0, 2).Draw(rt, "full") == 0 },
		"restart": func(*rapid.T) { table = restart() },
		"": func(rt *rapid.T) {
			m.check(rt, table)
			pass(time.Millisecond) // no two leases end at once, so that it's clear which was the last
		},
	}
	rt.Repeat(actions)
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
