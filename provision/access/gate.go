package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Store keeps users and tokens. A user's or token's Rev counts its writes: Rev 0 creates, else it must still match.
// Errors are ErrNotFound and ErrConflict.
type Store interface {
	Users(context.Context) ([]User, error)
	User(ctx context.Context, name string) (User, error)
	PutUser(context.Context, User) (User, error)
	// DeleteUser deletes the user's tokens, too.
	DeleteUser(ctx context.Context, name string) error
	Tokens(context.Context) ([]Token, error)
	TokenBySum(ctx context.Context, sum [32]byte) (Token, error)
	PutToken(context.Context, Token) (Token, error)
	DeleteToken(ctx context.Context, id string) error
}

// How long a session lasts without being used, and in all.
const (
	sessionIdle = 30 * time.Minute
	sessionLife = 12 * time.Hour
	maxSessions = 1000
)

// Session is a person who is signed in.
type Session struct {
	ID          string // not the secret
	User        string
	Remote      string // address that it began at
	Agent       string // what the browser says it is
	Begun, Seen time.Time
}

// Gate lets people and programs in. Fill in Store and, if you like, Now; it is safe for concurrent use. Sessions live in
// memory: a restart ends them all.
type Gate struct {
	Store Store
	Now   func() time.Time // nil: time.Now

	throttle throttle
	hashing  hashing

	mu       sync.Mutex // guards what follows
	sessions map[string]*Session
	setup    [sha256.Size]byte // of the code that creates the first owner
	setupEnd time.Time
}

// hashing lets few passwords be hashed at a time: each takes 19 MiB and a core.
type hashing struct {
	once sync.Once
	slot chan struct{}
}

