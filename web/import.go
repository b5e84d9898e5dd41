package web

import (
	"context"
	"strings"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/port"
	"github.com/dialtone-project/dialtone/web/api"
)

// ImportFiles adds what files of another program say to the site, or has a job do so.
func (o operations) ImportFiles(ctx context.Context, r api.ImportFilesRequestObject) (api.ImportFilesResponseObject, error) {
	files := make([]port.File, 0, len(r.Body.Files))
	for _, f := range r.Body.Files {
		files = append(files, port.File{Name: f.Name, Data: f.Content})
	}
	format, w := port.Format(r.Format), admin.Write{By: author(ctx, "imported"), DryRun: r.Params.DryRun}
	if wantsJob(r.Params.Prefer) {
		return o.importLater(ctx, format, files, w)
	}
	verdicts, err := o.admin.Import(ctx, format, files, w)
	if err != nil {
		return nil, err
	}
	return api.ImportFiles200JSONResponse{Verdicts: toVerdicts(verdicts)}, nil
}

// importLater has a job import. What it changes is written down and told of as its asker's, when it does.
func (o operations) importLater(ctx context.Context, format port.Format, files []port.File, w admin.Write) (api.ImportFilesResponseObject, error) {
	jobs, err := o.jobs()
	if err != nil {
		return nil, err
	}
	const route = "/import/{format}"
	actor, known := visitOf(ctx).Actor, rules()["POST "+route]
	j, err := jobs.StartImport(format, actor.Name, func(ctx context.Context) ([]port.Verdict, error) {
		ctx, note := access.WithNote(ctx, actor, known.name)
		defer o.server.changed(known, route, note, actor)
		return o.admin.Import(ctx, format, files, w)
	})
	if err != nil {
		return nil, err
	}
	return api.ImportFiles202JSONResponse{
		Body: toJob(j), Headers: api.ImportFiles202ResponseHeaders{Location: apiBase + "/jobs/" + j.ID},
	}, nil
}

// wantsJob reports whether a Prefer header asks for an answer before the work is done (RFC 7240, section 4.1).
func wantsJob(prefer string) bool {
	for p := range strings.SplitSeq(prefer, ",") {
		name, _, _ := strings.Cut(p, ";")
		if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
			return true
		}
	}
	return false
}

func toVerdicts(verdicts []port.Verdict) []api.ImportVerdict {
	list := make([]api.ImportVerdict, 0, len(verdicts))
	for _, v := range verdicts {
		list = append(list, api.ImportVerdict{
			File: v.File, Line: v.Line, Kind: v.Kind, Name: v.Name, Action: api.ImportVerdictAction(v.Action), Text: v.Text,
		})
	}
	return list
}
