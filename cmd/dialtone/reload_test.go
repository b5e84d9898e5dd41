package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// A plugin that is edited while 50 clients fetch from it answers each wholly as before or wholly as after; a broken edit
// leaves the former version in force and says what is wrong with it, and where.
func TestPluginEditedUnderLoad(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	template := filepath.Join(o.state, "plugins", "aastra-67xx-3.3.1", "templates", "aastra.cfg.tmpl")
	original, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	const clients = 50
	edit := func(n int) string { // every line of it says which edit it is
		return string(original) + strings.Repeat(fmt.Sprintf("# edit %04d\n", n), 200)
	}
	idle := o.lease("00:08:5d:20:01:00", aastraClass)
	var done atomic.Bool
	var seen [3]atomic.Bool
	var group errgroup.Group
	for i := range clients {
		mac := fmt.Sprintf("00:08:5d:20:00:%02x", i)
		addr := o.lease(mac, aastraClass)
		group.Go(func() error {
			for !done.Load() {
				status, body := o.get(addr, "/aastra.cfg", agent("3.3.1.4365", mac))
				if status != http.StatusOK {
					return fmt.Errorf("%s: status %d", mac, status)
				}
				edits := 0
				for n := range seen {
					count := strings.Count(body, fmt.Sprintf("# edit %04d\n", n))
					if count == 200 {
						seen[n].Store(true)
						edits++
					} else if count != 0 {
						return fmt.Errorf("%s: %d lines of edit %d: neither the old file nor the new one", mac, count, n)
					}
				}
				if edits > 1 {
					return fmt.Errorf("%s: two edits in one answer", mac)
				}
			}
			return nil
		})
	}
	deadline := time.Now().Add(30 * time.Second)
	for n := range seen {
		if err := os.WriteFile(template, []byte(edit(n)), 0o600); err != nil {
			t.Fatal(err)
		}
		for !seen[n].Load() && !t.Failed() {
			if time.Now().After(deadline) {
				t.Errorf("edit %d was never served", n)
				break
			}
			o.get(idle, "/aastra.cfg", agent("3.3.1.4365", "00:08:5d:20:01:00"))
		}
	}
	done.Store(true)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}

	if err := os.WriteFile(template, []byte("one\ntwo {{.Nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code := o.cli("plugin", "rescan"); code != 0 {
		t.Error("rescan fails over one broken plugin")
	}
	if status, body := o.get(idle, "/aastra.cfg", agent("3.3.1.4365", "00:08:5d:20:01:00")); status != http.StatusOK || !strings.Contains(body, "# edit 0002") {
		t.Errorf("after the broken edit: %d; want the former version", status)
	}
	out, code := o.cli("plugin", "list", "--json")
	if code != 0 || !strings.Contains(out, "aastra.cfg.tmpl:2") {
		t.Errorf("plugin list doesn't name the broken file and line: exit %d\n%s", code, out)
	}
	if out, code = o.cli("problem", "list"); code != 0 || !strings.Contains(out, "aastra-67xx-3.3.1") {
		t.Errorf("problem list: exit %d, %s; want it to name the plugin", code, out)
	}
}
