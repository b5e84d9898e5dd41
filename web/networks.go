package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// ListNetworks lists what is declared.
func (o operations) ListNetworks(ctx context.Context, _ api.ListNetworksRequestObject) (api.ListNetworksResponseObject, error) {
	d, err := o.admin.Declared(ctx)
	if err != nil {
		return nil, err
	}
	list := api.NetworkList{Networks: []api.Network{}, Shared: []api.SharedLink{}, Rev: number(d.Rev), Warnings: toWarnings(d.Warnings)}
	for i := range d.Networks {
		list.Networks = append(list.Networks, ToNetwork(&d.Networks[i]))
	}
	for _, l := range d.Shared {
		list.Shared = append(list.Shared, api.SharedLink{Name: l.Name, Options: toOptions(l.Options)})
	}
	return api.ListNetworks200JSONResponse{Body: list, Headers: api.ListNetworks200ResponseHeaders{ETag: etag(d.Rev)}}, nil
}

// GetNetwork returns one network.
func (o operations) GetNetwork(ctx context.Context, r api.GetNetworkRequestObject) (api.GetNetworkResponseObject, error) {
	n, rev, err := o.admin.Network(ctx, network.ID(r.Network))
	if err != nil {
		return nil, err
	}
	return api.GetNetwork200JSONResponse{Body: ToNetwork(&n), Headers: api.GetNetwork200ResponseHeaders{ETag: etag(rev)}}, nil
}

