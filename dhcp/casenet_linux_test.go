package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// wireCases need a link, each in a network namespace of its own.
func wireCases() map[string]func(*testing.T) {
	onWire := func(body func(*wire, *testing.T)) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			w := onCable(t)
			defer w.stop(t)
			body(w, t)
		}
	}
	return map[string]func(*testing.T){
		"D-PKT-36": onWire((*wire).fragments),
		"D-PKT-38": onWire((*wire).checksums),
		"D-TX-03":  onWire((*wire).fallback),
		"D-ADM-10": onWire((*wire).interfaceComesBack),
		"D-TX-10":  twoCables,
		"D-TX-13":  bridged,
		"D-PHN-14": twoBridges,
		"D-ADM-11": addressComesLate,
	}
}

// shouted is the frame of a broadcast.
func shouted(p draft) []byte {
	return frame(hwaddr.Addr(p.hw), somebody(), netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("255.255.255.255:67"), p.bytes())
}

// fragments sends a message in two IP fragments, the last one first.
func (w *wire) fragments(t *testing.T) {
	t.Helper()
	whole := shouted(client(phone, discover, text(optVendorClass, "in pieces")))
	const cut = etherHeader + ipHeader + 160
	piece := func(from, to int, more uint16) []byte {
		b := append([]byte{}, whole[:etherHeader+ipHeader]...)
		b = append(b, whole[from:to]...)
		head := b[etherHeader : etherHeader+ipHeader]
		binary.BigEndian.PutUint16(head[2:], uint16(len(b)-etherHeader))
		binary.BigEndian.PutUint16(head[4:], 77)
		binary.BigEndian.PutUint16(head[6:], more|uint16((from-etherHeader-ipHeader)/8))
		binary.BigEndian.PutUint16(head[10:], 0)
		binary.BigEndian.PutUint16(head[10:], ^fold(sum(0, head)))
		return b
	}
	w.send(t, piece(cut, len(whole), 0))
	w.send(t, piece(etherHeader+ipHeader, cut, 0x2000))
	if _, m := w.reply(t); m.MessageType() != offer || hwaddr.Addr(m.ClientHWAddr) != phone {
		t.Errorf("got %s", m)
	}
	if got := w.Snapshot().Received["discover"]; got != 1 {
		t.Errorf("%d messages heard, want one", got)
	}
}

// checksums sends a message with a wrong UDP checksum, then one without any.
func (w *wire) checksums(t *testing.T) {
	t.Helper()
	const at = etherHeader + ipHeader + 6
	wrong, none := shouted(client(phone2, discover)), shouted(client(phone, discover))
	wrong[at] ^= 0x55
	none[at], none[at+1] = 0, 0
	w.send(t, wrong)
	w.send(t, none)
	if _, m := w.reply(t); m.MessageType() != offer || hwaddr.Addr(m.ClientHWAddr) != phone {
		t.Errorf("got %s", m)
	}
	if got := w.Snapshot().Received["discover"]; got != 1 {
		t.Errorf("%d messages heard, want the one without a checksum only", got)
	}
}

// twoCables has two interfaces in one subnet: a reply leaves by the one that the message came in on, from its address.
func twoCables(t *testing.T) {
	t.Helper()
	run(t, "ip link set lo up")
	cable(t, "srv0", "cl0")
	cable(t, "srv1", "cl1")
	run(t, "ip addr add 192.0.2.1/24 dev srv0")
	run(t, "ip addr add 192.0.2.3/24 dev srv1")
	w := newWire(t, "srv0", "srv1")
	defer w.stop(t)
	nets := site()[:1]
	nets[0].Interface, nets[0].Server, nets[0].Rivals = "", netip.Addr{}, network.RivalsAllow
	w.networks(nets...)
	for i, c := range []struct{ server, client, addr string }{{"srv0", "cl0", "192.0.2.1"}, {"srv1", "cl1", "192.0.2.3"}, {"srv0", "cl0", "192.0.2.1"}} {
		w.attach(t, c.server, c.client)
		for _, flags := range []uint16{0, flagBroadcast} { // as a frame of ours, and by the kernel
			p := client(number(i), discover).with(func(p *draft) { p.flags = flags })
			w.send(t, shouted(p))
			b, m := w.reply(t) // takes nothing but what comes from that interface
			from := netip.AddrFrom4([4]byte(b[26:30]))
			if m.MessageType() != offer || from != ip(c.addr) || fromIP(m.Options[optServer]) != from {
				t.Errorf("by %s: %s from %s of server %v, want %s", c.client, m.MessageType(), from, m.Options[optServer], c.addr)
			}
		}
	}
}

