package provision

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPath is the longest path that a request may have, in bytes.
const maxPath = 255

// Clean makes a [Request.Path] of a file name as a phone wrote it: backslashes become slashes; leading and trailing
// slashes, doubled ones and "." segments go. The root is the empty path.
//
// ErrInvalid, which front ends answer like a missing file: a ".." segment, a control character, text that isn't UTF-8, or
// more than 255 bytes. Clean decodes nothing: HTTP's %xx is the front end's, before.
func Clean(raw string) (string, error) {
	if tidy, ok := trimmed(raw); ok {
		return tidy, nil
	}
	switch {
	case len(raw) > maxPath:
		return "", fmt.Errorf("path of %d bytes, more than %d: %w", len(raw), maxPath, ErrInvalid)
	case !utf8.ValidString(raw):
		return "", fmt.Errorf("path isn't UTF-8: %w", ErrInvalid)
	case strings.ContainsFunc(raw, unicode.IsControl):
		return "", fmt.Errorf("path with a control character: %w", ErrInvalid)
	}
	segments := strings.FieldsFunc(raw, func(c rune) bool { return c == '/' || c == '\\' })
	kept := segments[:0]
	for _, s := range segments {
		switch s {
		case ".":
		case "..":
			return "", fmt.Errorf("path with a %q segment: %w", s, ErrInvalid)
		default:
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, "/"), nil
}

// trimmed cleans a path that has nothing to clean but slashes around it, as nearly all have. It reports whether this is
// one.
func trimmed(raw string) (string, bool) {
	if len(raw) > maxPath {
		return "", false
	}
	tidy := strings.Trim(raw, "/")
	last := byte('/')
	for i := range len(tidy) {
		c := tidy[i]
		if c < ' ' || c > '~' || c == '\\' || last == '/' && (c == '/' || c == '.') {
			return "", false
		}
		last = c
	}
	return tidy, true
}
