package web

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// SiteFile turns the whole site into a YAML file and back.
type SiteFile interface {
	// ExportSite writes the site, with its secrets only if clear.
	ExportSite(ctx context.Context, clear bool) ([]byte, error)
	// ApplySite is [admin.Service.ApplySite] of a file; faults name its lines.
	ApplySite(ctx context.Context, data []byte, prune bool, w admin.Write) ([]admin.SiteChange, error)
}

// ExportSite sends the whole site.
func (o operations) ExportSite(ctx context.Context, r api.ExportSiteRequestObject) (api.ExportSiteResponseObject, error) {
	if o.server.Site == nil {
		return nil, fmt.Errorf("export: %w", provision.ErrNotFound)
	}
	data, err := o.server.Site.ExportSite(ctx, r.Params.Secrets)
	if err != nil {
		return nil, err
	}
	if r.Params.Secrets {
		o.server.did(ctx, "site with its secrets")
	}
	return api.ExportSite200ApplicationVndDialtoneSiteYamlResponse{Body: bytes.NewReader(data), ContentLength: int64(len(data))}, nil
}

// ApplySite makes the site what a file says.
func (o operations) ApplySite(ctx context.Context, r api.ApplySiteRequestObject) (api.ApplySiteResponseObject, error) {
	if o.server.Site == nil {
		return nil, fmt.Errorf("apply: %w", provision.ErrNotFound)
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("apply: %w: %w", provision.ErrInvalid, err)
	}
	changes, err := o.server.Site.ApplySite(ctx, data, r.Params.Prune, admin.Write{By: author(ctx, "applied"), DryRun: r.Params.DryRun})
	if err != nil {
		return nil, err
	}
	list := api.ApplySite200JSONResponse{Changes: []api.SiteChange{}}
	for _, c := range changes {
		x := api.SiteChange{Action: api.SiteChangeAction(c.Action), Kind: c.Kind, Name: c.Name, Fields: []string{}}
		x.Fields = append(x.Fields, c.Fields...)
		list.Changes = append(list.Changes, x)
	}
	return list, nil
}
