package httpd

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/dialtone-project/dialtone/provision"
)

// maxField bounds what is kept of a header, and of the path as it was written.
const maxField = 512

// path returns the cleaned path of a request target (RFC 9112 §3.2), and the path as it was written, fit for the
// journal. The query is left out of both: it names no file, and may hold a token.
//
// Percent-encoding is undone once: %252e%252e is the name "%2e%2e". [provision.ErrInvalid] if the target names no file.
func path(target string) (clean, raw string, err error) {
	target, _, _ = strings.Cut(target, "?")
	if !strings.HasPrefix(target, "/") {
		// The absolute form is for proxies, but every server must take it (RFC 9112 §3.2.2).
		scheme, rest, ok := strings.Cut(target, "://")
		if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return "", printable(target), fmt.Errorf("request target names no file: %w", provision.ErrInvalid)
		}
		_, after, _ := strings.Cut(rest, "/")
		target = "/" + after
	}
	raw = printable(target)
	decoded, err := url.PathUnescape(target)
	if err != nil {
		return "", raw, fmt.Errorf("%w: %w", err, provision.ErrInvalid)
	}
	clean, err = provision.Clean(decoded)
	return clean, raw, err
}

// printable makes text of a client fit for journal and log.
func printable(s string) string {
	if len(s) > maxField {
		s = s[:maxField]
	}
	if plain(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return s
}

// plain reports whether text has only printable ASCII characters.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
