package provision

import (
	"slices"
	"strings"
)

// Rule is one rule of a plugin by which it finds claims in one field of a request.
type Rule struct {
	Field string
	By    string // who speaks in its claims, as [Claim] has it; begins with the plugin's ID
	// Prefixes: the rule finds nothing in a value that begins with none of these. It may find something in any value if
	// there are none, or an empty one.
	Prefixes []string
	// Same is equal for rules that find the same claims in the same values, but for By. Empty: the rule is like no other.
	Same string
	// Find appends what the rule finds in a value, which isn't empty.
	Find func(claims []Claim, value string) []Claim
}

// Ruled is a plugin whose Extract comes to nothing but what these rules find, in their order. A [PluginSet] then asks
// only those that a request concerns, so that it costs little to have many plugins.
type Ruled interface {
	Plugin
	// Rules returns the rules. The caller must not change them.
	Rules() []Rule
}

// Field returns a field of the request by its name, FieldPath and FieldMAC included; empty: the request hasn't got it.
func (r *Request) Field(name string) string {
	switch name {
	case FieldPath:
		return r.Path
	case FieldMAC:
		return r.HW.String()
	}
	return strings.TrimRight(r.Fields[name], "\x00") // some clients count a C string's end
}

// PluginPanic tells that a plugin's rules panicked, and with what.
type PluginPanic struct {
	Plugin PluginID
	Value  any
}

// ruleIndex finds the rules that a request concerns.
type ruleIndex struct {
	rules  []indexed // in the order in which they speak
	always []int32   // that must be asked in any case
	fields []fieldIndex
}

// indexed is a rule with its place.
type indexed struct {
	*Rule        // nil: the plugin must be asked as a whole
	plugin int32 // its number in the set
	same   int32 // the number of the first rule that is the same
}

// fieldIndex has the prefixes of one field's rules, sorted.
type fieldIndex struct {
	field    string
	prefixes []prefix
}

type prefix struct {
	text  string
	under int32 // the longest of the others that this one begins with; -1: none
	rules []int32
}

func newRuleIndex(plugins []Plugin) ruleIndex {
	var x ruleIndex
	same := map[string]int32{}
	fields := map[string]map[string][]int32{}
	for i, pl := range plugins {
		at := indexed{plugin: int32(i)} //nolint:gosec // nobody has as many plugins
		ruled, ok := pl.(Ruled)
		if !ok {
			at.same = x.next()
			x.always = append(x.always, at.same)
			x.rules = append(x.rules, at)
			continue
		}
		rules := ruled.Rules()
		for k := range rules {
			n := x.next()
			at.Rule, at.same = &rules[k], n
			if at.Same != "" {
				key := at.Field + "\x00" + at.Same
				if first, ok := same[key]; ok {
					at.same = first
				} else {
					same[key] = n
				}
			}
			x.rules = append(x.rules, at)
			if fields[at.Field] == nil {
				fields[at.Field] = map[string][]int32{}
			}
			for _, p := range shortest(at.Prefixes) {
				fields[at.Field][p] = append(fields[at.Field][p], n)
			}
		}
	}
	for field, prefixes := range fields {
		x.fields = append(x.fields, newFieldIndex(field, prefixes))
	}
	slices.SortFunc(x.fields, func(a, b fieldIndex) int { return strings.Compare(a.field, b.field) })
	return x
}

func (x *ruleIndex) next() int32 { return int32(len(x.rules)) } //nolint:gosec // nobody has as many rules

// shortest returns the prefixes without those that begin with another of them, so that no value has two.
func shortest(prefixes []string) []string {
	if len(prefixes) == 0 {
		return []string{""}
	}
	all := slices.Clone(prefixes)
	slices.Sort(all)
	out := all[:1]
	for _, p := range all[1:] {
		if !strings.HasPrefix(p, out[len(out)-1]) {
			out = append(out, p)
		}
	}
	return out
}

