package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/web/api"
)

// A network is declared, filled and taken away again by verbs; what is wrong has the exit code of its kind.
func TestNetworkVerbs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.steps(
		step{[]string{"network", "add", "voice", "192.0.2.0/24", "--pool", "192.0.2.100-192.0.2.109", "--lease", "4h", "--dry-run"}, 0, "nothing is changed yet: network voice is declared"},
		step{[]string{"network", "show", "voice"}, exitNotFound, ""},
		step{[]string{"network", "add", "voice", "192.0.2.0/24", "--pool", "192.0.2.100-192.0.2.109", "--lease", "4h", "--lease-max", "8h"}, 0, "network voice is declared"},
		step{[]string{"network", "add", "voice", "192.0.2.0/24"}, exitConflict, ""},
		step{[]string{"network", "add", "other", "192.0.2.0"}, exitInvalid, ""},
		step{[]string{"network", "list", "--columns", "network,pools", "--no-headers"}, 0, "voice    192.0.2.100-192.0.2.109"},
		step{[]string{"network", "edit", "voice", "--guard", "strict", "--relays", "192.0.2.1"}, 0, "network voice is so now"},
		step{[]string{"network", "edit", "voice", "--guard", "lax"}, exitInvalid, ""},
		step{[]string{"network", "edit", "voice", "--probe=false", "--rev", "999"}, exitConflict, ""},
		step{[]string{"network", "show", "voice"}, 0, "guard: strict"},

		step{[]string{"pool", "add", "voice", "192.0.2.120", "192.0.2.129", "--exclude", "192.0.2.125"}, 0, "network voice leases 192.0.2.120 to 192.0.2.129"},
		step{[]string{"pool", "add", "voice", "192.0.2.125", "192.0.2.130"}, exitInvalid, ""},
		step{[]string{"pool", "add", "voice", "192.0.2.131-192.0.2.139"}, 0, "network voice leases 192.0.2.131 to 192.0.2.139"},
		step{[]string{"pool", "add", "voice", "192.0.2.140"}, 0, "network voice leases 192.0.2.140 to 192.0.2.140"},
		step{[]string{"pool", "rm", "voice", "192.0.2.140"}, 0, ""},
		step{[]string{"pool", "rm", "voice", "192.0.2.131"}, 0, ""},
		step{[]string{"pool", "list", "--columns", "first,size,free", "--no-headers"}, 0, "192.0.2.120  9      9"},
		step{[]string{"pool", "rm", "voice", "192.0.2.120"}, 0, "is none of network voice any more"},
		step{[]string{"pool", "rm", "voice", "192.0.2.120"}, exitNotFound, ""},

		step{[]string{"reservation", "add", "192.0.2.20", "00-15-65-00-00-01", "--hostname", "hall"}, 0, "192.0.2.20 is reserved"},
		step{[]string{"reservation", "add", "192.0.2.20", "00:15:65:00:00:02"}, exitInvalid, ""},
		step{[]string{"reservation", "edit", "192.0.2.20", "--address", "192.0.2.21", "--hostname", ""}, 0, "is so now"},
		step{[]string{"reservation", "list", "--filter", "status:unused"}, 0, "192.0.2.21  00:15:65:00:00:01  voice    unused"},
		step{[]string{"reservation", "rm", "192.0.2.20"}, exitNotFound, ""},

		step{[]string{"option", "set", "ntp-servers", "192.0.2.1", "--network", "voice"}, 0, "network voice: option ntp-servers is set"},
		step{[]string{"option", "set", "42", "192.0.2.2", "--network", "voice", "--always"}, 0, ""},
		step{[]string{"option", "set", "router", "nowhere"}, exitInvalid, ""},
		step{[]string{"option", "set", "no-such", "x"}, exitInvalid, ""},
		step{[]string{"option", "list", "--network", "voice", "--columns", "code,value,sent,from"}, 0, "42    192.0.2.2  always  network"},
		step{[]string{"option", "unset", "ntp-servers", "--network", "voice"}, 0, "option ntp-servers is unset"},
		step{[]string{"option", "unset", "ntp-servers", "--network", "voice"}, exitNotFound, ""},
		step{[]string{"option", "types"}, 0, "ntp-servers"},
	)
	for _, c := range []struct {
		verb, want string
	}{
		{"network edit", "voice\t192.0.2.0/24"},
		{"pool add", "voice\t192.0.2.0/24"},
		{"reservation rm", "192.0.2.21\t00:15:65:00:00:01"},
		{"option set", "ntp-servers\t"},
	} {
		var out bytes.Buffer
		args := append([]string{"__complete", "--state", o.state}, strings.Fields(c.verb)...)
		run(t.Context(), append(args, ""), func(string) string { return "" }, strings.NewReader(""), &out, io.Discard)
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("the shell is offered of %s: %s; want %q", c.verb, &out, c.want)
		}
	}
	o.steps(
		step{[]string{"network", "rm", "voice"}, 0, "network voice is declared no more"},
		step{[]string{"network", "rm", "voice"}, exitNotFound, ""},
	)
}

