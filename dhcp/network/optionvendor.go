package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// encodeVendor encodes option 43 (RFC 2132 §8.4): sub-options of a code, a length and as many bytes. Lines without a
// kind are hexadecimal digits, for what no rule describes.
func encodeVendor(v string) ([]byte, error) {
	if f := strings.Fields(v); len(f) < 2 || !isKind(f[1]) {
		return parseHex(v)
	}
	var b []byte
	var seen []uint8
	for line := range lines(v) {
		code, rest, _ := strings.Cut(line, " ")
		sub, err := encodeSub(code, rest)
		if err != nil {
			return nil, err
		}
		if slices.Contains(seen, sub[0]) {
			return nil, fmt.Errorf("sub-option %d is given twice; keep one", sub[0])
		}
		seen = append(seen, sub[0])
		b = append(b, sub...)
	}
	return b, nil
}

// encodeVIVSO encodes option 125 (RFC 3925 §4): for each enterprise its number, a length, and its sub-options.
func encodeVIVSO(v string) ([]byte, error) {
	if f := strings.Fields(v); len(f) < 2 || !isKind(f[1]) && (len(f) < 3 || !isKind(f[2])) {
		b, err := parseHex(v)
		switch {
		case err != nil:
		case len(b) == 0:
			err = errors.New("there is no enterprise")
		case !wholeVIVSO(b):
			err = errors.New("its enterprises are cut short")
		}
		return b, err
	}
	var order []uint32
	parts := make(map[uint32][]byte)
	for line := range lines(v) {
		head, rest, _ := strings.Cut(line, " ")
		n, err := strconv.ParseUint(head, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not an enterprise's number", head)
		}
		number := uint32(n)
		var data []byte
		if word, value, _ := strings.Cut(strings.TrimSpace(rest), " "); isKind(word) {
			data, err = encodeKind(word, value)
		} else {
			data, err = encodeSub(word, value)
		}
		if err != nil {
			return nil, fmt.Errorf("enterprise %d: %w", number, err)
		}
		if !slices.Contains(order, number) {
			order = append(order, number)
		}
		parts[number] = append(parts[number], data...)
	}
	var b []byte
	for _, number := range order {
		data := parts[number]
		if len(data) > 255 {
			return nil, fmt.Errorf("enterprise %d: %d bytes are too many; 255 are the most", number, len(data))
		}
		b = append(binary.BigEndian.AppendUint32(b, number), byte(len(data))) //nolint:gosec // at most 255
		b = append(b, data...)
	}
	return b, nil
}

// encodeSub encodes one sub-option, given its code and "kind value".
func encodeSub(code, rest string) ([]byte, error) {
	n, err := strconv.ParseUint(code, 10, 8)
	if err != nil || n == 0 || n == 255 { // RFC 2132 §8.4: padding and the end
		return nil, fmt.Errorf("%q is not a sub-option's code (1-254)", code)
	}
	word, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
	data, err := encodeKind(word, value)
	if err == nil && len(data) > 255 {
		err = fmt.Errorf("%d bytes are too many; 255 are the most", len(data))
	}
	if err != nil {
		return nil, fmt.Errorf("sub-option %d: %w", n, err)
	}
	return append([]byte{byte(n), byte(len(data))}, data...), nil //nolint:gosec // each at most 255
}

func encodeKind(word, value string) ([]byte, error) {
	kind, ok := kindNames()[word]
	if !ok {
		return nil, fmt.Errorf("%q is no kind of value; write it before the value, such as: text http://192.0.2.1/", word)
	}
	return kind.encode(strings.TrimSpace(value))
}

func isKind(word string) bool {
	_, ok := kindNames()[word]
	return ok
}

// lines yields the lines that aren't blank.
func lines(v string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(v) {
			if line = strings.TrimSpace(line); line != "" && !yield(line) {
				return
			}
		}
	}
}

// wholeVIVSO reports whether the lengths in option 125 add up.
func wholeVIVSO(b []byte) bool {
	for _, data := range enterprises(b) {
		b = b[5+len(data):]
	}
	return len(b) == 0
}

// Narrow returns option 125 with only those enterprises that the client names in its own options 124 or 125: of the
// others' values it understands nothing (RFC 3925 §4). It is false when none are left. Other options, and what is for a
// client that names no enterprise, it returns as they are.
func (f *Facts) Narrow(o Option) (Option, bool) {
	if o.Code != codeVendorInfo || len(f.Options[codeVendorID])+len(f.Options[codeVendorInfo]) == 0 {
		return o, true
	}
	var named []uint32
	for _, code := range [...]uint8{codeVendorID, codeVendorInfo} {
		for number := range enterprises(f.Options[code]) {
			named = append(named, number)
		}
	}
	var b []byte
	for number, data := range enterprises(o.Data) {
		if slices.Contains(named, number) {
			b = append(binary.BigEndian.AppendUint32(b, number), byte(len(data))) //nolint:gosec // it was a byte
			b = append(b, data...)
		}
	}
	o.Data = b
	return o, len(b) > 0 || o.Never
}

// Terminate returns the option with a NUL at its end if it is a text without one.
func Terminate(o Option) Option {
	if n := len(o.Data); isText(o.Code) && n > 0 && o.Data[n-1] != 0 {
		o.Data = append(slices.Clip(o.Data), 0)
	}
	return o
}

// isText reports whether an option's kind is text; a test holds it to [Defs].
func isText(code uint8) bool {
	switch code {
	case codeHostname, 15, 17, 40, 47, 60, 64, 66, 67, 98, 100, 101, 113, 114, 144, 157, 159, 160, 161, 176, 191, 209, 210, 242, 252:
		return true
	}
	return code >= 128 && code <= 135
}
