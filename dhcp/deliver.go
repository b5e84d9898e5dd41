package dhcp

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

const (
	serverPort = 67
	clientPort = 68
)

// target is where a reply goes.
type target struct {
	// To is the UDP destination; its address is 255.255.255.255 for everybody on the link.
	To netip.AddrPort
	// From is our address to send from, if we know one on that link.
	From netip.Addr
	// HW is the link-layer destination of a client that has no address yet and so can't be asked for by ARP. Zero: the
	// kernel finds the way.
	HW hwaddr.Addr
}

// broadcast reports whether the target is everybody on the link.
func (t target) broadcast() bool { return t.To.Addr() == limitedBroadcast() }

func limitedBroadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// deliver chooses where a reply goes (RFC 2131 §4.1). Clients are answered on port 68 whatever port they sent from:
// the port is a stranger's choice.
func deliver(req, reply *dhcpv4.DHCPv4, ing Ingress) target {
	from := source(reply, ing)
	if giaddr := fromIP(req.GatewayIPAddr); giaddr.IsValid() {
		port := uint16(serverPort)
		if readAgent(req.Options[optAgent]).relayPort && ing.Src.Port() != 0 {
			port = ing.Src.Port() // RFC 8357 §5.4
		}
		return target{To: netip.AddrPortFrom(giaddr, port), From: from}
	}
	everybody := target{To: netip.AddrPortFrom(limitedBroadcast(), clientPort), From: from}
	kind := reply.Options[optType]
	if len(kind) == 1 && kind[0] == byte(dhcpv4.MessageTypeNak) {
		return everybody // RFC 2131 §4.3.2: never to ciaddr, which may be somebody else's
	}
	yiaddr := fromIP(reply.YourIPAddr)
	switch ciaddr := fromIP(reply.ClientIPAddr); {
	case ciaddr.IsValid():
		return target{To: netip.AddrPortFrom(ciaddr, clientPort), From: from}
	case !yiaddr.IsValid() && len(kind) == 1 && kind[0] == byte(dhcpv4.MessageTypeOffer):
		return everybody // it has no address, and gets none
	case !yiaddr.IsValid(): // to an INFORM without ciaddr
		return target{To: netip.AddrPortFrom(ing.Src.Addr(), clientPort), From: from}
	case reply.IsBroadcast():
		return everybody
	}
	return target{To: netip.AddrPortFrom(yiaddr, clientPort), From: from, HW: hwaddr.Addr(req.ClientHWAddr)}
}

// source returns the address to send from: the one that the client wrote to, else the one that we call ourselves, if it
// is ours on that link.
func source(reply *dhcpv4.DHCPv4, ing Ingress) netip.Addr {
	if ing.Local.IsValid() {
		return ing.Local
	}
	id := fromIP(reply.Options[optServer])
	if slices.Contains(ing.Addrs, id) {
		return id
	}
	if len(ing.Addrs) > 0 {
		return ing.Addrs[0]
	}
	return netip.Addr{}
}

const (
	etherHeader = 14
	ipHeader    = 20
	udpHeader   = 8
	frameHeader = etherHeader + ipHeader + udpHeader
	etherIPv4   = 0x0800
	protoUDP    = 17
	frameTTL    = 64
)

// frame wraps a reply in UDP, IPv4 and Ethernet for a client that has no address yet.
func frame(srcHW, dstHW hwaddr.Addr, src, dst netip.AddrPort, payload []byte) []byte {
	b := make([]byte, frameHeader, frameHeader+len(payload))
	b = append(b, payload...)
	copy(b[0:], dstHW[:])
	copy(b[6:], srcHW[:])
	binary.BigEndian.PutUint16(b[12:], etherIPv4)

	ip := b[etherHeader:]
	ip[0] = 0x45                                        // version 4, five words
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip))) //nolint:gosec // maxReply bounds it
	binary.BigEndian.PutUint16(ip[6:], 0x4000)          // don't fragment; so the identification may be zero (RFC 6864)
	ip[8], ip[9] = frameTTL, protoUDP
	srcIP, dstIP := src.Addr().As4(), dst.Addr().As4()
	copy(ip[12:], srcIP[:])
	copy(ip[16:], dstIP[:])
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(0, ip[:ipHeader])))

	udp := ip[ipHeader:]
	binary.BigEndian.PutUint16(udp[0:], src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp))) //nolint:gosec // maxReply bounds it
	// The pseudo header (RFC 768): both addresses, the protocol and the length.
	pseudo := sum(protoUDP+uint32(len(udp)), ip[12:ipHeader]) //nolint:gosec // maxReply bounds it
	check := ^fold(sum(pseudo, udp))
	if check == 0 {
		check = 0xffff // zero would mean that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return b
}

// sum adds b to a checksum in progress (RFC 1071).
func sum(acc uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		acc += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc
}

func fold(acc uint32) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}
