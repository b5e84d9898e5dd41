package dhcp

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// expire has the client get a lease, and lets it run out.
func (l *lab) expire(hw hwaddr.Addr) netip.Addr {
	l.t.Helper()
	got := l.lease(hw)
	l.pass(2 * time.Hour)
	if at, _ := l.table.At(got); at.State != lease.Expired {
		l.t.Fatalf("%s is %s, want expired; does the table run?", got, at.State)
	}
	return got
}

// leave has the client give back its address.
func (l *lab) leave(hw hwaddr.Addr, a netip.Addr) {
	l.t.Helper()
	l.say(client(hw, release7, addr(optServer, ourAddr)).from(a), unicast(a)).because(l.t, ReasonNone)
}

func allocationCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-ADR-01": orderCase,
		"D-ADR-02": func(t *caseT) {
			one, two := newLab(t), newLab(t)
			seen := map[netip.Addr]bool{}
			for i := range 40 {
				// The other server meets the clients in another order, and has lost what it knew.
				a := one.say(client(number(i), discover), direct()).yiaddr()
				b := two.say(client(number(i), discover), direct()).yiaddr()
				two.restart()
				if a != b && !seen[b] {
					t.Errorf("client %d: %s, and after the loss %s", i, a, b)
				}
				seen[a], seen[b] = true, true
			}
			for a := range seen {
				if ip("192.0.2.60").Less(a) {
					return
				}
			}
			t.Error("addresses are given in order")
		},
		"D-ADR-05": func(t *caseT) {
			l := newLab(t, tiny(2)...)
			l.run()
			first := l.expire(phone)
			l.expire(phone2)
			if got := l.lease(number(1)); got != first {
				t.Errorf("got %s, want %s, which ended first", got, first)
			}
			story := l.story()
			gone, come := slices.Index(story, "expired "+first.String()+" "+phone.String()), slices.Index(story, "bound "+first.String()+" "+number(1).String())
			if gone < 0 || come < gone {
				t.Errorf("events: %q", story)
			}
		},
		"D-ADR-06": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			l.run()
			mine := l.expire(phone)
			o := l.say(client(phone2, discover), direct()).want(t, offer)
			if at, _ := l.table.Held("voice", phone); at.Addr != mine || o.yiaddr() != mine {
				t.Errorf("offered %s, and the owner had %s", o.yiaddr(), at.Addr)
			}
			// The offer lapses, and its owner gets it.
			l.pass(2 * time.Minute)
			if got := l.lease(phone); got != mine {
				t.Errorf("got %s, want %s", got, mine)
			}
		},
		"D-ADR-09": func(t *caseT) {
			l := newLab(t)
			before := l.lease(phone)
			id := opt(optClientID, 1, 0, 0x15, 0x65)
			if after := l.lease(phone, id); after != before {
				t.Errorf("got %s, before it said who it is %s", after, before)
			}
			if now, _ := l.table.ByAddr(before); now.Client.ID != "\x01\x00\x15\x65" {
				t.Errorf("client id %q", now.Client.ID)
			}
		},
		"D-ADR-10": func(t *caseT) {
			// There is no such switch: a renewal with another client id, or without, keeps the address.
			l := newLab(t)
			got := l.lease(phone, opt(optClientID, 1, 2, 3))
			for _, id := range [][]byte{opt(optClientID, 9, 9), nil, opt(optClientID, 1, 2, 3)} {
				l.say(renew(phone, got, id), unicast(got)).want(t, ack)
			}
			if len(l.table.ByHW(phone)) != 1 {
				t.Error("more than one lease")
			}
		},
		"D-ADR-11": func(t *caseT) {
			l := newLab(t)
			duid := func(iaid byte) []byte { return opt(optClientID, 255, 0, 0, 0, iaid, 0, 1, 0, 1, 9, 9) }
			one := l.lease(phone, duid(1))
			two := l.lease(phone2, duid(1)) // another device, or another card of it
			if again := l.lease(phone, duid(7)); again != one || two == one {
				t.Errorf("addresses %s, %s, %s", one, two, again)
			}
			l.say(client(phone, discover, duid(7)), direct()).has(t, optClientID, 255, 0, 0, 0, 7, 0, 1, 0, 1, 9, 9)
		},
		"D-ADR-13": func(t *caseT) {
			for range 50 {
				l := newLab(t, tiny(1)...)
				a := ip("192.0.2.10")
				var wg sync.WaitGroup
				acks := make([]bool, 2)
				for i, hw := range []hwaddr.Addr{phone, phone2} {
					wg.Go(func() {
						l.say(client(hw, discover), direct())
						acks[i] = l.say(selecting(hw, a, ourAddr), direct()).kind == ack
					})
				}
				wg.Wait()
				if acks[0] == acks[1] || (l.holder(a) == phone) != acks[0] {
					t.Fatalf("acknowledged %v, held by %s", acks, l.holder(a))
				}
			}
		},
		"D-ADR-14": modelCase,
		"D-ADR-15": func(t *caseT) {
			l := newLab(t, tiny(2)...)
			a := l.lease(phone)
			l.lease(phone2)
			l.say(client(number(1), discover), direct()).want(t, silence)
			l.leave(phone, a)
			if got := l.say(client(number(1), discover), direct()).want(t, offer).yiaddr(); got != a {
				t.Errorf("offered %s, want %s", got, a)
			}
		},
	}
}

