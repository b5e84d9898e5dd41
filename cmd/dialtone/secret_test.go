package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// Secrets are shown to who asks for them by name, which is written down. Nothing that the appliance keeps has them in the
// clear: not the store, not its copies, not the history of requests, the audit or the log. A new key changes nothing for the
// phones.
func TestSecretVerbs(t *testing.T) {
	t.Parallel()
	const mac, file, word, own = "00:08:5d:00:00:01", "/00085D000001.cfg", "hush-hush-1", "hush-hush-2"
	o := newOffice(t, nil)
	addr := o.lease(mac, aastraClass)
	o.get(addr, file, agent("3.3.1.4365", mac))
	run := func(code int, want string, args ...string) string {
		t.Helper()
		out, got := o.cli(args...)
		if got != code || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want %d and %q in it:\n%s", strings.Join(args, " "), got, code, want, out)
		}
		return out
	}
	content := "parents: [base]\nparams: {sip_lines: {'1': {username: kim, password: '" + word + "'}}}\n"
	if out, code := o.set("reception", content); code != 0 {
		t.Fatalf("set: exit %d: %s", code, out)
	}
	run(0, "reception", "phone", "approve", mac, "--config", "reception")
	override := filepath.Join(t.TempDir(), "override.json")
	if err := os.WriteFile(override, []byte(`{"override":{"admin_password":"`+own+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, "", "phone", "edit", mac, "--file", override)
	_, before := o.get(addr, file, agent("3.3.1.4365", mac))
	if !strings.Contains(before, word) {
		t.Fatalf("the phone gets %q", before)
	}

	run(0, "password: \"[secret]\"", "config", "show", "reception")
	run(0, "password: "+word, "config", "show", "reception", "--reveal")
	run(exitNotFound, "", "config", "show", "nonesuch", "--reveal")
	if out := run(0, "", "phone", "show", mac); strings.Contains(out, own) {
		t.Errorf("phone show: %s", out)
	}
	run(0, own, "phone", "show", mac, "--reveal")
	run(0, own, "phone", "show", mac, "--reveal", "--json")
	// What was masked is put back as it is.
	shown := run(0, "", "config", "show", "reception")
	if out, code := o.set("reception", shown); code != 0 || !strings.Contains(out, "Nothing is different.") {
		t.Errorf("set as shown: exit %d: %s", code, out)
	}

	var would, is api.Rotation
	if err := json.Unmarshal([]byte(run(0, "", "secret", "rotate", "--dry-run", "--json")), &would); err != nil {
		t.Fatal(err)
	}
	run(0, "Nothing was changed.", "secret", "rotate", "--dry-run")
	if err := json.Unmarshal([]byte(run(0, "", "secret", "rotate", "--json")), &is); err != nil {
		t.Fatal(err)
	}
	if would.Done || !is.Done || would.Old != is.Old || is.New == is.Old || is.Records != would.Records || is.Records == 0 {
		t.Errorf("rotated: %+v after %+v", is, would)
	}
	run(0, "instead of "+is.New, "secret", "rotate")
	if _, after := o.get(addr, file, agent("3.3.1.4365", mac)); after != before {
		t.Errorf("with another key the phone gets %q, want %q", after, before)
	}
	audit := run(0, "revealConfig", "audit", "list", "--json")
	for _, want := range []string{"revealPhone", "params.sip_lines.1.password", "override.admin_password", "rotateKey", is.New} {
		if !strings.Contains(audit, want) {
			t.Errorf("the audit hasn't got %q:\n%s", want, audit)
		}
	}
	o.stop()
	for _, secret := range []string{word, own} {
		if strings.Contains(audit, secret) || strings.Contains(o.log.String(), secret) {
			t.Errorf("%s is in the audit or the log", secret)
		}
		err := filepath.WalkDir(o.state, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s is in %s", secret, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
