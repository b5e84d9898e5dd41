package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// promise is what a client was told: the address is its own until then, by the client's clock, which never steps.
type promise struct {
	addr   netip.Addr
	until  time.Time
	loaded bool // the process that made it has ended
}

// world is a table that runs, its store and wall clock, and what its clients were promised.
type world struct {
	store    *failing
	wall     clock
	scope    lease.Scope
	table    *lease.Table
	stop     func()
	promises map[int]promise
}

// TestPromises has clients lease addresses while the store fails, the process ends and the wall clock jumps by hours and
// years. Nobody gets what another was promised, and nobody is promised what isn't on disk.
func TestPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { inBubble(t, rt, keepPromises) })
}

func keepPromises(rt *rapid.T) {
	nets := []network.Network{{ID: "n", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: []network.Pool{{First: ip(10), Last: ip(14)}}}}
	set, err := network.NewSet(nets)
	if err != nil {
		rt.Fatal(err)
	}
	w := &world{
		store: newFailing(), promises: make(map[int]promise),
		scope: lease.Scope{Network: &nets[0], Networks: set, Pools: nets[0].Pools, Lifetime: time.Hour},
	}
	w.start(rt)
	defer func() { w.stop() }()
	rt.Repeat(map[string]func(*rapid.T){
		"lease": w.lease,
		"wait": func(rt *rapid.T) {
			pass(time.Duration(rapid.IntRange(1, 40).Draw(rt, "minutes")) * time.Minute)
		},
		"jump": func(rt *rapid.T) {
			const year = 365 * 24 * time.Hour
			off := rapid.SampledFrom([]time.Duration{0, time.Hour, -time.Hour, year, -year, 3 * time.Second}).Draw(rt, "to")
			for n, p := range w.promises {
				// What another process promised is compared with the clock as it is set now; see Run.
				if p.loaded && int64(off) > w.wall.off.Load() {
					delete(w.promises, n)
				}
			}
			w.wall.off.Store(int64(off))
		},
		"fault": func(rt *rapid.T) {
			w.store.fault.Store(rapid.SampledFrom([]*leasetest.Fault{
				nil, nil, {Err: lease.ErrReadOnly}, {Err: errDisk}, {Err: errDisk, Written: true},
			}).Draw(rt, "fault"))
		},
		"restart": func(rt *rapid.T) {
			// A clock that is ahead when the process starts can't be told from the time that has passed.
			if w.wall.now().After(w.table.Now().Add(time.Second)) || w.store.fault.Load() != nil {
				return
			}
			pass(15 * time.Second) // what a step has changed is on disk
			w.stop()
			for n, p := range w.promises {
				p.loaded = true
				w.promises[n] = p
			}
			w.start(rt)
		},
		"": w.check,
	})
}

func (w *world) start(rt *rapid.T) {
	table, err := lease.Open(context.Background(), w.store, w.wall.now, slog.New(slog.DiscardHandler))
	if err != nil {
		rt.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = table.Run(ctx) })
	w.table = table
	w.stop = func() {
		cancel()
		wg.Wait()
	}
}

// lease has a client ask for what it is offered, or for what it has.
func (w *world) lease(rt *rapid.T) {
	n := rapid.IntRange(0, 7).Draw(rt, "client")
	addr := w.promises[n].addr
	if !addr.IsValid() || rapid.Bool().Draw(rt, "discover") {
		l, err := w.table.Offer(context.Background(), w.scope, client(n), netip.Addr{})
		if err != nil {
			return
		}
		addr = l.Addr
	}
	l, err := w.table.Bind(context.Background(), w.scope, client(n), addr)
	now := time.Now()
	told := promise{addr: addr, until: now.Add(l.Expiry.Sub(w.table.Now()))}
	if errors.Is(err, lease.ErrDegraded) {
		if disk := w.disk(rt, addr); disk.Client.HW != client(n).HW || disk.State != lease.Bound || disk.Rev < l.Rev {
			rt.Fatalf("client %d: %v goes on, but on disk is %v", n, l, disk)
		}
		return
	}
	if err != nil {
		return
	}
	for other, p := range w.promises {
		if other != n && p.addr == addr && now.Before(p.until) {
			rt.Fatalf("%s is leased to client %d, but it was promised to client %d for another %v", addr, n, other, p.until.Sub(now))
		}
	}
	w.promises[n] = told
	if disk := w.disk(rt, addr); disk.Client.HW != client(n).HW || disk.State != lease.Bound || disk.Rev != l.Rev {
		rt.Fatalf("client %d was leased %v, but on disk is %v", n, l, disk)
	}
}

// disk returns what the store has of an address.
func (w *world) disk(rt *rapid.T, addr netip.Addr) lease.Lease {
	for l, err := range w.store.LoadLeases(context.Background()) {
		if err != nil {
			rt.Fatal(err)
		}
		if l.Addr == addr {
			return l
		}
	}
	return lease.Lease{}
}

// check looks whether each client still has what it was promised.
func (w *world) check(rt *rapid.T) {
	synctest.Wait()
	now := time.Now()
	for n, p := range w.promises {
		if !now.Before(p.until.Add(-time.Minute)) {
			if now.After(p.until) {
				delete(w.promises, n)
			}
			continue
		}
		l, ok := w.table.ByAddr(p.addr)
		if ok && l.Client.HW != client(n).HW {
			rt.Fatalf("%s is client %x's, but it was promised to client %d", p.addr, l.Client.HW, n)
		}
		if !ok && w.store.fault.Load() == nil && !w.unsure(n) {
			rt.Fatalf("%s is nobody's, but it was promised to client %d for another %v: %s", p.addr, n, p.until.Sub(now), w.tell(p.addr))
		}
	}
}

// unsure reports whether the client's address is in doubt: a failed commit may have moved it.
func (w *world) unsure(n int) bool {
	_, err := w.table.Offer(context.Background(), w.scope, client(n), netip.Addr{})
	return err != nil
}

func (w *world) tell(addr netip.Addr) string {
	l, _ := w.table.At(addr)
	return fmt.Sprint(l)
}
