package configs

import (
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var equal = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestDefaultFileSaysTheDefaults(t *testing.T) {
	t.Parallel()
	got, err := Parse("dialtone.yaml", DefaultFile())
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.DHCP.Interfaces, want.DHCP.Relay, want.Hooks = []string{}, []netip.AddrPort{}, []Hook{}
	want.DHCP.Leasequery = []netip.Addr{}
	want.HTTP.Proxies, want.HTTP.TLS.Names, want.HTTP.TLS.Legacy = []netip.Addr{}, []string{}, []netip.Prefix{}
	want.DHCP.Observe, want.DHCP.Foreign = []string{}, []netip.Prefix{}
	want.TFTP.Allow, want.TFTP.Trust, want.TFTP.Ports, want.TFTP.Quirks = []netip.Prefix{}, []netip.Prefix{}, []int{}, []TFTPQuirk{}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("the file that ships and Default differ (-Default +file):\n%s", diff)
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("Default is invalid: %v", err)
	}
	if err := Sandbox().Validate(); err != nil {
		t.Errorf("Sandbox is invalid: %v", err)
	}
}

// Every key must stand in the file that ships, with a comment above it; those of items stand in the example of the list.
func TestDefaultFileShowsEveryKey(t *testing.T) {
	t.Parallel()
	text := string(DefaultFile())
	var s Settings
	d, err := decode("dialtone.yaml", []byte(text), &s)
	if err != nil {
		t.Fatal(err)
	}
	e := &decoder{lines: make(map[string]int)}
	for list, of := range map[string]string{"\nhooks: []": "\n", "\n  quirks: []": "tftp:\n"} {
		_, example, ok := strings.Cut(text, list+"\n")
		if !ok {
			t.Fatalf("the file has no example under %q", list)
		}
		example, _, _ = strings.Cut(example, "\n\n")
		indent := strings.Repeat(" ", strings.Count(list, " ")-1)
		ex, err := decode("example", []byte(of+strings.ReplaceAll("\n"+example, "\n"+indent+"#", "\n"+indent)), &s)
		if err != nil {
			t.Fatalf("the example under %q: %v", list, err)
		}
		maps.Copy(e.lines, ex.lines)
	}
	for _, key := range keys(reflect.TypeFor[Settings](), "") {
		if d.lines[key] == 0 && e.lines[key] == 0 {
			t.Errorf("%s: not in dialtone.yaml", key)
		}
	}
	for _, section := range keys(reflect.TypeFor[Settings](), "") {
		if strings.Contains(section, ".") {
			continue
		}
		lines := strings.Split(text, "\n")
		if above := lines[d.lines[section]-2]; !strings.HasPrefix(above, "#") {
			t.Errorf("%s: no comment above it but %q", section, above)
		}
	}
}

// keys lists the paths of a struct's keys; items of lists are number 0.
func keys(typ reflect.Type, prefix string) []string {
	var out []string
	for f := range typ.Fields() {
		name := f.Tag.Get("yaml")
		if name == "-" {
			continue
		}
		out = append(out, prefix+name)
		switch ft := f.Type; {
		case ft.Kind() == reflect.Struct && ft.PkgPath() == typ.PkgPath():
			out = append(out, keys(ft, prefix+name+".")...)
		case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct && ft.Elem().PkgPath() == typ.PkgPath():
			out = append(out, keys(ft.Elem(), prefix+name+"[0].")...)
		}
	}
	return out
}

