package dhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

// TestRenewalKeepsItsPlace sees that a client behind a relay agent is of the same classes when it renews, which goes past
// the agent, and that the renewal is no move.
func TestRenewalKeepsItsPlace(t *testing.T) {
	t.Parallel()
	other := ip("198.51.100.254") // a relay agent of the same network
	for name, match := range map[string]network.Match{
		"relay":   {Relay: []netip.Prefix{netip.PrefixFrom(relay, 32)}},
		"circuit": {Circuit: []string{"port 7"}},
		"remote":  {Remote: []string{"switch 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			nets := site()
			nets[1].Pools[0].Only = []network.ClassID{"place"}
			short := network.Class{ID: "place", Match: []network.Match{match}, Lease: network.Lifetime{Default: 17 * time.Minute}}
			l.declare(network.Declared{Networks: nets, Classes: []network.Class{short}})
			agent := append(append([]byte{1, 6}, "port 7"...), append([]byte{2, 8}, "switch 1"...)...)
			o := l.say(client(phone, discover).relayed(relay, agent...), byRelay(relay)).want(t, offer)
			got := o.yiaddr()
			l.say(selecting(phone, got, ourAddr).relayed(relay, agent...), byRelay(relay)).want(t, ack)
			events := l.events()
			for _, p := range []draft{
				renew(phone, got),
				selecting(phone, got, ourAddr).from(got), // some renew so
			} {
				if life := l.say(p, unicast(got)).want(t, ack).secs(t, optLifetime); life != 17*60 {
					t.Errorf("renewed for %d s, want the class's 1020", life)
				}
			}
			for _, e := range l.outbox()[events:] {
				if e.Kind.String() != "renewed" {
					t.Errorf("a renewal is told as %s", e.Kind)
				}
			}
			if held, _ := l.table.ByAddr(got); held.Client.Relay != relay || held.Client.Circuit != "port 7" || held.Client.Remote != "switch 1" {
				t.Errorf("the lease says %q of %q at relay agent %s", held.Client.Circuit, held.Client.Remote, held.Client.Relay)
			}
			// Another agent's message says where the client is now.
			l.say(client(phone, discover).relayed(other), byRelay(other)).want(t, silence)
		})
	}
}

// TestRenewalOfAStranger sees that a message that was sent straight to us gives nobody a place that was never seen.
func TestRenewalOfAStranger(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	o := l.say(client(phone, discover).relayed(relay, 1, 1, 'c'), byRelay(relay))
	l.say(selecting(phone, o.yiaddr(), ourAddr).relayed(relay, 1, 1, 'c'), byRelay(relay)).want(t, ack)
	l.say(renew(phone2, o.yiaddr()), unicast(o.yiaddr())).want(t, nak)
	free := ip("198.51.100.77")
	l.say(renew(phone2, free), unicast(free)).want(t, ack)
	if held, _ := l.table.ByAddr(free); held.Client.Relay.IsValid() || held.Client.Circuit != "" {
		t.Errorf("the lease says %q at relay agent %s", held.Client.Circuit, held.Client.Relay)
	}
}

// TestRenewalByAnotherInterface sees that a client is of the class of its link's interface whichever its message is
// routed to.
func TestRenewalByAnotherInterface(t *testing.T) {
	t.Parallel()
	l := classed(t, network.Class{ID: "link", Match: []network.Match{{Interface: []string{"eth0"}}}, Lease: network.Lifetime{Default: 17 * time.Minute}})
	got := l.lease(phone)
	ing := unicast(got)
	ing.Iface, ing.Addrs, ing.Local = "eth1", []netip.Addr{ourFar}, ourFar
	if life := l.say(renew(phone, got), ing).want(t, ack).secs(t, optLifetime); life != 17*60 {
		t.Errorf("renewed for %d s, want the class's 1020", life)
	}
}
