package configs

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What is written reads as what it was written of, and is written the same way again.
func TestFormatSite(t *testing.T) {
	t.Parallel()
	for _, file := range []func() (string, []byte){DefaultSite, SandboxSite, ExampleSite} {
		name, data := file()
		site, err := ParseSite(name, data)
		if err != nil {
			t.Fatal(err)
		}
		first, err := FormatSite(&site)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSite("written", first)
		if err != nil {
			t.Fatalf("%s: what was written can't be read: %v\n%s", name, err, first)
		}
		second, err := FormatSite(&again)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("%s: it is written differently each time:\n%s", name, cmp.Diff(string(first), string(second)))
		}
		if diff := cmp.Diff(site, again, sameButLines(), cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s: written and read again, it differs (-before +after):\n%s", name, diff)
		}
	}
}

// Texts that look like something else stay texts.
func TestFormatKeepsKinds(t *testing.T) {
	t.Parallel()
	params := map[string]any{
		"a": "0100", "b": "true", "c": "no", "d": "null", "e": " blank ", "f": "line\nbreak", "g": "#1", "h": "é: ü", "i": "1.5",
		"j": int64(7), "k": 2.0, "l": true, "m": []any{"x", int64(1), map[string]any{"y": "~"}}, "n": "8h", "o": "", "p": "12", "q": "-",
		"r": map[string]any{}, "s": []any{}, "t": nil, "u": "1e3", "v": "0x10", "w": "2026-01-02", "x": "a b", "y": "192.0.2.1", "1": "<<",
	}
	data, err := FormatSite(&Site{Configs: []SiteConfig{{ID: "x", Params: params}}})
	if err != nil {
		t.Fatal(err)
	}
	site, err := ParseSite("written", data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if diff := cmp.Diff(params, site.Configs[0].Params); diff != "" {
		t.Errorf("params differ (-before +after):\n%s", diff)
	}
}

func sameButLines() cmp.Option {
	return cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && f.Name() == "Line"
	}, cmp.Ignore())
}
