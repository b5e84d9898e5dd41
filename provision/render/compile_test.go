package render

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type named string

type paramMap map[string]any

func (paramMap) Clone() paramMap { return nil }

type address [2]byte

func (address) String() string { return "00:08:5d:00:00:01" }

type phone struct {
	HW      address
	Plugin  named
	Options map[string]any
	Label   string
	hidden  string
}

// shown is a map that prints itself.
type shown map[string]any

func (shown) String() string { return "shown" }

type sight struct {
	Device phone
	Params paramMap
	HTTP   string
	Files  []string
	Model  map[string]any
	Clash  paramMap
	Shown  shown
}

func sights() any {
	return sight{
		Device: phone{Plugin: "p", Options: map[string]any{"o": 1}, Label: "Reception", hidden: "h"},
		Params: paramMap{
			"nil": nil, "empty": "", "text": "a_b", "zone": "Europe/Berlin", "n": 3, "big": int64(7), "f": 1.5, "yes": true, "no": false,
			"list": []any{"x", 1, nil, "y"}, "none": []any{}, "num": "12", "bad": "\xff", "evil": "a\nb", "name": named("n"), "u": uint8(4),
			"lines": map[string]any{"2": map[string]any{"a": "two", "b": nil}, "10": map[string]any{"a": "ten", "b": 1}, "x": map[string]any{"a": "", "b": "y"}},
			"maps":  map[string]any{}, "typed": map[string]int{"a": 1}, "quote": `<a href="#">&'`,
		},
		HTTP: "http://192.0.2.1", Files: []string{"b.st", "a.st"}, Model: nil,
		Clash: paramMap{"Clone": "not the method"}, Shown: shown{"a": 1},
	}
}

// same fails if the compiled form of a template gives something else than text/template. It reports whether the compiled
// form had an answer.
func same(t rapid.TB, text string, kind Kind, data any) bool {
	t.Helper()
	s, err := Parse([]Source{{Name: "t", Text: text}})
	if err != nil {
		return false
	}
	got, ok := s.compiled(context.Background(), time.Now(), "t", kind, data)
	s.routines["t"] = &routine{body: []action{stop}, slots: 1}
	want, err := s.Render(context.Background(), "t", kind, data)
	if ok && err != nil {
		t.Fatalf("%s: got %q, want error %v", text, got.Data, err)
	}
	if ok && (!bytes.Equal(got.Data, want.Data) || got.Hash != want.Hash) {
		t.Fatalf("%s:\n got %q\nwant %q", text, got.Data, want.Data)
	}
	return ok
}

// Each of these is done by the compiled form, with the same result.
func TestCompiled(t *testing.T) {
	t.Parallel()
	for _, text := range compiledTexts() {
		if !same(t, text, Line, sights()) {
			t.Errorf("%s: this isn't done by the compiled form", text)
		}
	}
}

