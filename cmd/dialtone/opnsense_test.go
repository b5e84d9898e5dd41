package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/web/api"
)

// TestTellingBySSH: what OPNsense's servers call, and the forced command of the key that it uses, with dialtone and ssh
// replaced by what writes down its arguments, one a line.
func TestTellingBySSH(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	record := filepath.Join(dir, "record")
	script(t, record, "#!/bin/sh\nprintf '%s\\n' \"$@\" \"\" >> '"+dir+"/said'\n")
	relay := filepath.Join(dir, "relay")
	script(t, relay, strings.ReplaceAll(packaged(t, "lease-event-ssh"), "/usr/bin/dialtone", record))
	ssh := filepath.Join(dir, "ssh") // its last argument is what the other side is asked for
	script(t, ssh, "#!/bin/sh\nfor last; do :; done\nSSH_ORIGINAL_COMMAND=$last exec '"+relay+"'\n")
	caller := filepath.Join(dir, "caller") // waits, so that the test needn't
	script(t, caller, strings.Replace(strings.ReplaceAll(packaged(t, "opnsense-lease-event"), "/usr/bin/ssh", ssh), "\nexit 0\n", "\nwait\n", 1))

	const mac, ip = "00:1b:d4:00:00:01", "192.0.2.23"
	said := func(class, event, ip, lifetime string) string {
		return strings.Join([]string{
			"--state", "/var/lib/dialtone", "lease-event", "--vendor-class", class, "--event", event, "--ip", ip, "--mac", mac, "--lifetime", lifetime, "", "",
		}, "\n")
	}
	for name, c := range map[string]struct {
		args []string
		env  []string
		want string
	}{
		"dnsmasq add": {
			[]string{"add", mac, ip, "desk"},
			[]string{"DNSMASQ_TIME_REMAINING=120", "DNSMASQ_VENDOR_CLASS=Cisco Systems, Inc. IP Phone"},
			said("Cisco Systems, Inc. IP Phone", "bound", ip, "120"),
		},
		"a hostile class": {
			[]string{"old", mac, ip}, []string{"DNSMASQ_VENDOR_CLASS=x' --ip 192.0.2.99 \"$(reboot)\n`reboot`"}, said("x --ip 192.0.2.99 rebootreboot", "bound", ip, "0"),
		},
		"dnsmasq del":  {[]string{"del", mac, ip}, nil, said("", "released", ip, "0")},
		"dnsmasq tftp": {[]string{"tftp", "1", ip}, nil, ""},
		"Kea, committed": {
			[]string{"leases4_committed"}, []string{
				"LEASES4_SIZE=1", "LEASES4_AT0_ADDRESS=" + ip, "LEASES4_AT0_HWADDR=" + mac, "LEASES4_AT0_VALID_LIFETIME=3600",
				"DELETED_LEASES4_SIZE=1", "DELETED_LEASES4_AT0_ADDRESS=192.0.2.9", "DELETED_LEASES4_AT0_HWADDR=" + mac,
			}, said("", "released", "192.0.2.9", "0") + said("", "bound", ip, "3600"),
		},
		"Kea, renewed": {
			[]string{"lease4_renew"}, []string{"LEASE4_ADDRESS=" + ip, "LEASE4_HWADDR=" + mac, "LEASE4_VALID_LIFETIME=60"}, said("", "bound", ip, "60"),
		},
		"Kea, expired":           {[]string{"lease4_expire"}, []string{"LEASE4_ADDRESS=" + ip, "LEASE4_HWADDR=" + mac}, said("", "expired", ip, "0")},
		"Kea, without a MAC":     {[]string{"lease4_release"}, []string{"LEASE4_ADDRESS=" + ip}, ""},
		"Kea, only an offer":     {[]string{"lease4_select"}, []string{"LEASE4_ADDRESS=" + ip}, ""},
		"Kea, nothing committed": {[]string{"leases4_committed"}, []string{"LEASES4_SIZE=0"}, ""},
	} {
		if err := os.RemoveAll(filepath.Join(dir, "said")); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), caller, c.args...)
		cmd.Env = slices.Concat([]string{"PATH=/usr/bin:/bin"}, c.env)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		got, err := os.ReadFile(filepath.Join(dir, "said"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// packaged returns one of the files that other DHCP servers are given.
func packaged(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "packaging", "foreign-dhcp", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func script(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// A decision says what the phone would get next, and by which row only if the guard was asked.
func TestDecisionSaysWhatComesNext(t *testing.T) {
	t.Parallel()
	for want, n := range map[string]api.NextFile{
		"If it asks for a.cfg again: ok, with its passwords (ID-13: why)\n": {Path: "a.cfg", Status: "ok", Secrets: true, Rule: "ID-13", Why: "why"},
		"If it asks for a.cfg again: missing\n":                             {Path: "a.cfg", Status: "missing"},
	} {
		var b bytes.Buffer
		if err := writeDecision(&b, &api.Decision{Next: n}, false); err != nil || !strings.HasSuffix(b.String(), want) {
			t.Errorf("got %q, %v; want %q", b.String(), err, want)
		}
	}
}
