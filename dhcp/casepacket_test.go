package dhcp

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// tamper answers one DISCOVER that f has changed.
func tamper(tb testing.TB, f func(*draft)) answer {
	tb.Helper()
	return newLab(tb).say(client(phone, discover).with(f), direct())
}

func packetCases() map[string]func(*caseT) {
	return map[string]func(*caseT){
		"D-PKT-01": func(t *caseT) {
			whole := client(phone, discover).bytes()
			for _, n := range []int{0, 1, 28, 235} {
				newLab(t).sayBytes(whole[:n], direct()).because(t, ReasonShort)
			}
		},
		"D-PKT-02": func(t *caseT) {
			whole := client(phone, discover).bytes()
			for n := 236; n < 240; n++ {
				newLab(t).sayBytes(whole[:n], direct()).because(t, ReasonNoCookie)
			}
		},
		"D-PKT-03": func(t *caseT) {
			b := client(phone, discover).bytes()
			b[cookieAt]++
			newLab(t).sayBytes(b, direct()).because(t, ReasonNoCookie)
		},
		"D-PKT-04": func(t *caseT) { tamper(t, func(p *draft) { p.noEnd = true }).want(t, offer) },
		"D-PKT-05": func(t *caseT) {
			p := client(phone, discover).with(func(p *draft) {
				p.opts, p.noEnd = append(p.opts, optHostname, 10, 'a', 'b', 'c'), true
			})
			m, flaws, _ := decode(p.bytes())
			if _, ok := m.Options[optHostname]; ok || flaws&flawTruncated == 0 {
				t.Errorf("broken option is there: %t, flaws %b", ok, flaws)
			}
			newLab(t).say(p, direct()).want(t, offer)
		},
		"D-PKT-06": func(t *caseT) {
			tamper(t, func(p *draft) { p.opts, p.noEnd = append(p.opts, optHostname), true }).want(t, offer)
		},
		"D-PKT-07": func(t *caseT) {
			tamper(t, func(p *draft) { p.opts = append(make([]byte, 200), p.opts...) }).want(t, offer)
		},
		"D-PKT-08": func(t *caseT) {
			after := append([]byte{optPad}, text(optVendorClass, "junk")...)
			a := tamper(t, func(p *draft) { p.opts = append(append(p.opts, optEnd), after...) }).want(t, offer)
			if a.v.Client.VendorClass != "" {
				t.Errorf("vendor class %q from behind the end", a.v.Client.VendorClass)
			}
		},
		"D-PKT-09": func(t *caseT) { tamper(t, func(p *draft) { p.opts = nil }).because(t, ReasonBOOTP) },
		"D-PKT-10": func(t *caseT) {
			tamper(t, func(p *draft) { p.opts = append(p.opts, opt(optType, request3)...) }).want(t, offer)
		},
		"D-PKT-11": func(t *caseT) {
			tamper(t, func(p *draft) { p.opts = opt(optType) }).because(t, ReasonUnknownType)
			tamper(t, func(p *draft) { p.opts = opt(optType, discover, 9) }).want(t, offer)
		},
		"D-PKT-12": func(t *caseT) {
			for _, kind := range []byte{0, 9, 99, 255} {
				tamper(t, func(p *draft) { p.opts = opt(optType, kind) }).because(t, ReasonUnknownType)
			}
		},
		"D-PKT-13": func(t *caseT) {
			for _, kind := range []byte{2, 5, 6} {
				tamper(t, func(p *draft) { p.opts = opt(optType, kind) }).because(t, ReasonUnknownType)
			}
		},
		"D-PKT-14": func(t *caseT) {
			tamper(t, func(p *draft) { p.op = 2 }).because(t, ReasonReply)
		},
		"D-PKT-15": func(t *caseT) { tamper(t, func(p *draft) { p.hlen = 0 }).because(t, ReasonNoIdentity) },
		"D-PKT-17": func(t *caseT) {
			for _, n := range []byte{5, 8, 16} {
				tamper(t, func(p *draft) { p.hlen = n }).because(t, ReasonNoIdentity)
			}
		},
		"D-PKT-18": func(t *caseT) {
			for _, n := range []byte{17, 255} {
				tamper(t, func(p *draft) { p.hlen = n }).because(t, ReasonNoIdentity)
			}
		},
		"D-PKT-19": func(t *caseT) {
			for _, hw := range []hwaddr.Addr{{}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}} {
				tamper(t, func(p *draft) { p.hw = hw[:] }).because(t, ReasonBadAddress)
			}
		},
		"D-PKT-20": func(t *caseT) {
			a := tamper(t, func(p *draft) {
				p.opts = append(p.opts, bytes.Repeat(text(optVendorClass, strings.Repeat("x", 250)), 35)...)
			})
			a.want(t, offer)
			if n := len(a.v.Client.VendorClass); n > maxRequest {
				t.Errorf("%d bytes of a string are kept", n)
			}
		},
		"D-PKT-21": func(t *caseT) {
			a := tamper(t, func(p *draft) {
				for _, part := range []string{"abc", strings.Repeat("x", 255), "def"} {
					p.opts = append(p.opts, text(optVendorClass, part)...)
				}
			})
			if got, want := a.v.Client.VendorClass, "abc"+strings.Repeat("x", 255)+"def"; got != want {
				t.Errorf("vendor class %q, want %q", got, want)
			}
		},
		"D-PKT-22": overloadCase,
		"D-PKT-23": func(t *caseT) {
			for _, code := range []byte{optRequested, optServer, optLifetime} {
				for _, n := range []int{3, 5} {
					a := tamper(t, func(p *draft) { p.opts = append(p.opts, opt(code, make([]byte, n)...)...) })
					if got := a.want(t, offer).secs(t, optLifetime); got != 3600 {
						t.Errorf("option %d of %d bytes: lease of %d s, want 3600", code, n, got)
					}
				}
			}
		},
		"D-PKT-24": hostnameCase,
		"D-PKT-25": func(t *caseT) {
			for _, v := range [][]byte{nil, {0, 0}, {0, 0, 0, 0xc0, 3}, make([]byte, 255)} {
				tamper(t, func(p *draft) { p.opts = append(p.opts, opt(81, v...)...) }).want(t, offer)
			}
		},
		"D-PKT-26": func(t *caseT) {
			for _, id := range [][]byte{nil, {1}} {
				a := tamper(t, func(p *draft) { p.opts = append(p.opts, opt(optClientID, id...)...) }).want(t, offer)
				a.has(t, optClientID)
				if a.v.Client.ID != "" {
					t.Errorf("client id %q was kept", a.v.Client.ID)
				}
			}
		},
		"D-PKT-27": func(t *caseT) {
			id := bytes.Repeat([]byte{7}, 255)
			tamper(t, func(p *draft) {
				p.opts = append(append(p.opts, opt(optClientID, id...)...), opt(optMaxSize, 1500>>8, 1500&0xff)...)
			}).want(t, offer).has(t, optClientID, id...)
		},
		"D-PKT-28": func(t *caseT) {
			all := make([]byte, 255)
			for i := range all {
				all[i] = byte(i)
			}
			for _, list := range [][]byte{nil, all, {0, 255, 6, 6, 3, 6}} {
				tamper(t, func(p *draft) { p.opts = append(p.opts, prl(list...)...) }).want(t, offer).has(t, optRouter, 192, 0, 2, 254)
			}
			a := tamper(t, func(p *draft) { p.opts = append(p.opts, prl(0, 255, 6, 6, 3, 6)...) })
			if got, want := a.v.Client.Params, []byte{6, 3}; !slices.Equal(got, want) {
				t.Errorf("parameter list %v, want %v", got, want)
			}
		},
		"D-PKT-29": func(t *caseT) {
			const raw = "Cisco Systems, Inc. IP Phone CP-7911G\x00"
			a := tamper(t, func(p *draft) { p.opts = append(p.opts, text(optVendorClass, raw)...) })
			if a.v.Client.VendorClass != raw {
				t.Errorf("vendor class %q, want %q", a.v.Client.VendorClass, raw)
			}
		},
		"D-PKT-30": func(t *caseT) {
			const raw = "\x80\x01Thomson ST2022S"
			a := tamper(t, func(p *draft) { p.opts = append(p.opts, text(optVendorClass, raw)...) })
			if a.v.Client.VendorClass != raw {
				t.Errorf("vendor class %q, want %q", a.v.Client.VendorClass, raw)
			}
		},
		"D-PKT-31": func(t *caseT) {
			for raw, want := range map[string]string{
				"Thomson ST2022S": "Thomson ST2022S", "\x0fThomson ST2022S": "Thomson ST2022S", "\x01a\x02bc": "a,bc", "\x00": "\x00",
			} {
				a := tamper(t, func(p *draft) { p.opts = append(p.opts, text(optUserClass, raw)...) })
				if got := a.v.Client.UserClass; got != want {
					t.Errorf("user class of %q is %q, want %q", raw, got, want)
				}
			}
		},
		"D-PKT-32": func(t *caseT) {
			for _, code := range []byte{optVendor, optVendorInfo} {
				tamper(t, func(p *draft) { p.opts = append(p.opts, opt(code, 0, 0, 1, 2, 200, 1)...) }).want(t, offer)
			}
		},
		"D-PKT-33": func(t *caseT) {
			l := newLab(t)
			for range 101 {
				l.say(client(phone, discover, opt(81), opt(optVendor, 1, 255)).with(func(p *draft) { p.opts = append(p.opts, 12, 255) }), direct())
			}
			l.say(client(phone2, discover), direct()).want(t, offer)
		},
		"D-PKT-37": func(t *caseT) {
			ing := direct()
			ing.Src = netip.MustParseAddrPort("0.0.0.0:4011")
			if got := newLab(t).say(client(phone, discover), ing).to.To.Port(); got != clientPort {
				t.Errorf("reply goes to port %d, want %d", got, clientPort)
			}
		},
		"D-BTP-01": func(t *caseT) { tamper(t, func(p *draft) { p.opts = nil }).want(t, silence) },
	}
}

