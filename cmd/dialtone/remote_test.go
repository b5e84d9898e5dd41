package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/dialtone-project/dialtone/web/api"
)

// tokenFile makes a user and returns a file with a token that acts for it.
func (o *office) tokenFile(role string, scopes ...string) string {
	o.t.Helper()
	dir := o.t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text+"\n"), 0o600); err != nil {
			o.t.Fatal(err)
		}
		return name
	}
	if _, code := o.cli("user", "add", role, "--role", role, "--password-file", write("password", "seven green kettles")); code != 0 {
		o.t.Fatal("no user")
	}
	args := []string{"token", "create", "elsewhere", "--user", role, "--json"}
	for _, s := range scopes {
		args = append(args, "--scope", s)
	}
	out, _ := o.cli(args...)
	var created api.CreatedAPIToken
	if err := json.Unmarshal([]byte(out), &created); err != nil {
		o.t.Fatalf("token: %s, %v", out, err)
	}
	return write("token", created.Secret)
}

// known leases an address to an Aastra and waits until it is among the phones, which is a moment later.
func (o *office) known(mac string) netip.Addr { return o.knownAs(mac, aastraClass) }

// knownAs is known for a phone of any class.
func (o *office) knownAs(mac, class string) netip.Addr {
	o.t.Helper()
	addr := o.lease(mac, class)
	waitFor(o.t, mac+" is among the phones", func() bool {
		return slices.ContainsFunc(o.phones(), func(p api.Phone) bool { return p.Mac == mac })
	})
	return addr
}

// away runs a verb as another machine does, without the daemon's folder.
func away(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "--state", filepath.Join(t.TempDir(), "nothing"))
	code = run(t.Context(), args, func(key string) string { return env[key] }, strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

// The verbs reach a daemon elsewhere by HTTPS with a token, and what they may there is what the token may.
func TestAnotherMachine(t *testing.T) {
	t.Parallel()
	o := newOffice(t, strictly)
	o.known("00:08:5d:00:00:07")
	token := o.tokenFile("operator", "read")
	console := "http://" + o.parts.consoleAddr()
	u, err := url.Parse(console)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }})
	defer front.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}

	for _, tt := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		want string // in what it says
	}{
		{"https", nil, []string{"phone", "list", "--server", front.URL, "--ca", ca, "--token-file", token}, 0, "00:08:5d:00:00:07"},
		{"loopback", nil, []string{"phone", "list", "--server", console, "--token-file", token}, 0, "00:08:5d:00:00:07"},
		{"environment", map[string]string{"DIALTONE_SERVER": front.URL + "/", "DIALTONE_TOKEN": string(secret), "DIALTONE_CA": ca}, []string{"phone", "show", "00-08-5D-00-00-07"}, 0, "00:08:5d"},
		{"beyond the token", nil, []string{"phone", "retire", "00:08:5d:00:00:07", "--server", console, "--token-file", token}, exitForbidden, ""},
		{"unknown authority", nil, []string{"phone", "list", "--server", front.URL, "--token-file", token}, exitFailure, "its authority: --ca"},
		{"no token", nil, []string{"phone", "list", "--server", front.URL, "--ca", ca}, exitUsage, "dialtone token create"},
		{"wrong token", map[string]string{"DIALTONE_TOKEN": "dialtone_pat_wrong"}, []string{"phone", "list", "--server", console}, exitForbidden, ""},
		{"in the clear", nil, []string{"phone", "list", "--server", "http://192.0.2.1:8080", "--token-file", token}, exitUsage, "use https"},
		{"no URL", nil, []string{"phone", "list", "--server", "192.0.2.1:8080", "--token-file", token}, exitUsage, "is not a URL"},
		{"doctor", nil, []string{"doctor", "--server", console}, exitUsage, "looks at the machine"},
		{"nobody there", nil, []string{"phone", "list", "--server", "https://127.0.0.1:1", "--token-file", token}, exitUnreachable, "console.listen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, code := away(t, tt.env, tt.args...)
			if code != tt.code || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("got exit %d, %s%s; want %d, %q", code, stdout, stderr, tt.code, tt.want)
			}
			if strings.Contains(stderr, apiPath) {
				t.Errorf("%s tells of URLs that nobody has typed", stderr)
			}
			if strings.Contains(stdout+stderr, strings.TrimSpace(string(secret))) {
				t.Error("the token is in the output")
			}
		})
	}
}

