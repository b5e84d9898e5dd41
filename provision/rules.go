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
	rules  []placed // in the order in which they speak
	kinds  []kind   // the rules that differ
	always []int32  // the rules that stand for a whole plugin
	fields []fieldIndex
}

// placed is a rule in its place.
type placed struct {
	plugin int32 // its number in the set
	kind   int32 // -1: the plugin must be asked as a whole
	by     string
}

// kind is all the rules that are the same.
type kind struct {
	rule  *Rule // one of them
	rules []int32
}

// fieldIndex has the prefixes of one field's rules, sorted.
type fieldIndex struct {
	field    string
	prefixes []prefix
}

type prefix struct {
	text  string
	under int32 // the longest of the others that this one begins with; -1: none
	kinds []int32
}

func newRuleIndex(plugins []Plugin) ruleIndex {
	var x ruleIndex
	same := map[string]int32{}
	for i, pl := range plugins {
		at := int32(i)
		ruled, ok := pl.(Ruled)
		if !ok {
			x.always = append(x.always, int32(len(x.rules))) //nolint:gosec // nor as many rules
			x.rules = append(x.rules, placed{at, -1, ""})
			continue
		}
		rules := ruled.Rules()
		for k := range rules {
			r := &rules[k]
			key := r.Field + "\x00" + r.Same
			n, ok := same[key]
			if !ok || r.Same == "" {
				n = int32(len(x.kinds)) //nolint:gosec // as above
				x.kinds = append(x.kinds, kind{rule: r})
				same[key] = n
			}
			x.kinds[n].rules = append(x.kinds[n].rules, int32(len(x.rules))) //nolint:gosec // as above
			x.rules = append(x.rules, placed{at, n, r.By})
		}
	}
	fields := map[string]map[string][]int32{}
	for n, k := range x.kinds {
		if fields[k.rule.Field] == nil {
			fields[k.rule.Field] = map[string][]int32{}
		}
		for _, p := range shortest(k.rule.Prefixes) {
			fields[k.rule.Field][p] = append(fields[k.rule.Field][p], int32(n))
		}
	}
	for field, prefixes := range fields {
		x.fields = append(x.fields, newFieldIndex(field, prefixes))
	}
	slices.SortFunc(x.fields, func(a, b fieldIndex) int { return strings.Compare(a.field, b.field) })
	return x
}

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
	for text, kinds := range prefixes {
		f.prefixes = append(f.prefixes, prefix{text: text, kinds: kinds})
	}
	slices.SortFunc(f.prefixes, func(a, b prefix) int { return strings.Compare(a.text, b.text) })
	for i := range f.prefixes {
		// Whatever lies between a text and its prefix begins with that prefix, too.
		under := int32(i) - 1
		for under >= 0 && !strings.HasPrefix(f.prefixes[i].text, f.prefixes[under].text) {
			under = f.prefixes[under].under
		}
		f.prefixes[i].under = under
	}
	return f
}

// find returns the longest prefix that a value has; -1: it has none of them. The prefixes under that one are the others
// that it has.
func (f *fieldIndex) find(value string) int32 {
	n, exact := slices.BinarySearchFunc(f.prefixes, value, func(p prefix, v string) int { return strings.Compare(p.text, v) })
	i := int32(n) //nolint:gosec // as above
	if !exact {
		i--
	}
	for i >= 0 && !strings.HasPrefix(value, f.prefixes[i].text) {
		i = f.prefixes[i].under
	}
	return i
}

// Extract appends what the plugins' rules find in a request to claims: what each plugin's Extract returns, in the order
// of the plugins. By always begins with the plugin's ID. A plugin whose rules panic loses its own claims only.
func (s *PluginSet) Extract(claims []Claim, req *Request) ([]Claim, []PluginPanic) {
	if s == nil {
		return claims, nil
	}
	e, ok := s.scratch.Get().(*extraction)
	if !ok {
		e = &extraction{index: &s.index}
	}
	defer func() {
		e.reset()
		s.scratch.Put(e)
	}()
	e.speak = append(e.speak, s.index.always...)
	for i := range s.index.fields {
		f := &s.index.fields[i]
		if value := req.Field(f.field); value != "" {
			for p := f.find(value); p >= 0; p = f.prefixes[p].under {
				for _, k := range f.prefixes[p].kinds {
					e.ask(k, value)
				}
			}
		}
	}
	slices.Sort(e.speak)
	claims = slices.Grow(claims, min(e.total, maxClaims))
	var panics []PluginPanic
	for speak := e.speak; len(speak) > 0; {
		at, n := s.index.rules[speak[0]].plugin, 1
		for n < len(speak) && s.index.rules[speak[n]].plugin == at {
			n++
		}
		var fault any
		if claims, fault = e.collect(claims, s.all[at], speak[:n], req); fault != nil {
			panics = append(panics, PluginPanic{s.all[at].ID(), fault})
		}
		speak = speak[n:]
	}
	return claims, panics
}

// extraction is the search in one request. It is used again for other ones.
type extraction struct {
	index  *ruleIndex
	claims []Claim   // what was found, once for all rules that are the same
	found  []finding // which of it by whom
	total  int       // how many claims that makes
	speak  []int32   // the rules that have found something, and those that stand for a whole plugin
}

func (e *extraction) reset() {
	clear(e.claims[:cap(e.claims)])
	clear(e.found)
	e.claims, e.found, e.total, e.speak = e.claims[:0], e.found[:0], 0, e.speak[:0]
}

// finding is what rules of one kind have found: a part of the claims, or a panic.
type finding struct {
	kind     int32
	from, to int
	fault    any
}

// ask asks the rules of a kind.
func (e *extraction) ask(n int32, value string) {
	k := &e.index.kinds[n]
	f := finding{kind: n, from: len(e.claims)}
	func() {
		defer func() { f.fault = recover() }()
		e.claims = k.rule.Find(e.claims, value)
	}()
	if f.fault != nil {
		e.claims = e.claims[:f.from] // it may have been left half done
	}
	if f.to = len(e.claims); f.to > f.from || f.fault != nil {
		e.found = append(e.found, f)
		e.speak = append(e.speak, k.rules...)
		e.total += (f.to - f.from) * len(k.rules)
	}
}

// collect appends what the rules of one plugin have found, and returns what one of them panicked with.
func (e *extraction) collect(claims []Claim, pl Plugin, rules []int32, req *Request) ([]Claim, any) {
	if e.index.rules[rules[0]].kind < 0 {
		found, fault := safely(func() []Claim { return pl.Extract(req) })
		for _, c := range found {
			if !strings.HasPrefix(c.By, string(pl.ID())) {
				c.By = strings.TrimSpace(string(pl.ID()) + " " + c.By)
			}
			claims = append(claims, c)
		}
		return claims, fault
	}
	from := len(claims)
	for _, n := range rules {
		r := &e.index.rules[n]
		f := &e.found[slices.IndexFunc(e.found, func(f finding) bool { return f.kind == r.kind })]
		if f.fault != nil {
			return claims[:from], f.fault
		}
		for _, c := range e.claims[f.from:f.to] {
			c.By = r.by
			claims = append(claims, c)
		}
	}
	return claims, nil
}
