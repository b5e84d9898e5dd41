package tftpd

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "run all cases and write CONFORMANCE.md")

// listed is a case of the conformance list.
type listed struct {
	ID, Stimulus, Expect, Source, Priority string
}

// departure is a case that isn't met as it is written.
type departure struct{ kind, why string }

// The kinds of departures.
const (
	byEngine = "fails"   // the test runs inverted
	byDesign = "design"  // the test asserts what we do instead
	notBuilt = "missing" // there is none
)

// TestConformance holds CONFORMANCE.md to the list of cases and to the tests that there are. That these pass is for
// TestCase to say; with -update they are run, and the file is written if all pass.
func TestConformance(t *testing.T) {
	t.Parallel()
	cases, departures, tests := readCases(t), readDepartures(t), findCases(t)
	known := make(map[string]bool)
	for _, c := range cases {
		known[c.ID] = true
		d := departures[c.ID]
		switch {
		case !tests[c.ID] && c.Priority != "could":
			t.Errorf("%s has no test", c.ID)
		case !tests[c.ID] != (d.kind == notBuilt):
			t.Errorf("%s: departures.txt says %q, and there is a test: %t", c.ID, d.kind, tests[c.ID])
		}
	}
	for id := range departures {
		if !known[id] {
			t.Errorf("departures.txt: there is no case %s", id)
		}
	}
	for id := range tests {
		if !known[id] {
			t.Errorf("there is a test of %s, but no such case", id)
		}
	}
	if t.Failed() {
		return
	}
	want := table(cases, departures)
	if *update {
		runCases(t, tests)
		if err := os.WriteFile("CONFORMANCE.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("CONFORMANCE.md"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("CONFORMANCE.md is stale (%v); run: go test ./provision/tftpd -run TestConformance -update", err)
	}
}

func readCases(t *testing.T) (cases []listed) {
	t.Helper()
	b, err := os.ReadFile("testdata/tftp_cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		var c listed
		switch err := d.Decode(&c); {
		case errors.Is(err, io.EOF):
			return cases
		case err != nil:
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
}

func readDepartures(t *testing.T) map[string]departure {
	t.Helper()
	b, err := os.ReadFile("testdata/departures.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]departure)
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, rest, _ := strings.Cut(line, " ")
		kind, why, _ := strings.Cut(rest, " ")
		if kind != byEngine && kind != byDesign && kind != notBuilt || why == "" || out[id].kind != "" {
			t.Errorf("departures.txt: %q", line)
		}
		out[id] = departure{kind, why}
	}
	return out
}

// findCases returns the ids that name tests in this folder: keys of a table and the first fields of its rows.
func findCases(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("case*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	id, out := regexp.MustCompile(`^T-[A-Z]+-\d\d$`), make(map[string]bool)
	note := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && id.MatchString(s) {
				out[s] = true
			}
		}
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if _, row := n.Value.(*ast.BasicLit); !row { // a table of words isn't one of tests
					note(n.Key)
				}
			case *ast.CompositeLit:
				if len(n.Elts) > 0 {
					note(n.Elts[0])
				}
			}
			return true
		})
	}
	return out
}

// runCases runs TestCase.
func runCases(t *testing.T, tests map[string]bool) {
	t.Helper()
	b, err := exec.CommandContext(t.Context(), "go", "test", "-json", "-count=1", "-run", "^TestCase$", ".").Output()
	if err != nil {
		t.Errorf("go test: %v", err)
	}
	passed, said := make(map[string]bool), make(map[string]string)
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil || !strings.HasPrefix(e.Test, "TestCase/") {
			continue
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(e.Test, "TestCase/"), "/")
		said[id] += e.Output
		if e.Action == "fail" || e.Action == "skip" {
			t.Errorf("%s: %s\n%s", e.Test, e.Action, said[id])
		}
		passed[id] = passed[id] || e.Action == "pass"
	}
	for id := range tests {
		if !passed[id] {
			t.Errorf("%s was not run", id)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// table writes CONFORMANCE.md.
func table(cases []listed, departures map[string]departure) []byte {
	var rows strings.Builder
	counts := make(map[string]int)
	group := ""
	for _, c := range cases {
		if g := strings.Split(c.ID, "-")[1]; g != group {
			group = g
			fmt.Fprintf(&rows, "\n## T-%s\n\n| Case | | What comes | Result | Clause |\n| --- | --- | --- | --- | --- |\n", g)
		}
		d := departures[c.ID]
		counts[d.kind]++
		result := map[string]string{"": "pass", byEngine: "fails: ", byDesign: "by design: ", notBuilt: "not offered: "}[d.kind] + d.why
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s |\n", c.ID, c.Priority, cell(c.Stimulus, 160), cell(result, 600), cell(clause(c.Source), 160))
	}
	return fmt.Appendf(nil, `# TFTP conformance

<!-- Written by: go test ./provision/tftpd -run TestConformance -update. Don't edit it. -->

Each case is a subtest `+"`TestCase/<case>`"+`. The cases with what is expected of them are in testdata/tftp_cases.jsonl, and the
reasons for what is otherwise in testdata/departures.txt. A case that fails is run inverted: its test fails as soon as the
case passes, or isn't listed there.

%d cases: %d pass, %d differ by design, %d fail, %d are not offered.
%s`, len(cases), counts[""], counts[byDesign], counts[byEngine], counts[notBuilt], rows.String())
}

// cell makes a text fit for a table.
func cell(s string, most int) string {
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "\n", " ").Replace(s)
}

// clause picks the RFCs from what a case is taken from, or else says where it comes from.
func clause(source string) string {
	var rfcs []string
	for part := range strings.SplitSeq(source, "; ") {
		if strings.HasPrefix(part, "RFC ") {
			rfcs = append(rfcs, part)
		}
	}
	return cmp.Or(strings.Join(rfcs, "; "), source)
}
