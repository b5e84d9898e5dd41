package provision

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// ConfigReader is the part of a [ConfigStore] that changes nothing.
type ConfigReader interface {
	Config(context.Context, ConfigID) (Config, error)
	ConfigByRole(context.Context, Role) (Config, error)
}

// Resolve flattens what a device is configured with, the lowest first: the config with the role base, the device's config
// with all that it inherits, the device's override, and the vocabulary's defaults where nobody says anything. For files
// of class site, a device without a config has the one with the role default.
//
// ErrNotFound: the device has no config. Any other fault is the administrator's or our own and never ErrNotFound, so that it
// can't be taken for a missing file. What is only missing is no fault, but told in incomplete.
func Resolve(ctx context.Context, configs ConfigReader, d *Device, class Class) (res Resolved, incomplete, err error) {
	id := d.Config
	if id == "" {
		if class != ClassSite {
			return Resolved{}, nil, fmt.Errorf("device %s has no config: %w", d.ID, ErrNotFound)
		}
		if id, err = holder(ctx, configs, RoleDefault); err != nil {
			return Resolved{}, nil, err
		}
	}
	base, err := holder(ctx, configs, RoleBase)
	if err != nil {
		return Resolved{}, nil, err
	}
	res, err = InheritOver(func(id ConfigID) (Config, error) { return configs.Config(ctx, id) }, base, id)
	if err != nil {
		return Resolved{}, nil, ours{err}
	}
	res.lay(d.Override, LayerDevice)
	res.Params = Wrap(res.Params)
	res.lay(Defaults(res.Params), LayerDefault)
	wrong, lacking := faults(res.Params)
	if wrong != nil {
		return Resolved{}, nil, ours{fmt.Errorf("config %s: %w", cmp.Or(id, base, LayerDevice), wrong)}
	}
	return res, lacking, nil
}

// holder returns the config that has a role; empty: none has.
func holder(ctx context.Context, configs ConfigReader, role Role) (ConfigID, error) {
	c, err := configs.ConfigByRole(ctx, role)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return "", fmt.Errorf("look up the config of role %s: %w", role, err)
	}
	return c.ID, nil
}
