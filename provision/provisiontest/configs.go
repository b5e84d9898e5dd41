package provisiontest

import (
	"fmt"
	"testing"

	"github.com/dialtone-project/dialtone/provision"
)

func configRoundTrip(t *testing.T, s Stores) {
	want := provision.Config{
		ID: "cfg-1", Label: "Ground floor", Parents: []provision.ConfigID{"base", "site"}, Role: provision.RoleDefault,
		Params: params(), Transient: true, Locked: true,
	}
	got, err := s.PutConfig(t.Context(), want)
	if err != nil {
		t.Fatalf("PutConfig: %v", err)
	}
	want.Rev = 1
	same(t, "PutConfig", got, want)
	if got, err = s.Config(t.Context(), want.ID); err != nil {
		t.Fatalf("Config: %v", err)
	}
	same(t, "Config", got, want)
	if got, err = s.ConfigByRole(t.Context(), provision.RoleDefault); err != nil {
		t.Fatalf("ConfigByRole: %v", err)
	}
	same(t, "ConfigByRole", got, want)
}

func configNotFound(t *testing.T, s Stores) {
	putConfig(t, s, provision.Config{ID: "plain"}) // has no role
	for _, id := range []provision.ConfigID{"", "other", "plai", "plain\x00"} {
		_, err := s.Config(t.Context(), id)
		fails(t, fmt.Sprintf("Config %q", id), err, provision.ErrNotFound)
	}
	for _, role := range []provision.Role{provision.RoleNone, provision.RoleDefault, provision.RoleAutocreate} {
		_, err := s.ConfigByRole(t.Context(), role)
		fails(t, fmt.Sprintf("ConfigByRole %q", role), err, provision.ErrNotFound)
	}
}

func configInvalid(t *testing.T, s Stores) {
	_, err := s.PutConfig(t.Context(), provision.Config{Label: "nameless"})
	fails(t, "PutConfig", err, provision.ErrInvalid)
}

func configRevisions(t *testing.T, s Stores) {
	first := putConfig(t, s, provision.Config{ID: "cfg-1"})
	_, err := s.PutConfig(t.Context(), provision.Config{ID: "cfg-1"})
	fails(t, "a second creation", err, provision.ErrConflict)
	next := first
	next.Label = "new"
	second := putConfig(t, s, next)
	if got, want := second.Rev, first.Rev+1; got != want {
		t.Errorf("Rev after an update: got %d, want %d", got, want)
	}
	_, err = s.PutConfig(t.Context(), first)
	fails(t, "an update of an old revision", err, provision.ErrConflict)
	_, err = s.PutConfig(t.Context(), provision.Config{ID: "cfg-2", Rev: 1})
	fails(t, "an update of no config", err, provision.ErrConflict)
}

func configRoles(t *testing.T, s Stores) {
	first := putConfig(t, s, provision.Config{ID: "one", Role: provision.RoleDefault})
	second := putConfig(t, s, provision.Config{ID: "two", Role: provision.RoleAutocreate})
	_, err := s.PutConfig(t.Context(), provision.Config{ID: "three", Role: provision.RoleDefault})
	fails(t, "create with another's role", err, provision.ErrConflict)
	_, err = s.AddDevice(t.Context(), device(1), provision.Config{ID: "three", Role: provision.RoleDefault})
	fails(t, "add a device with another's role", err, provision.ErrConflict)
	second.Role = provision.RoleDefault
	_, err = s.PutConfig(t.Context(), second)
	fails(t, "update to another's role", err, provision.ErrConflict)

	first.Role = provision.RoleNone
	putConfig(t, s, first)
	second = putConfig(t, s, second)
	got, err := s.ConfigByRole(t.Context(), provision.RoleDefault)
	if err != nil {
		t.Fatalf("ConfigByRole: %v", err)
	}
	same(t, "ConfigByRole after the role moved", got, second)
	_, err = s.ConfigByRole(t.Context(), provision.RoleAutocreate)
	fails(t, "the role that was given up", err, provision.ErrNotFound)
}

func configCopied(t *testing.T, s Stores) {
	c := provision.Config{ID: "cfg-1", Parents: []provision.ConfigID{"base"}, Params: provision.Params{"a": map[string]any{"b": "before"}}}
	want := provision.Config{
		ID: "cfg-1", Rev: 1, Parents: []provision.ConfigID{"base"}, Params: provision.Params{"a": map[string]any{"b": "before"}},
	}
	spoil := func(c provision.Config) {
		c.Parents[0] = "after"
		c.Params["a"].(map[string]any)["b"] = "after" //nolint:forcetypeassert // a panic fails the test as well
	}
	returned := putConfig(t, s, c)
	spoil(c)
	spoil(returned)
	for range 2 {
		got, err := s.Config(t.Context(), c.ID)
		if err != nil {
			t.Fatalf("Config: %v", err)
		}
		same(t, "Config", got, want)
		spoil(got)
	}
}
