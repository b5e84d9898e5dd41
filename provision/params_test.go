package provision_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/provision"
)

type (
	params = provision.Params
	object = map[string]any
)

const pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

func TestCheck(t *testing.T) {
	t.Parallel()
	line := func(extra object) params {
		l := object{"username": "1001", "password": provision.Secret("x"), "display_name": "Reception"}
		maps.Copy(l, extra)
		return params{"sip_lines": object{"1": l}}
	}
	for _, c := range []struct {
		name   string
		params params
		want   string // faults by line; empty: none
	}{
		{"nothing", nil, ""},
		{"a site's own", params{"X_colour": []any{object{"any": 1.5}}}, ""},
		{"whole line", line(nil), ""},
		{"misspelt", params{"sip_proxi_ip": "192.0.2.1"}, "sip_proxi_ip: unknown parameter; did you mean sip_proxy_ip?"},
		{"unknown", params{"colour": "red"}, "colour: unknown parameter"},
		{"misspelt in a line", line(object{"pasword": "x"}), "sip_lines.1.pasword: unknown parameter; did you mean password?"},
		{
			"lines lack what they need",
			params{"sip_lines": object{"2": object{"username": "1"}, "10": object{}}},
			"sip_lines.2.display_name: missing\nsip_lines.2.password: missing\n" +
				"sip_lines.10.display_name: missing\nsip_lines.10.password: missing\nsip_lines.10.username: missing",
		},
		{
			"line numbers",
			params{"funckeys": object{"0": nil, "01": nil, "x": nil, "1000": nil}},
			"funckeys.0: want a number from 1 to 999\nfunckeys.01: want a number from 1 to 999\n" +
				"funckeys.1000: want a number from 1 to 999\nfunckeys.x: want a number from 1 to 999",
		},
		{
			"ranges",
			params{"vlan_id": int64(4095), "sip_proxy_port": 0, "vlan_priority": 8.0},
			"sip_proxy_port: want 1 to 65535, not 0\nvlan_id: want 0 to 4094, not 4095\nvlan_priority: want 0 to 7, not 8",
		},
		{"VLAN 0 is one", params{"vlan_enabled": true, "vlan_id": int64(0)}, ""},
		{"a switch's value", params{"vlan_enabled": true, "ntp_enabled": false}, "vlan_id: missing"},
		{
			"kinds",
			params{"ntp_enabled": "true", "vlan_id": "5", "locale": true, "sip_lines": []any{}, "admin_password": int64(5)},
			"admin_password: want a text, not a number\nlocale: want a text, not true or false\n" +
				"ntp_enabled: want true or false, not a text\n" + `sip_lines: want a map from "1", "2" … to entries, not a list` +
				"\nvlan_id: want a whole number, not a text",
		},
		{"enum", params{"sip_transport": "sctp"}, `sip_transport: want one of udp, tcp, tls, not "sctp"`},
		{
			"hosts",
			params{"ntp_ip": "192.0.2.300", "dns_ip": "2001:db8::1", "syslog_ip": "log.example.", "ip": "a b"},
			"ip: want an IP address or a host name, not \"a b\"\nntp_ip: want an IP address or a host name, not \"192.0.2.300\"",
		},
		{"locale", params{"locale": "fr_FRxyz"}, `locale: want a locale such as de_DE, not "fr_FRxyz"`},
		{"time zones", params{"timezone": "Mars/Olympus"}, `timezone: want a time zone such as Europe/Berlin, not "Mars/Olympus"`},
		{
			"a traversal is no time zone",
			params{"timezone": "../zoneinfo/UTC"},
			`timezone: want a time zone such as Europe/Berlin, not "../zoneinfo/UTC"`,
		},
		{"the server's zone", params{"timezone": "Local"}, `timezone: want a time zone such as Europe/Berlin, not "Local"`},
		{
			"URL",
			params{"http_base_url": "ftp://192.0.2.1"},
			`http_base_url: want a URL that begins with http:// or https://, not "ftp://192.0.2.1"`,
		},
		{
			"certificates",
			params{"sip_servers_root_and_intermediate_certificates": []any{pem, "x", pem + "\x00", 5}},
			"sip_servers_root_and_intermediate_certificates[1]: want a PEM text\n" +
				"sip_servers_root_and_intermediate_certificates[2]: want no control character but line breaks\n" +
				"sip_servers_root_and_intermediate_certificates[3]: want a text, not a number",
		},
		{
			"keys",
			params{"funckeys": object{"1": object{"type": "park"}, "2": object{"type": "blf"}, "3": object{}}},
			"funckeys.2.value: missing: a key of type blf needs it\nfunckeys.3.type: missing",
		},
		{"keys of other kinds", params{"funckeys": object{
			"1": object{"type": "url", "value": "http://192.0.2.1/a%20b"}, "2": object{"type": "speeddial", "value": "1%0d"}, "3": object{"type": "dnd"},
			"4": object{"type": "launch"},
		}}, "funckeys.2.value: want no percent sign in the value of a key of type speeddial\n" +
			"funckeys.4.type: want one of speeddial, blf, park, line, dnd, forward, transfer, conference, hold, redial, intercom, pickup, " +
			"group_pickup, voicemail, directory, call_log, dtmf, prefix, record, paging, url, xml, lock, none, not \"launch\""},
		{
			"keys of a module",
			params{"expansion_modules": object{"1": object{"model": "M675", "keys": object{"60": object{"type": "blf"}, "x": nil}}}},
			"expansion_modules.1.keys.60.value: missing: a key of type blf needs it\nexpansion_modules.1.keys.x: want a number from 1 to 999",
		},
		{
			"codecs", line(object{"codecs": []any{"pcma", "g722", "g711", nil, "pcma", 5}}),
			"sip_lines.1.codecs[2]: want one of pcma, pcmu, g722, g722.1, g723, g726-16, g726-24, g726-32, g726-40, g729, opus, ilbc, gsm, " +
				"amr, amr-wb, l16, not \"g711\"\nsip_lines.1.codecs[3]: want no empty place in a list\n" +
				"sip_lines.1.codecs[4]: stands twice in the list\nsip_lines.1.codecs[5]: want a text, not a number",
		},
		{"no list", params{"sip_codecs": "pcma"}, "sip_codecs: want a list, not a text"},
		{"too long a list", params{"emergency_numbers": slices.Repeat([]any{"110"}, 21)}, "emergency_numbers: want at most 20, not 21"},
		{
			"hostile texts",
			params{
				"sip_lines": object{"1": object{"username": "a b", "password": "a\rb", "display_name": "A\n\"B\""}},
				"exten_dnd": "*25%0d", "admin_username": "<x>", "idle_text": "\u202egnp", "X_own": "any\nthing", "wallpaper": "/etc/passwd",
				"phonebook_url": "http://192.0.2.1/\"><x>", "ntp_ip": "fe80::1%eth0", "ldap_name_filter": "cn=%", "lock_pin": "1\x002",
				"phonebook_name": strings.Repeat("ä", 256), "X_\n": 1, "admin_password": "\xff",
			},
			"X_\\n: want a name without control characters\n" +
				"admin_password: want a text in UTF-8\nadmin_username: want no quote, angle bracket or backslash, not \"<x>\"\n" +
				"exten_dnd: want digits, letters and +*#._@,;:=!~/&$()- only, not \"*25%0d\"\n" +
				"idle_text: want no line break and no other control character\n" +
				"ldap_name_filter: want an LDAP filter in parentheses, without quotes and angle brackets, not \"cn=%\"\n" +
				"lock_pin: want no line break and no other control character\n" +
				"ntp_ip: want an IP address or a host name, not \"fe80::1%eth0\"\n" +
				"phonebook_name: want at most 255 characters, not 256\n" +
				"phonebook_url: want a URL that begins with http:// or https://, not \"http://192.0.2.1/\\\"><x>\"\n" +
				"sip_lines.1.display_name: want no line break and no other control character\n" +
				"sip_lines.1.password: want no line break and no other control character\n" +
				"sip_lines.1.username: want letters, digits and -_.!~*()&=+$,;?/@:# only, not \"a b\"\n" +
				"wallpaper: want the name of a file, of letters, digits, blanks and _./+-, not \"/etc/passwd\"",
		},
		{"a computed name", params{"XX_options": "x"}, "XX_options: unknown parameter; names that begin with XX_ are reserved"},
		{
			"an empty text isn't there",
			params{"ntp_enabled": true, "ntp_ip": "", "sip_lines": object{"1": object{
				"username": "", "password": provision.Secret(""), "display_name": "A",
			}}},
			"ntp_ip: want an IP address or a host name, not \"\"\nntp_ip: missing\nsip_lines.1.password: missing\nsip_lines.1.username: missing",
		},
		{"a directory service's port", params{"X_xivo_phonebook_port": "9498"}, "X_xivo_phonebook_port: want a whole number, not a text"},
		{"call managers", params{"sccp_call_managers": object{"1": object{"port": int64(2000)}}}, "sccp_call_managers.1.ip: missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			err := provision.Check(c.params)
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			if err != nil && !errors.Is(err, provision.ErrInvalid) {
				t.Errorf("error %v is no ErrInvalid", err)
			}
		})
	}
}

