package dhcp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// vendors is a BootSource for tests.
type vendors func(lease.Client, netip.Addr) network.Boot

func (f vendors) Boot(c lease.Client, base netip.Addr) network.Boot { return f(c, base) }

// cisco tells Cisco phones where to ask, and nobody else.
func cisco(c lease.Client, base netip.Addr) network.Boot {
	if !strings.HasPrefix(c.VendorClass, "Cisco") {
		return network.Boot{}
	}
	return network.Boot{
		Options: []network.Option{option("66", base.String()), option("150", base.String()), option("43", "hex:0104c0000201")},
		Next:    base, File: "XMLDefault.cnf.xml",
	}
}

func optionCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-OPT-01": func(t *caseT) {
			a := newLab(t).say(client(phone, discover, opt(optClientID, 1, 2, 3)).relayed(relay, 1, 1, 'x'), byRelay(relay))
			b := newLab(t).say(client(phone, discover, opt(optClientID, 1, 2, 3)), direct())
			if got, want := b.order(), []uint8{53, 54, 51, 58, 59, 1, 3, 6}; !slices.Equal(got[:len(want)], want) {
				t.Errorf("order %v, want %v first", got, want)
			}
			if got := a.order(); got[0] != optType || got[len(got)-1] != optAgent {
				t.Errorf("order %v, want 53 first and 82 last", got)
			}
		},
		"D-OPT-02": func(t *caseT) {
			for _, a := range []answer{
				newLab(t).say(client(phone, discover), direct()), newLab(t).say(selecting(phone, ipFixed, ourAddr), direct()),
			} {
				if len(a.raw) < 300 || len(a.raw) >= 548 {
					t.Errorf("%s has %d bytes", typeName(a.kind), len(a.raw))
				}
			}
		},
		"D-OPT-03": func(t *caseT) {
			nets := site()
			for code := range uint8(6) {
				nets[0].Options = append(nets[0].Options, network.Option{Code: 128 + code, Data: make([]byte, 200), Force: true})
			}
			for size, most := range map[uint16]int{0: 548, 100: 548, 576: 548, 1000: 972, 1500: 1472, 65535: 1472} {
				p := client(phone, discover)
				if size > 0 {
					p.opts = append(p.opts, opt(optMaxSize, byte(size>>8), byte(size))...)
				}
				ing := direct()
				ing.MTU = 9000
				a := newLab(t, nets...).say(p, ing).want(t, offer)
				if len(a.raw) > most || len(a.raw) < most-202 {
					t.Errorf("option 57 of %d: %d bytes, want at most %d and nearly that", size, len(a.raw), most)
				}
			}
		},
		"D-OPT-04": func(t *caseT) {
			nets := site()
			nets[0].Options = append(nets[0].Options, network.Option{Code: 224, Data: make([]byte, 250), Force: true},
				network.Option{Code: 66, Data: bytes.Repeat([]byte("u"), 200), Force: true})
			a := newLab(t, nets...).say(client(phone, discover), direct()).want(t, offer)
			if !slices.Contains(a.left, 224) || len(a.Options[66]) != 200 {
				t.Errorf("left out %v, option 66 has %d bytes", a.left, len(a.Options[66]))
			}
			for _, code := range []uint8{53, 54, 51, 1, 3, 6, 42} {
				if len(a.Options[code]) == 0 {
					t.Errorf("option %d is gone", code)
				}
			}
		},
		"D-OPT-06": func(t *caseT) {
			newLab(t).say(client(phone, discover), direct()).has(t, 15, []byte("example.org")...)
		},
		"D-OPT-07": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(func(lease.Client, netip.Addr) network.Boot {
				return network.Boot{Sname: "192.0.2.1", File: "digium.cfg"}
			})
			a := l.say(client(phone, discover, prl(66, 67)), direct()).want(t, offer)
			a.has(t, 66, []byte("192.0.2.1")...)
			a.has(t, 67, []byte("digium.cfg")...)
			if a.ServerHostName != "192.0.2.1" || a.BootFileName != "digium.cfg" {
				t.Errorf("sname %q, file %q", a.ServerHostName, a.BootFileName)
			}
		},
		"D-OPT-08": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(cisco)
			class := text(optVendorClass, "Cisco Systems, Inc. IP Phone CP-7941G\x00")
			list := prl(1, 66, 6, 3, 15, 150, 35)
			o := l.say(client(phone, discover, class, list), direct()).want(t, offer)
			a := l.say(selecting(phone, o.yiaddr(), ourAddr, class, list), direct()).want(t, ack)
			if !slices.Equal(o.order(), a.order()) {
				t.Errorf("OFFER has %v, ACK %v", o.order(), a.order())
			}
			a.has(t, optTFTPAddrs, 192, 0, 2, 1)
		},
		"D-OPT-09": func(t *caseT) {
			for n, want := range map[int]int{127: 127, 128: 0} {
				l := newLab(t)
				l.Boot = vendors(func(lease.Client, netip.Addr) network.Boot { return network.Boot{File: strings.Repeat("f", n)} })
				if got := len(l.say(client(phone, discover, prl(1)), direct()).BootFileName); got != want {
					t.Errorf("file of %d bytes: %d on the wire, want %d", n, got, want)
				}
			}
		},
		"D-OPT-10": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(cisco)
			class := text(optVendorClass, "Cisco")
			if a := l.say(client(phone, discover, class), direct()).want(t, offer); fromIP(a.ServerIPAddr) != ourAddr {
				t.Errorf("siaddr %s, want %s", a.ServerIPAddr, ourAddr)
			}
			if a := l.say(selecting(phone, ipFixed, ourAddr, class), direct()).want(t, nak); fromIP(a.ServerIPAddr).IsValid() {
				t.Errorf("siaddr %s in a NAK", a.ServerIPAddr)
			}
		},
		"D-OPT-11": func(t *caseT) {
			got := newLab(t).say(client(phone, discover, prl(3, 1)), direct()).order()
			if slices.Index(got, optMask) > slices.Index(got, optRouter) {
				t.Errorf("order %v, want 1 before 3", got)
			}
		},
		"D-OPT-12": func(t *caseT) {
			nets := site()
			routes := []byte{24, 203, 0, 113, 192, 0, 2, 250}
			nets[0].Options = append(nets[0].Options, network.Option{Code: optRoutes, Data: routes})
			a := newLab(t, nets...).say(client(phone, discover, prl(121)), direct())
			a.has(t, optRoutes, routes...)
			a.has(t, optRouter, 192, 0, 2, 254)
		},
		"D-OPT-13": func(t *caseT) {
			nets := site()
			nets[0].Options = append(nets[0].Options, network.Option{Code: optRoutes, Data: []byte{0, 192, 0, 2, 254}},
				network.Option{Code: optStaticRoutes, Data: []byte{203, 0, 113, 5, 192, 0, 2, 250}})
			a := newLab(t, nets...).say(client(phone, discover, prl(33, 121)), direct())
			a.has(t, optStaticRoutes)
		},
		"D-OPT-15": func(t *caseT) {
			nets := site()
			nets[0].Options = append(nets[0].Options, option("150", "192.0.2.9, 192.0.2.1"))
			newLab(t, nets...).say(client(phone, discover, prl(150)), direct()).has(t, 150, 192, 0, 2, 9, 192, 0, 2, 1)
		},
		"D-OPT-16": func(t *caseT) {
			newLab(t).say(client(phone, discover, prl(1)), direct()).has(t, 160)
			newLab(t).say(client(phone, discover, prl(160)), direct()).has(t, 160, []byte("http://192.0.2.1/")...)
		},
		"D-OPT-22": agentCase(1, 3, 'g', 'e', '1', 2, 2, 'r', '1'),
		"D-OPT-23": func(t *caseT) {
			agentCase(1, 200, 'x')(t)
			a := newLab(t).say(client(phone, discover).relayed(relay, 1, 1, 'c', 2, 200, 'x'), byRelay(relay))
			if a.v.Client.Circuit != "" {
				t.Errorf("circuit %q of an option that lies", a.v.Client.Circuit)
			}
		},
		"D-OPT-24": func(t *caseT) {
			a := newLab(t).say(client(phone, discover, opt(optAgent, 1, 1, 'x')), direct()).want(t, offer)
			a.has(t, optAgent)
			if a.v.Client.Circuit != "" {
				t.Errorf("circuit %q from a host", a.v.Client.Circuit)
			}
		},
		"D-OPT-25": func(t *caseT) {
			id := opt(optClientID, 1, 2, 3)
			l := newLab(t)
			l.say(client(phone, discover, id), direct()).want(t, offer).has(t, optClientID, 1, 2, 3)
			l.say(selecting(phone, ipFixed, ourAddr, id), direct()).want(t, nak).has(t, optClientID, 1, 2, 3)
			l.say(selecting(phone, ip("192.0.2.50"), ourAddr, id), direct()).want(t, ack).has(t, optClientID, 1, 2, 3)
		},
		"D-OPT-26": func(t *caseT) {
			p := selecting(phone, ip("198.51.100.200"), ourFar, opt(optClientID, 1, 2)).relayed(relay, 1, 1, 'x')
			a := newLab(t).say(p, byRelay(relay)).want(t, nak)
			if got, want := a.order(), []uint8{53, 54, 61, 56, 82}; !slices.Equal(got, want) {
				t.Errorf("options %v, want %v", got, want)
			}
			for _, x := range []netip.Addr{fromIP(a.YourIPAddr), fromIP(a.ClientIPAddr), fromIP(a.ServerIPAddr)} {
				if x.IsValid() {
					t.Errorf("address %s in a NAK", x)
				}
			}
		},
		"D-OPT-27": func(t *caseT) {
			got := newLab(t).say(selecting(phone, ipFixed, ourAddr), direct()).want(t, nak).Options[optMessage]
			if string(got) != "address is taken" {
				t.Errorf("message %q", got)
			}
		},
		"D-OPT-28": func(t *caseT) {
			l := newLab(t)
			l.Boot = vendors(func(lease.Client, netip.Addr) network.Boot {
				return network.Boot{Options: []network.Option{
					option("42", "192.0.2.7"), option("2", "3600"), option("domain-name", "vendor.example"),
					{Code: optServer, Data: []byte{203, 0, 113, 1}, Force: true},
					{Code: optAgent, Data: []byte("x"), Force: true},
				}}
			})
			list := prl(2, 15, 42)
			a := l.say(client(phone, discover, list), direct())
			a.has(t, optServer, 192, 0, 2, 1) // the protocol's own
			a.has(t, optAgent)
			a.has(t, 42, 192, 0, 2, 123)
			a.has(t, 2, 0, 0, 0x0e, 0x10)
			a.has(t, 15, []byte("example.org")...)
			l.say(client(fixed, discover, list), direct()).has(t, 42, 192, 0, 2, 9)
		},
		"D-OPT-29": func(t *caseT) {
			nets := site()
			nets[0].Options = append(nets[0].Options, network.Option{Code: 100, Data: []byte("UTC"), Force: true})
			a := newLab(t, nets...).say(client(phone, discover, prl(1)), direct())
			a.has(t, 15)
			a.has(t, 100, []byte("UTC")...)
		},
		"D-OPT-32": func(t *caseT) {
			value := bytes.Repeat([]byte{0xaa}, 600)
			nets := site()
			nets[0].Options = append(nets[0].Options, network.Option{Code: optVendor, Data: value})
			p := client(phone, discover, prl(43), opt(optMaxSize, 1500>>8, 1500&0xff))
			a := newLab(t, nets...).say(p, direct())
			a.has(t, optVendor, value...)
			// Every piece costs two bytes; without them it would fit.
			if b, left := Encode(a.DHCPv4, len(a.raw)-1); len(b) >= len(a.raw) || !slices.Equal(left, []uint8{160}) && !slices.Equal(left, []uint8{optVendor}) {
				t.Errorf("%d bytes without %v, one byte less than %d", len(b), left, len(a.raw))
			}
		},
		"D-OPT-35": func(t *caseT) {
			newLab(t).say(client(fixed, discover, prl(12), text(12, "mine")), direct()).has(t, 12, []byte("lobby")...)
		},
	}
}

