package provision

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxPrintable is how many bytes of a text from outside people are shown.
const maxPrintable = 256

// Printable returns a text from outside in a form that is safe to show on a terminal or a page: control characters and
// bytes that aren't UTF-8 as Go escapes them, and no more than 256 bytes of it.
func Printable(s string) string {
	cut := len(s) > maxPrintable
	if cut {
		s = s[:maxPrintable]
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		s = strconv.Quote(s)
		s = s[1 : len(s)-1]
	}
	if cut {
		s += "…"
	}
	return s
}