func compiledTexts() []string {
	return []string{
		"", "x", "{{.Shown}}", "{{.Params.text}}{{.Device.Label}}{{.Device.HW}}{{.Device.Plugin}}", "{{/* no */}}{{.Params.nil}}|{{.Params.n}} {{.Params.big}} {{.Params.yes}}",
		"{{with .Params}}{{.n}}{{$.Params.n}}{{end}}", `{{range numeric .Params.lines}}{{.Key}}{{.Number}}{{.Value.a}}{{.Value.b}};{{end}}`,
		`{{range $i, $e := numeric .Params.lines}}{{$i}}{{$e.Key}}{{if eq $i 1}}{{break}}{{end}}{{end}}`, `{{range $k, $v := .Params.lines}}{{$k}}{{$v.a}}{{end}}`,
		`{{range $v := .Params.list}}{{if not $v}}{{continue}}{{end}}[{{$v}}{{.}}]{{end}}`, `{{range .Params.nil}}x{{else}}none{{end}}{{range .Params.none}}x{{else}}none{{end}}`,
		`{{range .Params}}{{break}}{{end}}{{range $i, $f := .Files}}{{$i}}{{$f}}{{end}}{{range seq 1 3}}{{.}}{{end}}`,
		`{{$x := 1}}{{$y := "a"}}{{if .Params.yes}}{{$x = 2}}{{$y := "b"}}{{$y}}{{end}}{{$x}}{{$y}}`, `{{if $x := .Params.text}}{{$x}}{{end}}{{with $x := .Params.nil}}{{else}}[{{$x}}]{{end}}`,
		`{{define "p"}}{{$q := .a}}{{$q}}{{.b}}{{$.b}}{{end}}{{$q := 1}}{{template "p" dict "a" 1 "b" .Params.text}}{{$q}}`, `{{define "p"}}[{{.}}]{{end}}{{template "p"}}{{template "p" .HTTP}}`,
		`{{if and .Params.yes .Params.no}}1{{else if or .Params.nil .Params.n}}2{{end}}{{and 1 .Params.nil}}{{or .Params.nil ""}}`, `{{and .Params.no (fail "x")}}{{or 1 (fail "x")}}`,
		`{{not .Params.no}}{{eq .Params.nil "a"}}{{eq .Params.text "b" "a_b"}}{{ne 1 2}}{{eq .Params.n 3}}{{eq .Params.nil .Params.nil}}{{eq .Device.Plugin "p"}}`,
		`{{lt 1 2}}{{le 2 2}}{{gt .Params.n .Params.big}}{{ge "b" "a"}}{{lt 1.5 2.5}}{{lt "a" "b"}}{{eq .Params.name "n"}}`, `{{len .Files}}{{len .Params.text}}{{len .Params.lines}}{{index .Files 1}}{{index .Params.list 0}}{{(index .Params.lines "2").a}}`,
		`{{.Params.text | upper | printf "%s-%s" "a"}}{{"a" | print "b"}}{{print 1 0x10 'a' 1.5 1e3 true}}`, `{{get (dict "a" 1) "b" "c"}}{{eq "" (get .Params "empty")}}{{get .Model "x"}}{{(dict "a" .Params.n).a}}{{has .Params "nil"}}`,
		`{{with zone .Params.zone}}{{.Name}}{{.Offset}}{{.Saving}}{{.OffsetMinutes}}{{.SavingMinutes}}{{.DST}}{{.Start.Month}}{{.Start.Week}}{{.Start.Weekday}}{{.End.Day}}{{.End.Hour}}{{.End.Minute}}{{.End.Time}}{{end}}`,
		`{{define "p"}}{{get . "a"}}{{has . "b"}}{{len .}}{{range .}}[{{.}}]{{end}}{{with $}}{{.b}}{{end}}{{.a | printf "%s" | len}}{{end}}{{template "p" dict "b" 1 "a" "x"}}{{template "p" dict "a" "1" "b" .Device.HW}}`,
		`{{define "q"}}{{.a}}{{.c}}{{end}}{{define "p"}}{{.a}}{{template "q" dict "a" "inner" "c" .b}}{{.a}}{{.b}}{{end}}{{range list 1 2}}{{template "p" dict "a" . "b" "x"}}{{end}}`,
		`{{define "p"}}{{.a}}{{end}}{{template "p" dict "a" 1 "a" 2}}{{printf "%s%d%s" "a" 1 .Params.name}}{{printf "%d%%" 5}}{{printf "%05d|%v" .Params.n .Params.f}}`,
		`{{ciscozone .Params.zone}}{{join "," .Params.list}}{{split "_" .Params.text | len}}{{truncate 2 .Params.text}}{{mac .Device.HW "-"}}{{replace "_" "-" .Params.text}}`,
		`{{default 5 .Params.nil}}{{first .Params.nil .Params.empty 0 "z"}}{{int .Params.num}}{{neg 3}}{{add .Params.n "4"}}{{contains "_" .Params.text}}{{hasprefix "http://" .HTTP}}`,
		`{{html "<"}}{{urlquery "a b"}}{{base64 .Params.text}}{{range list 1 "a"}}{{.}}{{end}}{{.Params.u}}{{.Params.f}}{{println "a" | trim}}`,
	}
}

