package lease_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

// filled returns a table in which so many of a hundred addresses of a /16 are leased.
func filled(b *testing.B, percent int) (*lease.Table, lease.Scope) {
	b.Helper()
	table, s := open(b, new(leasetest.Memory)), big(b)
	for n := range 65533 * percent / 100 {
		bind(b, table, s, phone(n), bigIP(n+2))
	}
	return table, s
}

func phone(n int) lease.Client {
	return lease.Client{HW: hwaddr.Addr{0x00, 0x04, 0xf2, byte(n >> 16), byte(n >> 8), byte(n)}, VendorClass: "Polycom"}
}

func BenchmarkOffer(b *testing.B) {
	for _, percent := range []int{10, 95} {
		b.Run(fmt.Sprintf("fill=%d", percent), func(b *testing.B) {
			table, s := filled(b, percent)
			n := 1 << 17
			for b.Loop() {
				n++
				if _, err := table.Offer(b.Context(), s, phone(n), netip.Addr{}); err != nil {
					b.Fatal(err)
				}
				table.Withdraw(s.Network.ID, phone(n).HW)
			}
		})
	}
	// All addresses were leased once, and all but one are leased now: the search fails, the oldest is taken.
	b.Run("fill=reused", func(b *testing.B) {
		table, s := filled(b, 100)
		for n := 255; n < 65535; n += 256 { // .0 and .255 are given to those who ask only
			for _, a := range []int{n, n + 1} {
				if _, ok := table.At(bigIP(a)); !ok && a < 65535 {
					bind(b, table, s, phone(1<<18+a), bigIP(a))
				}
			}
		}
		if err := table.Release(b.Context(), s, phone(1000), bigIP(1002)); err != nil {
			b.Fatal(err)
		}
		n := 1 << 17
		for b.Loop() {
			n++
			if _, err := table.Offer(b.Context(), s, phone(n), netip.Addr{}); err != nil {
				b.Fatal(err)
			}
			table.Withdraw(s.Network.ID, phone(n).HW)
		}
	})
}

func BenchmarkBind(b *testing.B) {
	for _, percent := range []int{10, 95} {
		b.Run(fmt.Sprintf("fill=%d", percent), func(b *testing.B) {
			table, s := filled(b, percent)
			n := 0
			for b.Loop() {
				n = (n + 1) % 6000
				if _, err := table.Bind(b.Context(), s, phone(n), bigIP(n+2)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkByAddr(b *testing.B) {
	table, _ := filled(b, 95)
	var n atomic.Uint32
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := table.ByAddr(bigIP(int(n.Add(1)%60000) + 2)); !ok {
				b.Error("got no lease")
			}
		}
	})
}

func BenchmarkByHW(b *testing.B) {
	table, _ := filled(b, 95)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n = (n + 1) % 60000
		if len(table.ByHW(phone(n).HW)) != 1 {
			b.Fatal("got no lease")
		}
	}
}
