package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// verbCase is how a verb succeeds.
type verbCase struct {
	// args makes what the verb is about, and returns what stands behind its name. It is called for each run.
	args  func(s *apiSite) []string
	local bool // it does without the daemon
	plain bool // its output is a document of its own, whatever --output says
	code  int  // if that is success, too
}

func words(args ...string) verbCase { return verbCase{args: func(*apiSite) []string { return args }} }

func made(args func(s *apiSite) []string) verbCase { return verbCase{args: args} }

// file writes a file and returns its name.
func (s *apiSite) file(text string) string {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), s.name())
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// number is that of a request.
func (s *apiSite) number() string {
	s.waiting()
	return strconv.FormatUint(s.parts.pipeline.Journal.Recent(1)[0].Request.ID, 10)
}

// saidBy decodes what a verb says.
func saidBy[T any](s *apiSite, args ...string) (v T) {
	s.t.Helper()
	out, code := s.cli(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 {
		s.t.Fatalf("%s: exit %d, %v: %s", strings.Join(args, " "), code, err, out)
	}
	return v
}

// verbCases are the verbs. One that is added to the program is added here.
func verbCases() map[string]verbCase {
	phone := func(s *apiSite) []string { return []string{s.newPhone().Mac} }
	asked := func(s *apiSite) []string { return []string{s.waiting()} }
	config := func(s *apiSite) []string { return []string{s.newConfig()} }
	job := func(s *apiSite) []string { return []string{saidBy[api.Job](s, "backup", "create").ID} }
	user := func(s *apiSite) string { return s.newUser(s.name(), access.Viewer) }
	network := func(s *apiSite) string { return string(s.parts.Networks().All()[0].ID) }
	// What others' files say and we have no place for is left out, and the exit code says that something was.
	imported := func(format string, code int) verbCase {
		return verbCase{code: code, args: func(*apiSite) []string {
			at := filepath.Join("..", "..", "provision", "port", "testdata")
			switch format {
			case "provd":
				return []string{filepath.Join(at, "provd"), "--dry-run"}
			case "isc":
				return []string{filepath.Join(at, "isc", "dhcpd.conf"), filepath.Join(at, "isc", "more.conf"), "--dry-run"}
			}
			return []string{filepath.Join(at, "dnsmasq", "dnsmasq.conf"), "--dry-run"}
		}}
	}
	saved := func(s *apiSite) []string {
		name := filepath.Join(s.t.TempDir(), "backup")
		saidBy[map[string]any](s, "backup", "create", name)
		return []string{name}
	}
	return map[string]verbCase{
		"version":  {args: words().args, local: true},
		"check":    {args: words("--sandbox").args, local: true},
		"identify": {args: func(*apiSite) []string { return []string{"--help"} }, local: true, plain: true}, // reads its input: identify.txtar
		"explain": made(func(s *apiSite) []string {
			return []string{"RRQ", "x", "--from", s.leased(s.mac(), aastraClass).String()}
		}),
		"doctor": {args: func(s *apiSite) []string {
			return []string{"--settings", s.file("state: " + s.state + "\ndhcp: {enabled: false}\ntftp: {enabled: false}\nhttp: {enabled: false}\nconsole: {enabled: false}\n")}
		}, local: true, code: exitWarnings}, // a machine of the tests' may have no clock that is set
		"man": {args: func(s *apiSite) []string { return []string{filepath.Join(s.t.TempDir(), "man")} }, local: true, plain: true},

		"phone list":    words(),
		"phone show":    made(phone),
		"phone add":     made(func(s *apiSite) []string { return []string{s.mac(), "--label", "Hall", "--set", "idle_text=Hall"} }),
		"phone edit":    made(func(s *apiSite) []string { return append(phone(s), "--label", "Hall") }),
		"phone label":   made(func(s *apiSite) []string { return append(phone(s), "Hall") }),
		"phone rm":      made(func(s *apiSite) []string { return append(phone(s), phone(s)...) }),
		"phone replace": made(func(s *apiSite) []string { return append(phone(s), s.mac()) }),
		"phone adopt":   made(func(s *apiSite) []string { return []string{s.sighting()} }),
		"phone waiting": words(),
		"phone approve": made(asked),
		"phone deny":    made(asked),
		"phone retire":  made(phone),
		"phone clear":   made(asked),
		"phone port":    made(func(s *apiSite) []string { return append(phone(s), "--unpin") }),
		"phone boots":   made(asked),
		"phone drift":   made(asked),
		"phone render":  made(phone),
		"phone offer":   made(asked),
		"phone token":   made(func(s *apiSite) []string { return append(phone(s), "--from", s.addr.String()) }),
		"problem quiet": made(func(s *apiSite) []string { return []string{s.alarmed()} }),
		"line list":     words(),
		"window list":   words(),
		"window open":   made(func(s *apiSite) []string { return []string{"--network", network(s)} }),
		"window close": made(func(s *apiSite) []string {
			return []string{saidBy[api.Window](s, "window", "open", "--network", network(s)).ID}
		}),
		"aside list":    words(),
		"aside add":     made(func(s *apiSite) []string { return []string{s.mac(), "--why", "a test"} }),
		"aside rm":      made(func(s *apiSite) []string { mac := s.mac(); s.cli("aside", "add", mac); return []string{mac} }),
		"lease list":    words(),
		"lease release": made(func(s *apiSite) []string { return []string{s.leased(s.mac(), aastraClass).String()} }),
		"lease reserve": made(func(s *apiSite) []string { return []string{s.leased(s.mac(), aastraClass).String()} }),
		"lease-event":   made(func(s *apiSite) []string { return []string{"add", s.mac(), "192.0.2.7"} }),
		"network list":  words(),
		"network show":  {args: func(s *apiSite) []string { return []string{anyNetwork(s)} }, plain: true},
		"network add":   made(func(s *apiSite) []string { return []string{s.name(), s.freshPrefix()} }),
		"network edit":  made(func(s *apiSite) []string { return []string{anyNetwork(s), "--lease", "4h"} }),
		"network set":   made(func(s *apiSite) []string { return []string{s.name(), s.file("prefix: " + s.freshPrefix() + "\n")} }),
		"network rm":    made(func(s *apiSite) []string { return []string{anyNetwork(s)} }),
		"pool list":     words(),
		"pool add": made(func(s *apiSite) []string {
			id, base, at := s.newNetwork()
			return []string{id, fmt.Sprint(base, at+5), fmt.Sprint(base, at+5)}
		}),
		"pool rm": made(func(s *apiSite) []string {
			id, base, at := s.newNetwork()
			return []string{id, fmt.Sprint(base, at+2)}
		}),
		"reservation list": words(),
		"reservation add": made(func(s *apiSite) []string {
			_, base, at := s.newNetwork()
			return []string{fmt.Sprint(base, at+5), s.mac()}
		}),
		"reservation edit": made(func(s *apiSite) []string { return []string{anyReservation(s), "--hostname", "hall"} }),
		"reservation rm":   made(func(s *apiSite) []string { return []string{anyReservation(s)} }),
		"option list":      words(),
		"option set":       words("ntp-servers", "192.0.2.1"),
		"option unset": made(func(s *apiSite) []string {
			s.cli("option", "set", "smtp-server", "192.0.2.1")
			return []string{"smtp-server"}
		}),
		"option types":    words(),
		"class list":      words(),
		"class show":      {args: func(s *apiSite) []string { return []string{anyClass(s)} }, plain: true},
		"class set":       made(func(s *apiSite) []string { return []string{s.name(), s.file("match: {mac: '00:15:65'}\n")} }),
		"class rm":        made(func(s *apiSite) []string { return []string{anyClass(s)} }),
		"plugin list":     words(),
		"plugin rescan":   words(),
		"plugin test":     {args: func(*apiSite) []string { return []string{filepath.Join("..", "..", "plugins", "aastra-67xx-3.3.1")} }, local: true},
		"firmware list":   words(),
		"problem list":    words(),
		"requests":        words(),
		"trace":           made(func(s *apiSite) []string { return []string{s.number()} }),
		"replay":          made(func(s *apiSite) []string { return []string{s.number()} }),
		"events":          words(),
		"log level":       words("tftp", "info"),
		"store check":     {args: words().args, local: true},
		"store unseal":    {args: func(*apiSite) []string { return []string{"--help"} }, local: true, plain: true}, // needs a copy: store.txtar
		"secret rotate":   words(),
		"config list":     words(),
		"config show":     {args: config, plain: true},
		"config set":      made(func(s *apiSite) []string { return []string{s.name(), s.file("params: {locale: de_DE}\n")} }),
		"config edit":     made(func(s *apiSite) []string { return append(config(s), "--set", "ntp_ip=192.0.2.9", "--unset", "vlan_id") }),
		"config delete":   made(config),
		"config diff":     made(config),
		"config history":  made(config),
		"config resolved": made(config),
		"config restore": made(func(s *apiSite) []string {
			id := s.newConfig()
			history := saidBy[api.RevisionList](s, "config", "history", id).Revisions
			return []string{id, strconv.FormatInt(history[len(history)-1].Number, 10)}
		}),

		"backup create": made(func(*apiSite) []string { return nil }), // one in a FILE, which can't be tried dry: see saved
		"backup list":   words(),
		"backup rm": made(func(s *apiSite) []string {
			saidBy[api.Job](s, "backup", "create")
			return []string{saidBy[api.BackupList](s, "backup", "list").Backups[0].Name}
		}),
		"job list":       words(),
		"job show":       made(job),
		"job wait":       made(job),
		"job cancel":     {args: job, code: exitConflict}, // it is done already
		"backup verify":  {args: saved, local: true},
		"backup restore": {args: func(s *apiSite) []string { return append(saved(s), "--state", filepath.Join(s.t.TempDir(), "state")) }, local: true},
		"export":         {args: words().args, plain: true},
		"diff": {args: func(s *apiSite) []string {
			site, _ := s.cli("export")
			return []string{s.file(strings.Replace(site, "\nconfigs:\n", "\nconfigs:\n  - {id: "+s.name()+"}\n", 1))}
		}, code: exitFailure},
		"apply":           made(func(s *apiSite) []string { return []string{s.file("configs:\n- {id: " + s.name() + "}\n")} }),
		"import csv":      made(func(s *apiSite) []string { return []string{s.file("mac,label\n" + s.mac() + ",Hall\n")} }),
		"import provd":    imported("provd", exitPartly),
		"import dnsmasq":  imported("dnsmasq", 0),
		"import isc-dhcp": imported("isc", exitPartly),

		"user list":       words(),
		"user add":        made(func(s *apiSite) []string { return []string{s.name(), "--password-file", s.file(password)} }),
		"user rm":         made(func(s *apiSite) []string { return []string{user(s)} }),
		"user role":       made(func(s *apiSite) []string { return []string{user(s), "helpdesk"} }),
		"user passwd":     made(func(s *apiSite) []string { return []string{user(s), "--password-file", s.file(password + "2")} }),
		"user totp-reset": made(func(s *apiSite) []string { return []string{user(s)} }),
		"token list":      words(),
		"token create":    made(func(s *apiSite) []string { return []string{s.name(), "--user", "owner"} }),
		"token revoke": made(func(s *apiSite) []string {
			return []string{saidBy[api.CreatedAPIToken](s, "token", "create", s.name(), "--user", "owner").Token.ID}
		}),
		"session list": words(),
		"session revoke": made(func(s *apiSite) []string {
			s.person(s.name(), access.Viewer)
			return []string{s.parts.access.Sessions("")[0].ID}
		}),
		"audit list":   words(),
		"audit verify": words(),
	}
}

// leaves returns the verbs below a command by their names, without the program's.
func leaves(cmd *cobra.Command) (list []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		switch {
		case sub.Hidden || sub.Name() == "help" || sub.Name() == "completion":
		case sub.HasSubCommands():
			list = append(list, leaves(sub)...)
		default:
			list = append(list, sub)
		}
	}
	return list
}

