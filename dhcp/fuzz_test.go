package dhcp

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
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
		for how := range byte(6) {
			f.Add(b, how)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, how byte) {
		nets := site()
		nets[0].Authoritative, nets[0].Probe = how&8 == 0, how&16 != 0
		l := newLab(t, nets...)
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
		for range 2 {
			a := l.sayBytes(b, ing) // checks the size, and that the library reads the reply
			if a.DHCPv4 == nil {
				continue
			}
			checkReply(t, b, a, ing)
		}
	})
}

// checkReply checks what is true of every reply.
func checkReply(t *testing.T, b []byte, a answer, ing Ingress) {
	t.Helper()
	switch a.kind {
	case offer, ack, nak:
	default:
		t.Fatalf("a reply of type %s", a.kind)
	}
	if b[0] != 1 || a.OpCode != dhcpv4.OpcodeBootReply || !bytes.Equal(a.TransactionID[:], b[4:8]) || !bytes.Equal(a.ClientHWAddr, b[28:34]) {
		t.Fatalf("reply %s to % x", a.DHCPv4, b[:34])
	}
	if a.raw[optionsAt] != optType {
		t.Fatalf("options start with %d", a.raw[optionsAt])
	}
	yi, life := a.yiaddr(), a.Options[optLifetime]
	switch {
	case a.kind == nak && (yi.IsValid() || life != nil || !a.to.broadcast() && !fromIP(b[24:28]).IsValid()):
		t.Fatalf("NAK of %s, sent to %s", yi, a.to.To)
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
