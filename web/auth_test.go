package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web"
	"github.com/dialtone-project/dialtone/web/api"
)

const ownersPassword = "seven green kettles"

// office is a server with an owner, "desk", and a user of each role, whose clock stands still.
type office struct {
	*web.Server

	log *logged

	mu  sync.Mutex
	now time.Time // guarded by mu
}

// logged is what was logged.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{Server: newServer(t, nil), log: &logged{}, now: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)}
	o.Log = slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o.Names = []string{"phones.example.com"}
	o.Access.Now = func() time.Time {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.now
	}
	run(t, o.Server)
	return o
}

func (o *office) user(t *testing.T, name string, role access.Role) {
	t.Helper()
	if _, err := o.Access.NewUser(t.Context(), name, ownersPassword, role); err != nil {
		t.Fatal(err)
	}
}

func (o *office) token(t *testing.T, user string, scopes ...access.Scope) string {
	t.Helper()
	secret, _, err := o.Access.NewToken(t.Context(), user, "test "+string(scopes[0]), scopes, 0)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// asked is an answer that has been read.
type asked struct {
	status int
	header http.Header
	body   string
}

func (a asked) cookie() *http.Cookie {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		return c
	}
	return nil
}

// ask sends a request to the console's port; edit may be nil.
func (o *office) ask(t *testing.T, method, path, body string, edit func(*http.Request)) asked {
	t.Helper()
	return o.askFrom(t, "127.0.0.1", method, path, body, edit)
}

func (o *office) askFrom(t *testing.T, from, method, path, body string, edit func(*http.Request)) asked {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+o.ConsoleAddr().String()+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if edit != nil {
		edit(r)
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.DialContext(ctx, network, addr)
		},
	}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return asked{resp.StatusCode, resp.Header, string(data)}
}

func credentials(name, password string) string {
	data, _ := json.Marshal(map[string]string{"name": name, "password": password}) //nolint:errchkjson // strings
	return string(data)
}

// login signs a user in and returns what adds the cookie to a request.
func (o *office) login(t *testing.T, name string) func(*http.Request) {
	t.Helper()
	a := o.ask(t, http.MethodPost, "/login", credentials(name, ownersPassword), nil)
	if a.status != http.StatusOK || a.cookie() == nil {
		t.Fatalf("login of %s: %d %s", name, a.status, a.body)
	}
	return func(r *http.Request) { r.AddCookie(a.cookie()) }
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

// audit returns the whole audit, the oldest first.
func (o *office) audit(t *testing.T) []access.Entry {
	t.Helper()
	all, err := o.Audit.Audit(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

func TestRulesHaveEveryOperation(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]struct {
			ID string `yaml:"operationId"`
		} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(api.Document, &doc); err != nil {
		t.Fatal(err)
	}
	want, got := make(map[string]string), make(map[string]string)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			want[strings.ToUpper(method)+" "+path] = op.ID
		}
	}
	for pattern, r := range web.Rules() {
		got[pattern] = r.Name
		if !r.Anybody && !r.Own && !slices.Contains(access.Scopes(), r.Needs) {
			t.Errorf("%s needs %q, which is no scope", r.Name, r.Needs)
		}
		if method, _, _ := strings.Cut(pattern, " "); method != http.MethodGet && method != http.MethodPost && !r.Changes {
			t.Errorf("%s is a %s that is said to change nothing", r.Name, method)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations without a rule, or the other way round (-openapi.yaml +rules):\n%s", diff)
	}
}

// Each operation that changes something is refused to whom the rules don't let in, before anything of the body is read.
func TestChangesAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for name, role := range map[string]access.Role{"desk": access.Owner, "vic": access.Viewer, "hal": access.Helpdesk} {
		o.user(t, name, role)
	}
	desk, vic, hal := o.login(t, "desk"), o.login(t, "vic"), o.login(t, "hal")
	reader := bearer(o.token(t, "desk", access.Read))
	for pattern, rule := range web.Rules() {
		if !rule.Changes {
			continue
		}
		method, path, _ := strings.Cut(pattern, " ")
		for strings.Contains(path, "{") {
			path = path[:strings.Index(path, "{")] + "x" + path[strings.Index(path, "}")+1:]
		}
		expect := func(who string, edit func(*http.Request), want int) {
			t.Helper()
			if a := o.ask(t, method, path, "{", edit); a.status != want || a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s by %s: %d %s, want %d", rule.Name, who, a.status, a.body, want)
			}
		}
		if !rule.Anybody {
			expect("nobody", nil, http.StatusUnauthorized)
			expect("a forged token", bearer("dialtone_pat_"+strings.Repeat("0", 39)), http.StatusUnauthorized)
			expect("a password", func(r *http.Request) { r.SetBasicAuth("desk", ownersPassword) }, http.StatusUnauthorized)
			expect("a token that may only read", reader, http.StatusForbidden)
			if !rule.Own {
				expect("a viewer", vic, http.StatusForbidden)
			}
			if !rule.Own && rule.Needs != access.PhonesWrite {
				expect("the helpdesk", hal, http.StatusForbidden)
			}
		}
		if method != http.MethodGet { // those, the cookie isn't sent with
			expect("another site", func(r *http.Request) { desk(r); r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden)
			expect("another site, an old browser", func(r *http.Request) { desk(r); r.Header.Set("Origin", "http://evil.example") }, http.StatusForbidden)
		}
		refusals := 0
		for _, e := range o.audit(t) {
			if e.Action == rule.Name && e.Refused != "" && (e.Actor == "desk/test read" || e.Actor == "vic" || e.Actor == "hal") {
				refusals++
			}
		}
		if !rule.Anybody && refusals == 0 {
			t.Errorf("%s: who was refused isn't in the audit", rule.Name)
		}
	}
}

