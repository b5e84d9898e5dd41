package dhcp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// sandbox is a network on loopback whose clients relay for themselves.
func sandbox() network.Network {
	return network.Network{
		ID: "sandbox", Prefix: netip.MustParsePrefix("127.64.0.0/16"), Relays: []netip.Addr{ip("127.64.0.1")},
		Pools:         []network.Pool{{First: ip("127.64.1.1"), Last: ip("127.64.1.200")}},
		Authoritative: true,
	}
}

// live is a server with sockets, on loopback.
type live struct {
	*lab
	log *syncBuffer
	end func() error // ends Run and returns what it returned
}

// syncBuffer is a buffer that a log may be written to while it is read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func goLive(t *testing.T, wrap func(Table) Table) *live {
	t.Helper()
	return goLiveOn(t, []Listener{{Addr: netip.MustParseAddrPort("127.0.0.1:0")}}, wrap)
}

func goLiveOn(t *testing.T, listen []Listener, wrap func(Table) Table) *live {
	t.Helper()
	l := &live{lab: newLab(t, sandbox()), log: &syncBuffer{}}
	l.Log = slog.New(slog.NewTextHandler(l.log, nil))
	if wrap != nil {
		l.Table = wrap(l.Table)
	}
	l.Listen = listen
	if err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	l.end = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = l.end() })
	return l
}

// dial opens a relay agent's socket.
func (l *live) dial(t *testing.T, from string) *net.UDPConn {
	t.Helper()
	return l.dialTo(t, from, l.Addrs()[0])
}

