package provision_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
)

func TestInheritOver(t *testing.T) {
	t.Parallel()
	all := configs{
		"base":  config("below", params{"own": "base", "parent": "base", "base": "base"}),
		"below": config("", params{"base": "below", "below": "below"}),
		"p":     config("", params{"own": "p", "parent": "p"}),
		"named": config("p base", params{"own": "named"}),
		"x":     config("p", params{"own": "x"}),
		"loop":  config("loop", nil),
	}
	for _, c := range []struct {
		name     string
		base, id provision.ConfigID
		want     params
	}{
		{"lies lowest", "base", "x", params{"own": "x", "parent": "p", "base": "base", "below": "below"}},
		{"named among the parents", "base", "named", params{"own": "named", "parent": "p", "base": "base", "below": "below"}},
		{"itself", "base", "base", params{"own": "base", "parent": "base", "base": "base", "below": "below"}},
		{"none", "", "x", params{"own": "x", "parent": "p"}},
		{"alone", "below", "", params{"base": "below", "below": "below"}},
		{"nothing", "", "", params{}},
	} {
		got, err := provision.InheritOver(all.get, c.base, c.id)
		if diff := cmp.Diff(c.want, got.Params); diff != "" || err != nil {
			t.Errorf("%s: error %v, (-want +got):\n%s", c.name, err, diff)
		}
	}
	if _, err := provision.InheritOver(all.get, "loop", "x"); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("a base that is its own parent: error = %v", err)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	store := provision.NewMemory()
	for _, c := range []provision.Config{
		{ID: "site", Role: provision.RoleBase, Params: params{"locale": "de_DE", "timezone": "Europe/Berlin", "ntp_enabled": true}},
		{ID: "spare", Role: provision.RoleDefault, Params: params{"locale": "fr_FR"}},
		{ID: "own", Params: params{"sip_proxy_ip": "192.0.2.5", "ntp_ip": "192.0.2.6"}},
		{ID: "bad", Params: params{"vlan_id": int64(9999)}},
		{ID: "circle", Parents: []provision.ConfigID{"circle"}},
		{ID: "orphan", Parents: []provision.ConfigID{"gone"}},
	} {
		if _, err := store.PutConfig(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	get := func(d provision.Device, class provision.Class) (provision.Resolved, error, error) {
		return provision.Resolve(t.Context(), store, &d, class)
	}
	res, lacks, err := get(provision.Device{Config: "own", Override: params{"locale": "it_IT"}}, provision.ClassSecret)
	if err != nil || lacks != nil {
		t.Fatal(err, lacks)
	}
	for path, want := range map[string]provision.ConfigID{
		"locale": provision.LayerDevice, "timezone": "site", "sip_proxy_ip": "own", "sip_registrar_ip": provision.LayerDefault,
	} {
		if got := res.From[path]; got != want {
			t.Errorf("%s comes from %q, want %q", path, got, want)
		}
	}
	res, lacks, err = get(provision.Device{ID: "x"}, provision.ClassSite)
	if err != nil || res.Params["locale"] != "fr_FR" || lacks == nil || lacks.Error() != "ntp_ip: missing" {
		t.Errorf("without a config, for the site: %v, lacks %v, error %v", res.Params, lacks, err)
	}
	if _, _, err := get(provision.Device{ID: "x"}, provision.ClassSecret); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("without a config: error = %v", err)
	}
	for id, text := range map[provision.ConfigID]string{"bad": "config bad: vlan_id: want 0 to 4094", "circle": "circle → circle", "orphan": "orphan → gone", "no": "config no"} {
		_, _, err := get(provision.Device{ID: "x", Config: id}, provision.ClassSecret)
		if err == nil || errors.Is(err, provision.ErrNotFound) || !strings.Contains(err.Error(), text) {
			t.Errorf("config %s: error = %v, want one with %q that isn't ErrNotFound", id, err, text)
		}
	}
}

// Flattening is idempotent over a base, too: what comes of it, alone and over the same base, is the same again.
func TestInheritOverIdempotent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := configs{
			"base": {ID: "base", Params: drawParams(t, 2, "base")}, "x": {ID: "x", Params: drawParams(t, 2, "x")},
		}
		once, err := provision.InheritOver(all.get, "base", "x")
		if err != nil {
			t.Fatal(err)
		}
		all["x"] = provision.Config{ID: "x", Params: once.Params}
		twice, err := provision.InheritOver(all.get, "base", "x")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(once.Params, twice.Params); diff != "" {
			t.Fatalf("flattening twice:\n%s", diff)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	store := provision.NewMemory()
	for _, c := range []provision.Config{
		{ID: "base", Role: provision.RoleBase, Params: params{
			"locale": "de_DE", "timezone": "Europe/Berlin", "ntp_enabled": true, "ntp_ip": "192.0.2.1", "sip_transport": "tls",
		}},
		{ID: "site", Parents: []provision.ConfigID{"base"}, Params: params{
			"sip_proxy_ip": "pbx.example.com", "vlan_enabled": true, "vlan_id": int64(20), "admin_password": provision.Secret("x"),
			"sip_codecs": []any{"pcma", "g722"},
		}},
		{ID: "own", Parents: []provision.ConfigID{"site"}, Params: params{
			"sip_lines": object{"1": object{"username": "1001", "password": provision.Secret("x"), "display_name": "Reception"}},
			"funckeys":  object{"1": object{"type": "blf", "value": "1002", "label": "Desk"}, "2": object{"type": "park"}},
		}},
	} {
		if _, err := store.PutConfig(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	d := provision.Device{ID: "x", Config: "own", Override: params{"locale": "it_IT"}}
	b.ReportAllocs()
	for b.Loop() {
		res, _, err := provision.Resolve(b.Context(), store, &d, provision.ClassSecret)
		if err != nil {
			b.Fatal(err)
		}
		provision.Complete(res.Params)
	}
}
