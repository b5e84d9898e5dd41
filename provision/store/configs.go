package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/provision"
)

// configRecord is a config in the file. Its ID is the key, its revision is before it.
type configRecord struct {
	Label     string               `json:"label,omitempty"`
	Parents   []provision.ConfigID `json:"parents,omitempty"`
	Role      provision.Role       `json:"role,omitempty"`
	Params    json.RawMessage      `json:"params,omitempty"`
	Transient bool                 `json:"transient,omitempty"`
	Locked    bool                 `json:"locked,omitempty"`
}

func configTable() table[provision.Config] {
	return table[provision.Config]{
		bucket:  bucketConfigs,
		encode:  encodeConfig,
		decode:  decodeConfig,
		refs:    configRefs,
		indexes: []string{bucketConfigRole, bucketConfigParent},
	}
}

func configRefs(c provision.Config) (refs []ref) {
	if c.Role != provision.RoleNone {
		refs = append(refs, ref{bucketConfigRole, string(c.Role), "role " + string(c.Role)})
	}
	for _, p := range c.Parents {
		refs = append(refs, ref{bucketConfigParent, pair(string(p), string(c.ID)), "parent " + string(p)})
	}
	return refs
}

func encodeConfig(at place, c provision.Config) ([]byte, error) {
	if err := checkText("label", c.Label); err != nil {
		return nil, err
	}
	if err := checkText("role", string(c.Role)); err != nil {
		return nil, err
	}
	for _, p := range c.Parents {
		if err := checkKey(string(p)); err != nil {
			return nil, fmt.Errorf("parent %q: %w", p, err)
		}
	}
	params, err := at.marshalParams("params", c.Params)
	if err != nil {
		return nil, err
	}
	return json.Marshal(configRecord{
		Label: c.Label, Parents: c.Parents, Role: c.Role, Params: params, Transient: c.Transient, Locked: c.Locked,
	})
}

func decodeConfig(at place, id string, rev uint64, body []byte) (provision.Config, error) {
	var r configRecord
	if err := json.Unmarshal(body, &r); err != nil {
		return provision.Config{}, err
	}
	params, err := at.decodeMap("params", r.Params)
	if err != nil {
		return provision.Config{}, fmt.Errorf("params: %w", err)
	}
	return provision.Config{
		ID: provision.ConfigID(id), Rev: rev, Label: r.Label, Parents: r.Parents, Role: r.Role, Params: params,
		Transient: r.Transient, Locked: r.Locked,
	}, nil
}

// Config implements [provision.ConfigStore].
func (db *DB) Config(_ context.Context, id provision.ConfigID) (c provision.Config, err error) {
	err = db.view(func(tx *bbolt.Tx) (err error) {
		c, err = configTable().find(db, tx, string(id))
		return err
	})
	if err != nil {
		return c, fmt.Errorf("config %s: %w", id, err)
	}
	return c, nil
}

// ConfigByRole implements [provision.ConfigStore].
func (db *DB) ConfigByRole(_ context.Context, role provision.Role) (c provision.Config, err error) {
	err = db.view(func(tx *bbolt.Tx) (err error) {
		c, err = configTable().findBy(db, tx, bucketConfigRole, string(role))
		return err
	})
	if err != nil {
		return c, fmt.Errorf("config with role %s: %w", role, err)
	}
	return c, nil
}

// ConfigsRev implements [provision.ConfigRev].
func (db *DB) ConfigsRev() uint64 { return db.configs.Load() }

// Configs returns all configs, by ID. Damaged ones are left out; see [DB.Problems].
func (db *DB) Configs(_ context.Context) ([]provision.Config, error) {
	all, err := configTable().all(db)
	if err != nil {
		return nil, fmt.Errorf("list configs: %w", err)
	}
	return all, nil
}

// PutConfig implements [provision.ConfigStore]. A write that changes nothing is skipped and leaves Rev as it is.
func (db *DB) PutConfig(ctx context.Context, c provision.Config) (provision.Config, error) {
	return db.PutConfigBy(ctx, c, provision.Author{Who: provision.BySystem})
}

