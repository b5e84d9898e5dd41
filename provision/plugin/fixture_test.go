package plugin_test

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// acme is a small plugin that has one of everything.
const acme = `format: 1
version: 1.0.0
vendor: Acme
firmware: '^3\.'
models:
  T1: {lines: 2, function_keys: 8, protocol: sip, type: deskphone, load: img1, ratio: 1.5, led: true}
  "20": {lines: 1}
extract:
  - {field: user-agent, regexp: '^Acme (?P<model>\S+) (?P<version>\S+) (?P<mac>\S+)$', map: {model: {t1: T1}}}
  - {field: path, regexp: '^(?P<mac>[0-9a-f]{12})\.cfg$'}
  - {field: path, regexp: '^acme\.cfg$', set: {vendor: Acme}}
  - {field: vendor-class, regexp: '^ACME(?P<n>[0-9]+)$', set: {model: 'T${n}'}}
dhcp:
  - vendor_class: ACME*
    options:
      66: '{{.HTTP}}/x'
      150: ['{{.Base}}', 192.0.2.9]
      43: {1: '{{.MAC}}', 2: true, 3: 7, 4: 'uint32:12', 5: 'addr:{{.Base}}', 6: 'hex:0a0b', 7: 'text:uint8:'}
    next: '{{.Base}}'
    file: boot.img
    force: true
routes:
  - {path: ['{mac}.cfg', 'x/{mac}.cfg'], template: device.tmpl, kind: line, class: secret}
  - {path: common.cfg, template: common.tmpl, kind: line, class: site, type: text/x-acme}
  - {path: 'rings/*', file: '{path}', class: site}
  - {path: logo.png, file: logo.png}
  - {path: '*.img', firmware: true}
  - {path: '{model}.img', firmware: 'models/{name}'}
resync: {method: sip-notify, event: check-sync}
boot:
  - {ask: dhcp, vendor_class: 'ACME{model}', options: [66, 43]}
  - {ask: http, path: '{mac}.cfg', user_agent: Acme, required: true}
`

func files(manifest string) map[string]string {
	return map[string]string{
		"plugin.yaml":           manifest,
		"templates/device.tmpl": "name: {{.Device.Label}}\nmac: {{mac .Device.HW \"-\"}}\n{{template \"foot.tmpl\" .}}",
		"templates/common.tmpl": "base: {{.Base}}\nload: {{get .Model \"load\" \"none\"}}\n",
		"templates/foot.tmpl":   "end: 1\n",
		"files/logo.png":        "logo",
		"files/rings/a.wav":     "ring",
		"README.md":             "ignored",
		".git/config":           "ignored",
	}
}

func mapFS(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func with(extra map[string]string) map[string]string {
	all := files(acme)
	maps.Copy(all, extra)
	return all
}

func load(tb testing.TB, files map[string]string, dirs ...fs.FS) (*plugin.Plugin, error) {
	tb.Helper()
	d := plugin.Dirs{Plugin: mapFS(files)}
	if len(dirs) > 0 {
		d.Overlay = dirs[0]
	}
	if len(dirs) > 1 {
		d.Firmware = dirs[1]
	}
	return plugin.Load("acme-1.0", d)
}

func mustLoad(tb testing.TB, files map[string]string, dirs ...fs.FS) *plugin.Plugin {
	tb.Helper()
	p, err := load(tb, files, dirs...)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func write(tb testing.TB, dir string, files map[string]string) {
	tb.Helper()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o750); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// fetch routes a path and returns the file's text.
func fetch(tb testing.TB, p provision.Plugin, path string, v *provision.View) (string, error) {
	tb.Helper()
	r, ok := p.Route(&provision.Request{Path: path}, provision.Identity{})
	if !ok {
		return "", provision.ErrNotFound
	}
	if v == nil {
		v = &provision.View{Base: "192.0.2.1"}
	}
	a, err := p.Answer(tb.Context(), r, v)
	if err != nil {
		return "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if int64(len(b)) != a.Size && err == nil {
		tb.Errorf("%s: %d bytes, but its size is %d", path, len(b), a.Size)
	}
	return string(b), err
}
