package main

import (
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
)

// What the shipped example declares is valid, and means what its comments say.
func TestExampleNetworks(t *testing.T) {
	t.Parallel()
	c, err := readSite(configs.ExampleSite())
	if err != nil {
		t.Fatal(err)
	}
	s := c.networks
	for _, w := range s.Warnings() {
		t.Errorf("warning: %s", w.Text)
	}
	voice := s.Get("voice")
	if voice.ShortenAt != 80 || !voice.NoAutoconfigure {
		t.Errorf("leases are shortened at %d %%, and who gets none is told so: %t", voice.ShortenAt, voice.NoAutoconfigure)
	}
	choice := s.Choose(voice, network.Facts{HW: hwaddr.MustParse("00:08:5d:aa:bb:01"), Interface: "eth0"})
	var got string
	for _, o := range choice.Options {
		if o.Code == 43 {
			got = string(o.Data)
		}
	}
	if want := "\x02\x17http://192.0.2.1/Aastra\x03\x01\x00"; got != want {
		t.Errorf("option 43 of an Aastra phone is %q, want %q", got, want)
	}
	if len(choice.Pools) != 1 || choice.Network != voice {
		t.Errorf("pools %v of %s, want the one for everybody of voice", choice.Pools, choice.Network.ID)
	}
	if next, ok := choice.After(); !ok || next.Network.ID != "voice-more" {
		t.Errorf("after voice there is %+v", next.Network)
	}
	for class, want := range map[string]string{"snom720": "", "MSFT 5.0": "class strangers: refused"} {
		f := network.Facts{HW: hwaddr.MustParse("00:04:13:aa:bb:01"), VendorClass: class, Interface: "eth1"}
		if got := s.Choose(s.Get("warehouse"), f).Refuse; got != want {
			t.Errorf("%s on eth1: refused with %q, want %q", class, got, want)
		}
	}
}

// Faults that only the whole shows have the line of their item, and of the one that it clashes with.
func TestNetworkFaultsHaveLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, file, want string }{
		{
			"D-RSV-04", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  reservations:\n  - {mac: '00:15:65:00:00:01', ip: 192.0.2.9}\n  - {mac: '00:15:65:00:00:02', ip: 192.0.2.9}\n",
			"s.yaml:6: network v: 192.0.2.9 is reserved for both 00:15:65:00:00:01 and 00:15:65:00:00:02; keep one (the other is in line 5)",
		},
		{"D-CLS-05", "classes:\n- name: a\n  match:\n  - vendor_class: b\n  - vendor_class: 're:('\n", "s.yaml:5: class a: match 2: vendor class: \"(\" is no regular expression"},
		{"D-NET-15", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  pools:\n  - 192.0.2.9-192.0.3.1\n", "s.yaml:5: network v: pool 192.0.2.9-192.0.3.1 reaches beyond"},
		{"option", "all_networks:\n  options:\n    router: nowhere\n", "s.yaml:3: all networks: option 3 (router): \"nowhere\" is not an IPv4 address"},
		{"option of a pool", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  pools:\n  - first: 192.0.2.9\n    last: 192.0.2.10\n    options:\n      66: 'hex:'\n", "s.yaml:8: network v: pool 192.0.2.9-192.0.2.10: option 66 (tftp-server-name): it is empty"},
		{"always nothing", "all_networks: {options: {66: {always: true}}}\n", "option 66 (tftp-server-name): the text is empty"},
		{"sub-option without a kind", "all_networks: {options: {43: {2: text a, 3: http://192.0.2.1/}}}\n", "write it before the value"},
		{"mac", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  reservations:\n  - {mac: x, ip: 192.0.2.9}\n", "s.yaml:5: network v: reservation of 192.0.2.9: "},
		{"client id", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  reservations:\n  - {client_id: 'hex:0', ip: 192.0.2.9}\n", "s.yaml:5: network v: reservation of 192.0.2.9: "},
		{"relay", "classes:\n- {name: a, match: {relay: router}}\n", "s.yaml:2: class a: relay \"router\" is no address"},
		{"asks", "classes:\n- {name: a, match: {asks: nothing}}\n", "s.yaml:2: class a: option \"nothing\" is unknown"},
		{"enterprise", "classes:\n- {name: a, match: {enterprise: acme}}\n", "s.yaml:2: class a: \"acme\" is not an enterprise's number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := readSite("s.yaml", []byte(tt.file)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
}
