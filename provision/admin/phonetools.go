package admin

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
)

func keys(m map[string]any) iter.Seq[string] { return maps.Keys(m) }

// merged lays a merge patch over an object (RFC 7396). Neither is changed.
func merged[M ~map[string]any](object M, patch map[string]any) M {
	out := make(M, len(object)+len(patch))
	maps.Copy(out, object)
	for k, v := range patch {
		p, isMap := asObject(v)
		switch old, _ := asObject(out[k]); {
		case v == nil:
			delete(out, k)
		case isMap:
			out[k] = merged(old, p)
		default:
			out[k] = v
		}
	}
	return out
}

func asObject(v any) (map[string]any, bool) {
	switch m := v.(type) {
	case map[string]any:
		return m, true
	case provision.Params:
		return m, true
	}
	return nil, false
}

// effects tells what it means to the phones' files that some devices are as before or as after.
func (s *Service) effects(ctx context.Context, before, after []provision.Device) (PhoneResult, error) {
	scene := provision.Scene{Devices: before, Configs: s.Configs, Plugins: s.Plugins.Plugins()}
	c := s.comparison(scene, scene)
	c.After.Devices = after
	blast, err := c.Run(ctx)
	if err != nil {
		return PhoneResult{}, fmt.Errorf("preview: %w", err)
	}
	return PhoneResult{Effects: blast}, nil
}

// phoneRecord is a phone in the names of the API, as people compare it.
func phoneRecord(d *provision.Device) provision.Params {
	out := provision.Params{}
	put := func(name string, v any) {
		if !reflect.ValueOf(v).IsZero() {
			out[name] = v
		}
	}
	put("id", string(d.ID))
	put("mac", d.HW.String())
	put("serial", d.Serial)
	put("uuid", d.UUID)
	put("vendor", d.Vendor)
	put("model", d.Model)
	put("version", d.Version)
	put("plugin", string(d.Plugin))
	put("pinned", d.Pinned)
	put("config", string(d.Config))
	put("override", map[string]any(d.Override))
	put("options", d.Options)
	put("label", d.Label)
	put("state", string(d.State))
	if d.State == provision.StateNew && d.ID != "" {
		out["state"] = "new" // which has no name inside
	}
	put("remote", d.Remote)
	put("static", d.Static)
	put("port", d.Port)
	return out
}

// diffDevices returns in what two states of a phone differ; what a zero one differs from is all that the other has.
func diffDevices(a, b *provision.Device) []provision.Difference {
	list := provision.DiffConfigs(&provision.Config{Params: phoneRecord(a)}, &provision.Config{Params: phoneRecord(b)})
	for i := range list {
		list[i].Path = strings.TrimPrefix(list[i].Path, "params.")
	}
	return list
}

// auditRecord is a phone for the audit, without secrets; nil for none. Those that differ from before's say so.
func auditRecord(d, before *provision.Device) any {
	if d.ID == "" || d.HW.IsZero() && d.Serial == "" && d.UUID == "" {
		return nil
	}
	r := phoneRecord(d)
	if before == nil {
		return r
	}
	was, _ := asObject(any(before.Override))
	if o, ok := asObject(any(d.Override)); ok && len(o) > 0 {
		r["override"] = toldApart(o, was)
	}
	return r
}

// toldApart returns a copy of a value in which secrets are masks, others for those that are other than before.
func toldApart(v, before any) any {
	switch x := v.(type) {
	case provision.Secret:
		if old, ok := before.(provision.Secret); ok && old != x {
			return "[another secret]"
		}
		return MaskedSecret
	case []any:
		old, _ := before.([]any)
		out := make([]any, len(x))
		for i := range x {
			var was any
			if i < len(old) {
				was = old[i]
			}
			out[i] = toldApart(x[i], was)
		}
		return out
	}
	m, ok := asObject(v)
	if !ok {
		return v
	}
	old, _ := asObject(before)
	out := make(map[string]any, len(m))
	for k, x := range m {
		out[k] = toldApart(x, old[k])
	}
	return out
}
