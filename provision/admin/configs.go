package admin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
)

// Configs is what the use cases need of the store of configs.
type Configs interface {
	provision.RevisionStore
	// Configs returns all, by ID.
	Configs(context.Context) ([]provision.Config, error)
}

// MaskedSecret is what stands for a secret wherever configs are shown. A config that is saved with it in the place of a
// secret keeps the one that it has.
const MaskedSecret = "[secret]"

var configID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// ListConfigs returns all configs, by ID.
func (s *Service) ListConfigs(ctx context.Context) ([]provision.Config, error) {
	list, err := s.Configs.Configs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list configs: %w", err)
	}
	return list, nil
}

// Config returns a config.
func (s *Service) Config(ctx context.Context, id provision.ConfigID) (provision.Config, error) {
	return s.Configs.Config(ctx, id)
}

// Flatten returns a config with all that it inherits, the site's base included, and where each value comes from.
func (s *Service) Flatten(ctx context.Context, id provision.ConfigID) (provision.Resolved, error) {
	if _, err := s.Configs.Config(ctx, id); err != nil {
		return provision.Resolved{}, fmt.Errorf("flatten config %s: %w", id, err)
	}
	res, err := flatten(ctx, s.Configs, id)
	if err != nil {
		return provision.Resolved{}, fmt.Errorf("flatten config %s: %w", id, err)
	}
	return res, nil
}

func flatten(ctx context.Context, configs provision.ConfigReader, id provision.ConfigID) (provision.Resolved, error) {
	base, err := configs.ConfigByRole(ctx, provision.RoleBase)
	if err != nil && !isNotFound(err) {
		return provision.Resolved{}, err
	}
	return provision.InheritOver(func(id provision.ConfigID) (provision.Config, error) { return configs.Config(ctx, id) }, base.ID, id)
}

// SaveConfig writes a config that passes all checks, and returns it with its new Rev. Its Rev says which state was edited; 0
// creates. ErrInvalid are [Faults], all that there are. ErrConflict: it has changed meanwhile, or another config has
// its role.
func (s *Service) SaveConfig(ctx context.Context, c provision.Config, by provision.Author) (provision.Config, error) {
	c, err := s.prepare(ctx, c, s.Configs)
	if err == nil {
		err = checkBy(by)
	}
	if err == nil {
		c, err = s.Configs.PutConfigBy(ctx, c, by)
	}
	if err != nil {
		return provision.Config{}, fmt.Errorf("save config %s: %w", provision.Printable(string(c.ID)), err)
	}
	return c, nil
}

func checkBy(by provision.Author) error {
	if by.Who == "" {
		return fmt.Errorf("nobody says who does it: %w", provision.ErrInvalid)
	}
	return nil
}

// prepare returns a config as it is to be stored, checked as one of the configs that there would be.
func (s *Service) prepare(ctx context.Context, c provision.Config, among provision.ConfigReader) (provision.Config, error) {
	var stored provision.Params
	switch old, err := s.Configs.Config(ctx, c.ID); {
	case err == nil:
		stored = old.Params
	case !isNotFound(err):
		return c, err
	}
	var masked []string
	if c.Params != nil {
		c.Params, _ = unmask(provision.Wrap(c.Params), stored, "", &masked).(map[string]any)
	}
	var faults Faults
	if c.Rev == 0 && !configID.MatchString(string(c.ID)) {
		faults.invalid("/id", "want letters, digits and ._- only, at most 128, not %q", provision.Printable(string(c.ID)))
	}
	switch c.Role {
	case provision.RoleNone, provision.RoleBase, provision.RoleDefault, provision.RoleAutocreate:
	default:
		faults.invalid("/role", "want base, default, autocreate or none, not %q", provision.Printable(string(c.Role)))
	}
	for _, path := range masked {
		faults.invalid(paramPointer("/params", map[string]any(c.Params), path), "there is no secret yet that could be kept")
	}
	for i, id := range c.Parents {
		at := pointerTo("/parents", strconv.Itoa(i))
		switch p, err := among.Config(ctx, id); {
		case isNotFound(err):
			faults.invalid(at, "there is no config %q", provision.Printable(string(id)))
		case err != nil:
			return c, err
		case p.Transient:
			faults.invalid(at, "config %s is transient: it goes when no phone uses it any more", id)
		case slices.Contains(c.Parents[:i], id):
			faults.invalid(at, "config %s stands twice", id)
		}
	}
	if c.Transient && c.Role != provision.RoleNone {
		faults.invalid("/transient", "a config with a role can't be")
	}
	faults.params("/params", c.Params, provision.CheckLayer(c.Params))
	if len(faults) > 0 {
		return c, faults
	}
	_, err := flatten(ctx, provision.Suppose(among, []provision.Config{c}, nil), c.ID)
	if errors.Is(err, provision.ErrInvalid) {
		return c, Faults{{Pointer: "/parents", Text: err.Error(), Kind: provision.ErrInvalid}}
	}
	return c, err
}

