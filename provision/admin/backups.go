package admin

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dialtone-project/dialtone/provision"
)

// BackupFile is a backup that the appliance keeps.
type BackupFile struct {
	Name    string
	Size    int64
	Created time.Time
	// Scheduled: it was made by a [Schedule], which lets it go in time.
	Scheduled bool
}

// Backups are the backups that the appliance keeps. Errors of one that isn't there are ErrNotFound.
type Backups interface {
	// List returns them, the newest first.
	List() ([]BackupFile, error)
	// Create writes one; progress is told how many bytes there are. ErrConflict if there is no room for it.
	Create(ctx context.Context, scheduled bool, progress func(done, total int64)) (BackupFile, error)
	// Verify restores one beside the state and checks it; progress is told how many of its bytes were read. ErrInvalid if
	// it is damaged.
	Verify(ctx context.Context, name string, progress func(done, total int64)) error
	Open(name string) (io.ReadCloser, error)
	Remove(name string) error
}

// CreateBackup begins to write a backup into the state folder.
func (s *Service) CreateBackup(by string) (Job, error) {
	return s.Jobs.Start(JobBackup, "", by, func(ctx context.Context, progress func(done, total int64)) (string, error) {
		f, err := s.Backups.Create(ctx, false, progress)
		return f.Name, err
	})
}

// VerifyBackup begins to check a backup. ErrNotFound.
func (s *Service) VerifyBackup(name, by string) (Job, error) {
	list, err := s.Backups.List()
	if err != nil {
		return Job{}, err
	}
	for _, f := range list {
		if f.Name != name {
			continue
		}
		return s.Jobs.Start(JobVerify, name, by, func(ctx context.Context, progress func(done, total int64)) (string, error) {
			return name, s.Backups.Verify(ctx, name, progress)
		})
	}
	return Job{}, fmt.Errorf("backup %s: %w", provision.Printable(name), provision.ErrNotFound)
}