// What only text/template does is left to it: errors above all.
func TestNotCompiled(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{{.Nothing}}", "{{.Params.nothing}}", "{{.Params.nil.a}}", "{{.Params}}", "{{.}}", "{{.Device.hidden}}", "{{.Params.evil}}", "{{.Params.bad}}", `{{fail "x"}}`,
		`{{index .Files 2}}`, `{{index .Params.lines "a" "b"}}`, `{{slice .HTTP 1 2}}`, `{{eq 1 "a"}}`, `{{lt true false}}`, `{{range 3}}{{.}}{{end}}`, "{{.Params.Clone}}", "{{.Clash.Clone}}",
		`{{if .Params.no}}{{$x := 1}}{{else}}{{$x}}{{end}}`, `{{truncate .Params.big "a"}}`, `{{replace .Params.n "a" "b"}}`, `{{upper}}`, `{{has . "Params"}}`, `{{1i}}`,
		`{{$x := 1}}{{range $x = .Files}}{{end}}{{$x}}`, `{{default nil .Params.nil}}`, `{{.Params.typed.a}}`, `{{len .Params.typed}}`, `{{eq .Params.u 4}}`,
		`{{printf "%d" "a"}}`, `{{printf "%s" 1}}`, `{{printf "%s"}}`, `{{printf "%s" .Params.bad}}`, `{{define "p"}}{{.c}}{{end}}{{template "p" dict "a" 1}}`,
	} {
		if same(t, text, Line, sights()) {
			t.Errorf("%s: the compiled form has an answer", text)
		}
	}
}

// A template of any shape means the same in both forms.
func TestCompiledIsTextTemplate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := writer{t: t}
		text := g.body(3)
		same(t, text, rapid.SampledFrom(Kinds()).Draw(t, "kind"), sights())
	})
}

// writer writes templates.
type writer struct {
	t    *rapid.T
	vars int
}

func (g *writer) pick(of ...string) string { return rapid.SampledFrom(of).Draw(g.t, "pick") }

func (g *writer) body(depth int) string {
	var b strings.Builder
	before := g.vars
	for range rapid.IntRange(0, 4).Draw(g.t, "n") {
		b.WriteString(g.node(depth))
	}
	g.vars = before
	return b.String()
}

func (g *writer) node(depth int) string {
	if depth == 0 {
		return g.pick("x", "\n") + "{{" + g.value(1) + "}}"
	}
	switch g.pick("text", "print", "declare", "assign", "if", "with", "range", "else") {
	case "print":
		return "{{" + g.value(2) + "}}"
	case "declare":
		v := g.value(2)
		g.vars++
		return fmt.Sprintf("{{$v%d := %s}}", g.vars, v)
	case "assign":
		if g.vars > 0 {
			return fmt.Sprintf("{{$v%d = %s}}", rapid.IntRange(1, g.vars).Draw(g.t, "var"), g.value(2))
		}
	case "if":
		return "{{if " + g.value(2) + "}}" + g.body(depth-1) + "{{end}}"
	case "else":
		return "{{if " + g.value(2) + "}}" + g.body(depth-1) + "{{else}}" + g.body(depth-1) + "{{end}}"
	case "with":
		return "{{with " + g.value(2) + "}}" + g.body(depth-1) + "{{else}}" + g.body(depth-1) + "{{end}}"
	case "range":
		before := g.vars
		defer func() { g.vars = before }()
		over := g.pick(".Params.lines", "$.Params.list", "$.Files", "numeric $.Params.lines", "list 1 2 nil", "seq 1 3", g.value(1))
		if g.pick("", "var") != "" {
			g.vars += 2
			over = fmt.Sprintf("$v%d, $v%d := %s", g.vars-1, g.vars, over)
		}
		return "{{range " + over + "}}" + g.body(depth-1) + g.pick("", "{{break}}", "{{if eq . 1}}{{continue}}{{end}}") + g.body(depth-1) + "{{else}}" + g.body(depth-1) + "{{end}}"
	}
	return g.pick("x", "", "\n")
}

