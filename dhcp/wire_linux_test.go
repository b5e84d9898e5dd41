package dhcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/mdlayher/packet"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// inNamespace says to the test binary that it runs in a network namespace of its own.
const inNamespace = "DIALTONE_TEST_IN_NAMESPACE"

// TestOnWire runs the tests below it on a real link: a pair of virtual Ethernet interfaces.
func TestOnWire(t *testing.T) { namespaced(t, "^TestOnWire$", onWire) }

// namespaced runs a test in a network namespace of its own, where this very binary is run again with the pattern that
// names the test, so that sockets of all its threads belong there.
func namespaced(t *testing.T, pattern string, body func(*testing.T)) {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		body(t)
		return
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the command ip (iproute2)")
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+pattern, "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},

		GidMappingsEnableSetgroups: os.Getuid() == 0, // only root may
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skipf("needs network namespaces: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if strings.Contains(out.String(), "--- SKIP") {
		t.Skip(out.String())
	}
}

func run(t *testing.T, command string) {
	t.Helper()
	f := strings.Fields(command)
	if out, err := exec.CommandContext(t.Context(), f[0], f[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", command, err, out)
	}
}

// carrier waits until both ends know that they are connected; what is sent before is lost.
func carrier(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		eventually(t, name+" has a carrier", func() bool {
			ifi, err := net.InterfaceByName(name)
			return err == nil && ifi.Flags&net.FlagRunning != 0
		})
	}
}

// wire is a server on one end of a cable and a packet socket on the other.
type wire struct {
	*lab
	conn   *packet.Conn
	hw     hwaddr.Addr // of the server's interface
	log    *syncBuffer
	cancel context.CancelFunc
	done   chan error
}

func onWire(t *testing.T) {
	t.Helper()
	w := onCable(t)
	defer w.stop(t)
	t.Run("D-TX-01", w.frameToClient)
	t.Run("D-TX-02", w.broadcastToClient)
	t.Run("D-DISC-16", w.probed)
	t.Run("rogue", w.rogue)
	t.Run("ping", w.ping)
}

// onCable lays a cable and serves it.
func onCable(t *testing.T) *wire {
	t.Helper()
	run(t, "ip link set lo up")
	cable(t, "srv0", "cl0")
	run(t, "ip addr add 192.0.2.1/24 dev srv0")
	return newWire(t, "srv0")
}

// cable connects two new interfaces.
func cable(t *testing.T, a, b string) {
	t.Helper()
	run(t, "ip link add "+a+" type veth peer name "+b)
	run(t, "ip link set "+a+" up")
	run(t, "ip link set "+b+" up")
	carrier(t, a, b)
}

// stop ends the server, if that isn't done: what was begun is answered and counted then.
func (w *wire) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	if err := <-w.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func newWire(t *testing.T, interfaces ...string) *wire {
	t.Helper()
	nets := site()[:1]
	nets[0].Interface, nets[0].Rivals = "", network.RivalsAllow // so that nobody has to wait
	w := &wire{lab: newLab(t, nets...), log: &syncBuffer{}, done: make(chan error, 1)}
	w.Log = slog.New(slog.NewTextHandler(w.log, nil))
	for _, name := range interfaces {
		w.Listen = append(w.Listen, Listener{Interface: name})
	}
	if err := w.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() {
		w.done <- w.Run(ctx)
		close(w.done)
	}()
	w.attach(t, interfaces[0], "cl0")
	return w
}

// attach opens the client's end.
func (w *wire) attach(t *testing.T, server, client string) {
	t.Helper()
	ifi, err := net.InterfaceByName(server)
	if err != nil {
		t.Fatal(err)
	}
	w.hw = hwaddr.Addr(ifi.HardwareAddr)
	if ifi, err = net.InterfaceByName(client); err != nil {
		t.Fatal(err)
	}
	if w.conn, err = packet.Listen(ifi, packet.Raw, syscall.ETH_P_ALL, nil); err != nil {
		t.Fatal(err)
	}
}

// shout sends a message as a client without an address does.
func (w *wire) shout(t *testing.T, p draft) {
	t.Helper()
	b := frame(phone, hwaddr.Addr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, netip.MustParseAddrPort("0.0.0.0:68"),
		netip.MustParseAddrPort("255.255.255.255:67"), p.bytes())
	w.send(t, b)
}

func (w *wire) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := w.conn.WriteTo(b, &packet.Addr{HardwareAddr: b[:6]}); err != nil {
		t.Fatal(err)
	}
}

