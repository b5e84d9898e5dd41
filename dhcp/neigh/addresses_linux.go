package neigh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// Own is an address of this machine.
type Own struct {
	Addr    netip.Addr
	Iface   string
	Dynamic bool // it has an end, as one that a DHCP server gave has
}

// Addresses returns the machine's IPv4 addresses.
func Addresses() (list []Own, err error) {
	c, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for its addresses: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	all, err := c.Address.List()
	if err != nil {
		return nil, fmt.Errorf("ask the kernel for its addresses: %w", err)
	}
	for _, m := range all {
		if m.Family != unix.AF_INET || m.Attributes == nil {
			continue
		}
		ip := m.Attributes.Local // Address is the peer's on a point-to-point link
		if ip == nil {
			ip = m.Attributes.Address
		}
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			continue
		}
		name := ""
		if i, err := net.InterfaceByIndex(int(m.Index)); err == nil {
			name = i.Name
		}
		flags := max(uint32(m.Flags), m.Attributes.Flags)
		list = append(list, Own{Addr: a.Unmap(), Iface: name, Dynamic: flags&unix.IFA_F_PERMANENT == 0})
	}
	return list, nil
}
