package web_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web"
)

// The threats to the console and the API, by their numbers in the design.
func TestThreat(t *testing.T) {
	t.Parallel()
	for id, test := range map[string]func(*testing.T){
		"S16": crossSite, "S17": rebinding, "S18": fixedSession, "S18 end of sessions": endOfSessions, "S18 cookie over TLS": cookieOverTLS,
		"S19": bruteForce, "S20": firstOwner, "S21": farAway, "S31": leakedToken, "S31 nothing in the log": silentLog,
		"S35": alteredAudit, "S36": knownKey,
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func crossSite(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	// Signing a victim in as somebody else is a change, too.
	for _, origin := range []string{"http://evil.example", "null"} {
		a := o.ask(t, http.MethodPost, "/login", credentials("desk", ownersPassword), func(r *http.Request) { r.Header.Set("Origin", origin) })
		if a.status != http.StatusForbidden || a.cookie() != nil {
			t.Errorf("login by a page of %s: %d", origin, a.status)
		}
	}
	a := o.ask(t, http.MethodPost, "/login", credentials("desk", ownersPassword), func(r *http.Request) {
		r.Header.Set("Origin", "http://"+r.URL.Host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	if a.status != http.StatusOK || a.cookie().SameSite != http.SameSiteStrictMode {
		t.Errorf("login by a page of ours: %d, %v", a.status, a.cookie())
	}
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Access-Control-Allow-Origin": "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := a.header.Get("Content-Security-Policy"); !strings.Contains(got, "frame-ancestors 'none'") {
		t.Errorf("content security policy %q", got)
	}
}

func rebinding(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	desk := o.login(t, "desk")
	for host, want := range map[string]int{
		"evil.example": http.StatusMisdirectedRequest, "localhost.evil.example:8080": http.StatusMisdirectedRequest,
		"192.0.2.1.evil.example": http.StatusMisdirectedRequest, "localhost:8080": http.StatusOK, "Phones.Example.COM.": http.StatusOK,
		"192.0.2.1": http.StatusOK, "[2001:db8::1]:8080": http.StatusOK,
	} {
		a := o.ask(t, http.MethodGet, "/me", "", func(r *http.Request) { desk(r); r.Host = host })
		if a.status != want || a.header.Get("X-Frame-Options") == "" {
			t.Errorf("Host %s: %d, want %d", host, a.status, want)
		}
	}
}

func fixedSession(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	plant := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "dialtone", Value: value}) }
	}
	a := o.ask(t, http.MethodPost, "/login", credentials("desk", ownersPassword), plant("planted"))
	if a.status != http.StatusOK || a.cookie().Value == "planted" || !a.cookie().HttpOnly || a.cookie().Path != "/" || a.cookie().Domain != "" {
		t.Fatalf("login with a planted cookie: %d %v", a.status, a.cookie())
	}
	if b := o.ask(t, http.MethodGet, "/me", "", plant("planted")); b.status != http.StatusUnauthorized {
		t.Errorf("the planted cookie after the login: %d", b.status)
	}
	// A session that somebody else began in this browser doesn't go on beside the new one.
	if b := o.ask(t, http.MethodPost, "/login", credentials("desk", ownersPassword), plant(a.cookie().Value)); b.cookie().Value == a.cookie().Value {
		t.Error("a login goes on with the session that the browser had")
	}
	if b := o.ask(t, http.MethodGet, "/me", "", plant(a.cookie().Value)); b.status != http.StatusUnauthorized {
		t.Errorf("the former session after a login: %d", b.status)
	}
	// What lists show of a session doesn't open it.
	if b := o.ask(t, http.MethodGet, "/me", "", plant(o.Access.Sessions("")[0].ID)); b.status != http.StatusUnauthorized {
		t.Errorf("a session's name in lists, as a cookie: %d", b.status)
	}
}

func endOfSessions(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	me := func(as func(*http.Request)) int { return o.ask(t, http.MethodGet, "/me", "", as).status }
	desk := o.login(t, "desk")
	a := o.ask(t, http.MethodPost, "/logout", "", desk)
	if a.status != http.StatusNoContent || a.cookie() == nil || a.cookie().MaxAge >= 0 || me(desk) != http.StatusUnauthorized {
		t.Errorf("logout: %d %v; the cookie then: %d", a.status, a.cookie(), me(desk))
	}
	desk = o.login(t, "desk")
	o.pass(29 * time.Minute)
	if got := me(desk); got != http.StatusOK {
		t.Errorf("after 29 minutes: %d", got)
	}
	o.pass(31 * time.Minute)
	if got := me(desk); got != http.StatusUnauthorized {
		t.Errorf("after 31 idle minutes: %d", got)
	}
}

// from asks the console's handler as a client at an address that this machine doesn't have.
func from(t *testing.T, o *office, addr string, state *tls.ConnectionState, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := o.ConsoleHandler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host, r.RemoteAddr, r.TLS = "192.168.7.1", netip.AddrPortFrom(netip.MustParseAddr(addr), 4711).String(), state
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func cookieOverTLS(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	body := credentials("desk", ownersPassword)
	if w := from(t, o, "192.168.7.9", nil, http.MethodPost, "/api/v1/login", body); w.Code != http.StatusForbidden {
		t.Errorf("a password that crosses the network in clear: %d, want 403", w.Code)
	}
	w := from(t, o, "192.168.7.9", &tls.ConnectionState{}, http.MethodPost, "/api/v1/login", body)
	c := w.Result().Cookies()
	if w.Code != http.StatusOK || len(c) != 1 {
		t.Fatalf("login over TLS: %d %v", w.Code, c)
	}
	if c := c[0]; c.Name != "__Host-dialtone" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %v", c)
	}
}

// bruteForce: many addresses guess; few guesses count, and somebody at another address still gets in.
func bruteForce(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	wrong, body := 0, ""
	const guesses, minutes = 1000, 4
	for n := range guesses {
		if n > 0 && n%(guesses/minutes) == 0 {
			o.pass(time.Minute)
		}
		name := []string{"desk", "nobody"}[n%2]
		a := o.askFrom(t, "127.0.1."+strconv.Itoa(n%50+1), http.MethodPost, "/login", credentials(name, "guess "+strconv.Itoa(n)), nil)
		switch a.status {
		case http.StatusUnauthorized:
			wrong++
			text := a.body[:strings.Index(a.body, "request_id")]
			if body == "" {
				body = text
			}
			if text != body {
				t.Errorf("answers to wrong guesses differ: %s and %s", text, body)
			}
		case http.StatusTooManyRequests:
			if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 || s > 900 {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
		default:
			t.Fatalf("a guess: %d %s", a.status, a.body)
		}
	}
	if wrong == 0 || wrong > 50*minutes {
		t.Errorf("%d of %d guesses were looked at in %d minutes, want at most 50 a minute", wrong, guesses, minutes)
	}
	// By now each of the fifty has failed, so all they have together is the budget of those; the attack goes on.
	o.login(t, "desk")
	refused := 0
	for _, e := range o.audit(t) {
		if e.Action == "login" && e.Refused != "" && strings.HasPrefix(e.Remote, "127.0.1.") {
			refused++
		}
	}
	if refused != wrong {
		t.Errorf("%d failed logins in the audit, want %d: those that were looked at", refused, wrong)
	}
}

// firstOwner: there is no default password. The code on the appliance itself makes the first owner, once.
func firstOwner(t *testing.T) {
	o := newOffice(t)
	for _, password := range []string{"admin", "dialtone"} {
		if a := o.ask(t, http.MethodPost, "/login", credentials("admin", password), nil); a.status != http.StatusUnauthorized {
			t.Errorf("a default password: %d", a.status)
		}
	}
	code, err := o.Access.SetupCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	setup := func(code, name string) int {
		return o.ask(t, http.MethodPost, "/setup", `{"code":"`+code+`","name":"`+name+`","password":"`+ownersPassword+`"}`, nil).status
	}
	if got := setup("AAAA-AAAA-AAAA-AAAA", "nobody"); got != http.StatusUnauthorized {
		t.Errorf("a wrong code: %d", got)
	}
	if got := setup(code, "desk"); got != http.StatusNoContent {
		t.Errorf("the code: %d", got)
	}
	if got := setup(code, "nobody"); got != http.StatusUnauthorized && got != http.StatusConflict {
		t.Errorf("the code again: %d", got)
	}
	o.pass(time.Minute)
	o.login(t, "desk")
	entries := o.audit(t)
	found := false
	for _, e := range entries {
		found = found || e.Action == "setup" && e.Object == "user desk" && e.Refused == ""
	}
	if !found {
		t.Errorf("the first owner isn't in the audit: %+v", entries)
	}
}

func farAway(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "192.168.1.1": true, "100.64.0.9": true, "169.254.1.1": true, "fe80::1": true, "fd00::1": true,
		"203.0.113.9": false, "2001:db8::9": false, "::ffff:203.0.113.9": false,
	} {
		if got := web.Nearby(netip.MustParseAddr(addr).Unmap()); got != want {
			t.Errorf("%s is near: %v, want %v", addr, got, want)
		}
	}
	o := newOffice(t)
	for _, path := range []string{"/", "/api/v1/login"} {
		if w := from(t, o, "203.0.113.9", &tls.ConnectionState{}, http.MethodGet, path, ""); w.Code != http.StatusForbidden {
			t.Errorf("GET %s from far away: %d, want 403", path, w.Code)
		}
	}
	for addr, want := range map[string]int{"192.168.7.9": http.StatusUnauthorized, "127.0.0.1": http.StatusOK} {
		if w := from(t, o, addr, &tls.ConnectionState{}, http.MethodGet, "/", ""); w.Code != want {
			t.Errorf("the page of requests, without a session, to %s: %d, want %d", addr, w.Code, want)
		}
	}
	o.Public = true
	if w := from(t, o, "203.0.113.9", &tls.ConnectionState{}, http.MethodGet, "/api/v1/me", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("from far away where that is allowed: %d, want 401", w.Code)
	}
}

func leakedToken(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	secret, token, err := o.Access.NewToken(t.Context(), "desk", "monitoring", []access.Scope{access.Read}, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, body string) int { return o.ask(t, method, path, body, bearer(secret)).status }
	if got := ask(http.MethodGet, "/phones", ""); got != http.StatusOK {
		t.Errorf("what it is for: %d", got)
	}
	// It makes itself no successor and no room.
	for path, body := range map[string]string{
		"/tokens": `{"name":"x","scopes":["read"]}`, "/users": `{"name":"nobody","password":"nine blue teapots","role":"owner"}`,
	} {
		if got := ask(http.MethodPost, path, body); got != http.StatusForbidden {
			t.Errorf("POST %s: %d", path, got)
		}
	}
	if got := ask(http.MethodGet, "/backup", ""); got != http.StatusForbidden {
		t.Errorf("backup: %d", got)
	}
	if list := o.ask(t, http.MethodGet, "/tokens", "", bearer(secret)).body; strings.Contains(list, secret) || !strings.Contains(list, token.ID) {
		t.Errorf("the list of tokens: %s", list)
	}
	o.pass(25 * time.Hour)
	if got := ask(http.MethodGet, "/phones", ""); got != http.StatusUnauthorized {
		t.Errorf("after its end: %d", got)
	}
}

// silentLog: no credential is in the log, at any level, whatever goes wrong.
func silentLog(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	token := o.token(t, "desk", access.Read)
	a := o.ask(t, http.MethodPost, "/login", credentials("desk", ownersPassword), nil)
	o.ask(t, http.MethodPost, "/login", credentials("desk", "wrong kettles"), nil)
	for _, as := range []func(*http.Request){bearer(token), func(r *http.Request) { r.AddCookie(a.cookie()) }} {
		o.ask(t, http.MethodGet, "/phones", "", as)
		o.ask(t, http.MethodGet, "/phones/nobody", "", as)
		o.ask(t, http.MethodPost, "/users", "{", as)
	}
	for _, planted := range []string{token, a.cookie().Value, "kettles"} {
		if strings.Contains(o.log.String(), planted) {
			t.Errorf("%q is in the log:\n%s", planted, o.log)
		}
	}
}

// book is an audit that can be tampered with; its first entry has the number 1.
type book []access.Entry

func (b book) Append(context.Context, access.Entry) error { return nil }

func (b book) Audit(_ context.Context, before uint64, n int) (list []access.Entry, _ error) {
	for i := len(b) - 1; i >= 0 && len(list) < n; i-- {
		if before == 0 || b[i].Seq < before {
			list = append(list, b[i])
		}
	}
	return list, nil
}

func alteredAudit(t *testing.T) {
	o := newOffice(t)
	o.user(t, "desk", access.Owner)
	admin := bearer(o.token(t, "desk", access.Admin))
	var b book
	var sum [32]byte
	for n := range uint64(2500) { // the verdict is found a thousand entries at a time
		e := access.Entry{Seq: n + 1, Actor: "desk", Action: "login"}
		sum = e.Chain(sum)
		e.Sum = sum
		b = append(b, e)
	}
	o.Audit = b
	if a := o.ask(t, http.MethodGet, "/audit/verify", "", admin); !strings.Contains(a.body, `"entries":2500`) || !strings.Contains(a.body, `"whole":true`) {
		t.Errorf("verdict: %s", a.body)
	}
	for _, i := range []int{1, 500, 501, 1499, 1500, 1501, 2499} {
		b[i].Actor = "somebody else"
		if a := o.ask(t, http.MethodGet, "/audit/verify", "", admin); !strings.Contains(a.body, `"whole":false`) || !strings.Contains(a.body, "altered") {
			t.Errorf("entry %d is altered: %s", b[i].Seq, a.body)
		}
		b[i].Actor = "desk"
	}
	o.Audit = slices.Delete(slices.Clone(b), 1500, 1501)
	if a := o.ask(t, http.MethodGet, "/audit/verify", "", admin); !strings.Contains(a.body, `"whole":false`) {
		t.Errorf("an entry is taken out: %s", a.body)
	}
}

// knownKey: nothing that opens one appliance opens another.
func knownKey(t *testing.T) {
	one, other := newOffice(t), newOffice(t)
	first, err := one.Access.SetupCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.Access.SetupCode(t.Context())
	if err != nil || first == second || first == "" {
		t.Errorf("setup codes of two appliances: %q and %q, %v", first, second, err)
	}
	one.user(t, "desk", access.Owner)
	other.user(t, "desk", access.Owner)
	token, cookie := one.token(t, "desk", access.Scopes()...), one.login(t, "desk")
	for _, as := range []func(*http.Request){bearer(token), cookie, bearer(""), bearer("dialtone_pat_")} {
		if a := other.ask(t, http.MethodGet, "/me", "", as); a.status != http.StatusUnauthorized {
			t.Errorf("another appliance's credential: %d", a.status)
		}
	}
}
