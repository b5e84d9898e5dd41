package dhcp

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// liveCases need sockets or the real clock.
func liveCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"D-PKT-35": panicCase,
		"D-NET-17": takenCase,
		"D-TX-15":  echoCase,
		"D-AUT-05": closedCase,
		"D-ADR-16": func(t *testing.T) {
			t.Helper()
			nets := site()
			nets[0].Prefix, nets[0].Server = netip.MustParsePrefix("10.77.0.0/16"), ip("10.77.0.1")
			nets[0].Pools = []network.Pool{{First: ip("10.77.1.0"), Last: ip("10.77.255.254")}}
			nets[0].Reservations, nets[0].Options = nil, nil
			l := newLab(t, nets...)
			const size = 255*256 - 1
			var changes []lease.Change
			for i := range size * 95 / 100 {
				n := i + 256
				a := netip.AddrFrom4([4]byte{10, 77, byte(n >> 8), byte(n)})
				changes = append(changes, lease.Change{Next: lease.Lease{
					Addr: a, Network: "voice", Client: lease.Client{HW: number(i)}, State: lease.Bound, Origin: lease.Pool,
					Start: time.Now(), Expiry: time.Now().Add(time.Hour),
				}})
			}
			if _, err := l.store.CommitLeases(t.Context(), changes...); err != nil {
				t.Fatal(err)
			}
			l.restart()
			l.say(client(phone, discover), direct()).want(t, offer) // makes the pool's index
			took := make([]time.Duration, 1000)
			for i := range took {
				start := time.Now()
				l.say(client(number(rand.IntN(1<<24)), discover), direct()).want(t, offer)
				took[i] = time.Since(start)
			}
			slices.Sort(took)
			// A search through all leases takes over a millisecond even when nothing else runs.
			if median := took[len(took)/2]; median > time.Millisecond {
				t.Errorf("half of the offers took over %s", median)
			}
		},
	}
}

// echoCase sends one message to two listeners of one server.
func echoCase(t *testing.T) {
	t.Helper()
	l := &live{lab: newLab(t, sandbox())}
	l.Listen = []Listener{{Addr: netip.MustParseAddrPort("127.0.0.1:0")}, {Addr: netip.MustParseAddrPort("127.0.0.2:0")}}
	ctx, cancel := context.WithCancel(t.Context())
	if err := l.Open(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.64.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := viaSelf(client(phone, discover)).bytes()
	for _, to := range l.Addrs() {
		if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
			t.Fatal(err)
		}
	}
	if o := hear(t, c); o.MessageType() != offer {
		t.Fatalf("got %s", o)
	}
	eventually(t, "one is taken for an echo", func() bool { return l.Snapshot().Dropped["echo"] == 1 })
	if s := l.Snapshot(); s.Sent["offer"] != 1 || s.Received["discover"] != 2 {
		t.Errorf("%d answers to %d messages", s.Sent["offer"], s.Received["discover"])
	}
	// What the client says again by the same listener is answered again, and so is what it says later.
	for range 2 {
		first := slices.IndexFunc(l.Addrs(), func(a netip.AddrPort) bool { return a.Addr() == ip("127.0.0.1") })
		if _, err := c.WriteToUDPAddrPort(viaSelf(client(phone2, discover)).bytes(), l.Addrs()[first]); err != nil {
			t.Fatal(err)
		}
		if o := hear(t, c); o.MessageType() != offer {
			t.Fatalf("got %s", o)
		}
	}
}

// closedCase: the port is ours while the server runs, and at no other time.
func closedCase(t *testing.T) {
	t.Helper()
	l := goLive(t, nil)
	at := net.UDPAddrFromAddrPort(l.Addrs()[0])
	if c, err := net.ListenUDP("udp4", at); err == nil {
		c.Close()
		t.Error("the port is free while the server runs")
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp4", at)
	if err != nil {
		t.Fatalf("the port is held by a server that has ended: %v", err)
	}
	c.Close()
	if n := len(l.Addrs()); n != 0 {
		t.Errorf("%d listeners", n)
	}
}