// A token isn't taken where a server sends it.
func TestRedirectedToken(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was followed") }))
	defer other.Close()
	front := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer front.Close()
	if _, _, code := away(t, map[string]string{"DIALTONE_TOKEN": "dialtone_pat_x"}, "phone", "list", "--server", front.URL); code != exitFailure {
		t.Errorf("got exit %d, want %d", code, exitFailure)
	}
}

// An answer that doesn't come ends the verb, with a code of its own.
func TestSlowDaemon(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }))
	defer front.Close()
	defer close(end)
	_, stderr, code := away(t, map[string]string{"DIALTONE_TOKEN": "dialtone_pat_x"}, "phone", "list", "--server", front.URL, "--timeout", "50ms")
	if code != exitTimeout {
		t.Errorf("got exit %d, %s; want %d", code, stderr, exitTimeout)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	for _, mac := range []string{"00:08:5d:00:00:07", "00:08:5d:00:00:08"} {
		o.known(mac)
	}
	if _, code := o.cli("phone", "label", "00:08:5d:00:00:07", `=1+1, "no"`); code != 0 {
		t.Fatal("no label")
	}
	for _, tt := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"--columns", "label,mac", "--no-headers"}, "=1+1, \"no\"  00:08:5d:00:00:07\n-           00:08:5d:00:00:08\n", 0},
		{[]string{"--columns", "mac,LABEL", "--output", "csv"}, "MAC,LABEL\n00:08:5d:00:00:07,\"'=1+1, \"\"no\"\"\"\n00:08:5d:00:00:08,\n", 0},
		{[]string{"--columns", "mac,colour"}, "", exitUsage},
		{[]string{"--json", "--columns", "mac"}, "", exitUsage},
		{[]string{"--output", "xml"}, "", exitUsage},
		{[]string{"--json", "--output", "yaml"}, "", exitUsage},
	} {
		out, code := o.cli(append([]string{"phone", "list", "--sort", "mac"}, tt.args...)...)
		if out != tt.want || code != tt.code {
			t.Errorf("%q: got exit %d,\n%s\nwant %d,\n%s", tt.args, code, out, tt.code, tt.want)
		}
	}
	if out, code := o.cli("phone", "show", "00:08:5d:00:00:07", "--output", "csv"); out != "" || code != exitUsage {
		t.Errorf("what has no table: got exit %d, %s", code, out)
	}
	out, _ := o.cli("phone", "show", "00:08:5d:00:00:07", "--output", "yaml")
	if !strings.Contains(out, "\nmac: \"00:08:5d:00:00:07\"\n") && !strings.Contains(out, "\nmac: 00:08:5d:00:00:07\n") || strings.Contains(out, "{") {
		t.Errorf("got %s", out)
	}
}

// The shell is told what there is, and which it is.
func TestCompletion(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.known("00:08:5d:00:00:07")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"phone", "show", ""}, "00:08:5d:00:00:07\t"},
		{[]string{"phone", "rm", "00:08:5d:00:00:99", "00"}, "00:08:5d:00:00:07\t"},
		{[]string{"phone", "show", "00:08:5d:00:00:07", ""}, ":4\n"}, // nothing more, and no files
		{[]string{"config", "show", ""}, "base\t"},
		{[]string{"apply", ""}, ":0\n"}, // a file
		{[]string{"plugin", "test", ""}, ":16\n"},
		{[]string{"user", "add", ""}, ":4\n"},
	} {
		var out bytes.Buffer
		args := append([]string{cobra.ShellCompRequestCmd, "--state", o.state}, tt.args...)
		if code := run(t.Context(), args, func(string) string { return "" }, nil, &out, &out); code != 0 || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%q: got exit %d, %s; want %q", tt.args, code, &out, tt.want)
		}
	}
}

// Each command has a manual page that says how it is called, and help with an example if it takes any words.
func TestManual(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, stderr, code := away(t, nil, "man", dir); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return
		}
		name := filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		data, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		} else if first, _, _ := strings.Cut(cmd.Short, "`"); !bytes.Contains(data, []byte(first)) {
			t.Errorf("%s doesn't say %q", name, first)
		}
		pages = slices.DeleteFunc(pages, func(p string) bool { return p == name })
		if cmd.HasParent() && cmd.Parent().Name() != "completion" && !cmd.HasSubCommands() && strings.Contains(cmd.Use, " ") && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	root := (&app{env: func(string) string { return "" }}).root()
	root.InitDefaultCompletionCmd()
	visit(root)
	if len(pages) > 0 {
		t.Errorf("pages of no command: %s", pages)
	}
}
