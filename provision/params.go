package provision

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check checks params that are complete, as [Inherit] and [Defaults] make them: everything that [CheckLayer] does, and
// that what is required is there. All faults are joined, in the order of their paths; each is an ErrInvalid that names its
// path: "sip_lines.1.password: missing". No fault repeats a secret's value.
func Check(p Params) error { return check(p, true) }

// CheckLayer checks params that may lie on top of others, as those of one config do: every key is known or begins with
// X_, and every value is of its key's type and range. Nil values pass: they unset what lies beneath.
func CheckLayer(p Params) error { return check(p, false) }

func check(p Params, whole bool) error {
	c := checker{whole: whole}
	c.level(p, vocabulary, "")
	slices.SortStableFunc(c.faults, func(a, b fault) int { return CompareVersions(a.path, b.path) })
	errs := make([]error, len(c.faults))
	for i, f := range c.faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// fault is what is wrong with the value at a path.
type fault struct{ path, text string }

func (f fault) Error() string { return f.path + ": " + f.text }

// Is makes every fault an ErrInvalid.
func (f fault) Is(target error) bool { return target == ErrInvalid }

type checker struct {
	whole  bool
	faults []fault
}

func (c *checker) fault(path, format string, args ...any) {
	c.faults = append(c.faults, fault{path, fmt.Sprintf(format, args...)})
}

// level checks a map by its rows: the whole of the params, or an entry of a table.
func (c *checker) level(m map[string]any, rows []Param, prefix string) {
	for key, v := range m {
		if strings.HasPrefix(key, "X_") {
			continue
		}
		row, ok := find(rows, key)
		if !ok {
			hint := ""
			if near := nearest(key, rows); near != "" {
				hint = "; did you mean " + near + "?"
			}
			c.fault(prefix+Printable(key), "unknown parameter%s", hint)
			continue
		}
		if v != nil {
			c.value(row, v, prefix+key)
		}
	}
	if !c.whole {
		return
	}
	for _, row := range rows {
		on, _ := m[row.RequiredIf].(bool)
		if m[row.Name] == nil && (row.Required || row.RequiredIf != "" && on) {
			c.fault(prefix+row.Name, "missing")
		}
	}
	// The one rule that depends on a value.
	if kind, _ := m["type"].(string); strings.HasPrefix(prefix, "funckeys.") && (kind == "speeddial" || kind == "blf") && m["value"] == nil {
		c.fault(prefix+"value", "missing: a key of type %s needs it", kind)
	}
}

func (c *checker) value(row Param, v any, path string) {
	switch row.Type {
	case TypeTable:
		c.table(row, v, path)
	case TypePEMs:
		list, ok := v.([]any)
		if !ok {
			c.fault(path, "want a list of PEM texts, not %s", kindOf(v))
		}
		for i, x := range list {
			if s, ok := x.(string); !ok || !strings.Contains(s, "-----BEGIN ") {
				c.fault(path+"."+strconv.Itoa(i), "want a PEM text")
			}
		}
	case TypeBool:
		if _, ok := v.(bool); !ok {
			c.fault(path, "want true or false, not %s", kindOf(v))
		}
	case TypeInt:
		n, ok := integer(v)
		if !ok {
			c.fault(path, "want a whole number, not %s", kindOf(v))
		} else if n < row.Min || n > row.Max {
			c.fault(path, "want %d to %d, not %d", row.Min, row.Max, n)
		}
	case TypeSecret:
		switch v.(type) {
		case string, Secret:
		default:
			c.fault(path, "want a text, not %s", kindOf(v))
		}
	case TypeString, TypeEnum, TypeHost, TypeURL, TypeTimezone, TypeLocale:
		if s, ok := v.(string); !ok {
			c.fault(path, "want a text, not %s", kindOf(v))
		} else if text := row.fault(s); text != "" {
			c.fault(path, "%s", text)
		}
	}
}

func (c *checker) table(row Param, v any, path string) {
	m, ok := asMap(v)
	if !ok {
		c.fault(path, `want a map from "1", "2" … to entries, not %s`, kindOf(v))
		return
	}
	for key, x := range m {
		at := path + "." + Printable(key)
		if n, err := strconv.Atoi(key); err != nil || n < 1 || n > 999 || strconv.Itoa(n) != key {
			c.fault(at, "want a number from 1 to 999")
			continue
		}
		entry, ok := asMap(x)
		if x == nil {
			continue
		}
		if !ok {
			c.fault(at, "want a map, not %s", kindOf(x))
			continue
		}
		c.level(entry, row.Fields, at+".")
	}
}

var (
	localePattern = regexp.MustCompile(`^[a-z]{2,3}_[A-Z]{2}$`)
	labelPattern  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
)

// fault says what is wrong with a text; empty: nothing.
func (p *Param) fault(s string) string {
	switch p.Type {
	case TypeEnum:
		if !slices.Contains(p.Enum, s) {
			return "want one of " + strings.Join(p.Enum, ", ") + ", not " + strconv.Quote(s)
		}
	case TypeHost:
		if !isHost(s) {
			return "want an IP address or a host name, not " + strconv.Quote(s)
		}
	case TypeURL:
		if u, err := url.Parse(s); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "want a URL that begins with http:// or https://, not " + strconv.Quote(s)
		}
	case TypeTimezone:
		// "Local" and the empty name are the server's zone, which is no property of a phone.
		if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
			return "want a time zone such as Europe/Berlin, not " + strconv.Quote(s)
		}
	case TypeLocale:
		if !localePattern.MatchString(s) {
			return "want a locale such as de_DE, not " + strconv.Quote(s)
		}
	case TypeString, TypeBool, TypeInt, TypeSecret, TypePEMs, TypeTable:
	}
	return ""
}

