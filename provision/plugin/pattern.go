package plugin

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
)

// pattern is one path of a route, compiled.
type pattern struct {
	text           string
	name           string // as it stands in outcomes
	rule           int    // index of its route
	prefix, suffix string // literal text at its ends, to refuse most paths without the regexp
	re             *regexp.Regexp
	mac            int // the regexp's group of {mac} or {MAC}; 0: none
	rank           int // 0 literal, 1 with braces, 2 with stars
	literals       int // literal characters
}

// token is a part of a pattern that isn't literal.
var token = regexp.MustCompile(`\*|\{[^{}]*\}`)

// checkPattern reports what is wrong with a pattern as it stands in the manifest.
func checkPattern(p string) error {
	switch {
	case p == "":
		return errors.New("it is empty")
	case len(p) > 256:
		return errors.New("it has over 256 bytes")
	case strings.HasPrefix(p, "/"):
		return errors.New("leave the leading slash out")
	case strings.Contains(p, `\`):
		return errors.New("a phone's backslash has become a slash before it is matched")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("no request has the part %q between slashes", part)
		}
	}
	macs := 0
	for _, t := range token.FindAllString(p, -1) {
		switch t {
		case "{mac}", "{MAC}":
			macs++
		case "*", "{model}":
		default:
			return fmt.Errorf("%s stands for nothing; there are {mac}, {MAC}, {model} and *", t)
		}
	}
	if macs > 1 {
		return errors.New("it names two addresses")
	}
	if strings.ContainsAny(token.ReplaceAllString(p, ""), "{}") {
		return errors.New("a brace isn't closed")
	}
	return nil
}

// compilePattern makes a pattern that has passed checkPattern. models is the alternation of the models' names.
func compilePattern(p string, rule int, models string) (*pattern, error) {
	c := &pattern{text: p, name: fmt.Sprintf("routes[%d] %s", rule, p), rule: rule}
	var re strings.Builder
	re.WriteString(`\A`)
	end, groups := 0, 0
	for i, at := range append(token.FindAllStringIndex(p, -1), []int{len(p), len(p)}) {
		literal := p[end:at[0]]
		if i == 0 {
			c.prefix = literal
		}
		c.suffix = literal
		c.literals += len(literal)
		re.WriteString(regexp.QuoteMeta(literal))
		switch p[at[0]:at[1]] {
		case "*":
			re.WriteString(`[^/]*`)
			c.rank = 2
		case "{mac}":
			re.WriteString(`([0-9a-f]{12})`)
			groups++
			c.mac, c.rank = groups, max(c.rank, 1)
		case "{MAC}":
			re.WriteString(`([0-9A-F]{12})`)
			groups++
			c.mac, c.rank = groups, max(c.rank, 1)
		case "{model}":
			re.WriteString(`(?:` + models + `)`)
			c.rank = max(c.rank, 1)
		}
		end = at[1]
	}
	re.WriteString(`\z`)
	if c.rank == 0 {
		return c, nil
	}
	var err error
	if c.re, err = regexp.Compile(re.String()); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", p, err)
	}
	return c, nil
}

// match reports whether the path is one of the pattern's, and the address that it names.
func (c *pattern) match(path string) (hwaddr.Addr, bool) {
	if c.re == nil {
		return hwaddr.Addr{}, path == c.text
	}
	if !strings.HasPrefix(path, c.prefix) || !strings.HasSuffix(path, c.suffix) {
		return hwaddr.Addr{}, false
	}
	if c.mac == 0 {
		return hwaddr.Addr{}, c.re.MatchString(path)
	}
	m := c.re.FindStringSubmatchIndex(path)
	if m == nil {
		return hwaddr.Addr{}, false
	}
	hw, err := hwaddr.Parse(path[m[2*c.mac]:m[2*c.mac+1]])
	return hw, err == nil // all zero is no device's
}

// sortPatterns puts the most specific first, equals in the manifest's order.
func sortPatterns(ps []*pattern) {
	slices.SortStableFunc(ps, func(a, b *pattern) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.literals, a.literals), cmp.Compare(a.rule, b.rule))
	})
}

// glob reports whether s matches a pattern in which * is any text. It takes at most len(pattern)·len(s) steps.
func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
