package lease_test

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// TestOfferOrder blocks one step of the order after the other (RFC 2131 §4.3.1).
func TestOfferOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := open(t, new(leasetest.Memory))
		s := voice(t)
		who := client(15)
		bind(t, table, s, who, ip(15))
		if err := table.Release(t.Context(), s, who, ip(15)); err != nil {
			t.Fatal(err)
		}
		// Without the reservation the client had this one last, then holds that one.
		plain := s
		plain.Networks = nil
		bind(t, table, plain, who, ip(14))
		if err := table.Release(t.Context(), s, who, ip(14)); err != nil {
			t.Fatal(err)
		}
		bind(t, table, plain, who, ip(16))
		want := ip(17)
		if got := offer(t, table, s, who, want); got != ip(15) {
			t.Errorf("got %s, want the reserved address", got)
		}
		if got := offer(t, table, plain, who, want); got != ip(16) {
			t.Errorf("without reservation: got %s, want the address that it holds", got)
		}
		if err := table.Quarantine(t.Context(), s, ip(16), 0); !errors.Is(err, lease.ErrTaken) {
			t.Fatal(err)
		}
		if err := table.Decline(t.Context(), s, who, ip(16), 0); err != nil {
			t.Fatal(err)
		}
		table.Withdraw("voice", who.HW)
		if got := offer(t, table, plain, who, want); got != ip(14) {
			t.Errorf("without a lease: got %s, want the address that it held last", got)
		}
		table.Withdraw("voice", who.HW)
		bind(t, table, s, client(1), ip(14))
		if got := offer(t, table, plain, who, want); got != ip(15) {
			t.Errorf("without the last lease: got %s, want the one that it held before", got)
		}
		table.Withdraw("voice", who.HW)
		bind(t, table, plain, client(3), ip(15))
		if got := offer(t, table, plain, who, want); got != want {
			t.Errorf("without a former lease: got %s, want the requested address", got)
		}
		if got := offer(t, table, plain, who, ip(18)); got != want {
			t.Errorf("asking again: got %s, want the same offer %s", got, want)
		}
		table.Withdraw("voice", who.HW)
		bind(t, table, s, client(2), want)
		if got := offer(t, table, plain, who, want); got == want || !plain.Pools[0].Contains(got) && !plain.Pools[1].Contains(got) {
			t.Errorf("without a free request: got %s, want another address of the pools", got)
		}
	})
}

func TestOfferIsStable(t *testing.T) {
	t.Parallel()
	s := voice(t)
	for n := range 50 {
		first := offer(t, open(t, new(leasetest.Memory)), s, client(n), netip.Addr{})
		if again := offer(t, open(t, new(leasetest.Memory)), s, client(n), netip.Addr{}); again != first {
			t.Errorf("client %d: got %s from one empty table and %s from another", n, first, again)
		}
	}
}

func TestOfferExhausts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		s := voice(t)
		// .10 .14 .16 .17 .18 .19 .30 .31 .32: the rest is excluded, reserved, a router's or a relay agent's.
		got := make(map[netip.Addr]int)
		for n := range 9 {
			got[offer(t, table, s, client(n), netip.Addr{})]++
		}
		if len(got) != 9 {
			t.Errorf("got offers of %v, want nine different addresses", got)
		}
		if _, err := table.Offer(t.Context(), s, client(9), netip.Addr{}); !errors.Is(err, lease.ErrNone) {
			t.Errorf("got error %v, want ErrNone", err)
		}
		if got := offer(t, table, s, client(15), netip.Addr{}); got != ip(15) {
			t.Errorf("got %s, want the reserved address although the pools are exhausted", got)
		}
		pass(30 * time.Second)
		first := offer(t, table, s, client(0), netip.Addr{})
		pass(30 * time.Second)
		for n := range 8 { // all offers have lapsed, but for the one that was renewed
			if got := offer(t, table, s, client(20+n), first); got == first {
				t.Errorf("got an offer of %s, which is offered to another", got)
			}
		}
		if events := story(t, store, 0); len(events) != 0 {
			t.Errorf("got events %v from offers, want none", events)
		}
		none := s
		none.Pools = nil
		if _, err := table.Offer(t.Context(), none, client(1), netip.Addr{}); !errors.Is(err, lease.ErrNone) {
			t.Errorf("no pools: got error %v, want ErrNone", err)
		}
		if _, err := table.Offer(t.Context(), s, lease.Client{}, netip.Addr{}); !errors.Is(err, lease.ErrNone) {
			t.Errorf("no client: got error %v, want ErrNone", err)
		}
	})
}

// TestOfferReusesTheOldest fills the pools, ends the leases in a known order, and expects them to be reused in that
// order, but not by a mere offer.
func TestOfferReusesTheOldest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		s := voice(t)
		order := []int{17, 31, 10, 30, 19, 14, 32, 16, 18}
		for n, a := range order {
			bind(t, table, s, client(n), ip(a))
		}
		for n, a := range order {
			pass(time.Minute)
			if err := table.Release(t.Context(), s, client(n), ip(a)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // as well after a restart
			if got := offer(t, table, s, client(99), netip.Addr{}); got != ip(17) {
				t.Errorf("got %s, want the one that was released first", got)
			}
			if got := offer(t, table, s, client(98), netip.Addr{}); got != ip(31) {
				t.Errorf("got %s, want the one that was released second", got)
			}
			table = open(t, store)
		}
		offer(t, table, s, client(99), netip.Addr{})
		pass(time.Minute)
		if got := offer(t, table, s, client(0), netip.Addr{}); got != ip(17) {
			t.Errorf("got %s, want the former lease: only an offer was made of it meanwhile", got)
		}
	})
}

func TestOfferOfAnExpiredLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		s := voice(t)
		bind(t, table, s, client(1), ip(10))
		pass(lifetime) // and nobody sweeps
		bind(t, table, s, client(2), ip(10))
		check(t, "events", []string{"bound .10 1", "expired .10 1", "bound .10 2"}, story(t, store, 0))
		pass(lifetime)
		bind(t, table, s, client(2), ip(10))
		check(t, "later events", []string{"expired .10 2", "bound .10 2"}, story(t, store, 3))
		pass(lifetime)
		bind(t, table, s, client(2), ip(14))
		check(t, "last events", []string{"expired .10 2", "bound .14 2"}, story(t, store, 5))
	})
}

func TestOffersAreCapped(t *testing.T) {
	t.Parallel()
	table := open(t, new(leasetest.Memory))
	s := scope(t, network.Network{
		ID: "big", Prefix: netip.MustParsePrefix("10.0.0.0/16"),
		Pools: []network.Pool{{First: netip.MustParseAddr("10.0.0.1"), Last: netip.MustParseAddr("10.0.255.254")}},
	})
	first := offer(t, table, s, client(0), netip.Addr{})
	for n := range 5000 {
		offer(t, table, s, client(n), netip.Addr{})
	}
	if n := len(table.All()); n != 4096 {
		t.Errorf("got %d offers, want 4096", n)
	}
	if l, ok := table.At(first); ok && l.Client.HW == client(0).HW {
		t.Errorf("got %v, want the oldest offer gone", l)
	}
	for _, l := range table.All() {
		if b := l.Addr.As4()[3]; b == 0 || b == 255 {
			t.Errorf("got an offer of %s, which old stacks take for a broadcast address", l.Addr)
		}
	}
}

func TestPoolsMayChange(t *testing.T) {
	t.Parallel()
	table := open(t, new(leasetest.Memory))
	s := voice(t)
	s.Pools = []network.Pool{{First: ip(30), Last: ip(32)}}
	a := offer(t, table, s, client(1), netip.Addr{})
	bind(t, table, s, client(1), a)
	s.Pools = []network.Pool{{First: ip(30), Last: ip(32), Exclude: []netip.Addr{ip(31), a}}}
	for n := range 20 {
		l, err := table.Offer(t.Context(), s, client(n), netip.Addr{})
		if err == nil && (l.Addr == a || l.Addr == ip(31)) {
			t.Errorf("got an offer of the excluded %s", l.Addr)
		}
	}
	for n := range 300 { // more than the table keeps an index of
		s.Pools = []network.Pool{{First: ip(1 + n%50), Last: ip(100 + n/50)}}
		offer(t, table, s, client(n%20), netip.Addr{})
	}
}

// TestOfferNeverForbidden draws networks and finds no address that must not be leased (invariants I4 and I5), and all
// those that may be.
func TestOfferNeverForbidden(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		bits := rapid.IntRange(24, 30).Draw(rt, "bits")
		prefix := netip.PrefixFrom(netip.MustParseAddr("192.0.2.0"), bits)
		size := 1<<(32-bits) - 2
		host := rapid.IntRange(1, size)
		n := network.Network{ID: "n", Prefix: prefix, Server: ip(host.Draw(rt, "server"))}
		lo, hi := host.Draw(rt, "first"), host.Draw(rt, "last")
		lo, hi = min(lo, hi), max(lo, hi)
		mid := rapid.IntRange(lo, hi).Draw(rt, "split")
		forbidden := map[netip.Addr]bool{n.Server: true}
		var exclude []netip.Addr
		for _, x := range rapid.SliceOfN(host, 0, 5).Draw(rt, "exclude") {
			exclude = append(exclude, ip(x))
			forbidden[ip(x)] = true
		}
		n.Pools = []network.Pool{{First: ip(lo), Last: ip(mid), Exclude: exclude}}
		if mid < hi {
			n.Pools = append(n.Pools, network.Pool{First: ip(mid + 1), Last: ip(hi), Exclude: exclude})
		}
		for i, x := range rapid.SliceOfNDistinct(host, 0, 4, rapid.ID).Draw(rt, "reserved") {
			if ip(x) != n.Server {
				n.Reservations = append(n.Reservations, network.Reservation{HW: client(1000 + i).HW, Addr: ip(x)})
				forbidden[ip(x)] = true
			}
		}
		s := scope(t, n)
		table := open(t, new(leasetest.Memory))
		free := 0
		for x := lo; x <= hi; x++ {
			if !forbidden[ip(x)] {
				free++
			}
		}
		for i := range free + 1 {
			l, err := table.Offer(t.Context(), s, client(i), netip.Addr{})
			switch {
			case err == nil && (forbidden[l.Addr] || !prefix.Contains(l.Addr)):
				rt.Fatalf("got an offer of the forbidden %s", l.Addr)
			case i < free && err != nil:
				rt.Fatalf("offer %d of %d: %v", i+1, free, err)
			case i == free && !errors.Is(err, lease.ErrNone):
				rt.Fatalf("got %v, error %v beyond the last address; want ErrNone", l, err)
			}
			if i%2 == 0 && err == nil {
				if _, err := table.Bind(t.Context(), s, client(i), l.Addr); err != nil {
					rt.Fatal(err)
				}
			}
		}
	})
}
