package neigh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// kernel is the kernel's neighbour table by netlink. Dumps have a connection of their own, for what is told without a
// question can't be told from an answer on the same one.
type kernel struct {
	events *rtnetlink.Conn
	names  map[uint32]string // of interfaces, since the last dump
}

// dialKernel subscribes. What changes from then on is told.
func dialKernel() (source, error) {
	c, err := rtnetlink.Dial(&netlink.Config{Groups: 1 << (unix.RTNLGRP_NEIGH - 1)})
	if err != nil {
		return nil, fmt.Errorf("subscribe to the kernel's neighbour table: %w", err)
	}
	return &kernel{events: c}, nil
}

func (k *kernel) dump() ([]change, error) {
	c, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the kernel's neighbour table: %w", err)
	}
	defer c.Close()
	list, err := c.Neigh.List()
	if err != nil {
		return nil, fmt.Errorf("read the kernel's neighbour table: %w", err)
	}
	k.names = make(map[uint32]string)
	changes := make([]change, 0, len(list))
	for i := range list {
		if x, ok := k.read(&list[i], false); ok {
			changes = append(changes, x)
		}
	}
	return changes, nil
}

func (k *kernel) next() ([]change, error) {
	messages, raw, err := k.events.Receive()
	if err != nil {
		return nil, fmt.Errorf("hear of neighbours: %w", err)
	}
	var changes []change
	for i, m := range messages {
		if n, ok := m.(*rtnetlink.NeighMessage); ok {
			// Every message of the group is one of neighbours, so the two lists go together.
			if x, ok := k.read(n, raw[i].Header.Type == unix.RTM_DELNEIGH); ok {
				changes = append(changes, x)
			}
		}
	}
	return changes, nil
}

func (k *kernel) interrupt() { _ = k.events.SetReadDeadline(time.Unix(1, 0)) } // fails only on a closed one

func (k *kernel) close() { _ = k.events.Close() } // nothing is written to it

// isOverflow reports whether the kernel had to drop messages for us, which it says by this error.
func isOverflow(err error) bool { return errors.Is(err, unix.ENOBUFS) }

// read takes over a message; false: it is none of a host's. Bridges' forwarding tables come by the same group, and
// entries that we answer for ourselves (proxies) are nobody's.
func (k *kernel) read(m *rtnetlink.NeighMessage, gone bool) (change, bool) {
	if m.Family != unix.AF_INET && m.Family != unix.AF_INET6 || m.Flags&unix.NTF_PROXY != 0 || m.Attributes == nil {
		return change{}, false
	}
	addr, ok := netip.AddrFromSlice(m.Attributes.Address)
	if !ok || addr.IsMulticast() {
		return change{}, false
	}
	c := change{index: int(m.Index), iface: k.name(m.Index), addr: addr.Unmap()}
	if gone {
		return c, true
	}
	c.hw, _ = hwaddr.FromBytes(m.Attributes.LLAddress)
	switch m.State {
	case unix.NUD_REACHABLE:
		c.state = Reachable
	case unix.NUD_STALE:
		c.state = Stale
	case unix.NUD_DELAY:
		c.state = Delay
	case unix.NUD_PROBE:
		c.state = Probing
	case unix.NUD_PERMANENT:
		c.state = Permanent
	}
	return c, true
}

func (k *kernel) name(index uint32) string {
	if name, ok := k.names[index]; ok {
		return name
	}
	var name string
	if ifi, err := net.InterfaceByIndex(int(index)); err == nil {
		name = ifi.Name
	}
	if k.names != nil {
		k.names[index] = name
	}
	return name
}
