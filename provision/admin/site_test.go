package admin_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

// described is a site of n phones.
func described(n int) admin.Site {
	s := admin.Site{
		Networks: network.Declared{
			Options: []network.Option{{Code: 42, Data: []byte{192, 0, 2, 1}}},
			Classes: []network.Class{
				{ID: "boot", Match: []network.Match{{VendorClass: []string{"PXE*"}}}, Refuse: true},
				{ID: "old", Match: []network.Match{{VendorClass: []string{"AB?"}}}},
			},
			Networks: []network.Network{{ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Probe: true, Configure: true}},
		},
		Configs: []provision.Config{
			{ID: "child", Parents: []provision.ConfigID{"site"}, Params: params{"vlan_id": int64(20)}},
			{ID: "lobby"},
			{ID: "office"},
			{ID: "site", Role: provision.RoleBase, Label: "All", Locked: true, Params: params{"admin_password": provision.Secret(planted)}},
		},
	}
	for i := range n {
		hw := hwaddr.Addr{0, 0x15, 0x65, 1, byte(i >> 8), byte(i)}
		s.Phones = append(s.Phones, provision.Device{
			ID: provision.DeviceID(hw.Join("")), HW: hw, Label: fmt.Sprintf("desk %d", i), Config: "child", Plugin: "yealink-v86", Pinned: i%2 == 0,
			Serial: fmt.Sprintf("S%d", i), State: provision.StateProvisioned, Created: time.Date(2026, 1, 2, 3, 4, 5, i, time.UTC),
			Override: params{"admin_password": provision.Secret(fmt.Sprint(planted, i))}, Remote: i%3 == 0, Port: "ge-0/0/1", Auto: true, Network: "voice",
		})
	}
	return s
}

// What is exported and applied to an empty appliance is exported from there, and to apply it again changes nothing.
func TestSiteRoundTrip(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	want := described(500)
	changes, err := x.ApplySite(t.Context(), want, false, do)
	if err != nil || len(changes) < 500 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	exported, err := x.ExportSite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y := newSite(t)
	if _, err := y.ApplySite(t.Context(), exported, false, do); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*site{x, y} {
		got, err := s.ExportSite(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want.Configs = []provision.Config{want.Configs[3], want.Configs[0], want.Configs[1], want.Configs[2]}
		if s == y {
			want = exported
		} else if ids := []provision.ConfigID{got.Configs[0].ID, got.Configs[1].ID}; ids[0] != "site" || ids[1] != "child" {
			t.Errorf("configs come as %v, want site before child", ids)
		} else {
			want = got
			want.Phones = described(500).Phones
			want.Networks = described(0).Networks
		}
		opts := cmp.Options{
			cmpopts.IgnoreFields(provision.Device{}, "Rev"), cmpopts.IgnoreFields(provision.Config{}, "Rev"), cmpopts.EquateEmpty(),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
			cmp.Comparer(func(a, b provision.Secret) bool { return a == b }),
		}
		if diff := cmp.Diff(want, got, opts); diff != "" {
			t.Errorf("export (-want +got):\n%s", diff)
		}
		if changes, err := s.ApplySite(t.Context(), exported, true, do); err != nil || len(changes) > 0 {
			t.Errorf("applied again: %v %v", changes, err)
		}
	}
}

func TestApplySiteChangesAndPrunes(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	if _, err := x.ApplySite(t.Context(), described(3), false, do); err != nil {
		t.Fatal(err)
	}
	s := described(2)
	s.Phones[0].Label, s.Phones[0].Serial, s.Phones[0].State = "reception", "", ""
	s.Phones[1].Override = params{"admin_password": provision.Secret(admin.MaskedSecret)}
	s.Configs[0].Role = provision.RoleBase // it goes to another
	s.Configs[0].Parents = nil
	s.Configs[3].Role = provision.RoleNone
	s.Configs = append(s.Configs[:1:1], s.Configs[3])
	s.Networks.Classes = s.Networks.Classes[:1]
	s.Networks.Classes[0].NUL, s.Networks.Classes[0].Refuse = true, false
	s.Networks.Options, s.Networks.File = nil, "boot"
	s.Networks.Networks[0].NoAutoconfigure, s.Networks.Networks[0].ShortenAt = true, 80
	want := []admin.SiteChange{
		{"change", "config", "child", []string{"parents", "role"}},
		{"change", "config", "site", []string{"role"}},
		{"remove", "config", "lobby", nil},
		{"remove", "config", "office", nil},
		{"change", "class", "boot", []string{"refuse", "nul"}},
		{"remove", "class", "old", nil},
		{"change", "network", "voice", []string{"shorten_at", "no_autoconfigure"}},
		{"change", "all networks", "", []string{"options", "file"}},
		{"change", "phone", "001565010000", []string{"label"}},
		{"remove", "phone", "001565010002", nil},
	}
	for _, w := range []admin.Write{dry, do} {
		got, err := x.ApplySite(t.Context(), s, true, w)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%v; changes (-want +got):\n%s", err, diff)
		}
	}
	if got, err := x.ApplySite(t.Context(), s, true, do); err != nil || len(got) > 0 {
		t.Errorf("again: %v %v", got, err)
	}
	d, err := x.memory.Device(t.Context(), "001565010000")
	if err != nil || d.Serial != "S0" || d.State != provision.StateProvisioned || d.Label != "reception" {
		t.Errorf("what was left out didn't stay: %+v %v", d, err)
	}
	d, err = x.memory.Device(t.Context(), "001565010001")
	if got, _ := d.Override["admin_password"].(provision.Secret); err != nil || got.Reveal() != planted+"1" {
		t.Errorf("the secret behind the mask is %q now, %v", got.Reveal(), err)
	}
}

// All that is wrong is told at once, with its place, and nothing is written.
func TestApplySiteFaults(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	s := described(4)
	s.Configs[0].Parents = []provision.ConfigID{"nobody"}
	s.Networks.Networks[0].Pools = []network.Pool{{First: netip.MustParseAddr("198.51.100.1"), Last: netip.MustParseAddr("198.51.100.9")}}
	s.Phones[0].Config = "nothing"
	s.Phones[1].Plugin = "yealink-v99"
	s.Phones[2].Serial = s.Phones[3].Serial
	s.Phones[3].Override = params{"admin_password": provision.Secret(admin.MaskedSecret)}
	_, err := x.ApplySite(t.Context(), s, false, do)
	got := strings.Join(faults(err), "\n")
	for _, want := range []string{
		"/configs/0/parents/0: config child: there is no config", "/networks/0/pools/0: ", "/devices/0/config: ", "/devices/1/plugin: ",
		"/devices/3: there is another phone with the same sn: S3", "/devices/3/override/admin_password: there is no secret yet",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("faults lack %q:\n%s", want, got)
		}
	}
	after, err := x.ExportSite(t.Context())
	if err != nil || len(after.Phones)+len(after.Networks.Networks) > 0 || len(after.Configs) != 2 {
		t.Errorf("something was written: %+v %v", after, err)
	}
	if _, err := x.ApplySite(t.Context(), described(1), true, admin.Write{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("nobody applies: %v, want ErrInvalid", err)
	}
}