// CreateNetwork declares a network.
func (o operations) CreateNetwork(ctx context.Context, r api.CreateNetworkRequestObject) (api.CreateNetworkResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	var read reader
	n := read.network(r.Body)
	if err := read.err(); err != nil {
		return nil, err
	}
	got, err := o.admin.CreateNetwork(ctx, n, rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	if r.Params.DryRun {
		return api.CreateNetwork200JSONResponse{Body: toNetworkResult(got), Headers: api.CreateNetwork200ResponseHeaders{ETag: etag(got.Rev)}}, nil
	}
	return api.CreateNetwork201JSONResponse{Body: toNetworkResult(got), Headers: api.CreateNetwork201ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// PutNetwork replaces a network.
func (o operations) PutNetwork(ctx context.Context, r api.PutNetworkRequestObject) (api.PutNetworkResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	var read reader
	n := read.network(r.Body)
	if err := read.err(); err != nil {
		return nil, err
	}
	got, err := o.admin.UpdateNetwork(ctx, network.ID(r.Network), n, rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.PutNetwork200JSONResponse{Body: toNetworkResult(got), Headers: api.PutNetwork200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// PatchNetwork changes some fields of a network.
func (o operations) PatchNetwork(ctx context.Context, r api.PatchNetworkRequestObject) (api.PatchNetworkResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	edit := func(n network.Network) (network.Network, error) {
		x, err := merged(ToNetwork(&n), *r.Body)
		if err != nil {
			return n, err
		}
		return FromNetwork(&x)
	}
	got, err := o.admin.EditNetwork(ctx, network.ID(r.Network), rev, toWrite(ctx, r.Params.DryRun), edit)
	if err != nil {
		return nil, within(*r.Body, err)
	}
	return api.PatchNetwork200JSONResponse{Body: toNetworkResult(got), Headers: api.PatchNetwork200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// DeleteNetwork ends that a network is declared.
func (o operations) DeleteNetwork(ctx context.Context, r api.DeleteNetworkRequestObject) (api.DeleteNetworkResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	got, err := o.admin.DeleteNetwork(ctx, network.ID(r.Network), rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.DeleteNetwork200JSONResponse{Body: toNetworkResult(got), Headers: api.DeleteNetwork200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// merged lays a merge patch (RFC 7396) over a thing as the document has it.
func merged[T any](thing T, patch json.RawMessage) (out T, err error) {
	data, err := json.Marshal(thing)
	if err != nil {
		return out, fmt.Errorf("write: %w", err)
	}
	var target, with any
	if err := readJSON(data, &target); err != nil {
		return out, err
	}
	if err := readJSON(patch, &with); err != nil {
		return out, err
	}
	if data, err = json.Marshal(mergePatch(target, with)); err != nil {
		return out, fmt.Errorf("write: %w", err)
	}
	return out, readJSON(data, &out)
}

func readJSON(data []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("read the patch: %w: %w", err, provision.ErrInvalid)
	}
	return nil
}

// mergePatch is MergePatch of RFC 7396 §2.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = make(map[string]any, len(p))
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergePatch(t[k], v)
		}
	}
	return t
}

// within takes the pointers of faults to the nearest part of a patch: what was merged has more than the client has sent.
func within(patch json.RawMessage, err error) error {
	faults, ok := errors.AsType[admin.Faults](err)
	var sent any
	if !ok || readJSON(patch, &sent) != nil {
		return err
	}
	for i := range faults {
		f := &faults[i]
		at, other := sentPart(sent, f.Pointer), sentPart(sent, f.Other)
		if at == "" {
			at, other = other, ""
		}
		f.Pointer, f.Other = at, other
	}
	return err
}

// sentPart returns as much of a pointer as leads to something in what was sent.
func sentPart(sent any, pointer string) (out string) {
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch v := sent.(type) {
		case map[string]any:
			below, ok := v[name]
			if !ok {
				return out
			}
			sent = below
		case []any: // it has replaced the former one, so it is as long
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return out
			}
			sent = v[i]
		default:
			return out
		}
		out += "/" + name
	}
	return out
}

// AddPool adds a pool.
func (o operations) AddPool(ctx context.Context, r api.AddPoolRequestObject) (api.AddPoolResponseObject, error) {
	got, err := o.putPool(ctx, r.Network, netip.Addr{}, r.Body, r.Params.IfMatch, r.Params.DryRun)
	if err != nil {
		return nil, err
	}
	if r.Params.DryRun {
		return api.AddPool200JSONResponse{Body: toNetworkResult(got), Headers: api.AddPool200ResponseHeaders{ETag: etag(got.Rev)}}, nil
	}
	return api.AddPool201JSONResponse{Body: toNetworkResult(got), Headers: api.AddPool201ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// PutPool replaces a pool.
func (o operations) PutPool(ctx context.Context, r api.PutPoolRequestObject) (api.PutPoolResponseObject, error) {
	first, err := pathAddr(r.First)
	if err != nil {
		return nil, err
	}
	got, err := o.putPool(ctx, r.Network, first, r.Body, r.Params.IfMatch, r.Params.DryRun)
	if err != nil {
		return nil, err
	}
	return api.PutPool200JSONResponse{Body: toNetworkResult(got), Headers: api.PutPool200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

func (o operations) putPool(ctx context.Context, id string, first netip.Addr, b *api.Pool, match string, dry bool) (admin.NetworkResult, error) {
	rev, err := fromMatch(match)
	if err != nil {
		return admin.NetworkResult{}, err
	}
	var read reader
	p := read.pool("", b)
	if err := read.err(); err != nil {
		return admin.NetworkResult{}, err
	}
	return o.admin.PutPool(ctx, network.ID(id), first, p, rev, toWrite(ctx, dry))
}

// pathAddr reads an address of a path.
func pathAddr(text string) (netip.Addr, error) {
	a, err := parseAddr(text)
	if err != nil {
		return a, fmt.Errorf("%w: %w", err, provision.ErrInvalid)
	}
	return a, nil
}

// DeletePool removes a pool.
func (o operations) DeletePool(ctx context.Context, r api.DeletePoolRequestObject) (api.DeletePoolResponseObject, error) {
	rev, err := fromMatch(r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	first, err := pathAddr(r.First)
	if err != nil {
		return nil, err
	}
	got, err := o.admin.DeletePool(ctx, network.ID(r.Network), first, rev, toWrite(ctx, r.Params.DryRun))
	if err != nil {
		return nil, err
	}
	return api.DeletePool200JSONResponse{Body: toNetworkResult(got), Headers: api.DeletePool200ResponseHeaders{ETag: etag(got.Rev)}}, nil
}

// ListPools counts the addresses of the pools.
func (o operations) ListPools(context.Context, api.ListPoolsRequestObject) (api.ListPoolsResponseObject, error) {
	list := api.ListPools200JSONResponse{Pools: []api.PoolUsage{}}
	for _, u := range o.admin.PoolUsages() {
		list.Pools = append(list.Pools, api.PoolUsage{
			Network: string(u.Network), First: u.First.String(), Last: u.Last.String(), Size: int64(u.Size), Used: int64(u.Used),
			Reserved: int64(u.Reserved), Quarantined: int64(u.Quarantined), Free: int64(u.Free),
		})
	}
	return list, nil
}
