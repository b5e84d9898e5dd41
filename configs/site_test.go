package configs

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSite(t *testing.T) {
	usual := SiteProvisioning{Associate: true, RelayTrusted: true}
	t.Parallel()
	file := `networks:
  - name: voice
    prefix: 192.0.2.0/24
    interface: eth0
    server: 192.0.2.1
    relays: [198.51.100.1]
    pools:
      - 192.0.2.100-192.0.2.149
      - first: 192.0.2.150
        last: 192.0.2.199
        exclude: [192.0.2.160]
    reservations:
      - {mac: "00:15:65:aa:bb:cc", ip: 192.0.2.20, hostname: reception, options: {150: [192.0.2.1, 192.0.2.2]}}
    options:
      ntp-servers: 192.0.2.1
      66: "192.0.2.1"
      43: hex:0102
    lease: {default: 1h, max: 24h}
    authoritative: true
    rivals: allow
    probe: false
    auto_add: any
    configure: false
  - {name: far, prefix: 198.51.100.0/24, shorten_at: 80, no_autoconfigure: true}
configs:
  - id: base
    label: All
    role: default
    locked: true
    params: {locale: fr_FR, vlan_enabled: true, vlan_id: 12, f: 1.5, sip_lines: {1: {password: 7}}, list: [a, 2, null]}
  - {id: one, parents: [base], transient: true}
devices:
  - {mac: 00-15-65-AA-BB-CC, sn: 0012, uuid: u, vendor: Yealink, model: 7920, version: 3.10, plugin: p, pinned: true, config: one, label: L, override: {a: b}, options: {c: 1}}
`
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	want := Site{
		Networks: []SiteNetwork{
			{
				Name: "voice", Prefix: prefix("192.0.2.0/24"), Interface: "eth0", Server: addr("192.0.2.1"),
				Relays: []netip.Addr{addr("198.51.100.1")},
				Pools: []SitePool{
					{First: addr("192.0.2.100"), Last: addr("192.0.2.149"), Line: 8},
					{First: addr("192.0.2.150"), Last: addr("192.0.2.199"), Exclude: []netip.Addr{addr("192.0.2.160")}, Line: 9},
				},
				Reservations: []SiteReservation{{
					MAC: "00:15:65:aa:bb:cc", IP: addr("192.0.2.20"), Hostname: "reception", Line: 13,
					Options: SiteOptions{{Key: "150", Value: "192.0.2.1,192.0.2.2", Line: 13}},
				}},
				Options: SiteOptions{
					{Key: "ntp-servers", Value: "192.0.2.1", Line: 15}, {Key: "66", Value: "192.0.2.1", Line: 16}, {Key: "43", Value: "hex:0102", Line: 17},
				},
				Lease:         SiteLease{Default: time.Hour, Max: 24 * time.Hour},
				Authoritative: true, Rivals: "allow", AutoAdd: "any", Line: 2,
				Provisioning: usual,
			},
			{Name: "far", Prefix: prefix("198.51.100.0/24"), ShortenAt: 80, NoAutoconfigure: true, Rivals: "refuse", Probe: true, AutoAdd: "recognised", Configure: true, Line: 24, Provisioning: usual},
		},
		Configs: []SiteConfig{
			{ID: "base", Label: "All", Role: "default", Locked: true, Line: 26, Params: map[string]any{
				"locale": "fr_FR", "vlan_enabled": true, "vlan_id": int64(12), "f": 1.5,
				"sip_lines": map[string]any{"1": map[string]any{"password": int64(7)}}, "list": []any{"a", int64(2), nil},
			}},
			{ID: "one", Parents: []string{"base"}, Transient: true, Line: 31},
		},
		Devices: []SiteDevice{{
			MAC: "00-15-65-AA-BB-CC", SN: "0012", UUID: "u", Vendor: "Yealink", Model: "7920", Version: "3.10", Plugin: "p", Pinned: true,
			Config: "one", Label: "L", Override: map[string]any{"a": "b"}, Options: map[string]any{"c": int64(1)}, Line: 33,
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

func TestShippedSites(t *testing.T) {
	t.Parallel()
	for _, file := range []func() (string, []byte){DefaultSite, SandboxSite} {
		name, data := file()
		s, err := ParseSite(name, data)
		if err != nil {
			t.Error(err)
		}
		roles := map[string]string{}
		for _, c := range s.Configs {
			roles[c.Role] = c.ID
		}
		if roles["default"] != "default" || roles["autocreate"] != "autocreate" {
			t.Errorf("%s: roles are %v, want each held by the config of its name", name, roles)
		}
	}
	_, data := SandboxSite()
	s, err := ParseSite("sandbox.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Networks) != 1 || s.Networks[0].Prefix != netip.MustParsePrefix("127.64.0.0/16") || s.Networks[0].Probe {
		t.Errorf("the sandbox's networks are %+v, want one of 127.64.0.0/16 without probe", s.Networks)
	}
}

func TestParseSiteFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, file string
		want       []string
	}{
		{"misspelt key", "networks:\n- name: voice\n  prefx: 192.0.2.0/24\n", []string{
			`s.yaml:3: networks[0].prefx: unknown key; did you mean "prefix"?`,
		}},
		{"no prefix, no name", "networks:\n- name: voice\n- prefix: 192.0.2.0/24\n", []string{
			"s.yaml:2: network voice: it has no prefix", "s.yaml:3: network: it has no name",
		}},
		{"bad pools", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  pools: [192.0.2.1, a-b, '::1-::2']\n", []string{
			`s.yaml:4: networks[0].pools[0]: "192.0.2.1" is not a range`, `pools[1]: "a-b"`, `pools[2]: "::1-::2"`,
		}},
		{"half a pool", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  pools:\n  - first: 192.0.2.1\n", []string{"s.yaml:5: network v: the pool lacks an end"}},
		{"unknown key of a pool", "networks:\n- name: v\n  pools:\n  - {frist: 192.0.2.1}\n", []string{`s.yaml:4: networks[0].pools[0].frist: unknown key; did you mean "first"?`}},
		{"reservation", "networks:\n- name: v\n  prefix: 192.0.2.0/24\n  reservations:\n  - ip: 192.0.2.7\n", []string{"s.yaml:5: network v: the reservation needs ip, and mac, client_id, circuit or remote"}},
		{"IPv6", "networks:\n- name: v\n  prefix: 2001:db8::/64\n", []string{`s.yaml:3: networks[0].prefix: "2001:db8::/64" is not an IPv4 network`}},
		{"no unit", "networks:\n- name: v\n  lease: {default: 3600}\n", []string{`s.yaml:3: networks[0].lease.default: "3600" is not a length of time`}},
		{"U25", "networks:\n- name: v\n  provisioning: {nat: 2}\n- name: w\n  provisioning: {nat: foobar}\n- name: x\n  provisioning: {nat: -1}\n", []string{
			`s.yaml:3: networks[0].provisioning.nat: "2" is neither true nor false`, `s.yaml:5: networks[1].provisioning.nat: "foobar"`, `s.yaml:7: networks[2].provisioning.nat: "-1"`,
		}},
		{"option twice", "networks:\n- name: v\n  options: {66: a, 66: b}\n", []string{"s.yaml:3: networks[0].options.66: the key stands twice"}},
		{"option of options", "networks:\n- name: v\n  options: {43: {1: {2: {3: x}}}}\n", []string{"s.yaml:3: networks[0].options.43.1.2: want a single value, not keys with values"}},
		{"configs", "configs:\n- {label: x}\n- {id: a, role: default}\n- {id: a}\n- {id: b, role: default, parents: [c]}\n- {id: d, role: king}\n", []string{
			"s.yaml:2: config: it has no id", "s.yaml:4: config a: there is another one with that id in line 3",
			"s.yaml:5: config b: config a has the role default already", `s.yaml:5: config b: its parent "c" is not in this file`,
			`s.yaml:6: config d: role "king" is unknown`,
		}},
		{"param twice", "configs:\n- id: a\n  params:\n    x: 1\n    x: 2\n", []string{"s.yaml:5: configs[0].params.x: the key stands twice, in line 4, too"}},
		{"odd numbers", "configs:\n- id: a\n  params: {a: 0x1F, b: .nan, c: 99999999999999999999, d: 0100, e: 1e9}\n", []string{
			`s.yaml:3: configs[0].params.a: "0x1F" is not a whole number in plain digits`, `params.b: ".nan" is not a number`, `params.c: "99999999999999999999" is not`, `params.d: "0100" is not`, `params.e: "1e9" is not`,
		}},
		{"params as a list", "configs:\n- id: a\n  params: [x]\n", []string{"s.yaml:3: configs[0].params: want keys with values, not a list"}},
		{"devices", "devices:\n- {model: x}\n- {mac: m, config: none}\n", []string{
			"s.yaml:2: device: it needs a mac", `s.yaml:3: device m: its config "none" is not in this file`,
		}},
		{"deep", "configs:\n- id: a\n  params: {x: " + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "}\n", []string{"values are nested too deep"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseSite("s.yaml", []byte(tc.file))
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to have %q", err, want)
				}
			}
		})
	}
}

func FuzzParseSite(f *testing.F) {
	_, site := DefaultSite()
	_, sandbox := SandboxSite()
	_, example := ExampleSite()
	f.Add(site)
	f.Add(example)
	f.Add(sandbox)
	for _, seed := range []string{
		"networks: [{name: v, prefix: 192.0.2.0/24, pools: [192.0.2.1-192.0.2.9, {first: 192.0.2.10, last: 192.0.2.11}], options: {150: [a, b]}}]",
		"configs: [{id: a, params: {x: [1, 2.5, {y: null}], 1: true}}]", "devices: [{mac: x, override: {}}]", "configs:\n- id: [\n", "configs: [{id: a, params: &p {x: *p}}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSite("s", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "s:") {
				t.Errorf("an error that doesn't begin with the file: %q", err)
			}
			return
		}
		for _, n := range s.Networks {
			if n.Name == "" || !n.Prefix.IsValid() || n.Line == 0 {
				t.Errorf("read without an error: network %+v", n)
			}
		}
	})
}
