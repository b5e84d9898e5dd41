package provision_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

// TestBehaviourConfigs: what the ancestor's own tests say of configs, kept or answered by something better.
func TestBehaviourConfigs(t *testing.T) {
	t.Parallel()
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	t.Run("U16", func(t *testing.T) { // but a number in quotes is no number: the value that is stored is the one that was checked
		t.Parallel()
		p := provision.Wrap(params{"ip": "192.0.2.1", "http_port": 8667.0, "locale": "fr_CA", "sip_lines": object{"1": object{
			"username": "u", "password": "p", "display_name": "d", "proxy_ip": "192.0.2.5",
		}}})
		if err := provision.Check(p); err != nil || p["sip_lines"].(object)["1"].(object)["proxy_ip"] != "192.0.2.5" {
			t.Errorf("%v: %v", p, err)
		}
		if got, want := text(provision.Check(params{"http_port": "8667"})), "http_port: want a whole number, not a text"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("U17", func(t *testing.T) {
		t.Parallel()
		got := text(provision.Check(params{"http_port": "x", "locale": "fr", "funckeys": object{"1": object{"type": "blf"}}}))
		want := "funckeys.1.value: missing: a key of type blf needs it\nhttp_port: want a whole number, not a text\nlocale: want a locale such as de_DE, not \"fr\""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("U18", func(t *testing.T) { // but it is the role that makes a config the parent of new ones, not a line that it has
		t.Parallel()
		w := newWorld(t)
		w.hold(addrA, aastraA, "AastraIPPhone6731i")
		_, o := w.ask(t, provision.Request{Proto: provision.TFTP, Peer: addrA, Path: "00085D112233.cfg"})
		c, err := w.memory.Config(t.Context(), o.Device.Config)
		if err != nil || !cmp.Equal(c.Parents, []provision.ConfigID{"guest"}) || c.ID == "guest" || !c.Transient {
			t.Fatalf("config %+v, %v", c, err)
		}
		res, err := provision.Inherit(func(id provision.ConfigID) (provision.Config, error) { return w.memory.Config(t.Context(), id) }, c.ID)
		if err != nil || res.From["sip_lines.1.username"] != "guest" {
			t.Errorf("its line 1 is from %q, %v", res.From["sip_lines.1.username"], err)
		}
		if list, err := w.memory.Revisions(t.Context(), c.ID); err != nil || len(list) != 1 || list[0].By.Who != "phone "+string(o.Device.ID) {
			t.Errorf("its history is %+v, %v", list, err)
		}
	})
	t.Run("U19", func(t *testing.T) { // a null isn't stripped: it unsets what lies beneath, and no file shows it
		t.Parallel()
		all := configs{
			"base": config("", params{"locale": "de_DE", "sip_lines": object{"2": object{"username": "u"}}, "X_list": []any{nil, "a"}}),
			"x":    config("base", params{"locale": nil, "sip_lines": object{"2": nil}}),
		}
		res, err := provision.Inherit(all.get, "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := provision.Check(res.Params); err != nil {
			t.Error(err)
		}
		got := provision.Complete(res.Params)
		if got["locale"] != nil || len(got["sip_lines"].(object)) != 0 || !cmp.Equal(got["X_list"], []any{nil, "a"}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("U20", func(t *testing.T) {
		t.Parallel()
		p := params{"m": object{"l": []any{object{"k": "v"}}}}
		p.Clone()["m"].(object)["l"].([]any)[0].(object)["k"] = "other"
		if diff := cmp.Diff(params{"m": object{"l": []any{object{"k": "v"}}}}, p); diff != "" {
			t.Errorf("a copy is not deep:\n%s", diff)
		}
	})
}

// TestFaultConfigs: each hole of the ancestor's schema.
func TestFaultConfigs(t *testing.T) {
	t.Parallel()
	t.Run("W-18", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			name string
			p    params
			want string // of the faults; empty: none
		}{
			{"VLAN 0 is one", params{"vlan_enabled": true, "vlan_id": int64(0)}, ""},
			{"VLAN 9999 isn't", params{"vlan_id": int64(9999)}, "vlan_id: want 0 to 4094"},
			{"PC port", params{"vlan_pc_port_id": int64(4095)}, "vlan_pc_port_id: want 0 to 4094"},
			{"priority", params{"vlan_priority": int64(8)}, "vlan_priority: want 0 to 7"},
			{"port", params{"sip_proxy_port": int64(0)}, "sip_proxy_port: want 1 to 65535"},
			{"locale's suffix", params{"locale": "fr_FRxyz"}, "locale: want a locale"},
			{"line's number", params{"sip_lines": object{"one": object{}}}, "sip_lines.one: want a number from 1 to 999"},
			{"line 0", params{"sip_lines": object{"0": object{}}}, "sip_lines.0: want a number from 1 to 999"},
			{"key 0", params{"funckeys": object{"0": object{"type": "park"}}}, "funckeys.0: want a number from 1 to 999"},
			{"line's password", params{"sip_lines": object{"1": object{"username": "u", "display_name": "d"}}}, "sip_lines.1.password: missing"},
			{"line's user", params{"sip_lines": object{"1": object{"password": "p", "display_name": "d"}}}, "sip_lines.1.username: missing"},
			{"line's name", params{"sip_lines": object{"1": object{"password": "p", "username": "u"}}}, "sip_lines.1.display_name: missing"},
			{"line's other keys", params{"sip_lines": object{"1": object{"password": "p", "username": "u", "display_name": "d", "x": 1}}}, "sip_lines.1.x: unknown"},
			{"a number as a text", params{"vlan_id": "443"}, "vlan_id: want a whole number"},
			{"a switch as a text", params{"ntp_enabled": "true"}, "ntp_enabled: want true or false"},
			{"reserved names", params{"XX_x": 1}, "XX_x: unknown parameter"},
		} {
			err := provision.Check(c.p)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, provision.ErrInvalid) || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
		}
	})
}
