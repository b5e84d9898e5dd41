package plugin

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// maxValue is the most bytes of a claim: no model, version or serial number is as long.
const maxValue = 64

// rule is an extract rule, compiled.
type rule struct {
	re     *regexp.Regexp
	shape  shape
	groups bool // some claim is made of what the expression's groups match
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

// buildExtract compiles the rules, those of one field side by side.
func (p *Plugin) buildExtract() {
	var order []string
	byField := make(map[string][]provision.Rule)
	for i := range p.manifest.Extract {
		r := &p.manifest.Extract[i]
		c := rule{re: r.Regexp, shape: shapeOf(r.Regexp.String()), by: fmt.Sprintf("%s extract[%d]", p.id, i)}
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
			c.groups = c.groups || g.fixed == ""
			c.gets = append(c.gets, g)
		}
		c.source = sourceOf(r.Field, who)
		if byField[r.Field] == nil {
			order = append(order, r.Field)
		}
		byField[r.Field] = append(byField[r.Field], provision.Rule{
			Field: r.Field, By: c.by, Prefixes: c.shape.prefixes, Same: fmt.Sprintf("%q %#v", c.re, c.gets), Find: c.find,
		})
	}
	for _, field := range order {
		p.rules = append(p.rules, byField[field]...)
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

// Extract implements [provision.Plugin].
func (p *Plugin) Extract(req *provision.Request) []provision.Claim {
	var claims []provision.Claim
	for i := range p.rules {
		if value := req.Field(p.rules[i].Field); value != "" {
			claims = p.rules[i].Find(claims, value)
		}
	}
	return claims
}

// Rules implements [provision.Ruled].
func (p *Plugin) Rules() []provision.Rule { return p.rules }

// find appends what the rule finds in the text.
func (r *rule) find(claims []provision.Claim, text string) []provision.Claim {
	if !r.shape.fits(text) {
		return claims
	}
	var m []int
	if r.groups {
		if m = r.re.FindStringSubmatchIndex(text); m == nil {
			return claims
		}
	} else if !r.re.MatchString(text) {
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
