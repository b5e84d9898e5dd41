package main

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// A phone's story is told by the verbs, and after a restart still.
func TestTraceOverARestart(t *testing.T) {
	t.Parallel()
	const mac = "00:11:22:33:44:55"
	o := newOffice(t, nil)
	if _, err := o.phone("7941G", mac).Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	stdout, code := o.cli("phone", "boots", mac)
	if code != 0 || !strings.Contains(stdout, ", running\n") || !strings.Contains(stdout, "SEP001122334455.cnf.xml     done") {
		t.Errorf("phone boots (exit %d):\n%s", code, stdout)
	}
	number := o.last("SEP001122334455.cnf.xml").Request.ID
	o.restart()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"requests", "--phone", mac}, "SEP001122334455.cnf.xml"},
		{[]string{"trace", strconv.FormatUint(number, 10)}, "mac " + mac + " by lease"},
		{[]string{"replay", strconv.FormatUint(number, 10)}, "It comes to the same as then."},
		{[]string{"phone", "boots", mac, "--all"}, "address                     done"},
	} {
		if stdout, code := o.cli(tc.args...); code != 0 || !strings.Contains(stdout, tc.want) {
			t.Errorf("%s (exit %d), want %q in it:\n%s", tc.args, code, tc.want, stdout)
		}
	}
	// What was fetched is read beside the start.
	drift := ""
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(drift, "same") && time.Now().Before(deadline); {
		drift, _ = o.cli("phone", "drift", mac)
	}
	if !strings.Contains(drift, "SEP001122334455.cnf.xml") {
		t.Errorf("phone drift:\n%s", drift)
	}
	for _, args := range [][]string{{"trace", "999999"}, {"replay", "999999"}} {
		if _, code := o.cli(args...); code != exitNotFound {
			t.Errorf("%s: exit %d, want %d", args, code, exitNotFound)
		}
	}
	if _, code := o.cli("trace", "x"); code != exitUsage {
		t.Errorf("trace x: exit %d, want %d", code, exitUsage)
	}
}