func overloadCase(t *caseT) {
	want := ip("192.0.2.77")
	inField := append(append(addr(optRequested, want), opt(optClientID, 1, 2, 3)...), optEnd)
	looping := append(slices.Clip(addr(optRequested, want)), opt(optOverload, 3)...) // no End, and says it again
	for name, f := range map[string]func(*draft){
		"file":    func(p *draft) { p.opts, p.file = append(p.opts, opt(optOverload, 1)...), inField },
		"sname":   func(p *draft) { p.opts, p.sname = append(p.opts, opt(optOverload, 2)...), inField },
		"both":    func(p *draft) { p.opts, p.file, p.sname = append(p.opts, opt(optOverload, 3)...), inField, inField },
		"looping": func(p *draft) { p.opts, p.file, p.sname = append(p.opts, opt(optOverload, 3)...), looping, looping },
		"file goes first": func(p *draft) {
			p.opts, p.file, p.sname = append(p.opts, opt(optOverload, 3)...), inField, addr(optRequested, ip("192.0.2.78"))
		},
	} {
		if got := tamper(t, f).want(t, offer).yiaddr(); got != want {
			t.Errorf("%s: offered %s, want %s", name, got, want)
		}
	}
	m, _, _ := decode(client(phone, discover, opt(optOverload, 1)).with(func(p *draft) { p.file = inField }).bytes())
	if m.BootFileName != "" {
		t.Errorf("overloaded field is taken for a name: %q", m.BootFileName)
	}
}

func hostnameCase(t *caseT) {
	for _, name := range []string{"a\x00b", "a\nb level=ERROR", "\x1b[2J", strings.Repeat("x", 255), "\xff\xfe", "\x00", ""} {
		var log bytes.Buffer
		l := newLab(t)
		l.Log = slog.New(slog.NewTextHandler(&log, nil))
		m, _, _ := decode(client(phone, discover, text(optHostname, name), text(optVendorClass, name)).bytes())
		reply, v := l.Respond(t.Context(), m, direct())
		if reply == nil || v.Client.Hostname != name {
			t.Errorf("host name %q became %q", name, v.Client.Hostname)
		}
		level, text := l.tally(v)
		l.record(t.Context(), &job{msg: m}, v, level, text)
		line := strings.TrimSuffix(log.String(), "\n")
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) || len(line) > 1024 {
			t.Errorf("log line %q", line)
		}
	}
}