func TestParse(t *testing.T) {
	t.Parallel()
	file := `
state: /srv/dialtone
dhcp: {interfaces: [eth0, eth1.20], relay: ["192.0.2.1:67"], limits: {share: 50}, leasequery: [192.0.2.7], observe: [eth1], foreign: [198.51.100.0/24]}
tftp:
  listen: 192.0.2.1:69
  max_transfers: 10
  allow: [192.0.2.0/24]
  trust: [198.51.100.0/24]
  ports: [50000, 50999]
  quirks: [{plugin: acme-1.0, roll_to_one: true}]
http:
  listen: :8000
console:
hooks:
  - {name: pbx, exec: [/bin/true, -q]}
  - {name: web, url: "https://pbx.example/x", key_file: /etc/key, timeout: 1m}
log: {level: debug, format: json}
`
	want := Default()
	want.State = "/srv/dialtone"
	want.DHCP.Interfaces = []string{"eth0", "eth1.20"}
	want.DHCP.Relay = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:67")}
	want.DHCP.Leasequery = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	want.DHCP.Limits.Share = 50
	want.DHCP.Observe, want.DHCP.Foreign = []string{"eth1"}, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	want.TFTP.Listen = netip.MustParseAddrPort("192.0.2.1:69")
	want.TFTP.MaxTransfers = 10
	want.TFTP.Allow, want.TFTP.Trust = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	want.TFTP.Ports, want.TFTP.Quirks = []int{50000, 50999}, []TFTPQuirk{{Plugin: "acme-1.0", RollToOne: true}}
	want.HTTP.Listen = netip.MustParseAddrPort("0.0.0.0:8000")
	want.Hooks = []Hook{
		{Name: "pbx", Exec: []string{"/bin/true", "-q"}, Timeout: 5 * time.Second, Line: 15},
		{Name: "web", URL: "https://pbx.example/x", KeyFile: "/etc/key", Timeout: time.Minute, Line: 16},
	}
	want.Log = Log{Level: slog.LevelDebug, Format: FormatJSON}
	got, err := Parse("dialtone.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, equal); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " \n", "# only a comment\n", "{}", "dhcp:\n", "---\n"} {
		got, err := Parse("x", []byte(text))
		if err != nil {
			t.Errorf("Parse(%q): %v", text, err)
			continue
		}
		if diff := cmp.Diff(Default(), got, equal); diff != "" {
			t.Errorf("Parse(%q) isn't Default (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, file string
		want       []string // each in the error
	}{
		{"misspelt key", "tftp:\n  max_transfer: 5\n", []string{`f.yaml:2: tftp.max_transfer: unknown key; did you mean "max_transfers"?`}},
		{"swapped letters", "sttae: /x\n", []string{`f.yaml:1: sttae: unknown key; did you mean "state"?`}},
		{"other case", "DHCP:\n  enabled: true\n", []string{`did you mean "dhcp"?`}},
		{"far from any", "console:\n  certificate: x\n", []string{"f.yaml:2: console.certificate: unknown key; known here: enabled, listen, names, public"}},
		{"merge key", "tftp: {}\n<<: {state: /x}\n", []string{"f.yaml:2: "}},
		{"twice", "state: /a\nlog: {}\nstate: /b\n", []string{"f.yaml:3: state: the key stands twice, in line 1, too; keep one"}},
		{"twice below", "log:\n  level: info\n  level: warn\n", []string{"f.yaml:3: log.level: the key stands twice, in line 2, too"}},
		{"no number", "tftp: {max_transfers: many}\n", []string{`f.yaml:1: tftp.max_transfers: "many" is not a whole number`}},
		{"half a number", "tftp: {max_transfers: 1.5}\n", []string{"is not a whole number"}},
		{"no bool", "tftp: {enabled: maybe}\n", []string{`f.yaml:1: tftp.enabled: "maybe" is neither true nor false`}},
		{"no address", "http: {listen: localhost:80}\n", []string{`f.yaml:1: http.listen: "localhost:80" is not an address with a port`}},
		{"limits", "dhcp:\n  limits: {newcomers: -1, share: 101}\n  leasequery: [0.0.0.0]\n", []string{
			"f.yaml:2: dhcp.limits.newcomers: -1 is out of range; use 0 to 1000000", "dhcp.limits.share: 101 is out of range; use 0 to 100",
			"f.yaml:3: dhcp.leasequery[0]: 0.0.0.0 is nobody's address; name a host's, such as 192.0.2.7",
		}},
		{"observed", "dhcp:\n  interfaces: [eth0]\n  observe: [eth0, '']\n  foreign: [192.0.2.1/24]\n", []string{
			"f.yaml:3: dhcp.observe[0]: eth0 is served (dhcp.interfaces)", `f.yaml:3: dhcp.observe[1]: "" is no interface's name`,
			"f.yaml:4: dhcp.foreign[0]: 192.0.2.1/24 is no IPv4 network",
		}},
		{"port 0", "http: {listen: ':0'}\n", []string{"f.yaml:1: http.listen: 0.0.0.0:0 is not an address with a port"}},
		{"no unit", "hooks:\n- {name: a, url: 'http://x', timeout: 5}\n", []string{`f.yaml:2: hooks[0].timeout: "5" is not a length of time; write it with its unit`}},
		{"no level", "log: {level: chatty}\n", []string{"f.yaml:1: log.level: "}},
		{"no format", "\nlog: {format: xml}\n", []string{`f.yaml:2: log.format: "xml" is unknown; use text or json`}},
		{"list for a word", "state: [a]\n", []string{"f.yaml:1: state: want a single value, not a list"}},
		{"word for a list", "hooks: yes\n", []string{`f.yaml:1: hooks: want a list, not "yes"`}},
		{"word for keys", "tftp: on\n", []string{`f.yaml:1: tftp: want keys with values, not "on"`}},
		{"empty item", "hooks:\n-\n", []string{"f.yaml:2: hooks[0]: the item is empty"}},
		{"list at the top", "- a\n", []string{"f.yaml:1: want keys with values, not a list"}},
		{"anchor", "state: &a /x\n", []string{"f.yaml:1: state: anchors and aliases are not used here"}},
		{"alias", "state: /x\nsite: &s a\nlog: *s\n", []string{"f.yaml:2: site: anchors", "f.yaml:3: log: anchors"}},
		{"tag", "state: !!binary aGVsbG8=\n", []string{"f.yaml:1: state: tags such as"}},
		{"no YAML", "state: [\n", []string{"f.yaml:2: this is no YAML"}},
		{"two documents", "state: /x\n---\nstate: /y\n", []string{"f.yaml:2: a second document begins here"}},
		{"no text", "state: /x\x00\n", []string{"this is no YAML"}},
		{"no state", "state: ''\n", []string{"f.yaml:1: state: it is empty"}},
		{"out of range", "tftp:\n  block_size_limit: 100\njournal: {size: 0}\n", []string{
			"f.yaml:2: tftp.block_size_limit: 100 is out of range; use 512 to 65464",
			"f.yaml:3: journal.size: 0 is out of range",
		}},
		{"tftp", "tftp:\n  ports: [5]\n  single_port: true\n  allow: [192.0.2.1/24]\n  trust: [198.51.100.1/24]\n  quirks: [{roll_to_one: true}]\n", []string{
			"f.yaml:2: tftp.ports: want the first and the last port",
			"f.yaml:3: tftp.single_port: there are no other ports then",
			"f.yaml:4: tftp.allow[0]: 192.0.2.1/24 has bits set behind its length; write 192.0.2.0/24",
			"f.yaml:5: tftp.trust[0]: 198.51.100.1/24 has bits set",
			"f.yaml:6: tftp.quirks[0].plugin: it is empty",
		}},
		{"same port", "http: {listen: ':8080'}\n", []string{"f.yaml: console.listen: 127.0.0.1:8080 is where http.listen is, too"}},
		{"interface", "dhcp: {interfaces: [eth0, 'eth 1']}\n", []string{`f.yaml:1: dhcp.interfaces[1]: "eth 1" is no interface's name`}},
		{"hooks", "hooks:\n- {name: A, exec: [x]}\n- {name: b}\n- {name: b, url: ftp://x, exec: []}\n- {name: c, exec: [/x], key_file: /k, timeout: 1ms}\n", []string{
			`f.yaml:2: hooks[0].name: "A" is no hook's name`,
			`f.yaml:2: hooks[0].exec: "x" is not the full path of a program`,
			`f.yaml:3: hooks[1]: a hook has either exec or url`,
			`f.yaml:4: hooks[2].name: there are two hooks named "b"`,
			`f.yaml:4: hooks[2].url: "ftp://x" is no web address`,
			`f.yaml:5: hooks[3].key_file: only what is sent to a url is signed`,
			`f.yaml:5: hooks[3].timeout: 1ms is out of range`,
		}},
		{"several at once", "stat: /x\ntftp: {enabled: 7}\n", []string{"f.yaml:1: stat", "f.yaml:2: tftp.enabled"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("f.yaml", []byte(tc.file))
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to have %q", err, want)
				}
			}
			if n := strings.Count(err.Error(), "\n") + 1; n != len(tc.want) && len(tc.want) > 1 {
				t.Errorf("got %d faults, want %d: %v", n, len(tc.want), err)
			}
		})
	}
}

