package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

// strictly makes the sandbox's network hold new phones.
func strictly(site string) string {
	return strings.Replace(site, "provisioning: {", "provisioning: {guard: strict, cleartext_ok: true, ", 1)
}

// step is a verb, its exit code and what it must print.
type step struct {
	args []string
	code int
	want string
}

func (o *office) steps(list ...step) {
	o.t.Helper()
	for _, s := range list {
		if out, code := o.cli(s.args...); code != s.code || !strings.Contains(out, s.want) {
			o.t.Errorf("%s: exit %d, want %d and %q in it:\n%s", strings.Join(s.args, " "), code, s.code, s.want, out)
		}
	}
}

// A new phone is held, and let in, turned away and let in again by verbs.
func TestPhoneIsApproved(t *testing.T) {
	t.Parallel()
	o := newOffice(t, strictly)
	const mac, file = "00:08:5d:00:00:01", "/00085D000001.cfg"
	addr := o.lease(mac, aastraClass)
	get := func(what string, want int) {
		t.Helper()
		if status, body := o.get(addr, file, agent("3.3.1.4365", mac)); status != want {
			t.Errorf("%s: got %d %q, want %d", what, status, body, want)
		}
	}
	get("a new phone", http.StatusNotFound)
	out, code := o.cli("phone", "waiting", "--json")
	var list api.WaitingList
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list.Waiting) != 1 || list.Waiting[0].Mac != mac || list.Waiting[0].Served {
		t.Fatalf("waiting: exit %d, %v: %s", code, err, out)
	}
	o.steps(
		step{[]string{"phone", "waiting"}, 0, mac},
		step{[]string{"phone", "show", mac}, 0, "new, nobody has confirmed it"},
		step{[]string{"phone", "approve", mac, "--config", "nonesuch"}, exitInvalid, ""},
		step{[]string{"phone", "show", mac}, 0, "new, nobody has confirmed it"},
		step{[]string{"phone", "approve", mac, "--dry-run"}, 0, "asks for 00085D000001.cfg again: ok, with its passwords"},
		step{[]string{"phone", "approve", mac, "--config", "base", "--dry-run", "--json"}, 0, `"new": "\"enrolled\""`},
		step{[]string{"phone", "deny", mac, "--dry-run"}, 0, "asks for 00085D000001.cfg again: forbidden"},
		step{[]string{"phone", "show", mac}, 0, "new, nobody has confirmed it"},
		step{[]string{"aside", "list", "--json"}, 0, `"asides": []`},
		step{[]string{"phone", "approve", addr.String(), "--config", "autocreate"}, 0, "enrolled"},
		step{[]string{"phone", "waiting", "--json"}, 0, `"waiting": []`},
	)
	get("an approved phone", http.StatusOK)
	o.steps(step{[]string{"phone", "list"}, 0, "provisioned"}, step{[]string{"phone", "retire", mac, "--json"}, 0, `"state": "retired"`})
	get("a retired phone", http.StatusNotFound)
	o.steps(
		step{[]string{"problem", "list"}, 0, "00085d000001"},
		step{[]string{"problem", "quiet", "00085d000001", "--dry-run"}, 0, "alarms about 00085d000001"},
		step{[]string{"problem", "list"}, 0, "00085d000001"},
		step{[]string{"problem", "quiet", "00085d000001"}, 0, ""},
		step{[]string{"problem", "quiet", "00085d000001"}, exitNotFound, ""},
		step{[]string{"phone", "approve", mac}, exitConflict, ""},
		step{[]string{"phone", "approve", mac, "--config", "base"}, exitConflict, ""},
		step{[]string{"phone", "show", mac}, 0, "autocreate"},
		step{[]string{"phone", "clear", mac}, 0, "enrolled"},
	)
	get("a cleared phone", http.StatusOK)
	o.steps(
		step{[]string{"phone", "deny", mac, "--why", "a neighbour's"}, 0, mac},
		step{[]string{"aside", "list"}, 0, "a neighbour's"},
	)
	get("a denied phone", http.StatusNotFound)
	o.steps(
		step{[]string{"aside", "rm", "00085D000001"}, 0, ""},
		step{[]string{"aside", "rm", mac}, exitNotFound, ""},
	)
	get("a phone taken back", http.StatusOK)
	for _, verb := range []string{"approve", "deny", "retire", "clear", "token"} {
		o.steps(step{[]string{"phone", verb, "00:08:5d:00:00:99"}, exitNotFound, ""}, step{[]string{"phone", verb}, exitUsage, ""})
	}
}

