package admin

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dialtone-project/dialtone/provision"
)

// Page asks for a part of a list.
type Page struct {
	Limit  int    // at most MaxPage; 0: DefaultPage
	Cursor string // [List].Next of the page before; empty: the first page
	// Sort names the field to sort by, after a minus in falling order: "-seen". Empty: the list's own order.
	Sort string
	// Filter are conditions that must all hold, between blanks: "model:T46U", where the field has that in it; "model:", where
	// it is empty; and words that are in any of the fields that people look for. Case doesn't matter, nor how a MAC is
	// spelled. What has blanks in it stands in quotation marks.
	Filter string
}

// How long a page is.
const (
	DefaultPage = 100
	MaxPage     = 1000
)

// List is a page.
type List[T any] struct {
	Items []T
	Next  string // the cursor of the next page; empty: this is the last
	Total int    // items on all pages, as of now
}

// field is one thing that a list is sorted or filtered by.
type field[T any] struct {
	text  func(*T) string // as filters see it
	key   func(*T) string // as it is sorted; nil: as text in lower case
	exact bool            // a filter has all of it
	free  bool            // words without a field are looked for in it
	mac   bool            // it is a MAC
}

// table is how a list is paged.
type table[T any] struct {
	fields map[string]field[T]
	sort   string          // the list's own order
	id     func(*T) string // tells an item from the others
}

// row is an item with what it is sorted by.
type row struct {
	key, id string
	at      int
}

func (r row) compare(o row) int {
	return cmp.Or(strings.Compare(r.key, o.key), strings.Compare(r.id, o.id))
}

// page returns a page of the items, which are the caller's. An item whose key changes between two pages may be on both or
// on none; all others are on one, whatever comes and goes. Faults: of what is wrong with the page.
func (t *table[T]) page(items []T, p Page) (List[T], error) {
	var faults Faults
	sorting := cmp.Or(p.Sort, t.sort)
	name, falls := strings.CutPrefix(sorting, "-")
	f, ok := t.fields[name]
	if !ok {
		faults.invalid("/sort", "there is no field %q to sort by%s", provision.Printable(name), hint(name, t.names()))
	}
	if p.Limit < 0 || p.Limit > MaxPage {
		faults.invalid("/limit", "want 1 to %d, not %d", MaxPage, p.Limit)
	}
	from, err := readCursor(p.Cursor, sorting)
	if err != nil {
		faults.invalid("/cursor", "%v", err)
	}
	keep := t.filter(p.Filter, &faults)
	if len(faults) > 0 {
		return List[T]{}, faults
	}
	rows := make([]row, 0, len(items))
	for i := range items {
		if keep(&items[i]) {
			rows = append(rows, row{f.sortKey(&items[i]), t.id(&items[i]), i})
		}
	}
	compare := row.compare
	if falls {
		compare = func(a, b row) int { return b.compare(a) }
	}
	slices.SortFunc(rows, compare)
	list := List[T]{Total: len(rows)}
	if from != nil {
		rows = rows[sortedAfter(rows, *from, compare):]
	}
	n := min(cmp.Or(p.Limit, DefaultPage), len(rows))
	if n < len(rows) {
		list.Next = writeCursor(sorting, rows[n-1])
	}
	list.Items = make([]T, n)
	for i, r := range rows[:n] {
		list.Items[i] = items[r.at]
	}
	return list, nil
}

// sortedAfter returns the place of the first row behind another.
func sortedAfter(rows []row, from row, compare func(a, b row) int) int {
	i, found := slices.BinarySearchFunc(rows, from, compare)
	if found {
		i++
	}
	return i
}

func (f *field[T]) sortKey(item *T) string {
	if f.key != nil {
		return f.key(item)
	}
	return strings.ToLower(f.text(item))
}

func (t *table[T]) names() []string { return slices.Sorted(maps.Keys(t.fields)) }

// A cursor is the place of the last item that was seen, in base64: the sorting, its key and its ID.
func writeCursor(sorting string, r row) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.Quote(sorting) + strconv.Quote(r.key) + strconv.Quote(r.id)))
}

