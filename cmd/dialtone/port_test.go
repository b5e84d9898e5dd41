package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The site is exported by one appliance and applied to another, which exports the same bytes.
func TestExportApplyExport(t *testing.T) {
	t.Parallel()
	from, to := newOffice(t, nil), newOffice(t, func(string) string { return "networks: []\n" })
	dir := t.TempDir()
	file, again := filepath.Join(dir, "site.yaml"), filepath.Join(dir, "again.yaml")
	phones := filepath.Join(dir, "phones.yaml")
	var list strings.Builder
	list.WriteString("configs:\n- id: desk\ndevices:\n")
	for i := range 500 {
		fmt.Fprintf(&list, "- {mac: '00:15:65:00:%02x:%02x', sn: '0%d', label: 'desk: %d', config: desk, remote: %t, override: {admin_password: planted%d}}\n", i>>8, i&255, i, i, i%2 == 0, i)
	}
	if err := os.WriteFile(phones, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := from.cli("apply", phones); code != 0 {
		t.Fatalf("apply: exit %d: %s", code, out)
	}
	for range 2 {
		if out, code := from.cli("export", "--secrets", "clear", "--file", file); code != 0 {
			t.Fatalf("export: exit %d: %s", code, out)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if out, code := from.cli("diff", file); code != 0 {
		t.Errorf("diff with its own export: exit %d: %s", code, out)
	}
	if out, code := to.cli("diff", file); code != exitFailure {
		t.Errorf("diff with another's export: exit %d: %s", code, out)
	}
	if out, code := to.cli("apply", file, "--dry-run"); code != 0 || !strings.Contains(out, "add") {
		t.Errorf("dry run: exit %d: %s", code, out)
	}
	if out, code := to.cli("apply", file, "--prune"); code != 0 {
		t.Fatalf("apply: exit %d: %s", code, out)
	}
	if out, code := to.cli("apply", file, "--prune"); code != 0 || !strings.Contains(out, "Nothing differs.") {
		t.Errorf("applied twice: exit %d: %s", code, out)
	}
	if out, code := to.cli("export", "--secrets", "clear", "--file", again); code != 0 {
		t.Fatalf("export: exit %d: %s", code, out)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(again)
	if err != nil || !strings.Contains(string(want), "planted") || string(got) != string(want) {
		t.Errorf("%v; exported again:\n%s\nwant\n%s", err, got, want)
	}
	masked, code := from.cli("export")
	if code != 0 || strings.Contains(masked, "planted") || !strings.Contains(masked, "[secret]") {
		t.Errorf("export: exit %d: %s", code, masked)
	}
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("configs:\n- id: x\ndevices:\n- mac: 00:15:65:00:00:01\n  config: x\n  plugin: nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	code = run(t.Context(), []string{"apply", bad, "--state", to.state}, os.Getenv, strings.NewReader(""), io.Discard, &errs)
	if code != exitInvalid || !strings.Contains(errs.String(), "line 4: there is no plugin") {
		t.Errorf("apply of a bad file: exit %d: %s", code, errs.String())
	}
}
