package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Of a messy table each row has its verdict; what is right is added, once.
func TestImportCSV(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	file := filepath.Join(t.TempDir(), "phones.csv")
	table := "mac,label,config\n00:15:65:AA:BB:01,lobby,base\n001565aabb02,kitchen,\n0015.65aa.bb01,again,\nnonsense,,\n00-15-65-aa-bb-03,x,nowhere\n"
	if err := os.WriteFile(file, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		added  int
		phones int
	}{{[]string{"--dry-run"}, 2, 0}, {nil, 2, 2}, {nil, 0, 2}} {
		out, code := o.cli(append([]string{"import", "csv", file}, tt.args...)...)
		if code != 0 || strings.Count(out, " added\n") != tt.added || !strings.Contains(out, `there is no config "nowhere"`) || !strings.Contains(out, "stands in line 2 already") {
			t.Errorf("import %v: exit %d, want %d added:\n%s", tt.args, code, tt.added, out)
		}
		if got := len(o.phones()); got != tt.phones {
			t.Errorf("import %v: %d phones, want %d", tt.args, got, tt.phones)
		}
	}
}
