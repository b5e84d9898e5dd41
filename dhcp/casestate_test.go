package dhcp

import (
	"errors"
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// selecting is a REQUEST in that state.
func selecting(hw hwaddr.Addr, want, server netip.Addr, opts ...[]byte) draft {
	return client(hw, request3, append([][]byte{addr(optRequested, want), addr(optServer, server)}, opts...)...)
}

func reboot(hw hwaddr.Addr, want netip.Addr) draft {
	return client(hw, request3, addr(optRequested, want))
}

func renew(hw hwaddr.Addr, ciaddr netip.Addr, opts ...[]byte) draft {
	return client(hw, request3, opts...).from(ciaddr)
}

// timid is the site where we are not the only server.
func timid() []network.Network {
	nets := site()
	for i := range nets {
		nets[i].Authoritative = false
	}
	return nets
}

// tiny is the site with so many addresses to lease.
func tiny(n byte) []network.Network {
	nets := site()
	nets[0].Pools = []network.Pool{{First: ip("192.0.2.10"), Last: netip.AddrFrom4([4]byte{192, 0, 2, 9 + n})}}
	return nets
}

func discoverCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-DISC-01": func(t *caseT) {
			a := newLab(t).say(client(phone, discover).with(func(p *draft) { p.flags = 0x8000 }), direct()).want(t, offer)
			if !site()[0].Pools[0].Contains(a.yiaddr()) || string(a.TransactionID[:]) != testXID || a.Flags != 0x8000 ||
				a.HopCount != 0 || fromIP(a.ClientIPAddr).IsValid() || a.ClientHWAddr.String() != phone.String() {
				t.Errorf("header: %+v", a.DHCPv4)
			}
			a.has(t, optServer, 192, 0, 2, 1)
			a.has(t, optMask, 255, 255, 255, 0)
			a.has(t, optRouter, 192, 0, 2, 254)
			a.has(t, optDNS, 192, 0, 2, 53)
			for _, code := range []uint8{optLifetime, optT1, optT2} {
				a.secs(t, code)
			}
		},
		"D-DISC-02": func(t *caseT) {
			l := newLab(t)
			first := l.say(client(phone, discover), direct()).yiaddr()
			for range 3 {
				if got := l.say(client(phone, discover), direct()).yiaddr(); got != first {
					t.Errorf("offered %s, want %s again", got, first)
				}
			}
		},
		"D-DISC-03": func(t *caseT) {
			l := newLab(t)
			l.store.OnCommit = func([]lease.Change) leasetest.Fault {
				t.Error("a DISCOVER wrote to the store")
				return leasetest.Fault{}
			}
			for i := range 1000 {
				l.say(client(hwaddr.Addr{0, 0x15, 0x65, 1, byte(i >> 8), byte(i)}, discover), direct())
			}
		},
		"D-DISC-04": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			l.say(client(phone, discover), direct()).want(t, offer)
			l.say(client(phone2, discover), direct()).want(t, silence)
		},
		"D-DISC-05": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			l.lease(phone)
			l.say(client(phone2, discover), direct()).want(t, silence).because(t, ReasonExhausted)
		},
		"D-DISC-06": func(t *caseT) {
			if a := newLab(t).say(client(phone, discover, addr(optServer, ourAddr)), direct()).want(t, offer); !a.v.Violation {
				t.Error("the violation is not noted")
			}
		},
		"D-DISC-07": func(t *caseT) {
			for _, ing := range []Ingress{direct(), unicast(ip("203.0.113.66"))} {
				a := newLab(t).say(client(phone, discover).from(ip("203.0.113.66")), ing).want(t, offer)
				if fromIP(a.ClientIPAddr).IsValid() || a.to.To.Addr() != a.yiaddr() {
					t.Errorf("ciaddr %s, sent to %s", a.ClientIPAddr, a.to.To)
				}
			}
		},
		"D-DISC-08": func(t *caseT) {
			a := tamper(t, func(p *draft) {
				p.si, p.yi, p.sname, p.file = ip("203.0.113.6"), ip("203.0.113.7"), []byte("evil"), []byte("evil")
			}).want(t, offer)
			if fromIP(a.ServerIPAddr).IsValid() || !site()[0].Prefix.Contains(a.yiaddr()) || a.ServerHostName+a.BootFileName != "" {
				t.Errorf("the client's own values came back: %+v", a.DHCPv4)
			}
		},
		"D-DISC-09": func(t *caseT) {
			want := ip("192.0.2.77")
			if got := newLab(t).say(client(phone, discover, addr(optRequested, want)), direct()).yiaddr(); got != want {
				t.Errorf("offered %s, want %s", got, want)
			}
		},
		"D-DISC-10": func(t *caseT) {
			l := newLab(t)
			taken := l.lease(phone2)
			for _, want := range []netip.Addr{taken, ipFixed, ip("192.0.2.5"), ip("203.0.113.5"), ourAddr, ip("192.0.2.255")} {
				if got := l.say(client(phone, discover, addr(optRequested, want)), direct()).want(t, offer).yiaddr(); got == want {
					t.Errorf("offered %s, which is not to be had", got)
				}
			}
		},
		"D-DISC-15": func(t *caseT) {
			a := newLab(t).say(client(phone, discover), direct()).want(t, offer)
			a.has(t, 15, []byte("example.org")...)
			a.has(t, 42, 192, 0, 2, 123)
			a.has(t, 160) // a vendor's meaning: only for who asks
		},
		"D-DISC-16": func(t *caseT) {
			nets := site()
			nets[0].Probe = true
			l, ing := newLab(t, nets...), direct()
			known := map[netip.Addr]Sighting{}
			ing.Seen = func(a netip.Addr, _ hwaddr.Addr) Sighting { return known[a] }
			a := l.say(client(phone, discover), ing).want(t, silence)
			if !a.v.Probe.IsValid() || a.v.Reason != ReasonNone {
				t.Fatalf("no probe: %+v", a.v)
			}
			known[a.v.Probe] = Occupied
			b := l.say(client(phone, discover), ing).want(t, silence)
			if b.v.Probe == a.v.Probe || !b.v.Probe.IsValid() {
				t.Fatalf("probe of %s after a stranger at %s", b.v.Probe, a.v.Probe)
			}
			known[b.v.Probe] = Vacant
			if got := l.say(client(phone, discover), ing).want(t, offer).yiaddr(); got != b.v.Probe {
				t.Errorf("offered %s, want %s", got, b.v.Probe)
			}
			if at, _ := l.table.At(a.v.Probe); at.State != lease.Declined {
				t.Errorf("state of the stranger's address: %v, want quarantine", at.State)
			}
		},
		"D-DISC-18": func(t *caseT) {
			nets := site()
			nets[0].Probe = true
			l, ing := newLab(t, nets...), direct()
			ing.Seen = func(netip.Addr, hwaddr.Addr) Sighting { return Vacant }
			l.say(client(phone, discover), ing).want(t, offer)
			l.lease(phone)
			ing.Seen = func(netip.Addr, hwaddr.Addr) Sighting { return Unasked }
			l.say(client(phone, discover), ing).want(t, offer) // it is the one who would answer
		},
	}
}

func selectingCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-SEL-01": func(t *caseT) {
			l := newLab(t)
			o := l.say(client(phone, discover), direct()).want(t, offer)
			a := l.say(selecting(phone, o.yiaddr(), ourAddr), direct()).want(t, ack)
			if l.holder(o.yiaddr()) != phone || l.events() != 1 {
				t.Errorf("holder %s, %d events", l.holder(o.yiaddr()), l.events())
			}
			o.Options[optType] = a.Options[optType]
			if o.Options.String() != a.Options.String() || a.yiaddr() != o.yiaddr() {
				t.Errorf("OFFER and ACK differ:\n%s\n%s", o.Options, a.Options)
			}
		},
		"D-SEL-02": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			was, _ := l.table.ByAddr(got)
			l.pass(2 * time.Second)
			l.say(selecting(phone, got, ourAddr), direct()).want(t, ack)
			if now, _ := l.table.ByAddr(got); now.Expiry.Before(was.Expiry) || !now.Start.Equal(was.Start) {
				t.Errorf("the duplicate changed the lease from %+v to %+v", was, now)
			}
		},
		"D-SEL-03": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			o := l.say(client(phone, discover), direct()).want(t, offer)
			l.say(selecting(phone, o.yiaddr(), ip("192.0.2.2")), direct()).want(t, silence).because(t, ReasonOtherServer)
			l.say(client(phone2, discover), direct()).want(t, offer)
		},
		"D-SEL-04": func(t *caseT) {
			l := newLab(t)
			o := l.say(client(phone, discover), direct())
			l.say(selecting(phone, o.yiaddr(), ourFar), direct()).want(t, ack).has(t, optServer, 192, 0, 2, 1)
		},
		"D-SEL-05": func(t *caseT) {
			l := newLab(t)
			o := l.say(client(phone2, discover), direct())
			a := l.say(selecting(phone, o.yiaddr(), ourAddr), direct()).want(t, nak)
			if !a.to.broadcast() {
				t.Errorf("NAK goes to %s", a.to.To)
			}
		},
		"D-SEL-06": func(t *caseT) {
			newLab(t).say(selecting(phone, ip("192.0.2.50"), ourAddr), direct()).want(t, ack)
		},
		"D-SEL-07": func(t *caseT) { newLab(t).say(selecting(phone, ipFixed, ourAddr), direct()).want(t, nak) },
		"D-SEL-08": func(t *caseT) {
			p := selecting(phone, ip("203.0.113.9"), ourAddr)
			newLab(t).say(p, direct()).want(t, nak)
			newLab(t, timid()...).say(p, direct()).want(t, silence)
		},
		"D-SEL-09": func(t *caseT) {
			newLab(t).say(selecting(phone, ip("192.0.2.150"), ourAddr), direct()).want(t, nak).because(t, ReasonNotTheirs)
		},
		"D-SEL-10": func(t *caseT) {
			a := newLab(t).say(client(phone, request3, addr(optServer, ourAddr)), direct()).want(t, silence)
			if !a.v.Violation {
				t.Error("the violation is not noted")
			}
		},
		"D-SEL-11": func(t *caseT) {
			newLab(t).say(client(phone, request3), direct()).want(t, silence).because(t, ReasonIncomplete)
		},
		"D-SEL-13": func(t *caseT) {
			l := newLab(t, tiny(1)...)
			got := l.lease(phone2)
			l.say(selecting(phone, got, ourAddr), direct()).want(t, nak)
		},
		"D-SEL-14": func(t *caseT) {
			l := newLab(t)
			o := l.say(client(phone, discover, prl(15)), direct())
			a := l.say(selecting(phone, o.yiaddr(), ourAddr, prl(42)), direct()).want(t, ack)
			a.has(t, 15)
			a.has(t, 42, 192, 0, 2, 123)
		},
		"D-SEL-15": func(t *caseT) {
			l := newLab(t)
			l.store.OnCommit = func([]lease.Change) leasetest.Fault { return leasetest.Fault{Err: errors.New("no space left")} }
			a := l.say(selecting(phone, ip("192.0.2.50"), ourAddr), direct()).want(t, silence)
			a.because(t, ReasonStore)
			if a.v.Err == nil {
				t.Error("the verdict hides the error")
			}
		},
		"D-SEL-16": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.restart()
			l.say(selecting(phone, got, ourAddr), direct()).want(t, ack)
		},
		"D-SEL-17": func(t *caseT) {
			l := newLab(t)
			old := l.lease(phone)
			l.say(selecting(phone, ip("192.0.2.60"), ourAddr), direct()).want(t, ack)
			if l.holder(old) == phone || l.holder(ip("192.0.2.60")) != phone {
				t.Errorf("the old address is %s's, the new one %s's", l.holder(old), l.holder(ip("192.0.2.60")))
			}
		},
	}
}

func rebootCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-INIT-01": func(t *caseT) {
			l := newLab(t, timid()...)
			got := l.lease(phone)
			was, _ := l.table.ByAddr(got)
			l.pass(10 * time.Minute)
			l.say(reboot(phone, got), direct()).want(t, ack)
			if now, _ := l.table.ByAddr(got); !now.Expiry.After(was.Expiry) {
				t.Errorf("expiry stays at %s", now.Expiry)
			}
		},
		"D-INIT-02": func(t *caseT) {
			l := newLab(t, timid()...)
			l.lease(phone)
			l.say(reboot(phone, ip("192.0.2.98")), direct()).want(t, nak).because(t, ReasonOtherLease)
		},
		"D-INIT-03": func(t *caseT) {
			l := newLab(t, timid()...)
			l.lease(phone)
			l.say(reboot(phone, ip("198.51.100.20")), direct()).want(t, nak).because(t, ReasonWrongNetwork)
		},
		"D-INIT-04": func(t *caseT) {
			newLab(t, timid()...).say(reboot(phone, ip("192.0.2.50")), direct()).want(t, silence).because(t, ReasonUnknownClient)
		},
		"D-INIT-05": func(t *caseT) {
			nets := site()
			nets[0].Probe = true
			l, ing, seen := newLab(t, nets...), direct(), Unasked
			ing.Seen = func(netip.Addr, hwaddr.Addr) Sighting { return seen }
			if a := l.say(reboot(phone, ip("192.0.2.50")), ing); a.v.Probe != ip("192.0.2.50") {
				t.Errorf("probe %s, want 192.0.2.50", a.v.Probe)
			}
			seen = Vacant
			l.say(reboot(phone, ip("192.0.2.50")), ing).want(t, ack)
		},
		"D-INIT-06": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone2)
			l.say(reboot(phone, got), direct()).want(t, nak)
			l.say(reboot(phone, ipFixed), direct()).want(t, nak)
			// What we know to be taken needs no look at the wire.
			nets, ing := site(), direct()
			nets[0].Probe = true
			l.networks(nets...)
			ing.Seen = func(netip.Addr, hwaddr.Addr) Sighting { return Unasked }
			l.say(reboot(phone, got), ing).want(t, nak)
		},
		"D-INIT-07": func(t *caseT) {
			newLab(t).say(reboot(phone, ip("203.0.113.5")), direct()).want(t, nak)
			newLab(t, timid()...).say(reboot(phone, ip("203.0.113.5")), direct()).want(t, silence)
		},
		"D-INIT-08": func(t *caseT) {
			newLab(t).say(reboot(phone, ip("192.0.2.50")).from(ip("192.0.2.50")), direct()).want(t, silence)
		},
		"D-INIT-09": gridCase,
	}
}