// While a window is open, new phones that it is for are confirmed by asking.
func TestEnrolmentWindow(t *testing.T) {
	t.Parallel()
	o := newOffice(t, strictly)
	network := string(o.parts.Networks().All()[0].ID)
	o.steps(
		step{[]string{"window", "open"}, exitUsage, ""},
		step{[]string{"window", "open", "--network", "nonesuch"}, exitNotFound, ""},
		step{[]string{"window", "open", "--network", network, "--minutes", "31"}, exitInvalid, ""},
		step{[]string{"window", "open", "--network", network, "--oui", "0008"}, exitInvalid, ""},
		step{[]string{"window", "close", "nonesuch"}, exitNotFound, ""},
	)
	out, code := o.cli("window", "open", "--network", network, "--vendor", "Aastra", "--oui", "00:08:5D", "--count", "1", "--json")
	var w api.Window
	if err := json.Unmarshal([]byte(out), &w); err != nil || code != 0 || w.ID == "" || w.By != "socket" {
		t.Fatalf("window open: exit %d, %v: %s", code, err, out)
	}
	const first, second = "00:08:5d:00:00:01", "00:08:5d:00:00:02"
	if status, body := o.get(o.lease(first, aastraClass), "/00085D000001.cfg", agent("3.3.1.4365", first)); status != http.StatusOK {
		t.Errorf("a phone in its window: got %d %q, want 200", status, body)
	}
	if status, _ := o.get(o.lease(second, aastraClass), "/00085D000002.cfg", agent("3.3.1.4365", second)); status != http.StatusNotFound {
		t.Errorf("a second phone in a window for one: got %d, want 404", status)
	}
	o.steps(
		step{[]string{"window", "list"}, 0, "1 of 1"},
		step{[]string{"window", "close", w.ID}, 0, ""},
		step{[]string{"window", "list", "--json"}, 0, `"windows": []`},
	)
}

// A device that is set aside is not heard of.
func TestAside(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	const mac = "00:08:5d:00:00:01"
	o.steps(
		step{[]string{"aside", "add", "nonsense"}, exitInvalid, ""},
		step{[]string{"aside", "add", "00-08-5D-00-00-01", "--why", "a spare"}, 0, ""},
		step{[]string{"aside", "add", "serial 4711"}, 0, ""},
		step{[]string{"aside", "list", "--json"}, 0, `"key": "mac ` + mac + `"`},
		step{[]string{"aside", "list"}, 0, "serial 4711"},
	)
	if status, _ := o.get(o.lease(mac, aastraClass), "/00085D000001.cfg", agent("3.3.1.4365", mac)); status != http.StatusNotFound {
		t.Errorf("got %d, want 404", status)
	}
	if phones := o.phones(); len(phones) != 0 {
		t.Errorf("phones: %+v", phones)
	}
}

// A phone behind NAT is served by the URL that a verb prints, and by no other.
func TestPhoneToken(t *testing.T) {
	t.Parallel()
	const mac = "00:08:5d:00:00:77"
	o := newOffice(t, func(site string) string {
		return strings.Replace(site, "devices: []", "devices:\n  - {mac: '"+mac+"', vendor: Aastra, model: 6730i, plugin: aastra-67xx-3.3.1, config: autocreate}", 1)
	}, func(s *configs.Settings) { s.Guard.Outside = string(provision.GuardBalanced) })
	nat := netip.MustParseAddr("127.201.0.1")
	o.steps(
		step{[]string{"phone", "token", mac, "--hours", "721"}, exitInvalid, ""},
		step{[]string{"phone", "token", mac, "--from", "nowhere"}, exitInvalid, ""},
		step{[]string{"phone", "token", mac}, 0, "follows the address"},
		step{[]string{"phone", "token", mac, "--from", nat.String()}, 0, "/t/"},
	)
	out, code := o.cli("phone", "token", mac, "--hours", "2", "--from", nat.String(), "--remote", "--json")
	var token api.PhoneToken
	if err := json.Unmarshal([]byte(out), &token); err != nil || code != 0 || !strings.HasSuffix(token.URL, token.Path) || token.URL == token.Path {
		t.Fatalf("token: exit %d, %v: %s", code, err, out)
	}
	if status, body := o.get(nat, token.Path+"/00085D000077.cfg", "x"); status != http.StatusOK || !strings.Contains(body, "sandbox-guest") {
		t.Errorf("with its token: got %d %q", status, body)
	}
	if status, _ := o.get(nat, "/00085D000077.cfg", "x"); status != http.StatusNotFound {
		t.Errorf("without it: got %d, want 404", status)
	}
	o.steps(step{[]string{"phone", "show", mac}, 0, "remote"})
	if strings.Contains(o.log.String(), strings.TrimPrefix(token.Path, "/t/")) {
		t.Error("the token is in the log")
	}
}

// Whoever asked for too many phones' files is locked after a restart still, and the administrator told of it.
func TestLockOverARestart(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	stranger := o.lease("02:00:5e:10:20:30", "MSFT 5.0")
	for i := range 3 {
		o.rrq(stranger, fmt.Sprintf("SEP00112233450%d.cnf.xml", i))
	}
	for _, when := range []string{"before", "after"} {
		if stdout, code := o.cli("problem", "list"); code != 0 || !strings.Contains(stdout, "asked for the files of 3 devices") {
			t.Errorf("%s the restart: problem list (exit %d):\n%s", when, code, stdout)
		}
		if _, out := o.rrq(stranger, "SEP001122334500.cnf.xml"); out || o.last("SEP001122334500.cnf.xml").Decision.Row != "ID-01" {
			t.Errorf("%s the restart: row %s", when, o.last("SEP001122334500.cnf.xml").Decision.Row)
		}
		o.restart()
	}
	if stdout, code := o.cli("problem", "quiet", stranger.String()); code != 0 {
		t.Errorf("problem quiet (exit %d): %s", code, stdout)
	}
	o.restart()
	if stdout, _ := o.cli("problem", "list"); strings.Contains(stdout, "asked for the files of 3 devices") {
		t.Errorf("what was quieted is back:\n%s", stdout)
	}
}
