package lease_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

const lifetime = 8 * time.Hour

func ip(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }

func client(n int) lease.Client {
	return lease.Client{HW: hwaddr.Addr{0x00, 0x15, 0x65, 0, byte(n >> 8), byte(n)}, VendorClass: "yealink"}
}

// voice is 192.0.2.0/24 with the pools .10 to .19 and .30 to .32; .12 is excluded, .15 is reserved for client 15 and
// .200 for client 200; .1 is ours, .11 a router's and .13 a relay agent's.
func voice(tb testing.TB) lease.Scope {
	tb.Helper()
	router, err := network.ParseOption("router", "192.0.2.11")
	if err != nil {
		tb.Fatal(err)
	}
	return scope(tb, network.Network{
		ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Server: ip(1),
		Relays:  []netip.Addr{ip(13)},
		Options: []network.Option{router},
		Pools:   []network.Pool{{First: ip(10), Last: ip(19), Exclude: []netip.Addr{ip(12)}}, {First: ip(30), Last: ip(32)}},
		Reservations: []network.Reservation{
			{HW: client(15).HW, Addr: ip(15)},
			{HW: client(200).HW, Addr: ip(200)},
		},
	})
}

func scope(tb testing.TB, n network.Network) lease.Scope {
	tb.Helper()
	nets := []network.Network{n}
	set, err := network.NewSet(nets)
	if err != nil {
		tb.Fatal(err)
	}
	return lease.Scope{Network: &nets[0], Networks: set, Pools: n.Pools, Lifetime: lifetime}
}

func open(tb testing.TB, s lease.Store) *lease.Table {
	tb.Helper()
	table, err := lease.Open(tb.Context(), s, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

func bind(tb testing.TB, table *lease.Table, s lease.Scope, c lease.Client, addr netip.Addr) lease.Lease {
	tb.Helper()
	l, err := table.Bind(tb.Context(), s, c, addr)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func offer(tb testing.TB, table *lease.Table, s lease.Scope, c lease.Client, want netip.Addr) netip.Addr {
	tb.Helper()
	seen, err := table.Peek(tb.Context(), s, c, want)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := table.Offer(tb.Context(), s, c, want)
	if err != nil {
		tb.Fatal(err)
	}
	if seen.Addr != l.Addr || seen.Origin != l.Origin {
		tb.Errorf("Peek saw %s, Offer gave %s", seen.Addr, l.Addr)
	}
	if l.State != lease.Offered || l.Client.HW != c.HW || l.Rev != 0 {
		tb.Errorf("got offer %+v, want one for %s", l, c.HW)
	}
	return l.Addr
}

// story returns the events of a store after a number, as "kind address client".
func story(tb testing.TB, s lease.Store, after uint64) []string {
	tb.Helper()
	var all []string
	for e, err := range s.Events(tb.Context(), after) {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, tell(e))
	}
	return all
}

func tell(e lease.Event) string {
	kind := [...]string{"none", "bound", "renewed", "moved", "released", "declined", "expired"}[e.Kind]
	hw := e.Lease.Client.HW
	return fmt.Sprintf("%s .%d %d", kind, e.Lease.Addr.As4()[3], int(hw[4])<<8|int(hw[5]))
}

func check(tb testing.TB, what string, want, got any) {
	tb.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		tb.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		now := time.Now()
		want := lease.Lease{
			Addr: ip(10), Network: "voice", Client: client(1), State: lease.Bound, Origin: lease.Pool,
			Start: now, Expiry: now.Add(lifetime), Rev: 1,
		}
		check(t, "bound", want, bind(t, table, voice(t), client(1), ip(10)))
		got, ok := table.ByAddr(ip(10))
		check(t, "by address", []any{want, true}, []any{got, ok})
		check(t, "by client", []lease.Lease{want}, table.ByHW(client(1).HW))

		pass(time.Hour)
		want.Expiry, want.Rev = time.Now().Add(lifetime), 2
		check(t, "renewed", want, bind(t, table, voice(t), client(1), ip(10)))
		got, ok = open(t, store).ByAddr(ip(10))
		check(t, "by address after a restart", []any{want, true}, []any{got, ok})
		check(t, "events", []string{"bound .10 1", "renewed .10 1"}, story(t, store, 0))
	})
}

