package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
)

func TestListLines(t *testing.T) {
	t.Parallel()
	x := newSite(t)
	line := func(user string, more ...any) map[string]any {
		m := map[string]any{"username": user, "password": "planted", "display_name": strings.ToUpper(user)}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1] //nolint:forcetypeassert // a key
		}
		return m
	}
	for _, c := range []provision.Config{
		{ID: "site", Role: provision.RoleBase, Params: provision.Params{"sip_proxy_ip": "192.0.2.5"}},
		{ID: "new", Role: provision.RoleDefault},
		{ID: "hall", Params: provision.Params{"sip_lines": map[string]any{
			"1": line("amy", "number", "101"), "2": line("hall", "enabled", false), "10": line("door", "registrar_ip", "192.0.2.6"),
		}}},
	} {
		if _, err := x.SaveConfig(t.Context(), c, desk()); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []provision.Device{
		{ID: "a", HW: hwaddr.MustParse("00:15:65:aa:bb:01"), Label: "Hall", Config: "hall"},
		{ID: "b", HW: hwaddr.MustParse("00:15:65:aa:bb:02"), Config: "hall", Override: provision.Params{"sip_lines": map[string]any{
			"1": map[string]any{"username": "bea", "proxy_ip": "192.0.2.7"}, "10": map[string]any{"label": "Bell"},
		}}},
		{ID: "c", Config: "lobby"},
		{ID: "d", Config: "gone"},
		{ID: "e"},
		{ID: "f", Override: provision.Params{"sip_lines": map[string]any{"1": line("fay")}}}, // it has yet to ask for anything
	} {
		if _, err := x.memory.PutDevice(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ sort, filter, want string }{
		{"", "", "a1 amy 192.0.2.5 true; a2 hall 192.0.2.5 false; a10 door 192.0.2.6 true; b1 bea 192.0.2.7 true; b2 hall 192.0.2.5 false; b10 door 192.0.2.6 true; f1 fay 192.0.2.5 true"},
		{"-position", "phone:a", "a10 door 192.0.2.6 true; a2 hall 192.0.2.5 false; a1 amy 192.0.2.5 true"},
		{"", "registrar:192.0.2.7", "b1 bea 192.0.2.7 true"},
		{"", "bell", "b10 door 192.0.2.6 true"},
		{"", "101", "a1 amy 192.0.2.5 true; b1 bea 192.0.2.7 true"},
		{"", "enabled:false 00:15:65:aa:bb:02", "b2 hall 192.0.2.5 false"},
	} {
		list, err := x.ListLines(t.Context(), admin.Page{Sort: c.sort, Filter: c.filter})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range list.Items {
			got = append(got, fmt.Sprintf("%s%d %s %s %t", l.Phone, l.Position, l.Username, l.Registrar, l.Enabled))
		}
		if got := strings.Join(got, "; "); got != c.want {
			t.Errorf("sort %q, filter %q: got\n%s, want\n%s", c.sort, c.filter, got, c.want)
		}
		if strings.Contains(fmt.Sprintf("%+v", list), "planted") {
			t.Error("a password is in the list")
		}
	}
}
