package admin

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/port"
)

// A job is told of at each step; what waits and what runs can be cancelled; the end of the program cancels the rest.
func TestJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		jobs := NewJobs()
		var told []string
		jobs.Tell(func(j Job) { told = append(told, j.ID+" "+string(j.State)) })
		go jobs.Run(ctx)
		start := func(work Work) {
			t.Helper()
			if _, err := jobs.Start(JobBackup, "", "desk", work); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		endless := func(ctx context.Context, progress func(done, total int64)) (string, error) {
			progress(3, 7)
			<-ctx.Done()
			return "", errors.New("the disk went away")
		}
		start(func(context.Context, func(done, total int64)) (string, error) { return "made", nil })
		broken := errors.New("broken")
		start(func(context.Context, func(done, total int64)) (string, error) { return "", broken })
		start(endless)
		start(endless)
		for _, id := range []string{"4", "3"} {
			if _, err := jobs.Cancel(id); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if _, err := jobs.Cancel("3"); !errors.Is(err, provision.ErrConflict) {
			t.Errorf("what has ended is cancelled: got %v, want a conflict", err)
		}
		if _, err := jobs.Job("9"); !errors.Is(err, provision.ErrNotFound) {
			t.Errorf("no job: got %v, want not found", err)
		}
		start(endless)
		start(endless)
		stop()
		synctest.Wait()
		if _, err := jobs.Start(JobBackup, "", "desk", endless); !errors.Is(err, provision.ErrConflict) {
			t.Errorf("a job after the end: got %v, want a conflict", err)
		}
		want := []string{
			"1 queued", "1 running", "1 done", "2 queued", "2 running", "2 failed", "3 queued", "3 running", "4 queued",
			"4 cancelled", "3 cancelled", "5 queued", "5 running", "6 queued", "5 cancelled", "6 cancelled",
		}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		list := jobs.All()
		if got := list[0].Object; got != "made" {
			t.Errorf("object of the first: got %q, want %q", got, "made")
		}
		if got := list[1].Err; !errors.Is(got, broken) {
			t.Errorf("error of the second: got %v, want %v", got, broken)
		}
		if got := [2]int64{list[2].Done, list[2].Total}; got != [2]int64{3, 7} {
			t.Errorf("progress of the third: got %v, want 3 of 7", got)
		}
	})
}

// However many jobs there are, few are remembered and few wait.
func TestJobsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		jobs := NewJobs()
		quick := func(context.Context, func(done, total int64)) (string, error) { return "", nil }
		for range queuedJobs {
			if _, err := jobs.Start(JobBackup, "", "desk", quick); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := jobs.Start(JobBackup, "", "desk", quick); !errors.Is(err, provision.ErrConflict) {
			t.Errorf("one too many: got %v, want a conflict", err)
		}
		go jobs.Run(ctx)
		for range keptJobs {
			synctest.Wait()
			if _, err := jobs.Start(JobBackup, "", "desk", quick); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(jobs.All()); got != keptJobs {
			t.Errorf("%d jobs are remembered, want %d", got, keptJobs)
		}
		p, err := jobs.Page(Page{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.Items[0].ID, "216"; got != want {
			t.Errorf("first of the page: got %s, want %s", got, want)
		}
	})
}

// The verdicts of the last imports are remembered; of one that failed there are none.
func TestJobsForgetVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		jobs := NewJobs()
		go jobs.Run(ctx)
		var fault error
		for i := range keptImports + 2 {
			if i == keptImports+1 {
				fault = provision.ErrInvalid
			}
			if _, err := jobs.StartImport(port.FormatCSV, "desk", func(context.Context) ([]port.Verdict, error) {
				return []port.Verdict{{Line: i}}, fault
			}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		var got []int
		for _, j := range jobs.All() {
			for _, v := range j.Verdicts {
				got = append(got, v.Line)
			}
		}
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5, 6, 7, 8}, got); diff != "" {
			t.Errorf("verdicts (-want +got):\n%s", diff)
		}
	})
}
