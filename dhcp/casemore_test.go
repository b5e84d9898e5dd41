package dhcp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func moreStateCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-PKT-16": func(t *caseT) {
			a := tamper(t, func(p *draft) { p.hlen, p.opts = 0, append(p.opts, opt(optClientID, 1, 2, 3)...) })
			if a.kind != silence || a.decoded != ReasonNoIdentity {
				t.Errorf("%s, %s", typeName(a.kind), a.decoded)
			}
		},
		"D-PKT-34": garbledCase,
		"D-DISC-11": func(t *caseT) {
			l := newLab(t)
			var first netip.Addr
			for _, s := range []uint16{0, 65535, 0x0400} {
				b := client(phone, discover).bytes()
				binary.BigEndian.PutUint16(b[8:], s)
				a := l.sayBytes(b, direct()).want(t, offer)
				if first.IsValid() && a.yiaddr() != first {
					t.Errorf("secs %d: offered %s, want %s", s, a.yiaddr(), first)
				}
				first = a.yiaddr()
			}
		},
		"D-DISC-12": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			auto := opt(116, 1)
			l.say(client(phone, discover, auto), direct()).want(t, offer).has(t, 116)
			l.lease(phone)
			l.say(client(phone2, discover, auto), direct()).want(t, silence).because(t, ReasonExhausted)
			nets := tiny(1)
			nets[0].NoAutoconfigure = true
			l.networks(nets...)
			a := l.say(client(phone2, discover, auto), direct()).want(t, offer)
			a.has(t, 116, 0)
			a.has(t, optServer, 192, 0, 2, 1)
			a.has(t, optLifetime)
			a.has(t, optRouter)
			if a.yiaddr().IsValid() || !a.to.broadcast() || !a.IsBroadcast() {
				t.Errorf("offered %s to %s with flags %x", a.yiaddr(), a.to.To, a.Flags)
			}
			a.because(t, ReasonExhausted)
			for _, p := range []draft{client(phone2, discover), client(phone2, discover, opt(116, 0)), client(phone2, discover, opt(116, 1, 1))} {
				l.say(p, direct()).want(t, silence).because(t, ReasonExhausted)
			}
			l.leave(phone, ip("192.0.2.10"))
			l.say(client(phone2, discover, auto), direct()).want(t, offer).has(t, 116)
		},
		"D-DISC-13": func(t *caseT) {
			l := newLab(t)
			l.say(client(phone, discover, opt(80)), direct()).want(t, offer).has(t, 80)
			if l.events() != 0 {
				t.Error("a DISCOVER made a lease")
			}
		},
		"D-DISC-14": func(t *caseT) {
			newLab(t).say(client(phone, discover, prl(1, 108)), direct()).want(t, offer).has(t, 108)
		},
		"D-SEL-12": func(t *caseT) {
			l := newLab(t)
			l.run()
			o := l.say(client(phone, discover), direct()).want(t, offer)
			l.pass(61 * time.Second)
			if a := l.say(selecting(phone, o.yiaddr(), ourAddr), direct()).want(t, ack); a.yiaddr() != o.yiaddr() {
				t.Errorf("got %s, want %s", a.yiaddr(), o.yiaddr())
			}
		},
		"D-REN-15": func(t *caseT) {
			nets := site()
			nets[0].Pools = []network.Pool{{First: ip("192.0.2.2"), Last: ip("192.0.2.199")}, {First: ip("192.0.2.201"), Last: ip("192.0.2.253")}}
			l := newLab(t, nets...)
			spread := map[uint32]int{}
			for i := range 245 {
				got := l.lease(number(i))
				spread[l.say(renew(number(i), got), unicast(got)).want(t, ack).secs(t, optT1)]++
			}
			for t1, n := range spread {
				if n > 25 || t1 > 1800 || t1 < 1680 {
					t.Errorf("%d of 245 renew after %d s", n, t1)
				}
			}
		},
		"D-INF-07": func(t *caseT) {
			l, static := newLab(t), ip("192.0.2.180")
			l.say(client(phone, inform8).from(static), unicast(static)).want(t, ack)
			if len(l.table.All()) != 0 || !l.holder(static).IsZero() || l.events() != 0 {
				t.Errorf("INFORM made %v", l.table.All())
			}
		},
		"D-TIM-07": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.pass(18 * time.Minute)
			if a := l.say(renew(phone, got), unicast(got)).want(t, ack); a.secs(t, optLifetime) != 3600 {
				t.Errorf("a lease of %d s, want a whole one", a.secs(t, optLifetime))
			}
			l.restart() // what was promised is on disk
			if held, _ := l.table.ByAddr(got); held.Expiry.Before(time.Now().Add(time.Hour)) {
				t.Errorf("stored until %s, promised until %s", held.Expiry, time.Now().Add(time.Hour))
			}
		},
		"D-TIM-08":  clockCase(time.Hour),
		"D-ADM-12":  clockCase(-365 * 24 * time.Hour),
		"D-DUP-05":  clonedCase,
		"D-PHN-04":  wandererCase,
		"D-NET-16":  reloadCase,
		"D-ADM-08":  statisticsCase,
		"D-LIM-01":  garbageCase,
		"D-LIM-10":  loadCase,
		"D-LIM-11":  injectionCase,
		"D-DISC-17": probeCase(1, 500*time.Millisecond),
		"D-PHN-07":  probeCase(1, time.Second),
		"D-LIM-09":  probeCase(250, 10*time.Second),
		"D-DUP-04":  pendingCase,
		"D-LIM-07": func(t *caseT) {
			l := newLab(t)
			held := l.lease(phone)
			n := l.events()
			for i := range 100_000 {
				l.say(client(number(i), discover), direct())
			}
			if all := len(l.table.All()); l.events() != n || all > 100 || l.holder(held) != phone {
				t.Errorf("%d events and %d addresses are remembered of clients that only asked", l.events()-n, all)
			}
		},
		"D-LIM-12": func(t *caseT) {
			l := newLab(t)
			l.lease(phone)
			l.say(client(phone2, discover), direct())
			s := l.Snapshot()
			for _, m := range []map[string]uint64{s.Received, s.Sent, s.Dropped, s.Refused} {
				for label := range m {
					if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz_") != "" {
						t.Errorf("label %q", label)
					}
				}
			}
			if len(s.Received)+len(s.Sent)+len(s.Dropped)+len(s.Refused) > 60 {
				t.Errorf("%d labels", len(s.Received)+len(s.Sent)+len(s.Dropped)+len(s.Refused))
			}
		},
	}
}

