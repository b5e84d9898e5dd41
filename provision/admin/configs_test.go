package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

const planted = "s3cret-never-print"

type (
	params = provision.Params
	object = map[string]any
)

// office is the use cases of configs over stores in memory.
type office struct {
	*admin.Service
	phones []provision.Device
}

// some are the devices that a test lists.
type some struct {
	*provision.Memory
	list *[]provision.Device
}

func (s some) Devices(context.Context) ([]provision.Device, error) { return *s.list, nil }

func newOffice(plugins ...provision.Plugin) *office {
	o := &office{}
	store := provision.NewMemory()
	o.Service = &admin.Service{
		Leases: leases{&provisiontest.Leases{}}, Devices: some{store, &o.phones}, Configs: store,
		Plugins: pluginHost{provisiontest.PluginsOf(plugins...)}, Local: func(netip.Addr) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
	}
	return o
}

func desk() provision.Author { return provision.Author{Who: "desk", Why: "ticket 7"} }

func (o *office) save(t *testing.T, c provision.Config) provision.Config {
	t.Helper()
	c, err := o.SaveConfig(t.Context(), c, desk())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSaveConfig(t *testing.T) {
	t.Parallel()
	o := newOffice()
	base := o.save(t, provision.Config{ID: "base", Role: provision.RoleBase, Params: params{"admin_password": planted, "vlan_id": 20.0}})
	if base.Params["admin_password"] != provision.Secret(planted) || base.Params["vlan_id"] != int64(20) {
		t.Errorf("it was saved as %#v", base.Params)
	}
	o.save(t, provision.Config{ID: "passing", Transient: true})
	o.save(t, provision.Config{ID: "child", Parents: []provision.ConfigID{"base"}})
	for _, c := range []struct {
		name   string
		config provision.Config
		want   string // of the error
		kind   error
	}{
		{"all faults at once", provision.Config{
			ID: "../x", Role: "boss", Parents: []provision.ConfigID{"nobody", "passing", "child", "child"},
			Params: params{"vlan_id": int64(9999), "sip_lines": object{"1": object{"codecs": []any{"pcma", "g722", "mp3"}, "password": admin.MaskedSecret}}},
		}, `save config ../x: /id: want letters, digits and ._- only, at most 128, not "../x"` + "\n" +
			`/role: want base, default, autocreate or none, not "boss"` + "\n" +
			"/params/sip_lines/1/password: there is no secret yet that could be kept\n" +
			`/parents/0: there is no config "nobody"` + "\n" +
			"/parents/1: config passing is transient: it goes when no phone uses it any more\n" +
			"/parents/3: config child stands twice\n" +
			"/params/sip_lines/1/codecs/2: want one of pcma, pcmu, g722, g722.1, g723, g726-16, g726-24, g726-32, g726-40, g729, opus, ilbc, gsm, " +
			"amr, amr-wb, l16, not \"mp3\"\n/params/vlan_id: want 0 to 4094, not 9999", provision.ErrInvalid},
		{"itself", provision.Config{ID: "new", Parents: []provision.ConfigID{"new"}}, `there is no config "new"`, provision.ErrInvalid},
		{"a circle", provision.Config{ID: "base", Rev: 1, Parents: []provision.ConfigID{"child"}}, "base → child → base", provision.ErrInvalid},
		{"a role that is taken", provision.Config{ID: "new", Role: provision.RoleBase}, "", provision.ErrConflict},
		{"one that is there", provision.Config{ID: "base"}, "", provision.ErrConflict},
		{"a role that passes", provision.Config{ID: "new", Role: provision.RoleDefault, Transient: true}, "transient", provision.ErrInvalid},
	} {
		_, err := o.SaveConfig(t.Context(), c.config, desk())
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error\n%v\nwant %v with\n%s", c.name, err, c.kind, c.want)
		}
	}
	if _, err := o.SaveConfig(t.Context(), provision.Config{ID: "new"}, provision.Author{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("by nobody: %v", err)
	}
	base.Params = params{"admin_password": admin.MaskedSecret, "locale": "de_DE"}
	if base = o.save(t, base); base.Params["admin_password"] != provision.Secret(planted) {
		t.Errorf("a masked secret was saved as %q", base.Params["admin_password"].(provision.Secret).Reveal())
	}
	res, err := o.Flatten(t.Context(), "passing")
	if err != nil || res.From["locale"] != "base" {
		t.Errorf("flattened: %+v, %v", res, err)
	}
	if _, err := o.Flatten(t.Context(), "nobody"); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("flattened nobody: %v", err)
	}
}