// What changes users, tokens and sessions is written down with who, what, before and after, and without any secret.
func TestChangesAreAudited(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	secret := o.token(t, "desk", access.Scopes()...)
	do := func(method, path, body string, want int) asked {
		t.Helper()
		a := o.ask(t, method, path, body, bearer(secret))
		if a.status != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, want)
		}
		return a
	}
	do(http.MethodPost, "/users", `{"name":"porter","password":"nine blue teapots","role":"viewer"}`, http.StatusCreated)
	do(http.MethodPut, "/users/porter/role", `{"role":"operator"}`, http.StatusNoContent)
	do(http.MethodPut, "/users/porter/password", `{"password":"four red saucepans"}`, http.StatusNoContent)
	do(http.MethodDelete, "/users/porter/totp", "", http.StatusNoContent)
	var created api.CreatedAPIToken
	if err := json.Unmarshal([]byte(do(http.MethodPost, "/tokens", `{"user":"porter","name":"ansible","scopes":["read"]}`, http.StatusCreated).body), &created); err != nil {
		t.Fatal(err)
	}
	do(http.MethodDelete, "/tokens/"+created.Token.ID, "", http.StatusNoContent)
	o.login(t, "desk")
	do(http.MethodDelete, "/sessions/"+o.Access.Sessions("desk")[0].ID, "", http.StatusNoContent)
	do(http.MethodPost, "/plugins/rescan", "", http.StatusOK)
	do(http.MethodDelete, "/users/porter", "", http.StatusNoContent)
	do(http.MethodDelete, "/users/desk", "", http.StatusConflict)

	type line struct{ action, object string }
	var got []line
	for _, e := range o.audit(t) {
		if e.Via == access.ViaToken {
			got = append(got, line{e.Action, e.Object})
			if e.Actor != "desk/test read" || e.Remote != "127.0.0.1" || e.Refused != "" {
				t.Errorf("entry %+v", e)
			}
		}
		if e.Action == "setUserRole" && (!strings.Contains(string(e.Before), `"viewer"`) || !strings.Contains(string(e.After), `"operator"`)) {
			t.Errorf("a role was changed: before %s, after %s", e.Before, e.After)
		}
	}
	if got[5].object != "token porter/ansible" || !strings.HasPrefix(got[6].object, "session ") {
		t.Errorf("objects %v", got)
	}
	got[6].object = "session"
	want := []line{
		{"createUser", "user porter"},
		{"setUserRole", "user porter"},
		{"setUserPassword", "user porter"},
		{"resetUserTotp", "user porter"},
		{"createAPIToken", "token porter/ansible"},
		{"revokeAPIToken", "token porter/ansible"},
		{"revokeSession", "session"},
		{"rescanPlugins", "plugins"},
		{"deleteUser", "user porter"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
	list := do(http.MethodGet, "/audit?limit=1000", "", http.StatusOK).body
	for _, planted := range []string{"teapots", "saucepans", "kettles", created.Secret, secret, "argon2"} {
		if strings.Contains(list, planted) || strings.Contains(o.log.String(), planted) {
			t.Errorf("%q is in the audit or the log", planted)
		}
	}
	if verdict := do(http.MethodGet, "/audit/verify", "", http.StatusOK).body; !strings.Contains(verdict, `"whole":true`) {
		t.Errorf("verdict %s", verdict)
	}
}

// A person's own password and second factor take the password that is in force.
func TestOwnAccount(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	other, desk := o.login(t, "desk"), o.login(t, "desk")
	if a := o.ask(t, http.MethodPut, "/me/password", `{"old":"something else","new":"nine blue teapots"}`, desk); a.status != http.StatusForbidden {
		t.Errorf("a wrong old password: %d %s", a.status, a.body)
	}
	if a := o.ask(t, http.MethodPut, "/me/password", `{"old":"seven green kettles","new":"short"}`, desk); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a poor new password: %d %s", a.status, a.body)
	}
	if a := o.ask(t, http.MethodPut, "/me/password", `{"old":"seven green kettles","new":"nine blue teapots"}`, desk); a.status != http.StatusNoContent {
		t.Fatalf("change of password: %d %s", a.status, a.body)
	}
	if a := o.ask(t, http.MethodGet, "/me", "", other); a.status != http.StatusUnauthorized {
		t.Errorf("another session after a change of password: %d", a.status)
	}
	if a := o.ask(t, http.MethodGet, "/me", "", desk); a.status != http.StatusOK || !strings.Contains(a.body, `"name":"desk"`) {
		t.Errorf("the session that changed it: %d %s", a.status, a.body)
	}
	var begun api.SecondFactor
	if err := json.Unmarshal([]byte(o.ask(t, http.MethodPost, "/me/totp", "", desk).body), &begun); err != nil || !strings.HasPrefix(begun.URL, "otpauth://") {
		t.Errorf("second factor: %+v, %v", begun, err)
	}
	body := `{"password":"nine blue teapots","secret":"` + begun.Secret + `","code":"000000"}`
	if a := o.ask(t, http.MethodPut, "/me/totp", body, desk); a.status != http.StatusUnprocessableEntity {
		t.Errorf("a second factor without its code: %d %s", a.status, a.body)
	}
}
