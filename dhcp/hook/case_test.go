package hook_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hook"
)

// TestCase runs the cases of the DHCP conformance list that are a hook's, by their ids.
func TestCase(t *testing.T) {
	t.Parallel()
	t.Run("D-EVT-09", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		file, trap := filepath.Join(dir, "seen"), filepath.Join(dir, "trap")
		const evil = "$(touch TRAP); `touch TRAP` | touch TRAP\n\x1b[31m\x00\xff"
		e := sample()
		c := &e.Lease.Client
		c.Hostname = strings.ReplaceAll(evil, "TRAP", trap)
		c.VendorClass, c.UserClass, c.ID, c.Circuit, c.Remote = c.Hostname, c.Hostname, c.Hostname, c.Hostname, c.Hostname
		h := &hook.Hook{Name: "pbx", Exec: self(t, "record", file, "its own argument"), Log: slog.New(slog.DiscardHandler)}
		if err := h.Deliver(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var seen struct {
			In   string
			Env  []string
			Args []string
		}
		if err := json.Unmarshal(raw, &seen); err != nil {
			t.Fatal(err)
		}
		if len(seen.Args) != 1 || len(seen.Env) > 4 || strings.Contains(strings.Join(seen.Env, " "), "touch") {
			t.Errorf("got arguments %q and environment %q, want nothing of the client's there", seen.Args, seen.Env)
		}
		if line := strings.TrimSuffix(seen.In, "\n"); strings.ContainsAny(line, "\n\x1b\x00") || strings.Contains(line, "\xff") || !json.Valid([]byte(seen.In)) || !strings.Contains(seen.In, "touch") {
			t.Errorf("got input %q, want one line of JSON", seen.In)
		}
		if _, err := os.Lstat(trap); err == nil {
			t.Error("a shell ran what the client said")
		}
		stuck := &hook.Hook{Name: "pbx", Exec: self(t, "hang"), Timeout: 50 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
		stuck.SetPause(time.Millisecond)
		if err := stuck.Deliver(t.Context(), e); err != nil || stuck.Counts().Skipped != 1 {
			t.Errorf("got error %v and counts %+v, want what hangs to be skipped in the end", err, stuck.Counts())
		}
	})
}
