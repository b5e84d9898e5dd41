package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/dialtone-project/dialtone"

// imports says what each package may import besides the standard library: packages of ours by their folder, others by
// their module or a folder of it. ARCHITECTURE.md §3 has the reasons. A new package gets its row in the same commit.
var imports = map[string][]string{
	"dhcp/hwaddr":          {},
	"dhcp/network":         {"dhcp/hwaddr"},
	"dhcp/lease":           {"dhcp/hwaddr", "dhcp/network"},
	"dhcp/lease/leasetest": {"dhcp/hwaddr", "dhcp/lease", goCmp},
	"dhcp": {
		"dhcp/hwaddr", "dhcp/network", "dhcp/lease",
		insomniac, "github.com/mdlayher/packet", "golang.org/x/net", "golang.org/x/sys",
	},
	"dhcp/hook":  {"dhcp/lease"},
	"dhcp/neigh": {"dhcp/hwaddr", "github.com/jsimonetti/rtnetlink", "github.com/mdlayher/netlink", "github.com/mdlayher/packet", "golang.org/x/sys"},

	"provision":               {"dhcp/hwaddr", "dhcp/lease"},
	"provision/provisiontest": {"dhcp/hwaddr", "dhcp/lease", "provision", goCmp},
	"provision/render":        {},
	"provision/plugin":        {"dhcp/hwaddr", "dhcp/network", "dhcp/lease", "provision", "provision/render", fsnotify, goYAML},
	"provision/golden":        {"dhcp/hwaddr", "dhcp/lease", "provision", "provision/plugin", "golang.org/x/tools/txtar", goYAML},
	"provision/sim":           {"dhcp/hwaddr", "provision/plugin", insomniac, pinTFTP, "golang.org/x/sys"},
	"provision/store":         {"dhcp/hwaddr", "dhcp/network", "dhcp/lease", "provision", "provision/access", bbolt, "golang.org/x/crypto"},
	"provision/tftpd":         {"provision", pinTFTP, "golang.org/x/net"},
	"provision/httpd":         {"provision"},
	"provision/pki":           {"dhcp/hwaddr", "provision"},
	"provision/access":        {"golang.org/x/crypto"},
	"provision/doctor":        {"golang.org/x/sys"},
	"provision/backup":        {"filippo.io/age"},
	"provision/trace":         {"provision"},
	"provision/port":          {"dhcp/hwaddr", "dhcp/network", "provision"},
	"provision/admin":         {"dhcp/hwaddr", "dhcp/network", "dhcp/lease", "provision", "provision/access", "provision/port", "provision/trace"},

	"web":     {"dhcp/hwaddr", "dhcp/lease", "dhcp/network", "provision", "provision/access", "provision/admin", "provision/port", "web/api", echo, "golang.org/x/sync"},
	"web/api": {"github.com/oapi-codegen/runtime", goYAML},
	"configs": {goYAML},
	"plugins": {},

	"cmd/dialtone": {
		"configs", "dhcp", "plugins", "provision", "web", // with all that is in their folders
		"github.com/spf13/cobra", goYAML, "golang.org/x/sync",
	},
}

// Modules of others.
const (
	insomniac = "github.com/insomniacslk/dhcp"
	pinTFTP   = "github.com/pin/tftp/v3"
	echo      = "github.com/labstack/echo/v4"
	bbolt     = "go.etcd.io/bbolt"
	fsnotify  = "github.com/fsnotify/fsnotify"
	goYAML    = "go.yaml.in/yaml/v4"
	goCmp     = "github.com/google/go-cmp"
)

// chosen are the packages that the house is built around, and the folders that know them: changing one is a change in one
// folder. The simulated phone is the client to two of them.
var chosen = map[string][]string{
	insomniac: {"dhcp", "provision/sim"},
	pinTFTP:   {"provision/tftpd", "provision/sim"},
	echo:      {"web"},
	bbolt:     {"provision/store"},
	fsnotify:  {"provision/plugin"},
}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath, Dir                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

// folder is the package's place in the tree.
func (p listed) folder() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var pkgs []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// within reports whether an import is one of the allowed ones. Of the command's, the folders below them are, too.
func within(path string, allowed []string, below bool) bool {
	ours, isOurs := strings.CutPrefix(path, module+"/")
	return slices.ContainsFunc(allowed, func(a string) bool {
		if isOurs {
			return ours == a || below && strings.HasPrefix(ours, a+"/")
		}
		return path == a || strings.HasPrefix(path, a+"/")
	})
}

// standard reports whether an import is of the standard library: its first element has no dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func testOnly(folder string) bool { return strings.HasSuffix(folder, "test") }

func TestImportTable(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, p := range list(t) {
		folder := p.folder()
		seen[folder] = true
		allowed, ok := imports[folder]
		if !ok {
			t.Errorf("%s has no row in the import table; ARCHITECTURE.md §3 says how to choose it", folder)
			continue
		}
		for _, path := range p.Imports {
			switch {
			case standard(path):
			case !within(path, allowed, folder == "cmd/dialtone"):
				t.Errorf("%s may not import %s", folder, path)
			case testOnly(path) && !testOnly(folder):
				t.Errorf("%s imports %s, which is for tests", folder, path)
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(imports)) {
		if !seen[folder] {
			t.Errorf("the import table has a row for %s, which doesn't exist", folder)
		}
	}
}

// Tests may import what they like but for the chosen packages, which have their folders in tests, too.
func TestChosenPackagesHaveOneFolder(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for pkg, folders := range chosen {
				if (path == pkg || strings.HasPrefix(path, pkg+"/")) && !slices.Contains(folders, p.folder()) {
					t.Errorf("%s imports %s, which only %s may know", p.folder(), path, strings.Join(folders, " and "))
				}
			}
		}
	}
}

func TestHouseRules(t *testing.T) {
	t.Parallel()
	const maxLines = 500
	for _, p := range list(t) {
		documented := len(p.GoFiles) == 0
		for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			place := p.folder() + "/" + name
			isTest := strings.HasSuffix(name, "_test.go") || testOnly(p.folder())
			documented = documented || !strings.HasSuffix(name, "_test.go") && file.Doc != nil
			if lines := fset.File(file.FileStart).LineCount(); lines > maxLines && !isTest && !ast.IsGenerated(file) {
				t.Errorf("%s has %d lines; at most %d, so a second topic becomes a second file", place, lines, maxLines)
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
					t.Errorf("%s has a func init: what starts by itself can't be tested or left out", place)
				}
			}
		}
		if !documented {
			t.Errorf("%s has no package comment", p.folder())
		}
	}
}
