package plugin

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// maxValue is the most bytes of a claim: no model, version or serial number is as long.
const maxValue = 64

// fieldRules are the rules about one field.
type fieldRules struct {
	field string
	rules []rule
}

// rule is an extract rule, compiled.
type rule struct {
	re     *regexp.Regexp
	prefix string // what every match begins with: most fields are refused by it alone
	source provision.Source
	by     string
	gets   []getter
}

// getter makes one claim of a match.
type getter struct {
	attr   string
	group  int    // of the regexp, or
	expand string // as Regexp.Expand takes it, or
	fixed  string
	to     map[string]string
}

// buildExtract compiles the rules and files them by field.
func (p *Plugin) buildExtract() {
	for i := range p.manifest.Extract {
		r := &p.manifest.Extract[i]
		c := rule{re: r.Regexp, prefix: literalPrefix(r.Regexp.String()), by: fmt.Sprintf("%s extract[%d]", p.id, i)}
		who := false
		for _, attr := range attrs() {
			g := getter{attr: attr, group: r.Regexp.SubexpIndex(attr), to: r.Map[attr]}
			set, ok := r.Set[attr]
			switch {
			case ok && set == "":
				continue
			case ok:
				if g.expand = set; !strings.Contains(set, "$") {
					g.expand, g.fixed = "", set
				}
			case g.group > 0:
			case attr == provision.AttrVendor && r.Field != provision.FieldPath:
				g.fixed = p.manifest.Vendor
			default:
				continue
			}
			who = who || attr == provision.AttrMAC || attr == provision.AttrSerial || attr == provision.AttrUUID
			c.gets = append(c.gets, g)
		}
		c.source = sourceOf(r.Field, who)
		at := slices.IndexFunc(p.rules, func(f fieldRules) bool { return f.field == r.Field })
		if at < 0 {
			at = len(p.rules)
			p.rules = append(p.rules, fieldRules{field: r.Field})
		}
		p.rules[at].rules = append(p.rules[at].rules, c)
	}
}

// sourceOf says how strong the claims of a rule are. The fields of DHCP are of the request itself or of the peer's
// lease; the name in a certificate is only there if it was verified.
func sourceOf(field string, who bool) provision.Source {
	switch field {
	case provision.FieldPath:
		if who {
			return provision.SourcePath
		}
		return provision.SourceGuess
	case provision.FieldMAC:
		return provision.SourceGuess // it tells at most whose ranges it is from
	case provision.FieldVendorClass, provision.FieldUserClass, provision.FieldHostname, provision.FieldParams, provision.FieldClientID:
		return provision.SourceLease
	case provision.FieldTLSName:
		return provision.SourceCert
	}
	return provision.SourceHeader
}

// literalPrefix returns the text that every match of an expression begins with, as far as that is easily told: what
// follows a ^.
func literalPrefix(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return ""
	}
	if re = re.Simplify(); re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	if lit := re.Sub[1]; lit.Op == syntax.OpLiteral && lit.Flags&syntax.FoldCase == 0 {
		return string(lit.Rune)
	}
	return ""
}

// Extract implements [provision.Plugin].
func (p *Plugin) Extract(req *provision.Request) []provision.Claim {
	var claims []provision.Claim
	for i := range p.rules {
		f := &p.rules[i]
		var text string
		switch f.field {
		case provision.FieldPath:
			text = req.Path
		case provision.FieldMAC:
			text = req.HW.String()
		default:
			text = strings.TrimRight(req.Fields[f.field], "\x00") // some clients count a C string's end
		}
		if text == "" {
			continue
		}
		for j := range f.rules {
			claims = f.rules[j].claim(claims, text)
		}
	}
	return claims
}

// claim appends what the rule finds in the text.
func (r *rule) claim(claims []provision.Claim, text string) []provision.Claim {
	if !strings.HasPrefix(text, r.prefix) {
		return claims
	}
	m := r.re.FindStringSubmatchIndex(text)
	if m == nil {
		return claims
	}
	for i := range r.gets {
		g := &r.gets[i]
		var value string
		switch {
		case g.fixed != "":
			value = g.fixed
		case g.expand != "":
			value = string(r.re.ExpandString(nil, g.expand, text, m))
		case m[2*g.group] >= 0:
			value = text[m[2*g.group]:m[2*g.group+1]]
		}
		if to, ok := g.to[value]; ok {
			value = to
		}
		if value, ok := valid(g.attr, value); ok {
			claims = append(claims, provision.Claim{Attr: g.attr, Value: value, Source: r.source, By: r.by})
		}
	}
	return claims
}

// valid returns a claim's value in its usual spelling, and whether it can be true.
func valid(attr, value string) (string, bool) {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		return "", false
	}
	if attr == provision.AttrMAC {
		hw, err := hwaddr.Parse(value)
		return hw.String(), err == nil && !hw.IsGroup()
	}
	return value, true
}
