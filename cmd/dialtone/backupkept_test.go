package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-project/dialtone/provision/access"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/web"
	"github.com/dialtone-project/dialtone/web/api"
)

// ended waits for a job's end, by the registry's own word.
func (s *apiSite) ended(id string) api.Job {
	s.t.Helper()
	c, err := api.NewClientWithResponses("http://"+s.parts.web.ConsoleAddr().String()+"/api/v1", api.WithRequestEditorFn(s.people[access.Owner].as))
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := c.GetJobWithResponse(ctx, id)
		if err != nil || r.JSON200 == nil {
			s.t.Fatalf("job %s: %v", id, err)
		}
		if admin.JobState(r.JSON200.State).Ended() {
			return *r.JSON200
		}
		<-tick.C
	}
}

// A backup that the appliance makes as a job is listed and found whole by another job; one that is damaged is found out.
func TestKeptBackups(t *testing.T) {
	t.Parallel()
	s := newAPISite(t)
	jobs := s.parts.admin()
	j, err := jobs.CreateBackup("desk")
	if err != nil {
		t.Fatal(err)
	}
	made := s.ended(j.ID)
	if made.State != "done" || made.Done == 0 || made.By != "desk" || made.Result != "/api/v1/backups/"+made.Object {
		t.Fatalf("got %+v, want it done", made)
	}
	if _, err := jobs.VerifyBackup("dialtone-20260701T120000.006Z.tar.gz", "desk"); err == nil {
		t.Error("a backup that isn't there is verified")
	}
	verify := func() api.Job {
		t.Helper()
		j, err := jobs.VerifyBackup(made.Object, "desk")
		if err != nil {
			t.Fatal(err)
		}
		return s.ended(j.ID)
	}
	if got := verify(); got.State != "done" || got.Done != got.Total {
		t.Errorf("got %+v, want it done", got)
	}
	metrics, err := s.parts.metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dialtone_backup_size_bytes", "dialtone_backup_last_success_timestamp_seconds", "dialtone_jobs"} {
		if !slices.ContainsFunc(metrics, func(m web.Metric) bool { return m.Name == name && len(m.Samples) > 0 && m.Samples[0].Value > 0 }) {
			t.Errorf("%s has no value", name)
		}
	}
	s.damage(made.Object)
	if got := verify(); got.State != "failed" || got.Error.Status != http.StatusBadRequest || !strings.Contains(got.Error.Detail, "damaged") {
		t.Errorf("got %+v, want it failed: damaged", got)
	}
}

// damage flips a bit in the middle of a backup.
func (s *apiSite) damage(name string) {
	s.t.Helper()
	path := filepath.Join(keptBackups{s.parts}.folder().Dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	data[len(data)/2] ^= 4
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}