// clonedCase is two devices with one hardware address.
func clonedCase(t *caseT) {
	l := newLab(t)
	at := func(port byte) netip.Addr {
		t.Helper()
		o := l.say(client(phone, discover).relayed(relay, 1, 1, port), byRelay(relay)).want(t, offer)
		return l.say(selecting(phone, o.yiaddr(), ourAddr).relayed(relay, 1, 1, port), byRelay(relay)).want(t, ack).yiaddr()
	}
	a, b := at('a'), at('b')
	all := l.outbox()
	last := all[len(all)-1]
	if a != b || last.Kind != lease.KindMoved || last.Prev.Client.Circuit != "a" || last.Lease.Client.Circuit != "b" {
		t.Errorf("%s, then %s; last event %s from %q to %q", a, b, last.Kind, last.Prev.Client.Circuit, last.Lease.Client.Circuit)
	}
	if other := l.lease(phone); other == a || len(l.table.ByHW(phone)) != 2 {
		t.Errorf("in the other network %s; leases %v", other, l.table.ByHW(phone))
	}
}

// wandererCase is a phone that is told one VLAN here and another there.
func wandererCase(t *caseT) {
	l := newLab(t)
	far := func() {
		o := l.say(client(phone, discover).relayed(relay), byRelay(relay)).want(t, offer)
		l.say(selecting(phone, o.yiaddr(), ourAddr).relayed(relay), byRelay(relay)).want(t, ack)
	}
	l.lease(phone)
	far()
	l.pass(time.Hour)
	l.lease(phone)
	l.lease(phone2)
	if len(l.Problems()) != 0 {
		t.Errorf("problems too early: %v", l.Problems())
	}
	for range 2 {
		l.pass(30 * time.Second)
		far()
		l.pass(30 * time.Second)
		l.lease(phone)
	}
	p := l.Problems()
	if len(p) != 1 || p[0].Kind != ProblemWanderer || !strings.Contains(p[0].Text, phone.String()+" goes to and fro between") ||
		!strings.Contains(p[0].Text, "far") || !strings.Contains(p[0].Text, "voice") {
		t.Errorf("problems %v", p)
	}
}

