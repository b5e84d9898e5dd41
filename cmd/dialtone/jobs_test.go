package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/web/api"
)

// console asks as somebody on the console's port, and checks everything against the document.
func (s *apiSite) console(r access.Role) *api.ClientWithResponses {
	s.t.Helper()
	c, err := api.NewClientWithResponses("http://"+s.parts.consoleAddr()+"/api/v1",
		api.WithHTTPClient(&http.Client{Transport: (*checked)(s)}), api.WithRequestEditorFn(s.people[r].as))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// followed follows events by the command, until what it returns second is called.
func (o *office) followed(topics string) (heard func() []api.Event, stop func()) {
	o.t.Helper()
	var live, errs syncBuffer
	ctx, interrupt := context.WithCancel(o.t.Context())
	done := make(chan int, 1)
	args := []string{"events", "--follow", "--json", "--topics", topics, "--state", o.state}
	go func() {
		done <- run(ctx, args, func(string) string { return "" }, strings.NewReader(""), &live, &errs)
	}()
	waitFor(o.t, "the listener", func() bool {
		_, body := o.socket("/metrics")
		return strings.Contains(body, "dialtone_events_subscribers 1")
	})
	heard = func() (list []api.Event) {
		for line := range bytes.Lines([]byte(live.String())) {
			var e api.Event
			if json.Unmarshal(line, &e) == nil { // the last may be there in part
				list = append(list, e)
			}
		}
		return list
	}
	return heard, func() {
		interrupt()
		if code := <-done; code != exitOK {
			o.t.Errorf("events: exit %d: %s", code, &errs)
		}
	}
}

// A job that runs ends soon after it is cancelled, and who listens hears each of its states.
func TestCancelRunningJob(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	heard, stop := s.followed("job")
	defer stop()
	id := s.newJob() // its work goes on until its context ends
	c := s.console(access.Owner)
	state := func() api.JobState {
		r, err := c.GetJobWithResponse(t.Context(), id)
		if err != nil || r.JSON200 == nil {
			t.Fatalf("job %s: %v", id, err)
		}
		return r.JSON200.State
	}
	waitFor(t, "the job to run", func() bool { return state() == api.JobStateRunning })
	queued, err := s.parts.admin().CreateBackup("desk")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.CancelJobWithResponse(t.Context(), id, nil)
	if err != nil || r.JSON202 == nil {
		t.Fatalf("cancel: %v, %+v", err, r)
	}
	waitFor(t, "the job to end", func() bool { return state() == api.JobStateCancelled })
	if got := s.ended(queued.ID).State; got != api.JobStateDone {
		t.Errorf("the next job is %s, want it done", got)
	}
	want := []string{
		"job 1 queued", "job 1 running", "job 2 queued", "job 1 cancelled", "job 2 running", "job 2 done",
	}
	var got []string
	waitFor(t, "the last event", func() bool {
		got = got[:0]
		for _, e := range heard() {
			got = append(got, e.Object+" "+e.Action)
		}
		return slices.Contains(got, want[len(want)-1])
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// Who prefers not to wait gets a job, which does what the request would have done, in the asker's name.
func TestImportAsJob(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	heard, stop := s.followed("site,job")
	defer stop()
	c := s.console(access.Owner)
	body := api.ImportFiles{Files: []api.ImportFile{{
		Name: "phones.csv", Content: []byte("mac,label,admin_password\n00:08:5d:00:00:71,Desk," + planted + "import\nx,,\n"),
	}}}
	later := func(dry bool) api.Job {
		t.Helper()
		r, err := c.ImportFilesWithResponse(t.Context(), "csv", &api.ImportFilesParams{DryRun: dry, Prefer: "wait=1, Respond-Async"}, body)
		if err != nil || r.JSON202 == nil {
			t.Fatalf("import: %v, %+v", err, r)
		}
		if got, want := r.HTTPResponse.Header.Get("Location"), "/api/v1/jobs/"+r.JSON202.ID; got != want {
			t.Errorf("location: got %q, want %q", got, want)
		}
		j := s.ended(r.JSON202.ID)
		if j.State != api.JobStateDone || j.Kind != api.JobKindImport || j.Object != "csv" || j.By != "owner" || j.Result != "" {
			t.Errorf("got %+v, want an import that is done", j)
		}
		return j
	}
	r, err := c.ImportFilesWithResponse(t.Context(), "csv", &api.ImportFilesParams{DryRun: true, Prefer: "return=minimal"}, body)
	if err != nil || r.JSON200 == nil {
		t.Fatalf("import at once: %v, %+v", err, r)
	}
	want := r.JSON200.Verdicts
	if diff := cmp.Diff(want, later(true).Verdicts); diff != "" {
		t.Errorf("dry (-want +got):\n%s", diff)
	}
	if n := len(s.phones()); n != 0 {
		t.Errorf("a dry run added %d phones", n)
	}
	if diff := cmp.Diff(want, later(false).Verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if list := s.phones(); len(list) != 1 || list[0].Mac != "00:08:5d:00:00:71" {
		t.Errorf("phones: %+v", list)
	}
	audit, err := c.ListAuditWithResponse(t.Context(), &api.ListAuditParams{Limit: 100})
	if err != nil || audit.JSON200 == nil {
		t.Fatalf("audit: %v", err)
	}
	entries := 0
	for _, e := range audit.JSON200.Entries {
		if e.Action == "importFiles" && e.Actor == "owner" {
			entries++
		}
	}
	if entries != 1 {
		t.Errorf("%d entries in the audit, want one, of the import that wasn't dry", entries)
	}
	waitFor(t, "the import's event", func() bool {
		return slices.ContainsFunc(heard(), func(e api.Event) bool { return e.Action == "importFiles" && e.Actor == "owner" })
	})
	if list, err := c.ListJobsWithResponse(t.Context(), nil); err != nil || list.JSON200 == nil || strings.Contains(string(list.Body), "verdicts") {
		t.Errorf("the list of jobs has verdicts: %v, %s", err, list.Body)
	}
}

// An import that can't be is a job that failed, and says why as the answer would have.
func TestImportAsJobFails(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	c := s.console(access.Owner)
	body := api.ImportFiles{Files: []api.ImportFile{{Name: "phones.csv", Content: []byte("nothing,known\n1,2\n")}}}
	at, err := c.ImportFilesWithResponse(t.Context(), "csv", nil, body)
	if err != nil || at.ApplicationProblemJSONDefault == nil {
		t.Fatalf("import at once: %v, %s", err, at.Body)
	}
	r, err := c.ImportFilesWithResponse(t.Context(), "csv", &api.ImportFilesParams{Prefer: "respond-async"}, body)
	if err != nil || r.StatusCode() != http.StatusAccepted {
		t.Fatalf("import: %v, %s", err, r.Body)
	}
	j := s.ended(r.JSON202.ID)
	if want := at.ApplicationProblemJSONDefault; j.State != api.JobStateFailed || j.Error.Status != want.Status || j.Error.Detail != want.Detail {
		t.Errorf("got %s, %+v, want %+v", j.State, j.Error, want)
	}
	if j.Ended.Before(j.Started) || time.Since(j.Ended) > time.Minute {
		t.Errorf("it ended at %s", j.Ended)
	}
}
