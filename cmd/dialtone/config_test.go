package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// set runs `config set` with a file of that content.
func (o *office) set(id, content string, flags ...string) (stdout string, code int) {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return o.cli(append([]string{"config", "set", id, file}, flags...)...)
}

// A config is written, looked at, tried, gone back on and deleted by verbs. No secret is shown by any.
func TestConfigVerbs(t *testing.T) {
	t.Parallel()
	const mac, file, old, fresh = "00:08:5d:00:00:01", "/00085D000001.cfg", "hush-hush-1", "hush-hush-2"
	o := newOffice(t, nil)
	addr := o.lease(mac, aastraClass)
	o.get(addr, file, agent("3.3.1.4365", mac))
	var shown bytes.Buffer
	run := func(args []string, code int, want string) {
		t.Helper()
		out, got := o.cli(args...)
		shown.WriteString(out)
		if got != code || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want %d and %q in it:\n%s", strings.Join(args, " "), got, code, want, out)
		}
	}
	set := func(content string, code int, want string, flags ...string) {
		t.Helper()
		out, got := o.set("reception", content, flags...)
		shown.WriteString(out)
		if got != code || !strings.Contains(out, want) {
			t.Errorf("set %s %s: exit %d, want %d and %q in it:\n%s", content, flags, got, code, want, out)
		}
	}
	line := func(user, password string) string {
		return "parents: [base]\nparams: {vlan_id: 30, sip_lines: {'1': {username: " + user + ", password: '" + password + "'}}}\n"
	}
	set(line("kim", "[secret]"), exitInvalid, "") // there is none yet
	set("params: {sip_lines: {'1': {usrname: kim}}}", exitInvalid, "")
	set("parents: [nonesuch]", exitInvalid, "")
	set("nonsense: 1", exitInvalid, "")
	set("id: lobby", exitInvalid, "")
	set(line("kim", old), 0, "params.sip_lines.1.username", "--why", "a new desk")
	run([]string{"phone", "approve", mac, "--config", "reception"}, 0, "reception")
	set(line("lee", fresh), 0, "1 of 1 phones", "--dry-run")
	set(line("lee", fresh), 0, "+sip line1 user name: lee", "--dry-run")
	set(line("lee", fresh), 0, `"done": false`, "--dry-run", "--json")
	set(line("lee", "[secret]"), exitConflict, "", "--rev", "7")
	if _, body := o.get(addr, file, agent("3.3.1.4365", mac)); !strings.Contains(body, "user name: kim") || !strings.Contains(body, old) {
		t.Errorf("after dry runs the phone gets %q", body)
	}
	set(line("lee", "[secret]"), 0, `"lee"`)
	if _, body := o.get(addr, file, agent("3.3.1.4365", mac)); !strings.Contains(body, "user name: lee") || !strings.Contains(body, old) {
		t.Errorf("with another user and the same password the phone gets %q", body)
	}
	run([]string{"config", "list"}, 0, "reception")
	run([]string{"config", "list", "--json"}, 0, `"id": "reception"`)
	run([]string{"config", "show", "reception"}, 0, "username: lee")
	run([]string{"config", "show", "reception"}, 0, "vlan_id: 30\n")
	run([]string{"config", "resolved", "reception"}, 0, "sip_lines.1.username")
	run([]string{"config", "history", "reception"}, 0, "a new desk")
	run([]string{"config", "diff", "reception"}, 0, `"kim"`)
	run([]string{"config", "diff", "reception", "1", "2", "--json"}, 0, `"params.sip_lines.1.username"`)
	run([]string{"config", "restore", "reception", "1", "--dry-run"}, 0, "+sip line1 user name: kim")
	run([]string{"config", "restore", "reception", "1"}, 0, `"kim"`)
	run([]string{"config", "history", "reception"}, 0, "restores revision 1")
	run([]string{"config", "restore", "reception", "9"}, exitNotFound, "")
	run([]string{"config", "restore", "reception", "x"}, exitUsage, "")
	edit := []string{"config", "edit", "reception"}
	run(append(edit, "--set", "sip_lines.1.display_name=The desk", "--unset", "vlan_id", "--dry-run"), 0, "+sip line1 display name: The desk")
	run(append(edit, "--set", "sip_lines.1.display_name=The desk", "--unset", "vlan_id"), 0, "params.vlan_id")
	run(append(edit, "--set", "vlan_id=30", "--set", "sip_codecs=g722,pcma", "--label", "Front"), 0, "params.sip_codecs")
	run(append(edit, "--set", "vlan_id=thirty"), exitInvalid, "")
	run(append(edit, "--set", "vlan_id=30000"), exitInvalid, "")
	run(append(edit, "--set", "vlan_idd=30"), exitInvalid, "")
	run(append(edit, "--set", "vlan_id"), exitUsage, "")
	run(append(edit, "--set", "vlan_id=1", "--set", "vlan_id.x=1"), exitUsage, "")
	run(append(edit, "--set", "sip_lines.1.password=typed"), exitUsage, "")
	run(append(edit, "--rev", "77", "--set", "vlan_id=31"), exitConflict, "")
	run(edit, exitUsage, "")
	run([]string{"config", "edit", "nonesuch", "--label", "x"}, exitNotFound, "")
	run([]string{"config", "show", "reception"}, 0, "label: Front")
	if _, body := o.get(addr, file, agent("3.3.1.4365", mac)); !strings.Contains(body, "user name: kim") || !strings.Contains(body, old) ||
		!strings.Contains(body, "display name: The desk") || !strings.Contains(body, "payload=9;") {
		t.Errorf("after edits the phone gets %q", body)
	}
	run([]string{"phone", "edit", mac, "--set", "idle_text=Hall"}, 0, "override.idle_text")
	run([]string{"phone", "edit", mac, "--unset", "idle_text"}, 0, "override.idle_text")
	for _, flags := range [][]string{nil, {"--dry-run"}} {
		run(append([]string{"config", "delete", "reception"}, flags...), exitConflict, "")
		run(append([]string{"config", "delete", "default"}, flags...), exitForbidden, "")
		run(append([]string{"config", "delete", "nonesuch"}, flags...), exitNotFound, "")
	}
	run([]string{"phone", "approve", mac, "--config", "autocreate"}, 0, "autocreate")
	run([]string{"config", "delete", "reception", "--dry-run"}, 0, "0 of 1 phones")
	run([]string{"config", "delete", "reception", "--why", "closed"}, 0, "")
	run([]string{"config", "show", "reception"}, exitNotFound, "")
	run([]string{"config", "restore", "reception", "2"}, 0, `"lee"`)
	// What is shown can be set again.
	out, _ := o.cli("config", "show", "reception")
	set(out, 0, "Nothing is different.")
	for _, verb := range []string{"show", "resolved", "history", "diff"} {
		run([]string{"config", verb, "nonesuch"}, exitNotFound, "")
		run([]string{"config", verb}, exitUsage, "")
	}
	for _, secret := range []string{old, fresh} {
		if strings.Contains(shown.String(), secret) {
			t.Errorf("%s is shown", secret)
		}
	}
}
