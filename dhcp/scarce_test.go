package dhcp

import (
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// scarceCase has a pool of ten addresses get full and empty again.
func scarceCase(t *caseT) {
	nets := tiny(10)
	l := newLab(t, nets...)
	life := func(hw hwaddr.Addr) uint32 {
		t.Helper()
		l.takeCensus(t.Context())
		return l.say(client(hw, discover), direct()).want(t, offer).secs(t, optLifetime)
	}
	first := l.lease(number(0))
	for i := range 7 {
		l.lease(number(i + 1))
	}
	if got := life(phone); got != 3600 {
		t.Errorf("a lease of %d s unless short ones were declared, want 3600", got)
	}
	nets = tiny(10)
	nets[0].ShortenAt = 80
	l.networks(nets...)
	l.table.Withdraw("voice", phone)
	if got := life(phone); got != 3600 {
		t.Errorf("a lease of %d s with eight of ten in use, want 3600", got)
	}
	l.lease(phone)
	if got := life(phone2); got != 300 {
		t.Errorf("a lease of %d s with nine of ten in use, want the shortest, 300", got)
	}
	if got := life(fixed); got != 3600 {
		t.Errorf("a lease of %d s for a reservation, want 3600", got)
	}
	if got := l.say(renew(number(0), first, secs(optLifetime, 7200)), unicast(first)).want(t, ack).secs(t, optLifetime); got != 3600 {
		t.Errorf("%d s of a lease of 3600 s that has just begun", got)
	}
	l.pass(40*time.Minute - 500*time.Millisecond)
	if got := l.say(renew(number(0), first), unicast(first)).want(t, ack).secs(t, optLifetime); got != 1201 {
		t.Errorf("renewed for %d s, want what is left, 1201", got)
	}
	l.pass(18 * time.Minute)
	if got := l.say(renew(number(0), first), unicast(first)).want(t, ack).secs(t, optLifetime); got != 300 {
		t.Errorf("renewed for %d s, want the shortest, 300", got)
	}
	l.leave(number(0), first)
	l.table.Withdraw("voice", phone2)
	if got := life(phone2); got != 3600 {
		t.Errorf("a lease of %d s when there is room again, want 3600", got)
	}
}

// TestScarceForSome sees that only the pools count that are for the client.
func TestScarceForSome(t *testing.T) {
	t.Parallel()
	nets := site()
	nets[0].ShortenAt = 50
	nets[0].Pools = []network.Pool{
		{First: ip("192.0.2.10"), Last: ip("192.0.2.11"), Only: []network.ClassID{"guests"}},
		{First: ip("192.0.2.20"), Last: ip("192.0.2.99"), Not: []network.ClassID{"guests"}},
	}
	l := newLab(t)
	l.declare(network.Declared{Networks: nets, Classes: []network.Class{{ID: "guests", Match: vendorClass("guest")}}})
	guest := text(optVendorClass, "guest")
	l.lease(number(1), guest)
	l.lease(number(2), guest)
	l.takeCensus(t.Context())
	if got := l.say(client(phone, discover), direct()).want(t, offer).secs(t, optLifetime); got != 3600 {
		t.Errorf("others get %d s, want 3600", got)
	}
	a := l.say(selecting(number(1), l.table.ByHW(number(1))[0].Addr, ourAddr, guest), direct()).want(t, ack)
	if got := a.secs(t, optLifetime); got != 3600 {
		t.Errorf("a guest's lease is cut to %d s", got)
	}
	l.leave(number(1), a.yiaddr())
	if got := l.say(client(number(3), discover, guest), direct()).want(t, offer).secs(t, optLifetime); got != 300 {
		t.Errorf("guests get %d s, want 300", got)
	}
}
