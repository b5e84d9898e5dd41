package provision

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
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
	return joined(c.faults)
}

// faults checks complete params once and returns what [CheckLayer] says of them, and what else [Check] does.
func faults(p Params) (wrong, lacking error) {
	c := checker{whole: true}
	c.level(p, vocabulary, "")
	if len(c.faults) == 0 {
		return nil, nil
	}
	hard := slices.DeleteFunc(slices.Clone(c.faults), func(f fault) bool { return f.lacks })
	soft := slices.DeleteFunc(c.faults, func(f fault) bool { return !f.lacks })
	return joined(hard), joined(soft)
}

func joined(faults []fault) error {
	slices.SortStableFunc(faults, func(a, b fault) int { return CompareVersions(a.path, b.path) })
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// fault is what is wrong with the value at a path.
type fault struct {
	path, text string
	lacks      bool // it isn't there
}

func (f fault) Error() string { return f.path + ": " + f.text }

// ParamFault is what is wrong with the value at a path such as "sip_lines.1.codecs[2]".
type ParamFault struct{ Path, Text string }

// ParamFaults returns the faults of which an error of [Check] or [CheckLayer] is made, in its order.
func ParamFaults(err error) []ParamFault {
	if f, ok := err.(fault); ok { //nolint:errorlint // each in a join is looked at by itself
		return []ParamFault{{f.path, f.text}}
	}
	var out []ParamFault
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range many.Unwrap() {
			out = append(out, ParamFaults(err)...)
		}
	}
	return out
}

// Is makes every fault an ErrInvalid.
func (f fault) Is(target error) bool { return target == ErrInvalid }

type checker struct {
	whole  bool
	faults []fault
}

func (c *checker) fault(path, format string, args ...any) {
	c.faults = append(c.faults, fault{path: path, text: fmt.Sprintf(format, args...)})
}

func (c *checker) lack(path, text string) {
	c.faults = append(c.faults, fault{path: path, text: text, lacks: true})
}

// level checks a map by its rows: the whole of the params, or an entry of a table.
func (c *checker) level(m map[string]any, rows *level, prefix string) {
	for key, v := range m {
		row := rows.find(key)
		if row == nil {
			if !strings.HasPrefix(key, "X_") {
				c.unknown(key, rows, prefix)
			} else if !utf8.ValidString(key) || printableFault(key) != "" {
				c.fault(prefix+Printable(key), "want a name without control characters")
			}
			continue
		}
		if v != nil {
			c.value(row, v, prefix+key)
		}
	}
	if rows.keys {
		c.key(m, prefix)
	}
	if !c.whole {
		return
	}
	for i := range rows.rows {
		row := &rows.rows[i]
		if !row.Required && row.RequiredIf == "" || !missing(m[row.Name]) {
			continue
		}
		if on, _ := m[row.RequiredIf].(bool); row.Required || on {
			c.lack(prefix+row.Name, "missing")
		}
	}
}

// missing reports whether a value that must be there isn't. Phones take an empty text for none.
func missing(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case Secret:
		return v == ""
	}
	return false
}

// key checks the rules of a function key that depend on its type.
func (c *checker) key(m map[string]any, prefix string) {
	kind, _ := m["type"].(string)
	value, _ := m["value"].(string)
	if c.whole && slices.Contains(keyNeedsValue, kind) && missing(m["value"]) {
		c.lack(prefix+"value", "missing: a key of type "+kind+" needs it")
	}
	if kind != "" && !slices.Contains(keyTakesURL, kind) && strings.Contains(value, "%") {
		c.fault(prefix+"value", "want no percent sign in the value of a key of type %s", Printable(kind))
	}
}

func (c *checker) unknown(key string, rows *level, prefix string) {
	hint := ""
	if strings.HasPrefix(key, "XX_") {
		hint = "; names that begin with XX_ are reserved"
	} else if near := nearest(key, rows.rows); near != "" {
		hint = "; did you mean " + near + "?"
	}
	c.fault(prefix+Printable(key), "unknown parameter%s", hint)
}

func (c *checker) value(row *Param, v any, path string) {
	switch row.Type {
	case TypeTable:
		c.table(row, v, path)
	case TypeList:
		c.list(row, v, path)
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
		var s string
		switch v := v.(type) {
		case string:
			s = v
		case Secret:
			s = v.Reveal()
		default:
			c.fault(path, "want a text, not %s", kindOf(v))
		}
		if text := row.textFault(s); text != "" {
			c.fault(path, "%s", text)
		}
	case TypeString, TypeEnum, TypeHost, TypeURL, TypeTimezone, TypeLocale, TypePEM:
		s, ok := v.(string)
		if !ok {
			c.fault(path, "want a text, not %s", kindOf(v))
			return
		}
		text := row.textFault(s)
		if text == "" {
			text = row.fault(s)
		}
		if text != "" {
			c.fault(path, "%s", text)
		}
	}
}

