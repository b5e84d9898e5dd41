package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/provision/sim"
)

// One step of a simulated phone, by the verbs.
func TestSimStep(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	wire := []string{
		"--server", fmt.Sprintf("%s:%d", o.addr, dhcpPort), "--tftp-port", strconv.Itoa(tftpPort), "--http-port", strconv.Itoa(httpPort),
	}
	step := func(args ...string) (string, int) {
		t.Helper()
		return o.cli(append(append([]string{"sim"}, args...), wire...)...)
	}
	cisco := []string{"--model", "7941G", "--mac", "00:1b:54:00:00:01"}
	aastra := []string{"--model", "6730i", "--mac", "00:08:5d:00:00:01"}

	out, code := step(append([]string{"dhcp"}, cisco...)...)
	for _, want := range []string{
		`^7941G 00:1b:54:00:00:01 has 127\.64\.\S+ for \S+ from ` + regexp.QuoteMeta(o.addr.String()) + `\.`, `(?m)^66 +tftp-server-name +\S`, `(?m)^51 +lease-time +\S`,
	} {
		if !regexp.MustCompile(want).MatchString(out) || code != 0 {
			t.Errorf("sim dhcp: exit %d, wanted %s in:\n%s", code, want, out)
		}
	}
	if out, code = step(append([]string{"tftp", "SEP{MAC}.cnf.xml"}, cisco...)...); code != 0 || !regexp.MustCompile(`(?m)^ok +tftp +SEP001B54000001\.cnf\.xml +[1-9]\d* bytes$`).MatchString(out) {
		t.Errorf("sim tftp: exit %d:\n%s", code, out)
	}
	out, code = step(append([]string{"http", "aastra.cfg", "--out", "-"}, aastra...)...)
	if code != 0 || !strings.HasPrefix(out, "#") {
		t.Errorf("sim http --out -: exit %d, want the file alone:\n%s", code, out)
	}
	saved := filepath.Join(t.TempDir(), "saved")
	var r sim.Result
	said, code := step(append([]string{"http", "aastra.cfg", "--json", "--out", saved}, aastra...)...)
	if err := json.Unmarshal([]byte(said), &r); err != nil || code != 0 || len(r.Steps) != 2 || r.Steps[1].Bytes != int64(len(out)) {
		t.Errorf("sim http --json: exit %d, %v:\n%s", code, err, said)
	}
	if b, err := os.ReadFile(saved); err != nil || string(b) != out {
		t.Errorf("--out FILE: %q, %v, want what --out - printed", b, err)
	}
	if said, code = step(append([]string{"http", "aastra.cfg", "--out", saved}, aastra...)...); code == 0 {
		t.Errorf("a file that is there is written over: %s", said)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if said, code = step(append([]string{"http", "nonesuch.cfg", "--out", missing}, aastra...)...); code == 0 {
		t.Errorf("a missing file: exit %d, %s", code, said)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a file is left where there was none to get")
	}
}