func (g *writer) value(depth int) string {
	if depth == 0 || g.pick("leaf", "call") == "leaf" {
		if g.vars > 0 && g.pick("var", "other") == "var" {
			return fmt.Sprintf("$v%d", rapid.IntRange(1, g.vars).Draw(g.t, "var"))
		}
		return g.pick(".", "1", `"a"`, `"12"`, "true", "0", "-3", "1.5", "$.Params.nil", "$.Params.text", "$.Params.n", "$.Params.big", "$.Params.lines",
			"$.Params.list", "$.Params.empty", ".a", ".Value", ".Key", "$.Device.Plugin", "$.Device.HW", "$.Params.none", "$.Params.f", "$.Params.u", "$.Params.quote", "$", "$.Params")
	}
	v := func() string { return "(" + g.value(depth-1) + ")" }
	switch g.pick("one", "two", "pipe", "get", "dict") {
	case "one":
		return g.pick("not", "len", "int", "upper", "neg", "numeric", "list", "print", "and", "or", "trim", "truncate 1", "base64", "html", "join \",\"", "split \"_\"") + " " + v()
	case "two":
		return g.pick("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "add", "div", "default", "first", "index", "printf \"%v%v\"", "printf \"a%s%d%%\"", "printf \"%d-%s\"", "list", "contains", "max") + " " + v() + " " + v()
	case "pipe":
		return v() + " | " + g.pick("upper", "print", "len", "default 1", "get (dict \"a\" 1)", "index $.Params.lines", "and 1")
	case "get":
		return "get " + v() + " " + g.pick(`"a"`, `"2"`, `"n"`) + g.pick("", " 1")
	}
	return "dict \"a\" " + v() + " \"b\" 2"
}

func FuzzCompiled(f *testing.F) {
	files, err := filepath.Glob("../../plugins/*/templates/*.tmpl")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, text := range compiledTexts() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range Kinds() {
			same(t, text, k, sights())
		}
	})
}

// What is printed as it is must be what the escapers would leave as it is.
func TestPlainText(t *testing.T) {
	t.Parallel()
	for kind, but := range map[Kind]string{Line: "", XML: "&<>\"'"} {
		for c := range rune(0x180) {
			s := "a" + string(c) + "b"
			want := c >= 0x20 && c < 0x7F && !strings.ContainsRune(but, c)
			if got, plain := plainText(s, but); plain != want || plain && got != s {
				t.Errorf("%s: %q is plain: %t, want %t", kind, s, plain, want)
			}
			if got, err := kind.escaper()(s); want && (err != nil || got != s) || !want && c < 0x7F && got == s {
				t.Errorf("%s: %q is printed as %q, %v", kind, s, got, err)
			}
		}
	}
	long := strings.Repeat("x", maxText)
	if _, plain := plainText(long, ""); !plain {
		t.Error("a text of the greatest length isn't plain")
	}
	if got, err := escapeLine(long + "x"); err == nil {
		t.Errorf("%d characters are printed", len(got))
	}
}

// One set renders data of any type, one after the other.
func TestCompiledOtherData(t *testing.T) {
	t.Parallel()
	s, err := Parse([]Source{{Name: "t", Text: "{{.A}}{{.B}}"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for want, data := range map[string]any{"12": struct{ A, B int }{1, 2}, "ba": struct{ B, A string }{"a", "b"}, "yz": map[string]any{"A": "y", "B": "z"}} {
			if got, ok := s.compiled(t.Context(), time.Now(), "t", Line, data); !ok || string(got.Data) != want {
				t.Errorf("of %+v: %q, %t, want %q", data, got.Data, ok, want)
			}
		}
	}
}

// What is kept of a format's small numbers is what it makes of them, whoever asks first.
func TestNumberedFormats(t *testing.T) {
	t.Parallel()
	numbers := []any{0, 1, 15, 16, 99, 100, 1600, -1, int64(7), int64(99), int64(101), int64(1) << 40}
	for _, format := range []string{"key%d", "%d", "expmod%d key%d.", "%d%d", "%d-%d-%d"} {
		n := strings.Count(format, "%")
		s, err := Parse([]Source{{Name: "t", Text: fmt.Sprintf("{{range .}}{{printf %q %s}}\n{{end}}", format, ".A .B .A"[:3*n-1])}})
		if err != nil {
			t.Fatal(err)
		}
		var data []any
		var want strings.Builder
		for _, a := range numbers {
			for _, b := range numbers {
				data = append(data, map[string]any{"A": a, "B": b})
				fmt.Fprintf(&want, format+"\n", []any{a, b, a}[:n]...)
			}
		}
		for range 2 {
			if got, ok := s.compiled(t.Context(), time.Now(), "t", Line, data); !ok || string(got.Data) != want.String() {
				t.Fatalf("%s: %t\n got %s\nwant %s", format, ok, got.Data, want.String())
			}
		}
	}
}