func (c *checker) list(row *Param, v any, path string) {
	l, ok := v.([]any)
	if !ok {
		c.fault(path, "want a list, not %s", kindOf(v))
		return
	}
	if int64(len(l)) > row.Max {
		c.fault(path, "want at most %d, not %d", row.Max, len(l))
		return
	}
	for i, x := range l {
		at := path + "[" + strconv.Itoa(i) + "]"
		if x == nil {
			c.fault(at, "want no empty place in a list")
			continue
		}
		c.value(row.Item, x, at)
		if row.Item.Type == TypeEnum && slices.Index(l, x) < i {
			c.fault(at, "stands twice in the list")
		}
	}
}

func (c *checker) table(row *Param, v any, path string) {
	m, ok := asMap(v)
	if !ok {
		c.fault(path, `want a map from "1", "2" … to entries, not %s`, kindOf(v))
		return
	}
	for key, x := range m {
		at := path + "." + Printable(key)
		if n, err := strconv.Atoi(key); err != nil || n < 1 || n > maxEntry || strconv.Itoa(n) != key {
			c.fault(at, "want a number from 1 to %d", maxEntry)
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
		c.level(entry, row.entry, at+".")
	}
}

var (
	localePattern = regexp.MustCompile(localeText)
	labelPattern  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
	linkPattern   = regexp.MustCompile(linkText)
	pemPattern    = regexp.MustCompile(`^\s*-----BEGIN [A-Z0-9 ]+-----\r?\n[\x20-\x7e\r\n\t]*-----END [A-Z0-9 ]+-----\s*$`)
)

// localeText and linkText are patterns in what RE2 and ECMA-262 have in common.
const (
	localeText = `^[a-z]{2,3}_[A-Z]{2}$`
	linkText   = `^https?://[^ "<>\\` + "`" + `]+$`
)

// textFault says what is wrong with a text whatever it means; empty: nothing. It doesn't repeat it.
func (p *Param) textFault(s string) string {
	// A text can't have more characters than bytes, so most needn't be counted.
	if limit := p.limit(); len(s) > limit && utf8.RuneCountInString(s) > limit {
		return fmt.Sprintf("want at most %d characters, not %d", limit, utf8.RuneCountInString(s))
	}
	if !utf8.ValidString(s) {
		return "want a text in UTF-8"
	}
	if p.Type == TypePEM || p.Multiline {
		if strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && r != '\r' && r != '\t' && unfit(r) }) {
			return "want no control character but line breaks"
		}
		return ""
	}
	return printableFault(s)
}

func printableFault(s string) string {
	if strings.ContainsFunc(s, unfit) {
		return "want no line break and no other control character"
	}
	return ""
}

// unfit reports whether a character can't be in a value: it controls something, ends a line or turns the order of what
// is read around.
func unfit(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// fault says what is wrong with a text of its type; empty: nothing.
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
		if u, err := url.Parse(s); err != nil || u.Host == "" || !linkPattern.MatchString(s) {
			return "want a URL that begins with http:// or https://, not " + strconv.Quote(s)
		}
	case TypeTimezone:
		if !isZone(s) {
			return "want a time zone such as Europe/Berlin, not " + strconv.Quote(s)
		}
	case TypeLocale:
		if !localePattern.MatchString(s) {
			return "want a locale such as de_DE, not " + strconv.Quote(s)
		}
	case TypePEM:
		if !pemPattern.MatchString(s) {
			return "want a PEM text"
		}
	case TypeString:
		if p.pattern != nil && !p.pattern.MatchString(s) {
			return "want " + p.PatternDoc + ", not " + strconv.Quote(s)
		}
	case TypeBool, TypeInt, TypeSecret, TypeList, TypeTable:
	}
	return ""
}

func isHost(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == "" // a zone means something to one host only
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

// isZone reports whether a text names a time zone. "Local" and the empty name are the server's, which is no property of a
// phone.
func isZone(s string) bool {
	if s == "" || s == "Local" {
		return false
	}
	_, err := time.LoadLocation(s)
	return err == nil
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

// nearest returns the row whose name a misspelt key most likely means; empty: none is near.
func nearest(key string, rows []Param) string {
	names := make([]string, len(rows))
	for i := range rows {
		names[i] = rows[i].Name
	}
	return Nearest(key, names)
}

// Nearest returns the name that a misspelt word most likely means; empty: none is near.
func Nearest(word string, names []string) string {
	best, least := "", len(word)/3+1
	for _, name := range names {
		if d := EditDistance(word, name, least); d < least {
			best, least = name, d
		}
	}
	return best
}

// EditDistance counts the edits that make a of b (Levenshtein), and stops to count exactly above limit.
func EditDistance(a, b string, limit int) int {
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
