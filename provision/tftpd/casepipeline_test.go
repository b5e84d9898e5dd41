package tftpd

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// pipelineCases are those that the pipeline and its plugins answer, tried through the front end.
func pipelineCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"T-RRQ-06": directory,
		"T-RRQ-13": func(t *testing.T) { inverted(t, "T-RRQ-13", folded) },
		"T-RRQ-14": nothingOutside,
		"T-RRQ-15": nothingOutside,
		"T-RRQ-16": linksOut,
		"T-RRQ-21": brokenTemplate,
		"T-RRQ-24": wellKnown,
		"T-RRQ-25": walk,
	}
}

const planted = "s3cret-never-print"

const manifest = `format: 1
version: 1.0.0
vendor: Acme
extract:
  - {field: path, regexp: '^SEP(?P<mac>[0-9A-F]{12})\.cnf\.xml$', set: {vendor: Acme, model: T1}}
models:
  T1: {lines: 1}
routes:
  - {path: 'SEP{MAC}.cnf.xml', template: device.tmpl, kind: xml, class: secret}
  - {path: SEPDefault.cnf.xml, file: default.xml, class: public}
  - {path: endless.cfg, template: endless.tmpl, kind: line, class: public}
  - {path: 'rings/*', file: '{path}', class: public}
  - {path: '*.img', firmware: true}
`

var phone = hwaddr.MustParse("00:08:5d:11:22:33")

