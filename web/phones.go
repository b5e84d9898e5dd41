package web

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// GetPhone returns one phone.
func (o operations) GetPhone(ctx context.Context, r api.GetPhoneRequestObject) (api.GetPhoneResponseObject, error) {
	p, err := o.admin.Phone(ctx, r.Phone)
	if err != nil {
		return nil, err
	}
	return api.GetPhone200JSONResponse{Body: toPhone(p), Headers: api.GetPhone200ResponseHeaders{ETag: etag(p.Rev)}}, nil
}

// CreatePhone makes a phone known.
func (o operations) CreatePhone(ctx context.Context, r api.CreatePhoneRequestObject) (api.CreatePhoneResponseObject, error) {
	b := r.Body
	got, err := o.admin.CreatePhone(ctx, admin.NewPhone{
		ID: provision.DeviceID(b.ID), State: provision.DeviceState(b.State),
		PhoneFields: fromPhoneFields(&api.PhoneFields{
			Label: b.Label, Mac: b.Mac, Sn: b.Sn, UUID: b.UUID, Vendor: b.Vendor, Model: b.Model, Version: b.Version, Plugin: b.Plugin,
			Pinned: b.Pinned, Config: b.Config, Override: b.Override, Options: b.Options, Remote: b.Remote, Static: b.Static,
		}),
	}, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, phoneFault(err)
	}
	if r.Params.DryRun {
		return api.CreatePhone200JSONResponse{Body: toPhoneResult(got), Headers: api.CreatePhone200ResponseHeaders{ETag: etag(got.Phone.Rev)}}, nil
	}
	return api.CreatePhone201JSONResponse{Body: toPhoneResult(got), Headers: api.CreatePhone201ResponseHeaders{ETag: etag(got.Phone.Rev)}}, nil
}

// UpdatePhone replaces all fields of a phone.
func (o operations) UpdatePhone(ctx context.Context, r api.UpdatePhoneRequestObject) (api.UpdatePhoneResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err == nil && rev == 0 {
		err = fmt.Errorf("If-Match is needed: the ETag of the phone that was edited: %w", provision.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	got, err := o.admin.UpdatePhone(ctx, r.Phone, rev, fromPhoneFields(r.Body), toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, phoneFault(err)
	}
	return api.UpdatePhone200JSONResponse{Body: toPhoneResult(got), Headers: api.UpdatePhone200ResponseHeaders{ETag: etag(got.Phone.Rev)}}, nil
}

// PatchPhone changes some fields of a phone.
func (o operations) PatchPhone(ctx context.Context, r api.PatchPhoneRequestObject) (api.PatchPhoneResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	patch, err := fromPhonePatch(*r.Body)
	if err != nil {
		return nil, err
	}
	got, err := o.admin.PatchPhone(ctx, r.Phone, rev, patch, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, phoneFault(err)
	}
	return api.PatchPhone200JSONResponse{Body: toPhoneResult(got), Headers: api.PatchPhone200ResponseHeaders{ETag: etag(got.Phone.Rev)}}, nil
}

// DeletePhone forgets a phone.
func (o operations) DeletePhone(ctx context.Context, r api.DeletePhoneRequestObject) (api.DeletePhoneResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	got, err := o.admin.DeletePhone(ctx, r.Phone, rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.DeletePhone200JSONResponse(toPhoneResult(got)), nil
}

// DeletePhones forgets several phones.
func (o operations) DeletePhones(ctx context.Context, r api.DeletePhonesRequestObject) (api.DeletePhonesResponseObject, error) {
	list := api.DeletePhones200JSONResponse{Verdicts: []api.PhoneVerdict{}}
	for _, v := range o.admin.DeletePhones(ctx, r.Body.Phones, toWrite(ctx, r.Params.DryRun)) {
		x := api.PhoneVerdict{Key: v.Key, Status: 200}
		if v.Err != nil {
			p := toProblem(v.Err)
			x.Status, x.Detail = p.Status, p.Detail
		} else {
			x.Result = toPhoneResult(v.PhoneResult)
		}
		list.Verdicts = append(list.Verdicts, x)
	}
	return list, nil
}

// ReplacePhone puts another phone in a phone's place.
func (o operations) ReplacePhone(ctx context.Context, r api.ReplacePhoneRequestObject) (api.ReplacePhoneResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	by := admin.Replacement{MAC: r.Body.Mac, Serial: r.Body.Sn, UUID: r.Body.UUID}
	got, err := o.admin.ReplacePhone(ctx, r.Phone, rev, by, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, phoneFault(err)
	}
	out := api.ReplacePhone200JSONResponse{
		Old: toPhone(got.Old.Phone), New: toPhone(got.New.Phone), OldChanges: toChanges(got.Old.Changes),
		NewChanges: toChanges(got.New.Changes), Effects: toEffects(got.Effects), Networks: []string{},
	}
	if got.Networks != nil {
		for _, id := range got.Networks.Changed {
			out.Networks = append(out.Networks, string(id))
		}
	}
	return out, nil
}

// phoneFault brings the pointers of what is wrong with a phone into the API's names.
func phoneFault(err error) error {
	if faults, ok := errors.AsType[admin.Faults](err); ok {
		for i := range faults {
			if faults[i].Pointer == "/serial" {
				faults[i].Pointer = "/sn"
			}
		}
	}
	return err
}

func fromPhoneFields(f *api.PhoneFields) admin.PhoneFields {
	return admin.PhoneFields{
		Label: f.Label, MAC: f.Mac, Serial: f.Sn, UUID: f.UUID, Vendor: f.Vendor, Model: f.Model, Version: f.Version,
		Plugin: provision.PluginID(f.Plugin), Pinned: f.Pinned, Config: provision.ConfigID(f.Config),
		Override: FromValues(f.Override), Options: FromValues(f.Options), Remote: f.Remote, Static: f.Static,
	}
}

// fromPhonePatch reads a merge patch that is as the document has it: null empties a field, and what isn't there stays.
func fromPhonePatch(raw json.RawMessage) (p admin.PhonePatch, err error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return p, fmt.Errorf("read the patch: %w: %w", err, provision.ErrInvalid)
	}
	var override, options *map[string]any
	err = errors.Join(
		patched(m, "label", &p.Label), patched(m, "mac", &p.MAC), patched(m, "sn", &p.Serial), patched(m, "uuid", &p.UUID),
		patched(m, "vendor", &p.Vendor), patched(m, "model", &p.Model), patched(m, "version", &p.Version),
		patched(m, "plugin", &p.Plugin), patched(m, "pinned", &p.Pinned), patched(m, "config", &p.Config),
		patched(m, "override", &override), patched(m, "options", &options),
		patched(m, "remote", &p.Remote), patched(m, "static", &p.Static),
	)
	if override != nil {
		params := provision.Params(FromValues(*override))
		p.Override = &params
	}
	if options != nil {
		values := FromValues(*options)
		p.Options = &values
	}
	return p, err
}

// patched reads a field of a patch, if it is there.
func patched[T any](m map[string]json.RawMessage, name string, to **T) error {
	raw, ok := m[name]
	if !ok {
		return nil
	}
	*to = new(T)
	if err := json.Unmarshal(raw, *to); err != nil { // null leaves the zero value
		return fmt.Errorf("read %s: %w: %w", name, err, provision.ErrInvalid)
	}
	return nil
}

// FromValues makes the numbers of JSON those that params have: whole ones are integers. The map itself stays.
func FromValues(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out, _ := fromValue(m).(map[string]any)
	return out
}

func fromValue(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, item := range x {
			out[k] = fromValue(item)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = fromValue(item)
		}
		return out
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return int64(x)
		}
	}
	return v
}

