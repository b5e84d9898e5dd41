package plugins_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// hostile returns some 200 texts of which a careless template makes a second setting, markup or a command.
func hostile() []string {
	pieces := []string{
		"\n", "\r", "\r\n", "\x00", "\x1b[2J", "\v", "\f", "\t", "\u0085", "\u2028", "\u2029", "\u202e", "\xff\xfe", "\ufeff", "%0a", "%0d%0a", "%n%s", "\"", "'",
		"`", "\\", "\\n", "<", ">", "&", "&#10;", "]]>", "<!--", "-->", "{{.}}", "{{fail}}", "#", "$(reboot)", ";reboot;",
	}
	payloads := []string{"admin password: 1", "</sshUserId><x>1</x>", `" y="`, "http server: 203.0.113.9", "1"}
	var all []string
	for _, piece := range pieces {
		for _, p := range payloads {
			all = append(all, "a"+piece+p)
		}
		all = append(all, piece+"a", "a"+piece)
	}
	return all
}

// full is a config in which every parameter says something harmless.
func full(rows []provision.Param, depth int) map[string]any {
	out := map[string]any{}
	for i := range rows {
		if v := harmless(&rows[i], depth); v != nil {
			out[rows[i].Name] = v
		}
	}
	return out
}

func harmless(p *provision.Param, depth int) any {
	switch p.Type {
	case provision.TypeBool:
		return true
	case provision.TypeInt:
		return p.Min
	case provision.TypeEnum:
		return p.Enum[0]
	case provision.TypeHost:
		return "192.0.2.9"
	case provision.TypeURL:
		return "http://192.0.2.9/a"
	case provision.TypeTimezone:
		return "Europe/Berlin"
	case provision.TypeLocale:
		return "de_DE"
	case provision.TypePEM:
		return "-----BEGIN X-----\nAA\n-----END X-----\n"
	case provision.TypeList:
		return []any{harmless(p.Item, depth)}
	case provision.TypeTable:
		if depth > 1 {
			return nil
		}
		return map[string]any{"1": full(p.Fields, depth+1), "2": full(p.Fields, depth+1)}
	case provision.TypeString, provision.TypeSecret:
		if strings.HasPrefix(p.Pattern, `^\(`) {
			return "(a=b)"
		}
		if v := "a"; p.Pattern == "" || provision.CheckLayer(provision.Params{p.Name: v}) == nil {
			return v
		}
	}
	return nil
}

// each calls yield with every text of a config, and how to put another in its place.
func each(m map[string]any, rows []provision.Param, prefix string, yield func(path, was string, set func(any))) {
	for i := range rows {
		p := &rows[i]
		switch v := m[p.Name].(type) {
		case string:
			switch p.Type {
			case provision.TypeEnum, provision.TypeLocale, provision.TypeTimezone: // looked up, not shown
			default:
				yield(prefix+p.Name, v, func(x any) { m[p.Name] = x })
			}
		case map[string]any:
			entry, _ := v["1"].(map[string]any)
			each(entry, p.Fields, prefix+p.Name+".1.", yield)
		}
	}
}

// TestThreat shows that no value becomes more than a value.
func TestThreat(t *testing.T) {
	t.Parallel()
	t.Run("S11", func(t *testing.T) { t.Parallel(); threatDevice(t) })
	t.Run("S37", func(t *testing.T) { t.Parallel(); threatConfig(t) })
}

// TestFault answers the ancestor's templates, which escaped nothing.
func TestFault(t *testing.T) {
	t.Parallel()
	t.Run("W-08", func(t *testing.T) { t.Parallel(); threatDevice(t) })
}

// threatDevice: what a phone says of itself, and what a person writes to it, in all templates.
func threatDevice(t *testing.T) {
	for _, p := range all(t) {
		params := full(provision.Vocabulary(), 0)
		base := provision.Device{Plugin: p.ID(), HW: hwaddr.MustParse("00:08:5d:23:73:01"), Model: "6757i", Vendor: "V", Version: "1", Label: "L", Serial: "S"}
		for _, r := range templated(p) {
			want, err := keysOf(p, r, base, params)
			if err != nil {
				t.Fatalf("%s %s: %v", p.ID(), r.Template, err)
			}
			for _, x := range hostile() {
				d := base
				d.Label, d.Version, d.Vendor, d.Serial, d.UUID, d.Port = x, x, x, x, x, x
				same(t, p, r, d, params, want, "device", x)
				d = base
				d.Model = x // is in a comment of some
				same(t, p, r, d, params, nil, "model", x)
			}
		}
	}
}

