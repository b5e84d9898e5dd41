package dhcp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// asking makes a DHCPLEASEQUERY from a relay agent that is listed.
func asking(hw []byte, ci netip.Addr, opts ...[]byte) []byte {
	d := draft{op: 1, htype: 0, hlen: byte(len(hw)), hw: hw, ci: ci, gi: relay}
	if len(hw) > 0 {
		d.htype = 1
	}
	d.opts = append(opt(optType, typeQuery), bytes.Join(opts, nil)...)
	return d.bytes()
}

func queryCase(t *caseT) {
	l := newLab(t)
	l.Askers = []netip.Addr{relay}
	id := opt(optClientID, 1, 0, 0x15, 0x65, 0xaa, 0xbb, 1)
	got := l.lease(phone, id, text(optVendorClass, "yealink"))
	far := client(phone, discover, id).relayed(relay, agentCircuit, 2, 'p', '7')
	o := l.say(far, byRelay(relay)).want(t, offer)
	far = selecting(phone, o.yiaddr(), fromIP(o.Options[optServer]), id).relayed(relay, agentCircuit, 2, 'p', '7')
	l.say(far, byRelay(relay)).want(t, ack)
	l.pass(10 * time.Minute)

	ask := func(b []byte) *dhcpv4.DHCPv4 {
		t.Helper()
		reply, reason := l.inquire(b, byRelay(relay))
		if reason != ReasonNone || !isQuery(b) {
			t.Fatalf("a query is refused: %s", reason)
		}
		out, _ := Encode(reply, maxReply)
		m, err := dhcpv4.FromBytes(out)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	kind := func(m *dhcpv4.DHCPv4) byte { return m.Options[optType][0] }
	m := ask(asking(nil, got))
	if kind(m) != typeActive || fromIP(m.ClientIPAddr) != got || hwaddr.Addr(m.ClientHWAddr) != phone ||
		fromIP(m.GatewayIPAddr) != relay || !bytes.Equal(m.Options[optClientID], id[2:]) || string(m.Options[optVendorClass]) != "yealink" ||
		binary.BigEndian.Uint32(m.Options[optLifetime]) != 3000 || binary.BigEndian.Uint32(m.Options[optLastSeen]) != 600 ||
		fromIP(m.Options[optServer]) != ourAddr {
		t.Errorf("by address: %s", m.Summary())
	}
	for name, b := range map[string][]byte{"hardware address": asking(phone[:], netip.Addr{}), "client id": asking(nil, netip.Addr{}, id)} {
		m := ask(b)
		all := addrs(m.Options[optAssociated])
		if kind(m) != typeActive || hwaddr.Addr(m.ClientHWAddr) != phone || len(all) != 2 || !slices.Contains(all, got) ||
			!slices.Contains(all, o.yiaddr()) || fromIP(m.ClientIPAddr) != all[0] {
			t.Errorf("by %s: %s", name, m.Summary())
		}
	}
	if m := ask(asking(nil, o.yiaddr())); string(m.Options[optAgent]) != "\x01\x02p7" {
		t.Errorf("option 82 %q", m.Options[optAgent])
	}
	for want, list := range map[byte][][]byte{
		typeUnassigned: {asking(nil, ip("192.0.2.55")), asking(nil, ipFixed)},
		typeUnknown: {
			asking(nil, ip("203.0.113.200")), asking(nil, ourAddr), asking(phone2[:], netip.Addr{}),
			asking(nil, netip.Addr{}, opt(optClientID, 9, 9, 9)),
		},
	} {
		for i, b := range list {
			if m := ask(b); kind(m) != want {
				t.Errorf("query %d: type %d, want %d", i, kind(m), want)
			}
		}
	}
}
