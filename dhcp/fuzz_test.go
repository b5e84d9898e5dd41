package dhcp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// seeds are messages as clients and fools make them.
func seeds() [][]byte {
	class := text(optVendorClass, "Cisco Systems, Inc. IP Phone CP-7941G\x00")
	a := ip("192.0.2.50")
	drafts := []draft{
		client(phone, discover, class, prl(1, 66, 6, 3, 15, 150, 35)),
		client(phone, discover, opt(optMaxSize, 2, 64), opt(optClientID, 1, 0, 0x15, 0x65), text(optUserClass, "\x04abcd"), opt(81, 0, 0, 0)),
		selecting(phone, a, ourAddr, class), reboot(phone, a), renew(phone, a, secs(optLifetime, 60)),
		client(phone, release7).from(a), client(phone, decline4, addr(optRequested, a)), client(phone, inform8).from(a),
		client(phone, discover).relayed(relay, 1, 1, 'c', 2, 1, 'r', agentLink, 4, 192, 0, 2, 0, agentServerID, 4, 198, 51, 100, 9, agentRelayPort, 0),
		client(phone, discover).relayed(relay, 1, 200),
		client(phone, discover, opt(optOverload, 3)).with(func(p *draft) { p.file, p.sname = addr(optRequested, a), opt(optOverload, 3) }),
		client(phone, discover).with(func(p *draft) { p.opts, p.noEnd = append(p.opts, optHostname), true }),
		client(phone, discover, bytes.Repeat(text(optVendorInfo, "0123456789abcdef"), 30)),
		client(phone, discover, opt(optClientID, make([]byte, 255)...)).relayed(relay, make([]byte, 255)...),
	}
	drafts = append(drafts, client(phone, discover, opt(optAutoConfigure, 1)).relayed(relay))
	out := [][]byte{{}, make([]byte, 240)}
	for _, p := range drafts {
		out = append(out, p.bytes())
	}
	return out
}

func FuzzDecode(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		was := bytes.Clone(b)
		m, err := Decode(b)
		if !bytes.Equal(b, was) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if m != nil {
				t.Fatal("a message and an error")
			}
			return
		}
		size := 0
		for _, v := range m.Options {
			size += len(v)
		}
		if size > maxRequest || m.OpCode != dhcpv4.OpcodeBootRequest || len(m.ClientHWAddr) != 6 {
			t.Fatalf("%d bytes of options, op %d, chaddr %s", size, m.OpCode, m.ClientHWAddr)
		}
		// The library, which is strict, reads the same once it is written as it should be.
		if strict, err := dhcpv4.FromBytes(m.ToBytes()); err != nil || len(strict.Options) != len(m.Options) {
			t.Fatalf("the library reads our reading as %v, %v", strict, err)
		}
	})
}

func FuzzRespond(f *testing.F) {
	for _, b := range seeds() {
		for _, how := range []byte{0, 1, 2, 3, 12, 21, 34, 98, 128} {
			f.Add(b, how)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, how byte) {
		l := newLab(t)
		l.declare(declaredForFuzz(how))
		l.Boot = vendors(cisco)
		ing := direct()
		switch how % 4 {
		case 1:
			ing = unicast(ip("192.0.2.50"))
		case 2:
			ing = byRelay(relay)
		case 3:
			ing = Ingress{Local: ip("127.0.0.1"), Ours: []netip.Addr{ip("127.0.0.1")}, Src: netip.MustParseAddrPort("127.64.0.1:6868")}
		}
		ing.Seen = func(a netip.Addr, _ hwaddr.Addr) Sighting { return Sighting(a.As4()[3] % 3) }
		l.say(client(phone2, discover), direct())
		l.say(client(phone2, discover).relayed(relay), byRelay(relay))
		for range 2 {
			before := l.table.Now()
			a := l.sayBytes(b, ing) // checks the size, and that the library reads the reply
			if a.DHCPv4 == nil {
				continue
			}
			checkReply(t, b, a, ing)
			checkPromise(t, l, a, before)
		}
	})
}

// declaredForFuzz has networks that share a link, and classes by all that a client can say.
func declaredForFuzz(how byte) network.Declared {
	nets := site()
	nets[0].Authoritative, nets[0].Probe = how&8 == 0, how&16 != 0
	nets[1].NoAutoconfigure, nets[1].ShortenAt = how&8 == 0, int(how)&64
	nets[1].Pools[0].Last = nets[1].Pools[0].First
	nets[0].Pools[0].Last = nets[0].Pools[0].First // so that the next is wanted soon
	nets[0].Reservations = append(nets[0].Reservations, network.Reservation{ClientID: "\x01\x02", Circuit: "c", Addr: ip("192.0.2.201")})
	more := network.Network{
		ID: "more", Prefix: netip.MustParsePrefix("203.0.113.128/25"), Interface: "eth0", Server: ip("203.0.113.129"),
		Pools: []network.Pool{{First: ip("203.0.113.140"), Last: ip("203.0.113.141"), Not: []network.ClassID{"odd"}}},
	}
	nets[0].Shared, more.Shared = "link", "link"
	long := network.Option{Code: 43, Data: bytes.Repeat([]byte("0123456789"), 60), Force: how&32 != 0}
	return network.Declared{
		Networks: append(nets, more),
		Classes: []network.Class{
			{ID: "odd", Match: []network.Match{{VendorClass: []string{"*abcd*"}, UserClass: []string{"*"}}, {Asks: []uint8{35}}}, NUL: true, Broadcast: how&64 != 0},
			{ID: "long", Match: []network.Match{{Options: []network.OptionMatch{{Code: 57, Pattern: "*"}}}, {ClientID: []string{"hex:01*"}}}, Options: []network.Option{long}},
			{ID: "maker", Match: []network.Match{{Enterprise: []network.EnterpriseMatch{{Number: 0x30313233}}}}, Options: []network.Option{
				{Code: 125, Data: []byte("0123\x02\x01\x00\x00\x00\x00\x09\x01x"), Force: true},
			}},
			{ID: "none", Match: []network.Match{{Hostname: []string{"?"}}}, Refuse: how&128 != 0},
		},
	}
}