// reloadCase swaps the networks while clients renew.
func reloadCase(t *caseT) {
	l := newLab(t)
	var held [20]netip.Addr
	for i := range held {
		held[i] = l.lease(number(i))
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			nets := site()
			nets[0].Options[2] = option("domain-name", fmt.Sprintf("n%d.example.org", i))
			set, err := network.NewSet(nets)
			if err != nil {
				t.Error(err)
				return
			}
			l.nets.Store(set)
			if _, err := network.NewSet(append(nets, nets[0])); err == nil {
				t.Error("two networks of one name are valid")
			}
		}
	})
	for range 50 {
		for i, a := range held {
			if said := l.say(renew(number(i), a), unicast(a)); said.kind != ack || said.yiaddr() != a {
				t.Errorf("client %d: %s (%s)", i, typeName(said.kind), said.v.Reason)
			}
		}
	}
	close(done)
	wg.Wait()
}

// statisticsCase counts all that happens at random, and holds the census against the table.
func statisticsCase(t *caseT) {
	l := newLab(t, tiny(20)...)
	l.run()
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 600 {
		hw := number(rnd.IntN(15))
		held := l.table.ByHW(hw)
		switch n := rnd.IntN(10); {
		case len(held) == 0:
			o := l.say(client(hw, discover), direct())
			if o.kind == offer {
				l.say(selecting(hw, o.yiaddr(), ourAddr), direct())
			}
		case n < 3:
			l.leave(hw, held[0].Addr)
		case n == 3:
			l.say(client(hw, decline4, addr(optRequested, held[0].Addr)), direct())
		default:
			l.say(renew(hw, held[0].Addr), unicast(held[0].Addr)).want(t, ack)
		}
		l.pass(time.Duration(rnd.IntN(6)) * time.Minute)
	}
	l.takeCensus(t.Context())
	n := l.census.of(keyOf("voice", l.set.Get("voice").Pools[0]))
	var bound, declined int
	for _, x := range l.table.All() {
		switch {
		case x.Active(time.Now()):
			bound++
		case x.State == lease.Declined:
			declined++
		}
	}
	if n.size != 20 || n.quarantined != declined || n.held < bound+declined || n.held > 20 {
		t.Errorf("counted %+v, the table has %d bound and %d in quarantine", n, bound, declined)
	}
}

// failing is a store that takes no writes.
func failing([]lease.Change) leasetest.Fault { return leasetest.Fault{Err: lease.ErrReadOnly} }

func degradedCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-AUT-06": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.store.OnCommit = failing
			l.pass(40 * time.Minute)
			a := l.say(renew(phone, got), unicast(got)).want(t, ack)
			if left := a.secs(t, optLifetime); left != 20*60 || a.v.Err == nil {
				t.Errorf("%d s are promised, want the 1200 that are on disk; error %v", left, a.v.Err)
			}
			l.say(selecting(phone2, ip("192.0.2.60"), ourAddr), direct()).want(t, silence).because(t, ReasonStore)
			l.pass(20 * time.Minute)
			l.say(renew(phone, got), unicast(got)).want(t, silence)
			l.store.OnCommit = nil
			l.say(renew(phone, got), unicast(got)).want(t, ack)
		},
	}
}
