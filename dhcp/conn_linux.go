package dhcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// Listener says where the server hears clients; exactly one field is set.
type Listener struct {
	// Interface: clients on its link, and relay agents that write to it, on port 67.
	Interface string
	// Addr: relay agents, and clients that renew, that write to this address of ours. It needs no privileges above
	// port 1023; there are neither broadcasts nor clients without an address.
	Addr netip.AddrPort
}

// String returns what an administrator would call the listener.
func (l Listener) String() string {
	if l.Interface != "" {
		return l.Interface
	}
	return l.Addr.String()
}

// receiveBuffer holds a burst of some thousand requests: an office whose power has come back.
const receiveBuffer = 4 << 20

// port is an open listener. It is safe for concurrent use; what is not atomic never changes.
type port struct {
	spec  Listener
	index int         // of the interface
	hw    hwaddr.Addr // of the interface
	local netip.AddrPort
	udp   *net.UDPConn
	raw   *packet.Conn // for frames; nil: not permitted
	arp   *packet.Conn // for the prober; nil: not permitted
	probe *prober      // nil with arp
	ear   *packet.Conn // for other servers; nil: not permitted
	now   atomic.Pointer[portState]
	flow  *flow          // set before it is read; nil: not counted
	once  sync.Once      // close
	begun sync.WaitGroup // its messages that are in hand or wait; who reads adds to it
}

// portState is what may change while the port is open.
type portState struct {
	addrs []netip.Addr
	mtu   int
}

// openPort opens a listener. Its error says what to do about it.
func openPort(ctx context.Context, spec Listener) (*port, error) {
	if (spec.Interface == "") == !spec.Addr.IsValid() {
		return nil, errors.New("a DHCP listener is either an interface or an address")
	}
	if spec.Interface == "" {
		return openAddr(ctx, spec)
	}
	ifi, err := net.InterfaceByName(spec.Interface)
	if err != nil {
		return nil, fmt.Errorf("there is no interface %s; there are: %s", spec.Interface, strings.Join(interfaces(), ", "))
	}
	return openInterface(ctx, spec, ifi)
}

// openInterface is openPort for an interface as it was found. It may be gone by now, or be another one of that name.
func openInterface(ctx context.Context, spec Listener, ifi *net.Interface) (*port, error) {
	p := &port{spec: spec, index: ifi.Index}
	var err error
	p.udp, err = listenUDP(ctx, fmt.Sprintf("0.0.0.0:%d", serverPort), spec.Interface)
	if err != nil {
		return nil, remedy(err, serverPort, spec.Interface)
	}
	p.local = netip.AddrPortFrom(netip.IPv4Unspecified(), serverPort)
	if hw, ok := hwaddr.FromBytes(ifi.HardwareAddr); ok {
		p.hw = hw
		p.openRaw(ifi)
	}
	if !p.refresh() {
		p.close()
		return nil, fmt.Errorf("interface %s goes or is replaced just now; start again when it stays", spec.Interface)
	}
	return p, nil
}

// openRaw opens the packet sockets, if we may. They live as long as the port: closing one waits for the kernel.
func (p *port) openRaw(ifi *net.Interface) {
	// Protocol 0: it is for sending and receives nothing.
	raw, err := packet.Listen(ifi, packet.Raw, 0, nil)
	if err != nil {
		return
	}
	p.raw = raw
	if p.arp, err = packet.Listen(ifi, packet.Raw, etherARP, nil); err != nil {
		p.arp = nil
		return
	}
	p.probe = newProber(func(addr netip.Addr) error { return p.shout(arpProbe(p.hw, addr)) })
	if p.ear, err = packet.Listen(ifi, packet.Raw, etherIPv4, &packet.Config{Filter: serversOnly()}); err != nil {
		p.ear = nil
	}
}

