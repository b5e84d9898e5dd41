package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dialtone-project/dialtone/provision"
)

// Change is what somebody thinks of doing. The zero value changes nothing.
type Change struct {
	Configs       []provision.Config // as SaveConfig takes them
	DeleteConfigs []provision.ConfigID
	Devices       []provision.Device // with the Rev that was edited; 0: new
	DeleteDevices []provision.DeviceID
	// Plugins take the place of those with the same ID, or come to them: edited templates, another version.
	Plugins       []provision.Plugin
	RemovePlugins []provision.PluginID
}

// Preview tells what a change would mean to the phones: whose files would be others or couldn't be made. It is ErrInvalid or
// ErrConflict where the change itself would be. Nothing is done.
func (s *Service) Preview(ctx context.Context, change Change) (provision.Blast, error) {
	devices, err := s.Devices.Devices(ctx)
	if err != nil {
		return provision.Blast{}, fmt.Errorf("preview: %w", err)
	}
	now := provision.Scene{Devices: devices, Configs: s.Configs, Plugins: s.Plugins.Plugins()}
	then := now
	if then.Configs, err = s.supposed(ctx, change); err != nil {
		return provision.Blast{}, fmt.Errorf("preview: %w", err)
	}
	if then.Devices, err = supposedDevices(devices, change); err != nil {
		return provision.Blast{}, fmt.Errorf("preview: %w", err)
	}
	if len(change.Plugins)+len(change.RemovePlugins) > 0 {
		then.Plugins = supposedPlugins(now.Plugins, change)
	}
	c := s.comparison(now, then)
	blast, err := c.Run(ctx)
	if err != nil {
		return provision.Blast{}, fmt.Errorf("preview: %w", err)
	}
	return blast, nil
}

func (s *Service) comparison(before, after provision.Scene) provision.Comparison {
	c := provision.Comparison{Before: before, After: after, HTTP: s.HTTP, Local: s.localOf}
	if s.PolicyFor != nil {
		c.PolicyFor = func(d *provision.Device) provision.Policy { return s.PolicyFor(s.addressOf(d)) }
	}
	return c
}

// addressOf returns an address that a device holds; invalid: it holds none.
func (s *Service) addressOf(d *provision.Device) netip.Addr {
	if d.HW.IsZero() {
		return netip.Addr{}
	}
	if leases := s.Leases.ByHW(d.HW); len(leases) > 0 {
		return leases[0].Addr
	}
	return netip.Addr{}
}

func (s *Service) localOf(d *provision.Device) netip.Addr {
	if s.Local == nil {
		return netip.Addr{}
	}
	return s.Local(s.addressOf(d))
}

// supposed returns the configs as they would be. Those that are saved together are checked together.
func (s *Service) supposed(ctx context.Context, change Change) (provision.ConfigReader, error) {
	put := slices.Clone(change.Configs)
	among := provision.Suppose(s.Configs, put, change.DeleteConfigs)
	for i := range put {
		now, err := s.Configs.Config(ctx, put[i].ID)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if now.Rev != put[i].Rev {
			return nil, fmt.Errorf("config %s has changed meanwhile: %w", put[i].ID, provision.ErrConflict)
		}
		c, err := s.prepare(ctx, put[i], among)
		if err != nil {
			return nil, fmt.Errorf("config %s: %w", provision.Printable(string(put[i].ID)), err)
		}
		c.Rev++
		put[i] = c
	}
	return provision.Suppose(s.Configs, put, change.DeleteConfigs), nil
}

func supposedDevices(now []provision.Device, change Change) ([]provision.Device, error) {
	then := slices.DeleteFunc(slices.Clone(now), func(d provision.Device) bool { return slices.Contains(change.DeleteDevices, d.ID) })
	for _, d := range change.Devices {
		if d.ID == "" {
			return nil, fmt.Errorf("a phone without an id: %w", provision.ErrInvalid)
		}
		d.Override = provision.Wrap(d.Override)
		if err := provision.CheckLayer(d.Override); err != nil {
			return nil, fmt.Errorf("phone %s: override: %w", d.ID, err)
		}
		i := slices.IndexFunc(then, func(x provision.Device) bool { return x.ID == d.ID })
		rev := uint64(0)
		if i >= 0 {
			rev = then[i].Rev
		}
		if rev != d.Rev {
			return nil, fmt.Errorf("phone %s has changed meanwhile: %w", d.ID, provision.ErrConflict)
		}
		d.Rev++
		if i >= 0 {
			then[i] = d
		} else {
			then = append(then, d)
		}
	}
	return then, nil
}

func supposedPlugins(now *provision.PluginSet, change Change) *provision.PluginSet {
	goes := func(id provision.PluginID) bool {
		return slices.Contains(change.RemovePlugins, id) || slices.ContainsFunc(change.Plugins, func(p provision.Plugin) bool { return p.ID() == id })
	}
	then := slices.DeleteFunc(slices.Clone(now.All()), func(p provision.Plugin) bool { return goes(p.ID()) })
	then = append(then, change.Plugins...)
	slices.SortFunc(then, func(a, b provision.Plugin) int { return cmp.Compare(a.ID(), b.ID()) })
	return provision.NewPluginSet(then...)
}