func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, l := range labels {
		if !labelPattern.MatchString(l) {
			return false
		}
	}
	// What looks like an IPv4 address and is none, like 192.0.2.300, is no name either (RFC 1123 §2.1).
	_, err := strconv.Atoi(labels[len(labels)-1])
	return err != nil && len(s) <= 253
}

func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case int:
		return int64(n), true
	case uint64:
		return int64(n), n <= math.MaxInt64 //nolint:gosec // checked beside it
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	}
	return 0, false
}

func kindOf(v any) string {
	switch v.(type) {
	case string, Secret:
		return "a text"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	}
	if _, ok := asMap(v); ok {
		return "a map"
	}
	if _, ok := integer(v); ok {
		return "a number"
	}
	return fmt.Sprintf("a %T", v)
}

func find(rows []Param, name string) (Param, bool) {
	for i := range rows {
		if rows[i].Name == name {
			return rows[i], true
		}
	}
	return Param{}, false
}

// Wrap returns a copy of params in the form in which they are kept: the values of secret keys are Secrets, whole
// numbers int64s, nested maps map[string]any. Values of the wrong type are left for [Check] to find.
func Wrap(p Params) Params { return wrap(p, vocabulary) }

func wrap(m map[string]any, rows []Param) Params {
	if m == nil {
		return nil
	}
	out := make(Params, len(m))
	for k, v := range m {
		row, _ := find(rows, k)
		out[k] = row.wrap(v)
	}
	return out
}

func (p *Param) wrap(v any) any {
	if m, ok := asMap(v); ok {
		if p.Type != TypeTable {
			return map[string]any(wrap(m, nil))
		}
		out := make(map[string]any, len(m))
		for k, entry := range m {
			if e, ok := asMap(entry); ok {
				entry = map[string]any(wrap(e, p.Fields))
			}
			out[k] = entry
		}
		return out
	}
	switch x := v.(type) {
	case string:
		if p.Type == TypeSecret {
			return Secret(x)
		}
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = (&Param{}).wrap(x[i])
		}
		return out
	case float64:
		if n, ok := integer(x); ok && p.Type == TypeInt {
			return n
		}
	default:
		if n, ok := integer(v); ok {
			return n
		}
	}
	return v
}

// Defaults returns the values that the vocabulary adds to params: where nothing is set, a parameter's default or the
// value of the parameter that stands in for it.
func Defaults(p Params) Params { return defaults(p, vocabulary) }

func defaults(m map[string]any, rows []Param) Params {
	out := Params{}
	for _, row := range rows {
		if v := m[row.Name]; v != nil {
			if entries, ok := asMap(v); ok && row.Type == TypeTable {
				if added := entryDefaults(entries, row.Fields); len(added) > 0 {
					out[row.Name] = added
				}
			}
			continue
		}
		if on, _ := m[row.DefaultIf].(bool); row.DefaultIf != "" && !on {
			continue
		}
		if v := m[row.DefaultFrom]; row.DefaultFrom != "" && v != nil {
			out[row.Name] = cloneValue(v)
		} else if row.Default != nil {
			out[row.Name] = cloneValue(row.Default)
		}
	}
	return out
}

func entryDefaults(entries map[string]any, fields []Param) map[string]any {
	out := map[string]any{}
	for key, v := range entries {
		if entry, ok := asMap(v); ok {
			if added := defaults(entry, fields); len(added) > 0 {
				out[key] = map[string]any(added)
			}
		}
	}
	return out
}

// Complete returns a copy of params in which every key of the vocabulary is present, nil if it is unset; in every
// entry of a table, too. Entries that are nil are left out.
func Complete(p Params) Params { return filled(p, vocabulary) }

func filled(m map[string]any, rows []Param) Params {
	out := make(Params, len(rows)+len(m))
	for k, v := range m {
		out[k] = cloneValue(v)
	}
	for _, row := range rows {
		entries, ok := asMap(m[row.Name])
		if row.Type != TypeTable || !ok {
			if _, set := m[row.Name]; !set {
				out[row.Name] = nil
			}
			continue
		}
		full := make(map[string]any, len(entries))
		for _, key := range slices.Collect(maps.Keys(entries)) {
			if entry, ok := asMap(entries[key]); ok {
				full[key] = map[string]any(filled(entry, row.Fields))
			}
		}
		out[row.Name] = full
	}
	return out
}

// nearest returns the row whose name a misspelt key most likely means; empty: none is near.
func nearest(key string, rows []Param) string {
	best, least := "", len(key)/3+1
	for _, row := range rows {
		if d := distance(key, row.Name, least); d < least {
			best, least = row.Name, d
		}
	}
	return best
}

// distance counts the edits that make a of b, and stops to count exactly above limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d > limit || -d > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// oneLine writes joined errors in one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