// gridCase is every combination of who the client is, what it asks for, in which state, and whether we are the only server.
func gridCase(t *caseT) {
	const free, taken, beyond = "192.0.2.50", "192.0.2.60", "192.0.2.150"
	for _, c := range []struct {
		authoritative, known, boot bool
		free, taken, beyond        string
	}{
		{true, true, true, "nak", "nak", "nak"}, // it holds another address
		{true, true, false, "nak", "nak", "nak"},
		{true, false, true, "ack", "nak", "nak"}, // a free one heals a lost store
		{true, false, false, "ack", "nak", "nak"},
		{false, true, true, "nak", "nak", "nak"},
		{false, true, false, "nak", "nak", "nak"},
		{false, false, true, "other", "other", "other"},
		{false, false, false, "ack", "nak", "nak"}, // a renewal was sent to us and to nobody else
	} {
		for want, expect := range map[string]string{free: c.free, taken: c.taken, beyond: c.beyond} {
			nets := timid()
			nets[0].Authoritative = c.authoritative
			l := newLab(t, nets...)
			l.say(selecting(phone2, ip(taken), ourAddr), direct()).want(t, ack)
			if c.known {
				l.say(selecting(phone, ip("192.0.2.70"), ourAddr), direct()).want(t, ack)
			}
			var a answer
			if c.boot {
				a = l.say(reboot(phone, ip(want)), direct())
			} else {
				a = l.say(renew(phone, ip(want)), unicast(ip(want)))
			}
			if got := typeName(a.kind); got != expect {
				t.Errorf("authoritative %t, known %t, boot %t, %s: %s (%s), want %s", c.authoritative, c.known, c.boot, want, got, a.v.Reason, expect)
			}
		}
	}
}

func renewCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-REN-01": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.pass(30 * time.Minute)
			a := l.say(renew(phone, got), unicast(got)).want(t, ack)
			if a.to.To != netip.AddrPortFrom(got, clientPort) || !a.to.HW.IsZero() || a.to.From != ourAddr || fromIP(a.ClientIPAddr) != got {
				t.Errorf("sent %+v, ciaddr %s", a.to, a.ClientIPAddr)
			}
			if now, _ := l.table.ByAddr(got); !now.Expiry.Equal(time.Now().Add(time.Hour)) {
				t.Errorf("expiry %s, want an hour from %s", now.Expiry, time.Now())
			}
		},
		"D-REN-02": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			ing := direct()
			ing.Src = netip.AddrPortFrom(got, 68)
			a := l.say(renew(phone, got), ing).want(t, ack)
			if a.to.To.Addr() != got || a.v.State != Rebinding {
				t.Errorf("state %s, sent to %s", a.v.State, a.to.To)
			}
		},
		"D-REN-03": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			p := selecting(phone, got, ourAddr).from(got)
			l.say(p, unicast(got)).want(t, ack)
			l.say(p.from(ip("192.0.2.44")), unicast(got)).want(t, silence)
		},
		"D-REN-04": func(t *caseT) {
			l := newLab(t)
			victim := l.lease(phone2)
			a := l.say(renew(phone, victim), unicast(victim)).want(t, nak)
			if !a.to.broadcast() {
				t.Errorf("NAK goes to %s", a.to.To)
			}
		},
		"D-REN-05": func(t *caseT) {
			l := newLab(t, timid()...)
			l.say(renew(phone, ip("192.0.2.50")), unicast(ip("192.0.2.50"))).want(t, ack)
		},
		"D-REN-06": func(t *caseT) {
			nets := site()
			nets[0].Pools[0].Exclude = []netip.Addr{ip("192.0.2.51")}
			l := newLab(t, nets...)
			taken := l.lease(phone2)
			for _, a := range []netip.Addr{ipFixed, taken, ip("192.0.2.51")} {
				l.say(renew(phone, a), unicast(a)).want(t, nak)
			}
		},
		"D-REN-07": func(t *caseT) {
			newLab(t, timid()...).say(renew(phone, ip("192.0.2.50")), direct()).want(t, silence)
			newLab(t).say(renew(phone, ip("192.0.2.50")), direct()).want(t, ack)
		},
		"D-REN-08": func(t *caseT) {
			for _, c := range []struct {
				nets []network.Network
				ack  bool
			}{{site(), false}, {timid(), true}} {
				l := newLab(t, c.nets...)
				l.lease(phone)
				a := l.say(renew(phone, ip("203.0.113.50")), direct())
				if quiet := a.kind == silence; quiet != c.ack {
					t.Errorf("got %s", typeName(a.kind))
				}
			}
		},
		"D-REN-09": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			nets := site()
			nets[0].Reservations = append(nets[0].Reservations, network.Reservation{HW: phone, Addr: ip("192.0.2.201")})
			l.networks(nets...)
			l.say(renew(phone, got), unicast(got)).want(t, nak)
			if now := l.lease(phone); now != ip("192.0.2.201") {
				t.Errorf("got %s, want the reserved address", now)
			}
		},
		"D-REN-10": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			nets := site()
			nets[0].Reservations = append(nets[0].Reservations, network.Reservation{HW: phone2, Addr: got})
			l.networks(nets...)
			if a := l.say(client(phone2, discover), direct()).want(t, offer); a.yiaddr() == got {
				t.Error("the reserved address is offered while another holds it")
			}
			l.say(renew(phone, got), unicast(got)).want(t, nak)
		},
		"D-REN-11": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			nets := site()
			nets[0].Pools = []network.Pool{{First: ip("192.0.2.240"), Last: ip("192.0.2.250")}}
			l.networks(nets...)
			l.say(renew(phone, got), unicast(got)).want(t, nak)
		},
		"D-REN-12": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			nets := site()
			nets[0].Options = []network.Option{option("router", "192.0.2.253")}
			l.networks(nets...)
			l.say(renew(phone, got), unicast(got)).want(t, ack).has(t, optRouter, 192, 0, 2, 253)
		},
		"D-REN-13": func(t *caseT) {
			for _, nets := range [][]network.Network{site(), timid()} {
				l := newLab(t, nets...)
				got := l.lease(phone)
				l.pass(3 * time.Hour)
				l.say(renew(phone, got), unicast(got)).want(t, ack)
				l.pass(3 * time.Hour)
				l.say(renew(phone, got), direct()).want(t, ack)
			}
		},
		"D-REN-14": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			ing := unicast(got)
			ing.Iface, ing.Addrs, ing.Local = "eth1", []netip.Addr{ip("198.51.100.2"), ourFar}, ourFar
			if a := l.say(renew(phone, got), ing).want(t, ack); a.to.From != ourFar || a.v.Network != "voice" {
				t.Errorf("sent from %s for network %s", a.to.From, a.v.Network)
			}
		},
	}
}
