package dhcp

import (
	"encoding/binary"
	"net/netip"
)

// frameCase checks a frame field by field, with a checksum of its own.
func frameCase(t *caseT) {
	src, dst := netip.MustParseAddrPort("192.0.2.1:67"), netip.MustParseAddrPort("192.0.2.20:68")
	for _, payload := range [][]byte{make([]byte, 300), []byte("odd"), nil, {0xff, 0xff, 0xff}} {
		b := frame(phone2, phone, src, dst, payload)
		if string(b[:6]) != string(phone[:]) || string(b[6:12]) != string(phone2[:]) || b[12] != 8 || b[13] != 0 {
			t.Errorf("Ethernet header % x", b[:14])
		}
		ip, udp := b[14:34], b[34:]
		if ip[0] != 0x45 || ip[8] != 64 || ip[9] != 17 || int(binary.BigEndian.Uint16(ip[2:])) != len(b)-14 {
			t.Errorf("IP header % x", ip)
		}
		if got := onesComplement(ip); got != 0xffff {
			t.Errorf("IP checksum: sum %#x, want 0xffff", got)
		}
		if binary.BigEndian.Uint16(udp) != 67 || binary.BigEndian.Uint16(udp[2:]) != 68 || int(binary.BigEndian.Uint16(udp[4:])) != len(udp) {
			t.Errorf("UDP header % x", udp[:8])
		}
		pseudo := append([]byte{192, 0, 2, 1, 192, 0, 2, 20, 0, 17, byte(len(udp) >> 8), byte(len(udp))}, udp...)
		if got := onesComplement(pseudo); got != 0xffff || binary.BigEndian.Uint16(udp[6:]) == 0 {
			t.Errorf("UDP checksum: sum %#x, want 0xffff", got)
		}
		if string(udp[8:]) != string(payload) {
			t.Errorf("payload % x", udp[8:])
		}
	}
}

// onesComplement adds up words with end-around carry.
func onesComplement(b []byte) uint16 {
	var acc int
	for i, x := range b {
		if i%2 == 0 {
			acc += int(x) << 8
		} else {
			acc += int(x)
		}
		if acc > 0xffff {
			acc -= 0xffff
		}
	}
	return uint16(acc)
}