// bridged serves a bridge and, as it should not be, its port: what a client says is answered once, as of the bridge.
// Where the kernel has VLANs, the bridge's port is a tagged one, and the reply has the tag.
func bridged(t *testing.T) {
	t.Helper()
	run(t, "ip link set lo up")
	cable(t, "srv0", "cl0")
	run(t, "ip link add br0 type bridge")
	run(t, "ip link set srv0 master br0")
	run(t, "ip link set br0 up")
	run(t, "ip addr add 192.0.2.1/24 dev br0")
	carrier(t, "br0")
	w := newWire(t, "br0", "srv0")
	defer w.stop(t)
	w.shout(t, client(phone, discover))
	if b, m := w.reply(t); m.MessageType() != offer || hwaddr.Addr(b[:6]) != phone {
		t.Errorf("%s to %x", m, b[:6])
	}
	w.shout(t, client(phone2, discover))
	if _, m := w.reply(t); hwaddr.Addr(m.ClientHWAddr) != phone2 {
		t.Errorf("the second reply is again for %s", m.ClientHWAddr)
	}
	w.stop(t) // a reply is counted after it is sent, and the client may be quicker
	if s := w.Snapshot(); s.Sent["offer"] != 2 {
		t.Errorf("%d replies to two messages", s.Sent["offer"])
	}
}

// twoBridges is a data network and a voice network, as a switch hands them to us: a phone that goes straight to its
// voice network gets an address of that, and both may be its own.
func twoBridges(t *testing.T) {
	t.Helper()
	run(t, "ip link set lo up")
	for i, name := range []string{"data", "voice"} {
		n := string(rune('0' + i))
		cable(t, "srv"+n, "cl"+n)
		run(t, "ip link add br"+name+" type bridge")
		run(t, "ip link set srv"+n+" master br"+name)
		run(t, "ip link set br"+name+" up")
	}
	run(t, "ip addr add 198.51.100.1/24 dev brdata")
	run(t, "ip addr add 192.0.2.1/24 dev brvoice")
	carrier(t, "brdata", "brvoice")
	w := newWire(t, "brdata", "brvoice")
	defer w.stop(t)
	nets := site()
	for i := range nets {
		nets[i].Interface, nets[i].Server, nets[i].Relays, nets[i].Rivals = "", netip.Addr{}, nil, network.RivalsAllow
	}
	w.networks(nets...)
	for i, c := range []struct {
		server, client string
		want           network.ID
	}{{"brvoice", "cl1", "voice"}, {"brdata", "cl0", "far"}, {"brvoice", "cl1", "voice"}} {
		w.attach(t, c.server, c.client)
		w.shout(t, client(phone, discover, secs(optLifetime, uint32(3600+i)))) // not the same message again
		_, m := w.reply(t)
		got := fromIP(m.YourIPAddr)
		if n := w.set.Containing(got); m.MessageType() != offer || n == nil || n.ID != c.want {
			t.Errorf("by %s: %s of %s, want one of %s", c.client, m.MessageType(), got, c.want)
		}
		w.shout(t, selecting(phone, got, fromIP(m.Options[optServer])))
		if _, m := w.reply(t); m.MessageType() != ack {
			t.Errorf("by %s: %s", c.client, m.MessageType())
		}
	}
	if n := len(w.table.ByHW(phone)); n != 2 {
		t.Errorf("%d leases, want one in each network", n)
	}
}

// addressComesLate starts on an interface that has no address yet.
func addressComesLate(t *testing.T) {
	t.Helper()
	run(t, "ip link set lo up")
	cable(t, "srv0", "cl0")
	w := newWire(t, "srv0")
	defer w.stop(t)
	w.shout(t, client(phone, discover))
	eventually(t, "the message is dropped", func() bool { return w.Snapshot().Dropped["no_network"] == 1 })
	if s := w.Snapshot(); s.Sent["offer"] != 0 || s.Received["discover"] != 1 {
		t.Errorf("counters %+v", s)
	}
	begun := time.Now()
	run(t, "ip addr add 192.0.2.1/24 dev srv0")
	eventually(t, "the address is noticed", func() bool {
		return w.ports()[0] != nil && len(w.ports()[0].ours()) == 1
	})
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	w.shout(t, client(phone, discover))
	if _, m := w.reply(t); m.MessageType() != offer || !m.ServerIdentifier().Equal(net.IPv4(192, 0, 2, 1)) {
		t.Errorf("got %s", m)
	}
}

// TestInterfaceReplaced opens interfaces that went away, or were replaced by others of their names, since they were
// looked up: a port that doesn't know its addresses would end the whole server as soon as somebody asks for them.
func TestInterfaceReplaced(t *testing.T) {
	namespaced(t, "^TestInterfaceReplaced$", func(t *testing.T) {
		t.Helper()
		cable(t, "srv0", "cl0")
		ifi, err := net.InterfaceByName("srv0")
		if err != nil {
			t.Fatal(err)
		}
		other := *ifi
		other.HardwareAddr = net.HardwareAddr(phone[:])
		older := *ifi
		older.Index += 100
		for what, found := range map[string]*net.Interface{"address": &other, "index": &older} {
			p, err := openInterface(t.Context(), Listener{Interface: "srv0"}, found)
			if err == nil {
				t.Errorf("another %s: the port is open, with addresses %v", what, p.ours())
			}
		}
		p, err := openInterface(t.Context(), Listener{Interface: "srv0"}, ifi)
		if err != nil {
			t.Fatalf("the port that failed is still held: %v", err)
		}
		p.close()
	})
}
