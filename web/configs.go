package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// ListConfigs lists the configs.
func (o operations) ListConfigs(ctx context.Context, _ api.ListConfigsRequestObject) (api.ListConfigsResponseObject, error) {
	configs, err := o.admin.ListConfigs(ctx)
	if err != nil {
		return nil, err
	}
	list := api.ListConfigs200JSONResponse{Configs: []api.Config{}}
	for i := range configs {
		configs[i].Params = nil
		c, err := toConfig(&configs[i])
		if err != nil {
			return nil, err
		}
		list.Configs = append(list.Configs, c)
	}
	return list, nil
}

// GetConfig returns one config.
func (o operations) GetConfig(ctx context.Context, r api.GetConfigRequestObject) (api.GetConfigResponseObject, error) {
	c, err := o.admin.Config(ctx, provision.ConfigID(r.Config))
	if err != nil {
		return nil, err
	}
	x, err := toConfig(&c)
	if err != nil {
		return nil, err
	}
	return api.GetConfig200JSONResponse{Body: x, Headers: api.GetConfig200ResponseHeaders{ETag: etag(c.Rev)}}, nil
}

// ResolveConfig returns a config with all that it inherits.
func (o operations) ResolveConfig(ctx context.Context, r api.ResolveConfigRequestObject) (api.ResolveConfigResponseObject, error) {
	res, err := o.admin.Flatten(ctx, provision.ConfigID(r.Config))
	if err != nil {
		return nil, err
	}
	params, err := masked(res.Params)
	if err != nil {
		return nil, err
	}
	x := api.ResolveConfig200JSONResponse{Params: params, From: make(map[string]string, len(res.From))}
	for path, id := range res.From {
		x.From[path] = string(id)
	}
	return x, nil
}

// PutConfig writes a config, or tells what would come of it.
func (o operations) PutConfig(ctx context.Context, r api.PutConfigRequestObject) (api.PutConfigResponseObject, error) {
	b := r.Body
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	c := provision.Config{
		ID: provision.ConfigID(r.Config), Rev: uint64(max(b.Rev, 0)), Label: b.Label, Params: b.Params,
		Transient: b.Transient, Locked: b.Locked,
	}
	if rev != 0 {
		c.Rev = rev
	}
	c.Role, c.Parents = toRole(b.Role), toConfigIDs(b.Parents)
	result, err := o.admin.PutConfig(ctx, c, write(ctx, r.Params.DryRun, r.Params.Why))
	if err != nil {
		return nil, err
	}
	x, err := toConfigChange(result, r.Params.DryRun)
	return api.PutConfig200JSONResponse{Body: x, Headers: api.PutConfig200ResponseHeaders{ETag: etag(result.Config.Rev)}}, err
}

// PatchConfig changes some fields of a config, or tells what would come of it.
func (o operations) PatchConfig(ctx context.Context, r api.PatchConfigRequestObject) (api.PatchConfigResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	patch, err := fromConfigPatch(*r.Body)
	if err != nil {
		return nil, err
	}
	result, err := o.admin.PatchConfig(ctx, provision.ConfigID(r.Config), rev, patch, write(ctx, r.Params.DryRun, r.Params.Why))
	if err != nil {
		return nil, err
	}
	x, err := toConfigChange(result, r.Params.DryRun)
	return api.PatchConfig200JSONResponse{Body: x, Headers: api.PatchConfig200ResponseHeaders{ETag: etag(result.Config.Rev)}}, err
}

// fromConfigPatch reads a merge patch that is as the document has it.
func fromConfigPatch(raw json.RawMessage) (p admin.ConfigPatch, err error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return p, fmt.Errorf("read the patch: %w: %w", err, provision.ErrInvalid)
	}
	var (
		role    *string
		parents *[]string
		params  *map[string]any
	)
	err = errors.Join(
		patched(m, "label", &p.Label), patched(m, "parents", &parents), patched(m, "role", &role),
		patched(m, "transient", &p.Transient), patched(m, "locked", &p.Locked), patched(m, "params", &params),
	)
	if role != nil {
		r := toRole(*role)
		p.Role = &r
	}
	if parents != nil {
		ids := toConfigIDs(*parents)
		p.Parents = &ids
	}
	if params != nil {
		values := provision.Params(FromValues(*params))
		p.Params = &values
	}
	return p, err
}

func toRole(name string) provision.Role {
	if name == "none" {
		return provision.RoleNone
	}
	return provision.Role(name)
}

func toConfigIDs(names []string) (ids []provision.ConfigID) {
	for _, n := range names {
		ids = append(ids, provision.ConfigID(n))
	}
	return ids
}

