package provision

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// PluginSet is an immutable set of plugins, sorted by ID in version order, with an index of their rules. Nil is the empty
// set. It is safe for concurrent use.
type PluginSet struct {
	all    []Plugin
	byID   map[PluginID]Plugin
	index  ruleIndex
	scores scoreMemo
	parts  partMemo
	claims claimMemo

	scratch sync.Pool // of *extraction
}

// NewPluginSet returns the set of the plugins, whose IDs must differ.
func NewPluginSet(plugins ...Plugin) *PluginSet {
	all := slices.Clone(plugins)
	slices.SortFunc(all, func(a, b Plugin) int { return CompareVersions(string(a.ID()), string(b.ID())) })
	s := &PluginSet{all: all, byID: make(map[PluginID]Plugin, len(all)), index: newRuleIndex(all)}
	for _, p := range all {
		s.byID[p.ID()] = p
	}
	return s
}

// All returns the plugins, oldest version first. The caller must not change the slice.
func (s *PluginSet) All() []Plugin {
	if s == nil {
		return nil
	}
	return s.all
}

// Get returns the plugin of that ID.
func (s *PluginSet) Get(id PluginID) (Plugin, bool) {
	if s == nil {
		return nil, false
	}
	p, ok := s.byID[id]
	return p, ok
}

// CompareVersions orders names by their parts: runs of digits by value, other runs by text. So 8.9.3 comes before
// 10.1, which plain string order gets wrong.
func CompareVersions(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		var p, q string
		p, x = run(x)
		q, y = run(y)
		c := strings.Compare(p, q)
		if isDigit(p[0]) && isDigit(q[0]) {
			p, q = strings.TrimLeft(p, "0"), strings.TrimLeft(q, "0")
			c = cmp.Or(cmp.Compare(len(p), len(q)), strings.Compare(p, q))
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// run cuts the leading run of digits, or of anything else, off s, which isn't empty.
func run(s string) (head, rest string) {
	i := 1
	for i < len(s) && isDigit(s[i]) == isDigit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
