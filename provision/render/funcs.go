package render

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// functions returns what templates may call, the escaper's name included, which each kind's clone binds. None reads a
// file, opens a connection or starts anything, and none returns text over 64 KiB.
func functions() template.FuncMap {
	zones := &zoneCache{}
	return template.FuncMap{
		escFunc: escapeLine,

		"print": printAll, "println": printLine, "printf": printFormat,
		"html":     escapedBy(html.EscapeString),
		"js":       escapedBy(template.JSEscapeString),
		"urlquery": escapedBy(url.QueryEscape),

		"default": func(d, v any) any {
			if empty(v) {
				return first(d)
			}
			return v
		},
		"first":   first,
		"get":     get,
		"has":     func(m any, key string) (bool, error) { v, err := lookup(m, key); return v != nil, err },
		"dict":    dict,
		"list":    func(v ...any) []any { return slices.Clone(v) },
		"numeric": numeric,

		"seq": seq,
		"int": integer,
		"add": arithmetic(func(a, b int64) (int64, error) { return a + b, nil }),
		"sub": arithmetic(func(a, b int64) (int64, error) { return a - b, nil }),
		"mul": arithmetic(func(a, b int64) (int64, error) { return a * b, nil }),
		"div": arithmetic(divide),
		"mod": arithmetic(modulo),
		"min": arithmetic(func(a, b int64) (int64, error) { return min(a, b), nil }),
		"max": arithmetic(func(a, b int64) (int64, error) { return max(a, b), nil }),
		"neg": func(v any) (int64, error) { n, err := integer(v); return -n, err },

		"join":       join,
		"split":      split,
		"upper":      onText(strings.ToUpper),
		"lower":      onText(strings.ToLower),
		"trim":       onText(strings.TrimSpace),
		"replace":    replace,
		"truncate":   truncate,
		"contains":   testText(func(s, sub string) bool { return strings.Contains(s, sub) }),
		"hasprefix":  testText(strings.HasPrefix),
		"hassuffix":  testText(strings.HasSuffix),
		"trimprefix": cutText(strings.TrimPrefix),
		"trimsuffix": cutText(strings.TrimSuffix),
		"mac":        mac,
		"base64":     onText(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
		"fail":       func(why string) (string, error) { return "", errors.New(why) },

		"zone":      zones.zone,
		"ciscozone": zones.cisco,
	}
}

// empty reports whether v is nil, false, "", 0 or an empty list or map.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case int:
		return v == 0
	case int64:
		return v == 0
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	truth, ok := template.IsTrue(v)
	return ok && !truth
}

func first(vs ...any) any {
	for _, v := range vs {
		if !empty(v) {
			return v
		}
	}
	return nil
}

// lookup returns the value of a key, nil if there is none or it is nil or "". A nil map has no keys.
func lookup(m any, key string) (any, error) {
	switch m := m.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		if v := m[key]; v != "" {
			return v, nil
		}
		return nil, nil
	}
	r := reflect.ValueOf(m)
	if r.Kind() != reflect.Map || r.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("this is a %s, not a map", r.Kind())
	}
	v := r.MapIndex(reflect.ValueOf(key).Convert(r.Type().Key()))
	if !v.IsValid() || v.Interface() == nil || v.Interface() == "" {
		return nil, nil
	}
	return v.Interface(), nil
}

func get(m any, key string, def ...any) (any, error) {
	if len(def) > 1 {
		return nil, errors.New("get takes a map, a key and at most one default")
	}
	v, err := lookup(m, key)
	if v == nil && len(def) == 1 {
		v = def[0]
	}
	return v, err
}

func dict(kv ...any) (map[string]any, error) {
	if len(kv)%2 != 0 {
		return nil, errors.New("dict takes keys and values in turn")
	}
	m := make(map[string]any, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		k, ok := kv[i].(string)
		if !ok {
			return nil, fmt.Errorf("key %d of dict is a %T, not text", i/2+1, kv[i])
		}
		m[k] = kv[i+1]
	}
	return m, nil
}

// Entry is one entry of a map, as the function numeric lists them.
type Entry struct {
	Key    string
	Number int64 // the key's value; 0 if it isn't a number
	Value  any

	text bool // the key isn't a number
}

func numeric(m any) ([]Entry, error) {
	entries, err := entriesOf(m)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		e := &entries[i]
		n, err := strconv.ParseInt(e.Key, 10, 64)
		if e.text = err != nil; !e.text {
			e.Number = n
		}
	}
	if counted(entries) {
		return entries, nil
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if a.text != b.text {
			if b.text {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Key, b.Key))
	})
	return entries, nil
}

// counted puts entries with the numbers from 1 on in their order, as most tables have them; false: they have others.
func counted(entries []Entry) bool {
	for i := range entries {
		for n := entries[i].Number; n != int64(i+1); n = entries[i].Number {
			if n < 1 || n > int64(len(entries)) || entries[n-1].Number == n {
				return false
			}
			entries[i], entries[n-1] = entries[n-1], entries[i]
		}
	}
	return true
}