// office is a server with a real pipeline and a plugin of files. Its phone has a lease at 127.0.0.2.
type office struct {
	*Server
	gate *provision.Gate
	dir  string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{dir: t.TempDir()}
	for name, content := range map[string]string{
		"tftp/plugin.yaml":               manifest,
		"tftp/templates/device.tmpl":     "<device><secret>{{.Params.admin_password}}</secret></device>\n",
		"tftp/templates/endless.tmpl":    "{{range 1000000000}}x{{end}}\n",
		"tftp/files/default.xml":         "<default/>",
		"tftp/files/rings/a.raw":         "ring",
		"tftp-secret/f":                  "outside",
		"tftp/files/rings-secret/secret": "sibling",
		"fw/f.img":                       "firmware",
	} {
		write(t, filepath.Join(o.dir, name), content)
	}
	p, err := o.load(t)
	if err != nil {
		t.Fatal(err)
	}
	memory := provision.NewMemory()
	if _, err := memory.PutConfig(t.Context(), provision.Config{ID: "c", Params: provision.Params{
		"admin_password": provision.Secret(planted),
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := memory.PutDevice(t.Context(), provision.Device{
		ID: "a", HW: phone, Vendor: "Acme", Model: "T1", Plugin: "acme", Config: "c", State: provision.StateProvisioned,
	}); err != nil {
		t.Fatal(err)
	}
	if o.gate, err = provision.OpenGate(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	leases := &provisiontest.Leases{}
	leases.Hold(netip.MustParseAddr("127.0.0.2"), lease.Client{HW: phone})
	o.Server = start(t, &provision.Pipeline{
		Leases: leases, Devices: memory, Configs: memory, Plugins: provisiontest.PluginsOf(p), Gate: o.gate,
		PolicyFor: func(netip.Addr) provision.Policy {
			return provision.Policy{Network: "voice", AutoAdd: provision.AddRecognised, Guard: provision.GuardLegacy}
		},
		Journal: provision.NewJournal(100), Sightings: provision.NewSightings(10),
	}, func(s *Server) { s.PeerTransfers = 1000 })
	return o
}

// load reads the plugin from its folders.
func (o *office) load(t *testing.T) (*plugin.Plugin, error) {
	t.Helper()
	var roots [2]fs.FS
	for i, name := range []string{"tftp", "fw"} {
		root, err := os.OpenRoot(filepath.Join(o.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = root.Close() })
		roots[i] = root.FS()
	}
	return plugin.Load("acme", plugin.Dirs{Plugin: roots[0], Firmware: roots[1]})
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o750), os.WriteFile(name, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// get fetches a file from an address of ours.
func (o *office) get(t *testing.T, from, name string) (string, error) {
	t.Helper()
	got, _, err := dialFrom(t, o.Server, from).fetch(rrq(name, "octet"))
	return string(got), err
}

var missing = wireError{1, "File not found"}

// directory: a folder is no file.
func directory(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, name := range []string{".", "rings", "rings/", "/", "./rings/."} {
		if got, err := o.get(t, "127.0.0.2", name); !errors.Is(err, missing) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// folded: a name in other letters than the plugin's. The case wants it looked up again without regard to them.
func folded(t *testing.T) error {
	t.Helper()
	o := newOffice(t)
	if got, err := o.get(t, "127.0.0.2", "SEPDefault.cnf.xml"); err != nil || got != "<default/>" {
		t.Errorf("got %q, %v", got, err)
	}
	_, err := o.get(t, "127.0.0.2", "sepdefault.CNF.XML")
	return err
}

// nothingOutside: no name leads out of the plugin's folders.
func nothingOutside(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if got, err := o.get(t, "127.0.0.2", "rings/a.raw"); err != nil || got != "ring" {
		t.Errorf("inside: got %q, %v", got, err)
	}
	for _, name := range []string{
		"../tftp-secret/f", "rings/../../../tftp-secret/f", "rings/../rings-secret/secret", `rings\..\rings-secret\secret`,
		"rings/%2e%2e/rings-secret/secret", "rings/\xc0\xae\xc0\xae/rings-secret/secret", "rings-secret/secret",
		"../tftp-secret/f.img", "/etc/passwd", "rings//etc/passwd",
	} {
		if got, err := o.get(t, "127.0.0.2", name); !errors.Is(err, missing) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// linksOut: a plugin with a link out of its folder isn't even loaded.
func linksOut(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, name := range []string{"tftp/files/rings/passwd", "tftp/files/up"} {
		at := filepath.Join(o.dir, name)
		if err := os.Symlink("/etc/passwd", at); err != nil {
			t.Skip(err)
		}
		if _, err := o.load(t); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s: got %v, want that it is a link", name, err)
		}
		_ = os.Remove(at)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(o.dir, "fw", "p.img")); err != nil {
		t.Skip(err)
	}
	if got, err := o.get(t, "127.0.0.2", "p.img"); !errors.Is(err, missing) {
		t.Errorf("got %q, %v", got, err)
	}
}

// brokenTemplate: a render without end is a failure that passes, and the phone is told soon.
func brokenTemplate(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if got, err := o.get(t, "127.0.0.2", "endless.cfg"); !errors.Is(err, wireError{0, "Temporary failure, try again"}) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// wellKnown: who is nobody gets none of the names that every scanner tries.
func wellKnown(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, name := range []string{
		"ConfigFileCacheList.txt", "BinFileCacheList.txt", "XMLDefault.cnf.xml", "SPDefault.cnf.xml", "SIPDefault.cnf",
		"jabber-config.xml", "CTLFile.tlv", "ITLFile.tlv", "ITLSEP00085D112233.tlv", "plugin.yaml", "templates/device.tmpl",
	} {
		if got, err := o.get(t, "127.0.0.99", name); !errors.Is(err, missing) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	// A source that isn't known to have one of the plugin's phones isn't its client at all.
	if got, err := o.get(t, "127.0.0.99", "SEPDefault.cnf.xml"); !errors.Is(err, missing) {
		t.Errorf("a stranger: got %q, %v", got, err)
	}
	if got, err := o.get(t, "127.0.0.2", "SEPDefault.cnf.xml"); err != nil || got != "<default/>" {
		t.Errorf("the phone: got %q, %v", got, err)
	}
}

// walk: somebody goes through all phones of a vendor, from forty ports at a time. The same source is locked for HTTP,
// which asks the same pipeline. The phone gets its file meanwhile.
func walk(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var wg sync.WaitGroup
	for part := range 40 {
		wg.Go(func() {
			for i := part; i < 4096; i += 40 {
				hw := hwaddr.Addr{0, 0x08, 0x5d, 0x11, 0x20 + byte(i>>8), byte(i)}
				got, _ := o.get(t, "127.0.0.9", fmt.Sprintf("SEP%s.cnf.xml", strings.ToUpper(hw.Join(""))))
				if strings.Contains(got, planted) {
					t.Errorf("%v: got the secret", hw)
				}
			}
		})
	}
	for range 10 {
		if got, err := o.get(t, "127.0.0.2", "SEP00085D112233.cnf.xml"); err != nil || !strings.Contains(got, planted) {
			t.Errorf("the phone: got %q, %v", got, err)
		}
	}
	wg.Wait()
	if got := o.gate.Alarms(); len(got) != 1 || got[0].Kind != provision.AlarmLocked {
		t.Errorf("alarms: got %+v, want one", got)
	}
	pipeline, ok := o.Handler.(*provision.Pipeline)
	if !ok {
		t.Fatal("no pipeline")
	}
	_, out := pipeline.Handle(t.Context(), &provision.Request{
		Proto: provision.HTTP, Peer: netip.MustParseAddr("127.0.0.9"), Path: "SEP00085D112233.cnf.xml",
	})
	if out.Err == nil {
		t.Error("over HTTP the source gets the file")
	}
}
