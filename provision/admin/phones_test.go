package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/provisiontest"
)

// site is all use cases over stores in memory.
type site struct {
	*admin.Service
	memory   *provision.Memory
	declared *declared
	table    *leaseTable
}

// leaseTable is a lease table that tests fill.
type leaseTable struct {
	mu   sync.Mutex // guards list
	list []lease.Lease
}

func (t *leaseTable) All() []lease.Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.list)
}

func (t *leaseTable) ByAddr(a netip.Addr) (lease.Lease, bool) {
	for _, l := range t.All() {
		if l.Addr == a && l.Active(time.Now()) {
			return l, true
		}
	}
	return lease.Lease{}, false
}

func (t *leaseTable) ByHW(hw hwaddr.Addr) (out []lease.Lease) {
	for _, l := range t.All() {
		if l.Client.HW == hw && l.Active(time.Now()) {
			out = append(out, l)
		}
	}
	return out
}

func (t *leaseTable) hold(addr, mac string, id network.ID) {
	t.list = append(t.list, lease.Lease{
		Addr: netip.MustParseAddr(addr), Network: id, State: lease.Bound, Origin: lease.Pool, Expiry: time.Now().Add(time.Hour),
		Client: lease.Client{HW: hwaddr.MustParse(mac)},
	})
}

// declared is a store of networks.
type declared struct {
	mu  sync.Mutex // guards what follows
	now network.Declared
	rev uint64
	set *network.Set
}

func (d *declared) Networks() *network.Set {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set
}

func (d *declared) LoadDeclared(context.Context) (network.Declared, uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now, d.rev, nil
}

func (d *declared) Declare(_ context.Context, to network.Declared, rev uint64) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if rev != d.rev {
		return 0, provision.ErrConflict
	}
	filled := to
	filled.Networks = slices.Clone(to.Networks)
	set, err := network.New(filled)
	if err != nil {
		return 0, err
	}
	d.now, d.set = to, set
	d.rev++
	return d.rev, nil
}

func (*declared) Unserved(set *network.Set) (out []admin.Unserved) {
	for _, n := range set.All() {
		if n.Interface == "eth9" {
			out = append(out, admin.Unserved{Interface: n.Interface, Why: "there is none"})
		}
	}
	return out
}

