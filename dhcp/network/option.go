package network

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind says how an option's value is written on the wire.
type Kind uint8

// The kinds of values, by their RFC 2132 shapes.
const (
	KindHex     Kind = iota // anything: hexadecimal digits
	KindText                // NVT ASCII, no trailing NUL
	KindAddr                // one IPv4 address
	KindAddrs               // one or more, in order of preference
	KindUint8               //
	KindUint16              //
	KindUint32              // seconds may be written as a duration
	KindInt32               //
	KindBool                //
	KindDomains             // RFC 3397: written as names, uncompressed
)

// Def describes a known option.
type Def struct {
	Code uint8
	Name string // IANA's name in lower case with dashes
	Kind Kind
}

// Defs lists the options that are known by name, in order of code. Others are written as hexadecimal digits.
// Source: IANA "BOOTP Vendor Extensions and DHCP Options"; 159 to 161 as phones use them (vendor guides).
func Defs() []Def {
	return []Def{
		{1, "subnet-mask", KindAddr},
		{2, "time-offset", KindInt32},
		{3, "router", KindAddrs},
		{4, "time-server", KindAddrs},
		{6, "domain-server", KindAddrs},
		{7, "log-server", KindAddrs},
		{12, "hostname", KindText},
		{15, "domain-name", KindText},
		{26, "mtu", KindUint16},
		{28, "broadcast-address", KindAddr},
		{42, "ntp-servers", KindAddrs},
		{43, "vendor-specific", KindHex},
		{44, "netbios-name-server", KindAddrs},
		{66, "tftp-server-name", KindText},
		{67, "bootfile-name", KindText},
		{69, "smtp-server", KindAddrs},
		{100, "pcode", KindText},
		{101, "tcode", KindText},
		{119, "domain-search", KindDomains},
		{120, "sip-servers", KindHex},
		{121, "classless-routes", KindHex},
		{125, "vivso", KindHex},
		{128, "option-128", KindText},
		{129, "option-129", KindText},
		{130, "option-130", KindText},
		{131, "option-131", KindText},
		{132, "option-132", KindText},
		{133, "option-133", KindText},
		{134, "option-134", KindText},
		{135, "option-135", KindText},
		{150, "tftp-server-address", KindAddrs},
		{159, "option-159", KindText},
		{160, "option-160", KindText},
		{161, "option-161", KindText},
		{176, "option-176", KindText},
		{242, "option-242", KindText},
	}
}

// reserved are the options that the server sets itself; an administrator who could would break the protocol.
var reserved = []uint8{0, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 82, 255}

// ParseOption encodes a value for the option named by key, a number ("66") or a name ("tftp-server-name").
// Lists are separated by commas or blanks. A value that begins with "hex:" is taken as bytes for any option.
func ParseOption(key, value string) (Option, error) {
	def, err := lookup(key)
	if err != nil {
		return Option{}, err
	}
	data, err := def.encode(strings.TrimSpace(value))
	if err != nil {
		return Option{}, fmt.Errorf("option %d (%s): %w", def.Code, def.Name, err)
	}
	if len(data) > 1024 {
		return Option{}, fmt.Errorf("option %d (%s): %d bytes are too many for a DHCP reply", def.Code, def.Name, len(data))
	}
	return Option{Code: def.Code, Data: data}, nil
}

func lookup(key string) (Def, error) {
	defs := Defs()
	if n, err := strconv.ParseUint(key, 10, 8); err == nil {
		code := uint8(n)
		if slices.Contains(reserved, code) {
			return Def{}, fmt.Errorf("option %d is set by the server itself; leave it out", code)
		}
		if i := slices.IndexFunc(defs, func(d Def) bool { return d.Code == code }); i >= 0 {
			return defs[i], nil
		}
		return Def{Code: code, Name: "option-" + key, Kind: KindHex}, nil
	}
	if i := slices.IndexFunc(defs, func(d Def) bool { return d.Name == key }); i >= 0 {
		return defs[i], nil
	}
	return Def{}, fmt.Errorf("option %q is unknown; use its number (1-254) or a name such as tftp-server-name", key)
}

func (d Def) encode(v string) ([]byte, error) {
	if h, ok := strings.CutPrefix(v, "hex:"); ok {
		return parseHex(h)
	}
	switch d.Kind {
	case KindText:
		if v == "" {
			return nil, fmt.Errorf("the text is empty")
		}
		return []byte(v), nil
	case KindAddr, KindAddrs:
		return encodeAddrs(v, d.Kind == KindAddr)
	case KindUint8, KindUint16:
		bits := 8
		if d.Kind == KindUint16 {
			bits = 16
		}
		n, err := strconv.ParseUint(v, 0, bits)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number of %d bits", v, bits)
		}
		if bits == 8 {
			return []byte{byte(n)}, nil
		}
		return binary.BigEndian.AppendUint16(nil, uint16(n)), nil
	case KindUint32, KindInt32:
		if t, err := time.ParseDuration(v); err == nil {
			v = strconv.FormatInt(int64(t/time.Second), 10)
		}
		n, err := strconv.ParseInt(v, 0, 64)
		if err != nil || n < -1<<31 || n > 1<<32-1 || d.Kind == KindUint32 && n < 0 || d.Kind == KindInt32 && n > 1<<31-1 {
			return nil, fmt.Errorf("%q is not a number of 32 bits", v)
		}
		return binary.BigEndian.AppendUint32(nil, uint32(n)), nil //nolint:gosec // two's complement is the wire format
	case KindBool:
		b, err := strconv.ParseBool(v)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", v)
		}
		if b {
			return []byte{1}, nil
		}
		return []byte{0}, nil
	case KindDomains:
		return encodeDomains(v)
	case KindHex:
	}
	return parseHex(v)
}

func parseHex(v string) ([]byte, error) {
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(v))
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal digits such as 0a:00:01", v)
	}
	return b, nil
}

func encodeAddrs(v string, one bool) ([]byte, error) {
	var b []byte
	fields := split(v)
	if len(fields) == 0 || one && len(fields) > 1 {
		return nil, fmt.Errorf("%q is not one IPv4 address", v)
	}
	for _, f := range fields {
		a, err := netip.ParseAddr(f)
		if err != nil || !a.Is4() {
			return nil, fmt.Errorf("%q is not an IPv4 address", f)
		}
		b = append(b, a.AsSlice()...)
	}
	return b, nil
}

func encodeDomains(v string) ([]byte, error) {
	var b []byte
	for _, name := range split(v) {
		for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
			if label == "" || len(label) > 63 {
				return nil, fmt.Errorf("%q is not a domain name", name)
			}
			b = append(append(b, byte(len(label))), label...)
		}
		b = append(b, 0)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("there is no domain name")
	}
	return b, nil
}

func split(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}

// Merge lays options over others: a code in over replaces the same code in base. Neither slice is changed.
func Merge(base, over []Option) []Option {
	out := slices.Clone(base)
	for _, o := range over {
		if i := slices.IndexFunc(out, func(b Option) bool { return b.Code == o.Code }); i >= 0 {
			out[i] = o
		} else {
			out = append(out, o)
		}
	}
	return out
}
