package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func login(t *testing.T, g *Gate, remote string) (string, Actor) {
	t.Helper()
	secret, a, err := g.Login(t.Context(), "desk", goodPassword, "", remote, "browser")
	if err != nil {
		t.Fatal(err)
	}
	return secret, a
}

func TestLogin(t *testing.T) {
	t.Parallel()
	g, m, now := newGate(t)
	writes := m.writes
	secret, a := login(t, g, "192.0.2.7")
	if a.Name != "desk" || a.Via != ViaSession || a.May(Admin) != nil || m.writes != writes {
		t.Errorf("actor %+v after %d writes, want desk as owner and none", a, m.writes-writes)
	}
	other, _ := login(t, g, "192.0.2.7")
	if other == secret {
		t.Error("two logins share a session: one that was planted would become good")
	}
	if b, err := g.Session(t.Context(), secret, "192.0.2.7"); err != nil || b.Session != a.Session {
		t.Errorf("session: %+v, %v", b, err)
	}
	if got := g.Sessions("desk"); len(got) != 2 || got[0].Agent != "browser" || strings.Contains(fmt.Sprint(got), secret) {
		t.Errorf("sessions %+v, want two without their secrets", got)
	}
	for name, try := range map[string][2]string{"password": {"desk", "wrong wrong wrong"}, "user": {"porter", goodPassword}, "nothing": {"", ""}} {
		if _, _, err := g.Login(t.Context(), try[0], try[1], "", "192.0.2.8", ""); err == nil || err.Error() != ErrDenied.Error() {
			t.Errorf("wrong %s: %v, want %q and no more", name, err, ErrDenied)
		}
	}
	if !g.Revoke(a.Session) || g.Revoke(a.Session) {
		t.Error("a session ends once")
	}
	if _, err := g.Session(t.Context(), secret, ""); !errors.Is(err, ErrExpired) {
		t.Errorf("ended session: %v", err)
	}
	for range 5 { // use keeps it
		*now = now.Add(sessionIdle - time.Minute)
		if _, err := g.Session(t.Context(), other, ""); err != nil {
			t.Errorf("session in use: %v", err)
		}
	}
	*now = now.Add(sessionIdle + time.Second)
	if _, err := g.Session(t.Context(), other, ""); !errors.Is(err, ErrExpired) {
		t.Errorf("idle session: %v", err)
	}
	long, _ := login(t, g, "192.0.2.7")
	for end := now.Add(sessionLife + time.Minute); now.Before(end); *now = now.Add(20 * time.Minute) {
		_, _ = g.Session(t.Context(), long, "")
	}
	if _, err := g.Session(t.Context(), long, ""); !errors.Is(err, ErrExpired) {
		t.Errorf("session after half a day: %v", err)
	}
}

// S19: many addresses guess together; the person at her own desk gets in nevertheless.
func TestThreat_S19(t *testing.T) {
	t.Parallel()
	g, _, now := newGate(t)
	evaluated := 0
	for try := range 1000 {
		remote := fmt.Sprintf("198.51.100.%d", try%50)
		switch _, _, err := g.Login(t.Context(), "desk", "wrong wrong wrong", "", remote, ""); {
		case errors.Is(err, ErrDenied):
			evaluated++
		case !errors.Is(err, ErrThrottled):
			t.Fatalf("try %d: %v", try, err)
		}
		*now = now.Add(60 * time.Millisecond) // all within a minute
	}
	if evaluated > failBudget+cleanBudget {
		t.Errorf("%d of 1000 guesses in a minute were looked at, want at most %d", evaluated, failBudget+cleanBudget)
	}
	if all := failBudget + cleanBudget + knownBudget; all > 50 {
		t.Errorf("%d attempts a minute in all, want at most 50", all)
	}
	*now = now.Add(time.Minute)
	login(t, g, "192.0.2.7")
}

