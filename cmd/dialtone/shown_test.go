package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestShown: where CONFORMANCE.md says that a test shows something, there is that test, in the package that is named; a
// subtest's name is written in the file of its test or of one beside it. And every behaviour and weakness has its row.
func TestShown(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "provision", "CONFORMANCE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rows, ok := strings.Cut(string(page), "--- | ---\n")
	if !ok {
		t.Fatal("CONFORMANCE.md has no table")
	}
	tests, texts := testsOf(t)
	named := regexp.MustCompile(`(?:\b([a-z][a-z0-9/]*): )?\b(Test[A-Z]\w*)(?:/([\w-]+))?`)
	shown := map[string]bool{}
	for row := range strings.Lines(rows) {
		ids, where, _ := strings.Cut(row, " | ")
		for _, id := range spread(ids) {
			shown[id] = true
		}
		for sentence := range strings.SplitSeq(where, ";") {
			folder := "provision" // a package that is named counts to the end of its sentence
			for _, m := range named.FindAllStringSubmatch(sentence, -1) {
				if len(tests[m[1]]) > 0 {
					folder = m[1]
				}
				if !slices.Contains(tests[folder], m[2]) {
					t.Errorf("%s: %s has no %s", ids, folder, m[2])
				}
				if sub := strings.ReplaceAll(m[3], "_", " "); !strings.HasSuffix(m[3], "-") && !strings.Contains(texts[folder], sub) {
					t.Errorf("%s: no subtest %q of %s in %s", ids, sub, m[2], folder)
				}
			}
		}
	}
	for prefix, n := range map[string]int{"U": 32, "W-": 24} {
		for i := range n {
			id := prefix + strconv.Itoa(i+1)
			if prefix == "W-" && i < 9 {
				id = prefix + "0" + strconv.Itoa(i+1)
			}
			if !shown[id] {
				t.Errorf("%s has no row", id)
			}
		}
	}
}

// spread returns the IDs of a row: "U1, U2" or "W-08 (paths)".
func spread(ids string) []string {
	return regexp.MustCompile(`[A-Z]+-?\d+`).FindAllString(ids, -1)
}

// testsOf returns the tests of each folder, and what its tests' files and their data say.
func testsOf(t *testing.T) (map[string][]string, map[string]string) {
	t.Helper()
	names, texts := map[string][]string{}, map[string]string{}
	for _, p := range list(t) {
		folder := p.folder()
		files := slices.Concat(p.TestGoFiles, p.XTestGoFiles)
		if testOnly(folder) {
			files = append(files, p.GoFiles...)
		}
		for _, name := range files {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			texts[folder] += string(text)
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
					names[folder] = append(names[folder], f.Name.Name)
				}
			}
		}
	}
	return names, texts
}
