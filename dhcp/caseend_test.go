package dhcp

import (
	"net/netip"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
)

func releaseCases() map[string]func(*caseT) {
	release := func(hw hwaddr.Addr, ciaddr netip.Addr, opts ...[]byte) draft {
		return client(hw, release7, opts...).from(ciaddr)
	}
	return map[string]func(*caseT){
		"D-REL-01": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			a := l.say(release(phone, got, addr(optServer, ourAddr)), unicast(got)).want(t, silence)
			if a.v.Reason != ReasonNone || !l.holder(got).IsZero() {
				t.Errorf("reason %s, holder %s", a.v.Reason, l.holder(got))
			}
		},
		"D-REL-02": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(release(phone2, got), unicast(got)).because(t, ReasonNotTheirs)
			if l.holder(got) != phone {
				t.Error("a stranger ended the lease")
			}
		},
		"D-REL-03": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(release(phone, ip("192.0.2.98")), unicast(ip("192.0.2.98"))).because(t, ReasonNotTheirs)
			if l.holder(got) != phone {
				t.Error("the lease is gone")
			}
		},
		"D-REL-04": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(release(phone, got), unicast(ip("192.0.2.66"))).because(t, ReasonSpoofed)
			l.say(release(phone, got), unicast(got)).because(t, ReasonNone)
		},
		"D-REL-05": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(release(phone, got, addr(optServer, ip("192.0.2.2"))), unicast(got)).because(t, ReasonOtherServer)
		},
		"D-REL-06": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(release(phone, got, addr(optServer, ourAddr)), direct()).because(t, ReasonSpoofed)
			if l.holder(got) != phone {
				t.Error("the lease is gone")
			}
		},
		"D-REL-07": func(t *caseT) {
			l := newLab(t)
			got := l.lease(fixed)
			l.say(release(fixed, got), unicast(got))
			if again := l.lease(fixed); got != ipFixed || again != ipFixed {
				t.Errorf("got %s, then %s; want the reserved address", got, again)
			}
		},
		"D-REL-08": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(release(phone, got), unicast(got)).because(t, ReasonNone)
			n := l.events()
			l.say(release(phone, got), unicast(got)).because(t, ReasonNotTheirs)
			if l.events() != n {
				t.Error("the second one made an event")
			}
		},
		"D-REL-09": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.networks(site()[1])
			l.say(release(phone, got, addr(optServer, ourAddr)), unicast(got)).because(t, ReasonNone)
			if !l.holder(got).IsZero() {
				t.Error("the lease stays")
			}
		},
		"D-REL-10": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(release(phone, got), unicast(got))
			if again := l.lease(phone); again != got {
				t.Errorf("got %s, want %s again", again, got)
			}
		},
		"D-REL-11": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(client(phone, decline4, addr(optRequested, got), addr(optServer, ourAddr)), direct()).want(t, silence)
			l.say(release(phone, got), unicast(got)).want(t, silence)
		},
	}
}

func declineCases() map[string]func(*caseT) {
	declined := func(l *lab, hw hwaddr.Addr, a netip.Addr) answer {
		return l.say(client(hw, decline4, addr(optRequested, a), addr(optServer, ourAddr)), direct())
	}
	return map[string]func(*caseT){
		"D-DEC-01": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			declined(l, phone, got).want(t, silence).because(t, ReasonNone)
			if at, _ := l.table.At(got); at.State != lease.Declined {
				t.Errorf("state %v, want quarantine", at.State)
			}
		},
		"D-DEC-03": func(t *caseT) {
			newLab(t).say(client(phone, decline4, addr(optServer, ourAddr)), direct()).because(t, ReasonIncomplete)
		},
		"D-DEC-04": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			declined(l, phone2, got).because(t, ReasonNotTheirs)
			if l.holder(got) != phone {
				t.Error("a stranger ended the lease")
			}
		},
		"D-DEC-05": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.say(client(phone, decline4, addr(optRequested, got)), direct()).because(t, ReasonNone)
		},
		"D-DEC-06": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			l.pass(3 * time.Hour)
			declined(l, phone, got).because(t, ReasonNotTheirs)
		},
		"D-DEC-07": func(t *caseT) { declined(newLab(t), phone, ip("192.0.2.50")).because(t, ReasonNotTheirs) },
		"D-DEC-09": func(t *caseT) {
			l := newLab(t)
			got := l.lease(phone)
			declined(l, phone, got)
			if a := l.say(client(phone2, discover, addr(optRequested, got)), direct()).want(t, offer); a.yiaddr() == got {
				t.Error("the declined address is offered")
			}
		},
	}
}

func informCases() map[string]func(*caseT) {
	static := ip("192.0.2.180")
	inform := func(ciaddr netip.Addr, opts ...[]byte) draft { return client(phone, inform8, opts...).from(ciaddr) }
	return map[string]func(*caseT){
		"D-INF-01": func(t *caseT) {
			l := newLab(t)
			a := l.say(inform(static, prl(1, 3, 6, 42)), unicast(static)).want(t, ack)
			if a.to.To != netip.AddrPortFrom(static, clientPort) || fromIP(a.YourIPAddr).IsValid() || fromIP(a.ClientIPAddr) != static {
				t.Errorf("sent to %s: %+v", a.to.To, a.DHCPv4)
			}
			for _, code := range []uint8{optLifetime, optT1, optT2} {
				a.has(t, code)
			}
			a.has(t, optMask, 255, 255, 255, 0)
			a.has(t, 42, 192, 0, 2, 123)
			if l.events() != 0 || len(l.table.All()) != 0 {
				t.Error("there is a lease now")
			}
		},
		"D-INF-02": func(t *caseT) { newLab(t).say(inform(netip.Addr{}), direct()).want(t, silence) },
		"D-INF-03": func(t *caseT) {
			if a := newLab(t).say(inform(netip.Addr{}), unicast(static)).want(t, ack); a.to.To.Addr() != static {
				t.Errorf("sent to %s", a.to.To)
			}
		},
		"D-INF-04": func(t *caseT) {
			far := ip("203.0.113.77")
			newLab(t).say(inform(far), unicast(far)).want(t, silence)
			newLab(t).say(inform(static), unicast(ip("192.0.2.181"))).want(t, silence).because(t, ReasonSpoofed)
		},
		"D-INF-05": func(t *caseT) {
			a := newLab(t).say(inform(netip.Addr{}).relayed(relay), byRelay(relay)).want(t, ack)
			if a.to.To != netip.AddrPortFrom(relay, serverPort) || !a.IsBroadcast() {
				t.Errorf("sent to %s, flags %x", a.to.To, a.Flags)
			}
		},
		"D-INF-06": func(t *caseT) {
			newLab(t).say(inform(static, addr(optServer, ourAddr)), unicast(static)).want(t, ack)
		},
	}
}