func openAddr(ctx context.Context, spec Listener) (*port, error) {
	if !spec.Addr.Addr().Is4() || spec.Addr.Addr().IsUnspecified() {
		return nil, fmt.Errorf("listener %s: name one IPv4 address of ours, or an interface", spec.Addr)
	}
	udp, err := listenUDP(ctx, spec.Addr.String(), "")
	if err != nil {
		return nil, remedy(err, int(spec.Addr.Port()), spec.Addr.Addr().String())
	}
	p := &port{spec: spec, udp: udp}
	p.local, _ = netip.ParseAddrPort(udp.LocalAddr().String())
	p.spec.Addr = p.local // if the port was 0, it is known now and stays
	p.refresh()
	return p, nil
}

// listenUDP opens a socket that only one server can have: there is no SO_REUSEPORT, with which a second server would
// take half of the messages unnoticed.
func listenUDP(ctx context.Context, addr, device string) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		controlErr := c.Control(func(fd uintptr) {
			if device != "" {
				err = unix.BindToDevice(int(fd), device)
			}
			// As large as we may: by force with CAP_NET_ADMIN, else up to net.core.rmem_max.
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
			}
		})
		return cmp.Or(controlErr, err)
	}}
	c, err := lc.ListenPacket(ctx, "udp4", addr)
	if err != nil {
		return nil, err
	}
	udp, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no UDP socket", c), c.Close())
	}
	if err := ipv4.NewPacketConn(udp).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
		return nil, errors.Join(err, udp.Close())
	}
	return udp, nil
}

// remedy says what to do about a socket that can't be opened.
func remedy(err error, port int, where string) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("port %d on %s is taken by another server; stop that one (ss -ulpn shows it): %w", port, where, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("port %d on %s needs the capabilities CAP_NET_BIND_SERVICE and CAP_NET_RAW: %w", port, where, err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine; name one that is: %w", where, err)
	}
	return fmt.Errorf("listen on port %d of %s: %w", port, where, err)
}

func interfaces() []string {
	all, err := net.Interfaces()
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, ifi := range all {
		names = append(names, ifi.Name)
	}
	return names
}

// refresh reads the interface's addresses anew. It returns false if the interface is gone, or is another of that name:
// then the port is deaf and has to be opened again.
func (p *port) refresh() bool {
	if p.spec.Interface == "" {
		p.now.Store(&portState{})
		return true
	}
	ifi, err := net.InterfaceByName(p.spec.Interface)
	if err != nil || ifi.Index != p.index || !slices.Equal(ifi.HardwareAddr, p.hw[:]) && !p.hw.IsZero() {
		return false
	}
	st := &portState{mtu: ifi.MTU}
	addrs, err := ifi.Addrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
			st.addrs = append(st.addrs, prefix.Addr())
		}
	}
	p.now.Store(st)
	return true
}

// ours returns the addresses by which the port is reached.
func (p *port) ours() []netip.Addr {
	if p.spec.Interface == "" {
		return []netip.Addr{p.local.Addr()}
	}
	return p.now.Load().addrs
}

// read waits for a message.
func (p *port) read(b, oob []byte) (int, Ingress, error) {
	n, oobn, _, src, err := p.udp.ReadMsgUDPAddrPort(b, oob)
	if err != nil {
		return 0, Ingress{}, err
	}
	st := p.now.Load()
	ing := Ingress{
		Iface: p.spec.Interface, Addrs: st.addrs, MTU: st.mtu,
		Src: netip.AddrPortFrom(src.Addr().Unmap(), src.Port()),
	}
	if p.spec.Interface == "" {
		ing.Local = p.local.Addr()
		return n, ing, nil
	}
	var cm ipv4.ControlMessage
	if err := cm.Parse(oob[:oobn]); err == nil {
		ing.Local = fromIP(cm.Dst)
	}
	if !slices.Contains(st.addrs, ing.Local) {
		// 255.255.255.255 or the subnet's own broadcast address: the kernel hands us nothing else.
		ing.Local, ing.Broadcast = netip.Addr{}, true
	}
	if p.probe != nil {
		ing.Seen = p.probe.sighting
	}
	return n, ing, nil
}

