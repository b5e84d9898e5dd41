package dhcp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// classed declares classes over the site's networks.
func classed(t testing.TB, classes ...network.Class) *lab {
	t.Helper()
	l := newLab(t)
	l.declare(network.Declared{Classes: classes, Networks: site()})
	return l
}

// vendorClass is what clients of a vendor class match.
func vendorClass(patterns ...string) []network.Match { return []network.Match{{VendorClass: patterns}} }

func classCases() map[string]func(*caseT) {
	guest := text(optVendorClass, "guest")
	return map[string]func(*caseT){
		"D-DISC-21": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.declare(network.Declared{
				Classes: []network.Class{{ID: "denied", Match: []network.Match{{MAC: []string{phone.String()}}}, Refuse: true}}, Networks: site(),
			})
			for _, said := range []answer{
				l.say(client(phone, discover), direct()), l.say(selecting(phone, got, ourAddr), direct()),
				l.say(reboot(phone, got), direct()), l.say(renew(phone, got), unicast(got)),
				l.say(client(phone, inform8).from(got), unicast(got)),
			} {
				said.want(t, silence).because(t, ReasonClass)
				if !strings.Contains(said.v.Why, "denied") {
					t.Errorf("the verdict doesn't name the class: %q", said.v.Why)
				}
			}
			l.leave(phone, got)
			l.say(client(phone2, discover), direct()).want(t, offer)
		},
		"D-TIM-09": func(t *caseT) {
			l := classed(t,
				network.Class{ID: "guests", Match: vendorClass("guest"), Lease: network.Lifetime{Default: 15 * time.Minute}},
				network.Class{ID: "phones", Match: vendorClass("Cisco*"), Lease: network.Lifetime{Default: 8 * time.Hour, Renew: time.Hour, Rebind: 7 * time.Hour}},
			)
			a := l.say(client(phone, discover, guest), direct()).want(t, offer)
			b := l.say(client(phone2, discover, text(optVendorClass, "Cisco CP-7941G")), direct()).want(t, offer)
			c := l.say(client(number(1), discover), direct()).want(t, offer)
			if x, y, z := a.secs(t, optLifetime), b.secs(t, optLifetime), c.secs(t, optLifetime); x != 900 || y != 28800 || z != 3600 {
				t.Errorf("leases of %d, %d and %d s; want 900, 28800 and 3600", x, y, z)
			}
			if t1, t2 := b.secs(t, optT1), b.secs(t, optT2); t1 != 3600 || t2 != 25200 {
				t.Errorf("T1 %d and T2 %d, want what was declared", t1, t2)
			}
		},
		"D-TIM-10": scarceCase,
		"D-TX-11": func(t *caseT) {
			l := classed(t, network.Class{ID: "deaf", Match: vendorClass("deaf"), Broadcast: true})
			deaf := text(optVendorClass, "deaf")
			if a := l.say(client(phone, discover, deaf), direct()).want(t, offer); !a.to.broadcast() || a.Flags != 0x8000 {
				t.Errorf("sent to %s with flags %x", a.to.To, a.Flags)
			}
			if a := l.say(client(phone, discover, deaf).relayed(relay), byRelay(relay)).want(t, offer); a.to.To.Addr() != relay || !a.IsBroadcast() {
				t.Errorf("sent to %s with flags %x", a.to.To, a.Flags)
			}
			if a := l.say(client(phone2, discover), direct()).want(t, offer); a.to.broadcast() || a.Flags != 0 {
				t.Errorf("another client's goes to %s with flags %x", a.to.To, a.Flags)
			}
		},
		"D-CLS-09": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(func(c lease.Client, _ netip.Addr) network.Boot {
				if c.VendorClass == "bad" {
					panic("a plugin's fault")
				}
				return network.Boot{File: "ok"}
			})
			a := l.say(client(phone, discover, text(optVendorClass, "bad")), direct()).want(t, offer)
			a.has(t, optRouter, 192, 0, 2, 254)
			if a.BootFileName != "" || a.v.Err == nil || l.Snapshot().BootFails != 1 {
				t.Errorf("file %q, error %v, %d counted", a.BootFileName, a.v.Err, l.Snapshot().BootFails)
			}
			if b := l.say(client(phone2, discover), direct()).want(t, offer); b.BootFileName != "ok" {
				t.Errorf("file %q for another client", b.BootFileName)
			}
		},
		"D-OPT-30": func(t *caseT) {
			// Templates are made by the plugins: what can't be made is left out there, and the reply is sent without it.
			l := newLab(t)
			l.Boot = vendors(func(c lease.Client, base netip.Addr) network.Boot {
				if c.HW == phone2 {
					return network.Boot{} // its template failed
				}
				return network.Boot{Options: []network.Option{option("66", "http://"+base.String()+"/"+c.HW.String())}}
			})
			l.say(client(phone, discover), direct()).want(t, offer).has(t, 66, []byte("http://192.0.2.1/"+phone.String())...)
			l.say(client(phone2, discover), direct()).want(t, offer).has(t, 66)
		},
		"D-OPT-31": func(t *caseT) {
			// What is made for one message of one client is not kept for another.
			l := newLab(t)
			tokens := 0
			l.Boot = vendors(func(c lease.Client, _ netip.Addr) network.Boot {
				tokens++
				return network.Boot{Options: []network.Option{option("66", fmt.Sprintf("http://192.0.2.1/%s/%d", c.HW, tokens))}}
			})
			seen := map[string]bool{}
			for _, hw := range []hwaddr.Addr{phone, phone2, phone} {
				got := string(l.say(client(hw, discover), direct()).want(t, offer).Options[66])
				if seen[got] || !strings.Contains(got, hw.String()) {
					t.Errorf("%s gets %q", hw, got)
				}
				seen[got] = true
			}
		},
		"D-OPT-36": func(t *caseT) {
			a := newLab(t).say(client(phone, discover, addr(118, ip("198.51.100.0"))), direct()).want(t, offer)
			if a.v.Network != "voice" {
				t.Errorf("the client chose network %s", a.v.Network)
			}
		},
		"D-PHN-10": func(t *caseT) {
			for _, url := range []string{"http://192.0.2.1/p/", "http://192.0.2.1/p", "192.0.2.1"} {
				l := newLab(t)
				l.Boot = vendors(func(lease.Client, netip.Addr) network.Boot {
					return network.Boot{Options: []network.Option{{Code: 66, Data: []byte(url)}}}
				})
				l.say(client(phone, discover, prl(66)), direct()).want(t, offer).has(t, 66, []byte(url)...)
			}
		},
		"D-PHN-11": func(t *caseT) {
			times := []network.Option{option("42", "192.0.2.123"), option("2", "3600"), option("4", "192.0.2.9"), option("100", "CET-1CEST"), option("101", "Europe/Paris")}
			l := classed(t, network.Class{ID: "phones", Match: vendorClass("Cisco*"), Options: times})
			for _, o := range times {
				l.say(client(phone, discover, text(optVendorClass, "Cisco"), prl(o.Code)), direct()).want(t, offer).has(t, o.Code, o.Data...)
				l.say(client(phone2, discover, text(optVendorClass, "Cisco"), prl(1)), direct()).want(t, offer).has(t, o.Code)
			}
			for i := range times {
				times[i].Force = true
			}
			l = classed(t, network.Class{ID: "phones", Match: vendorClass("Cisco*"), Options: times})
			a := l.say(client(phone2, discover, text(optVendorClass, "Cisco"), prl(1)), direct()).want(t, offer)
			for _, o := range times {
				a.has(t, o.Code, o.Data...)
			}
		},
		"D-PHN-12": func(t *caseT) {
			nets := site()
			nets[0].Lease = network.Lifetime{}
			a := newLab(t, nets...).say(client(phone, discover, prl(1)), direct()).want(t, offer)
			if got := a.secs(t, optLifetime); got != 8*3600 || a.secs(t, optT1) == 0 || a.secs(t, optT2) == 0 {
				t.Errorf("a lease of %d s", got)
			}
			b := newLab(t, nets...).say(client(phone, discover, secs(optLifetime, 1)), direct()).want(t, offer)
			if got := b.secs(t, optLifetime); got < 300 {
				t.Errorf("a lease of %d s for who asks for one", got)
			}
		},
		"D-AUT-04": func(t *caseT) {
			// A network without pools is told the rest of what it needs, and nobody gets an address.
			nets := site()
			nets[0].Pools, nets[0].Reservations = nil, nil
			l := newLab(t, nets...)
			l.say(client(phone, discover, text(optVendorClass, "PXEClient")), direct()).want(t, silence).because(t, ReasonExhausted)
			l.say(client(phone, inform8).from(ip("192.0.2.180")), unicast(ip("192.0.2.180"))).want(t, ack).has(t, 42, 192, 0, 2, 123)
		},
	}
}
