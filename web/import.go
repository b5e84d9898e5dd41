package web

import (
	"context"

	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/port"
	"github.com/dialtone-project/dialtone/web/api"
)

// ImportFiles adds what files of another program say to the site.
func (o operations) ImportFiles(ctx context.Context, r api.ImportFilesRequestObject) (api.ImportFilesResponseObject, error) {
	files := make([]port.File, 0, len(r.Body.Files))
	for _, f := range r.Body.Files {
		files = append(files, port.File{Name: f.Name, Data: f.Content})
	}
	verdicts, err := o.admin.Import(ctx, port.Format(r.Format), files, admin.Write{By: author(ctx, "imported"), DryRun: r.Params.DryRun})
	if err != nil {
		return nil, err
	}
	list := api.ImportFiles200JSONResponse{Verdicts: make([]api.ImportVerdict, 0, len(verdicts))}
	for _, v := range verdicts {
		list.Verdicts = append(list.Verdicts, api.ImportVerdict{
			File: v.File, Line: v.Line, Kind: v.Kind, Name: v.Name, Action: api.ImportVerdictAction(v.Action), Text: v.Text,
		})
	}
	return list, nil
}
