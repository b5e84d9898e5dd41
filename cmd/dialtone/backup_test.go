package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-project/dialtone/configs"
)

// A backup is made while phones come up; what was acknowledged before it is in it, and phones get the same bytes.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	const mac = "00:11:22:33:44:55"
	// After a restoration a lease of before is no proof until its phone has come up again, so the files are asked for where
	// that isn't needed.
	o := newOffice(t, func(site string) string {
		return strings.Replace(site, "provisioning: {", "provisioning: {guard: legacy, ", 1)
	})
	if _, err := o.phone("7941G", mac).Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := o.lease(mac, ciscoClass)
	before, ok := o.rrq(addr, "SEP001122334455.cnf.xml")
	if !ok {
		t.Fatal("the phone has no file")
	}
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "dialtone.backup")
	if err := os.WriteFile(key, []byte("seven green kettles\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var load sync.WaitGroup
	for n := range 4 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				o.lease(strings.Replace("00:08:5d:00:0N:", "N", string(rune('0'+n)), 1)+hexByte(i), aastraClass)
			}
		})
	}
	out, code := o.cli("backup", "create", file, "--key-file", key)
	close(done)
	load.Wait()
	if code != 0 || !strings.Contains(out, "encrypted") {
		t.Fatalf("backup create: exit %d: %s", code, out)
	}
	if data, err := os.ReadFile(file); err != nil || bytes.Contains(data, []byte("plugin.yaml")) {
		t.Errorf("the backup can be read without the key (%v)", err)
	}
	if left, err := filepath.Glob(filepath.Join(o.state, "*.copy-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if out, code := o.cli("backup", "verify", file, "--key-file", key); code != 0 || !strings.Contains(out, "its store is whole") {
		t.Errorf("backup verify: exit %d: %s", code, out)
	}
	if _, code := o.cli("backup", "restore", file, "--key-file", key, "--replace"); code != exitConflict {
		t.Errorf("restore beside a daemon that runs: exit %d, want %d", code, exitConflict)
	}
	o.stop()
	state := o.state
	o.state = filepath.Join(dir, "state")
	refuse(t, o, file, key)
	if out, code := o.cli("backup", "restore", file, "--key-file", key); code != 0 {
		t.Fatalf("backup restore: exit %d: %s", code, out)
	}
	if _, code := o.cli("backup", "restore", file, "--key-file", key); code != exitConflict {
		t.Errorf("restore over a state: exit %d, want %d", code, exitConflict)
	}
	if _, err := os.Stat(state); err != nil {
		t.Errorf("the old state is gone: %v", err)
	}
	s := o.parts.settings
	s.State = o.state
	o.start(s, content{})
	if after, ok := o.rrq(addr, "SEP001122334455.cnf.xml"); !ok || after != before {
		t.Errorf("after the restoration the phone gets %q, want %q", after, before)
	}
	if out, _ := o.cli("problem", "list"); !strings.Contains(out, "older copy of the store") {
		t.Errorf("nobody is told that leases may be missing:\n%s", out)
	}
}

func hexByte(i int) string {
	return string([]byte{"0123456789abcdef"[i>>4&15], "0123456789abcdef"[i&15]})
}

// refuse sees that a spoilt backup, and a wrong key, change nothing.
func refuse(t *testing.T, o *office, file, key string) {
	t.Helper()
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	for name, data := range map[string][]byte{
		"truncated": good[:len(good)/2], "flipped": append(append(bytes.Clone(good[:5000]), good[5000]^1), good[5001:]...), "empty": nil,
	} {
		if err := os.WriteFile(bad, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := o.cli("backup", "restore", bad, "--key-file", key); code != exitInvalid || out != "" {
			t.Errorf("%s: exit %d, want %d: %s", name, code, exitInvalid, out)
		}
	}
	if _, code := o.cli("backup", "restore", file); code != exitInvalid {
		t.Errorf("without the key: exit %d, want %d", code, exitInvalid)
	}
	if left, err := os.ReadDir(filepath.Dir(o.state)); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBackupWithoutDaemon(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil, func(s *configs.Settings) { s.DHCP.Enabled = false })
	o.stop()
	dir := t.TempDir()
	if _, code := o.cli("backup", "create", filepath.Join(dir, "b")); code != exitUnreachable {
		t.Errorf("create without a daemon: exit %d, want %d", code, exitUnreachable)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, code := o.cli("backup", "create", filepath.Join(dir, "b"), "--key-file", filepath.Join(dir, "none")); code != exitFailure {
		t.Errorf("create with a key that isn't there: exit %d, want %d", code, exitFailure)
	}
}
