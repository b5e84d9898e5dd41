package network

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// FormatHex writes bytes as [ParseOption] and [ParseID] read them for whatever kind of value.
func FormatHex(b []byte) string { return "hex:" + hex.EncodeToString(b) }

// FormatOption is the inverse of [ParseOption]: a key and a value that it makes the same option of. The value is for people
// where the option's kind has a plain spelling of those bytes, else in hexadecimal digits; it is empty where there are none.
func FormatOption(o Option) (key, value string) {
	def := defOf(Defs(), o.Code)
	key = def.Name
	if strings.HasPrefix(key, "option-") {
		key = strconv.Itoa(int(o.Code))
	}
	if len(o.Data) == 0 {
		return key, ""
	}
	value = def.Kind.format(o.Data)
	if back, err := ParseOption(key, value); value != "" && err == nil && bytes.Equal(back.Data, o.Data) {
		return key, value
	}
	return key, FormatHex(o.Data)
}

// format spells a value; empty: there is no plain spelling.
func (k Kind) format(b []byte) string {
	switch {
	case k == KindText:
		for _, c := range b {
			if c < ' ' || c > '~' {
				return ""
			}
		}
		return string(b)
	case (k == KindAddr || k == KindAddrs) && len(b)%4 == 0:
		var list []string
		for ; len(b) > 0; b = b[4:] {
			list = append(list, netip.AddrFrom4([4]byte(b[:4])).String())
		}
		return strings.Join(list, ",")
	case k == KindUint8 && len(b) == 1:
		return strconv.Itoa(int(b[0]))
	case k == KindUint16 && len(b) == 2:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case k == KindUint32 && len(b) == 4:
		return strconv.FormatUint(uint64(binary.BigEndian.Uint32(b)), 10)
	case k == KindInt32 && len(b) == 4:
		return strconv.Itoa(int(int32(binary.BigEndian.Uint32(b)))) //nolint:gosec // it is signed
	case k == KindBool && len(b) == 1:
		return strconv.FormatBool(b[0] == 1)
	}
	return ""
}