// orderCase takes away one reason after the other to give a client an address.
func orderCase(t *caseT) {
	nets := tiny(6)
	nets[0].Reservations = append(nets[0].Reservations, network.Reservation{HW: phone, Addr: ip("192.0.2.210")})
	l := newLab(t, nets...)
	ask := func(want netip.Addr) netip.Addr {
		return l.say(client(phone, discover, addr(optRequested, want)), direct()).want(t, offer).yiaddr()
	}
	if got := ask(ip("192.0.2.12")); got != ip("192.0.2.210") {
		t.Errorf("offered %s, want the reserved address", got)
	}
	l.networks(tiny(6)...)
	l.say(selecting(phone, ip("192.0.2.11"), ourAddr), direct()).want(t, ack)
	if got := ask(ip("192.0.2.12")); got != ip("192.0.2.11") {
		t.Errorf("offered %s, want the one that it holds", got)
	}
	l.leave(phone, ip("192.0.2.11"))
	if got := ask(ip("192.0.2.12")); got != ip("192.0.2.11") {
		t.Errorf("offered %s, want the one that it held", got)
	}
	l.pass(2 * time.Minute) // its offer lapses
	l.say(selecting(phone2, ip("192.0.2.11"), ourAddr), direct()).want(t, ack)
	if got := ask(ip("192.0.2.12")); got != ip("192.0.2.12") {
		t.Errorf("offered %s, want the one that it asks for", got)
	}
	l.pass(2 * time.Minute)
	l.say(selecting(number(1), ip("192.0.2.12"), ourAddr), direct()).want(t, ack)
	got := ask(ip("192.0.2.12"))
	if at, known := l.table.At(got); got == ip("192.0.2.11") || got == ip("192.0.2.12") || known && at.State != lease.Offered {
		t.Errorf("offered %s, want one that nobody had", got)
	}
	l.pass(2 * time.Minute)
	// All others were somebody's: the one that ended longest ago.
	var last netip.Addr
	for i := range 4 {
		a := l.lease(number(10 + i))
		l.pass(time.Minute)
		l.leave(number(10+i), a)
		last = cmp.Or(last, a)
		if i < 3 {
			l.say(selecting(number(20+i), a, ourAddr), direct()).want(t, ack)
			l.leave(number(20+i), a)
		}
	}
	if got := ask(ip("192.0.2.12")); !site()[0].Prefix.Contains(got) || got == ip("192.0.2.11") || got == ip("192.0.2.12") {
		t.Errorf("offered %s", got)
	}
}

// modelCase runs clients at random against a table of what they were promised.
func modelCase(t *caseT) {
	const clients, steps = 6, 10_000
	l := newLab(t, tiny(4)...)
	l.run()
	rnd := rand.New(rand.NewPCG(1, 2))
	promised := map[netip.Addr]hwaddr.Addr{} // the newest ACK of each address
	until := map[netip.Addr]time.Time{}
	for step := range steps {
		hw := number(rnd.IntN(clients))
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(9 + rnd.IntN(7))}) // some are not of the pool
		var said answer
		switch rnd.IntN(8) {
		case 0, 1:
			said = l.say(client(hw, discover, addr(optRequested, a)), direct())
		case 2, 3:
			said = l.say(selecting(hw, a, ourAddr), direct())
		case 4:
			said = l.say(reboot(hw, a), direct())
		case 5:
			said = l.say(renew(hw, a), unicast(a))
		case 6:
			if l.say(client(hw, release7).from(a), unicast(a)).v.Reason == ReasonNone {
				if promised[a] != hw {
					t.Fatalf("step %d: %s gave back %s of %s", step, hw, a, promised[a])
				}
				delete(promised, a)
			}
		case 7:
			l.pass(time.Duration(rnd.IntN(6)) * time.Minute)
		}
		for p, end := range until {
			if !time.Now().Before(end) {
				delete(promised, p)
				delete(until, p)
			}
		}
		if said.kind != ack {
			continue
		}
		got := said.yiaddr()
		if other, held := promised[got]; held && other != hw {
			t.Fatalf("step %d: %s is promised to %s while %s has it", step, got, hw, other)
		}
		if b := got.As4()[3]; b < 10 || b > 13 {
			t.Fatalf("step %d: %s is none that may be leased", step, got)
		}
		for p, who := range promised { // a newer lease ends the older one
			if who == hw && p != got {
				delete(promised, p)
			}
		}
		promised[got], until[got] = hw, time.Now().Add(said.v.Life)
		if l.holder(got) != hw {
			t.Fatalf("step %d: the table knows %s as %s's", step, got, l.holder(got))
		}
	}
	for a, hw := range promised {
		if l.holder(a) != hw {
			t.Errorf("%s was promised to %s and is %s's", a, hw, l.holder(a))
		}
	}
	l.restart()
	for a, hw := range promised {
		if l.holder(a) != hw {
			t.Errorf("after a restart %s is %s's, want %s's", a, l.holder(a), hw)
		}
	}
}

