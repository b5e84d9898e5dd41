package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// newHost returns a host over an empty state folder.
func newHost(tb testing.TB) *plugin.Host {
	tb.Helper()
	state := tb.TempDir()
	h := &plugin.Host{
		Dir: filepath.Join(state, "plugins"), Overlays: filepath.Join(state, "overlays"), Firmware: filepath.Join(state, "firmware"),
		HTTPPort: 8667,
	}
	if err := os.MkdirAll(h.Dir, 0o750); err != nil {
		tb.Fatal(err)
	}
	return h
}

func rescan(tb testing.TB, h *plugin.Host) {
	tb.Helper()
	if err := h.Rescan(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func status(tb testing.TB, h *plugin.Host, id provision.PluginID) plugin.Status {
	tb.Helper()
	for _, s := range h.Statuses() {
		if s.ID == id {
			return s
		}
	}
	tb.Fatalf("no status of %s", id)
	return plugin.Status{}
}

func get(tb testing.TB, h *plugin.Host, path string) string {
	tb.Helper()
	p, ok := h.Plugins().Get("acme-1.0")
	if !ok {
		return "no plugin"
	}
	got, err := fetch(tb, p, path, nil)
	if err != nil {
		return err.Error()
	}
	return got
}

func TestRescan(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	if got := h.Plugins().All(); got != nil {
		t.Errorf("a new host has %d plugins", len(got))
	}
	own := filepath.Join(h.Dir, "acme-1.0")
	write(t, own, files(acme))
	write(t, h.Dir, map[string]string{"README": "not a plugin", ".staging-1/plugin.yaml": "half"})
	rescan(t, h)
	first, ok := h.Plugins().Get("acme-1.0")
	if !ok || len(h.Plugins().All()) != 1 {
		t.Fatalf("got %d plugins", len(h.Plugins().All()))
	}

	// Nothing has changed: the same plugin, not one like it.
	rescan(t, h)
	if p, _ := h.Plugins().Get("acme-1.0"); p != first {
		t.Error("an unchanged plugin was loaded again")
	}

	// A broken edit leaves the old one in force and says what is wrong, and where.
	write(t, own, map[string]string{"templates/common.tmpl": "x\n{{.Base"})
	rescan(t, h)
	if got, want := get(t, h, "common.cfg"), "base: 192.0.2.1\nload: none\n"; got != want {
		t.Errorf("after a broken edit: got %q, want %q", got, want)
	}
	st := status(t, h, "acme-1.0")
	rescan(t, h)
	if got := status(t, h, "acme-1.0").Errors; got != 1 {
		t.Errorf("%d errors, want one for one edit", got)
	}
	if !st.InForce || st.Version != "1.0.0" || len(st.Faults) != 1 || st.Faults[0].File != "templates/common.tmpl" || st.Faults[0].Line != 2 {
		t.Errorf("got status %+v", st)
	}
	if want := "templates/common.tmpl:2: unclosed action"; !strings.Contains(st.Problem, want) {
		t.Errorf("got problem %q, want %q", st.Problem, want)
	}

	// A good one mends it.
	write(t, own, map[string]string{"templates/common.tmpl": "mended\n"})
	rescan(t, h)
	if got := get(t, h, "common.cfg"); got != "mended\n" || status(t, h, "acme-1.0").Problem != "" {
		t.Errorf("got %q and %+v", got, status(t, h, "acme-1.0"))
	}

	// Overlays and firmware come and go without the plugin's help.
	write(t, h.Overlays, map[string]string{"acme-1.0/templates/common.tmpl": "site\n"})
	write(t, h.Firmware, map[string]string{"acme-1.0/fw.img": "image"})
	rescan(t, h)
	if got := get(t, h, "common.cfg") + get(t, h, "fw.img"); got != "site\nimage" {
		t.Errorf("got %q, want the overlay and the firmware", got)
	}
	write(t, h.Overlays, map[string]string{"acme-1.0/templates/common.tmpl": "{{nope}}"})
	rescan(t, h)
	if got := status(t, h, "acme-1.0").Faults; len(got) != 1 || got[0].File != "overlays/templates/common.tmpl" || status(t, h, "acme-1.0").Errors != 2 {
		t.Errorf("got faults %v, %d errors", got, status(t, h, "acme-1.0").Errors)
	}

	if err := os.RemoveAll(own); err != nil {
		t.Fatal(err)
	}
	rescan(t, h)
	if got := len(h.Plugins().All()) + len(h.Statuses()); got != 0 {
		t.Errorf("a plugin that is gone leaves %d traces", got)
	}
	if got := first.ID(); got != "acme-1.0" { // what a request holds stays whole
		t.Errorf("got %q", got)
	}
}

func TestRescanLinks(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	elsewhere := t.TempDir()
	write(t, elsewhere, files(acme))
	if err := os.Symlink(elsewhere, filepath.Join(h.Dir, "acme-1.0")); err != nil {
		t.Skip(err)
	}
	write(t, h.Dir, map[string]string{"a b/plugin.yaml": acme})
	rescan(t, h)
	if got := status(t, h, "acme-1.0"); got.InForce || !strings.Contains(got.Problem, "symbolic link") {
		t.Errorf("got %+v", got)
	}
	if got := status(t, h, "a b"); got.InForce || !strings.Contains(got.Problem, "no name for a plugin") {
		t.Errorf("got %+v", got)
	}
}

func TestRescanCheck(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	var verdict error
	calls := 0
	h.Check = func(_ context.Context, p *plugin.Plugin) error {
		calls++
		if p.ID() != "acme-1.0" {
			t.Errorf("asked for %s", p.ID())
		}
		return verdict
	}
	write(t, filepath.Join(h.Dir, "acme-1.0"), files(acme))
	rescan(t, h)
	verdict = &plugin.Fault{File: "tests/new.txtar", Line: 7, Text: "the answer is 404, wanted 200"}
	write(t, filepath.Join(h.Dir, "acme-1.0"), map[string]string{"templates/common.tmpl": "edited\n"})
	for range 3 { // what was refused isn't asked for again
		rescan(t, h)
	}
	if got := get(t, h, "common.cfg"); strings.Contains(got, "edited") {
		t.Errorf("got %q in spite of the check", got)
	}
	if diff := cmp.Diff([]plugin.Fault{*verdict.(*plugin.Fault)}, status(t, h, "acme-1.0").Faults); diff != "" { //nolint:errorlint // ours
		t.Error(diff)
	}
	if calls != 2 {
		t.Errorf("the check was asked %d times, want 2", calls)
	}
}

// A site's template differs from what the plugin's own golden requests expect: that is what it is for.
func TestRescanChecksWithoutOverlay(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.Check = func(_ context.Context, p *plugin.Plugin) error {
		if got, err := fetch(t, p, "common.cfg", nil); err != nil || got != "base: 192.0.2.1\nload: none\n" {
			return fmt.Errorf("got %q, %w", got, err)
		}
		return nil
	}
	write(t, filepath.Join(h.Dir, "acme-1.0"), files(acme))
	write(t, h.Overlays, map[string]string{"acme-1.0/templates/common.tmpl": "site\n"})
	rescan(t, h)
	if got := get(t, h, "common.cfg"); got != "site\n" {
		t.Errorf("got %q, want the site's; %s", got, status(t, h, "acme-1.0").Problem)
	}
}

// 50 clients fetch while the plugin is edited, rightly and wrongly: each answer is wholly of one version.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	own := filepath.Join(h.Dir, "acme-1.0")
	version := func(n int) map[string]string {
		text := fmt.Sprintf("version %d\n", n)
		return map[string]string{"templates/foot.tmpl": text, "templates/common.tmpl": strings.Repeat(text, 50) + `{{template "foot.tmpl"}}`, "files/logo.png": strings.Repeat(text, 1000)}
	}
	write(t, own, with(version(0)))
	rescan(t, h)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 50 {
		clients.Go(func() {
			for ctx.Err() == nil {
				for _, path := range []string{"common.cfg", "logo.png"} {
					got := get(t, h, path)
					line, _, _ := strings.Cut(got, "\n")
					if n := strings.Count(got, line+"\n"); !strings.HasPrefix(line, "version ") || len(got) != n*(len(line)+1) || n != 51 && n != 1000 {
						t.Errorf("%s is mixed: %.80q", path, got)
						return
					}
				}
			}
		})
	}
	for n := 1; n <= 12; n++ {
		next := version(n)
		if n%3 == 0 {
			next["templates/foot.tmpl"] = "{{broken"
		}
		write(t, own, next)
		rescan(t, h)
		if got, want := get(t, h, "common.cfg"), fmt.Sprintf("version %d\n", n); n%3 != 0 && !strings.HasPrefix(got, want) {
			t.Errorf("got %.20q, want %q", got, want)
		}
	}
	stop()
	clients.Wait()
}

// A write into the watched folders comes into force by itself, also below a directory that was made later.
func TestRun(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	checked := make(chan provision.PluginID, 16)
	h.Check = func(_ context.Context, p *plugin.Plugin) error {
		checked <- p.ID()
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	expect := func(what string, good func() bool) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			select {
			case <-checked:
			case <-deadline:
				t.Fatalf("%s: not seen", what)
			case <-time.After(20 * time.Millisecond): // the set is stored after the check
			}
			if good() {
				return
			}
		}
	}
	write(t, filepath.Join(h.Dir, "acme-1.0"), files(acme))
	expect("a new plugin", func() bool { return get(t, h, "common.cfg") != "no plugin" })
	write(t, filepath.Join(h.Dir, "acme-1.0"), map[string]string{"files/rings/late.wav": "late"})
	expect("a new file", func() bool { return get(t, h, "rings/late.wav") == "late" })
	write(t, h.Overlays, map[string]string{"acme-1.0/templates/common.tmpl": "site\n"})
	expect("an overlay", func() bool { return get(t, h, "common.cfg") == "site\n" })
	write(t, h.Firmware, map[string]string{"acme-1.0/fw.img": "image"})
	expect("firmware", func() bool { return get(t, h, "fw.img") == "image" })
	if err := os.Rename(filepath.Join(h.Dir, "acme-1.0"), filepath.Join(h.Dir, ".gone")); err != nil {
		t.Fatal(err)
	}
	expect("its removal", func() bool { return get(t, h, "common.cfg") == "no plugin" })
	stop()
	if err := <-done; err != nil {
		t.Errorf("Run returns %v, want nil", err)
	}
}