// S19: who signed in before is let in while thousands of fresh addresses guess; but nobody may guess on from there.
func TestKnownAddress(t *testing.T) {
	t.Parallel()
	g, _, now := newGate(t)
	const home = "192.0.2.7"
	try := func(remote, password string) error {
		_, _, err := g.Login(t.Context(), "desk", password, "", remote, "")
		return err
	}
	storm := func() {
		t.Helper()
		for n, spent := 0, 0; spent < 2; n++ { // the budget of fresh addresses, then of those that have failed
			from := n
			if spent > 0 {
				from = n % cleanBudget
			}
			if err := try(fmt.Sprintf("198.51.100.%d at %d", from, now.Unix()), "wrong wrong wrong"); errors.Is(err, ErrThrottled) {
				spent++
			} else if !errors.Is(err, ErrDenied) {
				t.Fatal(err)
			}
		}
	}
	login(t, g, home)
	*now = now.Add(24 * time.Hour)
	storm()
	if err := try("192.0.2.8", goodPassword); !errors.Is(err, ErrThrottled) {
		t.Errorf("from an address that nobody knows: %v; the storm is none", err)
	}
	if err := try(home, "mistyped mistyped"); !errors.Is(err, ErrDenied) {
		t.Errorf("mistyped: %v", err)
	}
	if err := try(home, goodPassword); err != nil {
		t.Errorf("in the storm, from home: %v", err)
	}
	*now = now.Add(time.Minute)
	for n := range freeFailures + 1 {
		if err := try(home, "wrong wrong wrong"); !errors.Is(err, ErrDenied) {
			t.Errorf("guess %d from home: %v", n, err)
		}
	}
	if err := try(home, goodPassword); !errors.Is(err, ErrThrottled) {
		t.Errorf("after %d guesses from home: %v, want to wait", freeFailures+1, err)
	}
	*now = now.Add(2 * forgetAfter)
	storm()
	for n := range knownBudget + 1 {
		err := try(home, goodPassword)
		if want := n == knownBudget; errors.Is(err, ErrThrottled) != want {
			t.Errorf("sign-in %d of the minute: %v", n, err)
		}
	}
	*now = now.Add(knownFor + time.Hour)
	storm()
	if err := try(home, goodPassword); !errors.Is(err, ErrThrottled) {
		t.Errorf("a month later: %v, want it to be as others", err)
	}
	for n := range 2 * maxKnown {
		g.throttle.succeeded(strconv.Itoa(n), now.Add(time.Duration(n)))
	}
	if _, ok := g.throttle.known[strconv.Itoa(maxKnown)]; len(g.throttle.known) != maxKnown || !ok {
		t.Errorf("%d addresses are known, want the last %d", len(g.throttle.known), maxKnown)
	}
}