// A network and a class that are shown can be set as they are, and then nothing changes.
func TestNetworkFiles(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	file := func(text string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "file.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	class := file("match:\n  - mac: ['00:15:65']\n    known: true\noptions: {router: 192.0.2.254}\nnul: true\n")
	voice := file("prefix: 192.0.2.0/24\nprobe: false\nonly: phones\npools: [192.0.2.100-192.0.2.109]\nreservations:\n" +
		"  - {mac: '00:15:65:00:00:01', ip: 192.0.2.20, options: {66: tftp.example}}\nlease: {default: 4h}\n")
	o.steps(
		step{[]string{"class", "set", "phones", class}, 0, "class phones is so now"},
		step{[]string{"network", "set", "voice", voice}, 0, "network voice is declared"},
		step{[]string{"network", "set", "voice", file("name: data\nprefix: 192.0.2.0/24\n")}, exitInvalid, ""},
		step{[]string{"network", "set", "voice", file("prefix: 192.0.2.0/24\ncolour: red\n")}, exitInvalid, ""},
		step{[]string{"class", "rm", "phones"}, exitInvalid, ""}, // voice is for it
		step{[]string{"class", "list", "--columns", "class,match", "--no-headers"}, 0, "phones  known:true mac:00:15:65"},
	)
	for _, kind := range []string{"network", "class"} {
		id := map[string]string{"network": "voice", "class": "phones"}[kind]
		shown, code := o.cli(kind, "show", id)
		if code != 0 || strings.Contains(shown, "rivals") {
			t.Errorf("%s show: exit %d, %s; want it without what it is usually", kind, code, shown)
		}
		var r api.NetworkResult
		out, code := o.cli(kind, "set", id, file(shown), "--json")
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || len(r.Added)+len(r.Changed)+len(r.Removed) > 0 {
			t.Errorf("%s set as it was shown: exit %d, %s\n%s", kind, code, out, shown)
		}
		if again, _ := o.cli(kind, "show", id); again != shown {
			t.Errorf("%s is another afterwards: %s; was %s", kind, again, shown)
		}
	}
}

// A dry run tells which phones would be told what else, and changes nothing.
func TestNetworkEffects(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const mac = "00:08:5d:00:00:09"
	o.known(mac)
	id := string(o.parts.Networks().All()[0].ID)
	var r api.NetworkResult
	out, code := o.cli("option", "set", "ntp-servers", "192.0.2.1", "--always", "--network", id, "--dry-run", "--json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if len(r.Effects) != 1 || r.Effects[0].Mac != mac || !slices.ContainsFunc(r.Effects[0].Added, func(s string) bool { return strings.HasSuffix(s, "192.0.2.1") }) {
		t.Errorf("effects: %+v; want that %s is told 192.0.2.1", r.Effects, mac)
	}
	first := o.parts.Networks().All()[0].Pools[0].First.String()
	o.steps(
		step{[]string{"option", "list", "--network", id}, 0, "CODE"},
		step{[]string{"option", "set", "ntp-servers", "192.0.2.1", "--always", "--network", id, "--dry-run"}, 0, "would be told something else\n    + "},
		step{[]string{"pool", "rm", id, first, "--dry-run"}, 0, mac + " would not be answered: "},
		step{[]string{"lease", "reserve", o.lease(mac, aastraClass).String()}, 0, "is reserved for who holds it"},
		step{[]string{"reservation", "list", "--filter", "status:in_use"}, 0, mac},
	)
	if options, _ := o.cli("option", "list", "--network", id); strings.Contains(options, "192.0.2.1") {
		t.Errorf("the dry run has changed something: %s", options)
	}
}

// What another policy of a network would mean to the phones' files is told before it is in force: of the phone whose last
// file with secrets it would decide otherwise, and of no other.
func TestFileEffects(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const mac, other = "00:08:5d:00:00:09", "00:08:5d:00:00:0a"
	o.known(mac)
	o.known(other)
	id := string(o.parts.Networks().All()[0].ID)
	o.get(o.lease(other, aastraClass), "/00085D000009.cfg", "") // refused, and would be
	addr := o.lease(mac, aastraClass)
	status, _ := o.get(addr, "/00085D000009.cfg", "Aastra6730i MAC:00-08-5D-00-00-09 V:3.3.1.4365-SIP")
	o.get(addr, "/aastra.cfg", "") // has no secrets
	out, code := o.cli("network", "edit", id, "--guard", "strict", "--dry-run", "--json")
	var r api.NetworkResult
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	want := []api.FileEffect{{Phone: "00085d000009", Mac: mac, Path: "00085D000009.cfg", From: api.FileFateServed, To: api.FileFateHeld}}
	if len(r.Files) == 1 {
		want[0].Request, want[0].Why = int64(o.last("00085D000009.cfg").Request.ID), r.Files[0].Why
	}
	if status != http.StatusOK || len(r.Files) != 1 || r.Files[0].Why == "" || !slices.Equal(r.Files, want) {
		t.Errorf("status %d, then %+v, want %+v with a reason", status, r.Files, want)
	}
	o.steps(
		step{[]string{"network", "edit", id, "--guard", "strict", "--dry-run"}, 0, "00085D000009.cfg would be held for approval, not served: "},
		step{[]string{"network", "edit", id, "--guard", "strict"}, 0, ""},
		step{[]string{"network", "edit", id, "--guard", "legacy", "--dry-run"}, 0, "00085D000009.cfg would be served, not held for approval\n"},
	)
	if out, _ := o.cli("network", "edit", id, "--lease", "20m", "--dry-run"); strings.Contains(out, "00085D") {
		t.Errorf("what changes no policy: %s", out)
	}
}