func TestInstallBundled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	bundle := func(version, text string) map[string]string {
		all := make(map[string]string)
		for name, data := range with(map[string]string{"templates/common.tmpl": text}) {
			all["acme-1.0/"+name] = strings.Replace(data, "version: 1.0.0", "version: "+version, 1)
		}
		return all
	}
	install := func(version, text string) {
		t.Helper()
		if err := h.InstallBundled(t.Context(), mapFS(bundle(version, text))); err != nil {
			t.Fatal(err)
		}
		rescan(t, h)
	}
	install("1.0.0", "one\n")
	if got := get(t, h, "common.cfg"); got != "one\n" {
		t.Errorf("got %q, want what was bundled", got)
	}
	install("1.10.0", "two\n")
	if got := get(t, h, "common.cfg"); got != "two\n" {
		t.Errorf("got %q, want the newer version", got)
	}
	install("1.9.0", "older\n")
	if got := get(t, h, "common.cfg"); got != "two\n" {
		t.Errorf("got %q, want the newer version still", got)
	}
	write(t, filepath.Join(h.Dir, "acme-1.0"), map[string]string{"templates/common.tmpl": "edited\n"})
	install("2.0.0", "three\n")
	if got := get(t, h, "common.cfg"); got != "edited\n" {
		t.Errorf("got %q, want the administrator's edit", got)
	}
	if got := status(t, h, "acme-1.0").Notes; len(got) != 1 || !strings.Contains(got[0], "it has been edited; version 2.0.0") {
		t.Errorf("got notes %q", got)
	}
	dir := filepath.Join(h.Dir, "acme-1.0")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	install("2.0.0", "three\n")
	if got := get(t, h, "common.cfg"); got != "no plugin" {
		t.Errorf("got %q, want it to stay away", got)
	}
	// As after a crash between the two renames of a replacement.
	write(t, filepath.Join(h.Dir, ".old-acme-1.0"), with(map[string]string{"templates/common.tmpl": "aside\n"}))
	install("2.0.0", "three\n")
	if got := get(t, h, "common.cfg"); got != "aside\n" {
		t.Errorf("got %q, want what was put aside", got)
	}
	left, err := filepath.Glob(filepath.Join(h.Dir, ".staging-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestBoot(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	write(t, filepath.Join(h.Dir, "acme-1.0"), files(acme))
	newer := strings.NewReplacer("'{{.HTTP}}/x'", "'{{.HTTP}}/new'", "file: boot.img", "sname: '{{.TFTP}}'").Replace(acme)
	write(t, filepath.Join(h.Dir, "acme-1.10"), files(newer))
	rescan(t, h)
	base := netip.MustParseAddr("192.0.2.1")
	client := lease.Client{HW: hwaddr.MustParse("00:15:65:aa:bb:cc"), VendorClass: "ACMET1\x00"}
	want := network.Boot{
		Options: []network.Option{
			{Code: 66, Data: []byte("http://192.0.2.1:8667/new"), Force: true},
			{Code: 150, Data: []byte{192, 0, 2, 1, 192, 0, 2, 9}, Force: true},
			{Code: 43, Data: []byte("\x01\x1100:15:65:aa:bb:cc\x02\x01\x01\x03\x01\x07\x04\x04\x00\x00\x00\x0c\x05\x04\xc0\x00\x02\x01\x06\x02\x0a\x0b\x07\x06uint8:"), Force: true},
		},
		Next: base, File: "boot.img", Sname: "tftp://192.0.2.1",
	}
	if diff := cmp.Diff(want, h.Boot(client, base), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	wantNotes := []string{"option 66 differs from acme-1.10 for the vendor class ACME*; that of acme-1.10 counts"}
	if diff := cmp.Diff(wantNotes, status(t, h, "acme-1.0").Notes); diff != "" {
		t.Error(diff)
	}
	if got := h.Vendor(client); got != "Acme" {
		t.Errorf("vendor %q, want Acme", got)
	}
	for _, class := range []string{"", "acmeT1", "XACME"} {
		client.VendorClass = class
		if got := h.Vendor(client); got != "" {
			t.Errorf("class %q is of vendor %q", class, got)
		}
		if got := h.Boot(client, base); got.Options != nil || got.Next.IsValid() {
			t.Errorf("class %q gets %+v", class, got)
		}
	}
	client.VendorClass = "ACME"
	h.HTTPPort = 80
	if got := h.Boot(client, base).Options[0]; string(got.Data) != "http://192.0.2.1/new" {
		t.Errorf("got %q, want no port", got.Data)
	}
}

func TestRescanEnds(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	write(t, filepath.Join(h.Dir, "acme-1.0"), files(acme))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Rescan(ctx); !errors.Is(err, context.Canceled) || h.Plugins() != nil {
		t.Errorf("got %v and %v, want the context's error and no set", err, h.Plugins())
	}
	h.Dir += "-nowhere"
	if err := h.Rescan(t.Context()); err == nil {
		t.Error("a folder that isn't there is no error")
	}
}
