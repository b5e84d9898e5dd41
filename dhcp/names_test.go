package dhcp

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// moved is the site after our address on eth0 has changed, and how its clients reach us then.
func (l *lab) moved(now netip.Addr) (broadcast Ingress, straight func(netip.Addr) Ingress) {
	l.t.Helper()
	nets := site()
	nets[0].Server = now
	l.networks(nets...)
	at := func(ing Ingress) Ingress {
		ing.Addrs, ing.Ours = []netip.Addr{now}, []netip.Addr{now, ourFar}
		if ing.Local.IsValid() {
			ing.Local = now
		}
		return ing
	}
	return at(direct()), func(src netip.Addr) Ingress { return at(unicast(src)) }
}

// TestFormerAddress sees that clients which know us by an address that we had are served until their leases are over.
func TestFormerAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		got, given := l.lease(phone), l.lease(phone2)
		o := l.say(client(number(1), discover), direct()).want(t, offer)
		all, us := l.moved(ip("192.0.2.2"))
		old := addr(optServer, ourAddr)
		l.say(renew(phone, got, old), us(got)).want(t, ack).has(t, optServer, 192, 0, 2, 2)
		l.say(renew(phone, got, old), all).want(t, ack)
		l.say(selecting(phone, got, ourAddr).from(got), all).want(t, ack)
		l.say(selecting(number(1), o.yiaddr(), ourAddr), all).want(t, ack)
		l.say(client(phone2, release7, old).from(given), us(given)).because(t, ReasonNone)
		if holder := l.holder(given); !holder.IsZero() {
			t.Errorf("%s still holds what it gave back", holder)
		}
		l.say(selecting(number(2), ip("192.0.2.50"), ip("192.0.2.3")), all).want(t, silence).because(t, ReasonOtherServer)

		l.pass(time.Hour + time.Second)
		l.say(selecting(number(3), ip("192.0.2.50"), ourAddr), all).want(t, silence).because(t, ReasonOtherServer)
		l.say(selecting(number(3), ip("192.0.2.50"), ip("192.0.2.2")), all).want(t, ack)
	})
}

// TestFormerAddressIsAnothers sees that a server that has taken over our address is not taken for us.
func TestFormerAddressIsAnothers(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	got := l.lease(phone)
	all, _ := l.moved(ip("192.0.2.2"))
	all.Standing = Heard
	p := draft{op: 2, htype: 1, hlen: 6, hw: phone2[:], yi: ip("192.0.2.77"), opts: append(opt(optType, byte(offer)), addr(optServer, ourAddr)...)}
	l.overheard(t.Context(), "eth0", hwaddr.MustParse("00:1b:d4:aa:bb:01"), ourAddr, p.bytes())
	l.say(selecting(phone2, ip("192.0.2.77"), ourAddr), all).want(t, silence).because(t, ReasonOtherServer)
	l.say(selecting(phone, got, ourAddr).from(got), all).want(t, silence).because(t, ReasonOtherServer)
}

// TestFormerAddressAfterRestart sees who is served that names a server which we don't know: who uses an address that is
// leased to it, if nobody else can be meant.
func TestFormerAddressAfterRestart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	got := l.lease(phone)
	l.restart()
	l.aliases = aliases{}
	all, us := l.moved(ip("192.0.2.2"))
	old := addr(optServer, ourAddr)
	l.say(renew(phone, got, old), us(got)).want(t, ack)
	l.aliases = aliases{}
	l.say(renew(phone, got, old), all).want(t, ack)
	for name, said := range map[string]answer{
		"chose another server":   l.say(selecting(phone, got, ourAddr), all),
		"holds nothing":          l.say(renew(phone2, got, old), us(got)),
		"is behind a relay":      l.say(renew(phone, got, addr(optServer, ip("203.0.113.99"))).relayed(relay), byRelay(relay)),
		"may mean another there": l.say(renew(phone, got, old), func() Ingress { all.Standing = Heard; return all }()),
	} {
		if said.kind != silence || said.v.Reason != ReasonOtherServer {
			t.Errorf("who %s gets %s (%s)", name, typeName(said.kind), said.v.Reason)
		}
	}
}

func TestAliasesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a aliases
		at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) }
		for i := range 3 * maxAliases {
			a.tell(at(i), time.Duration(i+1)*time.Minute)
		}
		if len(a.told) != maxAliases || a.known(at(0)) || !a.known(at(3*maxAliases-1)) {
			t.Errorf("%d are kept, the first: %t, the last: %t", len(a.told), a.known(at(0)), a.known(at(3*maxAliases-1)))
		}
		a.tell(at(3*maxAliases-1), time.Minute) // a shorter lease doesn't end the longer one
		<-time.After(time.Hour)
		if !a.known(at(3*maxAliases - 1)) {
			t.Error("the last one is forgotten")
		}
	})
}

// TestNoServerAddress sees that a network which lost our address in it is a problem while that is so.
func TestNoServerAddress(t *testing.T) {
	t.Parallel()
	shared := site()
	shared[0].Server, shared[0].Shared = netip.Addr{}, "link"
	auto := site()
	auto[0].Server = netip.Addr{}
	for name, tc := range map[string]struct {
		nets []network.Network
		have string
		want string
	}{
		"as declared":            {site(), "192.0.2.1", ""},
		"another address":        {site(), "192.0.2.7", "the server is 192.0.2.1, which no interface has"},
		"any address will do":    {auto, "192.0.2.7", ""},
		"another subnet":         {auto, "203.0.113.7", "no interface has an address of 192.0.2.0/24"},
		"a link with others":     {shared, "203.0.113.7", ""},
		"no interface but relay": {site()[1:], "203.0.113.7", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, tc.nets...)
			p := &port{spec: Listener{Interface: "eth0"}}
			l.stations = []*station{{port: p}}
			found := func() (texts []string) {
				l.takeCensus(t.Context())
				for _, f := range l.Problems() {
					if f.Kind == ProblemAddress {
						texts = append(texts, f.Text)
					}
				}
				return texts
			}
			p.now.Store(&portState{addrs: []netip.Addr{ip(tc.have)}})
			got := strings.Join(found(), "\n")
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			p.now.Store(&portState{addrs: []netip.Addr{ourAddr}})
			if left := found(); left != nil {
				t.Errorf("it stays: %q", left)
			}
			p.now.Store(&portState{addrs: []netip.Addr{ip(tc.have)}})
			l.judgeNames(context.Background(), l.set)
			l.networks(site()[1])
			if left := found(); left != nil {
				t.Errorf("of a network that is gone: %q", left)
			}
		})
	}
}