// threatConfig: every text of the vocabulary, as the check lets it through and, as if it didn't, in any case.
func threatConfig(t *testing.T) {
	values := hostile()
	if len(values) < 200 {
		t.Fatalf("%d hostile texts are too few", len(values))
	}
	rows := provision.Vocabulary()
	shown := 0
	for _, p := range all(t) {
		d := provision.Device{Plugin: p.ID(), HW: hwaddr.MustParse("00:08:5d:23:73:01"), Model: slices.Min(p.Models())}
		for _, r := range templated(p) {
			params := full(rows, 0)
			want, err := keysOf(p, r, d, params)
			if err != nil {
				t.Fatalf("%s %s: %v", p.ID(), r.Template, err)
			}
			bare, err := fetchRoute(p, r, d, params)
			if err != nil {
				t.Fatal(err)
			}
			each(params, rows, "", func(path, was string, set func(any)) {
				defer set(was)
				set("z0z0z0z")
				if b, err := fetchRoute(p, r, d, params); err == nil && bytes.Equal(b, bare) {
					return // the template doesn't show it
				}
				shown++
				for _, x := range values {
					set(x)
					same(t, p, r, d, params, want, path, x)
				}
			})
		}
	}
	if shown < 40 {
		t.Errorf("only %d values are shown by all templates", shown)
	}
	refused := 0
	for _, x := range values {
		if provision.CheckLayer(provision.Params{"sip_lines": map[string]any{"1": map[string]any{"username": x}}}) != nil {
			refused++
		}
	}
	if refused < len(values)*9/10 {
		t.Errorf("only %d of %d hostile texts are refused as a user name", refused, len(values))
	}
}

// templated returns the routes that are made of templates of a kind that has keys.
func templated(p *plugin.Plugin) (routes []provision.Route) {
	for _, rule := range p.Manifest().Routes {
		if rule.Template != "" && rule.Kind != "text" {
			path := strings.NewReplacer("{MAC}", "00085D237301", "{mac}", "00085d237301").Replace(rule.Paths[0])
			if r, ok := p.Route(&provision.Request{Path: path}, provision.Identity{}); ok {
				routes = append(routes, r)
			}
		}
	}
	return routes
}

func fetchRoute(p *plugin.Plugin, r provision.Route, d provision.Device, params provision.Params) ([]byte, error) {
	facts, _ := p.Model(d.Model)
	a, err := p.Answer(context.Background(), r, &provision.View{
		Device: d, Params: provision.Complete(params), Base: "192.0.2.1", HTTP: "http://192.0.2.1", Model: facts,
	})
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	return io.ReadAll(a.Body)
}

// keysOf reads a file back as the phone does, and returns the keys of its settings in their order.
func keysOf(p *plugin.Plugin, r provision.Route, d provision.Device, params provision.Params) ([]string, error) {
	data, err := fetchRoute(p, r, d, params)
	if err != nil {
		return nil, err
	}
	var keys []string
	if r.Kind != "xml" {
		for line := range strings.FieldsFuncSeq(string(data), func(c rune) bool { return c == '\n' || c == '\r' || c == '\u2028' || c == '\u0085' }) {
			if line[0] != '#' {
				key, _, _ := strings.Cut(line, ":")
				keys = append(keys, key)
			}
		}
		return keys, nil
	}
	for dec := xml.NewDecoder(bytes.NewReader(data)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return keys, nil
		}
		if err != nil {
			return nil, fmt.Errorf("it is no XML any more: %w", err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			keys = append(keys, x.Name.Local)
			for _, a := range x.Attr {
				keys = append(keys, "@"+a.Name.Local)
			}
		case xml.Comment, xml.ProcInst, xml.Directive:
			keys = append(keys, fmt.Sprintf("%T", x))
		}
	}
}

// same demands that a file isn't made, or has these keys; nil: none that a harmless one of its kind wouldn't have.
func same(t *testing.T, p *plugin.Plugin, r provision.Route, d provision.Device, params provision.Params, want []string, what, value string) {
	t.Helper()
	got, err := keysOf(p, r, d, params)
	if err != nil {
		if strings.Contains(err.Error(), "no XML any more") {
			t.Errorf("%s %s, %s %q: %v", p.ID(), r.Template, what, value, err)
		}
		return
	}
	if want == nil {
		d.Model = "harmless"
		if want, err = keysOf(p, r, d, params); err != nil {
			t.Errorf("%s %s: %v", p.ID(), r.Template, err)
			return
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s %s, %s %q: %d settings, want %d", p.ID(), r.Template, what, value, len(got), len(want))
	}
}
