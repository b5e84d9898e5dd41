package dhcp

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// grants is a table that gives everybody one address, at once.
type grants struct{ lease lease.Lease }

func (g grants) Offer(context.Context, lease.Scope, lease.Client, netip.Addr) (lease.Lease, error) {
	return g.lease, nil
}

func (g grants) Bind(context.Context, lease.Scope, lease.Client, netip.Addr) (lease.Lease, error) {
	return g.lease, nil
}

func (grants) Now() time.Time                                                       { return time.Now() }
func (grants) Withdraw(network.ID, hwaddr.Addr)                                     {}
func (grants) Release(context.Context, lease.Scope, lease.Client, netip.Addr) error { return nil }

func (grants) ByAddr(netip.Addr) (lease.Lease, bool) { return lease.Lease{}, false }

func (grants) ByHW(hwaddr.Addr) []lease.Lease { return nil }

func (grants) Held(network.ID, hwaddr.Addr) (lease.Lease, bool) { return lease.Lease{}, false }

func (grants) At(netip.Addr) (lease.Lease, bool) { return lease.Lease{}, false }

func (g grants) Peek(ctx context.Context, s lease.Scope, c lease.Client, want netip.Addr) (lease.Lease, error) {
	return g.Offer(ctx, s, c, want)
}

func (grants) Each(func(lease.Lease) bool) {}

func (grants) Quarantine(context.Context, lease.Scope, netip.Addr, time.Duration) error { return nil }

func (grants) Decline(context.Context, lease.Scope, lease.Client, netip.Addr, time.Duration) error {
	return nil
}

// BenchmarkRespond is the way of a message from bytes to bytes, without the table.
func BenchmarkRespond(b *testing.B) {
	class, list := text(optVendorClass, "Cisco Systems, Inc. IP Phone CP-7941G\x00"), prl(1, 66, 6, 3, 15, 150, 35)
	id := opt(optClientID, 1, 0, 0x15, 0x65, 0xaa, 0xbb, 1)
	a := ip("192.0.2.50")
	for name, p := range map[string]draft{
		"discover": client(phone, discover, class, list, id),
		"request":  selecting(phone, a, ourAddr, class, list, id),
		"renew":    renew(phone, a, class, list, id),
	} {
		b.Run(name, func(b *testing.B) {
			l := newLab(b)
			l.Boot = vendors(func(lease.Client, netip.Addr) network.Boot { return network.Boot{} })
			l.Table = grants{lease.Lease{Addr: a}}
			in, ing, ctx := p.bytes(), direct(), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				m, _, _ := decode(in)
				reply, _ := l.Respond(ctx, m, ing)
				out, _ := Encode(reply, Limit(m, ing.MTU))
				deliver(m, reply, ing)
				if len(out) < minReply {
					b.Fatal("no reply")
				}
			}
		})
	}
}