func entriesOf(m any) ([]Entry, error) {
	if m == nil {
		return nil, nil
	}
	if m, ok := m.(map[string]any); ok {
		entries := make([]Entry, 0, len(m))
		for k, v := range m {
			entries = append(entries, Entry{Key: k, Value: v})
		}
		return entries, nil
	}
	r := reflect.ValueOf(m)
	if r.Kind() != reflect.Map || r.Type().Key().Kind() != reflect.String {
		return nil, fmt.Errorf("this is a %s, not a map", r.Kind())
	}
	entries := make([]Entry, 0, r.Len())
	for it := r.MapRange(); it.Next(); {
		entries = append(entries, Entry{Key: it.Key().String(), Value: it.Value().Interface()})
	}
	return entries, nil
}

func seq(from, to any) ([]int64, error) {
	const most = 1000
	a, err := integer(from)
	if err != nil {
		return nil, err
	}
	b, err := integer(to)
	if err != nil || b < a {
		return nil, err
	}
	if uint64(b)-uint64(a) >= most { //nolint:gosec // b ≥ a, and the difference of any two int64 fits
		return nil, fmt.Errorf("seq %d %d has over %d numbers", a, b, most)
	}
	s := make([]int64, 0, b-a+1)
	for i := range b - a + 1 {
		s = append(s, a+i)
	}
	return s, nil
}

func integer(v any) (int64, error) {
	switch n := v.(type) {
	case int:
		return int64(n), nil
	case int64:
		return n, nil
	}
	p, err := plain(v)
	if err != nil {
		return 0, err
	}
	switch x := p.(type) {
	case int64:
		return x, nil
	case uint64:
		if x>>63 == 0 {
			return int64(x), nil
		}
	case float64:
		if x == float64(int64(x)) && x < 1<<53 && x > -1<<53 {
			return int64(x), nil
		}
	case nil:
		return 0, nil
	case string:
		if x = strings.TrimSpace(x); x == "" {
			return 0, nil
		}
		if n, err := strconv.ParseInt(x, 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, errors.New("the value isn't a whole number")
}

func arithmetic(op func(a, b int64) (int64, error)) func(a, b any) (int64, error) {
	return func(a, b any) (int64, error) {
		x, err := integer(a)
		if err != nil {
			return 0, err
		}
		y, err := integer(b)
		if err != nil {
			return 0, err
		}
		return op(x, y)
	}
}

var errZero = errors.New("division by zero")

func divide(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errZero
	}
	return a / b, nil
}

func modulo(a, b int64) (int64, error) {
	if b == 0 {
		return 0, errZero
	}
	return a % b, nil
}

func join(sep string, list any) (string, error) {
	if list == nil {
		return "", nil
	}
	r := reflect.ValueOf(list)
	if r.Kind() != reflect.Slice && r.Kind() != reflect.Array {
		return "", fmt.Errorf("join takes a list, not a %s", r.Kind())
	}
	var b strings.Builder
	for i := range r.Len() {
		s, err := scalar(r.Index(i).Interface())
		if err != nil {
			return "", fmt.Errorf("entry %d: %w", i+1, err)
		}
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(s)
		if b.Len() > maxText {
			return "", errTooLong
		}
	}
	return b.String(), nil
}

func split(sep string, v any) ([]string, error) {
	s, err := scalar(v)
	if err != nil || s == "" {
		return nil, err
	}
	return strings.Split(s, sep), nil
}

func onText(f func(string) string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, err := scalar(v)
		if err != nil {
			return "", err
		}
		return limited(f(s))
	}
}

func testText(f func(s, part string) bool) func(part string, v any) (bool, error) {
	return func(part string, v any) (bool, error) {
		s, err := scalar(v)
		return err == nil && f(s, part), err
	}
}

func cutText(f func(s, part string) string) func(part string, v any) (string, error) {
	return func(part string, v any) (string, error) {
		s, err := scalar(v)
		return f(s, part), err
	}
}

func replace(old, with string, v any) (string, error) {
	s, err := scalar(v)
	if err != nil {
		return "", err
	}
	if len(s)+strings.Count(s, old)*len(with) > 2*maxText {
		return "", errTooLong
	}
	return limited(strings.ReplaceAll(s, old, with))
}

func truncate(n int, v any) (string, error) {
	s, err := scalar(v)
	if err != nil {
		return "", err
	}
	if n < 0 {
		return "", fmt.Errorf("truncate to %d characters makes no sense", n)
	}
	if r := []rune(s); len(r) > n {
		s = string(r[:n])
	}
	return s, nil
}

var errNoAddress = errors.New("the value isn't a hardware address")

// mac writes a hardware address in lower case with sep between its bytes; nothing for no address.
func mac(hw any, sep string) (string, error) {
	s, err := scalar(hw)
	if err != nil || s == "" {
		return "", err
	}
	digits := make([]byte, 0, 12)
	for _, c := range []byte(s) {
		switch {
		case c == ':' || c == '-' || c == '.':
			continue
		case 'A' <= c && c <= 'F':
			c += 'a' - 'A'
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
		default:
			return "", errNoAddress
		}
		if digits = append(digits, c); len(digits) > 12 {
			return "", errNoAddress
		}
	}
	if len(digits) < 12 {
		return "", errNoAddress
	}
	var b strings.Builder
	b.Grow(12 + 5*len(sep))
	for i := 0; i < 12; i += 2 {
		if i > 0 {
			b.WriteString(sep)
		}
		b.Write(digits[i : i+2])
	}
	return b.String(), nil
}
