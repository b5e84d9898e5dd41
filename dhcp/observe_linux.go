package dhcp

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
)

const etherAll = 0x0003 // every protocol (ETH_P_ALL)

// listen hears an interface until it fails or ctx ends.
func (o *Observer) listen(ctx context.Context, name string) error {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("there is no interface %s; there are: %s", name, strings.Join(interfaces(), ", "))
	}
	c, err := packet.Listen(ifi, packet.Raw, etherAll, &packet.Config{Filter: dhcpAndARP()})
	if err != nil {
		return fmt.Errorf("listening on %s needs the capability CAP_NET_RAW: %w", name, err)
	}
	defer c.Close()
	if err := c.SetPromiscuous(true); err != nil { // the port may be one that mirrors the server's
		return fmt.Errorf("listen to all on %s: %w", name, err)
	}
	ended := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) }) // or it is closed
	defer ended()
	o.Log.InfoContext(ctx, "dhcp of others is overheard", "interface", name)
	b := make([]byte, maxRequest+etherHeader)
	for {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", name, err)
		}
		o.hear(ctx, name, b[:n])
	}
}

// dhcpAndARP is a filter that lets through DHCP and ARP, so that other traffic costs nothing.
func dhcpAndARP() []bpf.RawInstruction {
	const drop, keep = 0, 1 << 16
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherARP, SkipTrue: 9},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherIPv4, SkipFalse: 9},
		bpf.LoadAbsolute{Off: etherHeader + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoUDP, SkipFalse: 7},
		bpf.LoadAbsolute{Off: etherHeader + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 5}, // a fragment
		bpf.LoadMemShift{Off: etherHeader},
		bpf.LoadIndirect{Off: etherHeader + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: serverPort, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: clientPort, SkipFalse: 1},
		bpf.RetConstant{Val: keep},
		bpf.RetConstant{Val: drop},
	})
	if err != nil {
		panic(err) // it is a constant
	}
	return raw
}
