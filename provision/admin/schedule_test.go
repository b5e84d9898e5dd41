package admin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/provision/admin"
)

// shelf is a folder of backups in memory.
type shelf struct {
	mu   sync.Mutex
	list []admin.BackupFile // the newest first
	full error
}

func (s *shelf) List() ([]admin.BackupFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list), nil
}

func (s *shelf) Create(_ context.Context, scheduled bool, _ func(done, total int64)) (admin.BackupFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full != nil {
		return admin.BackupFile{}, s.full
	}
	f := admin.BackupFile{Name: time.Now().Format(time.RFC3339), Created: time.Now(), Scheduled: scheduled}
	s.list = slices.Insert(s.list, 0, f)
	return f, nil
}

func (s *shelf) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = slices.DeleteFunc(s.list, func(f admin.BackupFile) bool { return f.Name == name })
	return nil
}

func (s *shelf) fill(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = err
}

func (*shelf) Verify(context.Context, string, func(done, total int64)) error { return nil }
func (*shelf) Open(string) (io.ReadCloser, error)                            { return io.NopCloser(&bytes.Buffer{}), nil }

// scheduled runs a schedule in a bubble of time until the test ends.
func scheduled(t *testing.T, s *admin.Schedule) {
	t.Helper()
	s.Jobs, s.Log = admin.NewJobs(), slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { _ = s.Jobs.Run(ctx) })
	group.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() {
		stop()
		group.Wait()
	})
}

// pass lets time go by in the bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A schedule makes one a day, the first one soon after the start, and keeps as many as it should; those that somebody asked
// for stay.
func TestSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &shelf{}
		if _, err := k.Create(t.Context(), false, nil); err != nil {
			t.Fatal(err)
		}
		k.list[0].Created = time.Now().Add(-72 * time.Hour)
		by := k.list[0].Name
		s := &admin.Schedule{Every: 24 * time.Hour, Keep: 3, Kept: k}
		scheduled(t, s)
		pass(9 * time.Minute)
		if list, _ := k.List(); len(list) != 1 {
			t.Errorf("before the phones have started: %v", list)
		}
		pass(2 * time.Minute)
		if list, _ := k.List(); len(list) != 2 || !list[0].Scheduled {
			t.Errorf("after the start: %v, want one of the schedule's besides", list)
		}
		pass(10 * 24 * time.Hour)
		list, _ := k.List()
		if len(list) != 4 || list[3].Name != by {
			t.Errorf("after ten days: %v, want three of the schedule's and the one that somebody asked for", list)
		}
		for i := range 2 {
			if d := list[i].Created.Sub(list[i+1].Created); d < 24*time.Hour || d > 24*time.Hour+time.Minute {
				t.Errorf("%s between two", d)
			}
		}
		if p := s.Problems(); len(p) != 0 {
			t.Errorf("problems: %v", p)
		}
	})
}

// What keeps a schedule from its work is a problem until it has succeeded again.
func TestScheduleFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &shelf{full: errors.New("no space")}
		s := &admin.Schedule{Every: 24 * time.Hour, Keep: 3, Kept: k}
		scheduled(t, s)
		pass(11 * time.Minute)
		if p := s.Problems(); len(p) != 1 || p[0].Kind != "backup-failed" || !strings.Contains(p[0].Text, "no space") {
			t.Errorf("problems: %+v", p)
		}
		k.fill(nil)
		pass(time.Hour)
		if list, _ := k.List(); len(list) != 1 || len(s.Problems()) != 0 {
			t.Errorf("an hour later: %v, problems %v", list, s.Problems())
		}
	})
}

// Where the work is never begun, because another job goes on and on, the last backup grows old.
func TestScheduleIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &admin.Schedule{Every: 24 * time.Hour, Keep: 3, Kept: &shelf{}}
		scheduled(t, s)
		j, err := s.Jobs.Start(admin.JobVerify, "", "desk", func(ctx context.Context, _ func(done, total int64)) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(37 * time.Hour)
		if p := s.Problems(); len(p) != 1 || p[0].Kind != "backup-old" || !strings.Contains(p[0].Text, "job list") {
			t.Errorf("problems: %+v", p)
		}
		if _, err := s.Jobs.Cancel(j.ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if p := s.Problems(); len(p) != 0 {
			t.Errorf("problems: %+v", p)
		}
	})
}

// Without a schedule nothing is made and nothing is wrong.
func TestNoSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &shelf{}
		s := &admin.Schedule{Keep: 3, Kept: k}
		scheduled(t, s)
		pass(100 * time.Hour)
		if list, _ := k.List(); len(list) != 0 || len(s.Problems()) != 0 {
			t.Errorf("%v, problems %v", list, s.Problems())
		}
	})
}
