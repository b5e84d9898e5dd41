package network_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/network"
)

// What can be parsed can be declared: the encoders make nothing that the checks of options refuse.
func FuzzParseOption(f *testing.F) {
	for _, seed := range [][2]string{
		{"66", "x"},
		{"119", "a..b"},
		{"150", "1.2.3.4,"},
		{"121", "10.0.0.0/8 192.0.2.1, default 192.0.2.254"},
		{"33", "203.0.113.5 192.0.2.254"},
		{"120", "sip.example"},
		{"120", "192.0.2.1"},
		{"43", "2 text http://192.0.2.1/\n3 bool false"},
		{"125", "3561 1 text a\n9 hex 00"},
		{"125", "00000de90101"},
		{"117", "6 0x1"},
		{"2", "-1h"},
		{"19", "true"},
		{"43", ""},
		{"15", "text:x"},
		{"249", "0.0.0.0/0 192.0.2.1"},
		{"vivso", "1 flag"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		o, err := network.ParseOption(key, value)
		if err != nil {
			return
		}
		if v := strings.TrimSpace(value); strings.HasPrefix(v, "hex:") || strings.HasPrefix(v, "text:") {
			return // as said, whatever the option's shape
		}
		if _, err := network.New(network.Declared{Options: []network.Option{o}}); err != nil {
			t.Errorf("ParseOption(%q, %q) = %v, which can't be declared: %v", key, value, o, err)
		}
	})
}

// A pattern means what the regular expression means that it is a short form of.
func TestPatternsAreRegexps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab?*]{0,8}`).Draw(t, "pattern")
		said := rapid.StringMatching(`[ab]{1,12}`).Draw(t, "said")
		re := regexp.MustCompile("^(?:" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + ")$")
		s, err := network.New(network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{
			{ID: "it", Match: []network.Match{{Circuit: []string{pattern}}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := len(s.Choose(s.Get("voice"), network.Facts{Circuit: said}).Classes) == 1
		if want := re.MatchString(said); got != want {
			t.Fatalf("%q fits %q: %t, want %t", said, pattern, got, want)
		}
	})
}

// No pattern makes matching panic, whatever a client says.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{{"a*b?c", "abxc"}, {"hex:00*ff", "\x00\xff"}, {`re:^a+$`, "aaa"}, {`\\`, `\`}, {"*", ""}, {"", "x"}, {"**?", "ab"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, said string) {
		m := network.Match{VendorClass: []string{pattern}}
		o := network.Match{Circuit: []string{pattern}}
		s, err := network.New(network.Declared{Networks: []network.Network{voice()}, Classes: []network.Class{
			{ID: "folded", Match: []network.Match{m}}, {ID: "exact", Match: []network.Match{o}},
		}})
		if err != nil {
			return
		}
		c := s.Choose(s.Get("voice"), network.Facts{VendorClass: said, Circuit: said})
		// A pattern without signs fits itself, but for the NULs that are no part of a text.
		if plain := !strings.ContainsAny(pattern, `*?\:`) && !strings.HasSuffix(said, "\x00"); plain && pattern == said && said != "" && len(c.Classes) != 2 {
			t.Errorf("%q fits only %v of itself", pattern, c.Classes)
		}
	})
}
