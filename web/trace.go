package web

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/web/api"
)

// GetRequest returns one outcome.
func (o operations) GetRequest(ctx context.Context, r api.GetRequestRequestObject) (api.GetRequestResponseObject, error) {
	outcome, err := o.admin.Request(ctx, requestID(r.Number))
	if err != nil {
		return nil, err
	}
	x, err := explained(outcome)
	if err != nil {
		return nil, err
	}
	return api.GetRequest200JSONResponse(x), nil
}

// ReplayRequest tells what a request of the past would come to now.
func (o operations) ReplayRequest(ctx context.Context, r api.ReplayRequestRequestObject) (api.ReplayRequestResponseObject, error) {
	replayed, err := o.admin.Replay(ctx, requestID(r.Number))
	if err != nil {
		return nil, err
	}
	then, err := toOutcome(replayed.Then)
	if err != nil {
		return nil, err
	}
	now, err := explained(replayed.Now)
	if err != nil {
		return nil, err
	}
	out := api.ReplayRequest200JSONResponse{Then: then, Now: now.Outcome, Text: now.Text, Differences: []api.Difference{}}
	for _, c := range replayed.Changes {
		out.Differences = append(out.Differences, api.Difference{Field: c.Field, Then: provision.Printable(c.Old), Now: provision.Printable(c.New)})
	}
	return out, nil
}

// ListBoots tells how a phone came up.
func (o operations) ListBoots(ctx context.Context, r api.ListBootsRequestObject) (api.ListBootsResponseObject, error) {
	boots, err := o.admin.Boots(ctx, r.Phone)
	if err != nil {
		return nil, err
	}
	list := api.ListBoots200JSONResponse{Boots: []api.Boot{}}
	for _, b := range boots {
		list.Boots = append(list.Boots, toBoot(b))
	}
	return list, nil
}

// ListDrift compares what a phone has with what it would get.
func (o operations) ListDrift(ctx context.Context, r api.ListDriftRequestObject) (api.ListDriftResponseObject, error) {
	files, err := o.admin.Drift(ctx, r.Phone)
	if err != nil {
		return nil, err
	}
	list := api.ListDrift200JSONResponse{Files: []api.Drift{}}
	for _, f := range files {
		x := api.Drift{
			Path: provision.Printable(f.Path), Proto: api.DriftProto(f.Proto), State: api.DriftState(f.State), At: f.At,
			Sha256: hex.EncodeToString(f.Hash[:]), Request: number(f.Request),
		}
		if f.Now.Err != nil {
			x.Note = provision.Printable(f.Now.Err.Error())
		}
		list.Files = append(list.Files, x)
	}
	return list, nil
}

func toBoot(b provision.Boot) api.Boot {
	x := api.Boot{
		ID: number(b.ID), Begun: b.Begun, End: b.End, State: api.BootState(b.State),
		Stuck: provision.Printable(b.Stuck), Why: provision.Printable(b.Why), Remedy: b.Remedy, Stages: []api.Stage{},
	}
	for _, s := range b.Stages {
		x.Stages = append(x.Stages, api.Stage{
			Proto: api.StageProto(s.Proto), Path: provision.Printable(s.Path), State: api.StageState(s.State), Required: s.Required,
			Expected: s.Expected, At: s.At, Times: int32(min(s.Times, math.MaxInt32)), //nolint:gosec // bounded
			Request: number(s.Request), Note: provision.Printable(s.Note),
		})
	}
	return x
}

// explained is an outcome with its story.
func explained(outcome *provision.Outcome) (api.Explanation, error) {
	x, err := toOutcome(outcome)
	if err != nil {
		return api.Explanation{}, err
	}
	var text strings.Builder
	if err := outcome.Explain(&text); err != nil {
		return api.Explanation{}, fmt.Errorf("explain: %w", err)
	}
	return api.Explanation{Text: text.String(), Outcome: x}, nil
}

// requestID reads the number of a request; what no request can have finds none.
func requestID(n int64) uint64 { return uint64(max(n, 0)) }

func number(id uint64) int64 { return int64(min(id, math.MaxInt64)) }
