package render_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision/render"
)

func one(tb testing.TB, kind render.Kind, text string, data any) (string, error) {
	tb.Helper()
	s, err := render.Parse([]render.Source{{Name: "t", Text: text}})
	if err != nil {
		tb.Fatalf("Parse(%q): %v", text, err)
	}
	out, err := s.Render(tb.Context(), "t", kind, data)
	return string(out.Data), err
}

type label string

func (l label) String() string { return "<" + string(l) + ">" }

func data() map[string]any {
	return map[string]any{
		"nil": nil, "empty": "", "name": "Reception", "evil": "a\nsip line2 user: x", "xml": `<a b="c">&'`, "nul": "a\x00b",
		"lines": map[string]any{"10": "ten", "2": "two", "1": "one", "x": "other"}, "n": 3, "b": true, "list": []any{"a", 1},
		"hw": "00:15:65:aa:bb:cc", "str": label("x"), "bad": "\xff", "big": strings.Repeat("x", 60_000), "f": 1.5,
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		kind render.Kind
		text string
		want string
		err  string
	}{
		{"line", render.Line, "display name: {{.name}}\n", "display name: Reception\n", ""},
		{"line, second setting", render.Line, "a\nname: {{.evil}}\n", "", "t:2: the value has the character U+000A at place 2"},
		{"line, in an assignment nothing is printed", render.Line, "{{$x := .evil}}ok", "ok", ""},
		{"line, not UTF-8", render.Line, "{{.bad}}", "", "UTF-8"},
		{"line, map", render.Line, "{{.lines}}", "", "a map, not a single value"},
		{"nil is nothing", render.Line, "[{{.nil}}]", "[]", ""},
		{"stringer", render.Line, "{{.str}}", "<x>", ""},
		{"misspelt key", render.Line, "\n\n{{.naam}}", "", `t:3: at <.naam>: map has no entry for key "naam"`},
		{"xml", render.XML, "<n>{{.xml}}</n>", "<n>&lt;a b=&#34;c&#34;&gt;&amp;&#39;</n>", ""},
		{"xml, line break", render.XML, "{{.evil}}", "a&#10;sip line2 user: x", ""},
		{"xml, NUL", render.XML, "{{.nul}}", "", "U+0000"},
		{"text, line break", render.Text, "{{.evil}}", "a\nsip line2 user: x", ""},
		{"text, NUL", render.Text, "{{.nul}}", "", "U+0000"},
		{
			"json", render.JSON, `{"n":{{.evil}},"l":{{.list}},"m":{{.lines}},"z":{{.nil}}}`,
			`{"n":"a\nsip line2 user: x","l":["a",1],"m":{"1":"one","10":"ten","2":"two","x":"other"},"z":null}`, "",
		},
		{"escaped in a partial, once", render.XML, `{{define "p"}}{{.}}{{end}}{{template "p" .xml}}`, "&lt;a b=&#34;c&#34;&gt;&amp;&#39;", ""},
		{"numeric order", render.Line, "{{range numeric .lines}}{{.Key}}={{.Value}};{{end}}", "1=one;2=two;10=ten;x=other;", ""},
		{"range over nil", render.Line, "{{range .nil}}x{{end}}{{range numeric .nil}}x{{end}}", "", ""},
		{"default", render.Line, `{{default "d" .empty}}{{.name | default "d"}}{{first .nil .empty 0 "last"}}`, "dReceptionlast", ""},
		{"get", render.Line, `{{get .lines "1"}}{{get .lines "9" "none"}}{{get .nil "k"}}{{has .lines "x"}}`, "onenonetrue", ""},
		{"mac", render.Line, `{{mac .hw "-"}} {{upper (mac .hw "")}}{{mac .nil "-"}}`, "00-15-65-aa-bb-cc 001565AABBCC", ""},
		{"mac of no address", render.Line, `{{mac "Reception" "-"}}`, "", "isn't a hardware address"},
		{"numbers", render.Line, `{{add 1 "2"}} {{sub 1 3}} {{mul 2 3}} {{div 7 2}} {{mod 7 2}} {{neg .n}} {{int .nil}} {{min 1 2}}{{max 1 2}}`, "3 -2 6 3 1 -3 0 12", ""},
		{"division by zero", render.Line, `{{div 1 0}}`, "", "division by zero"},
		{"seq", render.Line, `{{range seq 1 3}}{{.}}{{end}}{{range seq 3 1}}x{{end}}`, "123", ""},
		{"seq too long", render.Line, `{{range seq -9223372036854775808 9223372036854775807}}{{end}}`, "", "over 1000"},
		{"texts", render.Line, `{{join "," .list}} {{upper "a"}}{{trim " b "}}{{replace "a" "c" "aa"}}{{truncate 2 "äöü"}}{{trimprefix "x" "xy"}}`, "a,1 Abccäöy", ""},
		{"tests", render.Line, `{{contains "b" "abc"}} {{hasprefix "b" "abc"}} {{hassuffix "c" "abc"}}`, "true false true", ""},
		{"dict", render.Line, `{{with dict "a" 1 "b" .name}}{{.a}}{{.b}}{{end}}`, "1Reception", ""},
		{"split", render.Line, `{{range split "," "a,b"}}[{{.}}]{{end}}`, "[a][b]", ""},
		{"fail", render.Line, "\n{{fail \"no proxy\"}}", "", "t:2: at <fail \"no proxy\">: error calling fail: no proxy"},
		{"printf", render.Line, `{{printf "%s-%03d-%x-%t-%.1f%%" .name .n "k" .b .f}}`, "Reception-003-6b-true-1.5%", ""},
		{"printf star", render.Line, `{{printf "%*d" 1000000000 1}}`, "", "no verb"},
		{"printf width", render.Line, `{{printf "%999999999d" 1}}`, "", "256 is the most"},
		{"printf precision", render.Line, `{{printf "%.999999999f" .f}}`, "", "256 is the most"},
		{"printf index", render.Line, `{{printf "%[1]s%[1]s" "x"}}`, "", "no verb"},
		{"printf wrong kind", render.Line, `{{printf "%d" "x"}}`, "", "no verb for text"},
		{"printf too few", render.Line, `{{printf "%s"}}`, "", "more verbs than values"},
		{"printf too many", render.Line, `{{printf "%s" 1 2}}`, "", "no verb"},
		{"printf of a map", render.Line, `{{printf "%v" .lines}}`, "", "a map"},
		{"print", render.Line, `{{print .nil 1 "a"}}{{html "<"}}{{urlquery "a b"}}`, "1a&lt;a+b", ""},
		{"base64", render.Line, `{{base64 "a:b"}}`, "YTpi", ""},
		{"zone", render.Line, `{{with zone "Europe/Berlin"}}{{.OffsetMinutes}} {{.SavingMinutes}} {{.Start.Month}}/{{.Start.Week}}/{{.Start.Weekday}} {{.Start.Hour}} {{.End.Hour}}{{end}}`, "60 60 3/5/0 2 3", ""},
		{"no zone", render.Line, `{{zone "../etc/passwd"}}`, "", "is no time zone"},
		{"cisco zone", render.XML, `{{ciscozone "Europe/Paris"}}|{{ciscozone "America/New_York"}}|{{ciscozone .nil}}`, "W. Europe Standard/Daylight Time|Eastern Standard/Daylight Time|Greenwich Standard Time", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := one(t, tt.kind, tt.text, data())
			switch {
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got error %v, want one with %q", err, tt.err)
			case tt.err == "" && err != nil:
				t.Errorf("got error %v", err)
			case got != tt.want:
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Each of these would run for minutes, or take gigabytes, with text/template alone.
func TestBombs(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"range":            `{{range 100000000000}}{{end}}`,
		"continue":         `{{range 100000000000}}{{continue}}x{{end}}`,
		"nested":           `{{range seq 1 1000}}{{range seq 1 1000}}{{range seq 1 1000}}{{end}}{{end}}{{end}}`,
		"no loop":          strings.Repeat("{{.big}}", 20),
		"output":           `{{range 1000000}}{{$.big}}{{end}}`,
		"doubling":         `{{$x := "xxxxxxxx"}}{{range 100}}{{$x = print $x $x}}{{end}}{{$x}}`,
		"doubling, printf": `{{$x := "xxxxxxxx"}}{{range 100}}{{$x = printf "%s%s" $x $x}}{{end}}`,
		"doubling, join":   `{{$x := "x"}}{{range 100}}{{$x = join $x (list $x $x)}}{{end}}`,
		"replace":          `{{$x := .big}}{{replace "x" .big $x}}`,
		"list of lists":    `{{$x := list 1}}{{range 30}}{{$x = list $x $x}}{{end}}{{$x}}`,
		"doubling calls": `{{define "a"}}{{template "b"}}{{template "b"}}{{end}}{{define "b"}}{{template "c"}}{{template "c"}}{{end}}
			{{define "c"}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}{{template "a"}}`,
		"slow": `{{range 49999}}{{$x := replace "x" "yy" $.big | len}}{{end}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			got, err := one(t, render.JSON, text, data())
			if err == nil {
				t.Errorf("got %d bytes, want an error", len(got))
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("stopped after %s only", took)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	s, err := render.Parse([]render.Source{{Name: "t", Text: `{{range 40000}}.{{end}}`}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Render(ctx, "t", render.Line, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	src := func(texts ...string) (s []render.Source) {
		for i, text := range texts {
			s = append(s, render.Source{Name: string(rune('a'+i)) + ".tmpl", Text: text})
		}
		return s
	}
	tests := []struct {
		name    string
		sources []render.Source
		want    string
	}{
		{"syntax", src("x\n{{if}}"), "a.tmpl:2: missing value for if"},
		{"unknown function", src("\n{{readfile \"/etc/passwd\"}}"), `a.tmpl:2: function "readfile" not defined`},
		{"twice in two files", src(`{{define "p"}}1{{end}}`, `{{define "p"}}2{{end}}`), `b.tmpl: template "p" is defined in a.tmpl already; rename one`},
		{"twice in one file", src(`{{define "p"}}1{{end}}{{define "p"}}2{{end}}`), `multiple definition of template "p"`},
		{"a file's name", src(`x`, `{{define "a.tmpl"}}2{{end}}`), `template "a.tmpl" is defined in a.tmpl already`},
		{"missing template", src("\n{{template \"nope\"}}"), `a.tmpl:2: there is no template "nope"`},
		{"recursion", src(`{{define "p"}}{{if .}}{{template "p" .}}{{end}}{{end}}`), `a.tmpl:1: template "p" calls "p", which leads back to it`},
		{"circle", src(`{{template "b.tmpl"}}`, `{{range .}}{{else}}{{template "a.tmpl"}}{{end}}`), `b.tmpl:1: template "b.tmpl" calls "a.tmpl"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := render.Parse(tt.sources)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOutputHash(t *testing.T) {
	t.Parallel()
	s, err := render.Parse([]render.Source{{Name: "t", Text: "abc"}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Render(t.Context(), "t", render.Line, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := out.Hash[:4], []byte{0xba, 0x78, 0x16, 0xbf}; !cmp.Equal(want, got) {
		t.Errorf("got hash %x…, want %x…", got, want)
	}
}

// No value whatever becomes a second setting.
func TestLineHoldsOneSetting(t *testing.T) {
	t.Parallel()
	s, err := render.Parse([]render.Source{{Name: "t", Text: "name: {{.}}\nend: 1\n"}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := hostile().Draw(t, "value")
		out, err := s.Render(context.Background(), "t", render.Line, v)
		if err != nil {
			return
		}
		lines := strings.FieldsFunc(string(out.Data), func(r rune) bool { return strings.ContainsRune("\n\r\v\f\u0085\u2028\u2029", r) })
		if want := []string{"name: " + v, "end: 1"}; !cmp.Equal(want, lines) {
			t.Fatalf("got lines %q, want %q", lines, want)
		}
	})
}

func TestXMLHoldsOneElement(t *testing.T) {
	t.Parallel()
	s, err := render.Parse([]render.Source{{Name: "t", Text: `<d a="{{.}}" b='{{.}}'>{{.}}</d>`}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := hostile().Draw(t, "value")
		out, err := s.Render(context.Background(), "t", render.XML, v)
		if err != nil {
			return
		}
		var got struct {
			A     string   `xml:"a,attr"`
			B     string   `xml:"b,attr"`
			Text  string   `xml:",chardata"`
			Inner []string `xml:",any"`
		}
		if err := xml.Unmarshal(out.Data, &got); err != nil {
			t.Fatalf("%q: %v", out.Data, err)
		}
		if got.A != v || got.B != v || got.Text != v || got.Inner != nil {
			t.Fatalf("got %+v, want %q thrice", got, v)
		}
	})
}

func TestJSONHoldsOneValue(t *testing.T) {
	t.Parallel()
	s, err := render.Parse([]render.Source{{Name: "t", Text: `{"a": {{.}}}`}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := hostile().Draw(t, "value")
		out, err := s.Render(context.Background(), "t", render.JSON, v)
		if err != nil {
			return
		}
		var got map[string]string
		if err := json.Unmarshal(out.Data, &got); err != nil {
			t.Fatalf("%q: %v", out.Data, err)
		}
		if diff := cmp.Diff(map[string]string{"a": v}, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func hostile() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
			"\n", "\r", "\x00", "\x85", "\u0085", "\u2028", "<", ">", "\"", "'", "&", "]]>", "</d>", "{{.}}", "\\", "\xff", "\ufffe",
		})), 0, 6).Draw(t, "parts")
		return strings.Join(parts, "")
	})
}

// Whatever a plugin's author writes, the process survives it.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"x: {{.name}}\n", `{{range $k, $v := .lines}}{{$k}}{{else}}{{end}}`, `{{define "a"}}{{end}}{{template "a"}}`, `{{printf "%5.2f" .f}}`, `{{block "b" .}}{{break}}{{end}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := render.Parse([]render.Source{{Name: "t", Text: text}})
		if err != nil {
			return
		}
		if out, err := s.Render(t.Context(), "t", render.Line, data()); err == nil && len(out.Data) > 1<<20 {
			t.Errorf("got %d bytes", len(out.Data))
		}
	})
}

func BenchmarkRender(b *testing.B) {
	var text strings.Builder
	for range 150 {
		text.WriteString("sip line1 display name: {{.name}}\n")
	}
	s, err := render.Parse([]render.Source{{Name: "t", Text: text.String()}})
	if err != nil {
		b.Fatal(err)
	}
	d := data()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Render(b.Context(), "t", render.Line, d); err != nil {
			b.Fatal(err)
		}
	}
}
