package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// Scheduled is who makes the backups of a [Schedule].
const Scheduled = "schedule"

// When a schedule does what.
const (
	firstBackup = 10 * time.Minute // after the start at the earliest: phones come first
	retryBackup = time.Hour        // after a failure
	jobLook     = time.Second      // how often its job is looked at
)

// Schedule makes backups by itself and lets the oldest that it made go. Its fields are set before Run and not changed.
type Schedule struct {
	Every time.Duration // from the last backup that is kept, whoever made it; 0: none are made
	Keep  int           // how many of its own stay
	Jobs  *Jobs
	Kept  Backups
	Log   *slog.Logger

	mu     sync.Mutex // guards what follows
	begun  time.Time
	failed error // the last attempt; nil: it didn't fail
	at     time.Time
}

// Run makes backups until ctx ends.
func (s *Schedule) Run(ctx context.Context) error {
	if s.Every == 0 {
		<-ctx.Done()
		return nil
	}
	begun := time.Now()
	s.mu.Lock()
	s.begun = begun
	s.mu.Unlock()
	earliest := begun.Add(firstBackup)
	for {
		due := earliest
		if last, err := s.last(); err != nil {
			s.tell(ctx, err)
		} else if at := last.Add(s.Every); at.After(due) && at.Before(time.Now().Add(s.Every)) { // a later one: the clock was set back
			due = at
		}
		wait := time.NewTimer(time.Until(due))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		earliest = time.Now().Add(min(retryBackup, s.Every))
		if err := s.make(ctx); ctx.Err() == nil {
			s.tell(ctx, err)
		}
	}
}

// last returns when the newest backup that is kept was made; the zero time: there is none.
func (s *Schedule) last() (time.Time, error) {
	list, err := s.Kept.List()
	if err != nil || len(list) == 0 {
		return time.Time{}, err
	}
	return list[0].Created, nil
}

// make makes a backup, as a job, and lets go what is too many then.
func (s *Schedule) make(ctx context.Context) error {
	j, err := s.Jobs.Start(JobBackup, "", Scheduled, func(ctx context.Context, progress func(done, total int64)) (string, error) {
		f, err := s.Kept.Create(ctx, true, progress)
		return f.Name, err
	})
	if err != nil {
		return err
	}
	look := time.NewTicker(jobLook)
	defer look.Stop()
	for !j.State.Ended() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
		if j, err = s.Jobs.Job(j.ID); err != nil {
			return err
		}
	}
	switch {
	case j.State == JobCancelled:
		return errors.New("somebody cancelled it")
	case j.Err != nil:
		return j.Err
	}
	return s.prune(ctx)
}

// prune lets the oldest go of those that a schedule made.
func (s *Schedule) prune(ctx context.Context) error {
	list, err := s.Kept.List()
	if err != nil {
		return err
	}
	own := 0
	for _, f := range list {
		if !f.Scheduled {
			continue
		}
		if own++; own <= s.Keep {
			continue
		}
		if err := s.Kept.Remove(f.Name); err != nil && !isNotFound(err) {
			return fmt.Errorf("let an old one go: %w", err)
		}
		s.Log.InfoContext(ctx, "old backup removed", "backup", f.Name, "keep", s.Keep)
	}
	return nil
}

// tell remembers how an attempt ended.
func (s *Schedule) tell(ctx context.Context, err error) {
	if err != nil {
		s.Log.ErrorContext(ctx, "scheduled backup failed", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed, s.at = err, time.Now()
}

// Problems returns what is wrong: that the last attempt failed, or that the newest backup is older than half as much again
// as it should be.
func (s *Schedule) Problems() []Problem {
	if s.Every == 0 {
		return nil
	}
	s.mu.Lock()
	begun, failed, at := s.begun, s.failed, s.at
	s.mu.Unlock()
	if failed != nil {
		return []Problem{{
			Part: "backup", Kind: "backup-failed", Since: at,
			Text: provision.Printable(fmt.Sprintf("the scheduled backup failed: %v. It is tried again within the hour; `dialtone backup create` tries at once", failed)),
		}}
	}
	last, err := s.last()
	old := s.Every + s.Every/2
	if now := time.Now(); err != nil || begun.IsZero() || now.Sub(begun) < 2*firstBackup || now.Sub(last) < old {
		return nil
	}
	text := "there is no backup"
	if !last.IsZero() {
		text = fmt.Sprintf("the last backup is of %s, more than %s ago", last.Local().Format(time.DateTime), old)
	}
	return []Problem{{
		Part: "backup", Kind: "backup-old", Since: last,
		Text: text + ": see in `dialtone job list` what keeps the next one from being made, or run `dialtone backup create`",
	}}
}
