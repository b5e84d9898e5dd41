// Package hwaddr has the hardware address of a device: six bytes, comparable, readable in any usual spelling.
//
// It is not a general link-layer address: Ethernet is all that a desk phone has, so an address that is not 48 bits
// long is refused where it enters, and everything behind that point can use an [Addr] as a map key.
package hwaddr

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Addr is a 48-bit MAC address. The zero value means that there is none; it is never a device.
type Addr [6]byte

// Parse reads an address in one of the usual spellings: twelve hexadecimal digits in either case, alone or in groups
// of two or four that are separated by one kind of ':', '-', '.' or blank.
// The all-zero address is refused: phones write it where they mean "none".
func Parse(s string) (Addr, error) {
	var digits [12]byte
	n, group := 0, 0
	var sep byte
	size := 0 // digits in the first group; all others must have as many
	for i := range len(s) {
		c := s[i]
		if isHex(c) {
			if n == len(digits) {
				return Addr{}, parseError(s)
			}
			digits[n] = c
			n++
			group++
			continue
		}
		if !strings.ContainsRune(":-. ", rune(c)) || sep != 0 && c != sep || group != 2 && group != 4 && group != 6 || size != 0 && group != size {
			return Addr{}, parseError(s)
		}
		sep, size, group = c, group, 0
	}
	if n != len(digits) || size != 0 && group != size {
		return Addr{}, parseError(s)
	}
	var a Addr
	if _, err := hex.Decode(a[:], digits[:]); err != nil {
		return Addr{}, parseError(s)
	}
	if a.IsZero() {
		return Addr{}, fmt.Errorf("hardware address %q is all zero: it names no device", s)
	}
	return a, nil
}

// MustParse is Parse for constants in tests and tables; it panics on an error.
func MustParse(s string) Addr {
	a, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// FromBytes returns the address in b, and false unless b has exactly six bytes that are not all zero.
func FromBytes(b []byte) (Addr, bool) {
	if len(b) != len(Addr{}) {
		return Addr{}, false
	}
	a := Addr(b)
	return a, !a.IsZero()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func parseError(s string) error {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return fmt.Errorf("%q is not a hardware address: want 12 hexadecimal digits like 00:15:65:aa:bb:cc", s)
}

// IsZero reports whether a is the zero address, which means none.
func (a Addr) IsZero() bool { return a == Addr{} }

// IsGroup reports whether the group bit is set (multicast, broadcast): no device has such an address of its own.
func (a Addr) IsGroup() bool { return a[0]&1 != 0 }

// IsLocal reports whether the address is locally administered, as randomised ones are (IEEE 802-2014 §8.4).
func (a Addr) IsLocal() bool { return a[0]&2 != 0 }

// OUI returns the first three bytes in the form 00:15:65, the part that names the vendor.
func (a Addr) OUI() string { return a.String()[:8] }

// Join writes the twelve lower-case digits with sep between each two.
func (a Addr) Join(sep string) string {
	const digits = "0123456789abcdef"
	var room [17]byte // as much as with separators of one byte
	b := room[:0]
	for i, x := range a {
		if i > 0 {
			b = append(b, sep...)
		}
		b = append(b, digits[x>>4], digits[x&15])
	}
	return string(b)
}

// String writes the address as 00:15:65:aa:bb:cc, and the zero address as the empty string.
func (a Addr) String() string {
	if a.IsZero() {
		return ""
	}
	return a.Join(":")
}

// MarshalText writes the address as String does.
func (a Addr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what Parse reads; the empty text is the zero address.
func (a *Addr) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*a = Addr{}
		return nil
	}
	parsed, err := Parse(string(b))
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