func toPhone(p admin.Phone) api.Phone {
	x := api.Phone{
		ID: string(p.ID), Mac: p.HW.String(), MacVendor: p.HW.Vendor(), Sn: p.Serial, UUID: p.UUID, Vendor: p.Vendor, Model: p.Model, Version: p.Version,
		Label: p.Label, Plugin: string(p.Plugin), Pinned: p.Pinned, Config: string(p.Config), Auto: p.Auto, Created: p.Created,
		Addresses: []string{}, Seen: p.Seen, Rev: number(p.Rev), State: toState(p.Trust()), Network: p.Network,
		Port: provision.Printable(p.Port), Remote: p.Remote, Static: p.Static, Override: map[string]any(p.Override), Options: p.Options,
	}
	for _, a := range p.Addresses {
		x.Addresses = append(x.Addresses, a.String())
	}
	return x
}

func toPhoneResult(r admin.PhoneResult) api.PhoneResult {
	return api.PhoneResult{Phone: toPhone(r.Phone), Changes: toChanges(r.Changes), Effects: toEffects(r.Effects)}
}

func toChanges(list []provision.Difference) []api.Change {
	out := make([]api.Change, len(list))
	for i, d := range list {
		out[i] = api.Change{Path: provision.Printable(d.Path), Old: provision.Printable(d.Old), New: provision.Printable(d.New)}
	}
	return out
}

// ListFiles makes the files of a phone.
func (o operations) ListFiles(ctx context.Context, r api.ListFilesRequestObject) (api.ListFilesResponseObject, error) {
	files, err := o.admin.PhoneFiles(ctx, r.Phone, r.Params.Path)
	if err != nil {
		return nil, err
	}
	list := api.ListFiles200JSONResponse{Files: []api.PhoneFile{}}
	for _, f := range files {
		x := api.PhoneFile{Proto: api.PhoneFileProto(f.Proto), Path: f.Path, Note: f.Note, Error: f.Err}
		if f.Err == "" {
			x.Class, x.Size, x.Sha256 = f.Class.String(), f.Size, hex.EncodeToString(f.Hash[:])
		}
		if r.Params.Path != "" {
			x.Text = f.Text
		}
		list.Files = append(list.Files, x)
	}
	return list, nil
}