func TestBindRefuses(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	table := open(t, store)
	s := voice(t)
	bind(t, table, s, client(1), ip(10))
	offer(t, table, s, client(2), ip(14))
	bind(t, table, s, client(3), ip(16))
	if err := table.Decline(t.Context(), s, client(3), ip(16), 0); err != nil {
		t.Fatal(err)
	}
	other := s
	other.Pools = s.Pools[1:]
	for _, c := range []struct {
		name  string
		scope lease.Scope
		who   lease.Client
		addr  netip.Addr
		want  error
	}{
		{"held by another", s, client(9), ip(10), lease.ErrTaken},
		{"offered to another", s, client(9), ip(14), lease.ErrTaken},
		{"declined", s, client(9), ip(16), lease.ErrTaken},
		{"declined, to who declined it", s, client(3), ip(16), lease.ErrTaken},
		{"reserved for another", s, client(9), ip(15), lease.ErrTaken},
		{"reserved for another, outside the pools", s, client(9), ip(200), lease.ErrTaken},
		{"not the one that is reserved", s, client(15), ip(17), lease.ErrWrongNet},
		{"outside the pools", s, client(9), ip(99), lease.ErrWrongNet},
		{"in a pool of others", other, client(9), ip(17), lease.ErrWrongNet},
		{"excluded", s, client(9), ip(12), lease.ErrWrongNet},
		{"the router", s, client(9), ip(11), lease.ErrWrongNet},
		{"a relay agent", s, client(9), ip(13), lease.ErrWrongNet},
		{"ours", s, client(9), ip(1), lease.ErrWrongNet},
		{"the network", s, client(9), ip(0), lease.ErrWrongNet},
		{"broadcast", s, client(9), ip(255), lease.ErrWrongNet},
		{"another network", s, client(9), netip.MustParseAddr("198.51.100.10"), lease.ErrWrongNet},
		{"no address", s, client(9), netip.Addr{}, lease.ErrWrongNet},
		{"IPv6", s, client(9), netip.MustParseAddr("::ffff:192.0.2.17"), lease.ErrWrongNet},
		{"no hardware address", s, lease.Client{}, ip(17), lease.ErrWrongNet},
	} {
		if _, err := table.Bind(t.Context(), c.scope, c.who, c.addr); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
	}
	forNothing := s
	forNothing.Lifetime = 0
	if l, err := table.Bind(t.Context(), forNothing, client(9), ip(17)); err == nil || errors.Is(err, lease.ErrWrongNet) {
		t.Errorf("no lifetime: got %v, error %v; want one that is no NAK", l, err)
	}
	check(t, "events", []string{"bound .10 1", "bound .16 3", "declined .16 3"}, story(t, store, 0))
	bind(t, table, s, client(15), ip(15))
	if l := bind(t, table, s, client(200), ip(200)); l.Origin != lease.Reserved {
		t.Errorf("got origin %d of a reserved address, want Reserved", l.Origin)
	}
	bind(t, table, s, client(2), ip(14))
}

