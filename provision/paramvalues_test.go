package provision_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
)

// What people type for a parameter becomes a value of its type, which the check then takes.
func TestParseParam(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path, text string
		want       any // nil: it can't be
	}{
		{"ntp_ip", "192.0.2.9", "192.0.2.9"},
		{"ntp_enabled", "true", true},
		{"ntp_enabled", "perhaps", nil},
		{"vlan_id", "20", int64(20)},
		{"vlan_id", "20.5", nil},
		{"vlan_id", "", nil},
		{"sip_codecs", "g722, pcma", []any{"g722", "pcma"}},
		{"sip_codecs", "", []any{}},
		{"sip_lines.1.display_name", "Front, left", "Front, left"},
		{"sip_lines.1.codecs", "pcma", []any{"pcma"}},
		{"funckeys.7.line", "2", int64(2)},
		{"sip_lines", "x", nil},
		{"sip_lines.1", "x", nil},
	} {
		p := provision.ParamAt(tt.path)
		if p == nil {
			t.Errorf("there is no %s", tt.path)
			continue
		}
		got, err := p.Parse(tt.text)
		if tt.want == nil {
			if !errors.Is(err, provision.ErrInvalid) {
				t.Errorf("%s=%s: got %v, %v; want that it is invalid", tt.path, tt.text, got, err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s=%s: %v (-want +got):\n%s", tt.path, tt.text, err, diff)
		}
	}
	for _, path := range []string{"", "nonesuch", "ntp_ip.x", "sip_lines.1.nonesuch", "sip_lines.1.codecs.0", "X_own"} {
		if p := provision.ParamAt(path); p != nil {
			t.Errorf("%q is taken for %s", path, p.Name)
		}
	}
}
