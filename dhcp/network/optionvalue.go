package network

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func (d Def) encode(v string) ([]byte, error) {
	if h, ok := strings.CutPrefix(v, "hex:"); ok {
		return parseHex(h)
	}
	if s, ok := strings.CutPrefix(v, "text:"); ok {
		return KindText.encode(s)
	}
	return d.Kind.encode(v)
}

// encode returns a value's bytes.
func (k Kind) encode(v string) ([]byte, error) {
	switch k {
	case KindText:
		if v == "" {
			return nil, errors.New("the text is empty")
		}
		return []byte(v), nil
	case KindAddr, KindAddrs:
		return encodeAddrs(split(v), v, k == KindAddr)
	case KindUint8, KindUint16, KindUint32, KindInt32, KindUint16s:
		return k.encodeNumbers(v)
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
	case KindPairs:
		return encodePairs(v)
	case KindRoutes:
		return encodeRoutes(v)
	case KindSIP:
		return encodeSIP(v)
	case KindFlag:
		if v != "" {
			return nil, fmt.Errorf("it has no value; leave %q out", v)
		}
		return nil, nil
	case KindVendor:
		return encodeVendor(v)
	case KindVIVSO:
		return encodeVIVSO(v)
	case KindHex:
	}
	return parseHex(v)
}

func (k Kind) encodeNumbers(v string) ([]byte, error) {
	switch k {
	case KindUint8, KindUint16:
		return encodeUint(v, map[Kind]int{KindUint8: 8, KindUint16: 16}[k])
	case KindUint16s:
		var b []byte
		for _, f := range split(v) {
			n, err := encodeUint(f, 16)
			if err != nil {
				return nil, err
			}
			b = append(b, n...)
		}
		if len(b) == 0 {
			return nil, errors.New("there is no number")
		}
		return b, nil
	default:
	}
	if t, err := time.ParseDuration(v); err == nil {
		v = strconv.FormatInt(int64(t/time.Second), 10)
	}
	n, err := strconv.ParseInt(v, 0, 64)
	if err != nil || n < -1<<31 || n > 1<<32-1 || k == KindUint32 && n < 0 || k == KindInt32 && n > 1<<31-1 {
		return nil, fmt.Errorf("%q is not a number of 32 bits", v)
	}
	return binary.BigEndian.AppendUint32(nil, uint32(n)), nil // two's complement is the wire format
}

func encodeUint(v string, size int) ([]byte, error) {
	n, err := strconv.ParseUint(v, 0, size)
	if err != nil {
		return nil, fmt.Errorf("%q is not a number of %d bits", v, size)
	}
	if size == 8 {
		return []byte{byte(n)}, nil //nolint:gosec // parsed as 8 bits
	}
	return binary.BigEndian.AppendUint16(nil, uint16(n)), nil //nolint:gosec // parsed as 16 bits
}

func parseHex(v string) ([]byte, error) {
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(v))
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal digits such as 0a:00:01", v)
	}
	return b, nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return netip.Addr{}, fmt.Errorf("%q is not an IPv4 address", s)
	}
	return a, nil
}

func encodeAddrs(fields []string, v string, one bool) ([]byte, error) {
	var b []byte
	if len(fields) == 0 || one && len(fields) > 1 {
		return nil, fmt.Errorf("%q is not one IPv4 address", v)
	}
	for _, f := range fields {
		a, err := parseAddr(f)
		if err != nil {
			return nil, err
		}
		b = append(b, a.AsSlice()...)
	}
	return b, nil
}

// encodePairs encodes options 21 and 33.
func encodePairs(v string) ([]byte, error) {
	var b []byte
	for item := range items(v) {
		fields := strings.Fields(item)
		if len(fields) != 2 {
			return nil, fmt.Errorf("%q is not two addresses, such as 203.0.113.5 192.0.2.254", item)
		}
		two, err := encodeAddrs(fields, item, false)
		if err != nil {
			return nil, err
		}
		b = append(b, two...)
	}
	if len(b) == 0 {
		return nil, errors.New("there is no pair of addresses")
	}
	return b, nil
}

