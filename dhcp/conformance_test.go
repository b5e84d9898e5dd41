package dhcp

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
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "run all cases and write CONFORMANCE.md")

// listed is a case of the conformance list.
type listed struct {
	ID, Stimulus, Expect, Source, Priority, Stage string
}

// TestConformance holds CONFORMANCE.md to the list of cases and to the tests that there are. That these pass is for
// TestCase of each package to say; with -update they are run, and the file is written if all pass.
func TestConformance(t *testing.T) {
	t.Parallel()
	cases, departures, tests := readCases(t), readDepartures(t), findCases(t, "..")
	known := make(map[string]bool)
	for _, c := range cases {
		known[c.ID] = true
		_, excused := departures[c.ID]
		switch due := c.Stage != "admin" && c.Priority != "could"; {
		case due && len(tests[c.ID]) == 0:
			t.Errorf("%s has no test", c.ID)
		case c.Priority == "could" && len(tests[c.ID]) == 0 && !excused:
			t.Errorf("%s has neither a test nor a line in departures.txt", c.ID)
		}
	}
	for id := range maps.Keys(departures) {
		if !known[id] {
			t.Errorf("departures.txt: there is no case %s", id)
		}
	}
	for id, where := range tests {
		if !known[id] {
			t.Errorf("%v: there is no case %s", where, id)
		}
	}
	if t.Failed() {
		return
	}
	want := table(cases, departures, tests)
	if *update {
		runCases(t, tests)
		if err := os.WriteFile("CONFORMANCE.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("CONFORMANCE.md"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("CONFORMANCE.md is stale (%v); run: go test ./dhcp -run TestConformance -update", err)
	}
}

func readCases(t *testing.T) (cases []listed) {
	t.Helper()
	b, err := os.ReadFile("testdata/dhcp_cases.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	for {
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

func readDepartures(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/departures.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, why, _ := strings.Cut(line, " ")
		if out[id] != "" {
			t.Errorf("departures.txt has %s twice", id)
		}
		out[id] = why
	}
	return out
}

// findCases returns the packages that have a subtest of TestCase for a case, by its id.
func findCases(t *testing.T, root string) map[string][]string {
	t.Helper()
	inDir := make(map[string]map[string]bool) // ids by directory
	runs := make(map[string]bool)             // directories with a TestCase
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		if inDir[dir] == nil {
			inDir[dir] = make(map[string]bool)
		}
		for id := range names(f) {
			inDir[dir][id] = true
		}
		runs[dir] = runs[dir] || slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
			fn, ok := d.(*ast.FuncDecl)
			return ok && fn.Recv == nil && fn.Name.Name == "TestCase"
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]string)
	for _, dir := range slices.Sorted(maps.Keys(runs)) {
		if !runs[dir] {
			continue
		}
		for id := range inDir[dir] {
			out[id] = append(out[id], path.Clean(strings.TrimPrefix(dir, "../")))
		}
	}
	return out
}

// names yields the ids that name tests: keys of a table, the first fields of its rows, arguments of Run.
func names(f *ast.File) map[string]bool {
	id, out := regexp.MustCompile(`^D-[A-Z]+-\d\d$`), make(map[string]bool)
	note := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && id.MatchString(s) {
				out[s] = true
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			note(n.Key)
			note(n.Value)
		case *ast.CompositeLit:
			if len(n.Elts) > 0 {
				note(n.Elts[0])
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Run" && len(n.Args) > 0 {
				note(n.Args[0])
			}
		}
		return true
	})
	return out
}

// runCases runs TestCase of all packages that have one.
func runCases(t *testing.T, tests map[string][]string) {
	t.Helper()
	packages := make(map[string]bool)
	for _, where := range tests {
		for _, dir := range where {
			packages["./"+dir] = true
		}
	}
	args := append([]string{"test", "-json", "-count=1", "-p=1", "-run", "^TestCase$"}, slices.Sorted(maps.Keys(packages))...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = ".."
	b, err := cmd.Output()
	if err != nil {
		t.Errorf("go %s: %v", strings.Join(args, " "), err)
	}
	passed, said := make(map[string]bool), make(map[string]string)
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var e struct{ Action, Package, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil || !strings.HasPrefix(e.Test, "TestCase/") {
			continue
		}
		id := strings.TrimPrefix(e.Test, "TestCase/")
		said[id] += e.Output
		if e.Action == "fail" || e.Action == "skip" {
			t.Errorf("%s: %s\n%s", e.Package, e.Action, said[id])
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
func table(cases []listed, departures map[string]string, tests map[string][]string) []byte {
	var rows strings.Builder
	counts := make(map[string]int)
	group := ""
	for _, c := range cases {
		if g := strings.Split(c.ID, "-")[1]; g != group {
			group = g
			fmt.Fprintf(&rows, "\n## D-%s\n\n| Case | What comes | Result | Clause |\n| --- | --- | --- | --- |\n", g)
		}
		why, departs := departures[c.ID]
		result := "pass"
		switch where := strings.Join(tests[c.ID], ", "); {
		case where == "" && departs:
			result = "not offered: " + why
			counts["not offered"]++
		case where == "":
			result = "issue D"
			counts[result]++
		case departs:
			result = "by design: " + why
			counts["by design"]++
		default:
			counts[result]++
			if where != "dhcp" {
				result = "pass (" + where + ")"
			}
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", c.ID, cell(c.Stimulus), cell(result), cell(clause(c.Source)))
	}
	return fmt.Appendf(nil, `# DHCP conformance

<!-- Written by: go test ./dhcp -run TestConformance -update. Don't edit it. -->

Each case is a subtest `+"`TestCase/<case>`"+` of package dhcp, or of those that its row names;
`+"`go test ./... -run Case -v`"+` lists them. The cases with what is expected of them are in testdata/dhcp_cases.jsonl,
and the reasons for what we do otherwise in testdata/departures.txt. Issue D is the console's.

%d cases: %d pass, %d differ by design, %d are not offered, %d come with issue D.
%s`, len(cases), counts["pass"], counts["by design"], counts["not offered"], counts["issue D"], rows.String())
}

// cell makes a text fit for a table.
func cell(s string) string {
	const most = 160
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