// DeleteConfig deletes one, or tells what would come of it.
func (o operations) DeleteConfig(ctx context.Context, r api.DeleteConfigRequestObject) (api.DeleteConfigResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	result, err := o.admin.RemoveConfig(ctx, provision.ConfigID(r.Config), rev, write(ctx, r.Params.DryRun, r.Params.Why))
	if err != nil {
		return nil, err
	}
	x, err := toConfigChange(result, r.Params.DryRun)
	return api.DeleteConfig200JSONResponse(x), err
}

// RestoreConfig makes one what it was, or tells what would come of it.
func (o operations) RestoreConfig(ctx context.Context, r api.RestoreConfigRequestObject) (api.RestoreConfigResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	result, err := o.admin.Restore(ctx, provision.ConfigID(r.Config), requestID(r.Body.Revision), rev, write(ctx, r.Params.DryRun, r.Params.Why))
	if err != nil {
		return nil, err
	}
	x, err := toConfigChange(result, r.Params.DryRun)
	return api.RestoreConfig200JSONResponse{Body: x, Headers: api.RestoreConfig200ResponseHeaders{ETag: etag(result.Config.Rev)}}, err
}

// ListRevisions lists a config's history.
func (o operations) ListRevisions(ctx context.Context, r api.ListRevisionsRequestObject) (api.ListRevisionsResponseObject, error) {
	revisions, err := o.admin.ConfigHistory(ctx, provision.ConfigID(r.Config))
	if err != nil {
		return nil, err
	}
	if len(revisions) == 0 {
		if _, err := o.admin.Config(ctx, provision.ConfigID(r.Config)); err != nil {
			return nil, err
		}
	}
	list := api.ListRevisions200JSONResponse{Revisions: []api.Revision{}}
	for i := range revisions {
		v := &revisions[i]
		list.Revisions = append(list.Revisions, api.Revision{
			Number: number(v.Number), At: v.At, By: provision.Printable(v.By.Who), Why: provision.Printable(v.By.Why), Deleted: v.Deleted,
		})
	}
	return list, nil
}

// DiffConfig compares two revisions.
func (o operations) DiffConfig(ctx context.Context, r api.DiffConfigRequestObject) (api.DiffConfigResponseObject, error) {
	diff, err := o.admin.DiffConfig(ctx, provision.ConfigID(r.Config), requestID(r.Params.From), requestID(r.Params.To))
	if err != nil {
		return nil, err
	}
	return api.DiffConfig200JSONResponse{Differences: toDifferences(diff)}, nil
}

// write says who changes something, and whether.
func write(ctx context.Context, dryRun bool, why string) admin.Write {
	return admin.Write{By: author(ctx, why), DryRun: dryRun}
}

func toConfig(c *provision.Config) (api.Config, error) {
	params, err := masked(c.Params)
	x := api.Config{
		ID: string(c.ID), Rev: number(c.Rev), Label: c.Label, Role: string(c.Role), Transient: c.Transient, Locked: c.Locked, Params: params,
	}
	for _, p := range c.Parents {
		x.Parents = append(x.Parents, string(p))
	}
	return x, err
}

// masked brings params into the API's form, in which secrets are masks.
func masked(p provision.Params) (map[string]any, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write params: %w", err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("write params: %w", err)
	}
	return out, nil
}

func toConfigChange(r admin.ConfigResult, dryRun bool) (x api.ConfigChange, err error) {
	x = api.ConfigChange{Done: !dryRun, Differences: toDifferences(r.Changes)}
	if r.Config.ID != "" {
		x.Config, err = toConfig(&r.Config)
	}
	if dryRun {
		x.Effects = toEffects(r.Effects)
	}
	return x, err
}

func toDifferences(list []provision.Difference) []api.ConfigDifference {
	out := []api.ConfigDifference{}
	for _, d := range list {
		out = append(out, api.ConfigDifference{Path: provision.Printable(d.Path), Old: d.Old, New: d.New})
	}
	return out
}

func toEffects(b provision.Blast) api.Effects {
	x := api.Effects{Phones: int64(b.Phones), Changed: []api.AffectedPhone{}}
	for _, p := range b.Changed {
		phone := api.AffectedPhone{
			Phone: string(p.Device), Mac: p.HW.String(), Label: p.Label, Model: p.Model, Plugin: string(p.Plugin), Config: string(p.Config), Files: []api.AffectedFile{},
		}
		for _, f := range p.Files {
			phone.Files = append(phone.Files, api.AffectedFile{Proto: string(f.Proto), Path: f.Path, Change: string(f.Change), Diff: f.Diff, Note: f.Note, Err: f.Err})
		}
		x.Changed = append(x.Changed, phone)
	}
	return x
}
