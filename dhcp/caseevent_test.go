package dhcp

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func eventCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-EVT-01": func(t *caseT) {
			l := newLab(t)
			commits := 0
			l.store.OnCommit = func(changes []lease.Change) leasetest.Fault {
				commits += len(changes)
				return leasetest.Fault{}
			}
			class := text(optVendorClass, "Cisco")
			o := l.say(client(phone, discover, class).relayed(relay, 1, 1, 'c'), byRelay(relay)).want(t, offer)
			l.say(selecting(phone, o.yiaddr(), ourAddr, class).relayed(relay, 1, 1, 'c'), byRelay(relay)).want(t, ack)
			e := l.outbox()
			if len(e) != 1 || commits != 1 {
				t.Fatalf("%d events in %d changes, want one of each", len(e), commits)
			}
			x := e[0].Lease
			if e[0].Kind != lease.KindBound || e[0].Seq != 1 || x.Addr != o.yiaddr() || x.Client.HW != phone || x.Network != "far" ||
				x.Client.VendorClass != "Cisco" || x.Client.Circuit != "c" || !x.Expiry.After(time.Now()) {
				t.Errorf("event %+v", e[0])
			}
		},
		"D-EVT-03": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			was, _ := l.table.ByAddr(got)
			l.pass(time.Minute)
			l.say(renew(phone, got), unicast(got)).want(t, ack)
			want := []string{"bound " + got.String() + " " + phone.String(), "renewed " + got.String() + " " + phone.String()}
			if now, _ := l.table.ByAddr(got); !slices.Equal(l.story(), want) || !now.Start.Equal(was.Start) {
				t.Errorf("events %q, since %s and before %s", l.story(), now.Start, was.Start)
			}
		},
		"D-EVT-04": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			a := l.lease(phone)
			l.leave(phone, a)
			l.lease(phone2)
			want := []string{"bound " + a.String() + " " + phone.String(), "released " + a.String() + " " + phone.String(), "bound " + a.String() + " " + phone2.String()}
			if got := l.story(); !slices.Equal(got, want) {
				t.Errorf("events %q, want %q", got, want)
			}
			if l.holder(a) != phone2 || len(l.table.ByHW(phone)) != 0 {
				t.Errorf("%s is %s's", a, l.holder(a))
			}
		},
		"D-EVT-05": func(t *caseT) {
			l := newLab(t)
			old := l.lease(phone)
			a := l.say(selecting(phone, ip("192.0.2.60"), ourAddr), direct()).want(t, ack)
			if l.holder(old) == phone || l.holder(a.yiaddr()) != phone {
				t.Errorf("%s is %s's, %s is %s's", old, l.holder(old), a.yiaddr(), l.holder(a.yiaddr()))
			}
			want := []string{"bound " + old.String() + " " + phone.String(), "released " + old.String() + " " + phone.String(), "bound 192.0.2.60 " + phone.String()}
			if got := l.story(); !slices.Equal(got, want) {
				t.Errorf("events %q, want %q", got, want)
			}
		},
		"D-EVT-06": func(t *caseT) {
			l := newLab(t)
			l.run()
			got := l.lease(phone)
			l.pass(time.Hour + 10*time.Second)
			all := l.outbox()
			if last := all[len(all)-1]; len(all) != 2 || last.Kind != lease.KindExpired || time.Since(last.At) > 10*time.Second+time.Millisecond {
				t.Errorf("events %q, the last %s ago", l.story(), time.Since(last.At))
			}
			l.pass(time.Hour)
			if n := l.events(); n != 2 || !l.holder(got).IsZero() {
				t.Errorf("%d events", n)
			}
		},
		"D-EVT-07": func(t *caseT) {
			l := newLab(t)
			hung := l.table.Subscribe(1)
			defer hung.Close()
			for i := range 50 {
				l.lease(number(i)) // who waited for the reader would wait for ever
			}
			if !hung.Lagged() {
				t.Error("the reader isn't told that it missed some")
			}
			if n := l.events(); n != 50 {
				t.Errorf("%d events in the outbox", n)
			}
		},
		"D-EVT-10": func(t *caseT) {
			l := newLab(t)
			l.run()
			rnd := rand.New(rand.NewPCG(3, 4))
			for step := range 3000 {
				hw := number(rnd.IntN(20))
				switch held := l.table.ByHW(hw); {
				case len(held) == 0:
					l.lease(hw)
				case rnd.IntN(3) == 0:
					l.leave(hw, held[0].Addr)
				default:
					l.say(renew(hw, held[0].Addr), unicast(held[0].Addr)).want(t, ack)
				}
				l.pass(time.Minute)
				if step%1000 != 999 {
					continue
				}
				folded := map[netip.Addr]hwaddr.Addr{}
				for _, e := range l.outbox() {
					delete(folded, e.Lease.Addr)
					if e.Lease.Active(time.Now()) {
						folded[e.Lease.Addr] = e.Lease.Client.HW
					}
				}
				l.restart()
				for _, x := range l.table.All() {
					if x.Active(time.Now()) && folded[x.Addr] != x.Client.HW {
						t.Errorf("%s is %s's, by the events %s's", x.Addr, x.Client.HW, folded[x.Addr])
					}
					delete(folded, x.Addr)
				}
				if len(folded) > 0 {
					t.Errorf("the table lacks %v", folded)
				}
				l.run()
			}
		},
		"D-EVT-11": func(t *caseT) {
			l := newLab(t)
			for i := range 20 {
				a := l.say(selecting(number(i), netip.AddrFrom4([4]byte{192, 0, 2, byte(20 + i)}), ourAddr), direct()).want(t, ack)
				if l.holder(a.yiaddr()) != number(i) {
					t.Fatalf("the reply is made and %s is nobody's", a.yiaddr())
				}
			}
		},
		"D-EVT-12": func(t *caseT) {
			// Lease events tell of leases and of nothing else.
			for k, want := range []string{"none", "bound", "renewed", "moved", "released", "declined", "expired", "unknown"} {
				if got := lease.Kind(k).String(); got != want {
					t.Errorf("kind %d is %s, want %s", k, got, want)
				}
			}
		},
		"D-EVT-13": func(t *caseT) {
			// What ARP says of an address keeps it from clients, and makes nobody its holder.
			nets := site()
			nets[0].Probe = true
			l, ing := newLab(t, nets...), direct()
			ing.Seen = func(netip.Addr, hwaddr.Addr) Sighting { return Occupied }
			l.say(client(phone, discover), ing).want(t, silence).because(t, ReasonConflict)
			if len(l.table.All()) == 0 {
				t.Fatal("nothing is in quarantine")
			}
			for _, x := range l.table.All() {
				if x.State != lease.Declined || !x.Client.HW.IsZero() {
					t.Errorf("ARP made %+v", x)
				}
			}
		},
	}
}

func expiryCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-EXP-01": func(t *caseT) {
			l := newLab(t)
			l.run()
			mine := l.expire(phone)
			for i := range 60 {
				if got := l.lease(number(i)); got == mine {
					t.Fatalf("%s goes to another while %d were never used", mine, 90-i)
				}
			}
			if got := l.lease(phone); got != mine {
				t.Errorf("got %s, want %s again", got, mine)
			}
		},
		"D-EXP-02": func(t *caseT) {
			nets := tiny(1)
			nets[0].Prefix, nets[0].Server, nets[0].Reservations, nets[0].Options = netip.MustParsePrefix("10.77.0.0/16"), ip("10.77.0.1"), nil, nil
			nets[0].Pools = []network.Pool{{First: ip("10.77.1.0"), Last: ip("10.77.255.254")}}
			l := newLab(t, nets...)
			var most int
			l.store.OnCommit = func(changes []lease.Change) leasetest.Fault {
				most = max(most, len(changes))
				return leasetest.Fault{}
			}
			for i := range 5000 {
				a := netip.AddrFrom4([4]byte{10, 77, byte(1 + i/250), byte(1 + i%250)})
				l.say(selecting(number(i), a, ip("10.77.0.1")), direct()).want(t, ack)
			}
			l.run()
			l.pass(time.Hour + time.Minute)
			if n := l.events(); n != 10_000 || most > 100 {
				t.Errorf("%d events, and %d leases in one commit; want 10000 and at most 100", n, most)
			}
		},
		"D-EXP-03": func(t *caseT) {
			l := newLab(t)
			for i := range 30 {
				l.lease(number(i))
			}
			l.pass(7 * 24 * time.Hour)
			l.restart()
			l.run()
			l.pass(time.Minute)
			all := l.outbox()
			if len(all) != 60 {
				t.Errorf("%d events, want 60", len(all))
			}
			for i, e := range all {
				if e.Seq != uint64(i+1) || i >= 30 && e.Kind != lease.KindExpired {
					t.Errorf("event %d is %d, %s", i, e.Seq, e.Kind)
				}
			}
		},
		"D-EXP-04": func(t *caseT) {
			for range 20 {
				l := newLab(t)
				got := l.lease(phone)
				l.run()
				l.pass(time.Hour)
				l.say(renew(phone, got), unicast(got)).want(t, ack)
				l.pass(time.Second)
				if l.holder(got) != phone || len(l.table.ByHW(phone)) != 1 {
					t.Fatalf("%s is %s's: %q", got, l.holder(got), l.story())
				}
			}
		},
		"D-EVT-08": func(t *caseT) {
			l := newLab(t)
			stays, goes := l.lease(phone, secs(optLifetime, 7200)), l.lease(phone2, secs(optLifetime, 300))
			l.pass(time.Hour)
			l.restart()
			var old []netip.Addr
			for _, x := range l.table.All() { // whoever follows begins with what there is
				if x.Active(time.Now()) {
					old = append(old, x.Addr)
				}
			}
			l.run()
			l.pass(time.Minute)
			story := l.story()
			if !slices.Equal(old, []netip.Addr{stays}) || story[len(story)-1] != "expired "+goes.String()+" "+phone2.String() {
				t.Errorf("at the start %v, events %q", old, story)
			}
		},
		"D-EVT-02": func(t *caseT) {
			l := newLab(t)
			l.lease(phone)
			l.lease(phone2)
			var seen []uint64
			follow := func(fate func(context.CancelFunc) error) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				err := lease.Follow(ctx, l.table, l.store, "consumer", func(_ context.Context, e lease.Event) error {
					seen = append(seen, e.Seq)
					if e.Seq == 2 {
						return fate(cancel)
					}
					return nil
				}, l.Log)
				if err != nil {
					t.Error(err)
				}
			}
			follow(func(stop context.CancelFunc) error {
				stop()
				return errors.New("the consumer died")
			})
			l.restart()
			follow(func(stop context.CancelFunc) error {
				stop()
				return nil
			})
			if want := []uint64{1, 2, 2}; !slices.Equal(seen, want) {
				t.Errorf("delivered %v, want %v", seen, want)
			}
		},
	}
}