func readCursor(s, sorting string) (*row, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // the first page has no cursor
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	var parts [3]string
	for i, rest := 0, string(b); err == nil && i < len(parts); i++ {
		var quoted string
		if quoted, err = strconv.QuotedPrefix(rest); err == nil {
			rest = rest[len(quoted):]
			parts[i], err = strconv.Unquote(quoted)
		}
		if err == nil && i == len(parts)-1 && rest != "" {
			err = strconv.ErrSyntax
		}
	}
	if err != nil || parts[0] != sorting {
		return nil, errors.New("it is none that a list of this order gave; begin with the first page")
	}
	return &row{key: parts[1], id: parts[2]}, nil
}

// filter returns what tells whether an item meets all conditions.
func (t *table[T]) filter(text string, faults *Faults) func(*T) bool {
	var conditions []func(*T) bool
	for _, token := range tokens(text) {
		name, value, named := strings.Cut(token.text, ":")
		if named && !token.quoted && !isMACPart(token.text) {
			f, ok := t.fields[strings.ToLower(name)]
			if !ok {
				faults.invalid("/filter", "there is no field %q to filter by%s; text with a colon stands in quotation marks",
					provision.Printable(name), hint(name, t.names()))
				continue
			}
			conditions = append(conditions, f.matcher(strings.Trim(value, `"`)))
			continue
		}
		var any []func(*T) bool
		for _, f := range t.fields {
			if f.free {
				f.exact = false
				any = append(any, f.matcher(token.text))
			}
		}
		conditions = append(conditions, func(item *T) bool {
			return slices.ContainsFunc(any, func(match func(*T) bool) bool { return match(item) })
		})
	}
	return func(item *T) bool {
		return !slices.ContainsFunc(conditions, func(c func(*T) bool) bool { return !c(item) })
	}
}

// matcher returns what tells whether an item's field has a value.
func (f field[T]) matcher(value string) func(*T) bool {
	value = strings.ToLower(value)
	switch {
	case value == "":
		return func(item *T) bool { return f.text(item) == "" }
	case f.mac:
		value = macDigits(value)
		return func(item *T) bool { return value != "" && strings.Contains(macDigits(f.text(item)), value) }
	case f.exact:
		return func(item *T) bool { return strings.EqualFold(f.text(item), value) }
	}
	return func(item *T) bool { return strings.Contains(strings.ToLower(f.text(item)), value) }
}

// macDigits returns the digits of a MAC or of a part of one; empty: it is none.
func macDigits(s string) string {
	s = strings.NewReplacer(":", "", "-", "", ".", "").Replace(s)
	if strings.Trim(s, "0123456789abcdefABCDEF") != "" {
		return ""
	}
	return strings.ToLower(s)
}

// isMACPart reports whether a text is a MAC with colons, or a part of one: hexadecimal digits in twos or fours.
func isMACPart(s string) bool {
	for group := range strings.SplitSeq(strings.TrimSuffix(s, ":"), ":") {
		if _, err := hex.DecodeString(group); err != nil || len(group) != 2 && len(group) != 4 {
			return false
		}
	}
	return true
}

// token is a condition of a filter.
type token struct {
	text   string
	quoted bool // all of it
}

// tokens cuts a filter at blanks that aren't quoted.
func tokens(s string) (out []token) {
	quoted := false
	for _, word := range strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && unicode.IsSpace(r)
	}) {
		inner := strings.Trim(word, `"`)
		t := token{text: word, quoted: strings.HasPrefix(word, `"`)}
		if t.quoted {
			t.text = inner
		}
		out = append(out, t)
	}
	return out
}

// timeKey sorts times; none comes first.
func timeKey(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("20060102150405.000000000")
}

// addrKey sorts addresses by their numbers.
func addrKey(a netip.Addr) string { return hex.EncodeToString(a.AsSlice()) }

func numberKey(n uint64) string { return fmt.Sprintf("%020d", n) }