func TestBindEndsTheOlderAddress(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	table := open(t, store)
	s := voice(t)
	bind(t, table, s, client(1), ip(10))
	bind(t, table, s, client(1), ip(14))
	check(t, "events", []string{"bound .10 1", "released .10 1", "bound .14 1"}, story(t, store, 0))
	if l, ok := table.ByAddr(ip(10)); ok {
		t.Errorf("got lease %v of the older address, want none", l)
	}
	if all := table.ByHW(client(1).HW); len(all) != 1 || all[0].Addr != ip(14) {
		t.Errorf("got leases %v, want one of %s", all, ip(14))
	}

	// Another network is another matter: the same phone on two VLANs.
	data := scope(t, network.Network{
		ID: "data", Prefix: netip.MustParsePrefix("198.51.100.0/24"),
		Pools: []network.Pool{{First: netip.MustParseAddr("198.51.100.10"), Last: netip.MustParseAddr("198.51.100.20")}},
	})
	bind(t, table, data, client(1), netip.MustParseAddr("198.51.100.10"))
	if all := table.ByHW(client(1).HW); len(all) != 2 {
		t.Errorf("got leases %v, want one per network", all)
	}
}

func TestBindTellsRenewedFromMoved(t *testing.T) {
	t.Parallel()
	base := client(1)
	base.Circuit, base.Remote, base.ID, base.Hostname = "port 7", "switch 2", "\x01abc", "desk"
	base.Params = []uint8{1, 3, 66}
	for _, c := range []struct {
		name   string
		change func(*lease.Client)
		want   string
	}{
		{"nothing", func(*lease.Client) {}, "renewed .10 1"},
		{"unicast past the relay", func(c *lease.Client) { c.Circuit, c.Remote = "", "" }, "renewed .10 1"},
		{"parameters", func(c *lease.Client) { c.Params = []uint8{1} }, "renewed .10 1"},
		{"circuit", func(c *lease.Client) { c.Circuit = "port 8" }, "moved .10 1"},
		{"remote", func(c *lease.Client) { c.Remote = "switch 3" }, "moved .10 1"},
		{"client identifier", func(c *lease.Client) { c.ID = "" }, "moved .10 1"},
		{"vendor class", func(c *lease.Client) { c.VendorClass = "yealink t46s" }, "moved .10 1"},
		{"user class", func(c *lease.Client) { c.UserClass = "x" }, "moved .10 1"},
		{"relay agent", func(c *lease.Client) { c.Relay = netip.MustParseAddr("198.51.100.1") }, "moved .10 1"},
		{"host name", func(c *lease.Client) { c.Hostname = "hall" }, "moved .10 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := new(leasetest.Memory)
			table := open(t, store)
			bind(t, table, voice(t), base, ip(10))
			next := base
			c.change(&next)
			l := bind(t, table, voice(t), next, ip(10))
			check(t, "events", []string{c.want}, story(t, store, 1))
			if l.Client.Circuit == "" || l.Client.Remote == "" {
				t.Errorf("got circuit %q and remote %q, want those that were known", l.Client.Circuit, l.Client.Remote)
			}
		})
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	table := open(t, store)
	s := voice(t)
	bind(t, table, s, client(1), ip(10))
	release := func(c lease.Client, addr netip.Addr) error { return table.Release(t.Context(), s, c, addr) }
	for _, c := range []struct {
		name string
		who  lease.Client
		addr netip.Addr
	}{
		{"another's", client(2), ip(10)},
		{"nobody's", client(1), ip(14)},
	} {
		if err := release(c.who, c.addr); !errors.Is(err, lease.ErrNone) {
			t.Errorf("%s: got error %v, want ErrNone", c.name, err)
		}
	}
	if err := release(client(1), ip(10)); err != nil {
		t.Fatal(err)
	}
	if err := release(client(1), ip(10)); !errors.Is(err, lease.ErrNone) {
		t.Errorf("the second time: got error %v, want ErrNone", err)
	}
	if l, ok := table.ByAddr(ip(10)); ok {
		t.Errorf("got lease %v after its release, want none", l)
	}
	l, ok := table.Held("voice", client(1).HW)
	if !ok || l.Addr != ip(10) || l.State != lease.Released {
		t.Errorf("got last held %v, want the released %s", l, ip(10))
	}
	check(t, "events", []string{"bound .10 1", "released .10 1"}, story(t, store, 0))

	bind(t, table, s, client(1), ip(10))
	if err := table.Release(t.Context(), lease.Scope{}, client(1), ip(10)); err != nil {
		t.Errorf("release in a network that is gone: %v", err)
	}
}

