package plugin_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

func TestBootOrder(t *testing.T) {
	t.Parallel()
	manifest := strings.Replace(acme, "boot:\n", "boot:\n  - {ask: tftp, path: 't20-{MAC-}.cfg', models: ['20']}\n", 1) +
		"  - {ask: tftp, path: '{model}.txt', if_missing: true}\n"
	p := mustLoad(t, files(manifest))
	phone := provision.Device{HW: hwaddr.Addr{0, 0x15, 0x65, 0xaa, 0xbb, 0xcc}, Model: "T1"}
	want := []provision.BootStep{
		{Proto: provision.DHCP},
		{Proto: provision.HTTP, Path: "001565aabbcc.cfg", Required: true},
		{Proto: provision.TFTP, Path: "T1.txt", IfMissing: true},
	}
	if diff := cmp.Diff(want, p.BootOrder(phone)); diff != "" {
		t.Errorf("a T1 (-want +got):\n%s", diff)
	}
	phone.Model = "20"
	if got := p.BootOrder(phone); len(got) != 4 || got[0].Path != "t20-00-15-65-AA-BB-CC.cfg" {
		t.Errorf("a T20's order begins with %+v, want its own file", got)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	hw := hwaddr.Addr{0, 0x15, 0x65, 0xaa, 0xbb, 0xcc}
	for text, want := range map[string]string{
		"y0000.cfg": "y0000.cfg", "{mac}": "001565aabbcc", "{MAC:}": "00:15:65:AA:BB:CC", "{mac-}.{model}": "00-15-65-aa-bb-cc.T1",
		"{what}": "{what}",
	} {
		if got := plugin.Expand(text, hw, "T1"); got != want {
			t.Errorf("Expand(%q) = %q, want %q", text, got, want)
		}
	}
}
