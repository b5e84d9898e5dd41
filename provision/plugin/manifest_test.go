package plugin_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision/plugin"
)

func TestParseManifest(t *testing.T) {
	t.Parallel()
	m, err := plugin.ParseManifest([]byte(acme))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"lines": int64(2), "function_keys": int64(8), "protocol": "sip", "type": "deskphone", "load": "img1", "ratio": 1.5, "led": true,
	}
	if diff := cmp.Diff(want, m.Models["T1"]); diff != "" {
		t.Error(diff)
	}
	wantBoot := []plugin.BootStep{
		{Ask: "dhcp", VendorClass: "ACME{model}", Options: []uint8{66, 43}, Line: 31},
		{Ask: "http", Path: "{mac}.cfg", UserAgent: "Acme", Required: true, Line: 32},
	}
	if diff := cmp.Diff(wantBoot, m.Boot); diff != "" {
		t.Error(diff)
	}
}

func TestManifestFaults(t *testing.T) {
	t.Parallel()
	const head = "format: 1\nversion: 1\nvendor: A\nmodels: {T1: {}}\n"
	tests := []struct{ name, text, want string }{
		{"empty", "", "plugin.yaml:1: the file is empty"},
		{"no YAML", "a: [\n  b", "plugin.yaml:3: did not find expected"},
		{"a list", "- 1", "the manifest must be a mapping (key: value), not a list"},
		{"unknown key", head + "vendr: B\n", `plugin.yaml:5: the manifest has no key "vendr"; did you mean vendor?`},
		{"key of nothing", head + "colour: B\n", "it may have boot, dhcp, extract, firmware"},
		{"twice", head + "vendor: B\n", `plugin.yaml:5: the manifest has the key "vendor" twice; it stands in line 3 already`},
		{"twice below", head + "routes:\n- {path: a, file: a, path: b}\n", `plugin.yaml:6: routes[0] has the key "path" twice`},
		{"models twice", "format: 1\nversion: 1\nvendor: A\nmodels:\n  T1: {}\n  T1: {}\n", `plugin.yaml:6: models has the key "T1" twice`},
		{"required", "format: 1\nvendor: A\nmodels: {T1: {}}\n", "plugin.yaml:1: the manifest must have the key version"},
		{"no models", "format: 1\nversion: 1\nvendor: A\nmodels: {}\n", "must have the key models"},
		{"format", "format: 2\nversion: 1\nvendor: A\nmodels: {T1: {}}\n", `format is "2", which isn't one of 1`},
		{"alias", "x: &a 1\n" + head + "firmware: *a\n", "not an alias"},
		{"merge", head + "boot: [{ask: http, <<: {path: a}}]\n", "has a key that is a merge"},
		{"null", head + "firmware:\n", "firmware must be a text, not nothing"},
		{"regexp", head + "firmware: '('\n", "plugin.yaml:5: firmware: missing closing )"},
		{"field", head + "extract: [{field: useragent, regexp: x}]\n", `extract[0].field is "useragent", which isn't one of path, user-agent`},
		{"attr", head + "extract: [{field: path, regexp: x, set: {serial: x}}]\n", `extract[0].set names "serial"`},
		{"group", head + "extract: [{field: path, regexp: x, set: {model: '${n}G'}}]\n", `the regexp has no group "n"`},
		{"dollar", head + "extract: [{field: path, regexp: x, set: {model: '$nG'}}]\n", "write groups as ${name}"},
		{"claims nothing", head + "extract: [{field: path, regexp: x}]\n", "extract[0] claims nothing"},
		{"option", head + "dhcp: [{vendor_class: x, options: {666: x}}]\n", `dhcp[0].options.666: option "666" is unknown`},
		{"option of the server", head + "dhcp: [{vendor_class: x, options: {53: x}}]\n", "option 53 is set by the server itself"},
		{"sub-options", head + "dhcp: [{vendor_class: x, options: {66: {1: x}}}]\n", "only option 43 can have sub-options"},
		{"sub-option", head + "dhcp: [{vendor_class: x, options: {43: {256: x}}}]\n", "must be a whole number from 0 to 255"},
		{"two ways", head + "routes: [{path: a, file: b, firmware: true}]\n", "routes[0] must have exactly one of template, file, firmware"},
		{"no way", head + "routes: [{path: a}]\n", "routes[0] must have exactly one of"},
		{"class", head + "routes: [{path: a, template: b, kind: line}]\n", "routes[0] must have the key class"},
		{"kind", head + "routes: [{path: a, template: b, class: site, kind: yaml}]\n", `routes[0].kind is "yaml", which isn't one of line, xml, json, text`},
		{"kind of a file", head + "routes: [{path: a, file: b, kind: xml}]\n", "only templates have a kind"},
		{"leading slash", head + "routes: [{path: /a, file: b}]\n", "leave the leading slash out"},
		{"traversal", head + "routes: [{path: a/../b, file: b}]\n", `no request has the part ".."`},
		{"brace", head + "routes: [{path: '{serial}.cfg', file: b}]\n", "{serial} stands for nothing"},
		{"open brace", head + "routes: [{path: '{mac.cfg', file: b}]\n", "a brace isn't closed"},
		{"two addresses", head + "routes: [{path: '{mac}{MAC}', file: b}]\n", "it names two addresses"},
		{"resync", head + "resync: {method: telnet}\n", "resync.method"},
		{"boot", head + "boot: [{ask: ftp, path: a}]\n", `boot[0].ask is "ftp"`},
		{"boot without path", head + "boot: [{ask: http}]\n", "boot[0] must have the key path"},
		{"boot with a class", head + "boot: [{ask: http, path: a, vendor_class: x}]\n", "only a dhcp step"},
		{"boot of no model", head + "boot: [{ask: http, path: a, models: T2}]\n", `plugin.yaml:5: boot[0] names the model "T2", which isn't under models; did you mean T1?`},
		{"lines", "format: 1\nversion: 1\nvendor: A\nmodels: {T1: {lines: many}}\n", "models.T1.lines must be a whole number"},
		{"control character", head + "firmware: \"a\\nb\"\n", "has a line break"},
		{"several", "format: 2\nvendr: A\n", `the manifest has no key "vendr"`},
		{"too long", strings.Repeat("#", 300<<10), "is the most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := plugin.ParseManifest([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			for _, f := range plugin.Faults(err) {
				if f.File != plugin.ManifestFile {
					t.Errorf("fault %v names no file", f)
				}
			}
		})
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(acme))
	f.Add([]byte("format: 1\nmodels: {a: {lines: 1}}\nroutes: [{path: '*', firmware: true}]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("? [x]\n: {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := plugin.ParseManifest(data)
		if (m == nil) == (err == nil) {
			t.Fatalf("got %v and %v", m, err)
		}
		all := files(string(data))
		if p, err := load(t, all); err == nil {
			_, _ = p.Route(extractRequest(), identity())
			_ = p.Extract(extractRequest())
		}
	})
}