// unmask puts the stored secrets where only their mask is, and notes the paths at which there is none.
func unmask(v, stored any, path string, missing *[]string) any {
	below := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	switch x := v.(type) {
	case provision.Params:
		return unmask(map[string]any(x), stored, path, missing)
	case map[string]any:
		if p, ok := stored.(provision.Params); ok {
			stored = map[string]any(p)
		}
		old, _ := stored.(map[string]any)
		out := make(map[string]any, len(x))
		for k, y := range x {
			out[k] = unmask(y, old[k], below(k), missing)
		}
		return out
	case provision.Secret:
		if x.Reveal() != MaskedSecret {
			return x
		}
		if old, ok := stored.(provision.Secret); ok {
			return old
		}
		*missing = append(*missing, path)
	}
	return v
}

// DeleteConfig deletes a config. ErrForbidden if it is locked, ErrConflict if a phone or another config uses it.
func (s *Service) DeleteConfig(ctx context.Context, id provision.ConfigID, by provision.Author) error {
	if err := checkBy(by); err != nil {
		return fmt.Errorf("delete config %s: %w", id, err)
	}
	return s.Configs.DeleteConfigBy(ctx, id, by)
}

// ConfigHistory returns a config's revisions, the newest first; also those of one that was deleted.
func (s *Service) ConfigHistory(ctx context.Context, id provision.ConfigID) ([]provision.Revision, error) {
	return s.Configs.Revisions(ctx, id)
}

// DiffConfig returns in what a config's revision `to` differs from the revision `from`. A `from` of 0 is the one before
// `to`, and the first differs from nothing; a `to` of 0 is the newest.
func (s *Service) DiffConfig(ctx context.Context, id provision.ConfigID, from, to uint64) ([]provision.Difference, error) {
	list, err := s.Configs.Revisions(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("config %s has no history yet: %w", id, provision.ErrNotFound)
	}
	if to == 0 {
		to = list[0].Number
	}
	var before, after provision.Config
	b, err := revision(list, to)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", id, err)
	}
	if !b.Deleted {
		after = b.State
	}
	if from == 0 && to == 1 {
		return provision.DiffConfigs(&before, &after), nil
	}
	if from == 0 {
		from = to - 1
	}
	a, err := revision(list, from)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", id, err)
	}
	if !a.Deleted {
		before = a.State
	}
	return provision.DiffConfigs(&before, &after), nil
}

func revision(list []provision.Revision, number uint64) (provision.Revision, error) {
	for i := range list {
		if list[i].Number == number {
			return list[i], nil
		}
	}
	return provision.Revision{}, fmt.Errorf("there is no revision %d, or not any more: %w", number, provision.ErrNotFound)
}

// RestoreConfig makes a config what it was after one of its revisions, as a new revision; one that was deleted, too. It is
// checked as any other change: what is wrong by now isn't restored. Rev is the state that is replaced, as in SaveConfig.
func (s *Service) RestoreConfig(ctx context.Context, id provision.ConfigID, number, rev uint64, by provision.Author) (provision.Config, error) {
	list, err := s.Configs.Revisions(ctx, id)
	if err != nil {
		return provision.Config{}, err
	}
	r, err := revision(list, number)
	if err != nil {
		return provision.Config{}, fmt.Errorf("restore config %s: %w", id, err)
	}
	c := r.State
	c.Rev = rev
	if by.Why == "" {
		by.Why = fmt.Sprintf("restores revision %d", number)
	}
	return s.SaveConfig(ctx, c, by)
}
