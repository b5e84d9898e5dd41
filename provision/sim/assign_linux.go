package sim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// assign puts an address on an interface that has none, and returns what takes it off again. An interface that has an
// address is somebody's: changing it could cut off the host.
func assign(iface string, addr netip.Prefix) (func(), error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", iface, err)
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", iface, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return nil, fmt.Errorf("%s has the address %s already: a simulated phone needs an interface of its own", iface, p)
		}
	}
	if err := setAddr(iface, addr); err != nil {
		return nil, fmt.Errorf("put %s on %s: %w", addr, iface, err)
	}
	return func() { _ = setAddr(iface, netip.PrefixFrom(netip.IPv4Unspecified(), 0)) }, nil
}

// setAddr sets an interface's first address, or removes it if it is unspecified (netdevice(7)).
func setAddr(iface string, addr netip.Prefix) (err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	set := func(request uint, ip netip.Addr) error {
		ifr, err := unix.NewIfreq(iface)
		if err != nil {
			return err
		}
		if err := ifr.SetInet4Addr(ip.AsSlice()); err != nil {
			return err
		}
		return unix.IoctlIfreq(fd, request, ifr)
	}
	if err := set(unix.SIOCSIFADDR, addr.Addr()); err != nil || addr.Addr().IsUnspecified() {
		return err
	}
	mask := net.CIDRMask(addr.Bits(), 32)
	return set(unix.SIOCSIFNETMASK, netip.AddrFrom4([4]byte(mask)))
}