// errNoBroadcast says that a reply would have to be broadcast where only relay agents are served.
var errNoBroadcast = errors.New("this listener serves relay agents only")

// send sends a reply. It returns true if the reply had to be broadcast for want of a packet socket.
func (p *port) send(t target, payload []byte) (fellBack bool, err error) {
	if !t.HW.IsZero() {
		if p.raw != nil && t.From.IsValid() {
			b := frame(p.hw, t.HW, netip.AddrPortFrom(t.From, p.local.Port()), t.To, payload)
			if _, err := p.raw.WriteTo(b, &packet.Addr{HardwareAddr: t.HW[:]}); err == nil {
				return false, nil
			}
		}
		fellBack = true
		t.To = netip.AddrPortFrom(limitedBroadcast(), t.To.Port())
	}
	if p.spec.Interface == "" {
		if t.broadcast() {
			return false, errNoBroadcast
		}
		_, err = p.udp.WriteToUDPAddrPort(payload, t.To)
		return false, err
	}
	cm := ipv4.ControlMessage{IfIndex: p.index}
	if t.From.IsValid() {
		cm.Src = t.From.AsSlice()
	}
	_, _, err = p.udp.WriteMsgUDPAddrPort(payload, cm.Marshal(), t.To)
	return fellBack, err
}

// listen feeds the prober until the port is closed.
func (p *port) listen() {
	b := make([]byte, 128)
	for p.arp != nil {
		n, _, err := p.arp.ReadFrom(b)
		if err != nil {
			return
		}
		// Whoever sends ARP with an address for its own has it, in a question or an answer.
		if addr, hw, ok := arpSender(b[:n]); ok && hw != p.hw {
			p.probe.answered(addr, hw)
		}
	}
}

// shout sends a frame to everybody on the link.
func (p *port) shout(frame []byte) error {
	_, err := p.raw.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
	return err
}

// serversOnly is a filter that lets through what a DHCP server says to a client, so that other traffic costs nothing.
func serversOnly() []bpf.RawInstruction {
	const drop, keep = 0, 1 << 16
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: etherHeader + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoUDP, SkipFalse: 8},
		bpf.LoadAbsolute{Off: etherHeader + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 6}, // a fragment
		bpf.LoadMemShift{Off: etherHeader},
		bpf.LoadIndirect{Off: etherHeader, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: serverPort, SkipFalse: 3},
		bpf.LoadIndirect{Off: etherHeader + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: clientPort, SkipFalse: 1},
		bpf.RetConstant{Val: keep},
		bpf.RetConstant{Val: drop},
	})
	if err != nil {
		panic(err) // it is a constant
	}
	return raw
}

// hark passes on what servers on the link say, until the port is closed.
func (p *port) hark(heard func(frame []byte)) {
	b := make([]byte, maxRequest+etherHeader)
	for {
		n, _, err := p.ear.ReadFrom(b)
		if err != nil {
			return
		}
		heard(b[:n])
	}
}

// interrupt ends all reading, for good.
func (p *port) interrupt() {
	past := time.Unix(0, 0)
	_ = p.udp.SetReadDeadline(past) // fails only if the port is closed: that will do
	if p.arp != nil {
		_ = p.arp.SetReadDeadline(past)
	}
	if p.ear != nil {
		_ = p.ear.SetReadDeadline(past)
	}
}

// close ends all that waits on the port. It may be called more than once.
func (p *port) close() {
	p.once.Do(func() {
		_ = p.udp.Close() // nothing is written to it that closing could lose
		if p.raw != nil {
			_ = p.raw.Close()
		}
		if p.arp != nil {
			_ = p.arp.Close()
		}
		if p.ear != nil {
			_ = p.ear.Close()
		}
	})
}
