package network

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxOption bounds an option's value in bytes: more has no room in a reply of the size that every client takes
// (RFC 2131 §2). Over 255 bytes it is sent in several pieces (RFC 3396).
const maxOption = 1024

// Kind says how an option's value is written on the wire.
type Kind uint8

// The kinds of values, by their RFC 2132 shapes where no other is named.
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
	KindPairs               // two addresses each: "203.0.113.5 192.0.2.254, …" (§3.6, §5.8)
	KindRoutes              // RFC 3442: "10.0.0.0/8 192.0.2.1, default 192.0.2.254"
	KindSIP                 // RFC 3361: names or addresses, never both
	KindFlag                // no value: that it is there says it all
	KindUint16s             // one or more
	KindVendor              // RFC 2132 §8.4: sub-options, see [ParseOption]; or anything
	KindVIVSO               // RFC 3925 §4: sub-options of enterprises, see [ParseOption]
)

// kindNames are the words for kinds in sub-options.
func kindNames() map[string]Kind {
	return map[string]Kind{
		"hex": KindHex, "text": KindText, "addr": KindAddr, "addrs": KindAddrs, "uint8": KindUint8, "uint16": KindUint16,
		"uint32": KindUint32, "int32": KindInt32, "bool": KindBool, "domains": KindDomains, "pairs": KindPairs,
		"routes": KindRoutes, "sip": KindSIP, "flag": KindFlag, "uint16s": KindUint16s,
	}
}

// Def describes a known option.
type Def struct {
	Code uint8
	Name string // IANA's name in lower case with dashes
	Kind Kind
}

// serverSets are the options that the server sets itself; an administrator who could would break the protocol.
func serverSets(code uint8) bool {
	switch code {
	case 0, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 82, 255:
		return true
	}
	return false
}

// clientSets are those that only a client or a relay agent says something with: rapid commit and authentication, which
// are negotiated, leasequery's times, subnet selection, a client's vendor identification, the nonce of FORCERENEW.
func clientSets(code uint8) bool {
	switch code {
	case 80, 90, 91, 92, 118, codeVendorID, 145:
		return true
	}
	return false
}

// ParseOption encodes a value for the option named by key, a number ("66") or a name ("tftp-server-name").
// Lists are separated by commas or blanks, but routes and pairs, which have blanks inside, by commas. A value that
// begins with "hex:" is taken as bytes for any option, one that begins with "text:" as text.
//
// Option 43 is made of sub-options, one a line: code, kind and value, such as "2 text http://192.0.2.1/". In option
// 125 the enterprise's number stands before; without a code, the value is all that the enterprise gets. The kinds are
// text, addr, addrs, uint8, uint16, uint16s, uint32, int32, bool, domains, pairs, routes, sip, flag and hex.
func ParseOption(key, value string) (Option, error) {
	def, err := Lookup(key)
	if err != nil {
		return Option{}, err
	}
	data, err := def.encode(strings.TrimSpace(value))
	if err == nil && len(data) > maxOption {
		err = fmt.Errorf("%d bytes are too many for a DHCP reply; %d are the most", len(data), maxOption)
	}
	if err != nil {
		return Option{}, fmt.Errorf("option %d (%s): %w", def.Code, def.Name, err)
	}
	return Option{Code: def.Code, Data: data}, nil
}

// Lookup returns the definition of the option named by key, a number or a name. Numbers without a name of ours have a
// kind, too: [KindHex].
func Lookup(key string) (Def, error) {
	defs := Defs()
	if n, err := strconv.ParseUint(key, 10, 8); err == nil {
		code := uint8(n)
		switch {
		case serverSets(code):
			return Def{}, fmt.Errorf("option %d is set by the server itself; leave it out", code)
		case clientSets(code):
			return Def{}, fmt.Errorf("option %d is nothing that a server may choose to send; leave it out", code)
		}
		return defOf(defs, code), nil
	}
	if i := slices.IndexFunc(defs, func(d Def) bool { return d.Name == key }); i >= 0 {
		return defs[i], nil
	}
	return Def{}, fmt.Errorf("option %q is unknown; use its number (1-254) or a name such as tftp-server-name", key)
}

func defOf(defs []Def, code uint8) Def {
	if i, ok := slices.BinarySearchFunc(defs, code, func(d Def, c uint8) int { return int(d.Code) - int(c) }); ok {
		return defs[i]
	}
	return Def{Code: code, Name: "option-" + strconv.Itoa(int(code)), Kind: KindHex}
}

// Merge lays options over others: a code in over replaces the same code in base, but what either sends unasked or
// never stays so. Neither slice is changed.
func Merge(base, over []Option) []Option { return overlay(base, over) }

// overlay lays levels over each other, the first at the bottom.
func overlay(levels ...[]Option) []Option {
	total := 0
	for _, l := range levels {
		total += len(l)
	}
	if total == 0 {
		return nil
	}
	out := make([]Option, 0, total)
	var place [256]uint16 // in out, from 1
	for _, l := range levels {
		for _, o := range l {
			if at := place[o.Code]; at > 0 {
				under := &out[at-1]
				o.Force, o.Never = o.Force || under.Force, o.Never || under.Never
				*under = o
				continue
			}
			out = append(out, o)
			place[o.Code] = uint16(len(out)) //nolint:gosec // at most 256
		}
	}
	return out
}
