package provision_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// held is a lease table for tokens.
type held []lease.Lease

func (h held) ByAddr(netip.Addr) (lease.Lease, bool) { return lease.Lease{}, false }

func (h held) ByHW(hw hwaddr.Addr) []lease.Lease {
	var out []lease.Lease
	for _, l := range h {
		if l.Client.HW == hw {
			out = append(out, l)
		}
	}
	return out
}

func tokensOf(t *testing.T, leases provision.LeaseView) *provision.Tokens {
	t.Helper()
	tokens, err := provision.NewTokens(bytes.Repeat([]byte{7}, 32), leases)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestLeaseToken(t *testing.T) {
	t.Parallel()
	hw := hwaddr.MustParse("00:15:65:aa:bb:cc")
	home, voice, elsewhere := netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("198.51.100.10"), netip.MustParseAddr("192.0.2.66")
	booted := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	boot := func(n int) uint32 { return uint32(booted.Add(time.Duration(n) * time.Hour).Unix()) }
	leased := func(addr netip.Addr, boot, last uint32) lease.Lease {
		return lease.Lease{Addr: addr, Client: lease.Client{HW: hw}, State: lease.Bound, Origin: lease.Pool, Boot: boot, LastBoot: last}
	}
	token := tokensOf(t, held{leased(home, boot(1), 0)}).Issue(hw)
	external := leased(home, boot(1), 0)
	external.Origin = lease.External
	for _, c := range []struct {
		name   string
		leases held
		from   netip.Addr
		after  time.Duration // the first boot
		want   provision.TokenState
	}{
		{"at once", held{leased(home, boot(1), 0)}, home, time.Hour, provision.TokenValid},
		{"a year later", held{leased(home, boot(1), 0)}, home, 8760 * time.Hour, provision.TokenValid},
		{"from elsewhere", held{leased(home, boot(1), 0)}, elsewhere, time.Hour, provision.TokenReplayed},
		{"just after the next boot", held{leased(home, boot(2), boot(1))}, home, 2*time.Hour + 9*time.Minute, provision.TokenValid},
		{"and from elsewhere", held{leased(home, boot(2), boot(1))}, elsewhere, 2 * time.Hour, provision.TokenReplayed},
		{"ten minutes after it", held{leased(home, boot(2), boot(1))}, home, 2*time.Hour + 10*time.Minute, provision.TokenReplayed},
		{"after the one after that", held{leased(home, boot(3), boot(2))}, home, 3 * time.Hour, provision.TokenReplayed},
		{"a second lease", held{leased(home, boot(1), 0), leased(voice, boot(2), 0)}, voice, 2 * time.Hour, provision.TokenValid},
		{"no lease", nil, home, time.Hour, provision.TokenNone},
		{"another server's lease", held{external}, home, time.Hour, provision.TokenNone},
	} {
		gotHW, id, got := tokensOf(t, c.leases).Check(token, c.from, booted.Add(c.after))
		if got != c.want || id != "" || (gotHW == hw) != (c.want != provision.TokenNone) {
			t.Errorf("%s: got %v of %s %q, want %v", c.name, got, gotHW, id, c.want)
		}
	}
	for name, leases := range map[string]held{"no lease": nil, "no boot known": {leased(home, 0, 0)}, "external": {external}} {
		if got := tokensOf(t, leases).Issue(hw); got != "" {
			t.Errorf("issued with %s: %q", name, got)
		}
	}
	if got := tokensOf(t, held{leased(home, boot(1), 0), leased(voice, boot(2), 0)}).Issue(hw); got == token {
		t.Error("the token isn't that of the last start")
	}
}

func TestIssuedToken(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	nat, other := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("203.0.113.6")
	tokens := tokensOf(t, held{})
	token, err := tokens.IssueFor("001565aabbcc", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	again, err := tokens.IssueFor("001565aabbcc", now, now.Add(time.Hour))
	if err != nil || again == token {
		t.Errorf("two tokens are the same, or %v", err)
	}
	check := func(token string, from netip.Addr, at time.Time, want provision.TokenState) {
		t.Helper()
		if _, id, got := tokens.Check(token, from, at); got != want || id != "001565aabbcc" {
			t.Errorf("got %v for %q, want %v", got, id, want)
		}
	}
	if _, _, got := tokens.Peek(token, other, now); got != provision.TokenValid {
		t.Errorf("peek: got %v", got)
	}
	check(token, nat, now, provision.TokenValid) // peeking isn't using
	check(token, nat, now.Add(59*time.Minute), provision.TokenValid)
	check(strings.ToUpper(token), nat, now, provision.TokenValid)
	check(token, other, now, provision.TokenReplayed)
	check(token, nat, now.Add(time.Hour), provision.TokenReplayed)
	check(again, other, now, provision.TokenValid)
	for name, c := range map[string]struct {
		id  provision.DeviceID
		end time.Time
	}{
		"nobody": {"", now.Add(time.Hour)}, "long ID": {provision.DeviceID(strings.Repeat("x", 65)), now.Add(time.Hour)},
		"past": {"x", now}, "for ever": {"x", now.Add(provision.MaxTokenSpan + 1)},
	} {
		if _, err := tokens.IssueFor(c.id, now, c.end); !errors.Is(err, provision.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// TestTokenS36: a token of another installation, or one that was changed, is nobody's.
func TestTokenS36(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	theirs, err := provision.NewTokens(bytes.Repeat([]byte{8}, 32), held{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := theirs.IssueFor("x", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	tokens := tokensOf(t, held{})
	if _, _, got := tokens.Check(token, netip.Addr{}, now); got != provision.TokenNone {
		t.Errorf("of another installation: got %v", got)
	}
	for i := range token {
		changed := []byte(token)
		changed[i] = 'a' + (changed[i]-'a'+1)%26
		if _, _, got := theirs.Check(string(changed), netip.Addr{}, now); got != provision.TokenNone && i < len(token)-1 {
			t.Errorf("changed at %d: got %v", i, got)
		}
	}
	if _, err := provision.NewTokens(make([]byte, 31), held{}); !errors.Is(err, provision.ErrInvalid) {
		t.Errorf("a short key: got %v, want ErrInvalid", err)
	}
}

func FuzzToken(f *testing.F) {
	tokens, err := provision.NewTokens(bytes.Repeat([]byte{7}, 32), held{})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "a", "aaaaaaaa", strings.Repeat("a", 44), strings.Repeat("z", 300), "=", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, id, got := tokens.Check(token, netip.MustParseAddr("192.0.2.1"), time.Now()); got != provision.TokenNone {
			t.Errorf("%q is a token for %q", token, id)
		}
	})
}

func TestHideToken(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"/t/abc/x.cfg":          "/t/[secret]/x.cfg",
		"t/abc/x.cfg":           "/t/[secret]/x.cfg",
		"//t//abc//x.cfg":       "/t/[secret]/x.cfg",
		`\t\abc\x`:              "/t/[secret]/x",
		"/%74/ab%63/x":          "/t/[secret]/x",
		"/t%2fabc/x":            "/t/[secret]/x",
		"/../t/abc":             "/../t/[secret]",
		"/t/./abc/x":            "/t/[secret]/x",
		"/t/abc/%zz":            "/t/[secret]/%zz",
		"/t/":                   "/t/",
		"/firmware/abc":         "/firmware/abc",
		"/tt/abc":               "/tt/abc",
		"":                      "",
		"SEP001122334455.cnf.x": "SEP001122334455.cnf.x",
	} {
		if got := provision.HideToken(raw); got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}
}
