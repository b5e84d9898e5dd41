package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dialtone-project/dialtone/provision"
)

// ConfigResult is what came of a change of a config, or would come of it.
type ConfigResult struct {
	Config  provision.Config // afterwards; zero after a deletion
	Changes []provision.Difference
	Effects provision.Blast // what it means to the phones' files; of a dry run only
}

// PutConfig is SaveConfig that can be tried. A Rev of 0 is any: it writes over whatever there is. With another one it is a
// [StaleError] if the config has changed since.
func (s *Service) PutConfig(ctx context.Context, c provision.Config, w Write) (ConfigResult, error) {
	old, err := s.Configs.Config(ctx, c.ID)
	if err != nil && !isNotFound(err) {
		return ConfigResult{}, fmt.Errorf("config %s: %w", provision.Printable(string(c.ID)), err)
	}
	if c.Rev == 0 {
		c.Rev = old.Rev
	}
	if err := stale(old.Rev, c.Rev); err != nil {
		return ConfigResult{}, fmt.Errorf("config %s: %w", provision.Printable(string(c.ID)), err)
	}
	if w.DryRun {
		return s.tryConfig(ctx, old, c)
	}
	if err := describe(ctx, "config "+provision.Printable(string(c.ID)), configRecord(&old), configRecord(&c)); err != nil {
		return ConfigResult{}, err
	}
	saved, err := s.SaveConfig(ctx, c, w.By)
	if err != nil {
		return ConfigResult{}, asStale(err, c.Rev, func() (uint64, error) {
			now, err := s.Configs.Config(ctx, c.ID)
			return now.Rev, err
		})
	}
	return ConfigResult{Config: saved, Changes: provision.DiffConfigs(&old, &saved)}, nil
}

// ConfigPatch changes some fields of a config; nil ones stay. Params are merged as RFC 7396 says: what is nil goes, and nil
// params empty all.
type ConfigPatch struct {
	Label             *string
	Parents           *[]provision.ConfigID
	Role              *provision.Role
	Transient, Locked *bool
	Params            *provision.Params
}

func (p *ConfigPatch) apply(c *provision.Config) {
	set(&c.Label, p.Label)
	set(&c.Parents, p.Parents)
	set(&c.Role, p.Role)
	set(&c.Transient, p.Transient)
	set(&c.Locked, p.Locked)
	switch {
	case p.Params == nil:
	case *p.Params == nil:
		c.Params = nil
	default:
		c.Params = merged(c.Params, *p.Params)
	}
}

// PatchConfig changes some fields of a config that there is. Rev is that of the config that was read, else it is a
// [StaleError]; 0 is any: who changes another field at the same time loses nothing.
func (s *Service) PatchConfig(ctx context.Context, id provision.ConfigID, rev uint64, p ConfigPatch, w Write) (ConfigResult, error) {
	for range maxWriteTries {
		c, err := s.Configs.Config(ctx, id)
		if err == nil && rev != 0 {
			err = stale(c.Rev, rev)
		}
		if err != nil {
			return ConfigResult{}, fmt.Errorf("config %s: %w", provision.Printable(string(id)), err)
		}
		p.apply(&c)
		var late *StaleError
		if r, err := s.PutConfig(ctx, c, w); rev != 0 || !errors.As(err, &late) {
			return r, err
		}
	}
	return ConfigResult{}, fmt.Errorf("config %s: it changes all the time: %w", id, provision.ErrConflict)
}

func (s *Service) tryConfig(ctx context.Context, old, c provision.Config) (ConfigResult, error) {
	switch other, err := s.Configs.ConfigByRole(ctx, c.Role); {
	case c.Role == provision.RoleNone || isNotFound(err):
	case err != nil:
		return ConfigResult{}, fmt.Errorf("config %s: %w", c.ID, err)
	case other.ID != c.ID:
		return ConfigResult{}, fmt.Errorf("config %s: config %s has the role %s: %w", c.ID, other.ID, c.Role, provision.ErrConflict)
	}
	blast, err := s.Preview(ctx, Change{Configs: []provision.Config{c}})
	if err != nil {
		return ConfigResult{}, err
	}
	next, err := s.prepare(ctx, c, s.Configs)
	if err != nil {
		return ConfigResult{}, fmt.Errorf("config %s: %w", c.ID, err)
	}
	return ConfigResult{Config: next, Changes: provision.DiffConfigs(&old, &next), Effects: blast}, nil
}

// RemoveConfig is DeleteConfig that can be tried. Rev is that of the config that was read, else it is a [StaleError]; 0 is any.
func (s *Service) RemoveConfig(ctx context.Context, id provision.ConfigID, rev uint64, w Write) (ConfigResult, error) {
	old, err := s.Configs.Config(ctx, id)
	if err == nil && rev != 0 {
		err = stale(old.Rev, rev)
	}
	if err != nil {
		return ConfigResult{}, fmt.Errorf("delete config: %w", err)
	}
	r := ConfigResult{Changes: provision.DiffConfigs(&old, &provision.Config{})}
	if !w.DryRun {
		if err := describe(ctx, "config "+string(id), configRecord(&old), nil); err != nil {
			return ConfigResult{}, err
		}
		return r, s.DeleteConfig(ctx, id, w.By)
	}
	if err := s.deletable(ctx, &old); err != nil {
		return ConfigResult{}, fmt.Errorf("delete config %s: %w", id, err)
	}
	r.Effects, err = s.Preview(ctx, Change{DeleteConfigs: []provision.ConfigID{id}})
	return r, err
}

// deletable returns what keeps a config from being deleted.
func (s *Service) deletable(ctx context.Context, c *provision.Config) error {
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return fmt.Errorf("list phones: %w", err)
	}
	for i := range devices {
		if devices[i].Config == c.ID {
			return fmt.Errorf("phone %s uses it: %w", devices[i].ID, provision.ErrConflict)
		}
	}
	all, err := s.ListConfigs(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if slices.Contains(all[i].Parents, c.ID) {
			return fmt.Errorf("config %s uses it: %w", all[i].ID, provision.ErrConflict)
		}
	}
	if c.Locked {
		return fmt.Errorf("it is locked: %w", provision.ErrForbidden)
	}
	return nil
}

// Restore is RestoreConfig that can be tried. Rev is that of the config that was read, else it is a [StaleError]; 0 is any.
func (s *Service) Restore(ctx context.Context, id provision.ConfigID, number, rev uint64, w Write) (ConfigResult, error) {
	list, err := s.Configs.Revisions(ctx, id)
	if err != nil {
		return ConfigResult{}, fmt.Errorf("restore config: %w", err)
	}
	r, err := revision(list, number)
	if err != nil {
		return ConfigResult{}, fmt.Errorf("restore config %s: %w", id, err)
	}
	if w.By.Why == "" {
		w.By.Why = fmt.Sprintf("restores revision %d", number)
	}
	r.State.ID, r.State.Rev = id, rev
	return s.PutConfig(ctx, r.State, w)
}

// configRecord is a config for the audit, where secrets mask themselves; nil for none.
func configRecord(c *provision.Config) any {
	if c.ID == "" {
		return nil
	}
	return map[string]any{"label": c.Label, "parents": c.Parents, "role": c.Role, "transient": c.Transient, "locked": c.Locked, "params": provision.Wrap(c.Params)}
}
