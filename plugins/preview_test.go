package plugins_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
)

// fleet is an office of Aastra phones, each with a config of its own, as it is and with another proxy and password.
func fleet(tb testing.TB, n int) *provision.Comparison {
	tb.Helper()
	store := provision.NewMemory()
	base := provision.Config{ID: "base", Role: provision.RoleBase, Params: provision.Params{
		"timezone": "Europe/Berlin", "locale": "de_DE", "ntp_enabled": true, "ntp_ip": "192.0.2.1", "sip_proxy_ip": "192.0.2.5",
		"admin_password": provision.Secret("0ld-adm1n"),
	}}
	put := func(c provision.Config) provision.Config {
		c, err := store.PutConfig(context.Background(), c)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	base = put(base)
	var devices []provision.Device
	for i := range n {
		id := fmt.Sprintf("%04d", i)
		put(provision.Config{ID: provision.ConfigID(id), Params: provision.Params{
			"sip_lines": map[string]any{"1": map[string]any{"username": id, "password": provision.Secret("pw-" + id), "display_name": "Phone " + id}},
			"funckeys":  map[string]any{"1": map[string]any{"type": "blf", "value": "100", "label": "Reception"}},
		}})
		devices = append(devices, provision.Device{
			ID: provision.DeviceID(id), Rev: 1, HW: hwaddr.Addr{0, 8, 0x5d, 0, byte(i >> 8), byte(i)}, Vendor: "Aastra", Model: "6757i",
			Version: "3.3.1.4365", Plugin: "aastra-67xx-3.3.1", Config: provision.ConfigID(id), Label: "Phone " + id,
		})
	}
	set := provision.NewPluginSet(load(tb, "aastra-67xx-3.3.1"), load(tb, "aastra-67xx-3.2.2"))
	before := provision.Scene{Devices: devices, Configs: store, Plugins: set}
	after := before
	base.Params["sip_proxy_ip"], base.Params["admin_password"] = "192.0.2.6", provision.Secret("n3w-adm1n")
	after.Configs = provision.Suppose(store, []provision.Config{base}, nil)
	return &provision.Comparison{
		Before: before, After: after,
		Local: func(*provision.Device) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		HTTP:  func(a netip.Addr) string { return "http://" + a.String() },
	}
}

// A change of what all phones inherit changes the one file of each that shows it, and tells no secret.
func TestPreview(t *testing.T) {
	t.Parallel()
	const phones = 500
	b, err := fleet(t, phones).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b.Phones != phones || len(b.Changed) != phones || b.Files[provision.FileChanged] != phones || len(b.Files) != 1 {
		t.Fatalf("%d phones, %d changed, files %v; want one changed file of each of %d", b.Phones, len(b.Changed), b.Files, phones)
	}
	shown := 0
	for i, p := range b.Changed {
		f := p.Files[0]
		if want := "00085D" + fmt.Sprintf("%06X.cfg", i); f.Path != want || f.Change != provision.FileChanged {
			t.Fatalf("%s: %s %s, want %s", p.Device, f.Change, f.Path, want)
		}
		if f.Diff == "" {
			continue
		}
		shown++
		for _, line := range []string{"-sip line1 proxy ip: 192.0.2.5\n", "+sip line1 proxy ip: 192.0.2.6\n", "-admin password: [secret:", "+admin password: [secret:"} {
			if !strings.Contains(f.Diff, line) {
				t.Fatalf("%s: the difference lacks %q:\n%s", p.Device, line, f.Diff)
			}
		}
	}
	if shown != provision.DefaultDiffs {
		t.Errorf("%d differences are shown, want %d", shown, provision.DefaultDiffs)
	}
	for _, secret := range []string{"adm1n", "pw-"} {
		if strings.Contains(fmt.Sprintf("%+v", b), secret) {
			t.Errorf("a secret is told: %s", secret)
		}
	}
}

// BenchmarkPreview: what a change of a common config means to 1,000 phones, all of which it concerns.
func BenchmarkPreview(b *testing.B) {
	c := fleet(b, 1000)
	for b.Loop() {
		if _, err := c.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