// next waits for a frame from the server that ok likes.
func (w *wire) next(t *testing.T, ok func([]byte) bool) []byte {
	t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2048)
	for {
		n, _, err := w.conn.ReadFrom(b)
		if err != nil {
			t.Fatalf("%v; the server's log:\n%s", err, w.log)
		}
		if n > etherHeader && hwaddr.Addr(b[6:12]) == w.hw && ok(b[:n]) {
			return b[:n]
		}
	}
}

// reply waits for a DHCP reply and checks that its frame is sound.
func (w *wire) reply(t *testing.T) ([]byte, *dhcpv4.DHCPv4) {
	t.Helper()
	b := w.next(t, func(b []byte) bool {
		return len(b) > frameHeader && b[12] == 8 && b[13] == 0 && b[23] == protoUDP && b[37] == clientPort
	})
	if got := onesComplement(b[14:34]); got != 0xffff {
		t.Errorf("IP checksum: sum %#x", got)
	}
	m, err := dhcpv4.FromBytes(b[frameHeader:])
	if err != nil {
		t.Fatal(err)
	}
	return b, m
}

func (w *wire) frameToClient(t *testing.T) {
	w.shout(t, client(phone, discover))
	b, m := w.reply(t)
	if m.MessageType() != offer || hwaddr.Addr(b[:6]) != phone || !bytes.Equal(b[30:34], m.YourIPAddr.To4()) {
		t.Errorf("%s to %x, %v", m, b[:6], b[30:34])
	}
	w.shout(t, selecting(phone, fromIP(m.YourIPAddr), ourAddr))
	if b, m = w.reply(t); m.MessageType() != ack || hwaddr.Addr(b[:6]) != phone || string(b[26:30]) != "\xc0\x00\x02\x01" {
		t.Errorf("%s to %x from %v", m, b[:6], b[26:30])
	}
}

func (w *wire) broadcastToClient(t *testing.T) {
	w.shout(t, client(phone2, discover).with(func(p *draft) { p.flags = 0x8000 }))
	b, m := w.reply(t)
	if m.MessageType() != offer || string(b[:6]) != "\xff\xff\xff\xff\xff\xff" || string(b[30:34]) != "\xff\xff\xff\xff" {
		t.Errorf("%s to %x, %v", m, b[:6], b[30:34])
	}
}

// probed has a stranger answer for the first address, so that the client gets another.
func (w *wire) probed(t *testing.T) {
	nets := site()[:1]
	nets[0].Interface, nets[0].Probe, nets[0].Rivals = "", true, network.RivalsAllow
	set, err := network.NewSet(nets)
	if err != nil {
		t.Fatal(err)
	}
	before := w.set
	w.nets.Store(set)
	defer w.nets.Store(before)
	w.shout(t, client(hwaddr.MustParse("00:15:65:aa:bb:77"), discover))
	isARP := func(b []byte) bool {
		return binary.BigEndian.Uint16(b[12:]) == etherARP && b[21] == arpRequest && b[28] == 0
	}
	q := w.next(t, isARP)
	occupied := netip.AddrFrom4([4]byte(q[38:42]))
	w.send(t, arpReply(phone2, occupied))
	_, m := w.reply(t)
	if got := fromIP(m.YourIPAddr); m.MessageType() != offer || got == occupied {
		t.Errorf("%s offers %s, where a stranger is", m, got)
	}
	if s := w.Snapshot(); s.Conflicts != 1 || s.Probes != 2 {
		t.Errorf("%d conflicts in %d probes", s.Conflicts, s.Probes)
	}
}

// eventually waits until the server has come so far.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, over := time.NewTicker(10*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// fallback takes the packet socket away.
func (w *wire) fallback(t *testing.T) {
	t.Helper()
	raw := w.ports()[0].raw
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	w.shout(t, client(phone, discover))
	if b, m := w.reply(t); m.MessageType() != offer || string(b[:6]) != "\xff\xff\xff\xff\xff\xff" {
		t.Errorf("%s to %x", m, b[:6])
	}
	eventually(t, "one reply is counted as fallen back", func() bool { return w.Snapshot().Fallbacks == 1 })
}

// interfaceComesBack takes the cable away and lays another one of the same name.
func (w *wire) interfaceComesBack(t *testing.T) {
	t.Helper()
	run(t, "ip link del srv0")
	eventually(t, "the loss is noticed", func() bool { return len(w.Addrs()) == 0 })
	cable(t, "srv0", "cl0")
	run(t, "ip addr add 192.0.2.1/24 dev srv0")
	w.attach(t, "srv0", "cl0")
	eventually(t, "the return is noticed", func() bool { return len(w.Addrs()) > 0 })
	w.shout(t, client(phone, discover))
	if b, m := w.reply(t); m.MessageType() != offer || hwaddr.Addr(b[:6]) != phone {
		t.Errorf("%s to %x", m, b[:6])
	}
}
