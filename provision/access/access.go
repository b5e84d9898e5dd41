// Package access decides who may administer the appliance: users with passwords and roles, their sessions, and tokens
// for programs.
//
// It keeps no password and no token, only what they can be checked by: argon2id for what people choose (RFC 9106),
// SHA-256 for what is random already. It knows no HTTP; package web brings requests to it and puts its answers into
// cookies and headers.
package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Role is what a person is trusted with. Each role may do what the ones after it may.
type Role string

// The roles.
const (
	Owner    Role = "owner"    // everything
	Operator Role = "operator" // phones, configs, networks, plugins; no users, no backups
	Helpdesk Role = "helpdesk" // looks after phones; sees no secret
	Viewer   Role = "viewer"   // looks on
)

// Scope is one thing that may be done.
type Scope string

// The scopes. Read is to look at everything but secrets.
const (
	Read         Scope = "read"
	PhonesWrite  Scope = "phones:write"
	ConfigsWrite Scope = "configs:write"
	NetworkWrite Scope = "networks:write"
	PluginsWrite Scope = "plugins:write"
	LeasesWrite  Scope = "leases:write"
	SecretsRead  Scope = "secrets:read" // to see passwords of phones in clear; each time is written down
	Admin        Scope = "admin"        // users, tokens of others, backups, audit
)

// Scopes returns all scopes.
func Scopes() []Scope {
	return []Scope{Read, PhonesWrite, ConfigsWrite, NetworkWrite, PluginsWrite, LeasesWrite, SecretsRead, Admin}
}

// Scopes returns what the role may do; nothing if there is no such role.
func (r Role) Scopes() []Scope {
	switch r {
	case Owner:
		return Scopes()
	case Operator:
		return []Scope{Read, PhonesWrite, ConfigsWrite, NetworkWrite, PluginsWrite, LeasesWrite, SecretsRead}
	case Helpdesk:
		return []Scope{Read, PhonesWrite}
	case Viewer:
		return []Scope{Read}
	}
	return nil
}

// Errors that callers tell apart. ErrDenied never says which part of what was shown is wrong.
var (
	ErrDenied    = errors.New("the name, the password or the code is wrong")
	ErrExpired   = errors.New("not signed in, or not any more")
	ErrThrottled = errors.New("too many attempts")
	ErrScope     = errors.New("not allowed")
	ErrInvalid   = errors.New("invalid")
	ErrNotFound  = errors.New("not found")
	ErrConflict  = errors.New("conflict")
)

// Via is how somebody proved who they are.
type Via string

// The ways.
const (
	ViaSocket  Via = "socket"  // the unix socket, whose file permissions say who may
	ViaSession Via = "session" // a person who signed in
	ViaToken   Via = "token"
)

// Actor is who does something, after it has been proven.
type Actor struct {
	Name   string // the user; of a token "user/token"
	Via    Via
	Remote string // address, for the audit
	Role   Role
	Scopes []Scope
	// Session identifies the session, for its owner's list. It isn't the secret in the cookie.
	Session string
}

// May returns nil if the actor has the scope, else an ErrScope that names it.
func (a Actor) May(s Scope) error {
	if slices.Contains(a.Scopes, s) {
		return nil
	}
	return fmt.Errorf("%w: %s needs the right %q", ErrScope, a.Name, s)
}

// Same returns nil if the actor may do now what it could before, else ErrExpired.
func (a Actor) Same(now Actor) error {
	if a.Role != now.Role || !slices.Equal(a.Scopes, now.Scopes) {
		return ErrExpired
	}
	return nil
}

// Socket returns the actor of the unix socket, who may do everything.
func Socket() Actor { return Actor{Name: "socket", Via: ViaSocket, Role: Owner, Scopes: Scopes()} }

// User is a person who may sign in.
type User struct {
	Name     string
	Rev      uint64
	Role     Role
	Password Hash
	TOTP     []byte // the secret of the second factor (RFC 6238); nil: none
	TOTPStep int64  // the last time step that was used, so that a code works once
	Disabled bool
	Created  time.Time
	Changed  time.Time // of the password
}

// Token lets a program in as a part of its user.
type Token struct {
	ID      string // random, shown in lists; not the secret
	Rev     uint64
	User    string
	Name    string // a person's word for what it is for
	Sum     [32]byte
	Scopes  []Scope
	Created time.Time
	Expiry  time.Time // zero: never
	Used    time.Time // to the hour; zero: not yet
}

// Limits on what people choose.
const (
	maxName     = 64
	minPassword = 12
	maxPassword = 256
)

// FieldError is what is wrong with one field of what was given. It is an ErrInvalid.
type FieldError struct{ Field, Text string }

// Error names the field first.
func (e *FieldError) Error() string { return e.Field + ": " + e.Text }

// Unwrap returns ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

func invalid(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// CheckName says what is wrong with a user's or a token's name.
func CheckName(name string) error {
	switch {
	case name == "" || utf8.RuneCountInString(name) > maxName:
		return invalid("name", "between 1 and %d letters", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == '/' }):
		return invalid("name", "it has a character that isn't printable, or a slash")
	case strings.TrimSpace(name) != name:
		return invalid("name", "it begins or ends with a space")
	}
	return nil
}

// CheckPassword says what is wrong with a new password. Length is what counts (NIST SP 800-63B §5.1.1.2); what is guessed
// first is refused.
func CheckPassword(name, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return invalid("password", "at least %d letters; three or four words make a good one", minPassword)
	case len(password) > maxPassword:
		return invalid("password", "at most %d bytes", maxPassword)
	}
	low := strings.ToLower(password)
	distinct := make(map[rune]bool)
	for _, r := range low {
		distinct[r] = true
	}
	if len(distinct) < 5 {
		return invalid("password", "it repeats a few letters")
	}
	rest := low
	for _, word := range []string{strings.ToLower(name), "password", "dialtone", "123456", "qwertz", "qwerty", "letmein"} {
		if word != "" {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	if utf8.RuneCountInString(rest) < minPassword/2 {
		return invalid("password", "it is little more than the name, or a word that is guessed first")
	}
	return nil
}