func (h *hashing) do(ctx context.Context, f func()) error {
	h.once.Do(func() { h.slot = make(chan struct{}, 2) })
	select {
	case h.slot <- struct{}{}:
		defer func() { <-h.slot }()
		f()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gate) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

// Login lets a person in and returns the secret for the cookie. Each login is a new session: one that somebody planted
// in the browser before is worth nothing. Errors are ErrDenied, ErrThrottled or the store's; ErrDenied takes as long
// whether or not there is such a user.
func (g *Gate) Login(ctx context.Context, name, password, code, remote, agent string) (secret string, a Actor, err error) {
	now := g.now()
	if err := g.throttle.allow(remote, now); err != nil {
		return "", Actor{}, err
	}
	u, err := g.Store.User(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", Actor{}, fmt.Errorf("sign in: %w", err)
	}
	known := err == nil && !u.Disabled
	right := false
	if err := g.hashing.do(ctx, func() { right = u.Password.Matches(password) }); err != nil {
		return "", Actor{}, err
	}
	edited := false
	if right = right && known; right && u.TOTP != nil {
		u.TOTPStep, right = totpMatch(u.TOTP, code, u.TOTPStep, now)
		edited = true // the code must not work again
	}
	if !right {
		g.throttle.failed(remote, now)
		return "", Actor{}, ErrDenied
	}
	if u.Password.Stale() {
		u.Password, edited = NewHash(password), true
	}
	if edited {
		switch u, err = g.Store.PutUser(ctx, u); {
		case errors.Is(err, ErrConflict): // the same code was used at the same moment, or the user was changed
			return "", Actor{}, ErrDenied
		case err != nil:
			return "", Actor{}, fmt.Errorf("sign in: %w", err)
		}
	}
	g.throttle.succeeded(remote, now)
	secret, id := newSecret()
	s := &Session{ID: id, User: u.Name, Remote: remote, Agent: agent, Begun: now, Seen: now}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sessions == nil {
		g.sessions = make(map[string]*Session)
	}
	g.sweep(now)
	g.sessions[id] = s
	return secret, actorOf(u, ViaSession, remote, id), nil
}

// sweep drops sessions that are over, and the oldest if there are too many.
func (g *Gate) sweep(now time.Time) {
	for id, s := range g.sessions {
		if s.over(now) {
			delete(g.sessions, id)
		}
	}
	for len(g.sessions) >= maxSessions {
		var oldest string
		for id, s := range g.sessions {
			if o := g.sessions[oldest]; o == nil || s.Seen.Before(o.Seen) {
				oldest = id
			}
		}
		delete(g.sessions, oldest)
	}
}

func (s *Session) over(now time.Time) bool {
	return now.Sub(s.Seen) > sessionIdle || now.Sub(s.Begun) > sessionLife || now.Before(s.Begun)
}

func actorOf(u User, via Via, remote, session string) Actor {
	return Actor{Name: u.Name, Via: via, Remote: remote, Role: u.Role, Scopes: u.Role.Scopes(), Session: session}
}

// Session returns who is signed in with a cookie's secret. ErrExpired: nobody is.
func (g *Gate) Session(ctx context.Context, secret, remote string) (Actor, error) {
	id, now := secretID(secret), g.now()
	g.mu.Lock()
	s := g.sessions[id]
	if s == nil || s.over(now) {
		delete(g.sessions, id)
		g.mu.Unlock()
		return Actor{}, ErrExpired
	}
	s.Seen = now
	name := s.User
	g.mu.Unlock()
	u, err := g.Store.User(ctx, name)
	if errors.Is(err, ErrNotFound) || err == nil && u.Disabled {
		g.Revoke(id)
		return Actor{}, ErrExpired
	}
	if err != nil {
		return Actor{}, fmt.Errorf("session: %w", err)
	}
	return actorOf(u, ViaSession, remote, id), nil
}

// Still returns nil while a person who signed in may go on as they began. It isn't a use of the session: one that nobody
// uses ends, whatever is left open by it.
func (g *Gate) Still(ctx context.Context, a Actor) error {
	g.mu.Lock()
	s := g.sessions[a.Session]
	over := s == nil || s.over(g.now())
	g.mu.Unlock()
	if over {
		return ErrExpired
	}
	u, err := g.Store.User(ctx, a.Name)
	if errors.Is(err, ErrNotFound) || err == nil && u.Disabled {
		return ErrExpired
	}
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	return a.Same(actorOf(u, ViaSession, a.Remote, a.Session))
}

// Revoke ends a session by its ID, and reports whether there was one.
func (g *Gate) Revoke(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.sessions[id]
	delete(g.sessions, id)
	return ok
}

// RevokeUser ends all sessions of a user but one: after a new password, those that the old one began.
func (g *Gate) RevokeUser(name, but string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, s := range g.sessions {
		if s.User == name && id != but {
			delete(g.sessions, id)
		}
	}
}

// Sessions returns who is signed in, the latest first; of one user, or of all if name is empty.
func (g *Gate) Sessions(name string) []Session {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []Session
	for _, s := range g.sessions {
		if (name == "" || s.User == name) && !s.over(now) {
			list = append(list, *s)
		}
	}
	slices.SortFunc(list, func(a, b Session) int {
		if c := b.Seen.Compare(a.Seen); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// Bearer returns which program a token lets in. ErrExpired: none.
func (g *Gate) Bearer(ctx context.Context, token, remote string) (Actor, error) {
	now := g.now()
	sum, ok := tokenSum(token)
	if !ok {
		return Actor{}, ErrExpired
	}
	t, err := g.Store.TokenBySum(ctx, sum)
	if errors.Is(err, ErrNotFound) || err == nil && !t.Expiry.IsZero() && !now.Before(t.Expiry) {
		return Actor{}, ErrExpired
	}
	if err != nil {
		return Actor{}, fmt.Errorf("token: %w", err)
	}
	u, err := g.Store.User(ctx, t.User)
	if errors.Is(err, ErrNotFound) || err == nil && u.Disabled {
		return Actor{}, ErrExpired
	}
	if err != nil {
		return Actor{}, fmt.Errorf("token: %w", err)
	}
	if now.Sub(t.Used) > time.Hour { // a write an hour, not one a request
		t.Used = now
		if _, err := g.Store.PutToken(ctx, t); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			return Actor{}, fmt.Errorf("token: %w", err)
		}
	}
	a := Actor{Name: u.Name + "/" + t.Name, Via: ViaToken, Remote: remote, Role: u.Role}
	may := u.Role.Scopes() // a user who may do less now takes the token along
	for _, s := range t.Scopes {
		if slices.Contains(may, s) {
			a.Scopes = append(a.Scopes, s)
		}
	}
	return a, nil
}

// NewToken makes a token for a user and returns its secret, which nobody can see again.
func (g *Gate) NewToken(ctx context.Context, user, name string, scopes []Scope, life time.Duration) (secret string, t Token, err error) {
	if err := CheckName(name); err != nil {
		return "", Token{}, err
	}
	u, err := g.Store.User(ctx, user)
	if err != nil {
		return "", Token{}, fmt.Errorf("user %q: %w", user, err)
	}
	if len(scopes) == 0 {
		return "", Token{}, invalid("scopes", "at least one")
	}
	for _, s := range scopes {
		if !slices.Contains(u.Role.Scopes(), s) {
			return "", Token{}, invalid("scopes", "%q isn't one that a user of role %s has", s, u.Role)
		}
	}
	if life < 0 {
		return "", Token{}, invalid("days", "it is in the past")
	}
	all, err := g.Store.Tokens(ctx)
	if err != nil {
		return "", Token{}, err
	}
	if slices.ContainsFunc(all, func(t Token) bool { return t.User == user && t.Name == name }) {
		return "", Token{}, fmt.Errorf("token %q: there is one of that name: %w", name, ErrConflict)
	}
	secret = newToken()
	sum, _ := tokenSum(secret)
	_, id := newSecret()
	t = Token{ID: id, User: user, Name: name, Sum: sum, Scopes: scopes, Created: g.now().UTC()}
	if life > 0 {
		t.Expiry = t.Created.Add(life)
	}
	if err := NoteOf(ctx).Describe("token "+user+"/"+name, nil, t.shown()); err != nil {
		return "", Token{}, err
	}
	if t, err = g.Store.PutToken(ctx, t); err != nil {
		return "", Token{}, err
	}
	return secret, t, nil
}

// shown is what the audit says of a token.
func (t Token) shown() any {
	return struct {
		ID     string    `json:"id"`
		Scopes []Scope   `json:"scopes"`
		Expiry time.Time `json:"expiry,omitzero"`
	}{t.ID, t.Scopes, t.Expiry}
}

// RevokeToken deletes a token of a user, or of anyone if user is empty.
func (g *Gate) RevokeToken(ctx context.Context, user, id string) error {
	all, err := g.Store.Tokens(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(t Token) bool { return t.ID == id && (user == "" || t.User == user) })
	if i < 0 {
		return fmt.Errorf("token %q: %w", id, ErrNotFound)
	}
	if err := NoteOf(ctx).Describe("token "+all[i].User+"/"+all[i].Name, all[i].shown(), nil); err != nil {
		return err
	}
	return g.Store.DeleteToken(ctx, id)
}

// setupLife is how long a setup code is good for.
const setupLife = 24 * time.Hour

// SetupCode returns a new code for the first owner, which replaces an earlier one; empty if there is a user already. It
// is shown on the appliance itself: whoever can read its console or log owns it.
func (g *Gate) SetupCode(ctx context.Context) (string, error) {
	users, err := g.Store.Users(ctx)
	if err != nil || len(users) > 0 {
		return "", err
	}
	secret, _ := newSecret()
	code := strings.ToUpper(secretID(secret))
	code = code[:4] + "-" + code[4:8] + "-" + code[8:12] + "-" + code[12:]
	g.mu.Lock()
	defer g.mu.Unlock()
	g.setup, g.setupEnd = sha256.Sum256([]byte(code)), g.now().Add(setupLife)
	return code, nil
}

// Setup creates the first owner. The code works once.
func (g *Gate) Setup(ctx context.Context, code, name, password, remote string) error {
	now := g.now()
	if err := g.throttle.allow(remote, now); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(strings.ToUpper(strings.TrimSpace(code))))
	g.mu.Lock()
	right := subtle.ConstantTimeCompare(sum[:], g.setup[:]) == 1 && now.Before(g.setupEnd)
	g.mu.Unlock()
	if !right {
		g.throttle.failed(remote, now)
		return fmt.Errorf("setup code: %w", ErrDenied)
	}
	users, err := g.Store.Users(ctx)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fmt.Errorf("setup: there is an owner already: %w", ErrConflict)
	}
	if _, err := g.NewUser(ctx, name, password, Owner); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.setupEnd = time.Time{}
	return nil
}
