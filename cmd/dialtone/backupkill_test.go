package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/sim"
	"github.com/dialtone-project/dialtone/web/api"
)

// booting is a phone that asks for an address and, with files, for what a Cisco 7940 can't do without.
func (p *process) booting(n int, files bool) *sim.Phone {
	steps := []plugin.BootStep{{Ask: "dhcp", VendorClass: ciscoClass, Options: []uint8{1, 3, 66, 150}}}
	if files {
		steps = append(steps, plugin.BootStep{Ask: "tftp", Path: "SEP{MAC}.cnf.xml", Required: true}, plugin.BootStep{Ask: "tftp", Path: "RINGLIST.XML"})
	}
	return &sim.Phone{
		HW: hwaddr.Addr{0x00, 0x1b, 0x54, 0x20, byte(n >> 8), byte(n)}, Model: "7941G", Timeout: time.Minute, Steps: steps, TFTPPort: tftpPort,
		Wire: sim.Wire{Server: netip.AddrPortFrom(p.addr, dhcpPort), Relay: netip.MustParseAddr("127.64.0.1")},
	}
}

// files boots phones and returns what each got: its address, and each file's sum.
func (p *process) files(phones int) map[string]string {
	p.t.Helper()
	got := make(map[string]string)
	for n := range phones {
		r, err := p.booting(n, true).Boot(p.t.Context())
		if err != nil {
			p.t.Fatalf("phone %s: %v", r.HW, err)
		}
		got[r.HW.String()] = r.Addr.String()
		for _, s := range r.Steps {
			if s.Ask == "tftp" {
				got[r.HW.String()+" "+s.What] = s.SHA256
			}
		}
	}
	return got
}

// acknowledged is what a daemon under load has said yes to.
type acknowledged struct {
	mu     sync.Mutex // guards what follows
	leases map[string]string
	edits  int // of the config "edited": its label is the last one's number
}

func (k *acknowledged) now() (leases map[string]string, edits int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.leases), k.edits
}

// load binds addresses and edits a config until the daemon is gone or ctx ends. Enough is closed when there is something to
// lose.
func (p *process) load(ctx context.Context, k *acknowledged, workers, enough int) (ready <-chan struct{}, wait func()) {
	var group errgroup.Group
	done := make(chan struct{})
	var once sync.Once
	check := func() { // with k.mu
		if len(k.leases) >= enough && k.edits > 0 {
			once.Do(func() { close(done) })
		}
	}
	for w := range workers {
		group.Go(func() error {
			for n := 256 + w; ctx.Err() == nil; n += workers {
				phone := p.booting(n, false)
				r, err := phone.Boot(ctx)
				if err != nil {
					return nil //nolint:nilerr // the daemon was killed before this one was acknowledged
				}
				k.mu.Lock()
				k.leases[phone.HW.String()] = r.Addr.String()
				check()
				k.mu.Unlock()
			}
			return nil
		})
	}
	file := filepath.Join(p.t.TempDir(), "edited.yaml")
	group.Go(func() error {
		for n := 1; ctx.Err() == nil; n++ {
			if err := os.WriteFile(file, fmt.Appendf(nil, "id: edited\nlabel: '%d'\nparams: {locale: de_DE}\n", n), 0o600); err != nil {
				return err
			}
			if _, err := p.cli("config", "set", "edited", file); err != nil {
				return nil //nolint:nilerr // as above
			}
			k.mu.Lock()
			k.edits = n
			check()
			k.mu.Unlock()
		}
		return nil
	})
	return done, func() {
		if err := group.Wait(); err != nil {
			p.t.Error(err)
		}
	}
}

// A backup is made while hundreds of phones a second get addresses and an administrator edits a config, and then the daemon
// is killed. What was acknowledged before the backup began is there on another machine, and phones get the same bytes.
func TestBackupThenKill(t *testing.T) {
	t.Parallel()
	const phones = 3
	p := newProcess(t)
	p.start()
	before := p.files(phones)
	dir := t.TempDir()
	file, key, wrong := filepath.Join(dir, "dialtone.backup"), filepath.Join(dir, "key"), filepath.Join(dir, "wrong")
	for name, text := range map[string]string{key: "seven green kettles\n", wrong: "seven green kettle\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := &acknowledged{leases: make(map[string]string)}
	ctx, giveUp := context.WithCancel(t.Context())
	begun := time.Now()
	ready, wait := p.load(ctx, k, 32, 500)
	select {
	case <-ready:
	case <-time.After(2 * time.Minute):
		t.Fatalf("in two minutes there were %d leases and %d edits", len(k.leases), k.edits)
	}
	leases, edits := k.now()
	rate := float64(len(leases)) / time.Since(begun).Seconds()
	if out, err := p.cli("backup", "create", file, "--key-file", key); err != nil {
		t.Fatalf("backup create: %v %s", err, out)
	}
	p.kill()
	giveUp()
	wait()
	later, _ := k.now()
	t.Logf("%d leases, %.0f a second, and %d edits before the backup; %d leases after it", len(leases), rate, edits, len(later)-len(leases))

	spoiltBackups(t, p, file, key, wrong)
	other := *p
	other.state = filepath.Join(dir, "state")
	text, err := os.ReadFile(p.settings)
	if err != nil {
		t.Fatal(err)
	}
	other.settings = filepath.Join(dir, "dialtone.yaml")
	if err := os.WriteFile(other.settings, bytes.ReplaceAll(text, []byte("state: "+p.state), []byte("state: "+other.state)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := other.cli("backup", "restore", file, "--key-file", key); err != nil {
		t.Fatalf("backup restore: %v %s", err, out)
	}
	other.start()
	t.Cleanup(other.kill)
	restored := other.leases()
	for mac, ip := range leases {
		if restored[mac] != ip {
			t.Errorf("%s was acknowledged %s before the backup; restored, it holds %q", mac, ip, restored[mac])
		}
	}
	out, err := other.cli("config", "show", "edited", "--json")
	var edited api.Config
	if err == nil {
		err = json.Unmarshal([]byte(out), &edited)
	}
	var label int
	if _, scanErr := fmt.Sscan(edited.Label, &label); err != nil || scanErr != nil || label < edits {
		t.Errorf("the config is at edit %q, want at least %d (%v)", edited.Label, edits, err)
	}
	if diff := cmp.Diff(before, other.files(phones)); diff != "" {
		t.Errorf("phones get something else (-before +restored):\n%s", diff)
	}
}

// spoiltBackups sees that no spoilt backup, and none with a wrong key, takes the place of the state, which stays as it is.
func spoiltBackups(t *testing.T, p *process, file, key, wrong string) {
	t.Helper()
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	state := func() map[string]string {
		sums := make(map[string]string)
		err := filepath.WalkDir(filepath.Dir(p.state), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				var data []byte
				data, err = os.ReadFile(path)
				sums[path] = string(data)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return sums
	}
	before := state()
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		data      []byte
		key, want string
	}{
		"truncated": {good[:len(good)*2/3], key, "damaged"}, "flipped": {flipped, key, "damaged"}, "wrong key": {good, wrong, "key"}, "empty": {nil, key, "damaged"},
	} {
		bad := filepath.Join(t.TempDir(), "bad.backup")
		if err := os.WriteFile(bad, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := p.cli("backup", "restore", bad, "--key-file", c.key, "--replace")
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("exit %d:", exitInvalid)) || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want exit %d and a sentence with %q", name, err, exitInvalid, c.want)
		} else {
			t.Logf("%s: %v", name, err)
		}
		if after := state(); !maps.Equal(after, before) {
			t.Errorf("%s: the state was touched", name)
		}
	}
}
