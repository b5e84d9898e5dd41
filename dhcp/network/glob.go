package network

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxPattern bounds a pattern in bytes.
const maxPattern = 256

// glob is a compiled pattern. Its time is linear in the value's length but for pieces with question marks, where it is
// at worst the product of both lengths, each of which is bounded; it never backtracks over stars.
type glob struct {
	re     *regexp.Regexp
	pieces []piece // between the stars
	exact  bool    // of the value's case
}

// piece is literal text in which some bytes may be any.
type piece struct {
	text string
	any  []bool // nil: none
}

// value is what a client sent, twice.
type value struct{ raw, folded string }

// text makes a value of bytes that are text to the client. NULs at its end are what C programs left there.
func text(s string) value {
	s = strings.TrimRight(s, "\x00")
	return value{s, fold(s)}
}

// fold lowers the case of ASCII letters and leaves all other bytes as they are.
func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// compile reads a pattern; exact: upper and lower case differ.
func compile(pattern string, exact bool) (glob, error) {
	if len(pattern) > maxPattern {
		return glob{}, fmt.Errorf("a pattern of %d bytes is too long; %d is the most", len(pattern), maxPattern)
	}
	if expr, ok := strings.CutPrefix(pattern, "re:"); ok {
		re, err := regexp.Compile(expr)
		if err != nil {
			return glob{}, fmt.Errorf("%q is no regular expression: %w", expr, err)
		}
		return glob{re: re}, nil
	}
	if digits, ok := strings.CutPrefix(pattern, "hex:"); ok {
		return compileHex(digits)
	}
	if !exact {
		pattern = fold(pattern)
	}
	g := glob{exact: exact}
	var p piece
	add := func(c byte, wild bool) {
		if wild && p.any == nil {
			p.any = make([]bool, len(p.text), len(pattern))
		}
		if p.any != nil {
			p.any = append(p.any, wild)
		}
		p.text += string([]byte{c})
	}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			g.pieces = append(g.pieces, p)
			p = piece{}
		case '?':
			add(0, true)
		case '\\':
			if i++; i == len(pattern) {
				return glob{}, fmt.Errorf("%q ends with a backslash; write two for one", pattern)
			}
			add(pattern[i], false)
		default:
			add(c, false)
		}
	}
	g.pieces = append(g.pieces, p)
	return g, nil
}

func compileHex(digits string) (glob, error) {
	g := glob{exact: true}
	for part := range strings.SplitSeq(strings.NewReplacer(":", "", " ", "").Replace(digits), "*") {
		b, err := hex.DecodeString(part)
		if err != nil {
			return glob{}, fmt.Errorf("%q is not pairs of hexadecimal digits, perhaps with stars between, such as 0000363d*", digits)
		}
		g.pieces = append(g.pieces, piece{text: string(b)})
	}
	return g, nil
}

// match reports whether the pattern fits the whole value.
func (g *glob) match(v value) bool {
	s := v.folded
	switch {
	case v.raw == "": // absent
		return g.re == nil && len(g.pieces) == 1 && g.pieces[0].text == ""
	case g.re != nil:
		return g.re.MatchString(v.raw)
	case g.exact:
		s = v.raw
	}
	first, last := &g.pieces[0], &g.pieces[len(g.pieces)-1]
	if len(g.pieces) == 1 {
		return len(s) == len(first.text) && first.at(s)
	}
	if len(s) < len(first.text)+len(last.text) || !first.at(s) || !last.at(s[len(s)-len(last.text):]) {
		return false
	}
	s = s[len(first.text) : len(s)-len(last.text)]
	for i := range g.pieces[1 : len(g.pieces)-1] {
		// The earliest place leaves most for the rest, so no other needs be tried.
		p := &g.pieces[i+1]
		n := p.find(s)
		if n < 0 {
			return false
		}
		s = s[n+len(p.text):]
	}
	return true
}

// at reports whether s, which is long enough, begins with the piece.
func (p *piece) at(s string) bool {
	if p.any == nil {
		return s[:len(p.text)] == p.text
	}
	for i := range len(p.text) {
		if !p.any[i] && s[i] != p.text[i] {
			return false
		}
	}
	return true
}

// find returns where the piece first is in s, or -1.
func (p *piece) find(s string) int {
	if p.any == nil {
		return strings.Index(s, p.text)
	}
	for i := 0; i+len(p.text) <= len(s); i++ {
		if p.at(s[i:]) {
			return i
		}
	}
	return -1
}

// macPrefix is the beginning of a hardware address.
type macPrefix struct {
	bytes [6]byte
	size  int
}

// parseMAC reads the beginning of a hardware address, with colons, dashes, dots or nothing between the digits.
func parseMAC(s string) (macPrefix, error) {
	b, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "", ".", "").Replace(s))
	if err != nil || len(b) == 0 || len(b) > 6 {
		return macPrefix{}, fmt.Errorf("%q is not the beginning of a MAC address, such as 00:15:65", s)
	}
	m := macPrefix{size: len(b)}
	copy(m.bytes[:], b)
	return m, nil
}

// printable writes bytes of a client's for a message: as they are if they are plain text, else as digits.
func printable(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return "hex:" + hex.EncodeToString([]byte(s))
		}
	}
	return strconv.Quote(s)
}

// ParseID reads the bytes that identify a client: "hex:01001565aabbcc", or the text itself.
func ParseID(s string) (string, error) {
	digits, ok := strings.CutPrefix(s, "hex:")
	if !ok {
		return s, nil
	}
	b, err := parseHex(digits)
	if err == nil && len(b) == 0 {
		err = errors.New("there are no hexadecimal digits")
	}
	return string(b), err
}