func reservationCases() map[string]func(*caseT) {
	reserve := func(hw hwaddr.Addr, a string) []network.Network {
		nets := site()
		nets[0].Reservations = append(nets[0].Reservations, network.Reservation{HW: hw, Addr: ip(a)})
		return nets
	}
	return map[string]func(*caseT){
		"D-RSV-02": func(t *caseT) {
			l := newLab(t)
			l.say(selecting(phone, ipFixed, ourAddr), direct()).want(t, nak)
			l.say(reboot(phone, ipFixed), direct()).want(t, nak)
			l.say(renew(phone, ipFixed), unicast(ipFixed)).want(t, nak)
			if got := l.say(client(phone, discover, addr(optRequested, ipFixed)), direct()).want(t, offer).yiaddr(); got == ipFixed {
				t.Error("the reserved address is offered")
			}
		},
		"D-RSV-03": func(t *caseT) {
			nets := tiny(2)
			nets[0].Reservations = []network.Reservation{{HW: number(1), Addr: ip("192.0.2.10")}, {HW: number(2), Addr: ip("192.0.2.11")}}
			l := newLab(t, nets...)
			l.say(client(phone, discover), direct()).want(t, silence).because(t, ReasonExhausted)
			l.say(client(number(2), discover), direct()).want(t, offer)
		},
		"D-RSV-05": func(t *caseT) {
			l := newLab(t)
			taken := l.lease(phone2)
			l.networks(reserve(phone, taken.String())...)
			if got := l.lease(phone); got == taken || l.holder(taken) != phone2 {
				t.Errorf("got %s, which is %s's", got, l.holder(taken))
			}
			// When it is free, its owner gets it.
			l.leave(phone2, taken)
			if got := l.lease(phone); got != taken {
				t.Errorf("got %s, want the reserved %s", got, taken)
			}
		},
		"D-RSV-06": func(t *caseT) {
			l := newLab(t, reserve(phone, "192.0.2.201")...)
			old := l.lease(phone)
			l.networks(reserve(phone, "192.0.2.202")...)
			l.say(renew(phone, old), unicast(old)).want(t, nak)
			now := l.lease(phone)
			if now != ip("192.0.2.202") || !l.holder(old).IsZero() {
				t.Errorf("got %s, and %s is %s's", now, old, l.holder(old))
			}
			if all := l.outbox(); !all[len(all)-2].At.Equal(all[len(all)-1].At) {
				t.Error("the change is not one commit")
			}
		},
		"D-RSV-07": func(t *caseT) {
			for a, want := range map[string]bool{"192.0.2.60": true, "192.0.2.201": false} {
				l := newLab(t, reserve(phone, a)...)
				got := l.lease(phone)
				l.networks(site()...)
				if said := l.say(renew(phone, got), unicast(got)); (said.kind == ack) != want {
					t.Errorf("%s: %s, in a pool: %t", a, typeName(said.kind), want)
				}
			}
		},
		"D-RSV-12": func(t *caseT) {
			// What is pinned is pinned by the device's address in its network, and holds from its next message on.
			l := newLab(t)
			old := l.lease(phone)
			l.networks(reserve(phone, "192.0.2.201")...)
			l.say(renew(phone, old), unicast(old)).want(t, nak)
			if got := l.lease(phone); got != ip("192.0.2.201") {
				t.Errorf("got %s", got)
			}
		},
		"D-DEC-02": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			l.run()
			got := l.lease(phone)
			l.say(client(phone, decline4, addr(optRequested, got), addr(optServer, ourAddr)), direct()).because(t, ReasonNone)
			l.pass(23 * time.Hour)
			l.say(client(phone2, discover), direct()).want(t, silence)
			l.pass(2 * time.Hour)
			l.say(client(phone2, discover), direct()).want(t, offer)
		},
		"D-DEC-10": func(t *caseT) {
			l := newLab(t)
			l.run()
			got := l.lease(fixed)
			l.say(client(fixed, decline4, addr(optRequested, got), addr(optServer, ourAddr)), direct()).because(t, ReasonNone)
			other := l.lease(fixed)
			if other == ipFixed {
				t.Error("the reserved address, which is in use, is leased again")
			}
			l.pass(9 * time.Minute)
			l.say(renew(fixed, other), unicast(other)).want(t, ack)
			l.pass(2 * time.Minute)
			l.say(renew(fixed, other), unicast(other)).want(t, nak)
			if got := l.lease(fixed); got != ipFixed {
				t.Errorf("got %s, want the reserved address again", got)
			}
		},
		"D-DEC-12": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			got := l.lease(phone)
			l.say(client(phone, decline4, addr(optRequested, got), addr(optServer, ourAddr)), direct()).because(t, ReasonNone)
			l.restart()
			l.say(client(phone2, discover), direct()).want(t, silence)
			if at, _ := l.table.At(got); at.State != lease.Declined {
				t.Errorf("%s after a restart", at.State)
			}
		},
	}
}
