package dhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// shared is two networks of one link: voice, with so many addresses, and more.
func shared(n byte) []network.Network {
	nets := tiny(n)
	nets[1] = network.Network{
		ID: "more", Prefix: netip.MustParsePrefix("203.0.113.0/24"), Interface: "eth0", Server: ip("203.0.113.1"), Shared: "floor",
		Pools:         []network.Pool{{First: ip("203.0.113.10"), Last: ip("203.0.113.19")}},
		Options:       []network.Option{option("router", "203.0.113.254")},
		Authoritative: true,
	}
	nets[0].Shared = "floor"
	return nets
}

// twoNets is an interface with an address in both.
func twoNets() Ingress {
	ing := direct()
	ing.Addrs = []netip.Addr{ourAddr, ip("203.0.113.1")}
	ing.Ours = ing.Addrs
	return ing
}

// settle runs DISCOVER and REQUEST on the shared link.
func (l *lab) settle(hw hwaddr.Addr, opts ...[]byte) netip.Addr {
	l.t.Helper()
	o := l.say(client(hw, discover, opts...), twoNets()).want(l.t, offer)
	l.say(selecting(hw, o.yiaddr(), fromIP(o.Options[optServer]), opts...), twoNets()).want(l.t, ack)
	return o.yiaddr()
}

