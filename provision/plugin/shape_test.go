package plugin

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestShape(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expr string
		want shape
	}{
		{`^Yealink SIP-(?P<model>\S+) (?P<version>\S+)$`, shape{prefixes: []string{"Yealink SIP-"}, least: 15}},
		{`^(?:00:08:5d|08:00:0f)(?::[0-9a-f]{2}){3}$`, shape{prefixes: []string{"00:08:5d:", "08:00:0f:"}, least: 17}},
		{`^(?:Aastra/)?aastra\.cfg$`, shape{prefixes: []string{"Aastra/aastra.cfg", "aastra.cfg"}, suffix: "aastra.cfg", least: 10}},
		{`^(?P<mac>[0-9a-f]{12})\.cfg$`, shape{suffix: ".cfg", least: 16}},
		{`^Ring[Ll]ist$`, shape{prefixes: []string{"RingList", "Ringlist"}, suffix: "ist", least: 8}},
		{`^Cisco(?: Systems?)? IP`, shape{prefixes: []string{"Cisco IP", "Cisco System IP", "Cisco Systems IP"}, least: 8}},
		{`^(?i)ata`, shape{prefixes: []string{"ATA", "ATa", "AtA", "Ata", "aTA", "aTa", "atA", "ata"}, least: 3}},
		{`^(?i)ata186`, shape{prefixes: []string{"ATA186", "ATa186", "AtA186", "Ata186", "aTA186", "aTa186", "atA186", "ata186"}, least: 6}},
		{`^a+b$`, shape{prefixes: []string{"a"}, suffix: "b", least: 2}},
		{`^a|^b`, shape{prefixes: []string{"a", "b"}, least: 1}},
		{`^a|b`, shape{least: 1}},
		{`snom`, shape{least: 4}},
		{`(?m)^a$`, shape{least: 1}},
		{`^�`, shape{least: 1}},
		{`^$`, shape{}},
	} {
		got := shapeOf(c.expr)
		sorted := cmpopts.SortSlices(strings.Compare)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(shape{}), sorted, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.expr, diff)
		}
	}
}

// TestShapeHoldsForMatches: whatever an expression matches has its shape.
func TestShapeHoldsForMatches(t *testing.T) {
	t.Parallel()
	var expr *rapid.Generator[string]
	expr = rapid.Custom(func(t *rapid.T) string {
		sub := func() string { return rapid.Deferred(func() *rapid.Generator[string] { return expr }).Draw(t, "sub") }
		switch rapid.IntRange(0, 14).Draw(t, "op") {
		case 0:
			return sub() + sub()
		case 1:
			return "(?:" + sub() + "|" + sub() + ")"
		case 2:
			return "(?:" + sub() + ")?"
		case 3:
			return "(?:" + sub() + ")+"
		case 4:
			return "(?:" + sub() + "){1,2}"
		case 5:
			return "(" + sub() + ")"
		case 6:
			return "(?i:" + sub() + ")"
		case 7:
			return rapid.SampledFrom([]string{"^", "$", `\b`, "(?:)", ".", "[ab]", "[a-k]", "[^a]", "K", "\uFFFD"}).Draw(t, "atom")
		default:
			return rapid.StringOfN(rapid.SampledFrom([]rune("abk")), 1, 2, -1).Draw(t, "text")
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		x := expr.Draw(t, "expr")
		if rapid.Bool().Draw(t, "begin") {
			x = "^" + x
		}
		if rapid.Bool().Draw(t, "end") {
			x += "$"
		}
		re, err := regexp.Compile(x)
		if err != nil {
			t.Skip(err)
		}
		s := shapeOf(x)
		for range 20 {
			// The Kelvin sign is a k of another case, \xff is no text.
			text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "k", "K", "\u212a", "\uFFFD", "\xff", "\n"}), 0, 5).Draw(t, "text"), "")
			if !re.MatchString(text) {
				continue
			}
			begins := s.prefixes == nil || slices.ContainsFunc(s.prefixes, func(p string) bool { return strings.HasPrefix(text, p) })
			if !begins || !s.fits(text) {
				t.Fatalf("%s matches %q, which hasn't its shape %+v", x, text, s)
			}
		}
	})
}