// Who changes another value of a config at the same time loses nothing, unless the state that was edited is named.
func TestPatchConfig(t *testing.T) {
	t.Parallel()
	ctx, o := t.Context(), newOffice()
	first, err := o.SaveConfig(ctx, provision.Config{ID: "desk", Params: params{
		"vlan_id": 20, "ntp_ip": "192.0.2.1", "sip_lines": object{"1": object{"username": "4711", "password": planted}},
	}}, desk())
	if err != nil {
		t.Fatal(err)
	}
	patch := func(p params) admin.ConfigPatch { return admin.ConfigPatch{Params: &p} }
	var wg sync.WaitGroup
	for _, p := range []params{{"vlan_id": 21}, {"ntp_ip": nil}, {"sip_lines": object{"1": object{"display_name": "Hall"}}}, {"dns_ip": "192.0.2.53"}} {
		wg.Go(func() {
			if _, err := o.PatchConfig(ctx, "desk", 0, patch(p), admin.Write{By: desk()}); err != nil {
				t.Errorf("%v: %v", p, err)
			}
		})
	}
	wg.Wait()
	got, err := o.Config(ctx, "desk")
	want := params{"vlan_id": int64(21), "dns_ip": "192.0.2.53", "sip_lines": object{"1": object{
		"username": "4711", "password": provision.Secret(planted), "display_name": "Hall",
	}}}
	if diff := cmp.Diff(want, got.Params); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	var late *admin.StaleError
	if _, err := o.PatchConfig(ctx, "desk", first.Rev, patch(params{"vlan_id": 22}), admin.Write{By: desk()}); !errors.As(err, &late) {
		t.Errorf("an edit of what isn't there any more: %v", err)
	}
	label := "Desks"
	r, err := o.PatchConfig(ctx, "desk", 0, admin.ConfigPatch{Label: &label, Params: new(params)}, admin.Write{By: desk(), DryRun: true})
	if err != nil || r.Config.Label != label || len(r.Config.Params) != 0 || len(r.Changes) == 0 {
		t.Errorf("emptied: %+v, %v", r, err)
	}
	if now, _ := o.Config(ctx, "desk"); now.Label != "" || len(now.Params) == 0 {
		t.Errorf("a dry run made it %+v", now)
	}
	if _, err := o.PatchConfig(ctx, "nonesuch", 0, patch(nil), admin.Write{By: desk()}); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("one that isn't there: %v", err)
	}
}

func TestConfigHistory(t *testing.T) {
	t.Parallel()
	o := newOffice()
	c := o.save(t, provision.Config{ID: "c", Label: "one", Params: params{"admin_password": planted}})
	c.Label, c.Params = "two", params{"admin_password": "other", "locale": "de_DE"}
	o.save(t, c)
	list, err := o.ConfigHistory(t.Context(), "c")
	if err != nil || len(list) != 2 || list[0].By != desk() {
		t.Fatalf("history: %+v, %v", list, err)
	}
	diff := func(from, to uint64) string {
		d, err := o.DiffConfig(t.Context(), "c", from, to)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(d)
	}
	for _, x := range []struct {
		from, to uint64
		want     string
	}{
		{1, 2, `[{label "one" "two"} {params.admin_password "[secret]" "[secret]"} {params.locale  "de_DE"}]`},
		{0, 0, `[{label "one" "two"} {params.admin_password "[secret]" "[secret]"} {params.locale  "de_DE"}]`},
		{2, 1, `[{label "two" "one"} {params.admin_password "[secret]" "[secret]"} {params.locale "de_DE" }]`},
		{0, 1, `[{label "" "one"} {params.admin_password  "[secret]"}]`},
		{1, 9, "config c: there is no revision 9, or not any more: not found"},
		{9, 1, "config c: there is no revision 9, or not any more: not found"},
	} {
		if got := diff(x.from, x.to); got != x.want {
			t.Errorf("from %d to %d: got %s, want %s", x.from, x.to, got, x.want)
		}
	}
	if _, err := o.RestoreConfig(t.Context(), "c", 1, 1, desk()); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("restored over a state that nobody saw: %v", err)
	}
	if err := o.DeleteConfig(t.Context(), "c", provision.Author{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("deleted by nobody: %v", err)
	}
	if err := o.DeleteConfig(t.Context(), "c", desk()); err != nil {
		t.Fatal(err)
	}
	if got, want := diff(0, 3), `[{label "two" ""} {params.admin_password "[secret]" } {params.locale "de_DE" }]`; got != want {
		t.Errorf("the deletion: got %s, want %s", got, want)
	}
	back, err := o.RestoreConfig(t.Context(), "c", 1, 0, provision.Author{Who: "porter"})
	if err != nil || back.Label != "one" || back.Params["admin_password"] != provision.Secret(planted) {
		t.Errorf("restored: %+v, %v", back, err)
	}
	list, err = o.ConfigHistory(t.Context(), "c")
	if err != nil || len(list) != 4 || list[0].By != (provision.Author{Who: "porter", Why: "restores revision 1"}) {
		t.Errorf("history: %+v, %v", list, err)
	}
	if _, err := o.RestoreConfig(t.Context(), "c", 9, 1, desk()); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("restored what isn't there: %v", err)
	}
	if _, err := o.RestoreConfig(t.Context(), "nobody", 1, 0, desk()); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("restored nobody: %v", err)
	}
}

