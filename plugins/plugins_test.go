package plugins_test

import (
	"io/fs"
	"regexp/syntax"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/plugins"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/golden"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// ids returns the names of the plugins that ship.
func ids(t testing.TB) []string {
	t.Helper()
	dirs, err := fs.ReadDir(plugins.Files(), ".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range dirs {
		names = append(names, d.Name())
	}
	return names
}

// load loads a plugin that ships.
func load(t testing.TB, id string) *plugin.Plugin {
	t.Helper()
	dir, err := fs.Sub(plugins.Files(), id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plugin.Load(provision.PluginID(id), plugin.Dirs{Plugin: dir})
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return p
}

// all loads all plugins that ship.
func all(t *testing.T) []*plugin.Plugin {
	t.Helper()
	var ps []*plugin.Plugin
	for _, id := range ids(t) {
		ps = append(ps, load(t, id))
	}
	return ps
}

// TestGolden runs every golden request of every plugin, with the others installed beside it.
func TestGolden(t *testing.T) {
	t.Parallel()
	ps := all(t)
	for _, p := range ps {
		t.Run(string(p.ID()), func(t *testing.T) {
			t.Parallel()
			results := golden.Run(t.Context(), p, ps...)
			if len(results) == 0 {
				t.Error("there are no golden requests")
			}
			for _, r := range results {
				if r.Err != nil {
					t.Errorf("%s:\n%v", r.File, r.Err)
				}
			}
		})
	}
}

// TestAnchored demands that every pattern tells about the whole of a field: text in the middle of one is anybody's.
func TestAnchored(t *testing.T) {
	t.Parallel()
	for _, id := range ids(t) {
		m := load(t, id).Manifest()
		if m.Firmware == nil || !anchored(t, m.Firmware.String(), false) {
			t.Errorf("%s: firmware %s doesn't begin with ^", id, m.Firmware)
		}
		for _, r := range m.Extract {
			if !anchored(t, r.Regexp.String(), true) {
				t.Errorf("%s: plugin.yaml:%d: %s isn't anchored at both ends", id, r.Line, r.Regexp)
			}
		}
	}
}

// anchored reports whether every way through an expression begins at the text's start and, if asked, ends at its end.
func anchored(t *testing.T, expr string, both bool) bool {
	t.Helper()
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	return re.Op == syntax.OpConcat && re.Sub[0].Op == syntax.OpBeginText &&
		(!both || re.Sub[len(re.Sub)-1].Op == syntax.OpEndText)
}

// TestWritten checks what only people read: no file without its final newline, no blank at a line's end.
func TestWritten(t *testing.T) {
	t.Parallel()
	err := fs.WalkDir(plugins.Files(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(plugins.Files(), name)
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s: the host ignores names that begin with a dot", name)
		}
		if !strings.HasSuffix(string(data), "\n") {
			t.Errorf("%s doesn't end with a newline", name)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if strings.TrimRight(line, " \t\r") != line {
				t.Errorf("%s:%d: blank at the end of the line", name, i+1)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
