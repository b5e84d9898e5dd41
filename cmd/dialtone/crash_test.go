package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sync/errgroup"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/sim"
	"github.com/dialtone-project/dialtone/web/api"
)

// TestMain lets the test binary be the program, too: under the name of dialtone.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dialtone": main})
}

// process is a daemon in a process of its own, which may be killed.
type process struct {
	t        testing.TB
	cmd      *exec.Cmd
	settings string
	state    string
	addr     netip.Addr
	out      *syncBuffer
}

// newProcess prepares a daemon on an address of its own.
func newProcess(t testing.TB) *process {
	t.Helper()
	dir := t.TempDir()
	n := nextAddr.Add(1)
	p := &process{t: t, addr: netip.AddrFrom4([4]byte{127, 98, byte(n >> 8), byte(n)}), state: filepath.Join(dir, "state")}
	_, site := configs.SandboxSite()
	site = bytes.Replace(site, []byte("server: 127.0.0.1"), []byte("server: "+p.addr.String()), 1)
	p.settings = filepath.Join(dir, "dialtone.yaml")
	for name, data := range map[string]string{
		filepath.Join(dir, "site.yaml"): string(site),
		p.settings: fmt.Sprintf("state: %s\nsite: %s\ndhcp: {relay: ['%s:%d']}\ntftp: {listen: '%s:%d'}\nhttp: {listen: '%s:%d'}\nconsole: {enabled: false}\n",
			p.state, filepath.Join(dir, "site.yaml"), p.addr, dhcpPort, p.addr, tftpPort, p.addr, httpPort),
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(p.kill)
	return p
}

// start runs the daemon until it can be asked.
func (p *process) start() {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.out = &syncBuffer{}
	p.cmd = exec.Command(self, "serve", "--settings", p.settings)
	p.cmd.Args[0] = "dialtone"
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		if _, err := p.cli("version"); err == nil && strings.Contains(p.out.String(), "msg=serving") {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the daemon doesn't come up:\n%s", p.out)
		}
	}
}

// kill ends the daemon as a power cut would end the process.
func (p *process) kill() {
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
}

func (p *process) cli(args ...string) (string, error) {
	var out, errs bytes.Buffer
	args = append(args, "--state", p.state)
	if code := run(p.t.Context(), args, func(string) string { return "" }, strings.NewReader(""), &out, &errs); code != 0 {
		return "", fmt.Errorf("exit %d: %s", code, errs.String())
	}
	return out.String(), nil
}

func (p *process) leases() map[string]string {
	p.t.Helper()
	out, err := p.cli("lease", "list", "--json")
	var list api.LeaseList
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	byMAC := make(map[string]string, len(list.Leases))
	byIP := make(map[string]string, len(list.Leases))
	for _, l := range list.Leases {
		if other, ok := byIP[l.IP]; ok {
			p.t.Errorf("%s is leased to both %s and %s", l.IP, other, l.Mac)
		}
		if other, ok := byMAC[l.Mac]; ok {
			p.t.Errorf("%s holds both %s and %s", l.Mac, other, l.IP)
		}
		byIP[l.IP], byMAC[l.Mac] = l.Mac, l.IP
	}
	return byMAC
}

// A daemon that is killed in the middle of 500 concurrent binds has, when it is started again, every lease that it
// acknowledged, and none twice.
func TestKilledWhileBinding(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	p.start()
	const phones = 500
	var mu sync.Mutex // guards acked
	acked := make(map[string]string, phones)
	var count atomic.Int32
	var group errgroup.Group
	enough := make(chan struct{})
	ctx, giveUp := context.WithCancel(t.Context())
	for i := range phones {
		group.Go(func() error {
			phone := &sim.Phone{
				HW: hwaddr.Addr{0x00, 0x1b, 0x54, 0x10, byte(i >> 8), byte(i)}, Timeout: time.Minute,
				Steps: []plugin.BootStep{{Ask: "dhcp", VendorClass: ciscoClass}},
				Wire:  sim.Wire{Server: netip.AddrPortFrom(p.addr, dhcpPort), Relay: netip.MustParseAddr("127.64.0.1")},
			}
			if r, err := phone.Boot(ctx); err == nil { // else the daemon was killed before this one was acknowledged
				mu.Lock()
				acked[phone.HW.String()] = r.Addr.String()
				mu.Unlock()
				if count.Add(1) == phones/3 {
					close(enough)
				}
			}
			return nil
		})
	}
	select {
	case <-enough:
	case <-time.After(time.Minute):
		t.Errorf("%d of %d phones got an address within a minute", count.Load(), phones)
	}
	p.kill()
	giveUp()
	_ = group.Wait() // the phones report no errors
	p.start()
	leases := p.leases()
	for mac, ip := range acked {
		if leases[mac] != ip {
			t.Errorf("%s was acknowledged %s; after the restart it holds %q", mac, ip, leases[mac])
		}
	}
	t.Logf("%d leases acknowledged, %d stored", len(acked), len(leases))
}

// A state whose store has gone is not taken for a new one: it is restored from a snapshot, or else refused.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	p.start()
	const mac = "00:1b:54:20:00:01"
	acked := p.boot(mac)
	stores := func(pattern string) []string {
		t.Helper()
		list, err := filepath.Glob(filepath.Join(p.state, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	// The first one comes half a minute after the start.
	for deadline := time.Now().Add(time.Minute); len(stores("*.db.1")) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no snapshot is made")
		}
		<-time.After(100 * time.Millisecond)
	}
	p.kill()

	// Damaged: the pages of the first half are overwritten; the lease may be saved or be that of the snapshot.
	db := stores("*.db")[0]
	data, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	clear(data[:len(data)/2])
	if err := os.WriteFile(db, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := p.cli("store", "check"); err == nil {
		t.Errorf("store check finds no damage: %s", out)
	}
	p.start()
	if !strings.Contains(p.out.String(), "was restored from") {
		t.Errorf("the log doesn't say that the store was restored:\n%s", p.out)
	}
	if again := p.boot(mac); again != acked {
		t.Errorf("after the restoration the phone gets %s, want %s", again, acked)
	}
	p.kill()

	// Gone, with all snapshots.
	for _, name := range append(stores("*.db.[0-9]"), db) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"serve", "--settings", p.settings}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	if code != exitFailure || !strings.Contains(errs.String(), db) {
		t.Errorf("serve without its store: exit %d, %s; want it to name %s", code, errs.String(), db)
	}
}

// boot has a simulated phone get an address.
func (p *process) boot(mac string) string {
	p.t.Helper()
	phone := &sim.Phone{
		HW: hwaddr.MustParse(mac), Timeout: 5 * time.Second,
		Steps: []plugin.BootStep{{Ask: "dhcp", VendorClass: ciscoClass}},
		Wire:  sim.Wire{Server: netip.AddrPortFrom(p.addr, dhcpPort), Relay: netip.MustParseAddr("127.64.0.1")},
	}
	r, err := phone.Boot(p.t.Context())
	if err != nil {
		p.t.Fatalf("boot: %v\n%s", err, p.out)
	}
	return r.Addr.String()
}