func TestDecline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		s := voice(t)
		bind(t, table, s, client(1), ip(10))
		if err := table.Decline(t.Context(), s, client(2), ip(10), 0); !errors.Is(err, lease.ErrNone) {
			t.Errorf("by a stranger: got error %v, want ErrNone", err)
		}
		if err := table.Decline(t.Context(), s, client(1), ip(10), 0); err != nil {
			t.Fatal(err)
		}
		if err := table.Decline(t.Context(), s, client(1), ip(10), 0); !errors.Is(err, lease.ErrNone) {
			t.Errorf("the second time: got error %v, want ErrNone", err)
		}
		if got := offer(t, table, s, client(2), ip(10)); got == ip(10) {
			t.Errorf("got an offer of the declined %s", got)
		}

		pass(24*time.Hour - time.Minute)
		table = open(t, store)
		go table.Run(t.Context())
		synctest.Wait()
		if _, err := table.Bind(t.Context(), s, client(2), ip(10)); !errors.Is(err, lease.ErrTaken) {
			t.Errorf("in quarantine: got error %v, want ErrTaken", err)
		}
		pass(2 * time.Minute)
		if got := offer(t, table, s, client(2), ip(10)); got != ip(10) {
			t.Errorf("after the quarantine: got an offer of %s, want %s", got, ip(10))
		}
		if l, ok := table.Held("voice", client(1).HW); ok {
			t.Errorf("got last held %v, want nothing: the client declined it", l)
		}
		check(t, "events", []string{"bound .10 1", "declined .10 1"}, story(t, store, 0))
	})
}

func TestDeclineReserved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := open(t, new(leasetest.Memory))
		go table.Run(t.Context())
		s := voice(t)
		bind(t, table, s, client(15), ip(15))
		if err := table.Decline(t.Context(), s, client(15), ip(15), 0); err != nil {
			t.Fatal(err)
		}
		other := offer(t, table, s, client(15), netip.Addr{})
		if other == ip(15) {
			t.Fatalf("got an offer of the declined %s", other)
		}
		bind(t, table, s, client(15), other)
		pass(11 * time.Minute)
		if _, err := table.Bind(t.Context(), s, client(15), other); !errors.Is(err, lease.ErrWrongNet) {
			t.Errorf("renewal when the reserved address is back: got error %v, want ErrWrongNet", err)
		}
		if got := offer(t, table, s, client(15), other); got != ip(15) {
			t.Errorf("got an offer of %s, want %s", got, ip(15))
		}
	})
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	table := open(t, store)
	s := voice(t)
	bind(t, table, s, client(1), ip(10))
	if err := table.Quarantine(t.Context(), s, ip(10), 0); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("held address: got error %v, want ErrTaken", err)
	}
	if err := table.Quarantine(t.Context(), s, ip(0), 0); !errors.Is(err, lease.ErrWrongNet) {
		t.Errorf("network's address: got error %v, want ErrWrongNet", err)
	}
	first := offer(t, table, s, client(2), ip(14))
	if err := table.Quarantine(t.Context(), s, first, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := offer(t, table, s, client(2), ip(14)); got == first {
		t.Errorf("got the same offer %s again", got)
	}
	check(t, "events", []string{"bound .10 1", "declined .14 0"}, story(t, store, 0))
}

