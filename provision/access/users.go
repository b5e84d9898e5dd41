package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// NewUser creates a user.
func (g *Gate) NewUser(ctx context.Context, name, password string, role Role) (User, error) {
	if err := CheckName(name); err != nil {
		return User{}, err
	}
	if err := CheckPassword(name, password); err != nil {
		return User{}, err
	}
	if role.Scopes() == nil {
		return User{}, invalid("role", "%q is unknown; use owner, operator, helpdesk or viewer", role)
	}
	if _, err := g.Store.User(ctx, name); err == nil {
		return User{}, fmt.Errorf("user %q: there is one of that name: %w", name, ErrConflict)
	}
	u := User{Name: name, Role: role, Created: g.now().UTC(), Changed: g.now().UTC()}
	if err := g.hashing.do(ctx, func() { u.Password = NewHash(password) }); err != nil {
		return User{}, err
	}
	if err := NoteOf(ctx).Describe("user "+name, nil, u.shown()); err != nil {
		return User{}, err
	}
	u, err := g.Store.PutUser(ctx, u)
	if errors.Is(err, ErrConflict) {
		return User{}, fmt.Errorf("user %q: there is one of that name: %w", name, ErrConflict)
	}
	return u, err
}

// shown is what the audit says of a user.
func (u User) shown() any {
	return struct {
		Role         Role      `json:"role"`
		Disabled     bool      `json:"disabled"`
		SecondFactor bool      `json:"second_factor"`
		Password     time.Time `json:"password_changed"`
	}{u.Role, u.Disabled, u.TOTP != nil, u.Changed}
}

// Prove checks a user's password again, before something that a session that was left open mustn't do. It is throttled
// like a login; a wrong one is ErrDenied.
func (g *Gate) Prove(ctx context.Context, name, password, remote string) error {
	now := g.now()
	if err := g.throttle.allow(remote, now); err != nil {
		return err
	}
	u, err := g.Store.User(ctx, name)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	right := false
	if err := g.hashing.do(ctx, func() { right = u.Password.Matches(password) }); err != nil {
		return err
	}
	if !right {
		g.throttle.failed(remote, now)
		return ErrDenied
	}
	g.throttle.succeeded(remote, now)
	return nil
}

// SetPassword gives a user a new password and ends the sessions that the old one began, but the one that asks.
func (g *Gate) SetPassword(ctx context.Context, name, password, session string) error {
	if err := CheckPassword(name, password); err != nil {
		return err
	}
	return g.change(ctx, name, session, func(u *User) error {
		u.Changed = g.now().UTC()
		return g.hashing.do(ctx, func() { u.Password = NewHash(password) })
	})
}

// SetRole changes what a user is trusted with; Disable whether the user may sign in at all. The last owner stays one.
func (g *Gate) SetRole(ctx context.Context, name string, role Role, disabled bool) error {
	if role.Scopes() == nil {
		return invalid("role", "%q is unknown; use owner, operator, helpdesk or viewer", role)
	}
	if role != Owner || disabled {
		if err := g.keepOwner(ctx, name); err != nil {
			return err
		}
	}
	return g.change(ctx, name, "", func(u *User) error {
		u.Role, u.Disabled = role, disabled
		return nil
	})
}

// DeleteUser deletes a user, the user's tokens and sessions. The last owner stays.
func (g *Gate) DeleteUser(ctx context.Context, name string) error {
	if err := g.keepOwner(ctx, name); err != nil {
		return err
	}
	u, err := g.Store.User(ctx, name)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	if err := NoteOf(ctx).Describe("user "+name, u.shown(), nil); err != nil {
		return err
	}
	if err := g.Store.DeleteUser(ctx, name); err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	g.RevokeUser(name, "")
	return nil
}

// keepOwner refuses to lose the only owner who can sign in.
func (g *Gate) keepOwner(ctx context.Context, name string) error {
	users, err := g.Store.Users(ctx)
	if err != nil {
		return err
	}
	owns := func(u User) bool { return u.Role == Owner && !u.Disabled }
	if i := slices.IndexFunc(users, func(u User) bool { return u.Name == name }); i < 0 || !owns(users[i]) {
		return nil
	}
	if !slices.ContainsFunc(users, func(u User) bool { return u.Name != name && owns(u) }) {
		return fmt.Errorf("user %q is the only owner: make another one first: %w", name, ErrConflict)
	}
	return nil
}

// NewTOTP returns a secret for a user's authenticator. It is in force only when ConfirmTOTP has seen a code of it, so that
// nobody is locked out by a QR code that wasn't read.
func (g *Gate) NewTOTP() []byte { return newTOTP() }

// ConfirmTOTP puts a second factor in force.
func (g *Gate) ConfirmTOTP(ctx context.Context, name string, secret []byte, code, session string) error {
	if len(secret) != totpSize {
		return invalid("secret", "it isn't one of ours")
	}
	step, ok := totpMatch(secret, code, 0, g.now())
	if !ok {
		return invalid("code", "it doesn't fit; is the clock of the phone right?")
	}
	return g.change(ctx, name, session, func(u *User) error {
		u.TOTP, u.TOTPStep = secret, step
		return nil
	})
}

// ResetTOTP takes a user's second factor away.
func (g *Gate) ResetTOTP(ctx context.Context, name string) error {
	return g.change(ctx, name, "", func(u *User) error {
		u.TOTP, u.TOTPStep = nil, 0
		return nil
	})
}

// change edits a user and ends the user's sessions, but one.
func (g *Gate) change(ctx context.Context, name, session string, edit func(*User) error) error {
	u, err := g.Store.User(ctx, name)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	before := u.shown()
	if err := edit(&u); err != nil {
		return err
	}
	if err := NoteOf(ctx).Describe("user "+name, before, u.shown()); err != nil {
		return err
	}
	if _, err := g.Store.PutUser(ctx, u); err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	g.RevokeUser(name, session)
	return nil
}