func TestParseTooLong(t *testing.T) {
	t.Parallel()
	if _, err := Parse("x", make([]byte, maxFile+1)); err == nil {
		t.Error("got no error for a file that is too long")
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"a", "", 1},
		{"", "abc", 3},
		{"listen", "listen", 0},
		{"lisen", "listen", 1},
		{"listten", "listen", 1},
		{"lsiten", "listen", 1},
		{"kitten", "sitting", 3},
	} {
		if got := distance(tc.a, tc.b); got != tc.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

// The rig's two files must stay readable; the rig itself runs as root only.
func TestBenchFiles(t *testing.T) {
	t.Parallel()
	for name, parse := range map[string]func(string, []byte) error{
		"bench/dialtone.yaml": func(n string, b []byte) error { _, err := Parse(n, b); return err },
		"bench/site.yaml":     func(n string, b []byte) error { _, err := ParseSite(n, b); return err },
	} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := parse(name, data); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(DefaultFile())
	for _, seed := range []string{
		"", "a: b", "- a", "state: &a x\nsite: *a", "hooks: [{name: x, exec: [/x]}]", "tftp: {listen: ':69'}", "? [a]\n: b", "\x00", "<<: {}",
		"dhcp: {relay: ['[::1%eth0]:67']}", "log: {level: INFO-4}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("an error that doesn't begin with the file: %q", err)
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("read without an error but invalid: %v", err)
		}
		if slices.ContainsFunc(s.Hooks, func(h Hook) bool { return h.Line == 0 }) {
			t.Error("a hook without its line")
		}
	})
}