func TestObserve(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	table := open(t, store)
	s := voice(t)
	told := func(n, who int) lease.Lease {
		return lease.Lease{
			Addr: ip(n), Network: "voice", Client: client(who), State: lease.Bound, Origin: lease.External,
			Expiry: time.Now().Add(time.Hour),
		}
	}
	observe := func(l lease.Lease) {
		t.Helper()
		if err := table.Observe(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	observe(told(99, 1))
	observe(told(99, 1))
	if l, ok := table.ByAddr(ip(99)); !ok || l.Origin != lease.External {
		t.Errorf("got lease %v, want an external one", l)
	}
	observe(told(98, 1)) // the client moved there
	observe(told(98, 2)) // the other server gave it to somebody else
	check(t, "events", []string{
		"bound .99 1", "renewed .99 1", "released .99 1", "bound .98 1", "released .98 1", "bound .98 2",
	}, story(t, store, 0))

	if err := table.Release(t.Context(), s, client(2), ip(98)); !errors.Is(err, lease.ErrNone) {
		t.Errorf("release of an external lease: got error %v, want ErrNone", err)
	}
	bind(t, table, s, client(3), ip(10))
	if err := table.Observe(t.Context(), told(10, 4)); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("an address that we leased: got error %v, want ErrTaken", err)
	}
	observe(told(10, 3))
	if l, _ := table.ByAddr(ip(10)); l.Origin != lease.Pool {
		t.Errorf("got %v, want our own lease unchanged", l)
	}
	observe(told(14, 5))
	if _, err := table.Bind(t.Context(), s, client(6), ip(14)); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("an address that another server leased: got error %v, want ErrTaken", err)
	}
	ended := told(14, 5)
	ended.State = lease.Released
	observe(ended)
	observe(ended)
	bind(t, table, s, client(6), ip(14))
	if err := table.Observe(t.Context(), lease.Lease{Addr: ip(9), Origin: lease.Pool}); err == nil {
		t.Error("got no error for a lease that isn't external")
	}
}

func TestViews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := open(t, new(leasetest.Memory))
		s := voice(t)
		bind(t, table, s, client(1), ip(14))
		bind(t, table, s, client(2), ip(10))
		bind(t, table, s, client(3), ip(16))
		if err := table.Release(t.Context(), s, client(2), ip(10)); err != nil {
			t.Fatal(err)
		}
		offer(t, table, s, client(4), ip(10))
		offer(t, table, s, client(1), netip.Addr{}) // changes nothing of what is known
		states := func() (got []string) {
			for _, l := range table.All() {
				got = append(got, fmt.Sprintf("%s %d %s", l.Addr, l.State, l.Client.HW))
				if at, ok := table.At(l.Addr); !ok || !cmp.Equal(at, l, cmpopts.EquateComparable(netip.Addr{})) {
					t.Errorf("got %v at %s, want %v", at, l.Addr, l)
				}
			}
			return got
		}
		check(t, "all", []string{
			"192.0.2.10 1 00:15:65:00:00:04", "192.0.2.14 2 00:15:65:00:00:01", "192.0.2.16 2 00:15:65:00:00:03",
		}, states())
		pass(time.Minute)
		check(t, "all, later", []string{
			"192.0.2.10 3 00:15:65:00:00:02", "192.0.2.14 2 00:15:65:00:00:01", "192.0.2.16 2 00:15:65:00:00:03",
		}, states())
		if l, ok := table.At(ip(17)); ok {
			t.Errorf("got %v at an unused address, want nothing", l)
		}
		if l, ok := table.Held("data", client(1).HW); ok {
			t.Errorf("got %v in another network, want nothing", l)
		}
		pass(lifetime)
		if _, ok := table.ByAddr(ip(14)); ok || len(table.ByHW(client(1).HW)) != 0 {
			t.Error("got a lease that has run out, want none, though nobody swept it")
		}
		if l, ok := table.Held("voice", client(1).HW); !ok || l.Addr != ip(14) {
			t.Errorf("got last held %v, want %s", l, ip(14))
		}
	})
}

func TestByAddrDoesNotAllocate(t *testing.T) {
	table := open(t, new(leasetest.Memory))
	bind(t, table, voice(t), client(1), ip(10))
	if n := testing.AllocsPerRun(100, func() { table.ByAddr(ip(10)) }); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
