package lease_test

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// office is a network with a pool of a thousand addresses.
func office(tb testing.TB) lease.Scope {
	tb.Helper()
	return scope(tb, network.Network{
		ID: "office", Prefix: netip.MustParsePrefix("198.51.0.0/16"),
		Pools: []network.Pool{{First: netip.MustParseAddr("198.51.100.0"), Last: netip.MustParseAddr("198.51.103.255"), Edges: true}},
	})
}

func TestEach(t *testing.T) {
	t.Parallel()
	table, s := open(t, &leasetest.Memory{}), office(t)
	for i := range 600 {
		bind(t, table, s, client(i), offer(t, table, s, client(i), netip.Addr{}))
	}
	offer(t, table, s, client(600), netip.Addr{})

	want, got := make(map[netip.Addr]lease.Lease), make(map[netip.Addr]lease.Lease)
	for _, l := range table.All() {
		want[l.Addr] = l
	}
	table.Each(func(l lease.Lease) bool {
		got[l.Addr] = l
		return true
	})
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" || len(got) != 601 {
		t.Errorf("Each (-All +Each), %d leases:\n%s", len(got), diff)
	}
	n := 0
	table.Each(func(lease.Lease) bool {
		n++
		return n < 300
	})
	if n != 300 {
		t.Errorf("went on to %d after 300 were enough", n)
	}
}

// Whoever is handed a lease may use the table, and others go on.
func TestEachWhileTableChanges(t *testing.T) {
	t.Parallel()
	table, s := open(t, &leasetest.Memory{}), office(t)
	for i := range 500 {
		bind(t, table, s, client(i), offer(t, table, s, client(i), netip.Addr{}))
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 400 {
			c := client(500 + i)
			bind(t, table, s, c, offer(t, table, s, c, netip.Addr{}))
		}
	})
	seen := make(map[netip.Addr]int)
	table.Each(func(l lease.Lease) bool {
		if seen[l.Addr]++; seen[l.Addr] > 1 {
			t.Errorf("%s is handed out %d times", l.Addr, seen[l.Addr])
		}
		_, _ = table.ByAddr(l.Addr)
		return true
	})
	wg.Wait()
	if len(seen) < 500 {
		t.Errorf("%d leases, want the 500 that were there all the time", len(seen))
	}
}
