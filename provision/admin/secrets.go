package admin

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
)

// Rotation is what came of a new key for the secrets in the store, or would come of it.
type Rotation struct {
	Done     bool
	Old, New string // what the keys are called
	Records  int    // that have secrets
}

// Revealed is parameters with their secrets in clear.
type Revealed struct {
	Params provision.Params
	Paths  []string // which of them are secrets
}

// RevealConfig returns a config's own values with its secrets, and describes for the audit which these are. It is for who
// has the right to see them; the caller writes the audit before it shows anything.
func (s *Service) RevealConfig(ctx context.Context, id provision.ConfigID) (Revealed, error) {
	c, err := s.Configs.Config(ctx, id)
	if err != nil {
		return Revealed{}, fmt.Errorf("reveal config %s: %w", id, err)
	}
	return reveal(ctx, "config "+string(c.ID), "params", c.Params)
}

// RevealPhone is RevealConfig for a phone's own values. The key is any that [Service.Phone] takes.
func (s *Service) RevealPhone(ctx context.Context, key string) (Revealed, error) {
	d, err := s.find(ctx, key)
	if err != nil {
		return Revealed{}, fmt.Errorf("reveal phone %q: %w", key, err)
	}
	return reveal(ctx, "phone "+string(d.ID), "override", d.Override)
}

func reveal(ctx context.Context, object, name string, p provision.Params) (r Revealed, err error) {
	r.Paths = []string{}
	clear, _ := inClear(map[string]any(provision.Wrap(p)), name, &r.Paths).(map[string]any)
	r.Params = clear
	slices.SortFunc(r.Paths, provision.CompareVersions)
	return r, access.NoteOf(ctx).Describe(object, nil, map[string]any{"revealed": r.Paths})
}

// inClear returns a copy of a value in which secrets are texts, and notes where they are.
func inClear(v any, path string, paths *[]string) any {
	switch x := v.(type) {
	case provision.Secret:
		*paths = append(*paths, path)
		return x.Reveal()
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = inClear(x[i], path+"["+strconv.Itoa(i)+"]", paths)
		}
		return out
	}
	m, ok := asObject(v)
	if !ok {
		return v
	}
	out := make(map[string]any, len(m))
	for k, x := range m {
		out[k] = inClear(x, path+"."+k, paths)
	}
	return out
}
