package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/store"
)

// store check tells a commit that a power failure cut off from damage, by what the next start does about it.
func TestStoreCheckCutOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := store.Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, epoch := read("dialtone.db"), read("dialtone.epoch")
	if _, err := db.PutDevice(t.Context(), provision.Device{ID: "phone", HW: hwaddr.MustParse("00:15:65:00:00:01")}); err != nil {
		t.Fatal(err)
	}
	// Of the commit, the disk got no more than the page that says that there was one.
	torn := append(read("dialtone.db")[:2*os.Getpagesize()], before[2*os.Getpagesize():]...)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	put("dialtone.db", torn)
	check := func() (int, string) {
		t.Helper()
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"store", "check", "--state", dir}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, out := check(); code != 6 || !strings.Contains(out, "restores it from a snapshot") {
		t.Errorf("of a commit that the disk is known to have had: got status %d and\n%s", code, out)
	}
	// The machine was started anew, and nothing says that the disk had it.
	at := bytes.Index(epoch, []byte(`"boot":"`)) + len(`"boot":"`)
	epoch[at] ^= 1
	put("dialtone.epoch", epoch)
	if code, out := check(); code != 0 || !strings.Contains(out, "cut off") || !strings.Contains(out, "next start undoes it") {
		t.Errorf("of a commit that was cut off: got status %d and\n%s", code, out)
	}
}