func (l *live) dialTo(t *testing.T, from string, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a message and waits for the reply.
func ask(t *testing.T, c *net.UDPConn, p draft) *dhcpv4.DHCPv4 {
	t.Helper()
	if _, err := c.Write(p.bytes()); err != nil {
		t.Fatal(err)
	}
	return hear(t, c)
}

func hear(t *testing.T, c *net.UDPConn) *dhcpv4.DHCPv4 {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	m, err := dhcpv4.FromBytes(b[:n])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// viaSelf is a message of a client that relays for itself.
func viaSelf(p draft) draft { return p.relayed(ip("127.64.0.1"), agentRelayPort, 0) }

func TestRunServesRelays(t *testing.T) {
	t.Parallel()
	l := goLive(t, nil)
	c := l.dial(t, "127.64.0.1:0")
	o := ask(t, c, viaSelf(client(phone, discover, text(optVendorClass, "Cisco\nSystems"))))
	if o.MessageType() != offer || fromIP(o.Options[optServer]) != ip("127.0.0.1") {
		t.Fatalf("got %s", o)
	}
	got := fromIP(o.YourIPAddr)
	a := ask(t, c, viaSelf(selecting(phone, got, ip("127.0.0.1"))))
	if a.MessageType() != ack || l.holder(got) != phone {
		t.Fatalf("got %s, holder %s", a, l.holder(got))
	}
	// Garbage, a reply and a forged relay agent get nothing; the next message gets its answer.
	forged := client(phone2, discover).relayed(ip("127.64.0.9"), agentRelayPort, 0)
	for _, b := range [][]byte{[]byte("hello"), make([]byte, 300), o.ToBytes(), forged.bytes()} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if n := ask(t, c, viaSelf(reboot(phone, ip("203.0.113.1")))); n.MessageType() != nak {
		t.Fatalf("got %s, want a NAK", n)
	}
	at := l.Addrs()[0].String()
	if err := l.end(); err != nil {
		t.Errorf("Run: %v", err)
	}
	s := l.Snapshot()
	if s.Sent["offer"] != 1 || s.Sent["ack"] != 1 || s.Sent["nak"] != 1 || s.Received["request"] != 2 || s.InHand != 0 ||
		s.Dropped["short"] != 1 || s.Dropped["no_cookie"] != 1 || s.Dropped["not_a_request"] != 1 || s.Dropped["relay_unlisted"] != 1 {
		t.Errorf("counters %+v", s)
	}
	if diff := cmp.Diff(map[string]Traffic{at: {Received: s.Received, Sent: s.Sent}}, s.Listeners); diff != "" {
		t.Errorf("by listener: want (-), got (+):\n%s", diff)
	}
	for of, want := range map[string]uint64{"discover": 2, "request": 2, "inform": 0} {
		n := uint64(0)
		for _, b := range s.Handled[of].Buckets {
			n += b.N
		}
		if n != want || (s.Handled[of].Sum > 0) != (want > 0) {
			t.Errorf("%s: %d were handled in %s, want %d", of, n, s.Handled[of].Sum, want)
		}
	}
	log := l.log.String()
	for _, want := range []string{`msg="dhcp offer" mac=00:15:65:aa:bb:01 ip=` + got.String(), `msg="dhcp ack"`, `msg="dhcp nak"`, `vendor=Cisco\nSystems`} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
}

// takenCase: a second server must not steal half of the messages.
func takenCase(t *testing.T) {
	t.Helper()
	first := goLive(t, nil)
	second := newLab(t, sandbox())
	second.Listen = []Listener{{Addr: first.Addrs()[0]}, {Interface: "nosuch0"}, {}, {Addr: netip.MustParseAddrPort("0.0.0.0:0")}}
	err := second.Open(t.Context())
	if err == nil {
		t.Fatal("two servers share a port")
	}
	for _, want := range []string{"is taken by another server", "there is no interface nosuch0; there are: ", "either an interface or an address", "name one IPv4 address"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if n := len(second.Addrs()); n != 0 {
		t.Errorf("%d listeners stay open", n)
	}
}

// gate is a table whose Bind and Offer do what a test wants.
type gate struct {
	Table
	onBind  func(hwaddr.Addr)
	onOffer func(hwaddr.Addr)
}

func (g gate) Bind(ctx context.Context, s lease.Scope, c lease.Client, a netip.Addr) (lease.Lease, error) {
	if g.onBind != nil {
		g.onBind(c.HW)
	}
	return g.Table.Bind(ctx, s, c, a)
}

func (g gate) Offer(ctx context.Context, s lease.Scope, c lease.Client, a netip.Addr) (lease.Lease, error) {
	if g.onOffer != nil {
		g.onOffer(c.HW)
	}
	return g.Table.Offer(ctx, s, c, a)
}

// A commit that takes long delays its client and nobody else; what that client says meanwhile waits, the newest of it.
func TestSlowClientDelaysNobody(t *testing.T) {
	t.Parallel()
	stuck, free := make(chan struct{}), make(chan struct{})
	l := goLive(t, func(inner Table) Table {
		return gate{Table: inner, onBind: func(hw hwaddr.Addr) {
			if hw == phone {
				close(stuck)
				<-free
			}
		}}
	})
	slow, quick := l.dial(t, "127.64.0.1:0"), l.dial(t, "127.64.0.1:0")
	if _, err := slow.Write(viaSelf(selecting(phone, ip("127.64.1.7"), ip("127.0.0.1"))).bytes()); err != nil {
		t.Fatal(err)
	}
	<-stuck
	for i := range byte(3) {
		// The last one asks for the most options.
		if _, err := slow.Write(viaSelf(client(phone, discover, opt(optClientID, 1, i))).bytes()); err != nil {
			t.Fatal(err)
		}
	}
	// The reader takes messages in order: when this is answered, those have been read.
	if o := ask(t, quick, viaSelf(client(phone2, discover))); o.MessageType() != offer {
		t.Fatalf("got %s", o)
	}
	eventually(t, "one message is stuck and one waits", func() bool { return l.Snapshot().InHand == 2 })
	close(free)
	if a := hear(t, slow); a.MessageType() != ack {
		t.Errorf("got %s, want the ACK first", a)
	}
	if o := hear(t, slow); o.MessageType() != offer || !bytes.Equal(o.Options[optClientID], []byte{1, 2}) {
		t.Errorf("got %s for client id %v, want an OFFER for the newest message", o, o.Options[optClientID])
	}
	if n := l.Snapshot().Dropped["superseded"]; n != 2 {
		t.Errorf("%d superseded, want 2", n)
	}
}

// panicCase: a fault of ours costs one message.
func panicCase(t *testing.T) {
	t.Helper()
	l := goLive(t, func(inner Table) Table {
		return gate{Table: inner, onOffer: func(hw hwaddr.Addr) {
			if hw == phone {
				panic("no such luck")
			}
		}}
	})
	c := l.dial(t, "127.64.0.1:0")
	for range 3 {
		if _, err := c.Write(viaSelf(client(phone, discover)).bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if o := ask(t, c, viaSelf(client(phone2, discover))); o.MessageType() != offer {
		t.Fatalf("got %s", o)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	s := l.Snapshot()
	if n := s.Dropped["panic"] + s.Dropped["superseded"]; n != 3 || s.InHand != 0 {
		t.Errorf("%d messages lost and %d in hand, want 3 and none", n, s.InHand)
	}
	if !strings.Contains(l.log.String(), "server_test.go") {
		t.Error("the log has no stack")
	}
}

// D-LIM-06: what is in hand is bounded.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	s := &Server{}
	said := func(i int) *job {
		m, _, _ := decode(client(hwaddr.Addr{0, 0x15, 0x65, 1, byte(i >> 8), byte(i)}, discover).bytes())
		return &job{msg: m, port: &port{}, known: i >= maxStrangersInHand}
	}
	for i := range maxStrangersInHand {
		s.queue(said(i))
	}
	stranger := said(maxStrangersInHand)
	stranger.known = false
	if start, drop := s.queue(stranger); start != nil || drop != ReasonBusy {
		t.Errorf("a stranger takes the room of those that we know: %v, %s", start, drop)
	}
	for i := maxStrangersInHand; i < maxInHand; i++ {
		if start, drop := s.queue(said(i)); start == nil || drop != ReasonNone {
			t.Fatalf("message %d: %v, %s", i, start, drop)
		}
	}
	for _, i := range []int{maxInHand, 0} {
		if start, drop := s.queue(said(i)); start != nil || drop != ReasonBusy {
			t.Errorf("one too many: %v, %s", start, drop)
		}
	}
	if next := s.next(hwaddr.Addr(said(0).msg.ClientHWAddr)); next != nil {
		t.Errorf("what was dropped comes back: %v", next)
	}
	if start, drop := s.queue(said(maxInHand)); start == nil {
		t.Errorf("room is not used: %s", drop)
	}
}

// A RELEASE is not said twice, so a later message must not take its place.
func TestReleaseIsNotSuperseded(t *testing.T) {
	t.Parallel()
	s := &Server{}
	said := func(kind byte) *job {
		m, _, _ := decode(client(phone, kind).bytes())
		return &job{msg: m, port: &port{}}
	}
	s.queue(said(request3))
	leaving := said(release7)
	s.queue(leaving)
	if _, drop := s.queue(said(discover)); drop != ReasonSuperseded {
		t.Errorf("dropped for %s", drop)
	}
	if got := s.next(phone); got != leaving {
		t.Errorf("next is %v, want the RELEASE", messageType(got.msg))
	}
}

func TestRunFailsLoudly(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Listen = []Listener{{Interface: "nosuch0"}}
	if err := l.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}

func TestPlainListenerCantBroadcast(t *testing.T) {
	t.Parallel()
	l := goLive(t, nil)
	p := l.ports()[0]
	if _, err := p.send(target{To: netip.AddrPortFrom(limitedBroadcast(), clientPort)}, []byte("x")); !errors.Is(err, errNoBroadcast) {
		t.Errorf("broadcast: %v, want %v", err, errNoBroadcast)
	}
}

// Whoever reads the log is slow; the client has its answer by then.
func TestAnswerBeforeLog(t *testing.T) {
	t.Parallel()
	l := goLive(t, nil)
	c := l.dial(t, "127.64.0.1:0")
	l.log.mu.Lock() // nothing can be written
	free := sync.OnceFunc(l.log.mu.Unlock)
	defer free()
	o := ask(t, c, viaSelf(client(phone, discover)))
	free()
	if o.MessageType() != offer {
		t.Errorf("got %s, want an offer", o)
	}
	eventually(t, "the line is written", func() bool { return strings.Contains(l.log.String(), `msg="dhcp offer"`) })
}
