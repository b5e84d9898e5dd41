package dhcp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Where things stand in a message (RFC 2131 figure 1), and how long it may be.
const (
	snameAt   = 44
	fileAt    = 108
	cookieAt  = 236
	optionsAt = 240

	// maxRequest is what we look at of a request: an Ethernet frame's worth. What follows is cut off.
	maxRequest = 1500
	// minReply is BOOTP's message size (RFC 951): some clients and relays take nothing shorter.
	minReply = 300
	// ipUDP is what IPv4 and UDP headers take of the size that option 57 means (RFC 2132 §9.10).
	ipUDP = 28
	// maxReply keeps a reply within an Ethernet frame, however much the client says that it can take.
	maxReply = 1500 - ipUDP
)

// magic is the cookie in front of the options (RFC 2131 §3).
const magic = "\x63\x82\x53\x63"

// The codes of options that the server itself reads or sets.
const (
	optPad           = 0
	optMask          = 1
	optRouter        = 3
	optDNS           = 6
	optHostname      = 12
	optBroadcast     = 28
	optStaticRoutes  = 33
	optVendor        = 43
	optRequested     = 50
	optLifetime      = 51
	optOverload      = 52
	optType          = 53
	optServer        = 54
	optParams        = 55
	optMessage       = 56
	optMaxSize       = 57
	optT1            = 58
	optT2            = 59
	optVendorClass   = 60
	optClientID      = 61
	optTFTPName      = 66
	optBootFile      = 67
	optUserClass     = 77
	optAgent         = 82
	optAutoConfigure = 116
	optRoutes        = 121
	optVendorInfo    = 125
	optTFTPAddrs     = 150
	optEnd           = 255
)

const (
	etherLen      = 6 // of an Ethernet address
	flagBroadcast = 0x8000
	fragmentLen   = 255 // the most that one option holds

	overloadFile  = 1
	overloadSname = 2

	agentCircuit   = 1  // RFC 3046
	agentRemote    = 2  // RFC 3046
	agentLink      = 5  // RFC 3527
	agentServerID  = 11 // RFC 5107
	agentRelayPort = 19 // RFC 8357
)

// importance lists options in the order in which they are written and, when there is no room for all, kept: first what
// makes the message one, then addressing, then 82 (the relay agent can't deliver without it), 61 (owed by RFC 6842) and
// 56, then what phones are provisioned from, then the rest. What is not listed comes last, by code.
const importance = "\x35\x36\x33\x3a\x3b\x01\x03\x06" + // 53 54 51 58 59 1 3 6
	"\x52\x3d\x38" + // 82 61 56
	"\x42\x96\x43\x2b\x7d\xa0\x9f\xa1" + // 66 150 67 43 125 160 159 161
	"\x79\x21\x2a\x0f\x0c\x02\x04\x64\x65\x1c" // 121 33 42 15 12 2 4 100 101 28

// flaw is what was wrong with a message that could be read nevertheless.
type flaw uint8

const (
	flawTruncated flaw = 1 << iota // an option ran past the end
	flawLongType                   // option 53 was longer than one byte
)

// Decode reads a client's message. It takes what other servers take, where it is clear what is meant: a missing End, an
// option that runs past the end (ignored, as is all after it), options in file and sname (RFC 2131 §4.1, option 52),
// long options in pieces (RFC 3396). Of an option of fixed length that stands twice the first counts.
//
// It fails unless the message is a BOOTREQUEST from an Ethernet client with an address of its own. The message keeps no
// reference to b.
func Decode(b []byte) (*dhcpv4.DHCPv4, error) {
	m, _, reason := decode(b)
	if reason != ReasonNone {
		return nil, fmt.Errorf("decode dhcp message: %s", reason)
	}
	return m, nil
}

func decode(b []byte) (*dhcpv4.DHCPv4, flaw, Reason) {
	switch {
	case len(b) < cookieAt:
		return nil, 0, ReasonShort
	case len(b) < optionsAt || string(b[cookieAt:optionsAt]) != magic:
		return nil, 0, ReasonNoCookie
	case b[0] != byte(dhcpv4.OpcodeBootRequest):
		return nil, 0, ReasonReply
	case b[1] != byte(iana.HWTypeEthernet) || b[2] != etherLen:
		return nil, 0, ReasonNoIdentity
	}
	b = bytes.Clone(b[:min(len(b), maxRequest)])
	m := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootRequest,
		HWType:        iana.HWTypeEthernet,
		HopCount:      b[3],
		TransactionID: dhcpv4.TransactionID(b[4:8]),
		NumSeconds:    binary.BigEndian.Uint16(b[8:]),
		Flags:         binary.BigEndian.Uint16(b[10:]),
		ClientIPAddr:  net.IP(b[12:16:16]),
		YourIPAddr:    net.IP(b[16:20:20]),
		ServerIPAddr:  net.IP(b[20:24:24]),
		GatewayIPAddr: net.IP(b[24:28:28]),
		ClientHWAddr:  net.HardwareAddr(b[28 : 28+etherLen : 28+etherLen]),
		Options:       make(dhcpv4.Options, 16),
	}
	sname, file := b[snameAt:fileAt], b[fileAt:cookieAt]
	flaws := readOptions(m.Options, b[optionsAt:])
	var overload byte
	if v := m.Options[optOverload]; len(v) == 1 {
		overload = v[0]
	}
	// RFC 2131 §4.1: file first, then sname.
	if overload&overloadFile != 0 {
		flaws |= readOptions(m.Options, file)
	} else {
		m.BootFileName = untilNUL(file)
	}
	if overload&overloadSname != 0 {
		flaws |= readOptions(m.Options, sname)
	} else {
		m.ServerHostName = untilNUL(sname)
	}
	if v := m.Options[optType]; len(v) > 1 {
		m.Options[optType] = v[:1:1]
		flaws |= flawLongType
	}
	return m, flaws, ReasonNone
}