// encodeRoutes encodes option 121: for each route the width of its prefix, as many bytes of it as are significant, and
// the router (RFC 3442).
func encodeRoutes(v string) ([]byte, error) {
	var b []byte
	for item := range items(v) {
		fields := strings.Fields(item)
		if len(fields) != 2 {
			return nil, fmt.Errorf("%q is not a route such as 10.0.0.0/8 192.0.2.1, or default 192.0.2.254", item)
		}
		if fields[0] == "default" {
			fields[0] = "0.0.0.0/0"
		}
		p, err := netip.ParsePrefix(fields[0])
		if err != nil || !p.Addr().Is4() {
			return nil, fmt.Errorf("%q is not an IPv4 network such as 10.0.0.0/8, or default", fields[0])
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%s has host bits set; write %s", p, p.Masked())
		}
		router, err := parseAddr(fields[1])
		if err != nil {
			return nil, err
		}
		b = append(b, byte(p.Bits())) //nolint:gosec // at most 32
		b = append(append(b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...), router.AsSlice()...)
	}
	if len(b) == 0 {
		return nil, errors.New("there is no route")
	}
	return b, nil
}

// routes yields the prefixes of option 121, and whether all of it could be read.
func routes(b []byte) (list []netip.Prefix, ok bool) {
	for len(b) > 0 {
		width := int(b[0])
		size := (width + 7) / 8
		if width > 32 || len(b) < 1+size+4 {
			return list, false
		}
		var a [4]byte
		copy(a[:], b[1:1+size])
		list = append(list, netip.PrefixFrom(netip.AddrFrom4(a), width))
		b = b[1+size+4:]
	}
	return list, true
}

// encodeSIP encodes option 120 (RFC 3361 §3): a byte that says which, then names or addresses.
func encodeSIP(v string) ([]byte, error) {
	fields := split(v)
	addrs := 0
	for _, f := range fields {
		if _, err := parseAddr(f); err == nil {
			addrs++
		}
	}
	switch {
	case len(fields) == 0:
		return nil, errors.New("there is no SIP server")
	case addrs == 0:
		b, err := encodeDomains(v)
		return append([]byte{0}, b...), err
	case addrs < len(fields):
		return nil, errors.New("names and addresses can't be mixed (RFC 3361); use one kind")
	}
	b, err := encodeAddrs(fields, v, false)
	return append([]byte{1}, b...), err
}

func encodeDomains(v string) ([]byte, error) {
	var b []byte
	for _, name := range split(v) {
		start := len(b)
		for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
			if label == "" || len(label) > 63 {
				return nil, fmt.Errorf("%q is not a domain name", name)
			}
			b = append(append(b, byte(len(label))), label...) //nolint:gosec // at most 63
		}
		b = append(b, 0)
		if len(b)-start > 255 { // RFC 1035 §3.1
			return nil, fmt.Errorf("%.60q… is no domain name: it has over 255 bytes", name)
		}
	}
	if len(b) == 0 {
		return nil, errors.New("there is no domain name")
	}
	return b, nil
}

func split(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
}

// items yields what is between commas and isn't blank.
func items(v string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.TrimSpace(item); item != "" && !yield(item) {
				return
			}
		}
	}
}

// check reports what is wrong with a value's length, or with what a client would have to read of it.
func (d Def) check(b []byte) error {
	if len(b) > maxOption {
		return fmt.Errorf("%d bytes are too many for a DHCP reply; %d are the most", len(b), maxOption)
	}
	least, part := d.Kind.size()
	switch {
	case d.Kind == KindFlag && len(b) > 0:
		return errors.New("it has no value; leave it out")
	case least > 0 && len(b) == 0:
		return errors.New("it is empty, which this option can't be; give it a value or leave it out")
	case len(b) < least || part > 0 && len(b)%part != 0 || part == 0 && d.Kind != KindText && least > 0 && len(b) != least:
		return fmt.Errorf("%d bytes are no value of this option", len(b))
	case d.Kind == KindRoutes:
		if _, ok := routes(b); !ok {
			return errors.New("its routes are cut short, or a prefix is longer than 32 bits")
		}
	case d.Kind == KindSIP && (b[0] > 1 || b[0] == 1 && (len(b) < 5 || len(b)%4 != 1)):
		return errors.New("it is neither names (0 first) nor addresses (1 first, then four bytes each)")
	case d.Kind == KindVIVSO && !wholeVIVSO(b):
		return errors.New("its enterprises are cut short")
	}
	return nil
}

// size returns the least length of a value, and of what it may have several; a part of zero means that there is one,
// of the least length, or of one that no rule bounds.
func (k Kind) size() (least, part int) {
	switch k {
	case KindText, KindBool, KindUint8:
		return 1, 0
	case KindAddr, KindUint32, KindInt32:
		return 4, 0
	case KindUint16:
		return 2, 0
	case KindUint16s:
		return 2, 2
	case KindAddrs:
		return 4, 4
	case KindPairs:
		return 8, 8
	case KindDomains:
		return 2, 1
	case KindSIP:
		return 3, 1
	case KindRoutes, KindVIVSO:
		return 5, 1
	case KindHex, KindVendor, KindFlag:
	}
	return 0, 0
}