// checkStrictly reads a reply as the strictest client does: every option is whole, stands once or in pieces that follow
// each other (RFC 3396), has a length that its kind allows, and behind the end there is nothing.
func checkStrictly(t *testing.T, raw []byte) {
	t.Helper()
	sizes := map[uint8]int{optMask: 4, optLifetime: 4, optType: 1, optServer: 4, optT1: 4, optT2: 4, optBroadcast: 4}
	length := make(map[uint8]int)
	var last uint8
	b := raw[optionsAt:]
	for ; len(b) > 0 && b[0] != optEnd; b = b[2+int(b[1]):] {
		if b[0] == optPad || len(b) < 2 || len(b) < 2+int(b[1]) {
			t.Fatalf("option %d is cut short, or padding stands among options", b[0])
		}
		if _, again := length[b[0]]; again && b[0] != last {
			t.Fatalf("option %d stands in two places", b[0])
		}
		last = b[0]
		length[last] += int(b[1])
	}
	if len(b) == 0 || len(bytes.Trim(b[1:], "\x00")) > 0 {
		t.Fatalf("behind the options: % x", b)
	}
	for code, n := range length {
		if want, fixed := sizes[code]; fixed && n != want || n == 0 && code != optAgent {
			t.Fatalf("option %d has %d bytes", code, n)
		}
		if (code == optRouter || code == optDNS) && n%4 != 0 {
			t.Fatalf("option %d has %d bytes", code, n)
		}
	}
}

// checkReply checks what is true of every reply.
func checkReply(t *testing.T, b []byte, a answer, ing Ingress) {
	t.Helper()
	checkStrictly(t, a.raw)
	switch a.kind {
	case offer, ack, nak:
	default:
		t.Fatalf("a reply of type %s", a.kind)
	}
	if b[0] != 1 || a.OpCode != dhcpv4.OpcodeBootReply || !bytes.Equal(a.TransactionID[:], b[4:8]) || !bytes.Equal(a.ClientHWAddr, b[28:34]) ||
		fromIP(a.GatewayIPAddr) != fromIP(b[24:28]) {
		t.Fatalf("reply %s to % x", a.DHCPv4, b[:34])
	}
	if a.raw[optionsAt] != optType {
		t.Fatalf("options start with %d", a.raw[optionsAt])
	}
	yi, life := a.yiaddr(), a.Options[optLifetime]
	switch {
	case a.kind == nak && (yi.IsValid() || life != nil || !a.to.broadcast() && !fromIP(b[24:28]).IsValid()):
		t.Fatalf("NAK of %s, sent to %s", yi, a.to.To)
	case a.kind == offer && !yi.IsValid() && len(a.Options[optAutoConfigure]) == 1 && life == nil && a.v.Reason == ReasonExhausted:
	case a.kind == offer && (!yi.IsValid() || len(life) != 4):
		t.Fatalf("OFFER of %s for %v", yi, life)
	case yi.IsValid() && yi == ourAddr:
		t.Fatal("our own address is given away")
	}
	// Never to an address that a stranger chose.
	switch to := a.to.To.Addr(); {
	case to == yi, a.to.broadcast(), to == fromIP(b[24:28]), to == ing.Src.Addr() && a.v.Type == dhcpv4.MessageTypeInform:
	default:
		t.Fatalf("sent to %s", to)
	}
}

// checkPromise checks that what an ACK promises was stored before, and that its times are in order.
func checkPromise(t *testing.T, l *lab, a answer, before time.Time) {
	t.Helper()
	seconds := func(code uint8) time.Duration {
		return time.Duration(binary.BigEndian.Uint32(a.Options[code])) * time.Second
	}
	if a.kind == nak || a.Options[optLifetime] == nil {
		return
	}
	life := seconds(optLifetime)
	if a.Options[optT1] != nil && (seconds(optT1) >= seconds(optT2) || seconds(optT2) >= life) {
		t.Fatalf("T1 %s, T2 %s, lifetime %s", seconds(optT1), seconds(optT2), life)
	}
	if a.kind != ack {
		return
	}
	stored, ok := l.table.ByAddr(a.yiaddr())
	if !ok || stored.Client.HW != hwaddr.Addr(a.ClientHWAddr) || stored.Expiry.Before(before.Add(life)) {
		t.Fatalf("ACK of %s for %s from %s, but the table has %v", a.yiaddr(), life, before, stored)
	}
}
