package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/configs"
	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// content is a site file in the types that the store keeps.
type content struct {
	name     string // of the file
	site     configs.Site
	declared network.Declared
	networks *network.Set
	configs  []provision.Config
	devices  []provision.Device
}

// readSite checks all that a site file says. The error joins every fault, each with the file and line of its item.
func readSite(name string, data []byte) (content, error) {
	site, err := configs.ParseSite(name, data)
	if err != nil {
		return content{}, err
	}
	var errs []error
	at := func(line int, what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %s: %w", name, line, what, err))
		}
	}
	c := content{name: name, site: site}
	if c.declared, err = toDeclared(name, &site); err == nil {
		filled := c.declared
		filled.Networks = slices.Clone(c.declared.Networks) // New fills in defaults
		c.networks, err = checkDeclared(name, &site, filled)
	}
	if err != nil {
		errs = append(errs, err)
	}
	for _, x := range site.Configs {
		config, err := toConfig(x)
		at(x.Line, "config "+x.ID, err)
		c.configs = append(c.configs, config)
	}
	for _, x := range site.Devices {
		device, err := toDevice(x)
		at(x.Line, "device "+x.MAC, err)
		c.devices = append(c.devices, device)
	}
	for i, x := range site.Configs {
		at(x.Line, "config "+x.ID, c.resolves(c.configs[i].ID))
	}
	for i, x := range site.Devices {
		if id := c.devices[i].Config; id != "" {
			at(x.Line, "device "+x.MAC, c.resolves(id))
		}
	}
	return c, errors.Join(errs...)
}

// resolves reports what keeps a config from being flattened, or the flattened whole from being valid. What is only missing
// may come from whoever inherits from it, or from a device's override, and may be added later.
func (c content) resolves(id provision.ConfigID) error {
	resolved, err := c.flatten(id)
	if err != nil {
		return err
	}
	return provision.CheckLayer(resolved.Params)
}

// lacks tells what is missing from configs that devices without an override get, a line for each.
func (c content) lacks() (notes []string) {
	for _, x := range c.configs {
		used := x.Role == provision.RoleAutocreate || x.Role == provision.RoleDefault || slices.ContainsFunc(c.devices, func(d provision.Device) bool {
			return d.Config == x.ID && len(d.Override) == 0
		})
		if resolved, err := c.flatten(x.ID); used && err == nil {
			if err := provision.Check(resolved.Params); err != nil {
				notes = append(notes, fmt.Sprintf("config %s is incomplete: %s", x.ID, strings.ReplaceAll(err.Error(), "\n", "; ")))
			}
		}
	}
	return notes
}

func (c content) flatten(id provision.ConfigID) (provision.Resolved, error) {
	return provision.Inherit(func(id provision.ConfigID) (provision.Config, error) {
		for _, x := range c.configs {
			if x.ID == id {
				return x, nil
			}
		}
		return provision.Config{}, fmt.Errorf("config %q: %w", id, provision.ErrNotFound)
	}, id)
}

func toConfig(x configs.SiteConfig) (provision.Config, error) {
	c := provision.Config{
		ID: provision.ConfigID(x.ID), Label: x.Label, Role: provision.Role(x.Role), Params: provision.Wrap(x.Params),
		Transient: x.Transient, Locked: x.Locked,
	}
	for _, p := range x.Parents {
		c.Parents = append(c.Parents, provision.ConfigID(p))
	}
	return c, provision.CheckLayer(c.Params)
}

func toDevice(x configs.SiteDevice) (provision.Device, error) {
	d := provision.Device{
		Serial: x.SN, UUID: x.UUID, Vendor: x.Vendor, Model: x.Model, Version: x.Version,
		Plugin: provision.PluginID(x.Plugin), Pinned: x.Pinned, Config: provision.ConfigID(x.Config),
		Override: provision.Wrap(x.Override), Options: x.Options, Label: x.Label, Created: x.Created, State: provision.DeviceState(x.State),
		Remote: x.Remote, Static: x.Static, Port: x.Port, Auto: x.Auto, Network: x.Network,
	}
	var errs []error
	if x.MAC != "" {
		hw, err := hwaddr.Parse(x.MAC)
		if err != nil {
			errs = append(errs, err)
		}
		d.HW = hw
	}
	d.ID = cmp.Or(provision.DeviceID(x.ID), usualID(&d))
	if err := provision.CheckLayer(d.Override); err != nil {
		errs = append(errs, fmt.Errorf("override: %w", err))
	}
	return d, errors.Join(errs...)
}

// siteStore is what an import writes to.
type siteStore interface {
	provision.DeviceStore
	provision.ConfigStore
	SaveDeclared(ctx context.Context, d network.Declared, rev uint64) (uint64, error)
}

// fill imports the content into a state that never had networks. The networks are written last: an import that was
// cut short is taken up where it ended, and what it had written is left as it is.
func (c content) fill(ctx context.Context, to siteStore) error {
	for _, x := range c.configs {
		if _, err := to.Config(ctx, x.ID); !errors.Is(err, provision.ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := to.PutConfig(ctx, x); err != nil {
			return err
		}
	}
	for _, x := range c.devices {
		if _, err := to.Device(ctx, x.ID); !errors.Is(err, provision.ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		x.Created = cmp.Or(x.Created, time.Now())
		if _, err := to.PutDevice(ctx, x); err != nil {
			return err
		}
	}
	_, err := to.SaveDeclared(ctx, c.declared, 0)
	return err
}
