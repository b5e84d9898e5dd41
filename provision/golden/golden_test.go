package golden_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision/golden"
	"github.com/dialtone-project/dialtone/provision/plugin"
)

const manifest = `format: 1
version: 1.0.0
vendor: Yealink
firmware: '^[0-9]+\.86\.'
models:
  T46S: {lines: 16}
extract:
  - {field: user-agent, regexp: '^Yealink SIP-(?P<model>\S+) (?P<version>\S+) (?P<mac>[0-9a-fA-F:]{17})$'}
  - {field: path, regexp: '^(?P<mac>[0-9a-f]{12})\.cfg$'}
  - {field: vendor-class, regexp: '^yealink$'}
routes:
  - {path: 'y0000*.cfg', template: common.tmpl, kind: line, class: site}
  - {path: '{mac}.cfg', template: device.tmpl, kind: line, class: secret}
  - {path: '*.rom', firmware: true}
`

const device = `#!version:1.0.0.1
{{range numeric .Params.sip_lines}}account.{{.Key}}.user_name = {{.Value.username}}
account.{{.Key}}.password = {{.Value.password}}
{{end}}local_time.ntp_server1 = {{.Params.ntp_ip}}
`

const (
	request  = "-- request --\nGET /001565aabbcc.cfg HTTP/1.1\nUser-Agent: Yealink SIP-T46S 66.86.0.15 00:15:65:aa:bb:cc\n"
	leased   = "-- lease --\n192.0.2.23 00:15:65:aa:bb:cc vendor-class=yealink\n"
	config   = "-- config --\nsip_lines: {\"1\": {username: \"1001\", password: s3cret, display_name: Reception, proxy_ip: 192.0.2.5}}\n"
	identity = "-- identity --\nmac=00:15:65:aa:bb:cc vendor=Yealink model=T46S version=66.86.0.15\n"
	answer   = "-- answer --\n200 text/plain; charset=utf-8\n#!version:1.0.0.1\naccount.1.user_name = 1001\n"
)

