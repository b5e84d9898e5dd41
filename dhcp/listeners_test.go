package dhcp

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

func at(addr string) Listener { return Listener{Addr: netip.MustParseAddrPort(addr)} }

// One listener is asked while others come and go beside it; nothing of it is lost.
func TestRelistenUnderLoad(t *testing.T) {
	t.Parallel()
	l := goLive(t, nil)
	steady, port := l.Listen[0], l.ports()[0]
	c := l.dial(t, "127.64.0.1:0")
	asked := 0
	beside := func(list ...Listener) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- l.Relisten(t.Context(), list) }()
		for more, last := true, 5; more || last > 0; {
			asked++ // each client says little, so that none is too loud
			if o := ask(t, c, viaSelf(client(number(asked%150), discover, text(optVendorClass, strconv.Itoa(asked))))); o.MessageType() != offer {
				t.Fatalf("got %s", o)
			}
			last--
			select {
			case err := <-done:
				if more = false; err != nil {
					t.Fatal(err)
				}
			default:
			}
		}
	}
	for i := range 20 {
		beside(at("127.0.0.2:0"), steady)
		addrs := l.Addrs()
		if len(addrs) != 2 {
			t.Fatalf("got the addresses %v, want two", addrs)
		}
		if o := ask(t, l.dialTo(t, "127.64.0.1:0", addrs[0]), viaSelf(client(number(160+i), discover))); o.MessageType() != offer {
			t.Fatalf("the new listener says %s", o)
		}
		beside(steady)
	}
	if got := l.ports(); len(got) != 1 || got[0] != port {
		t.Error("the listener that stayed was opened anew")
	}
	if got := *l.ours.Load(); slices.Contains(got, netip.MustParseAddr("127.0.0.2")) {
		t.Errorf("our addresses are %v, one of which is served no more", got)
	}
}

// A server that starts with nobody to serve is told whom; a listener that goes first answers what it has begun.
func TestRelistenFromNothing(t *testing.T) {
	t.Parallel()
	stuck, free := make(chan struct{}), make(chan struct{})
	l := goLiveOn(t, nil, func(inner Table) Table {
		return gate{Table: inner, onBind: func(hwaddr.Addr) {
			close(stuck)
			<-free
		}}
	})
	if got := l.Addrs(); got != nil {
		t.Fatalf("there are listeners already: %v", got)
	}
	if err := l.Relisten(t.Context(), []Listener{at("127.0.0.1:0")}); err != nil {
		t.Fatal(err)
	}
	c := l.dial(t, "127.64.0.1:0")
	if _, err := c.Write(viaSelf(selecting(phone, ip("127.64.1.7"), ip("127.0.0.1"))).bytes()); err != nil {
		t.Fatal(err)
	}
	<-stuck
	gone := make(chan error, 1)
	go func() { gone <- l.Relisten(context.WithoutCancel(t.Context()), nil) }()
	eventually(t, "the listener is off the list", func() bool { return len(l.Addrs()) == 0 })
	select {
	case err := <-gone:
		t.Errorf("the listener was closed before it had answered: %v", err)
	default:
	}
	close(free)
	if a := hear(t, c); a.MessageType() != ack {
		t.Errorf("got %s, want an ACK", a)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
	if s := l.Snapshot(); s.InHand != 0 || s.SendErrors != 0 {
		t.Errorf("counters %+v", s)
	}
	if err := l.Relisten(t.Context(), []Listener{at("127.0.0.1:0")}); err != nil || len(l.Addrs()) != 1 {
		t.Errorf("listening again: %v, %v", err, l.Addrs())
	}
}

// What can't be opened is said, and not said any more once nobody wants it; the others are served.
func TestRelistenLacking(t *testing.T) {
	t.Parallel()
	l := goLive(t, nil)
	steady, lacking := l.Listen[0], Listener{Interface: "nosuch0"}
	err := l.Relisten(t.Context(), []Listener{lacking, steady})
	if err == nil || !strings.Contains(err.Error(), "serve DHCP on nosuch0: there is no interface nosuch0; there are: ") {
		t.Errorf("Relisten: %v", err)
	}
	lost := func() (texts []string) {
		for _, p := range l.Problems() {
			if p.Kind == ProblemLost {
				texts = append(texts, p.Text)
			}
		}
		return texts
	}
	if got := lost(); len(got) != 1 || !strings.HasPrefix(got[0], "nobody is served on nosuch0: there is no interface nosuch0") {
		t.Errorf("problems: %q", got)
	}
	if got := l.Deaf(); len(got) != 1 || got[lacking] == nil || !strings.Contains(got[lacking].Error(), "no interface nosuch0") {
		t.Errorf("deaf: got %v, want nosuch0 alone", got)
	}
	if o := ask(t, l.dial(t, "127.64.0.1:0"), viaSelf(client(phone, discover))); o.MessageType() != offer {
		t.Errorf("got %s", o)
	}
	if err := l.Relisten(t.Context(), []Listener{steady}); err != nil {
		t.Error(err)
	}
	if got := lost(); got != nil {
		t.Errorf("problems: %q", got)
	}
	if got := l.Deaf(); len(got) != 0 {
		t.Errorf("deaf: %v", got)
	}
}

// The server ends while listeners come and go.
func TestRelistenAtTheEnd(t *testing.T) {
	t.Parallel()
	l := goLive(t, nil)
	var others sync.WaitGroup
	for i := range 3 {
		others.Go(func() {
			for k := range 20 {
				var list []Listener
				if (i+k)%2 == 0 {
					list = []Listener{at("127.0.0.3:0")}
				}
				_ = l.Relisten(context.WithoutCancel(t.Context()), list)
			}
		})
	}
	if err := l.end(); err != nil {
		t.Error(err)
	}
	others.Wait()
	if err := l.Relisten(context.WithoutCancel(t.Context()), []Listener{at("127.0.0.3:0")}); err == nil {
		t.Error("a server that has ended listens again")
	}
	if got := l.Addrs(); got != nil {
		t.Errorf("after the end there are listeners: %v", got)
	}
}
