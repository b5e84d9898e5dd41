package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

// A client's starts are numbered, and its renewals aren't: through a restart of ours, and from address to address.
func TestBoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table, s := open(t, store), voice(t)
		starts := s
		starts.Boot = true
		at := func(l lease.Lease, boot, last uint32) {
			t.Helper()
			if l.Boot != boot || l.LastBoot != last {
				t.Errorf("got starts %d and %d before it, want %d and %d", l.Boot, l.LastBoot, boot, last)
			}
		}
		seconds := func() uint32 { return uint32(time.Now().Unix()) }
		at(bind(t, table, s, client(1), ip(10)), 0, 0) // before this was known
		first := seconds()
		l := bind(t, table, starts, client(1), ip(10))
		at(l, first, 0)
		if !l.Booted().Equal(time.Unix(int64(first), 0)) || !(lease.Lease{}).Booted().IsZero() {
			t.Errorf("booted: got %v", l.Booted())
		}
		pass(30 * time.Second)
		at(bind(t, table, starts, client(1), ip(10)), first, 0) // its request came twice
		pass(time.Hour)
		at(bind(t, table, s, client(1), ip(10)), first, 0)
		second := seconds()
		at(bind(t, table, starts, client(1), ip(10)), second, first)
		table = open(t, store)
		pass(time.Hour)
		third := seconds()
		at(bind(t, table, starts, client(1), ip(14)), third, second) // another address
		if err := table.Release(t.Context(), s, client(1), ip(14)); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		at(bind(t, table, starts, client(1), ip(16)), seconds(), third)
		at(bind(t, table, starts, client(2), ip(14)), seconds(), 0) // another client of the address

		fifth := seconds()
		pass(10 * time.Second)
		table = open(t, store)
		sixth := seconds()
		at(bind(t, table, starts, client(2), ip(14)), sixth, fifth) // it comes up after our restart, though soon after the last time
		pass(10 * time.Second)
		at(bind(t, table, starts, client(2), ip(14)), sixth, fifth) // its request came twice
	})
}