// agentCase has an option 82 echoed as it came, and last.
func agentCase(agent ...byte) func(*caseT) {
	return func(t *caseT) {
		a := newLab(t).say(client(phone, discover).relayed(relay, agent...), byRelay(relay)).want(t, offer)
		a.has(t, optAgent, agent...)
		if got := a.order(); got[len(got)-1] != optAgent {
			t.Errorf("order %v, want 82 last", got)
		}
	}
}

func timeCases() map[string]func(*caseT) {
	life := func(tb testing.TB, opts ...[]byte) uint32 {
		tb.Helper()
		return newLab(tb).say(client(phone, discover, opts...), direct()).want(tb, offer).secs(tb, optLifetime)
	}
	return map[string]func(*caseT){
		"D-TIM-01": func(t *caseT) {
			a := newLab(t).say(client(phone, discover), direct()).want(t, offer)
			l, t1, t2 := a.secs(t, optLifetime), a.secs(t, optT1), a.secs(t, optT2)
			// Up to 1/16 early, so that not all phones renew at once.
			if l != 3600 || t1 > 1800 || t1 < 1687 || t2 > 3150 || t2 < 2953 {
				t.Errorf("lease %d, T1 %d, T2 %d", l, t1, t2)
			}
		},
		"D-TIM-02": func(t *caseT) {
			if short, long := life(t, secs(optLifetime, 10)), life(t, secs(optLifetime, 1e6)); short != 300 || long != 7200 {
				t.Errorf("10 s became %d, a million %d; want 300 and 7200", short, long)
			}
		},
		"D-TIM-03": func(t *caseT) {
			if got := life(t, secs(optLifetime, 0)); got != 300 {
				t.Errorf("0 s became %d, want 300", got)
			}
		},
		"D-TIM-04": func(t *caseT) {
			if got := life(t, secs(optLifetime, 0xffffffff)); got != 7200 {
				t.Errorf("for ever became %d, want 7200", got)
			}
		},
		"D-TIM-05": func(t *caseT) {
			for _, d := range []time.Duration{0, time.Second, 2 * time.Second, 9 * time.Second, time.Minute, 1 << 62} {
				m := &dhcpv4.DHCPv4{Options: dhcpv4.Options{}}
				x := &exchange{}
				x.client.HW = phone
				x.times(m, d)
				l := binary.BigEndian.Uint32(m.Options[optLifetime])
				if v, ok := m.Options[optT1]; ok {
					t1, t2 := binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(m.Options[optT2])
					if t1 == 0 || t1 >= t2 || t2 >= l {
						t.Errorf("%s: lease %d, T1 %d, T2 %d", d, l, t1, t2)
					}
				}
				if l == 0 {
					t.Errorf("%s: a lease of 0 s", d)
				}
			}
		},
		"D-TIM-06": func(t *caseT) {
			l := newLab(t)
			o := l.say(client(phone, discover), direct()).want(t, offer)
			a := l.say(selecting(phone, o.yiaddr(), ourAddr), direct()).want(t, ack)
			if o.secs(t, optT1) != a.secs(t, optT1) || o.secs(t, optT2) != a.secs(t, optT2) {
				t.Error("OFFER and ACK differ")
			}
		},
	}
}