func load(tb testing.TB, tests map[string]string) *plugin.Plugin {
	tb.Helper()
	fsys := fstest.MapFS{
		"plugin.yaml":           {Data: []byte(manifest)},
		"templates/device.tmpl": {Data: []byte(device)},
		"templates/common.tmpl": {Data: []byte("base = {{.HTTP}}\n")},
	}
	for name, text := range tests {
		fsys["tests/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, err := plugin.Load("yealink-v86", plugin.Dirs{Plugin: fsys})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string // faults; none: it passes
	}{
		{"as in the book", "A factory-new T46S.\n" + request + leased + config + identity + answer, nil},
		{"exact", request + leased + config + "-- answer --\n200\n=== exact\n#!version:1.0.0.1\naccount.1.user_name = 1001\naccount.1.password = s3cret\nlocal_time.ntp_server1 = \n", nil},
		{"plugin", request + leased + config + strings.Replace(identity, "\nmac", "\nplugin=yealink-v86 mac", 1), nil},
		{"a browser", "-- request --\nGET /y000000000000.cfg HTTP/1.1\nUser-Agent: Mozilla/5.0\n-- identity --\n-- answer --\n404\n", nil},
		{"TFTP by address alone", "-- request --\nRRQ y000000000028.cfg octet\n" + leased + "-- identity --\nmac=00:15:65:aa:bb:cc vendor=Yealink\n-- answer --\n200\nbase = http://192.0.2.1\n", nil},
		{"firmware", "-- request --\nGET /T46S.rom HTTP/1.1\n" + leased + "-- answer --\n200 application/octet-stream\nimage\n-- firmware/T46S.rom --\nimage\n", nil},
		{"no firmware", "-- request --\nGET /T46S.rom HTTP/1.1\n" + leased + "-- answer --\n404\n", nil},
		{"a lease", "-- request --\nDHCP\n" + leased + "-- identity --\nmac=00:15:65:aa:bb:cc vendor=Yealink plugin=yealink-v86\n", nil},
		{"a known device", "-- request --\nGET /001565aabbcc.cfg HTTP/1.1\n-- device --\nmac=00:15:65:aa:bb:cc vendor=Yealink model=T46S plugin=yealink-v86 label=\"the lobby's\"\n" +
			config + "-- lease --\n192.0.2.23 00:15:65:aa:bb:cc\n-- answer --\n200\naccount.1.password = s3cret\n", nil},
		{"another's file", "-- request --\nGET /001565aabbcd.cfg HTTP/1.1\n" + leased + config + "-- answer --\n403\n", nil},
		{
			"wrong identity", request + leased + config + "-- identity --\nmac=00:15:65:aa:bb:cc vendor=Yealink model=T48S sn=1\n",
			[]string{`tests/a.txtar:9: sn is "", wanted "1"`, `tests/a.txtar:9: model is "T46S", wanted "T48S"`, `tests/a.txtar:9: version is "66.86.0.15", wanted ""`},
		},
		{"wrong status", request + leased + config + "-- answer --\n404\n", []string{"tests/a.txtar:9: the answer is 200, wanted 404"}},
		{"why it is missing", "-- request --\nGET /nothing HTTP/1.1\n" + leased + "-- answer --\n200\n", []string{"tests/a.txtar:6: the answer is 404, wanted 200: route: plugin yealink-v86 has no such file: not found"}},
		{"wrong type", request + leased + config + "-- answer --\n200 text/xml\n", []string{`tests/a.txtar:9: the content type is "text/plain; charset=utf-8", wanted "text/xml"`}},
		{
			"wrong line", request + leased + config + "-- answer --\n200\naccount.1.user_name = 1002\n",
			[]string{`tests/a.txtar:10: line 2 of the answer is "account.1.user_name = 1001", wanted "account.1.user_name = 1002"`},
		},
		{
			"wrong order", request + leased + config + "-- answer --\n200\naccount.1.user_name = 1001\n#!version:1.0.0.1\n",
			[]string{`tests/a.txtar:11: the answer has "#!version:1.0.0.1", but in line 1, before what stands above it here`},
		},
		{"no such line", request + leased + config + "-- answer --\n200\nvoice = loud\n", []string{`tests/a.txtar:10: no line of the answer is "voice = loud"`}},
		{"not", request + leased + config + "-- answer --\n200\nnot: s3cret\n", []string{`tests/a.txtar:10: line 3 of the answer has what it must not have: "account.1.password = s3cret"`}},
		{"exact differs", request + leased + config + "-- answer --\n200\n=== exact\n#!version:1.0.0.1\n\n", []string{`tests/a.txtar:12: line 2 of the answer is "account.1.user_name = 1001", wanted ""`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			results := golden.Run(t.Context(), load(t, map[string]string{"a.txtar": tt.text}))
			if len(results) != 1 || results[0].File != "tests/a.txtar" {
				t.Fatalf("got %+v", results)
			}
			var got []string
			for _, f := range plugin.Faults(results[0].Err) {
				got = append(got, f.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"empty", "", "t.txtar:1: there is no section request"},
		{"nothing wanted", request, "t.txtar:1: neither a section identity nor answer"},
		{"unknown section", request + answer + "-- reply --\n", `t.txtar:8: there is no section "reply"; there are answer, config`},
		{"twice", request + answer + answer, `t.txtar:8: the section "answer" stands in line 4 already`},
		{"no request", "-- request --\n\n" + answer, "t.txtar:2: the section request is empty"},
		{"method", "-- request --\nPOST /a HTTP/1.1\n" + answer, `a request begins with "GET /path HTTP/1.1"`},
		{"mode", "-- request --\nRRQ a mail\n" + answer, "the mode of a read request is octet or netascii"},
		{"traversal", "-- request --\nGET /../etc/passwd HTTP/1.1\n" + answer, "no front end takes this path"},
		{"escape", "-- request --\nGET /%zz HTTP/1.1\n" + answer, "isn't rightly encoded"},
		{"header", "-- request --\nGET /a HTTP/1.1\nno header\n" + answer, "t.txtar:3: \"no header\" is no header"},
		{"lease", request + answer + "-- lease --\n192.0.2.300 x\n", `t.txtar:9: "192.0.2.300" is not an IPv4 address`},
		{"lease's address", request + answer + "-- lease --\n192.0.2.3 x\n", "is not a hardware address"},
		{"lease's key", request + answer + "-- lease --\n192.0.2.3 00:15:65:aa:bb:cc vendorclass=x\n", `there is no key "vendorclass" here`},
		{"lease's params", request + answer + "-- lease --\n192.0.2.3 00:15:65:aa:bb:cc params=1,x\n", "params must be numbers"},
		{"quotes", request + answer + "-- device --\nlabel=\"x\n", "the quotes of label aren't closed"},
		{"no pair", request + answer + "-- device --\nmac\n", `"mac" is no key=value`},
		{"pair twice", request + answer + "-- device --\nsn=1 sn=2\n", "sn stands here twice"},
		{"config", request + answer + "-- config --\na: [\n", "the config isn't YAML"},
		{"config's keys", request + answer + "-- config --\nsip_prox: x\n", "the config: "},
		{"status", request + "-- answer --\n201\n", "an answer begins with 200, 403, 404 or 500"},
		{"file of a refusal", request + "-- answer --\n404\nx\n", "t.txtar:6: only an answer with 200 has a file"},
		{"lines and exact", request + "-- answer --\n200\na\n=== exact\nb\n", "not both"},
		{"DHCP with an answer", "-- request --\nDHCP\n" + leased + answer, "a lease gets no file"},
		{"DHCP without a lease", "-- request --\nDHCP\n" + identity, "a DHCP request needs a section lease"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := golden.Parse("t.txtar", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := request + leased + config + identity + answer
	if err := golden.Check(t.Context(), load(t, map[string]string{"a.txtar": good})); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	err := golden.Check(t.Context(), load(t, map[string]string{"a.txtar": good, "b.txtar": strings.Replace(good, "= 1001", "= 1002", 1)}))
	if err == nil || !strings.Contains(err.Error(), "tests/b.txtar:") {
		t.Errorf("got %v, want a fault of b.txtar", err)
	}
	if err := golden.Check(t.Context(), load(t, nil)); err != nil {
		t.Errorf("no golden requests: got %v, want nil", err)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	wrong := map[string]string{
		"lines.txtar": "Kept.\n" + request + leased + config + "-- identity --\nvendor=Snom plugin=none\n-- answer --\n200\n#!version:1.0.0.1\naccount.1.user_name = 1002\nnot: s3cret\nnot: s4cret\n",
		"exact.txtar": request + leased + config + "-- answer --\n404\n",
		"right.txtar": request + leased + config + identity + answer,
		"parse.txtar": "-- request --\nnonsense\n" + answer,
	}
	want := map[string]string{
		"lines.txtar": "Kept.\n" + request + leased + config + strings.Replace(identity, "15\n", "15 plugin=yealink-v86\n", 1) + answer + "not: s4cret\n",
		"exact.txtar": request + leased + config + "-- answer --\n200 text/plain; charset=utf-8\n=== exact\n#!version:1.0.0.1\naccount.1.user_name = 1001\naccount.1.password = s3cret\nlocal_time.ntp_server1 = \n",
		"right.txtar": wrong["right.txtar"],
		"parse.txtar": wrong["parse.txtar"],
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "tests"), 0o750); err != nil {
		t.Fatal(err)
	}
	for name, text := range wrong {
		if err := os.WriteFile(filepath.Join(dir, "tests", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := golden.Update(t.Context(), load(t, wrong), dir); err == nil || !strings.Contains(err.Error(), "tests/parse.txtar:2") {
		t.Errorf("got %v, want the fault of parse.txtar", err)
	}
	got := make(map[string]string)
	for name := range wrong {
		b, err := os.ReadFile(filepath.Join(dir, "tests", name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(b)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	delete(got, "parse.txtar")
	for _, r := range golden.Run(t.Context(), load(t, got)) {
		if r.Err != nil {
			t.Errorf("after the update: %v", r.Err)
		}
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := load(t, map[string]string{"a.txtar": request + leased + config + answer})
	if err := golden.Check(ctx, p); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a fault", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(request + leased + config + identity + answer))
	f.Add([]byte("-- request --\nRRQ a octet\n-- answer --\n200\n=== exact\n"))
	f.Add([]byte("-- request --\nDHCP\n" + leased + "-- identity --\nsn=\"a b\" mac=x\n-- firmware/a --\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := golden.Parse("t.txtar", data)
		if (r == nil) == (err == nil) {
			t.Fatalf("got %v and %v", r, err)
		}
		golden.Run(t.Context(), load(t, map[string]string{"a.txtar": string(data)}))
	})
}
