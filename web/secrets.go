package web

import (
	"context"
	"fmt"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// RevealConfig shows a config's secrets.
func (o operations) RevealConfig(ctx context.Context, r api.RevealConfigRequestObject) (api.RevealConfigResponseObject, error) {
	x, err := o.admin.RevealConfig(ctx, provision.ConfigID(r.Config))
	if err == nil {
		err = o.server.witnessed(ctx)
	}
	if err != nil {
		return nil, err
	}
	return api.RevealConfig200JSONResponse(toRevealed(x)), nil
}

// RevealPhone shows a phone's own secrets.
func (o operations) RevealPhone(ctx context.Context, r api.RevealPhoneRequestObject) (api.RevealPhoneResponseObject, error) {
	x, err := o.admin.RevealPhone(ctx, r.Phone)
	if err == nil {
		err = o.server.witnessed(ctx)
	}
	if err != nil {
		return nil, err
	}
	return api.RevealPhone200JSONResponse(toRevealed(x)), nil
}

func toRevealed(x admin.Revealed) api.Revealed {
	out := api.Revealed{Params: x.Params, Paths: x.Paths}
	if out.Params == nil {
		out.Params = map[string]any{}
	}
	return out
}

// RotateKey makes a new key, or tells what would come of it.
func (o operations) RotateKey(ctx context.Context, r api.RotateKeyRequestObject) (api.RotateKeyResponseObject, error) {
	if o.admin.RotateKey == nil {
		return nil, fmt.Errorf("rotate the key: %w", provision.ErrNotFound)
	}
	x, err := o.admin.RotateKey(ctx, r.Params.DryRun)
	if err != nil {
		return nil, err
	}
	return api.RotateKey200JSONResponse{Done: x.Done, Old: x.Old, New: x.New, Records: int64(x.Records)}, nil
}
