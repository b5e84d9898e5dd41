package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/backup"
)

// storeFile is the store's name in the state folder.
const storeFile = "dialtone.db"

// backupFolder has the backups that the appliance keeps.
const backupFolder = "backups"

// backup writes the whole state as it is now.
func (p *parts) backup(ctx context.Context, w io.Writer) error {
	defer p.db.HoldKey()() // the key file that is written later has to fit the copy of the store
	copied, size := "", &meter{w: w, told: func(int64, int64) {}}
	_, err := backup.Writer{Program: build().Version}.Create(ctx, size, backup.Source{
		Dir: p.settings.State, Skip: notBackedUp, Store: storeFile,
		Snapshot: func(ctx context.Context) (path string, err error) {
			copied, err = p.db.Copy(ctx)
			return copied, err
		},
	})
	if copied != "" {
		err = errors.Join(err, os.Remove(copied))
	}
	if err != nil {
		p.log.WarnContext(ctx, "backup failed", "err", err)
	} else {
		p.backedUp.Store(&admin.BackupFile{Size: size.done, Created: time.Now()})
		p.log.InfoContext(ctx, "backup made")
	}
	return err
}

// rotateKey makes a new key for the secrets in the store.
func (p *parts) rotateKey(ctx context.Context, dryRun bool) (admin.Rotation, error) {
	rotate := p.db.RotateKey
	if dryRun {
		rotate = p.db.SealedRecords
	}
	r, err := rotate(ctx)
	if err != nil {
		return admin.Rotation{}, err
	}
	if !dryRun {
		p.log.InfoContext(ctx, "key of the secrets rotated", "old", r.Old, "new", r.New, "records", r.Records)
	}
	return admin.Rotation{Done: !dryRun, Old: r.Old, New: r.New, Records: r.Records}, nil
}

// notBackedUp is what a restored state makes anew: copies of the store, what tells it from older copies (so that what was
// restored is known to be one), the lock, history, other backups, and what plugins leave while they are installed.
func notBackedUp(name string) bool {
	switch base := path.Base(name); {
	case strings.HasPrefix(name, storeFile+"."), name == "dialtone.lock", name == "dialtone.epoch", name == "trace", name == backupFolder:
		return true
	default:
		return strings.HasPrefix(base, ".staging-")
	}
}
