package configs

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSiteClasses(t *testing.T) {
	t.Parallel()
	file := `all_networks: {options: {6: 192.0.2.1}, next: 192.0.2.9, sname: pbx, file: boot}
classes:
  - name: aastra
    match:
      - vendor_class: 'AastraIPPhone*'
      - {mac: [00:08:5d, "08000f"], vendor_class: '', local_mac: false, known: true}
    options:
      43: {2: text http://192.0.2.1/a;b, 3: bool false}
      125: {3561: {1: text acs}, 1027: text id}
      66: {value: [a, b], always: true}
      12: {never: true}
      67: {value: {1: flag}}
    lease: {default: 10m, renew: 4m, rebind: 8m}
    next: 192.0.2.8
    sname: s
    file: f
    nul: true
    broadcast: true
    refuse: true
  - name: all
    match: {user_class: u, client_id: c, hostname: h, circuit: c, remote: r, interface: [eth0, eth1], vendor: v, relay: 192.0.2.0/24,
      asks: [66, tftp-server-name], options: {93: ['hex:0007', b]}, enterprise: [9, 3561], in: aastra, not: [x]}
shared: [{name: floor, options: {15: a}}]
networks:
  - name: voice
    prefix: 192.0.2.0/24
    shared: floor
    only: aastra
    not: [all]
    pools: [{first: 192.0.2.9, last: 192.0.2.10, only: [a], not: b, options: {66: x}, edges: true}]
    reservations: [{client_id: 'hex:01', ip: 192.0.2.2, lease: {max: 1h}, next: 192.0.2.1, sname: s, file: f}, {circuit: c, remote: r, ip: 192.0.2.3}]
`
	addr := netip.MustParseAddr
	want := Site{
		All: SiteAll{Options: SiteOptions{{Key: "6", Value: "192.0.2.1", Line: 1}}, Next: addr("192.0.2.9"), Sname: "pbx", File: "boot", Line: 1},
		Classes: []SiteClass{
			{
				Name: "aastra", Line: 3, Refuse: true, NUL: true, ToAll: true, Next: addr("192.0.2.8"), Sname: "s", File: "f",
				Match: SiteMatches{
					{VendorClass: SiteList{"AastraIPPhone*"}, Line: 5},
					{MAC: SiteList{"00:08:5d", "08000f"}, VendorClass: SiteList{""}, LocalMAC: "false", Known: "true", Line: 6},
				},
				Options: SiteOptions{
					{Key: "43", Value: "2 text http://192.0.2.1/a;b\n3 bool false", Line: 8},
					{Key: "125", Value: "3561 1 text acs\n1027 text id", Line: 9},
					{Key: "66", Value: "a,b", Always: true, Line: 10},
					{Key: "12", Never: true, Line: 11},
					{Key: "67", Value: "1 flag", Line: 12},
				},
				Lease: SiteLease{Default: 10 * time.Minute, Renew: 4 * time.Minute, Rebind: 8 * time.Minute},
			},
			{Name: "all", Line: 20, Match: SiteMatches{{
				UserClass: SiteList{"u"}, ClientID: SiteList{"c"}, Hostname: SiteList{"h"}, Circuit: SiteList{"c"}, Remote: SiteList{"r"},
				Interface: SiteList{"eth0", "eth1"}, Vendor: SiteList{"v"}, Relay: SiteList{"192.0.2.0/24"}, Asks: SiteList{"66", "tftp-server-name"},
				Options:    SitePatterns{{Key: "93", Pattern: "hex:0007"}, {Key: "93", Pattern: "b"}},
				Enterprise: SitePatterns{{Key: "9", Any: true}, {Key: "3561", Any: true}}, In: SiteList{"aastra"}, Not: SiteList{"x"}, Line: 21,
			}}},
		},
		Shared: []SiteShared{{Name: "floor", Options: SiteOptions{{Key: "15", Value: "a", Line: 23}}, Line: 23}},
		Networks: []SiteNetwork{{
			Name: "voice", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Shared: "floor", Only: SiteList{"aastra"}, Not: SiteList{"all"},
			Pools: []SitePool{{
				First: addr("192.0.2.9"), Last: addr("192.0.2.10"), Only: SiteList{"a"}, Not: SiteList{"b"},
				Options: SiteOptions{{Key: "66", Value: "x", Line: 30}}, Edges: true, Line: 30,
			}},
			Reservations: []SiteReservation{
				{ClientID: "hex:01", IP: addr("192.0.2.2"), Lease: SiteLease{Max: time.Hour}, Next: addr("192.0.2.1"), Sname: "s", File: "f", Line: 31},
				{Circuit: "c", Remote: "r", IP: addr("192.0.2.3"), Line: 31},
			},
			Rivals: "refuse", Probe: true, AutoAdd: "recognised", Configure: true, Line: 25,
			Provisioning: SiteProvisioning{Associate: true, RelayTrusted: true},
		}},
	}
	got, err := ParseSite("site.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("ParseSite (-want +got):\n%s", diff)
	}
}

func TestExampleSite(t *testing.T) {
	t.Parallel()
	name, data := ExampleSite()
	s, err := ParseSite(name, data)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Networks) != 3 || len(s.Classes) < 5 || len(s.All.Options) != 3 {
		t.Errorf("got %d networks, %d classes, %d options of all networks", len(s.Networks), len(s.Classes), len(s.All.Options))
	}
}

func TestParseSiteClassFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, want string }{
		{"misspelt condition", "classes:\n- name: a\n  match: {vendr_class: x}\n", `s.yaml:3: classes[0].match.vendr_class: unknown key; did you mean "vendor_class"?`},
		{"in an alternative", "classes:\n- name: a\n  match:\n  - {vendr: x}\n", `s.yaml:4: classes[0].match[0].vendr: unknown key; did you mean "vendor"?`},
		{"perhaps", "classes:\n- {name: a, match: {known: perhaps}}\n", `s.yaml:2: classes[0].match.known: "perhaps" is neither true nor false`},
		{"nameless", "classes:\n- {match: {known: true}}\n", "s.yaml:2: class: it has no name"},
		{"nameless link", "shared:\n- {options: {}}\n", "s.yaml:2: shared: it has no name"},
		{"class of keys", "classes:\n- {name: {a: b}}\n", "s.yaml:2: classes[0].name: want a single value"},
		{"match as text", "classes:\n- {name: a, match: snom}\n", "s.yaml:2: classes[0].match: want a list"},
		{"list in a list", "classes:\n- {name: a, match: {mac: [[a]]}}\n", "s.yaml:2: classes[0].match.mac: want a single value, not a list"},
		{"flag of an option", "all_networks: {options: {66: {alway: true}}}\n", `s.yaml:1: all_networks.options.66.alway: unknown key; did you mean "always"?`},
		{"two lines", "all_networks: {options: {43: {1: \"text a\\nb\"}}}\n", "s.yaml:1: all_networks.options.43.1: a sub-option's value is one line"},
		{"sub-option twice", "all_networks: {options: {43: {1: text a, 1: text b}}}\n", "s.yaml:1: all_networks.options.43.1: the key stands twice"},
		{"alias", "all_networks: {options: {43: {1: &a text}}}\n", "s.yaml:1: all_networks.options.43.1: anchors and aliases are not used here"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := ParseSite("s.yaml", []byte(tc.file)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}
