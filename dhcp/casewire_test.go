package dhcp

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

func networkCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-NET-01": func(t *caseT) {
			ing := direct()
			ing.Iface, ing.Addrs = "eth1", []netip.Addr{ourFar}
			if a := newLab(t).say(client(phone, discover), ing).want(t, offer); a.v.Network != "far" || a.to.From != ourFar {
				t.Errorf("network %s, from %s", a.v.Network, a.to.From)
			}
			// Nor does a source that isn't ciaddr lead into another network.
			if a := newLab(t).say(renew(phone, ip("203.0.113.20")), unicast(ip("198.51.100.66"))).want(t, nak); a.v.Network != "voice" {
				t.Errorf("network %s for a message on eth0", a.v.Network)
			}
		},
		"D-NET-02": func(t *caseT) {
			ing := direct()
			ing.Addrs = []netip.Addr{ip("203.0.113.9"), ourAddr}
			a := newLab(t).say(client(phone, discover), ing).want(t, offer)
			if a.v.Network != "voice" || a.to.From != ourAddr {
				t.Errorf("network %s, from %s", a.v.Network, a.to.From)
			}
			a.has(t, optServer, 192, 0, 2, 1)
		},
		"D-NET-03": func(t *caseT) {
			l := newLab(t)
			if a := l.say(client(phone, discover).relayed(relay), byRelay(relay)).want(t, offer); a.v.Network != "far" {
				t.Errorf("network %s", a.v.Network)
			}
			l.say(client(phone, discover).relayed(ip("203.0.113.250")), byRelay(relay)).because(t, ReasonRelay)
		},
		"D-NET-04": func(t *caseT) {
			p := client(phone, discover).relayed(relay, agentLink, 4, 192, 0, 2, 0)
			if a := newLab(t).say(p, byRelay(relay)).want(t, offer); a.v.Network != "voice" || a.to.To.Addr() != relay {
				t.Errorf("network %s, sent to %s", a.v.Network, a.to.To)
			}
			newLab(t).say(client(phone, discover).relayed(relay, agentLink, 4, 203, 0, 113, 0), byRelay(relay)).because(t, ReasonNetwork)
		},
		"D-NET-05": func(t *caseT) {
			l, name := newLab(t), ip("198.51.100.254")
			agent := []byte{agentServerID, 4, 198, 51, 100, 254}
			o := l.say(client(phone, discover).relayed(relay, agent...), byRelay(relay)).want(t, offer)
			o.has(t, optServer, name.AsSlice()...)
			l.say(selecting(phone, o.yiaddr(), name).relayed(relay, agent...), byRelay(relay)).want(t, ack).has(t, optServer, name.AsSlice()...)
		},
		"D-NET-06": func(t *caseT) {
			ing := byRelay(relay)
			ing.Src = netip.AddrPortFrom(relay, 40067)
			l := newLab(t)
			if a := l.say(client(phone, discover).relayed(relay, agentRelayPort, 0), ing); a.to.To != ing.Src {
				t.Errorf("sent to %s, want %s", a.to.To, ing.Src)
			}
			if a := l.say(client(phone, discover).relayed(relay), ing); a.to.To.Port() != serverPort {
				t.Errorf("sent to %s, which nobody asked for", a.to.To)
			}
		},
		"D-NET-07": func(t *caseT) {
			newLab(t).say(client(phone, discover).relayed(ip("198.51.100.99")), byRelay(ip("198.51.100.99"))).because(t, ReasonRelay)
		},
		"D-NET-08": func(t *caseT) {
			nets := site()
			nets[1].Relays = append(nets[1].Relays, ourFar)
			for _, own := range []netip.Addr{ourAddr, ourFar} {
				newLab(t, nets...).say(client(phone, discover).relayed(own), byRelay(own)).because(t, ReasonLoop)
			}
		},
		"D-NET-09": func(t *caseT) {
			p := client(phone, discover).relayed(relay)
			p.hops = 16
			newLab(t).say(p, byRelay(relay)).want(t, offer)
			p.hops = 17
			newLab(t).say(p, byRelay(relay)).because(t, ReasonHops)
		},
		"D-NET-10": func(t *caseT) {
			l := newLab(t)
			o := l.say(client(phone, discover).relayed(relay, 1, 1, 'c'), byRelay(relay))
			l.say(selecting(phone, o.yiaddr(), ourAddr).relayed(relay, 1, 1, 'c'), byRelay(relay)).want(t, ack)
			l.say(renew(phone, o.yiaddr()), unicast(o.yiaddr())).want(t, ack)
			if held, _ := l.table.ByAddr(o.yiaddr()); held.Client.Circuit != "c" || held.Client.Relay != relay {
				t.Errorf("circuit %q of relay %s, want those that were known", held.Client.Circuit, held.Client.Relay)
			}
		},
		"D-NET-11": func(t *caseT) {
			l := newLab(t)
			o := l.say(client(phone, discover).relayed(relay, 1, 1, 'c'), byRelay(relay))
			for _, port := range []byte{'c', 'd'} {
				l.say(selecting(phone, o.yiaddr(), ourAddr).relayed(relay, 1, 1, port), byRelay(relay)).want(t, ack)
			}
			if held, _ := l.table.ByAddr(o.yiaddr()); held.Client.Circuit != "d" || held.Client.HW != phone {
				t.Errorf("lease of %s at %q", held.Client.HW, held.Client.Circuit)
			}
		},
		"D-AUT-03": func(t *caseT) {
			nets := site()
			nets[0].Pools = nil
			l := newLab(t, nets...)
			l.say(client(phone, discover), direct()).want(t, silence)
			l.say(client(fixed, discover), direct()).want(t, offer)
		},
	}
}