// Each verb does what it is for, as text and as JSON, without ever asking anybody; it says what is the matter if there is no
// daemon, or if it is called the wrong way.
func TestEveryVerb(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	cases := verbCases()
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for _, cmd := range leaves((&app{env: func(string) string { return "" }}).root()) {
		name := strings.TrimPrefix(cmd.CommandPath(), "dialtone ")
		// A daemon is what serve_test.go and others run; the phones that are simulated, TestPhonesBoot and sim_test.go.
		if name == "serve" || strings.HasPrefix(name, "sim ") {
			continue
		}
		c, ok := cases[name]
		if !ok {
			t.Errorf("%s: add to verbs_test.go how it succeeds", name)
			continue
		}
		delete(cases, name)
		t.Run(name, func(t *testing.T) {
			s.t = t // for what is made; no two of these run at the same time
			run := func(more ...string) (string, int) {
				var out, errs bytes.Buffer
				args := append(strings.Fields(name), c.args(s)...)
				if !slices.Contains(args, "--state") && !slices.Contains(more, "--state") {
					more = append(more, "--state", s.state)
				}
				args = append(args, more...)
				code := run(t.Context(), args, func(string) string { return "" }, iotest.ErrReader(errors.New("it asks")), &out, &errs)
				t.Logf("%s: exit %d, %s", strings.Join(args, " "), code, &errs)
				return out.String(), code
			}
			text, code := run()
			if code != 0 && code != c.code {
				t.Errorf("exit %d", code)
			}
			// What has nothing to say to people has nothing to say to programs.
			if out, code := run("--json"); code != 0 && code != c.code || !c.plain && !isJSON(out) && text+out != "" {
				t.Errorf("--json: exit %d, %s", code, out)
			}
			if cmd.Flags().Lookup("dry-run") != nil && !slices.Contains(c.args(s), "--dry-run") {
				if _, code := run("--dry-run"); code != 0 && code != c.code {
					t.Errorf("--dry-run: exit %d", code)
				}
			}
			if _, code := run("--state", nowhere); !c.local && code != exitUnreachable {
				t.Errorf("without a daemon: exit %d, want %d", code, exitUnreachable)
			}
			if _, code := run("--frobnicate"); code != exitUsage {
				t.Errorf("an unknown flag: exit %d, want %d", code, exitUsage)
			}
		})
	}
	for name := range cases {
		t.Errorf("there is no verb %s", name)
	}
}

// isJSON reports whether text is JSON, one value or more.
func isJSON(text string) bool {
	values := 0
	for d := json.NewDecoder(strings.NewReader(text)); ; values++ {
		var v any
		if err := d.Decode(&v); err != nil {
			return errors.Is(err, io.EOF) && values > 0
		}
	}
}