func newFieldIndex(field string, prefixes map[string][]int32) fieldIndex {
	f := fieldIndex{field: field}
	for text, rules := range prefixes {
		f.prefixes = append(f.prefixes, prefix{text: text, rules: rules})
	}
	slices.SortFunc(f.prefixes, func(a, b prefix) int { return strings.Compare(a.text, b.text) })
	for i := range f.prefixes {
		// Whatever lies between a text and its prefix begins with that prefix, too.
		under := int32(i) - 1 //nolint:gosec // as above
		for under >= 0 && !strings.HasPrefix(f.prefixes[i].text, f.prefixes[under].text) {
			under = f.prefixes[under].under
		}
		f.prefixes[i].under = under
	}
	return f
}

// find appends the numbers of the rules that a value concerns.
func (f *fieldIndex) find(found []int32, value string) []int32 {
	i, exact := slices.BinarySearchFunc(f.prefixes, value, func(p prefix, v string) int { return strings.Compare(p.text, v) })
	if !exact {
		i--
	}
	for i >= 0 && !strings.HasPrefix(value, f.prefixes[i].text) {
		i = int(f.prefixes[i].under)
	}
	for ; i >= 0; i = int(f.prefixes[i].under) { // all that a prefix begins with is a prefix, too
		found = append(found, f.prefixes[i].rules...)
	}
	return found
}

// concerned appends the numbers of the rules that a request concerns, in order.
func (x *ruleIndex) concerned(found []int32, req *Request) []int32 {
	found = append(found, x.always...)
	for i := range x.fields {
		if v := req.Field(x.fields[i].field); v != "" {
			found = x.fields[i].find(found, v)
		}
	}
	slices.Sort(found)
	return found
}

// Extract appends what the plugins' rules find in a request to claims: what each plugin's Extract returns, in the order
// of the plugins. By always begins with the plugin's ID. A plugin whose rules panic loses its own claims only.
func (s *PluginSet) Extract(claims []Claim, req *Request) ([]Claim, []PluginPanic) {
	if s == nil {
		return claims, nil
	}
	var buf [64]int32
	rules := s.index.concerned(buf[:0], req)
	e := extraction{set: s, req: req, claims: slices.Grow(claims, min(2*len(rules), maxClaims))}
	e.told = e.room[:0]
	var panics []PluginPanic
	for len(rules) > 0 {
		n := 1
		for n < len(rules) && s.index.rules[rules[n]].plugin == s.index.rules[rules[0]].plugin {
			n++
		}
		if v := e.ask(rules[:n]); v != nil {
			panics = append(panics, PluginPanic{s.all[s.index.rules[rules[0]].plugin].ID(), v})
		}
		rules = rules[n:]
	}
	return e.claims, panics
}

// extraction is the search in one request.
type extraction struct {
	set    *PluginSet
	req    *Request
	claims []Claim
	told   []saying
	room   [16]saying // for told
}

// saying is what a rule has found: a part of the claims.
type saying struct {
	same     int32
	from, to int
}

// ask asks the rules of one plugin, and returns what one of them panicked with.
func (e *extraction) ask(rules []int32) (fault any) {
	from := len(e.claims)
	defer func() {
		if fault = recover(); fault != nil {
			clear(e.claims[from:])
			e.claims = e.claims[:from]
			e.told = slices.DeleteFunc(e.told, func(t saying) bool { return t.to > from || t.from >= from })
		}
	}()
	for _, n := range rules {
		e.rule(n)
	}
	return nil
}

func (e *extraction) rule(n int32) {
	r := &e.set.index.rules[n]
	if r.Rule == nil {
		pl := e.set.all[r.plugin]
		for _, c := range pl.Extract(e.req) {
			if !strings.HasPrefix(c.By, string(pl.ID())) {
				c.By = strings.TrimSpace(string(pl.ID()) + " " + c.By)
			}
			e.claims = append(e.claims, c)
		}
		return
	}
	for _, t := range e.told {
		if t.same == r.same {
			for _, c := range e.claims[t.from:t.to] {
				c.By = r.By
				e.claims = append(e.claims, c)
			}
			return
		}
	}
	from := len(e.claims)
	e.claims = r.Find(e.claims, e.req.Field(r.Field))
	e.told = append(e.told, saying{r.same, from, len(e.claims)})
}