func addressingCases() map[string]func(*caseT) {
	flags := func(f uint16) draft { return client(phone, discover).with(func(p *draft) { p.flags = f }) }
	return map[string]func(*caseT){
		"D-TX-01": func(t *caseT) {
			a := newLab(t).say(client(phone, discover), direct())
			if a.to.HW != phone || a.to.To != netip.AddrPortFrom(a.yiaddr(), clientPort) || a.to.From != ourAddr {
				t.Errorf("sent %+v", a.to)
			}
		},
		"D-TX-02": func(t *caseT) {
			if a := newLab(t).say(flags(0x8000), direct()); !a.to.broadcast() || a.to.To.Port() != clientPort || !a.to.HW.IsZero() {
				t.Errorf("sent %+v", a.to)
			}
		},
		"D-TX-04": func(t *caseT) {
			if a := newLab(t).say(flags(0x8001), direct()); !a.to.broadcast() || a.Flags != 0x8000 {
				t.Errorf("sent %+v with flags %x", a.to, a.Flags)
			}
		},
		"D-TX-05": func(t *caseT) {
			a := newLab(t).say(client(phone, discover).relayed(relay), byRelay(relay))
			if a.to.To != netip.AddrPortFrom(relay, serverPort) || fromIP(a.GatewayIPAddr) != relay || string(a.TransactionID[:]) != testXID {
				t.Errorf("sent to %s: %+v", a.to.To, a.DHCPv4)
			}
		},
		"D-TX-06": func(t *caseT) {
			if a := newLab(t).say(flags(0x8000).relayed(relay), byRelay(relay)); a.to.To.Addr() != relay || !a.IsBroadcast() {
				t.Errorf("sent %+v with flags %x", a.to, a.Flags)
			}
		},
		"D-TX-07": func(t *caseT) {
			l := newLab(t)
			victim := l.lease(phone2)
			if a := l.say(renew(phone, victim), unicast(victim)).want(t, nak); !a.to.broadcast() || fromIP(a.ClientIPAddr).IsValid() {
				t.Errorf("sent %+v", a.to)
			}
		},
		"D-TX-08": func(t *caseT) {
			a := newLab(t).say(reboot(phone, ip("203.0.113.9")).relayed(relay), byRelay(relay)).want(t, nak)
			if a.to.To != netip.AddrPortFrom(relay, serverPort) || !a.IsBroadcast() {
				t.Errorf("sent %+v with flags %x", a.to, a.Flags)
			}
		},
		"D-TX-09": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			p := renew(phone, got).with(func(p *draft) { p.flags = 0x8000 })
			if a := l.say(p, unicast(got)).want(t, ack); a.to.To != netip.AddrPortFrom(got, clientPort) {
				t.Errorf("sent %+v", a.to)
			}
		},
		"D-TX-12": frameCase,
		"D-TX-14": func(t *caseT) {
			nets := site()
			nets[0].Options = append(nets[0].Options, network.Option{Code: 43, Data: make([]byte, 250), Force: true})
			ing := direct()
			ing.MTU = 400
			if a := newLab(t, nets...).say(client(phone, discover), ing); len(a.raw) > 400-28 {
				t.Errorf("%d bytes on a link of 400", len(a.raw))
			}
		},
	}
}

func concurrencyCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-DUP-01": func(t *caseT) {
			l := newLab(t, timid()...)
			got := l.lease(phone)
			l.say(client(phone, release7, addr(optServer, ourAddr)).from(got), unicast(got)).because(t, ReasonNone)
			l.say(client(phone2, discover, addr(optRequested, got)), direct()).want(t, offer)
			l.say(selecting(phone2, got, ourAddr), direct())
			l.say(selecting(phone, got, ourAddr), direct()).want(t, nak)
		},
		"D-DUP-02": func(t *caseT) {
			l := newLab(t)
			got := make([]netip.Addr, 8)
			var wg sync.WaitGroup
			for i := range got {
				wg.Go(func() { got[i] = l.say(client(phone, discover), direct()).yiaddr() })
			}
			wg.Wait()
			for _, a := range got {
				if a != got[0] {
					t.Errorf("offered %v", got)
				}
			}
		},
		"D-DUP-03": func(t *caseT) {
			l := newLab(t)
			a := ip("192.0.2.50")
			all := []draft{
				client(phone, discover), selecting(phone, a, ourAddr), reboot(phone, a), renew(phone, a),
				client(phone, release7).from(a), client(phone, decline4, addr(optRequested, a)), client(phone, inform8).from(a),
			}
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for i := range 70 {
						l.say(all[i%len(all)], unicast(a))
					}
				})
			}
			wg.Wait()
			if n := len(l.table.ByHW(phone)); n > 1 {
				t.Errorf("%d leases of one client in one network", n)
			}
		},
		"D-ADR-03": func(t *caseT) {
			nets := tiny(1)
			nets[0].Server = netip.Addr{}
			ing := direct()
			ing.Addrs = []netip.Addr{ip("192.0.2.10")}
			newLab(t, nets...).say(client(phone, discover), ing).want(t, silence).because(t, ReasonExhausted)
		},
		"D-ADR-07": func(t *caseT) {
			l, id := newLab(t), opt(optClientID, 1, 2, 3, 4)
			if a, b := l.lease(phone, id), l.lease(phone2, id); a == b {
				t.Errorf("two devices got %s", a)
			}
		},
		"D-ADR-08": func(t *caseT) {
			l := newLab(t)
			if a, b := l.lease(phone, opt(optClientID, 0, 1)), l.lease(phone, opt(optClientID, 0, 2)); a != b {
				t.Errorf("one device got %s and %s", a, b)
			}
		},
	}
}

func phoneCases() map[string]func(*caseT) {
	far := func() Ingress { return byRelay(relay) }
	return map[string]func(*caseT){
		"D-PHN-01": func(t *caseT) { hop(t, newLab(t), true) },
		"D-PHN-02": func(t *caseT) { hop(t, newLab(t), false) },
		"D-PHN-03": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(reboot(phone, got).relayed(relay), far()).want(t, nak)
			l.say(client(phone, discover).relayed(relay), far()).want(t, offer)
		},
		"D-PHN-05": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(cisco)
			for _, c := range []struct {
				hw    hwaddr.Addr
				class string
				there bool
			}{{phone, "Cisco Systems, Inc. IP Phone CP-7941G", true}, {phone2, "MSFT 5.0", false}} {
				p := client(c.hw, discover, text(optVendorClass, c.class), prl(66, 43)).relayed(relay, 1, 1, 'c')
				if _, ok := l.say(p, far()).want(t, offer).Options[optTFTPName]; ok != c.there {
					t.Errorf("%s: option 66 is there: %t", c.class, ok)
				}
			}
		},
		"D-PHN-06": func(t *caseT) { newLab(t).lease(phone) },
		"D-PHN-08": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(cisco)
			boot := l.lease(phone, text(optVendorClass, "bootloader"), prl(66))
			a := l.say(client(phone, discover, text(optVendorClass, "Cisco"), prl(150)), direct()).want(t, offer)
			a.has(t, optTFTPName)
			a.has(t, optTFTPAddrs, 192, 0, 2, 1)
			if a.yiaddr() != boot {
				t.Errorf("address %s, then %s", boot, a.yiaddr())
			}
		},
		"D-PHN-09": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(cisco)
			a := l.say(client(phone, discover, text(optVendorClass, "Cisco"), prl(1, 66, 6, 3, 15, 150, 35, 67)), direct()).want(t, offer)
			a.has(t, 66, []byte("192.0.2.1")...)
			a.has(t, 150, 192, 0, 2, 1)
			a.has(t, 67, []byte("XMLDefault.cnf.xml")...)
		},
		"D-PHN-13": func(t *caseT) {
			l := newLab(t)
			first := l.lease(phone)
			for range 10 {
				if got := l.lease(phone); got != first {
					t.Errorf("got %s, want %s", got, first)
				}
			}
		},
	}
}

// hop is a phone that learns its VLAN by DHCP in the data network and asks again in the voice network.
func hop(tb testing.TB, l *lab, releases bool) {
	tb.Helper()
	data := l.lease(phone)
	if releases {
		l.say(client(phone, release7, addr(optServer, ourAddr)).from(data), unicast(data)).because(tb, ReasonNone)
	}
	o := l.say(client(phone, discover).relayed(relay), byRelay(relay)).want(tb, offer)
	l.say(selecting(phone, o.yiaddr(), ourAddr).relayed(relay), byRelay(relay)).want(tb, ack)
	if l.holder(o.yiaddr()) != phone || (l.holder(data) == phone) == releases {
		tb.Errorf("released %t: %s is %s's, %s is %s's", releases, o.yiaddr(), l.holder(o.yiaddr()), data, l.holder(data))
	}
}
