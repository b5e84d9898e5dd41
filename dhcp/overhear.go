package dhcp

import (
	"encoding/binary"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// served is a server's message.
type served struct {
	xid            dhcpv4.TransactionID
	client         hwaddr.Addr
	offered, relay netip.Addr
	sname, file    []byte
	opts           dhcpv4.Options
}

// readServer reads an OFFER, ACK or NAK. What it returns points into b.
func readServer(b []byte) (served, bool) {
	if len(b) < optionsAt || b[0] != byte(dhcpv4.OpcodeBootReply) || string(b[cookieAt:optionsAt]) != magic {
		return served{}, false
	}
	b = b[:min(len(b), maxRequest)]
	m := served{
		xid: dhcpv4.TransactionID(b[4:8]), client: hwaddr.Addr(b[28 : 28+etherLen]),
		offered: fromIP(b[16:20]), relay: fromIP(b[24:28]), opts: make(dhcpv4.Options, 16),
	}
	readOptions(m.opts, b[optionsAt:])
	overload := m.opts[optOverload]
	if len(overload) != 1 || overload[0]&overloadFile == 0 {
		m.file = b[fileAt:cookieAt]
	}
	if len(overload) != 1 || overload[0]&overloadSname == 0 {
		m.sname = b[snameAt:fileAt]
	}
	kind := m.opts[optType]
	if len(kind) != 1 {
		return served{}, false
	}
	switch dhcpv4.MessageType(kind[0]) {
	case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak:
		return m, true
	default:
		return served{}, false
	}
}

// readFrame returns the payload of a frame from a DHCP server to a client, and who sent it.
func readFrame(b []byte) (hw hwaddr.Addr, from netip.Addr, payload []byte, ok bool) {
	if len(b) < frameHeader || binary.BigEndian.Uint16(b[12:]) != etherIPv4 {
		return hw, from, nil, false
	}
	hw, b = hwaddr.Addr(b[6:12]), b[etherHeader:]
	size, length := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || size < ipHeader || length < size+udpHeader || length > len(b) || b[9] != protoUDP ||
		binary.BigEndian.Uint16(b[6:])&0x3fff != 0 { // fragments
		return hw, from, nil, false
	}
	udp := b[size:length]
	if binary.BigEndian.Uint16(udp) != serverPort || binary.BigEndian.Uint16(udp[2:]) != clientPort {
		return hw, from, nil, false
	}
	return hw, fromIP(b[12:16]), udp[udpHeader:], true
}

// addrs reads an option that is a list of addresses.
func addrs(b []byte) []netip.Addr {
	var list []netip.Addr
	for ; len(b) >= 4; b = b[4:] {
		list = append(list, netip.AddrFrom4([4]byte(b)))
	}
	return list
}

// cut returns the first text that isn't empty, up to its NUL.
func cut(texts ...[]byte) string {
	for _, b := range texts {
		if t := untilNUL(b); t != "" {
			return t
		}
	}
	return ""
}

// watchMAC is the address that the watch asks with: ours, but locally administered, and another one if ours is that
// already. It is always the same, so that a server keeps one address for it at most.
func watchMAC(hw hwaddr.Addr) hwaddr.Addr {
	if hw.IsLocal() {
		hw[1] ^= 0xff
	}
	hw[0] |= 2
	return hw
}

// watchDiscover makes the watch's question. It asks for what phones ask for, so that the answer tells what they are told.
func watchDiscover(xid dhcpv4.TransactionID, hw hwaddr.Addr) []byte {
	m := &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootRequest, HWType: iana.HWTypeEthernet, TransactionID: xid, Flags: flagBroadcast, ClientHWAddr: hw[:],
		Options: dhcpv4.Options{
			optType:        {byte(dhcpv4.MessageTypeDiscover)},
			optVendorClass: []byte("dialtone-watch"),
			optParams:      {optMask, optRouter, optDNS, optVendor, optTFTPName, optBootFile, optTFTPAddrs},
		},
	}
	b, _ := Encode(m, 0)
	return b
}