// PutConfigBy implements [provision.RevisionStore].
func (db *DB) PutConfigBy(ctx context.Context, c provision.Config, by provision.Author) (provision.Config, error) {
	e, err := configTable().entry(db, string(c.ID), c.Rev, c)
	if err == nil {
		err = checkAuthor(by)
	}
	if err != nil {
		return provision.Config{}, fmt.Errorf("put config %s: %w", c.ID, err)
	}
	err = db.do(ctx, func(tx *bbolt.Tx) (ops []op, err error) {
		ops, c.Rev, err = db.putConfig(tx, e, by)
		return ops, err
	})
	if err != nil {
		return provision.Config{}, fmt.Errorf("put config %s: %w", c.ID, err)
	}
	return c, nil
}

// putConfig plans the write of a config and of its revision.
func (db *DB) putConfig(tx *bbolt.Tx, e entry[provision.Config], by provision.Author) ([]op, uint64, error) {
	ops, rev, err := configTable().put(db, tx, e)
	if err != nil || len(ops) == 0 {
		return ops, rev, err
	}
	more, err := db.revise(tx, revision{id: e.id, rev: rev, state: e.v, by: by})
	return append(ops, more...), rev, err
}

// DeleteConfig is DeleteConfigBy with [provision.BySystem].
func (db *DB) DeleteConfig(ctx context.Context, id provision.ConfigID) error {
	return db.DeleteConfigBy(ctx, id, provision.Author{Who: provision.BySystem})
}

// DeleteConfigBy implements [provision.RevisionStore]. A damaged config can be deleted when nobody uses it.
func (db *DB) DeleteConfigBy(ctx context.Context, id provision.ConfigID, by provision.Author) error {
	err := checkAuthor(by)
	if err == nil {
		err = db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
			if users := configUsers(tx, id, 1); len(users) > 0 {
				return nil, conflict("%s %s uses it", users[0].kind, users[0].id)
			}
			if c, err := configTable().find(db, tx, string(id)); err == nil && c.Locked {
				return nil, refusal{"it is locked", provision.ErrForbidden}
			}
			return db.removeConfig(tx, id, by)
		})
	}
	if err != nil {
		return fmt.Errorf("delete config %s: %w", id, err)
	}
	return nil
}

// removeConfig plans the deletion of a config that may be deleted. The history of a transient one goes with it.
func (db *DB) removeConfig(tx *bbolt.Tx, id provision.ConfigID, by provision.Author) ([]op, error) {
	ops, err := configTable().remove(db, tx, string(id))
	if err != nil {
		return nil, err
	}
	c, err := configTable().find(db, tx, string(id))
	if err != nil {
		return ops, nil //nolint:nilerr // of a damaged one nothing can be told
	}
	if c.Transient {
		return append(ops, forget(tx, string(id))...), nil
	}
	more, err := db.revise(tx, revision{id: string(id), rev: c.Rev, state: c, by: by, deleted: true})
	return append(ops, more...), err
}

// abandon plans the deletion of a transient config that devices leave, unless somebody else uses it.
func (db *DB) abandon(tx *bbolt.Tx, id provision.ConfigID, leavers ...provision.DeviceID) ([]op, error) {
	c, err := configTable().find(db, tx, string(id))
	if err != nil || !c.Transient || c.Locked {
		return nil, nil //nolint:nilerr // one that is missing or damaged isn't touched
	}
	leaves := func(u user) bool { return u.kind == "device" && slices.Contains(leavers, provision.DeviceID(u.id)) }
	if slices.ContainsFunc(configUsers(tx, id, len(leavers)+1), func(u user) bool { return !leaves(u) }) {
		return nil, nil
	}
	return db.removeConfig(tx, id, provision.Author{Who: provision.BySystem})
}

// user is a record that uses a config.
type user struct{ kind, id string }

// configUsers returns who uses a config, up to n devices and n configs.
func configUsers(tx *bbolt.Tx, id provision.ConfigID, n int) (users []user) {
	for _, device := range sharers(tx, bucketDeviceConfig, string(id), n) {
		users = append(users, user{"device", device})
	}
	for _, child := range sharers(tx, bucketConfigParent, string(id), n) {
		users = append(users, user{"config", child})
	}
	return users
}