// readOptions adds the options in b to opts, whose values then point into b.
func readOptions(opts dhcpv4.Options, b []byte) flaw {
	for i := 0; i < len(b); {
		code := b[i]
		i++
		if code == optPad {
			continue
		}
		if code == optEnd {
			return 0
		}
		if i == len(b) || int(b[i]) > len(b)-i-1 {
			return flawTruncated
		}
		n := int(b[i])
		i++
		value := b[i : i+n : i+n]
		i += n
		if old, seen := opts[code]; !seen {
			opts[code] = value
		} else if !fixedLength(code) {
			opts[code] = append(old, value...) // copies: old has no room to grow in
		}
	}
	return 0
}

// fixedLength reports whether an option's length is fixed, so that it can't come in pieces (RFC 3396 §5): a second one
// is a client's mistake.
func fixedLength(code uint8) bool {
	switch code {
	case optMask, 2, 13, 16, 19, 20, 22, 23, 24, 26, 27, optBroadcast, 29, 30, 31, 32, 34, 35, 36, 37, 38, 39, 46,
		optRequested, optLifetime, optOverload, optType, optServer, optMaxSize, optT1, optT2, 80, 93, 94, 97, 108, 116, 118:
		return true
	}
	return false
}

func untilNUL(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// Limit returns how many bytes of UDP payload a reply to req may have: what the client says with option 57, at least
// the 576 bytes that every client must take (RFC 2131 §2), less the headers, and no more than the link takes in one
// frame. An mtu of zero is Ethernet's.
func Limit(req *dhcpv4.DHCPv4, mtu int) int {
	size := 576
	if v := req.Options[optMaxSize]; len(v) == 2 {
		size = max(size, int(binary.BigEndian.Uint16(v)))
	}
	limit := min(size-ipUDP, maxReply)
	if mtu > 0 {
		limit = min(limit, mtu-ipUDP)
	}
	return max(limit, minReply)
}

// Encode writes a server's message: option 53 first and those that every client needs right behind it, whatever their
// order in RFC and map, since some clients look no further; option 82 last (RFC 3046 §2.1); padded to BOOTP's 300
// bytes. It never returns more than limit bytes (see [Limit]; less than 300 means 300). What doesn't fit is left out,
// the least important first, and returned as dropped.
func Encode(m *dhcpv4.DHCPv4, limit int) (b []byte, dropped []uint8) {
	var there [256]bool
	for code := range m.Options {
		there[code] = true
	}
	there[optPad], there[optEnd] = false, false
	limit = max(limit, minReply)
	room := limit - optionsAt - 1
	kept := make([]uint8, 0, 32)
	take := func(code uint8) {
		if !there[code] {
			return
		}
		there[code] = false
		if n := wireLen(len(m.Options[code])); n <= room {
			room -= n
			kept = append(kept, code)
		} else {
			dropped = append(dropped, code)
		}
	}
	for i := range len(importance) {
		take(importance[i])
	}
	for code := range there {
		take(uint8(code))
	}
	b = make([]byte, optionsAt, max(minReply, limit-room))
	header(b, m)
	for _, code := range kept {
		if code != optAgent {
			b = appendOption(b, code, m.Options[code])
		}
	}
	if slices.Contains(kept, optAgent) {
		b = appendOption(b, optAgent, m.Options[optAgent])
	}
	b = append(b, optEnd)
	if len(b) < minReply {
		b = b[:minReply] // fresh memory: zero, which is Pad
	}
	return b, dropped
}

func header(b []byte, m *dhcpv4.DHCPv4) {
	b[0], b[1], b[2], b[3] = byte(m.OpCode), byte(m.HWType), byte(min(len(m.ClientHWAddr), 16)), m.HopCount //nolint:gosec // Ethernet is 1
	copy(b[4:8], m.TransactionID[:])
	binary.BigEndian.PutUint16(b[8:], m.NumSeconds)
	binary.BigEndian.PutUint16(b[10:], m.Flags)
	for i, ip := range [...]net.IP{m.ClientIPAddr, m.YourIPAddr, m.ServerIPAddr, m.GatewayIPAddr} {
		copy(b[12+4*i:16+4*i], ip.To4())
	}
	copy(b[28:snameAt], m.ClientHWAddr)
	// Both fields end in a NUL (RFC 2131 §2), so a name that fills its field doesn't fit. Half a name is worse than none.
	if len(m.ServerHostName) < fileAt-snameAt {
		copy(b[snameAt:], m.ServerHostName)
	}
	if len(m.BootFileName) < cookieAt-fileAt {
		copy(b[fileAt:], m.BootFileName)
	}
	copy(b[cookieAt:], magic)
}

// wireLen is the room that a value of n bytes takes, in as many pieces as it needs.
func wireLen(n int) int {
	return n + 2*max(1, (n+fragmentLen-1)/fragmentLen)
}

// appendOption writes an option, in pieces if it is long (RFC 3396 §6).
func appendOption(b []byte, code uint8, value []byte) []byte {
	for {
		n := min(len(value), fragmentLen)
		b = append(b, code, byte(n))
		b = append(b, value[:n]...)
		if value = value[n:]; len(value) == 0 {
			return b
		}
	}
}
