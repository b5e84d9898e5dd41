package main

import (
	"strings"
	"testing"
)

// A part logs more or less from one moment to the next, and the others go on as before.
func TestLogLevels(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	boot := func(mac string) {
		t.Helper()
		if _, err := o.phone("6730i", mac).Boot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	says := func(component, mac string) bool {
		for line := range strings.Lines(o.log.String()) {
			if strings.Contains(line, "component="+component+" ") && strings.Contains(line, "mac="+mac) {
				return true
			}
		}
		return false
	}
	const loud, quiet = "00:08:5d:00:00:71", "00:08:5d:00:00:72"
	boot(loud)
	if out, code := o.cli("log", "level", "dhcp", "debug", "--dry-run"); code != exitOK || !strings.Contains(out, "debug") {
		t.Errorf("dry run: exit %d: %s", code, out)
	}
	if out, code := o.cli("log", "level", "dhcp"); code != exitOK || !strings.Contains(out, "info") {
		t.Errorf("after a dry run: exit %d: %s", code, out)
	}
	if out, code := o.cli("log", "level", "dhcp", "error", "--json"); code != exitOK || !strings.Contains(out, `"error"`) {
		t.Errorf("log level dhcp error: exit %d: %s", code, out)
	}
	boot(quiet)
	for _, tt := range []struct {
		component, mac string
		want           bool
	}{{"dhcp", loud, true}, {"dhcp", quiet, false}, {"provision", loud, true}, {"provision", quiet, true}} {
		if got := says(tt.component, tt.mac); got != tt.want {
			t.Errorf("%s has a line of %s: %t, want %t", tt.component, tt.mac, got, tt.want)
		}
	}
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"log", "level", "fax", "debug"}, exitInvalid},
		{[]string{"log", "level", "dhcp", "loud"}, exitInvalid},
		{[]string{"log", "level", "fax"}, exitNotFound},
	} {
		if _, code := o.cli(tt.args...); code != tt.code {
			t.Errorf("dialtone %s: exit %d, want %d", strings.Join(tt.args, " "), code, tt.code)
		}
	}
	out, code := o.cli("audit", "list", "--json")
	if code != exitOK || strings.Count(out, "setLogLevels") != 1 || !strings.Contains(out, `"dhcp": "error"`) {
		t.Errorf("audit: exit %d: %s", code, out)
	}
}