func linkCases() map[string]func(*caseT) {
	far := func(a netip.Addr) Ingress {
		ing := twoNets()
		ing.Broadcast, ing.Local, ing.Src = false, ip("203.0.113.1"), netip.AddrPortFrom(a, 68)
		return ing
	}
	return map[string]func(*caseT){
		"D-NET-12": func(t *caseT) {
			l := newLab(t, shared(1)...)
			if got := l.settle(phone); got != ip("192.0.2.10") {
				t.Errorf("the first got %s", got)
			}
			a := l.say(client(phone2, discover), twoNets()).want(t, offer)
			if !shared(1)[1].Prefix.Contains(a.yiaddr()) || a.v.Network != "more" {
				t.Fatalf("the second is offered %s of %s", a.yiaddr(), a.v.Network)
			}
			a.has(t, optRouter, 203, 0, 113, 254)
			a.has(t, optServer, 203, 0, 113, 1)
			got := l.settle(phone2)
			// It keeps that when there is room in the first again, however it asks.
			l.leave(phone, ip("192.0.2.10"))
			if again := l.settle(phone2); again != got {
				t.Errorf("got %s, then %s", got, again)
			}
			l.say(renew(phone2, got), far(got)).want(t, ack).has(t, optRouter, 203, 0, 113, 254)
			l.say(reboot(phone2, got), twoNets()).want(t, ack)
			l.say(reboot(phone2, ip("198.51.100.7")), twoNets()).want(t, nak)
			l.say(client(phone2, release7).from(got), far(got)).because(t, ReasonNone)
		},
		"D-NET-13": func(t *caseT) {
			nets := shared(1)
			nets[0].Only = []network.ClassID{"phones"}
			l := newLab(t)
			l.declare(network.Declared{Classes: []network.Class{{ID: "phones", Match: vendorClass("Cisco*")}}, Networks: nets})
			guest := l.settle(phone)
			if nets[0].Prefix.Contains(guest) {
				t.Errorf("a guest got %s", guest)
			}
			for _, a := range []string{"192.0.2.10", "192.0.2.11"} {
				l.say(selecting(phone, ip(a), ourAddr), twoNets()).want(t, nak)
				l.say(reboot(phone, ip(a)), twoNets()).want(t, nak)
				l.say(renew(phone, ip(a)), unicast(ip(a))).want(t, nak)
			}
			if got := l.settle(phone2, text(optVendorClass, "Cisco")); got != ip("192.0.2.10") {
				t.Errorf("a phone got %s", got)
			}
		},
		"D-CLS-06": func(t *caseT) {
			nets := site()
			nets[0].Pools = []network.Pool{{First: ip("192.0.2.10"), Last: ip("192.0.2.10")}, {First: ip("192.0.2.20"), Last: ip("192.0.2.29"), Only: []network.ClassID{"known"}}}
			l := newLab(t)
			l.Directory = directory{phone: "cisco"}
			l.declare(network.Declared{Classes: []network.Class{{ID: "known", Match: []network.Match{{Known: network.Yes}}}}, Networks: nets})
			l.lease(phone2)
			l.say(client(number(1), discover), direct()).want(t, silence).because(t, ReasonExhausted)
			l.say(selecting(number(1), ip("192.0.2.20"), ourAddr), direct()).want(t, nak)
			if got := l.lease(phone); !nets[0].Pools[1].Contains(got) {
				t.Errorf("a known device got %s", got)
			}
		},
		"D-CLS-07": func(t *caseT) {
			l := classed(t, network.Class{ID: "no-pcs", Match: vendorClass("MSFT*"), Refuse: true})
			a := l.say(client(phone, discover, text(optVendorClass, "MSFT 5.0")), direct()).want(t, silence)
			a.because(t, ReasonClass)
			l.say(selecting(phone, ip("192.0.2.60"), ourAddr, text(optVendorClass, "MSFT 5.0")), direct()).want(t, silence)
			if l.events() != 0 || a.v.Why != "class no-pcs: refused" {
				t.Errorf("%d events, %q", l.events(), a.v.Why)
			}
		},
		"D-CLS-08": func(t *caseT) {
			nets := site()
			nets[0].Pools = []network.Pool{{First: ip("192.0.2.10"), Last: ip("192.0.2.10"), Only: []network.ClassID{"cisco"}}, {First: ip("192.0.2.20"), Last: ip("192.0.2.29"), Not: []network.ClassID{"cisco"}}}
			l := newLab(t)
			l.declare(network.Declared{Classes: []network.Class{{ID: "cisco", Match: vendorClass("Cisco*")}}, Networks: nets})
			class := text(optVendorClass, "Cisco")
			l.lease(phone, class)
			l.say(client(phone2, discover, class), direct()).want(t, silence).because(t, ReasonExhausted)
			l.say(client(phone2, discover), direct()).want(t, offer)
		},
		"D-ADR-12": func(t *caseT) {
			nets := site()
			nets[0].Pools = []network.Pool{{First: ip("192.0.2.10"), Last: ip("192.0.2.19"), Not: []network.ClassID{"random"}}, {First: ip("192.0.2.20"), Last: ip("192.0.2.29")}}
			l := newLab(t)
			l.declare(network.Declared{
				Classes:  []network.Class{{ID: "random", Match: []network.Match{{Local: network.Yes}}, Lease: network.Lifetime{Default: 10 * time.Minute}}},
				Networks: nets,
			})
			for i := range byte(5) {
				a := l.say(client(hwaddr.Addr{2, 1, 2, 3, 4, i}, discover), direct()).want(t, offer)
				if !nets[0].Pools[1].Contains(a.yiaddr()) || a.secs(t, optLifetime) != 600 {
					t.Errorf("offered %s for %d s", a.yiaddr(), a.secs(t, optLifetime))
				}
			}
		},
		"D-RSV-01": func(t *caseT) {
			nets := site()
			nets[0].Reservations = []network.Reservation{
				{HW: phone, Addr: ip("192.0.2.50")},
				{ClientID: "\x01desk", Addr: ip("192.0.2.201")},
				{Circuit: "ge-7", Addr: ip("192.0.2.202")},
				{Remote: "switch 2", Addr: ip("192.0.2.203")},
			}
			nets[0].Relays = []netip.Addr{ip("203.0.113.2")}
			l := newLab(t, nets...)
			via := byRelay(ip("203.0.113.2"))
			for i, c := range []struct {
				hw    hwaddr.Addr
				id    []byte
				agent []byte
				want  string
			}{
				{hw: phone, want: "192.0.2.50"},
				{hw: number(1), id: text(optClientID, "\x01desk"), want: "192.0.2.201"},
				{hw: number(2), agent: text(1, "ge-7"), want: "192.0.2.202"},
				{hw: number(3), agent: text(2, "switch 2"), want: "192.0.2.203"},
			} {
				o := l.say(client(c.hw, discover, c.id).relayed(ip("203.0.113.2"), c.agent...), via).want(t, offer)
				l.say(selecting(c.hw, o.yiaddr(), ourAddr, c.id).relayed(ip("203.0.113.2"), c.agent...), via).want(t, ack)
				if o.yiaddr() != ip(c.want) {
					t.Errorf("client %d got %s, want %s", i, o.yiaddr(), c.want)
				}
				// It renews past its relay agent, which would have said where it is.
				l.say(renew(c.hw, o.yiaddr(), c.id), unicast(o.yiaddr())).want(t, ack)
			}
			l.say(selecting(number(9), ip("192.0.2.202"), ourAddr).relayed(ip("203.0.113.2")), via).want(t, nak)
		},
	}
}

// directory knows devices and their vendors.
type directory map[hwaddr.Addr]string

func (d directory) Known(hw hwaddr.Addr) bool { return d[hw] != "" }

func (d directory) Vendor(c lease.Client) string { return d[c.HW] }

func TestOneAddressOnALink(t *testing.T) {
	t.Parallel()
	l := newLab(t, shared(5)...)
	old := l.settle(phone)
	nets := shared(5)
	nets[1].Reservations = []network.Reservation{{HW: phone, Addr: ip("203.0.113.50")}}
	l.networks(nets...)
	if got := l.settle(phone); got != ip("203.0.113.50") || !l.holder(old).IsZero() || len(l.table.ByHW(phone)) != 1 {
		t.Errorf("got %s; leases %v", got, l.table.ByHW(phone))
	}
}