func TestThrottleForgets(t *testing.T) {
	t.Parallel()
	g, _, now := newGate(t)
	try := func(password string) error {
		_, _, err := g.Login(t.Context(), "desk", password, "", "192.0.2.7", "")
		return err
	}
	for range freeFailures + 1 {
		if err := try("wrong wrong wrong"); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
	}
	if err := try(goodPassword); !errors.Is(err, ErrThrottled) || !strings.Contains(err.Error(), "try again in 1s") {
		t.Errorf("right password at once: %v, want the time to wait", err)
	}
	*now = now.Add(firstWait)
	if err := try(goodPassword); err != nil {
		t.Errorf("right password in time: %v", err)
	}
	for range freeFailures {
		if err := try("wrong wrong wrong"); !errors.Is(err, ErrDenied) {
			t.Errorf("after a success: %v, want a fresh count", err)
		}
	}
	var full throttle
	for i := range 2 * maxAddrs {
		full.failed(strconv.Itoa(i), now.Add(time.Duration(i)))
	}
	if len(full.addrs) != maxAddrs {
		t.Errorf("%d addresses are remembered, want %d", len(full.addrs), maxAddrs)
	}
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	g, _, now := newGate(t)
	_, a := login(t, g, "192.0.2.7")
	_, other := login(t, g, "192.0.2.9")
	secret := g.NewTOTP()
	step := func() int64 { return now.Unix() / 30 }
	if err := g.ConfirmTOTP(t.Context(), "desk", secret, "000000x", a.Session); !errors.Is(err, ErrInvalid) {
		t.Errorf("wrong code: %v", err)
	}
	if err := g.ConfirmTOTP(t.Context(), "desk", secret[1:], totpCode(secret[1:], step()), a.Session); !errors.Is(err, ErrInvalid) {
		t.Errorf("short secret: %v", err)
	}
	if err := g.ConfirmTOTP(t.Context(), "desk", secret, totpCode(secret, step()), a.Session); err != nil {
		t.Fatal(err)
	}
	if got := g.Sessions(""); len(got) != 1 || got[0].ID == other.Session {
		t.Errorf("sessions %+v: want only the one that changed this", got)
	}
	try := func(code string) error {
		_, _, err := g.Login(t.Context(), "desk", goodPassword, code, "192.0.2.7", "")
		return err
	}
	if err := try(totpCode(secret, step())); !errors.Is(err, ErrDenied) {
		t.Errorf("the code that confirmed works again: %v", err)
	}
	*now = now.Add(time.Minute)
	if err := try(""); !errors.Is(err, ErrDenied) {
		t.Errorf("no code: %v", err)
	}
	code := totpCode(secret, step())
	if err := try(code[:3] + " " + code[3:]); err != nil {
		t.Errorf("code with a space: %v", err)
	}
	if err := try(code); !errors.Is(err, ErrDenied) {
		t.Errorf("code twice: %v", err)
	}
	if err := g.ResetTOTP(t.Context(), "desk"); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Hour)
	if err := try(""); err != nil {
		t.Errorf("without the factor: %v", err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	g, m, now := newGate(t)
	secret, tok, err := g.NewToken(t.Context(), "desk", "ansible", []Scope{Read, PhonesWrite, Admin}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, tokenPrefix) || strings.Contains(fmt.Sprintf("%+v", m.tokens), secret) {
		t.Errorf("token %q: want the prefix, and no copy in the store", secret[:len(tokenPrefix)])
	}
	a, err := g.Bearer(t.Context(), secret, "192.0.2.7")
	if err != nil || a.Name != "desk/ansible" || a.Via != ViaToken || a.May(PhonesWrite) != nil || a.May(ConfigsWrite) == nil {
		t.Errorf("actor %+v, %v; want what the token has and no more", a, err)
	}
	writes := m.writes
	if _, err := g.Bearer(t.Context(), secret, ""); err != nil || m.writes != writes {
		t.Errorf("each request writes: %v", err)
	}
	mistyped := []byte(secret)
	mistyped[len(mistyped)-9] ^= 1
	for _, bad := range []string{"", "x", string(mistyped), secret[1:], tokenPrefix + strings.Repeat("0", 39)} {
		if _, err := g.Bearer(t.Context(), bad, ""); !errors.Is(err, ErrExpired) {
			t.Errorf("token %q: %v", bad, err)
		}
	}
	if err := g.SetRole(t.Context(), "desk", Viewer, false); !errors.Is(err, ErrConflict) {
		t.Errorf("the only owner is one no more: %v", err)
	}
	if _, err := g.NewUser(t.Context(), "porter", goodPassword, Owner); err != nil {
		t.Fatal(err)
	}
	if err := g.SetRole(t.Context(), "desk", Viewer, false); err != nil {
		t.Fatal(err)
	}
	if a, err = g.Bearer(t.Context(), secret, ""); err != nil || !slices.Equal(a.Scopes, []Scope{Read}) {
		t.Errorf("a viewer's token may %v, %v; want to read", a.Scopes, err)
	}
	for name, try := range map[string]func() error{
		"same name": func() error {
			_, _, err := g.NewToken(t.Context(), "desk", "ansible", []Scope{Read}, 0)
			return err
		},
		"beyond the role": func() error {
			_, _, err := g.NewToken(t.Context(), "desk", "x", []Scope{Admin}, 0)
			return err
		},
		"no scope":  func() error { _, _, err := g.NewToken(t.Context(), "desk", "x", nil, 0); return err },
		"no name":   func() error { _, _, err := g.NewToken(t.Context(), "desk", "", []Scope{Read}, 0); return err },
		"no user":   func() error { _, _, err := g.NewToken(t.Context(), "nobody", "x", []Scope{Read}, 0); return err },
		"past life": func() error { _, _, err := g.NewToken(t.Context(), "desk", "x", []Scope{Read}, -1); return err },
	} {
		if try() == nil {
			t.Errorf("%s: a token was made", name)
		}
	}
	*now = now.Add(time.Hour)
	if _, err := g.Bearer(t.Context(), secret, ""); !errors.Is(err, ErrExpired) {
		t.Errorf("token after its time: %v", err)
	}
	forever, _, err := g.NewToken(t.Context(), "desk", "forever", []Scope{Read}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetRole(t.Context(), "desk", Viewer, true); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Bearer(t.Context(), forever, ""); !errors.Is(err, ErrExpired) {
		t.Errorf("token of a disabled user: %v", err)
	}
	if err := m.DeleteToken(t.Context(), tok.ID); err != nil {
		t.Fatal(err)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	g, _, _ := newGate(t)
	for name, try := range map[string]struct {
		name, password string
		role           Role
		want           string
	}{
		"short":      {"porter", "short", Viewer, "at least 12"},
		"repeated":   {"porter", "abababababababab", Viewer, "repeats"},
		"own name":   {"roberta", "Roberta-roberta1", Viewer, "little more"},
		"well known": {"porter", "password123456", Viewer, "little more"},
		"long":       {"porter", strings.Repeat("abcdefghi", 50), Viewer, "at most"},
		"role":       {"porter", goodPassword, "king", "role"},
		"name":       {"a/b", goodPassword, Viewer, "slash"},
		"space":      {" a", goodPassword, Viewer, "space"},
		"control":    {"a\nb", goodPassword, Viewer, "printable"},
		"taken":      {"desk", goodPassword, Viewer, "one of that name"},
	} {
		if _, err := g.NewUser(t.Context(), try.name, try.password, try.role); err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %q", name, err, try.want)
		}
	}
	secret, a := login(t, g, "192.0.2.7")
	stolen, _ := login(t, g, "198.51.100.1")
	if err := g.SetPassword(t.Context(), "desk", "eight blue kettles", a.Session); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Session(t.Context(), secret, ""); err != nil {
		t.Errorf("own session after a new password: %v", err)
	}
	if _, err := g.Session(t.Context(), stolen, ""); !errors.Is(err, ErrExpired) {
		t.Errorf("another's session after a new password: %v", err)
	}
	if err := g.DeleteUser(t.Context(), "desk"); !errors.Is(err, ErrConflict) {
		t.Errorf("the only owner is deleted: %v", err)
	}
	if _, err := g.NewUser(t.Context(), "porter", goodPassword, Owner); err != nil {
		t.Fatal(err)
	}
	if err := g.DeleteUser(t.Context(), "desk"); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Session(t.Context(), secret, ""); !errors.Is(err, ErrExpired) {
		t.Errorf("session of a deleted user: %v", err)
	}
}

func TestSetup(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	g := &Gate{Store: newMemory(), Now: func() time.Time { return now }}
	if err := g.Setup(t.Context(), "", "desk", goodPassword, "192.0.2.7"); !errors.Is(err, ErrDenied) {
		t.Errorf("setup without a code having been made: %v", err)
	}
	code, err := g.SetupCode(t.Context())
	if err != nil || len(code) != 19 {
		t.Fatalf("code %q, %v", code, err)
	}
	if err := g.Setup(t.Context(), "0000-0000-0000-0000", "desk", goodPassword, "192.0.2.7"); !errors.Is(err, ErrDenied) {
		t.Errorf("wrong code: %v", err)
	}
	if err := g.Setup(t.Context(), strings.ToLower(code)+" ", "desk", "short", "192.0.2.7"); !errors.Is(err, ErrInvalid) {
		t.Errorf("bad password: %v", err)
	}
	if err := g.Setup(t.Context(), strings.ToLower(code)+" ", "desk", goodPassword, "192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	if err := g.Setup(t.Context(), code, "nobody", goodPassword, "192.0.2.7"); !errors.Is(err, ErrDenied) {
		t.Errorf("the code again: %v", err)
	}
	if code, err := g.SetupCode(t.Context()); err != nil || code != "" {
		t.Errorf("a code where there is an owner: %q, %v", code, err)
	}
	late := &Gate{Store: newMemory(), Now: func() time.Time { return now }}
	if code, err = late.SetupCode(t.Context()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(setupLife)
	if err := late.Setup(t.Context(), code, "desk", goodPassword, "192.0.2.7"); !errors.Is(err, ErrDenied) {
		t.Errorf("a code of yesterday: %v", err)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	h := NewHash(goodPassword)
	if h == NewHash(goodPassword) || !h.Matches(goodPassword) || h.Matches("x") || h.Stale() {
		t.Errorf("hash is wrong, or not salted")
	}
	if s := fmt.Sprintf("%s %v %#v %+v", h, h, h, User{Password: h}); strings.Contains(s, "argon") {
		t.Errorf("a hash is printed: %s", s)
	}
	weak := Hash(strings.Replace(string(h), "m=19456", "m=64", 1))
	if !weak.Stale() || weak.Matches(goodPassword) {
		t.Error("a hash with other parameters is taken for the same")
	}
	for _, bad := range []Hash{"", "x", "$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", h[:len(h)-30]} {
		if bad.Matches("") {
			t.Errorf("%q matches", string(bad))
		}
	}
}

// RFC 6238, appendix B, the last six digits.
func TestTOTPVectors(t *testing.T) {
	t.Parallel()
	secret := []byte("12345678901234567890")
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"} {
		if got := totpCode(secret, at/30); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
	if got, want := TOTPURL("desk", secret), "otpauth://totp/Dialtone:desk?issuer=Dialtone&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"; got != want {
		t.Errorf("URL %s, want %s", got, want)
	}
}

func TestStoreErrorsAreNoDenials(t *testing.T) {
	t.Parallel()
	g, m, _ := newGate(t)
	secret, _ := login(t, g, "192.0.2.7")
	m.err = errors.New("disk gone")
	if _, _, err := g.Login(t.Context(), "desk", goodPassword, "", "192.0.2.7", ""); !errors.Is(err, m.err) {
		t.Errorf("login: %v", err)
	}
	if _, err := g.Session(t.Context(), secret, ""); !errors.Is(err, m.err) {
		t.Errorf("session: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.err = nil
	for range 2 {
		_ = g.hashing.do(t.Context(), func() {})
	}
	g.hashing.slot <- struct{}{}
	g.hashing.slot <- struct{}{}
	if _, _, err := g.Login(ctx, "desk", goodPassword, "", "192.0.2.7", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("login of a browser that left: %v", err)
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	order := []Role{Viewer, Helpdesk, Operator, Owner}
	for i, r := range order[1:] {
		for _, s := range order[i].Scopes() {
			if !slices.Contains(r.Scopes(), s) {
				t.Errorf("%s may %q, %s may not", order[i], s, r)
			}
		}
	}
	if slices.Contains(Helpdesk.Scopes(), SecretsRead) || Role("").Scopes() != nil {
		t.Error("the help desk sees secrets, or nobody may something")
	}
	if err := (Actor{Name: "x"}).May(Read); !errors.Is(err, ErrScope) {
		t.Errorf("an actor without scopes: %v", err)
	}
}
