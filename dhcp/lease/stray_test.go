package lease_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

// TestStrays opens stores in which clients have several leases of a network, as a restored or edited one can: whatever
// becomes of the writes that end the older ones, each client is shown with its youngest, and with no other.
func TestStrays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { inBubble(t, rt, strays) })
}

func strays(rt *rapid.T) {
	ctx, store, start := context.Background(), newFailing(), time.Now()
	youngest := make(map[hwaddr.Addr]lease.Lease)
	ages := rapid.Permutation([]int{1, 2, 3, 4, 5, 6}).Draw(rt, "ages")
	for n, age := range ages {
		l := lease.Lease{
			Addr: ip(10 + n), Network: "voice", Client: client(rapid.IntRange(0, 2).Draw(rt, "client")), State: lease.Bound,
			Origin: lease.Pool, Start: start.Add(-time.Duration(age) * time.Hour), Expiry: start.Add(8 * time.Hour),
		}
		if _, err := store.CommitLeases(ctx, lease.Change{At: l.Start, Kind: lease.KindBound, Next: l}); err != nil {
			rt.Fatal(err)
		}
		if y, ok := youngest[l.Client.HW]; !ok || y.Start.Before(l.Start) {
			youngest[l.Client.HW] = l
		}
	}
	table, err := lease.Open(ctx, store, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		rt.Fatal(err)
	}
	shown := func() {
		for n := range ages {
			if l, ok := table.ByAddr(ip(10 + n)); ok && youngest[l.Client.HW].Addr != l.Addr {
				rt.Fatalf("got %v beside %v", l, youngest[l.Client.HW])
			}
		}
		for hw, want := range youngest {
			if l, ok := table.ByAddr(want.Addr); !ok || l.Client.HW != hw {
				rt.Fatalf("%s: got %v, %v, want %v", want.Addr, l, ok, want)
			}
			if all := table.ByHW(hw); len(all) != 1 || all[0].Addr != want.Addr {
				rt.Fatalf("client %s: got %v, want %v", hw, all, want)
			}
		}
	}
	shown()
	running, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for range rapid.IntRange(0, 4).Draw(rt, "failures") {
		store.fault.Store(rapid.SampledFrom([]*leasetest.Fault{
			{Err: lease.ErrReadOnly}, {Err: errDisk}, {Err: errDisk, Written: true},
		}).Draw(rt, "fault"))
		ctx, cancel := context.WithCancel(ctx)
		wg.Go(func() { _ = table.Run(ctx) })
		synctest.Wait()
		cancel()
		wg.Wait()
		shown()
		if err := table.Reread(context.Background()); err != nil {
			rt.Fatal(err)
		}
		shown()
	}
	store.fault.Store(nil)
	wg.Go(func() { _ = table.Run(running) })
	pass(30 * time.Second)
	cancel()
	wg.Wait()
	shown()
	for l := range store.LoadLeases(ctx) {
		if bound := l.State == lease.Bound; bound != (youngest[l.Client.HW].Addr == l.Addr) {
			rt.Fatalf("in the end the store has %v", l)
		}
	}
}
