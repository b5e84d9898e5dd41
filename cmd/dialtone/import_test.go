package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// Of a messy table each row has its verdict; what is right is added, once.
func TestImportCSV(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	file := filepath.Join(t.TempDir(), "phones.csv")
	rows := "mac,label,config,sn\n00:15:65:AA:BB:01,lobby,base,S1\n001565aabb02,kitchen\n0015.65aa.bb01,again,,\nnonsense,,\n" +
		"00-15-65-aa-bb-03,x,nowhere,\n,without,,\n00:15:65:aa:bb:04,serial,,S1\n01:15:65:aa:bb:05,group,,\n"
	if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		added  int
		phones int
	}{{[]string{"--dry-run"}, 2, 0}, {nil, 2, 2}, {nil, 0, 2}} {
		out, code := o.cli(append([]string{"import", "csv", file}, tt.args...)...)
		if code != exitPartly || strings.Count(out, " added\n") != tt.added {
			t.Errorf("import %v: exit %d, want %d added:\n%s", tt.args, code, tt.added, out)
		}
		for _, want := range []string{
			`there is no config "nowhere"`, "00:15:65:aa:bb:01 stands in line 2 already", `"nonsense" is not a hardware address`, "it has no mac",
			"serial number S1 stands in line 2 already", "is the address of a group",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("import %v lacks %q:\n%s", tt.args, want, out)
			}
		}
		if got := len(o.phones()); got != tt.phones {
			t.Errorf("import %v: %d phones, want %d", tt.args, got, tt.phones)
		}
	}
}

// A phone of a table comes up with the SIP account that stands beside it.
func TestImportCSVAccount(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const mac = "00:08:5d:00:00:31"
	file := filepath.Join(t.TempDir(), "phones.csv")
	if err := os.WriteFile(file, []byte("MAC,Name,Extension,Password,Floor\n"+mac+",Reception,4711,s3cret-of-4711,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := o.cli("import", "csv", file)
	if code != exitOK || !strings.Contains(out, "with line 1") || !strings.Contains(out, "Floor") || strings.Contains(out, "s3cret") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if _, err := o.phone("6730i", mac).Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"4711", "Reception"} {
		if out, code := o.cli("phone", "render", mac, "00085D000031.cfg"); code != exitOK || !strings.Contains(out, name) {
			t.Errorf("exit %d, want %q in:\n%s", code, name, out)
		}
	}
	if out, code := o.cli("line", "list"); code != exitOK || !strings.Contains(out, "4711") {
		t.Errorf("exit %d, want its line in:\n%s", code, out)
	}
}

// What other programs have written is read from folders and files, and a second time nothing of it is new.
func TestImportOfOthers(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	data := filepath.Join("..", "..", "provision", "port", "testdata")
	count := func(code int, out string) map[api.ImportVerdictAction]int {
		t.Helper()
		var list api.ImportVerdicts
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("exit %d, %v: %s", code, err, out)
		}
		n := make(map[api.ImportVerdictAction]int)
		for _, v := range list.Verdicts {
			n[v.Action]++
		}
		want := exitOK
		if n[api.Wrong] > 0 {
			want = exitPartly
		}
		if code != want {
			t.Errorf("exit %d, want %d: %v", code, want, n)
		}
		return n
	}
	phones := len(o.phones())
	for _, args := range [][]string{
		{"provd", filepath.Join(data, "provd")},
		{"dnsmasq", filepath.Join(data, "dnsmasq")},
		{"isc-dhcp", filepath.Join(data, "isc", "dhcpd.conf"), filepath.Join(data, "isc", "more.conf")},
	} {
		args = append([]string{"import", "--json"}, args...)
		out, code := o.cli(append(args, "--dry-run")...)
		would := count(code, out)
		out, code = o.cli(args...)
		if first := count(code, out); first["added"] == 0 || first["added"] != would["added"] {
			t.Errorf("%v: %v, the dry run %v", args, first, would)
		}
		out, code = o.cli(args...)
		if again := count(code, out); again["added"] != 0 || again["known"] == 0 {
			t.Errorf("%v a second time: %v", args, again)
		}
	}
	if got := len(o.phones()) - phones; got != 4 {
		t.Errorf("%d phones came, want 4", got)
	}
	bad := filepath.Join(t.TempDir(), "dhcpd.conf")
	if err := os.WriteFile(bad, []byte("subnet 192.0.2.0 netmask 255.255.255.0 {\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"isc-dhcp", bad}, {"provd", t.TempDir()}} {
		if _, code := o.cli(append([]string{"import"}, args...)...); code != exitInvalid {
			t.Errorf("import %v: exit %d, want %d", args, code, exitInvalid)
		}
	}
	if _, code := o.cli("import", "dnsmasq", filepath.Join(t.TempDir(), "none")); code != exitFailure {
		t.Errorf("import of a file that isn't there: exit %d, want %d", code, exitFailure)
	}
}