func TestPreview(t *testing.T) {
	t.Parallel()
	plugin := func(name provision.PluginID, head string) *provisiontest.Plugin {
		return &provisiontest.Plugin{
			T: t, Name: name, Boot: []provision.BootStep{{Proto: provision.HTTP, Path: "a.cfg"}},
			OnRoute: func(*provision.Request, provision.Identity) (provision.Route, bool) {
				return provision.Route{Template: "a", Class: provision.ClassSecret}, true
			},
			OnAnswer: func(_ context.Context, _ provision.Route, v *provision.View) (*provision.Answer, error) {
				return provisiontest.TextAnswer(fmt.Sprintf("%s %v %v %s\n", head, v.Params["locale"], v.Params["admin_password"], v.Base)), nil
			},
		}
	}
	o := newOffice(plugin("p", "v1"))
	base := o.save(t, provision.Config{ID: "base", Role: provision.RoleBase, Params: params{"locale": "de_DE", "admin_password": planted}})
	o.save(t, provision.Config{ID: "c"})
	d := provision.Device{ID: "d", Rev: 3, Plugin: "p", Pinned: true, Config: "c"}
	o.phones = []provision.Device{d}
	edited := base
	edited.Params = params{"locale": "it_IT", "admin_password": admin.MaskedSecret}
	moved := d
	moved.Override = params{"locale": "fr_FR"}
	stale := d
	stale.Rev = 2
	for _, x := range []struct {
		name   string
		change admin.Change
		want   string
		kind   error
	}{
		{"nothing", admin.Change{}, "", nil},
		{"a config", admin.Change{Configs: []provision.Config{edited}}, "d changed -v1 de_DE TOKEN +v1 it_IT TOKEN", nil},
		{"configs that name each other", admin.Change{Configs: []provision.Config{
			{ID: "c", Rev: 1, Parents: []provision.ConfigID{"fresh"}}, {ID: "fresh", Params: params{"locale": "nl_NL"}},
		}}, "d changed -v1 de_DE TOKEN +v1 nl_NL TOKEN", nil},
		{"a config's deletion", admin.Change{DeleteConfigs: []provision.ConfigID{"c"}}, "d breaks", nil},
		{"a phone", admin.Change{Devices: []provision.Device{moved}}, "d changed -v1 de_DE TOKEN +v1 fr_FR TOKEN", nil},
		{"a phone's deletion", admin.Change{DeleteDevices: []provision.DeviceID{"d"}}, "d removed -v1 de_DE TOKEN", nil},
		{"a new phone", admin.Change{Devices: []provision.Device{{ID: "e", Plugin: "p", Config: "c"}}}, "e added +v1 de_DE TOKEN", nil},
		{"a plugin", admin.Change{Plugins: []provision.Plugin{plugin("p", "v2")}}, "d changed -v1 de_DE TOKEN +v2 de_DE TOKEN", nil},
		{"no plugin", admin.Change{RemovePlugins: []provision.PluginID{"p"}}, "d removed -v1 de_DE TOKEN", nil},
		{"an edit that is late", admin.Change{Configs: []provision.Config{{ID: "c", Rev: 7}}}, "", provision.ErrConflict},
		{"a phone's edit that is late", admin.Change{Devices: []provision.Device{stale}}, "", provision.ErrConflict},
		{"an edit that may not be", admin.Change{Configs: []provision.Config{{ID: "c", Rev: 1, Params: params{"x": 1}}}}, "", provision.ErrInvalid},
		{"an override that may not be", admin.Change{Devices: []provision.Device{{ID: "e", Override: params{"x": 1}}}}, "", provision.ErrInvalid},
	} {
		b, err := o.Preview(t.Context(), x.change)
		if !errors.Is(err, x.kind) {
			t.Errorf("%s: error = %v, want %v", x.name, err, x.kind)
		}
		var got []string
		for _, p := range b.Changed {
			for _, f := range p.Files {
				got = append(got, string(p.Device), string(f.Change))
				for line := range strings.Lines(f.Diff) {
					if line[0] == '+' || line[0] == '-' {
						words := strings.Fields(line)
						got = append(got, words[0], words[1], "TOKEN")
						if words[2] == planted || !strings.HasPrefix(words[2], "[secret:") || words[3] != "192.0.2.1" {
							t.Errorf("%s: %s", x.name, line)
						}
					}
				}
			}
		}
		if diff := cmp.Diff(x.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", x.name, diff)
		}
	}
	if c, err := o.Config(t.Context(), "base"); err != nil || c.Rev != base.Rev {
		t.Errorf("a preview has changed %+v, %v", c, err)
	}
}
