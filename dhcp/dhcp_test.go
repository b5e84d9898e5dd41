package dhcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

const (
	discover = uint8(dhcpv4.MessageTypeDiscover)
	offer    = dhcpv4.MessageTypeOffer
	request3 = uint8(dhcpv4.MessageTypeRequest)
	decline4 = uint8(dhcpv4.MessageTypeDecline)
	ack      = dhcpv4.MessageTypeAck
	nak      = dhcpv4.MessageTypeNak
	release7 = uint8(dhcpv4.MessageTypeRelease)
	inform8  = uint8(dhcpv4.MessageTypeInform)
	silence  = dhcpv4.MessageTypeNone
)

var (
	phone   = hwaddr.MustParse("00:15:65:aa:bb:01")
	phone2  = hwaddr.MustParse("00:04:13:aa:bb:02")
	fixed   = hwaddr.MustParse("64:16:7f:aa:bb:03") // has a reservation
	ourAddr = netip.MustParseAddr("192.0.2.1")
	ourFar  = netip.MustParseAddr("198.51.100.1")
	relay   = netip.MustParseAddr("203.0.113.1")
	ipFixed = netip.MustParseAddr("192.0.2.200")
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// draft is a message as a client makes it, right or wrong.
type draft struct {
	op, htype, hlen, hops byte
	flags                 uint16
	ci, yi, si, gi        netip.Addr
	hw                    []byte
	sname, file           []byte
	opts                  []byte
	noEnd                 bool
}

const testXID = "\x0d\x1a\x17\x0e"

func client(hw hwaddr.Addr, kind byte, opts ...[]byte) draft {
	p := draft{op: 1, htype: 1, hlen: 6, hw: hw[:]}
	if kind != 0 {
		p.opts = opt(optType, kind)
	}
	p.opts = append(p.opts, bytes.Join(opts, nil)...)
	return p
}

func (p draft) with(f func(*draft)) draft {
	f(&p)
	return p
}

func (p draft) relayed(by netip.Addr, agent ...byte) draft {
	p.gi, p.hops = by, 1
	if len(agent) > 0 {
		p.opts = append(slices.Clip(p.opts), opt(optAgent, agent...)...)
	}
	return p
}

func (p draft) from(addr netip.Addr) draft {
	p.ci = addr
	return p
}

func (p draft) bytes() []byte {
	b := make([]byte, optionsAt, 576)
	b[0], b[1], b[2], b[3] = p.op, p.htype, p.hlen, p.hops
	copy(b[4:], testXID)
	binary.BigEndian.PutUint16(b[10:], p.flags)
	for i, a := range []netip.Addr{p.ci, p.yi, p.si, p.gi} {
		if a.IsValid() {
			copy(b[12+4*i:], a.AsSlice())
		}
	}
	copy(b[28:], p.hw)
	copy(b[snameAt:fileAt], p.sname)
	copy(b[fileAt:cookieAt], p.file)
	copy(b[cookieAt:], magic)
	b = append(b, p.opts...)
	if !p.noEnd {
		b = append(b, optEnd)
	}
	return b
}

func opt(code byte, value ...byte) []byte {
	return append([]byte{code, byte(len(value))}, value...)
}

func text(code byte, s string) []byte { return opt(code, []byte(s)...) }

func addr(code byte, a netip.Addr) []byte { return opt(code, a.AsSlice()...) }

func secs(code byte, n uint32) []byte { return opt(code, binary.BigEndian.AppendUint32(nil, n)...) }

func prl(codes ...byte) []byte { return opt(optParams, codes...) }

func option(key, value string) network.Option {
	o, err := network.ParseOption(key, value)
	if err != nil {
		panic(err)
	}
	return o
}

// site is the networks that most cases play in: a voice network on our link, and a far one behind a relay agent.
func site() []network.Network {
	return []network.Network{
		{
			ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Interface: "eth0", Server: ourAddr,
			Pools:        []network.Pool{{First: ip("192.0.2.10"), Last: ip("192.0.2.99")}},
			Reservations: []network.Reservation{{HW: fixed, Addr: ipFixed, Hostname: "lobby", Options: []network.Option{option("42", "192.0.2.9")}}},
			Options: []network.Option{
				option("router", "192.0.2.254"), option("domain-server", "192.0.2.53"), option("domain-name", "example.org"),
				option("42", "192.0.2.123"), option("160", "http://192.0.2.1/"),
			},
			Lease:         network.Lifetime{Default: time.Hour, Min: 5 * time.Minute, Max: 2 * time.Hour},
			Authoritative: true,
		},
		{
			ID: "far", Prefix: netip.MustParsePrefix("198.51.100.0/24"), Relays: []netip.Addr{relay, ip("198.51.100.254")},
			Pools:         []network.Pool{{First: ip("198.51.100.10"), Last: ip("198.51.100.99")}},
			Authoritative: true,
		},
	}
}

// inForce is networks that may be swapped while a server runs.
type inForce struct{ atomic.Pointer[network.Set] }

func (s *inForce) Networks() *network.Set { return s.Load() }

// lab is a server without sockets, over a table with a store in memory.
type lab struct {
	*Server
	t     testing.TB
	store *leasetest.Memory
	table *lease.Table
	set   *network.Set
	nets  inForce
}

func newLab(tb testing.TB, nets ...network.Network) *lab {
	tb.Helper()
	l := &lab{t: tb, store: &leasetest.Memory{}}
	l.Server = &Server{Networks: &l.nets, Log: slog.New(slog.DiscardHandler)}
	if nets == nil {
		nets = site()
	}
	l.networks(nets...)
	l.restart()
	return l
}

func (l *lab) networks(nets ...network.Network) {
	l.t.Helper()
	l.declare(network.Declared{Networks: nets})
}

func (l *lab) declare(d network.Declared) {
	l.t.Helper()
	set, err := network.New(d)
	if err != nil {
		l.t.Fatal(err)
	}
	l.set = set
	l.nets.Store(set)
}

func (l *lab) restart() {
	l.t.Helper()
	table, err := lease.Open(l.t.Context(), l.store, time.Now, l.Log)
	if err != nil {
		l.t.Fatal(err)
	}
	l.table, l.Table = table, table
}

// run tends to what needs time, until the case ends.
func (l *lab) run() {
	go func() { _ = l.table.Run(l.t.Context()) }()
}

// pass lets time go by; in the bubble of a case that takes none.
func (l *lab) pass(d time.Duration) { <-time.After(d) }

// direct is how a broadcast on our link reaches us.
func direct() Ingress {
	return Ingress{
		Iface: "eth0", Addrs: []netip.Addr{ourAddr}, Ours: []netip.Addr{ourAddr, ourFar}, MTU: 1500, Broadcast: true,
		Src: netip.MustParseAddrPort("0.0.0.0:68"),
	}
}

// unicast is how a client's message to our own address reaches us.
func unicast(src netip.Addr) Ingress {
	ing := direct()
	ing.Broadcast, ing.Local, ing.Src = false, ourAddr, netip.AddrPortFrom(src, 68)
	return ing
}

// byRelay is how a relay agent's message reaches us.
func byRelay(src netip.Addr) Ingress {
	ing := unicast(src)
	ing.Src = netip.AddrPortFrom(src, 67)
	return ing
}

// answer is a reply as it went on the wire, read back by the library, which is strict.
type answer struct {
	*dhcpv4.DHCPv4
	kind    dhcpv4.MessageType
	v       Verdict
	raw     []byte
	left    []uint8
	to      target
	decoded Reason
}

func (l *lab) say(p draft, ing Ingress) answer {
	l.t.Helper()
	return l.sayBytes(p.bytes(), ing)
}

func (l *lab) sayBytes(b []byte, ing Ingress) answer {
	l.t.Helper()
	m, _, reason := decode(b)
	if reason != ReasonNone {
		return answer{decoded: reason, v: Verdict{Reason: reason}}
	}
	reply, v := l.Respond(l.t.Context(), m, ing)
	a := answer{v: v}
	if reply == nil {
		return a
	}
	limit := Limit(m, ing.MTU)
	a.raw, a.left = Encode(reply, limit)
	if len(a.raw) > limit || len(a.raw) < minReply {
		l.t.Errorf("reply of %d bytes, want %d to %d", len(a.raw), minReply, limit)
	}
	var err error
	if a.DHCPv4, err = dhcpv4.FromBytes(a.raw); err != nil {
		l.t.Fatalf("the library can't read our reply: %v", err)
	}
	a.kind = a.MessageType()
	a.to = deliver(m, reply, ing)
	return a
}

// want checks the type of a reply; silence is [dhcpv4.MessageTypeNone].
func (a answer) want(tb testing.TB, kind dhcpv4.MessageType) answer {
	tb.Helper()
	if a.kind != kind {
		tb.Fatalf("got %s (%s), want %s", typeName(a.kind), a.v.Reason, typeName(kind))
	}
	return a
}

func (a answer) because(tb testing.TB, why Reason) {
	tb.Helper()
	if a.v.Reason != why {
		tb.Errorf("reason %q, want %q", a.v.Reason, why)
	}
}

func (a answer) yiaddr() netip.Addr { return fromIP(a.YourIPAddr) }

// has checks an option's bytes; none at all means that it must not be there.
func (a answer) has(tb testing.TB, code uint8, want ...byte) {
	tb.Helper()
	got, ok := a.Options[code]
	if ok != (want != nil) || !bytes.Equal(got, want) {
		tb.Errorf("option %d = %q (there: %t), want %q", code, got, ok, want)
	}
}

func (a answer) secs(tb testing.TB, code uint8) uint32 {
	tb.Helper()
	v := a.Options[code]
	if len(v) != 4 {
		tb.Fatalf("option %d = %v, want four bytes", code, v)
	}
	return binary.BigEndian.Uint32(v)
}

// order returns the codes as they stand on the wire.
func (a answer) order() []uint8 {
	var codes []uint8
	for b := a.raw[optionsAt:]; b[0] != optEnd; b = b[2+int(b[1]):] {
		codes = append(codes, b[0])
	}
	return codes
}

// lease runs DISCOVER and REQUEST and returns the address.
func (l *lab) lease(hw hwaddr.Addr, opts ...[]byte) netip.Addr {
	l.t.Helper()
	o := l.say(client(hw, discover, opts...), direct()).want(l.t, offer)
	all := append([][]byte{addr(optRequested, o.yiaddr()), addr(optServer, ourAddr)}, opts...)
	a := l.say(client(hw, request3, all...), direct()).want(l.t, ack)
	if a.yiaddr() != o.yiaddr() {
		l.t.Fatalf("ACK of %s after an OFFER of %s", a.yiaddr(), o.yiaddr())
	}
	return a.yiaddr()
}

// holder returns who holds an address.
func (l *lab) holder(a netip.Addr) hwaddr.Addr {
	held, _ := l.table.ByAddr(a)
	return held.Client.HW
}

// events returns how many events are stored.
func (l *lab) events() int { return len(l.outbox()) }

// outbox returns the events that are stored.
func (l *lab) outbox() (all []lease.Event) {
	l.t.Helper()
	for e, err := range l.store.Events(l.t.Context(), 0) {
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// story is what happened, such as "bound 192.0.2.10 00:15:65:aa:bb:01".
func (l *lab) story() (lines []string) {
	l.t.Helper()
	for _, e := range l.outbox() {
		lines = append(lines, fmt.Sprintf("%s %s %s", e.Kind, e.Lease.Addr, e.Lease.Client.HW))
	}
	return lines
}

// number makes hardware addresses of one vendor's.
func number(n int) hwaddr.Addr {
	return hwaddr.Addr{0, 0x15, 0x65, byte(n >> 16), byte(n >> 8), byte(n)}
}
