package plugins_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/plugins"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/golden"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

// hosted returns a host that has installed the plugins that ship, each of which has passed its golden requests alone.
func hosted(t *testing.T) *plugin.Host {
	t.Helper()
	h := &plugin.Host{Dir: t.TempDir(), HTTPPort: 8667, Check: golden.Check}
	if err := h.InstallBundled(t.Context(), plugins.Files()); err != nil {
		t.Fatal(err)
	}
	if err := h.Rescan(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range h.Statuses() {
		if !s.InForce || s.Problem != "" || len(s.Notes) > 0 {
			t.Errorf("%s: in force: %t, problem: %s, notes: %q", s.ID, s.InForce, s.Problem, s.Notes)
		}
	}
	return h
}

// TestDHCP tells what clients of the plugins' vendor classes are given to provision from.
func TestDHCP(t *testing.T) {
	t.Parallel()
	h := hosted(t)
	url := "http://192.0.2.1:8667"
	aastra := []network.Option{
		{Code: 43, Data: append(append([]byte{2, byte(len(url))}, url...), 3, 1, 0)},
		{Code: 66, Data: []byte(url)},
	}
	cisco := []network.Option{
		{Code: 66, Data: []byte("192.0.2.1")},
		{Code: 150, Data: []byte{192, 0, 2, 1}},
	}
	for _, c := range []struct {
		class string
		want  []network.Option
	}{
		{"AastraIPPhone6730i", aastra},
		{"AastraIPPhone53i", aastra},
		{"Cisco Systems, Inc. IP Phone CP-7941G\x00", cisco},
		{"Cisco Systems, Inc. IP Phone CP-7961G-GE\x00", cisco},
		{"Cisco Systems, Inc. IP Phone", cisco},
		{"Cisco Systems, Inc. IP Phone SPA504G", nil},
		{"Cisco Systems, Inc. IP Phone CP-8961\x00", nil},
		{"MSFT 5.0", nil},
		{"", nil},
	} {
		got := h.Boot(lease.Client{HW: hwaddr.MustParse("00:00:5e:00:53:01"), VendorClass: c.class}, netip.MustParseAddr("192.0.2.1"))
		slices.SortFunc(got.Options, func(a, b network.Option) int { return int(a.Code) - int(b.Code) })
		if diff := cmp.Diff(network.Boot{Options: c.want}, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%q: (-want +got)\n%s", c.class, diff)
		}
	}
}

// TestBoot demands that a plugin has a route for every file that its phones can't do without.
func TestBoot(t *testing.T) {
	t.Parallel()
	for _, p := range all(t) {
		if len(p.Boot()) == 0 || p.Boot()[0].Ask != "dhcp" {
			t.Errorf("%s: a phone boots by DHCP first", p.ID())
		}
		for _, model := range p.Models() {
			for _, s := range p.Boot() {
				if !s.Required {
					continue
				}
				asked := strings.NewReplacer("{MAC}", "00085D237301", "{mac}", "00085d237301", "{model}", model).Replace(s.Path)
				r, ok := p.Route(&provision.Request{Path: asked}, provision.Identity{})
				if !ok {
					t.Errorf("%s: a %s can't boot without %s, which has no route", p.ID(), model, asked)
				}
				if named := strings.Contains(s.Path, "{MAC}"); named != (r.Class == provision.ClassSecret) || named == r.HW.IsZero() {
					t.Errorf("%s: %s is of class %s, for %s", p.ID(), asked, r.Class, r.HW)
				}
			}
		}
	}
}

// TestOwnFiles shows two plugins that own the same paths, each with its own bytes there.
func TestOwnFiles(t *testing.T) {
	t.Parallel()
	a := load(t, "aastra-67xx-3.2.2").WithFirmware(map[string][]byte{"6730i.st": []byte("3.2.2")})
	b := load(t, "aastra-67xx-3.3.1").WithFirmware(map[string][]byte{"6730i.st": []byte("3.3.1")})
	for _, path := range []string{"aastra.cfg", "6730i.st", "00085D237301.cfg"} {
		view := provision.View{Device: provision.Device{HW: hwaddr.MustParse("00:08:5d:23:73:01"), Model: "6730i"}}
		x, y := fetch(t, a, path, view), fetch(t, b, path, view)
		if bytes.Equal(x, y) {
			t.Errorf("%s: both plugins answer %q", path, x)
		}
	}
}

// TestBare renders every template for a device of which nothing is configured, and for one whose every parameter is
// withheld or empty: the files must still be well formed.
func TestBare(t *testing.T) {
	t.Parallel()
	empty := provision.Params{
		"admin_username": "", "admin_password": "", "user_password": "", "timezone": "", "locale": "", "ntp_enabled": true, "ntp_ip": "",
		"sip_lines": map[string]any{"1": map[string]any{"username": "", "password": "", "display_name": ""}}, "vlan_enabled": true,
		"sccp_call_managers": map[string]any{"1": map[string]any{"ip": "", "port": nil}}, "syslog_enabled": true,
		"funckeys": map[string]any{"1": map[string]any{"type": "park"}},
	}
	for _, p := range all(t) {
		for _, params := range []provision.Params{nil, empty} {
			for _, model := range append(p.Models(), "") {
				facts, _ := p.Model(model)
				view := provision.View{
					Device: provision.Device{Plugin: p.ID(), HW: hwaddr.MustParse("00:08:5d:23:73:01"), Model: model},
					Params: params, Base: "192.0.2.1", Model: facts,
				}
				for _, s := range p.Boot() {
					if s.Ask == "dhcp" {
						continue
					}
					path := strings.NewReplacer("{MAC}", "00085D237301", "{model}", "6730i").Replace(s.Path)
					if r, ok := p.Route(&provision.Request{Path: path}, provision.Identity{}); ok && r.Template != "" {
						wellFormed(t, string(p.ID())+" "+path, r.Kind, fetch(t, p, path, view))
					}
				}
			}
		}
	}
}

// fetch returns the file that a plugin has at a path.
func fetch(t *testing.T, p *plugin.Plugin, path string, view provision.View) []byte {
	t.Helper()
	r, ok := p.Route(&provision.Request{Path: path}, provision.Identity{})
	if !ok {
		t.Fatalf("%s has no route for %s", p.ID(), path)
	}
	view.Device.Plugin, view.Params = p.ID(), provision.Complete(view.Params)
	a, err := p.Answer(context.WithoutCancel(t.Context()), r, &view)
	if err != nil {
		t.Fatalf("%s: %s: %v", p.ID(), path, err)
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wellFormed checks what a phone's parser would trip over.
func wellFormed(t *testing.T, name, kind string, data []byte) {
	t.Helper()
	if bytes.Contains(data, []byte("<no value>")) || bytes.Contains(data, []byte("<nil>")) || !bytes.HasSuffix(data, []byte("\n")) {
		t.Errorf("%s:\n%s", name, data)
	}
	switch kind {
	case "xml":
		d := xml.NewDecoder(bytes.NewReader(data))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Errorf("%s: %v\n%s", name, err, data)
				return
			}
		}
	case "line":
		for line := range strings.Lines(string(data)) {
			line = strings.TrimSuffix(line, "\n")
			key, value, ok := strings.Cut(line, ": ")
			if line != "" && line[0] != '#' && (!ok || key == "" || value == "" || strings.TrimSpace(line) != line) {
				t.Errorf("%s: %q is no setting", name, line)
			}
		}
	}
}
