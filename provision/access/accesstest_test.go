package access

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// memory is a store for tests.
type memory struct {
	mu     sync.Mutex
	users  map[string]User
	tokens map[string]Token
	writes int
	err    error
}

func newMemory() *memory { return &memory{users: map[string]User{}, tokens: map[string]Token{}} }

func (m *memory) Users(context.Context) (all []User, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.users {
		all = append(all, u)
	}
	return all, m.err
}

func (m *memory) User(_ context.Context, name string) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u, ok := m.users[name]; ok || m.err != nil {
		return u, m.err
	}
	return User{}, ErrNotFound
}

func (m *memory) PutUser(_ context.Context, u User) (User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return User{}, m.err
	}
	if m.users[u.Name].Rev != u.Rev {
		return User{}, ErrConflict
	}
	u.Rev++
	m.users[u.Name] = u
	m.writes++
	return u, nil
}

func (m *memory) DeleteUser(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.users[name]; !ok {
		return ErrNotFound
	}
	delete(m.users, name)
	for id, t := range m.tokens {
		if t.User == name {
			delete(m.tokens, id)
		}
	}
	return nil
}

func (m *memory) Tokens(context.Context) (all []Token, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		all = append(all, t)
	}
	return all, m.err
}

func (m *memory) TokenBySum(_ context.Context, sum [32]byte) (Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		if t.Sum == sum {
			return t, m.err
		}
	}
	return Token{}, ErrNotFound
}

func (m *memory) PutToken(_ context.Context, t Token) (Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens[t.ID].Rev != t.Rev {
		return Token{}, ErrConflict
	}
	t.Rev++
	t.Scopes = slices.Clone(t.Scopes)
	m.tokens[t.ID] = t
	m.writes++
	return t, m.err
}

func (m *memory) DeleteToken(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tokens, id)
	return m.err
}

const goodPassword = "seven green kettles"

// newGate returns a gate with an owner, "desk", whose clock stands still.
func newGate(t *testing.T) (*Gate, *memory, *time.Time) {
	t.Helper()
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	m := newMemory()
	g := &Gate{Store: m, Now: func() time.Time { return now }}
	if _, err := g.NewUser(t.Context(), "desk", goodPassword, Owner); err != nil {
		t.Fatal(err)
	}
	return g, m, &now
}