func TestCheckLayer(t *testing.T) {
	t.Parallel()
	if err := provision.CheckLayer(params{"vlan_enabled": true, "sip_lines": object{"1": object{"display_name": "A"}}}); err != nil {
		t.Errorf("a layer may leave out what others have: %v", err)
	}
	if err := provision.CheckLayer(params{"sip_lines": object{"1": object{"x": "A"}}}); err == nil {
		t.Error("an unknown key in a line passes")
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	in := params{
		"admin_password": "p", "admin_username": "u", "vlan_id": 5.0, "sip_proxy_port": 5060, "X_ratio": 2.0, "X_key": object{"password": "plain"},
		"sip_lines": params{"1": params{"password": "q", "proxy_port": uint64(5060)}}, "sip_local_key": provision.Secret("k"),
	}
	want := params{
		"admin_password": provision.Secret("p"), "admin_username": "u", "vlan_id": int64(5), "sip_proxy_port": int64(5060), "X_ratio": 2.0,
		"X_key":     object{"password": "plain"},
		"sip_lines": object{"1": object{"password": provision.Secret("q"), "proxy_port": int64(5060)}}, "sip_local_key": provision.Secret("k"),
	}
	got := provision.Wrap(in)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if diff := cmp.Diff(got, provision.Wrap(got)); diff != "" {
		t.Errorf("wrapping twice differs:\n%s", diff)
	}
	if _, still := in["admin_password"].(string); !still {
		t.Error("Wrap changed its argument")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		in, want params
	}{
		{"nothing", nil, params{
			"sip_srtp_mode": "disabled", "sip_transport": "udp", "sip_lines": object{}, "sccp_call_managers": object{}, "funckeys": object{},
		}},
		{"those that depend", params{
			"syslog_enabled": true, "sip_proxy_ip": "192.0.2.1", "sip_transport": "tls", "sip_srtp_mode": "required",
			"funckeys": object{}, "sccp_call_managers": object{},
			"sip_lines": object{
				"1": object{"username": "a", "proxy_ip": "192.0.2.2"},
				"2": object{"username": "b", "auth_username": "c"},
			},
		}, params{
			"syslog_port": int64(514), "syslog_level": "warning", "sip_registrar_ip": "192.0.2.1",
			"sip_lines": object{"1": object{"auth_username": "a", "registrar_ip": "192.0.2.2"}},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, provision.Defaults(c.in)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	got := provision.Complete(params{"X_own": "x", "sip_lines": object{"1": object{"username": "a"}, "2": nil}})
	for _, p := range provision.Vocabulary() {
		if _, ok := got[p.Name]; !ok {
			t.Errorf("%s is absent", p.Name)
		}
	}
	lines := got["sip_lines"].(object)
	if _, ok := lines["2"]; ok {
		t.Error("the line that was unset is there")
	}
	if v, ok := lines["1"].(object)["voicemail"]; !ok || v != nil || got["X_own"] != "x" {
		t.Errorf("line 1 = %v, X_own = %v", lines["1"], got["X_own"])
	}
}

// The table itself: a sentence for every row, defaults that pass its own check, references that exist.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	var walk func(rows []provision.Param, path string)
	walk = func(rows []provision.Param, path string) {
		names := map[string]bool{}
		for _, p := range rows {
			if names[p.Name] {
				t.Errorf("%s%s stands twice", path, p.Name)
			}
			names[p.Name] = true
			if !strings.HasSuffix(p.Doc, ".") {
				t.Errorf("%s%s: doc %q is no sentence", path, p.Name, p.Doc)
			}
			if p.Default != nil && path == "" {
				if err := provision.CheckLayer(params{p.Name: p.Default}); err != nil {
					t.Error(err)
				}
			}
			walk(p.Fields, path+p.Name+".")
		}
		for _, p := range rows {
			for _, ref := range []string{p.DefaultFrom, p.DefaultIf, p.RequiredIf} {
				if ref != "" && !names[ref] {
					t.Errorf("%s%s refers to %s, which isn't there", path, p.Name, ref)
				}
			}
		}
	}
	walk(provision.Vocabulary(), "")
}

// No fault repeats a secret, whatever is wrong with the rest.
func TestFaultsKeepSecrets(t *testing.T) {
	t.Parallel()
	err := provision.Check(params{"admin_password": []any{planted}, "sip_lines": object{"1": object{"password": object{planted: planted}}}})
	if err == nil || strings.Contains(err.Error(), planted) {
		t.Errorf("error = %v, want one without the secret", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"sip_lines":{"1":{"username":"a"}},"vlan_id":1e99,"timezone":"UTC"}`)
	f.Add(`{"funckeys":{"\u0000":null,"1":[]},"locale":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var p params
		if json.Unmarshal([]byte(text), &p) != nil {
			return
		}
		_ = provision.Check(p)
		w := provision.Wrap(p)
		if a, b := fmt.Sprint(provision.CheckLayer(p)), fmt.Sprint(provision.CheckLayer(w)); a != b {
			t.Errorf("wrapping changes the faults from %s to %s", a, b)
		}
		provision.Complete(provision.Defaults(w))
	})
}

func TestClean(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "/": "", "a": "a", "/a.cfg": "a.cfg", `\Gk-1\file.loads`: "Gk-1/file.loads", "//x///y": "x/y", "./a/./b/.": "a/b", "a/": "a",
		"...": "...", "a..b": "a..b", "été.xml": "été.xml", "a b": "a b", "%2e%2e/x": "%2e%2e/x", strings.Repeat("a", 255): strings.Repeat("a", 255),
	} {
		if got, err := provision.Clean(raw); got != want || err != nil {
			t.Errorf("Clean(%q) = %q, %v; want %q", raw, got, err, want)
		}
	}
	for _, raw := range []string{"..", "../x", "a/../b", `a\..\b`, "/..", "a\x00b", "a\nb", "\x7f", "\xff", "a\u0085", strings.Repeat("a", 256)} {
		if got, err := provision.Clean(raw); !errors.Is(err, provision.ErrInvalid) {
			t.Errorf("Clean(%q) = %q, %v; want ErrInvalid", raw, got, err)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/a/b", `..\x`, "//./", "\x00", "SEP001122AABBCC.cnf.xml"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := provision.Clean(raw)
		if err != nil {
			return
		}
		if again, err := provision.Clean(path); again != path || err != nil {
			t.Errorf("Clean(%q) = %q, which cleans to %q, %v", raw, path, again, err)
		}
		for s := range strings.SplitSeq(path, "/") {
			if s == "." || s == ".." || s == "" && path != "" || strings.Contains(s, `\`) {
				t.Errorf("Clean(%q) = %q", raw, path)
			}
		}
	})
}

func TestCompareVersionsIsAnOrder(t *testing.T) {
	t.Parallel()
	if provision.CompareVersions("aastra-8.9.3", "aastra-10.1") >= 0 {
		t.Error("8.9.3 isn't before 10.1")
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.StringMatching(`[a0-9.]{0,6}`)
		a, b, c := draw.Draw(t, "a"), draw.Draw(t, "b"), draw.Draw(t, "c")
		if ab, ba := provision.CompareVersions(a, b), provision.CompareVersions(b, a); ab != -ba || (ab == 0) != (a == b) {
			t.Fatalf("%q with %q: %d, the other way %d", a, b, ab, ba)
		}
		if provision.CompareVersions(a, b) <= 0 && provision.CompareVersions(b, c) <= 0 && provision.CompareVersions(a, c) > 0 {
			t.Fatalf("%q ≤ %q ≤ %q, but not the first and the last", a, b, c)
		}
	})
}
