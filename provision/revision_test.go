package provision_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

func TestDiffConfigs(t *testing.T) {
	t.Parallel()
	a := provision.Config{ID: "c", Rev: 1, Label: "old", Parents: []provision.ConfigID{"base"}, Params: params{
		"locale": "de_DE", "admin_password": provision.Secret(planted), "sip_codecs": []any{"pcma"}, "vlan_id": nil, "X_gone": object{"a": object{"b": int64(1)}},
		"sip_lines": object{"1": object{"username": "1"}, "2": object{"username": "2", "password": provision.Secret(planted)}}, "X_same": []any{1.5}, "X_kind": object{},
	}}
	b := provision.Config{ID: "c", Rev: 2, Label: "new", Role: provision.RoleBase, Locked: true, Params: params{
		"locale": "de_DE", "admin_password": provision.Secret("other"), "sip_codecs": []any{"pcma", "g722"}, "timezone": "UTC",
		"sip_lines": object{"1": object{"username": "1"}, "2": object{"username": "two", "password": provision.Secret(planted)}, "10": object{}},
		"X_same":    []any{1.5}, "X_kind": "text",
	}}
	want := []provision.Difference{
		{"label", `"old"`, `"new"`},
		{"parents", `["base"]`, `null`},
		{"role", `""`, `"base"`},
		{"locked", `false`, `true`},
		{"params.X_gone.a.b", `1`, ``},
		{"params.X_kind", `{}`, `"text"`},
		{"params.admin_password", `"[secret]"`, `"[secret]"`},
		{"params.sip_codecs", `["pcma"]`, `["pcma","g722"]`},
		{"params.sip_lines.2.username", `"2"`, `"two"`},
		{"params.sip_lines.10", ``, `{}`},
		{"params.timezone", ``, `"UTC"`},
		{"params.vlan_id", `null`, ``},
	}
	got := provision.DiffConfigs(&a, &b)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, d := range got {
		if strings.Contains(d.Old+d.New, planted) {
			t.Errorf("%s tells a secret", d.Path)
		}
	}
	if got := provision.DiffConfigs(&a, &a); got != nil {
		t.Errorf("from itself it differs in %v", got)
	}
}
