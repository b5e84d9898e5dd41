package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind says how printed values are escaped.
type Kind string

// The kinds; the package comment says what each does.
const (
	Line Kind = "line"
	XML  Kind = "xml"
	JSON Kind = "json"
	Text Kind = "text"
)

// Kinds returns every kind.
func Kinds() []Kind { return []Kind{Line, XML, JSON, Text} }

// escaper returns the function that every print action of that kind ends in.
func (k Kind) escaper() func(any) (string, error) {
	switch k {
	case XML:
		return escapeXML
	case JSON:
		return escapeJSON
	case Text:
		return escapeText
	case Line:
	}
	return escapeLine
}

// plainText returns v if it is a short text of printable ASCII without any of some characters, as nearly all values are.
func plainText(v any, but string) (string, bool) {
	s, ok := v.(string)
	if !ok || len(s) > maxText {
		return "", false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7E || but != "" && strings.IndexByte(but, c) >= 0 {
			return "", false
		}
	}
	return s, true
}

func escapeLine(v any) (string, error) {
	if s, ok := plainText(v, ""); ok {
		return s, nil
	}
	s, err := scalar(v)
	if err != nil {
		return "", err
	}
	for i, r := range s {
		// U+0085, U+2028 and U+2029 end a line for some readers.
		if isControl(r) || r == 0x2028 || r == 0x2029 {
			return "", badRune(s, i, r)
		}
	}
	return s, nil
}

func escapeText(v any) (string, error) {
	s, err := scalar(v)
	if err != nil {
		return "", err
	}
	for i, r := range s {
		if isControl(r) && r != '\n' && r != '\t' {
			return "", badRune(s, i, r)
		}
	}
	return s, nil
}

// escapeXML makes a value fit for element content and for attribute values in either quote. Line breaks and tabulators
// are written as references, which an attribute's normalisation leaves alone (XML 1.0 §3.3.3).
func escapeXML(v any) (string, error) {
	if s, ok := plainText(v, "&<>\"'"); ok {
		return s, nil
	}
	s, err := scalar(v)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&#34;")
		case r == '\'':
			b.WriteString("&#39;")
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteString("&#" + strconv.Itoa(int(r)) + ";")
		case r < 0x20 || r == 0xFFFE || r == 0xFFFF: // XML 1.0 §2.2
			return "", badRune(s, i, r)
		default:
			b.WriteRune(r)
		}
	}
	return limited(b.String())
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7F && r < 0xA0 }

// badRune names the place but not the value: it may be a password.
func badRune(s string, i int, r rune) error {
	return fmt.Errorf("the value has the character %U at place %d, which this kind of file can't hold", r, utf8.RuneCountInString(s[:i])+1)
}

// escapeJSON writes any value that data may hold. It is our own walk, because a template can build a small value that
// encoding/json would print at any length: a list that holds itself twice, forty times over.
func escapeJSON(v any) (string, error) {
	b, err := appendJSON(nil, reflect.ValueOf(v), 0)
	return string(b), err
}

func appendJSON(b []byte, v reflect.Value, depth int) ([]byte, error) {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if depth > 32 {
		return nil, fmt.Errorf("the value is nested over 32 deep")
	}
	if len(b) > maxText {
		return nil, errTooLong
	}
	if !v.IsValid() {
		return append(b, "null"...), nil
	}
	switch v.Kind() { //nolint:exhaustive // the rest are scalars or errors
	case reflect.Map:
		return appendObject(b, v, depth)
	case reflect.Slice, reflect.Array:
		if _, ok := reflect.TypeAssert[fmt.Stringer](v); ok {
			break
		}
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendJSON(b, v.Index(i), depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	plain, err := plain(v.Interface())
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return nil, err
	}
	return append(b, text...), nil
}

func appendObject(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("a map with keys that aren't text has no JSON form")
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(k.String())
		if err != nil {
			return nil, err
		}
		b = append(append(b, name...), ':')
		if b, err = appendJSON(b, v.MapIndex(k), depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// scalar returns a single value as text, nil as none.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case string:
		if !utf8.ValidString(v) {
			return "", errNotText
		}
		return limited(v)
	}
	p, err := plain(v)
	if err != nil || p == nil {
		return "", err
	}
	if s, ok := p.(string); ok {
		return s, nil
	}
	return fmt.Sprint(p), nil
}

var errNotText = errors.New("the value isn't UTF-8 text")

// plain returns a single value as nil, string, bool, int64, uint64 or float64. Text must be UTF-8 and not too long.
func plain(v any) (any, error) {
	var s string
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string:
		s = x
	case fmt.Stringer:
		s = x.String()
	default:
		r := reflect.ValueOf(v)
		switch {
		case r.Kind() == reflect.String:
			s = r.String()
		case r.Kind() == reflect.Bool:
			return r.Bool(), nil
		case r.CanInt():
			return r.Int(), nil
		case r.CanUint():
			return r.Uint(), nil
		case r.CanFloat():
			return r.Float(), nil
		case r.Kind() == reflect.Map:
			return nil, fmt.Errorf("this is a map, not a single value; range over it or name one of its keys")
		case r.Kind() == reflect.Slice || r.Kind() == reflect.Array:
			return nil, fmt.Errorf("this is a list, not a single value; range over it or join it")
		default:
			return nil, fmt.Errorf("this is a %s, not a single value; name one of its fields", r.Kind())
		}
	}
	if !utf8.ValidString(s) {
		return nil, errNotText
	}
	return limited(s)
}
