package plugin_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

func extractRequest() *provision.Request {
	return &provision.Request{Path: "001565aabbcc.cfg", Fields: map[string]string{
		provision.FieldUserAgent:   "Acme t1 3.1 00:15:65:aa:bb:cc",
		provision.FieldVendorClass: "ACME1\x00",
	}}
}

func identity() provision.Identity {
	return provision.Identity{Vendor: "Acme", VendorBy: provision.SourceLease}
}

func TestExtract(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, files(acme))
	ua := func(s string) *provision.Request {
		return &provision.Request{Path: "x", Fields: map[string]string{provision.FieldUserAgent: s}}
	}
	const mac = "00:15:65:aa:bb:cc"
	tests := []struct {
		name string
		req  *provision.Request
		want []provision.Claim
	}{
		{"all", extractRequest(), []provision.Claim{
			{Attr: "mac", Value: mac, Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
			{Attr: "vendor", Value: "Acme", Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
			{Attr: "model", Value: "T1", Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
			{Attr: "version", Value: "3.1", Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
			{Attr: "mac", Value: mac, Source: provision.SourcePath, By: "acme-1.0 extract[1]"},
			{Attr: "vendor", Value: "Acme", Source: provision.SourceLease, By: "acme-1.0 extract[3]"},
			{Attr: "model", Value: "T1", Source: provision.SourceLease, By: "acme-1.0 extract[3]"},
		}},
		{"shared file", &provision.Request{Path: "acme.cfg"}, []provision.Claim{
			{Attr: "vendor", Value: "Acme", Source: provision.SourceGuess, By: "acme-1.0 extract[2]"},
		}},
		{"zero address", ua("Acme t2 3.1 000000000000"), []provision.Claim{
			{Attr: "vendor", Value: "Acme", Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
			{Attr: "model", Value: "t2", Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
			{Attr: "version", Value: "3.1", Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
		}},
		{"values that can't be true", ua("Acme " + strings.Repeat("x", 65) + " a\x01b 0015"), []provision.Claim{
			{Attr: "vendor", Value: "Acme", Source: provision.SourceHeader, By: "acme-1.0 extract[0]"},
		}},
		{"a browser", ua("Mozilla/5.0"), nil},
		{"nothing", &provision.Request{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, p.Extract(tt.req)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// An address in a vendor's range is a guess at the vendor, and says nothing of who asks.
func TestExtractRange(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, map[string]string{"plugin.yaml": "format: 1\nversion: 1\nvendor: Acme\nmodels: {T1: {}}\nextract: [{field: mac, regexp: '^00:15:65:'}]\n"})
	want := []provision.Claim{{Attr: "vendor", Value: "Acme", Source: provision.SourceGuess, By: "acme-1.0 extract[0]"}}
	if diff := cmp.Diff(want, p.Extract(&provision.Request{HW: hwaddr.MustParse("00:15:65:aa:bb:cc")})); diff != "" {
		t.Error(diff)
	}
	if got := p.Extract(&provision.Request{HW: hwaddr.MustParse("00:08:5d:aa:bb:cc")}); got != nil {
		t.Errorf("another's address: got %v", got)
	}
	if got := p.Extract(&provision.Request{Path: "x"}); got != nil {
		t.Errorf("no address: got %v", got)
	}
}

func TestSupport(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, files(acme))
	const lease, guess = provision.SourceLease, provision.SourceGuess
	tests := []struct {
		name string
		id   provision.Identity
		want provision.Support
	}{
		{"nothing", provision.Identity{}, provision.SupportUnknown},
		{"another vendor", provision.Identity{Vendor: "Yealink", VendorBy: lease}, provision.SupportImprobable},
		{"another model", provision.Identity{Vendor: "Acme", VendorBy: lease, Model: "T9", ModelBy: lease}, provision.SupportImprobable},
		{"a guess", provision.Identity{Vendor: "Acme", VendorBy: guess, Model: "T1", ModelBy: guess}, provision.SupportUnknown},
		{"vendor", provision.Identity{Vendor: "Acme", VendorBy: lease}, provision.SupportProbable},
		{"vendor, model guessed", provision.Identity{Vendor: "Acme", VendorBy: lease, Model: "T1", ModelBy: guess, Version: "3.1"}, provision.SupportProbable},
		{"model", provision.Identity{Vendor: "Acme", VendorBy: lease, Model: "T1", ModelBy: lease}, provision.SupportComplete},
		{"other firmware", provision.Identity{Vendor: "Acme", VendorBy: lease, Model: "T1", ModelBy: lease, Version: "2.9"}, provision.SupportIncomplete},
		{"firmware", provision.Identity{Vendor: "Acme", VendorBy: lease, Model: "T1", ModelBy: lease, Version: "3.1"}, provision.SupportExact},
	}
	for _, tt := range tests {
		if got, why := p.Support(tt.id); got != tt.want || why == "" {
			t.Errorf("%s: got %d (%q), want %d", tt.name, got, why, tt.want)
		}
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, files(acme))
	hw := hwaddr.MustParse("00:15:65:aa:bb:cc")
	text := "text/plain; charset=utf-8"
	tests := []struct {
		path string
		want provision.Route
	}{
		{"001565aabbcc.cfg", provision.Route{Rule: "routes[0] {mac}.cfg", Template: "device.tmpl", Kind: "line", Type: text, Class: provision.ClassSecret, HW: hw}},
		{"x/001565aabbcc.cfg", provision.Route{Rule: "routes[0] x/{mac}.cfg", Template: "device.tmpl", Kind: "line", Type: text, Class: provision.ClassSecret, HW: hw}},
		{"common.cfg", provision.Route{Rule: "routes[1] common.cfg", Template: "common.tmpl", Kind: "line", Type: "text/x-acme", Class: provision.ClassSite}},
		{"rings/a.wav", provision.Route{Rule: "routes[2] rings/*", File: "rings/a.wav", Type: "audio/wav", Class: provision.ClassSite}},
		{"logo.png", provision.Route{Rule: "routes[3] logo.png", File: "logo.png", Type: "image/png", Class: provision.ClassPublic}},
		{"fw.img", provision.Route{Rule: "routes[4] *.img", File: "fw.img", Firmware: true, Type: "application/octet-stream", Class: provision.ClassPublic}},
		{"20.img", provision.Route{Rule: "routes[5] {model}.img", File: "models/20.img", Firmware: true, Type: "application/octet-stream", Class: provision.ClassPublic}},
	}
	for _, tt := range tests {
		got, ok := p.Route(&provision.Request{Path: tt.path}, provision.Identity{})
		if !ok {
			t.Errorf("%s: no route", tt.path)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.path, diff)
		}
	}
	for _, path := range []string{
		"", "COMMON.CFG", "001565AABBCC.cfg", "000000000000.cfg", "001565aabbc.cfg", "y/001565aabbcc.cfg", "rings/b/a.wav", "rings", "a/fw.img",
		"001565aabbcc.cfg\n", "device.tmpl", "plugin.yaml", "templates/device.tmpl", "../plugin.yaml",
	} {
		if r, ok := p.Route(&provision.Request{Path: path}, provision.Identity{}); ok {
			t.Errorf("%q: got %+v, want no route", path, r)
		}
	}
}

// Whatever is asked for, what is opened lies below files/ or among the firmware.
func TestNoPathLeadsOut(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, files(acme))
	rapid.Check(t, func(rt *rapid.T) {
		path := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"rings", "/", "..", ".", "a.wav", "plugin.yaml", "logo.png", "\\", "%2e", "*"})).Draw(rt, "path"), "")
		got, err := fetch(t, p, path, nil)
		if err == nil && got != "ring" && got != "logo" {
			rt.Fatalf("%q gives %q", path, got)
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("{mac}.cfg", "001565aabbcc.cfg")
	f.Add("a*b*c/*{model}", "aXbc/T1")
	f.Add("{MAC}", "001565AABBCC")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		manifest := fmt.Sprintf("format: 1\nversion: 1\nvendor: A\nmodels: {T1: {}}\nroutes: [{path: %q, firmware: true}]\n", pattern)
		p, err := load(t, map[string]string{"plugin.yaml": manifest})
		if err != nil {
			return
		}
		r, ok := p.Route(&provision.Request{Path: path}, provision.Identity{})
		if ok && !strings.ContainsAny(pattern, "{*") && path != pattern {
			t.Errorf("%q matches %q", pattern, path)
		}
		if ok && !r.HW.IsZero() && !strings.Contains(strings.ToLower(path), r.HW.Join("")) {
			t.Errorf("%q in %q names %s", pattern, path, r.HW)
		}
	})
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("firmware", 200_000)
	p := mustLoad(t, files(acme), mapFS(map[string]string{"templates/foot.tmpl": "end: site\n", "files/rings/b.wav": "own"}),
		mapFS(map[string]string{"fw.img": big, "models/20.img": "small"}))
	view := &provision.View{Base: "192.0.2.1", Device: provision.Device{Label: "Lobby", HW: hwaddr.MustParse("00:15:65:aa:bb:cc")}}
	for path, want := range map[string]string{
		"001565aabbcc.cfg": "name: Lobby\nmac: 00-15-65-aa-bb-cc\nend: site\n",
		"common.cfg":       "base: 192.0.2.1\nload: none\n",
		"rings/a.wav":      "ring",
		"rings/b.wav":      "own",
		"fw.img":           big,
		"20.img":           "small",
	} {
		if got, err := fetch(t, p, path, view); err != nil || got != want {
			t.Errorf("%s: got %.60q, %v; want %.60q", path, got, err, want)
		}
	}
	for _, path := range []string{"nope.img", "rings/c.wav"} {
		if _, err := fetch(t, p, path, view); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", path, err)
		}
	}
	if diff := cmp.Diff([]string{"fw.img", "models/20.img"}, p.Firmware()); diff != "" {
		t.Error(diff)
	}
	view.Device.Label = "a\nadmin password: x"
	_, err := fetch(t, p, "001565aabbcc.cfg", view)
	if want := "templates/device.tmpl:1: the value has the character U+000A at place 2"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// The guard may withhold secrets; a device's own parameters must not bring them in by another way.
func TestTemplateSeesNoOverride(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, with(map[string]string{"templates/common.tmpl": "{{range $k, $v := .Device.Override}}{{$v.Reveal}}{{end}}"}))
	v := &provision.View{Device: provision.Device{Override: provision.Params{"admin_password": provision.Secret("s3cret")}}}
	if got, err := fetch(t, p, "common.cfg", v); got != "" {
		t.Errorf("got %q, %v; want nothing", got, err)
	}
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no manifest", map[string]string{"templates/a.tmpl": ""}, "plugin.yaml: there is no such file"},
		{"broken template", with(map[string]string{"templates/device.tmpl": "a\n{{if}}"}), "templates/device.tmpl:2: missing value for if"},
		{"defined twice", with(map[string]string{"templates/a.tmpl": `{{define "foot.tmpl"}}{{end}}`}), `"foot.tmpl" is defined in a.tmpl already`},
		{"no such template", files(strings.Replace(acme, "template: device.tmpl", "template: devise.tmpl", 1)), "plugin.yaml:23: routes[0]: there is no templates/devise.tmpl; did you mean device.tmpl?"},
		{"no such file", files(strings.Replace(acme, "file: logo.png", "file: lego.png", 1)), "routes[3]: there is no files/lego.png; did you mean logo.png?"},
		{"file outside", files(strings.Replace(acme, "file: logo.png", "file: ../plugin.yaml", 1)), `routes[3]: "../plugin.yaml" is no path below the folder`},
		{"braces", files(strings.Replace(acme, "file: logo.png", "file: '{mac}'", 1)), "has braces other than {name} and {path}"},
		{"path twice", files(strings.Replace(acme, "path: logo.png", "path: common.cfg", 1)), `routes[3].path: "common.cfg" stands in the route of line 24 already`},
		{"dhcp template", files(strings.Replace(acme, "{{.HTTP}}/x", "{{.HTPP}}/x", 1)), "plugin.yaml:16: dhcp[0].options.66: at <.HTPP>: can't evaluate field HTPP"},
		{"dhcp syntax", files(strings.Replace(acme, "{{.HTTP}}/x", "{{.HTTP/x", 1)), "plugin.yaml:16: dhcp[0].options.66: "},
		{"dhcp value", files(strings.Replace(acme, "192.0.2.9", "nonsense", 1)), `plugin.yaml:17: dhcp[0].options.150: option 150 (tftp-server-address): "nonsense" is not an IPv4 address`},
		{"sub-option value", files(strings.Replace(acme, "uint32:12", "uint8:256", 1)), `plugin.yaml:18: dhcp[0].options.43: sub-option 4: "256" is not a number of 8 bits`},
		{"next", files(strings.Replace(acme, "next: '{{.Base}}'", "next: 'x'", 1)), `"x" is not an IPv4 address`},
		{"template's ending", with(map[string]string{"templates/readme.txt": "x"}), "templates/readme.txt: templates end in .tmpl"},
		{"template's size", with(map[string]string{"templates/a.tmpl": strings.Repeat("x", 300<<10)}), "a template has at most 256 KiB"},
		{"depth", with(map[string]string{"files/" + strings.Repeat("d/", 12) + "a": "x"}), "nested over 8 deep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tt.files)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := plugin.Load("../x", plugin.Dirs{Plugin: mapFS(files(acme))}); err == nil {
		t.Error("a name with a slash loads")
	}
}

// A link out of the plugin's directory, to a file or a directory, keeps the plugin from loading.
func TestLinksOut(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, map[string]string{"secret": "root:x:0:0"})
	for name, target := range map[string]string{
		"files/passwd":     filepath.Join(outside, "secret"),
		"files/up":         "../../../secret",
		"files/inside":     "logo.png",
		"files/dir":        outside,
		"templates/linked": outside,
		"templates/a.tmpl": filepath.Join(outside, "secret"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, files(acme))
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Skip(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			_, err = plugin.Load("acme-1.0", plugin.Dirs{Plugin: root.FS()})
			if want := name + ": it is a symbolic link"; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// A large file that is overwritten while it is sent ends with an error, not with a mixture.
func TestLargeFileChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"p/plugin.yaml": acme, "fw/fw.img": strings.Repeat("old!", 500_000)})
	write(t, dir, map[string]string{"p/templates/device.tmpl": "", "p/templates/common.tmpl": "", "p/files/logo.png": ""})
	var fsys [2]*os.Root
	for i, name := range []string{"p", "fw"} {
		var err error
		if fsys[i], err = os.OpenRoot(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		defer fsys[i].Close()
	}
	p, err := plugin.Load("acme-1.0", plugin.Dirs{Plugin: fsys[0].FS(), Firmware: fsys[1].FS()})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := p.Route(&provision.Request{Path: "fw.img"}, provision.Identity{})
	a, err := p.Answer(t.Context(), r, &provision.View{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := a.Body.Read(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"fw/fw.img": strings.Repeat("new", 500_000)})
	if b, err := io.ReadAll(a.Body); err == nil {
		t.Errorf("got %d bytes more, want an error", len(b))
	}
	if _, err := p.Answer(t.Context(), r, &provision.View{}); err == nil || errors.Is(err, provision.ErrNotFound) {
		t.Errorf("got %v, want an error that isn't ErrNotFound", err)
	}
}

func BenchmarkExtract(b *testing.B) {
	p := mustLoad(b, files(acme))
	req := extractRequest()
	other := &provision.Request{Path: "y.boot", Fields: map[string]string{provision.FieldUserAgent: "Yealink SIP-T46S 66.86.0.15 00:15:65:aa:bb:cc"}}
	b.Run("own", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Extract(req)
		}
	})
	b.Run("other", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Extract(other)
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	p := mustLoad(b, files(acme))
	for _, path := range []string{"common.cfg", "001565aabbcc.cfg", "nothing.txt"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Route(&provision.Request{Path: path}, provision.Identity{})
			}
		})
	}
}