func newSite(t *testing.T) *site {
	t.Helper()
	x := &site{memory: provision.NewMemory(), declared: &declared{}, table: &leaseTable{}}
	gate, err := provision.OpenGate(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	plugin := func(id provision.PluginID) *provisiontest.Plugin { return &provisiontest.Plugin{T: t, Name: id} }
	x.Service = &admin.Service{
		Leases: x.table, Devices: x.memory, Configs: x.memory, Networks: x.declared, Gate: gate,
		Plugins:   pluginHost{provisiontest.PluginsOf(plugin("yealink-v86"), plugin("aastra-3.3"))},
		Sightings: provision.NewSightings(0), Journal: provision.NewJournal(0),
	}
	for _, c := range []provision.Config{{ID: "lobby"}, {ID: "office"}} {
		if _, err := x.SaveConfig(t.Context(), c, desk()); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

var (
	do  = admin.Write{By: desk()}
	dry = admin.Write{By: desk(), DryRun: true}
)

func (x *site) create(t *testing.T, f admin.PhoneFields) admin.Phone {
	t.Helper()
	r, err := x.CreatePhone(t.Context(), admin.NewPhone{PhoneFields: f}, do)
	if err != nil {
		t.Fatal(err)
	}
	return r.Phone
}

// faults are an error's, as text.
func faults(err error) []string {
	var f admin.Faults
	if !errors.As(err, &f) {
		return nil
	}
	return strings.Split(f.Error(), "\n")
}

func TestCreatePhone(t *testing.T) {
	t.Parallel()
	for _, mac := range []string{"00:15:65:AA:BB:CC", "001565aabbcc", "0015.65aa.bbcc", "00-15-65-aa-bb-cc"} {
		x := newSite(t)
		p := x.create(t, admin.PhoneFields{
			MAC: mac, Label: "lobby", Config: "lobby", Plugin: "yealink-v86", Pinned: true, Override: params{"vlan_id": 20.0, "admin_password": planted},
		})
		want := provision.Device{
			ID: "001565aabbcc", Rev: 1, HW: hwaddr.MustParse(mac), Label: "lobby", Config: "lobby", Plugin: "yealink-v86", Pinned: true,
			Override: params{"vlan_id": int64(20), "admin_password": provision.Secret(planted)}, State: provision.StateEnrolled, Created: p.Created,
		}
		got, err := x.memory.Device(t.Context(), p.ID)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v; device (-want +got):\n%s", mac, err, diff)
		}
	}
}

func TestCreatePhoneFaults(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	x.create(t, admin.PhoneFields{MAC: "00:15:65:00:00:01", Serial: "S1", UUID: "U1", Label: "taken"})
	if err := x.SetAside(t.Context(), "mac 00:15:65:00:00:07", "loud", "desk"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		phone admin.NewPhone
		want  []string
		kinds []error
	}{
		{"everything at once", admin.NewPhone{ID: "../x", State: "happy", PhoneFields: admin.PhoneFields{
			MAC: "00:15:65", Serial: "a\nb", Label: strings.Repeat("x", 300), Vendor: " blank", Plugin: "yealink-v85", Pinned: true, Config: "loby",
			Override: params{
				"vlan_id": 9999, "admin_pasword": "x", "user_password": admin.MaskedSecret,
				"sip_lines": object{"1": object{"codecs": []any{"g722", "mp3"}}}, "a.b/c": 1,
			},
			Options: object{"x\x00": 1},
		}}, []string{
			`/state: want enrolled, provisioned, suspicious or retired, not "happy"`,
			`/id: want letters, digits and ._- only, at most 128, not "../x"`,
			"/label: want at most 256 bytes, not 300",
			"/serial: want a text without control characters",
			"/vendor: want no blanks around it",
			`/mac: "00:15:65" is not a hardware address: want 12 hexadecimal digits like 00:15:65:aa:bb:cc`,
			"/options/x\x00: want a name without control characters",
			`/plugin: there is no plugin "yealink-v85" in force; did you mean yealink-v86?`,
			"/override/user_password: there is no secret yet that could be kept",
			"/override/a.b~1c: unknown parameter",
			"/override/admin_pasword: unknown parameter; did you mean admin_password?",
			"/override/sip_lines/1/codecs/1: want one of pcma, pcmu, g722, g722.1, g723, g726-16, g726-24, g726-32, g726-40, g729, opus, ilbc, gsm, amr, amr-wb, l16, not \"mp3\"",
			"/override/vlan_id: want 0 to 4094, not 9999",
			`/config: there is no config "loby"; did you mean lobby?`,
		}, []error{provision.ErrInvalid}},
		{"nobody", admin.NewPhone{}, []string{"/mac: a phone needs a MAC, a serial number or a UUID"}, []error{provision.ErrInvalid}},
		{"a group", admin.NewPhone{PhoneFields: admin.PhoneFields{MAC: "01:00:5e:00:00:01"}}, []string{"/mac: 01:00:5e:00:00:01 is the address of a group, not of a phone"}, []error{provision.ErrInvalid}},
		{"pinned to nothing", admin.NewPhone{PhoneFields: admin.PhoneFields{Serial: "9", Pinned: true}}, []string{"/pinned: there is no plugin that could be pinned"}, []error{provision.ErrInvalid}},
		{"another's keys", admin.NewPhone{ID: "001565000001", PhoneFields: admin.PhoneFields{MAC: "001565000001", Serial: "S1", UUID: "U1", Config: "x"}}, []string{
			`/config: there is no config "x"`, "/mac: it is that of phone 001565000001 (taken)", "/serial: it is that of phone 001565000001 (taken)",
			"/uuid: it is that of phone 001565000001 (taken)", "/id: there is a phone 001565000001 already",
		}, []error{provision.ErrInvalid, provision.ErrConflict}},
		{"set aside", admin.NewPhone{PhoneFields: admin.PhoneFields{MAC: "001565000007"}}, []string{"mac 00:15:65:00:00:07 is set aside; take it back first"}, []error{provision.ErrConflict}},
	} {
		for _, w := range []admin.Write{dry, do} {
			_, err := x.CreatePhone(t.Context(), c.phone, w)
			if diff := cmp.Diff(c.want, faults(err)); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s", c.name, diff)
			}
			for _, kind := range []error{provision.ErrInvalid, provision.ErrConflict} {
				if got, want := errors.Is(err, kind), slices.Contains(c.kinds, kind); got != want {
					t.Errorf("%s: is %q: got %t, want %t", c.name, kind, got, want)
				}
			}
		}
	}
	if _, err := x.CreatePhone(t.Context(), admin.NewPhone{PhoneFields: admin.PhoneFields{Serial: "9"}}, admin.Write{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("by nobody: %v", err)
	}
	if all, _ := x.memory.Devices(t.Context()); len(all) != 1 {
		t.Errorf("%d phones, want 1", len(all))
	}
}

func TestPatchPhone(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	p := x.create(t, admin.PhoneFields{MAC: "00:15:65:00:00:01", Override: params{
		"admin_password": planted, "vlan_id": 20, "sip_lines": object{"1": object{"username": "101", "password": planted}},
	}})
	r, err := x.PatchPhone(t.Context(), "0015.6500.0001", 0, admin.PhonePatch{
		Label: new("lobby"), Plugin: new(provision.PluginID("aastra-3.3")),
		Override: new(params{"vlan_id": nil, "sip_lines": object{"1": object{"username": "102", "password": admin.MaskedSecret}}}),
	}, do)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Changes {
		got = append(got, c.Path+" "+c.Old+" → "+c.New)
	}
	want := []string{
		`label  → "lobby"`, `override.sip_lines.1.username "101" → "102"`, "override.vlan_id 20 → ", "pinned  → true", `plugin  → "aastra-3.3"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	now, _ := x.memory.Device(t.Context(), p.ID)
	want2 := params{"admin_password": provision.Secret(planted), "sip_lines": object{"1": object{"username": "102", "password": provision.Secret(planted)}}}
	if diff := cmp.Diff(want2, now.Override); diff != "" || now.Rev != 2 {
		t.Errorf("revision %d, override (-want +got):\n%s", now.Rev, diff)
	}
	// What a phone has stays, though it isn't there any more.
	if _, err := x.PatchPhone(t.Context(), string(p.ID), 1, admin.PhonePatch{Label: new("x")}, do); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("a former revision: %v", err)
	}
	var late *admin.StaleError
	if _, err := x.UpdatePhone(t.Context(), string(p.ID), 1, admin.PhoneFields{MAC: "001565000001"}, dry); !errors.As(err, &late) || late.Rev != 2 {
		t.Errorf("a former revision: %v", err)
	}
	r, err = x.UpdatePhone(t.Context(), string(p.ID), 2, admin.PhoneFields{MAC: "00:15:65:00:00:02", Serial: "S"}, do)
	if d := r.Phone.Device; err != nil || d.ID != p.ID || d.Label != "" || d.Override != nil || d.Plugin != "" || d.Serial != "S" || d.HW[5] != 2 {
		t.Errorf("replaced by %+v, %v", r.Phone.Device, err)
	}
	if _, err := x.PatchPhone(t.Context(), "nobody", 0, admin.PhonePatch{}, do); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("patched nobody: %v", err)
	}
	if r, err := x.PatchPhone(t.Context(), string(p.ID), 0, admin.PhonePatch{}, do); err != nil || r.Phone.Rev != 3 || len(r.Changes) > 0 {
		t.Errorf("nothing: %+v, %v", r, err)
	}
}

func TestConfigConfirms(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	d, err := x.memory.PutDevice(t.Context(), provision.Device{ID: "d", Serial: "1", Auto: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := x.PatchPhone(t.Context(), "d", d.Rev, admin.PhonePatch{Config: new(provision.ConfigID("office"))}, dry)
	if err != nil || r.Phone.State != provision.StateEnrolled {
		t.Errorf("would be %q, %v; want enrolled", r.Phone.State, err)
	}
	if now, _ := x.memory.Device(t.Context(), "d"); now.Rev != 1 {
		t.Error("a dry run wrote")
	}
	if r, err = x.PatchPhone(t.Context(), "d", d.Rev, admin.PhonePatch{Config: new(provision.ConfigID("office"))}, do); err != nil || r.Phone.State != provision.StateEnrolled {
		t.Errorf("is %q, %v; want enrolled", r.Phone.State, err)
	}
}

// Two administrators edit a phone: one of them is told.
func TestTwoAdministrators(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	p := x.create(t, admin.PhoneFields{MAC: "00:15:65:00:00:01"})
	for rev := p.Rev; rev < 20; rev++ {
		var wg sync.WaitGroup
		var errs [2]error
		for i, name := range []string{"desk", "porter"} {
			wg.Go(func() {
				_, errs[i] = x.UpdatePhone(t.Context(), string(p.ID), rev, admin.PhoneFields{MAC: "001565000001", Label: name + strings.Repeat("!", int(rev))}, do)
			})
		}
		wg.Wait()
		var late *admin.StaleError
		if (errs[0] == nil) == (errs[1] == nil) || !errors.As(errors.Join(errs[:]...), &late) {
			t.Fatalf("got errors %v, want one of a stale revision", errs)
		}
	}
	// Those that don't care for revisions all come through.
	var wg sync.WaitGroup
	patches := []admin.PhonePatch{{Label: new("last")}, {Serial: new("S")}, {Remote: new(true)}, {Model: new("M")}}
	errs := make([]error, len(patches))
	for i, patch := range patches {
		wg.Go(func() { _, errs[i] = x.PatchPhone(t.Context(), string(p.ID), 0, patch, do) })
	}
	wg.Wait()
	d, _ := x.memory.Device(t.Context(), p.ID)
	if err := errors.Join(errs...); err != nil || d.Label != "last" || d.Serial != "S" || !d.Remote || d.Model != "M" {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestDeletePhones(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	if _, err := x.memory.AddDevice(t.Context(), provision.Device{ID: "d", Serial: "1", Config: "auto-d"}, provision.Config{ID: "auto-d", Transient: true}); err != nil {
		t.Fatal(err)
	}
	x.create(t, admin.PhoneFields{MAC: "00:15:65:00:00:01"})
	for _, w := range []admin.Write{dry, do} {
		got := map[string]error{}
		for _, v := range x.DeletePhones(t.Context(), []string{"d", "nobody", "00-15-65-00-00-01"}, w) {
			got[v.Key] = v.Err
		}
		if got["d"] != nil || got["00-15-65-00-00-01"] != nil || !errors.Is(got["nobody"], provision.ErrNotFound) {
			t.Errorf("verdicts %v", got)
		}
	}
	all, _ := x.memory.Devices(t.Context())
	configs, _ := x.ListConfigs(t.Context())
	if len(all) != 0 || len(configs) != 2 {
		t.Errorf("left: %v, %v", all, configs)
	}
	if _, err := x.DeletePhone(t.Context(), "d", 0, do); !errors.Is(err, provision.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	p := x.create(t, admin.PhoneFields{Serial: "S"})
	if _, err := x.DeletePhone(t.Context(), string(p.ID), 7, do); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("another revision: %v", err)
	}
}

func TestReplacePhone(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		x := newSite(t)
		old := x.create(t, admin.PhoneFields{
			MAC: "00:15:65:00:00:01", Serial: "S1", Label: "lobby", Config: "lobby", Vendor: "Yealink", Model: "T46U", Plugin: "yealink-v86",
			Override: params{"admin_password": planted},
		})
		if _, err := x.CreateNetwork(t.Context(), network.Network{
			ID: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"),
			Reservations: []network.Reservation{{HW: old.HW, Addr: netip.MustParseAddr("192.0.2.20")}},
		}, 0, do); err != nil {
			t.Fatal(err)
		}
		if known {
			if _, err := x.memory.AddDevice(t.Context(), provision.Device{ID: "n", Auto: true, HW: hwaddr.MustParse("001565000002"), Config: "auto-n"},
				provision.Config{ID: "auto-n", Transient: true}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := x.ReplacePhone(t.Context(), "lobby?", 0, admin.Replacement{MAC: "001565000002"}, do); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("replaced nobody: %v", err)
		}
		for _, w := range []admin.Write{dry, do} {
			r, err := x.ReplacePhone(t.Context(), string(old.ID), old.Rev, admin.Replacement{MAC: "00-15-65-00-00-02", Serial: "S2"}, w)
			if err != nil {
				t.Fatal(err)
			}
			d := r.New.Phone.Device
			if d.Label != "lobby" || d.Config != "lobby" || d.Override["admin_password"] != provision.Secret(planted) || d.Serial != "S2" ||
				d.State != provision.StateEnrolled || d.Model != "T46U" || d.Plugin != "yealink-v86" || known != (d.ID == "n") {
				t.Errorf("known %t, dry %t: the new one is %+v", known, w.DryRun, d)
			}
			if o := r.Old.Phone.Device; o.State != provision.StateRetired || o.Config != "" || o.Override != nil || o.HW != old.HW {
				t.Errorf("the old one is %+v", o)
			}
			if r.Networks == nil || r.Networks.Networks[0].Reservations[0].HW != d.HW {
				t.Errorf("networks: %+v", r.Networks)
			}
		}
		if got := x.declared.Networks().Reserved(netip.MustParseAddr("192.0.2.20")).HW; got != hwaddr.MustParse("001565000002") {
			t.Errorf("192.0.2.20 is reserved for %s", got)
		}
		if _, err := x.Config(t.Context(), "auto-n"); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("the new one's former config: %v", err)
		}
		_, err := x.ReplacePhone(t.Context(), string(old.ID), 0, admin.Replacement{MAC: "00-15-65-00-00-02"}, do)
		if got := faults(err); len(got) != 1 || !strings.HasPrefix(got[0], "/mac: it is that of phone") {
			t.Errorf("by a phone that is somebody's: %v", err)
		}
	}
}

// TestAudit: what is changed is described before it is, without secrets.
func TestAudit(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	p := x.create(t, admin.PhoneFields{MAC: "00:15:65:00:00:01", Label: "lobby", Override: params{"admin_password": planted, "user_password": planted}})
	entry := func(change func(context.Context) error) access.Entry {
		ctx, note := access.WithNote(t.Context(), access.Actor{Name: "desk"}, "x")
		if err := change(ctx); err != nil {
			t.Fatal(err)
		}
		e, _ := note.Take()
		if b, _ := json.Marshal(e); strings.Contains(string(b), planted) || strings.Contains(string(b), "other-secret") {
			t.Errorf("a secret in %s", b)
		}
		return e
	}
	e := entry(func(ctx context.Context) error {
		_, err := x.PatchPhone(ctx, string(p.ID), 0, admin.PhonePatch{Label: new("gate"), Override: new(params{"admin_password": "other-secret"})}, do)
		return err
	})
	var before, after map[string]any
	if err := errors.Join(json.Unmarshal(e.Before, &before), json.Unmarshal(e.After, &after)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(object{"admin_password": "[another secret]", "user_password": "[secret]"}, after["override"]); diff != "" || e.Object != "phone 001565000001" {
		t.Errorf("object %q, override (-want +got):\n%s", e.Object, diff)
	}
	if before["label"] != "lobby" || after["label"] != "gate" {
		t.Errorf("before %v, after %v", before, slices.Sorted(maps.Keys(after)))
	}
	if e := entry(func(ctx context.Context) error { _, err := x.DeletePhone(ctx, string(p.ID), 0, dry); return err }); e.Object != "" {
		t.Errorf("a dry run is in the audit: %+v", e)
	}
	if e := entry(func(ctx context.Context) error { _, err := x.DeletePhone(ctx, string(p.ID), 0, do); return err }); e.Object == "" || e.After != nil {
		t.Errorf("the deletion reads %+v", e)
	}
	a, b := x.create(t, admin.PhoneFields{Serial: "A"}), x.create(t, admin.PhoneFields{Serial: "B"})
	e = entry(func(ctx context.Context) error {
		return x.DeletePhones(ctx, []string{string(a.ID), "?", string(b.ID)}, do)[2].Err
	})
	var gone []any
	if err := json.Unmarshal(e.Before, &gone); err != nil || len(gone) != 2 {
		t.Errorf("several: %s, %v; want both", e.Before, err)
	}
	x.create(t, admin.PhoneFields{MAC: "00:15:65:00:00:03", Override: params{"admin_password": planted}})
	e = entry(func(ctx context.Context) error {
		_, err := x.ReplacePhone(ctx, "001565000003", 0, admin.Replacement{MAC: "001565000004"}, do)
		return err
	})
	if !strings.Contains(string(e.After), "00:15:65:00:00:04") {
		t.Errorf("a replacement reads %s", e.After)
	}
}

// racing lets something happen between the checks of a write and the write.
type racing struct {
	*provision.Memory
	first func()
}

func (r *racing) PutDevice(ctx context.Context, d provision.Device) (provision.Device, error) {
	if f := r.first; f != nil {
		r.first = nil
		f()
	}
	return r.Memory.PutDevice(ctx, d)
}

// TestLostRaces: what the store refuses, because somebody was faster, is told as if it had been known before.
func TestLostRaces(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	p := x.create(t, admin.PhoneFields{MAC: "00:15:65:00:00:01"})
	faster := &racing{Memory: x.memory}
	x.Devices = faster
	touch := func() {
		d := p.Device
		d.Version = "108.86.0.20"
		if _, err := x.memory.PutDevice(t.Context(), d); err != nil {
			t.Error(err)
		}
	}
	faster.first = touch
	var late *admin.StaleError
	_, err := x.PatchPhone(t.Context(), string(p.ID), p.Rev, admin.PhonePatch{Label: new("x")}, do)
	if !errors.As(err, &late) || late.Rev != 2 || late.Read != 1 {
		t.Errorf("a phone that has changed: %v", err)
	}
	p.Rev = 2
	faster.first = func() { p.Vendor = "Yealink"; touch() }
	if r, err := x.PatchPhone(t.Context(), string(p.ID), 0, admin.PhonePatch{Label: new("x")}, do); err != nil || r.Phone.Rev != 4 || r.Phone.Vendor != "Yealink" {
		t.Errorf("one whose revision doesn't matter: %+v, %v", r.Phone.Device, err)
	}
	faster.first = func() {
		if _, err := x.memory.PutDevice(t.Context(), provision.Device{ID: "other", Serial: "S"}); err != nil {
			t.Error(err)
		}
	}
	_, err = x.PatchPhone(t.Context(), string(p.ID), 4, admin.PhonePatch{Serial: new("S")}, do)
	if diff := cmp.Diff([]string{"/serial: it is that of phone other"}, faults(err)); diff != "" || !errors.Is(err, provision.ErrConflict) {
		t.Errorf("a serial that was free: %v; faults (-want +got):\n%s", err, diff)
	}
}
