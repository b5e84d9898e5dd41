package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web/api"
)

// jobs returns the jobs of an appliance that does any.
func (o operations) jobs() (*admin.Jobs, error) {
	if o.admin.Jobs == nil {
		return nil, fmt.Errorf("jobs: %w", provision.ErrNotFound)
	}
	return o.admin.Jobs, nil
}

// ListJobs lists a page of the jobs.
func (o operations) ListJobs(_ context.Context, r api.ListJobsRequestObject) (api.ListJobsResponseObject, error) {
	jobs, err := o.jobs()
	if err != nil {
		return nil, err
	}
	page, err := jobs.Page(toPage(r.Params.Limit, r.Params.Cursor, r.Params.Sort, r.Params.Filter))
	if err != nil {
		return nil, pageFault(err)
	}
	list := api.ListJobs200JSONResponse{Jobs: []api.Job{}, Next: page.Next, Total: int64(page.Total)}
	for _, j := range page.Items {
		list.Jobs = append(list.Jobs, toJob(j))
	}
	return list, nil
}

// GetJob returns one.
func (o operations) GetJob(_ context.Context, r api.GetJobRequestObject) (api.GetJobResponseObject, error) {
	jobs, err := o.jobs()
	if err != nil {
		return nil, err
	}
	j, err := jobs.Job(r.Job)
	if err != nil {
		return nil, err
	}
	x := toJob(j)
	if j.Verdicts != nil {
		x.Verdicts = toVerdicts(j.Verdicts)
	}
	return api.GetJob200JSONResponse(x), nil
}

// CancelJob cancels one.
func (o operations) CancelJob(ctx context.Context, r api.CancelJobRequestObject) (api.CancelJobResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	jobs, err := o.jobs()
	if err != nil {
		return nil, err
	}
	j, err := jobs.Job(r.Job)
	if err == nil && j.State.Ended() {
		err = fmt.Errorf("job %s has ended: %w", j.ID, provision.ErrConflict)
	}
	if err == nil {
		err = about(ctx, "job "+j.ID)
	}
	if err == nil {
		j, err = jobs.Cancel(r.Job)
	}
	if err != nil {
		return nil, err
	}
	o.server.done(ctx)
	return api.CancelJob202JSONResponse(toJob(j)), nil
}

// ListBackups lists the backups that are kept.
func (o operations) ListBackups(context.Context, api.ListBackupsRequestObject) (api.ListBackupsResponseObject, error) {
	if _, err := o.jobs(); err != nil {
		return nil, err
	}
	files, err := o.admin.Backups.List()
	if err != nil {
		return nil, err
	}
	list := api.ListBackups200JSONResponse{Backups: []api.BackupFile{}}
	for _, f := range files {
		list.Backups = append(list.Backups, api.BackupFile{Name: f.Name, Size: f.Size, Created: f.Created, Scheduled: f.Scheduled})
	}
	return list, nil
}

// CreateBackup begins to write one.
func (o operations) CreateBackup(ctx context.Context, r api.CreateBackupRequestObject) (api.CreateBackupResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if _, err := o.jobs(); err != nil {
		return nil, err
	}
	if err := about(ctx, "backup"); err != nil {
		return nil, err
	}
	j, err := o.admin.CreateBackup(visitOf(ctx).Name)
	if err != nil {
		return nil, err
	}
	o.server.did(ctx, "job "+j.ID)
	return api.CreateBackup202JSONResponse(toJob(j)), nil
}

// VerifyBackup begins to check one.
func (o operations) VerifyBackup(ctx context.Context, r api.VerifyBackupRequestObject) (api.VerifyBackupResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if _, err := o.jobs(); err != nil {
		return nil, err
	}
	if err := o.aboutBackup(ctx, r.Backup); err != nil {
		return nil, err
	}
	j, err := o.admin.VerifyBackup(r.Backup, visitOf(ctx).Name)
	if err != nil {
		return nil, err
	}
	o.server.done(ctx)
	return api.VerifyBackup202JSONResponse(toJob(j)), nil
}

// DeleteBackup deletes one.
func (o operations) DeleteBackup(ctx context.Context, r api.DeleteBackupRequestObject) (api.DeleteBackupResponseObject, error) {
	rehearse(ctx, r.Params.DryRun)
	if _, err := o.jobs(); err != nil {
		return nil, err
	}
	if err := o.aboutBackup(ctx, r.Backup); err != nil {
		return nil, err
	}
	if err := o.admin.Backups.Remove(r.Backup); err != nil {
		return nil, err
	}
	o.server.done(ctx)
	return api.DeleteBackup204Response{}, nil
}

// aboutBackup says that an operation is about a backup. ErrNotFound if it isn't kept.
func (o operations) aboutBackup(ctx context.Context, name string) error {
	files, err := o.admin.Backups.List()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(files, func(f admin.BackupFile) bool { return f.Name == name }) {
		return fmt.Errorf("backup %s: %w", provision.Printable(name), provision.ErrNotFound)
	}
	return about(ctx, "backup "+name)
}

// DownloadBackup sends one.
func (o operations) DownloadBackup(ctx context.Context, r api.DownloadBackupRequestObject) (api.DownloadBackupResponseObject, error) {
	if _, err := o.jobs(); err != nil {
		return nil, err
	}
	f, err := o.admin.Backups.Open(r.Backup)
	if err != nil {
		return nil, err
	}
	o.server.did(ctx, "backup "+r.Backup)
	return keptBackup{r.Backup, f}, nil
}

type keptBackup struct {
	name string
	file io.ReadCloser
}

// VisitDownloadBackupResponse implements the generated interface.
func (b keptBackup) VisitDownloadBackupResponse(w http.ResponseWriter) error {
	defer b.file.Close()
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+b.name+`"`)
	_, err := io.Copy(w, b.file)
	return err
}

// toJob brings a job into the API's form. What isn't its object's fault is told in general words, as in an answer.
func toJob(j admin.Job) api.Job {
	x := api.Job{
		ID: j.ID, Kind: api.JobKind(j.Kind), Object: j.Object, State: api.JobState(j.State), Done: j.Done, Total: j.Total, By: j.By,
		Created: j.Created, Started: j.Started, Ended: j.Ended,
	}
	if j.Object != "" && j.State == admin.JobDone && j.Kind != admin.JobImport {
		x.Result = apiBase + "/backups/" + j.Object
	}
	if j.Err != nil {
		p := toProblem(j.Err)
		if p.Status == http.StatusInternalServerError {
			p.Detail = "The appliance could not do this; its log says why."
		}
		x.Error = p
	}
	return x
}
