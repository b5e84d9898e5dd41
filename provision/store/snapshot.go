package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

const (
	snapshotFirst = 30 * time.Second // after the start, when all the phones of a site may want the disk
	snapshotEvery = 10 * time.Minute
	epochEvery    = time.Minute
	tendEvery     = time.Second
	reopenPause   = 8 // seconds between attempts at most
)

// Run makes snapshots, the first one after half a minute and then one every ten minutes in which something was written,
// and after a failed commit opens the store anew. It returns nil when ctx ends.
func (db *DB) Run(ctx context.Context) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	began := time.Now()
	var snapped, kept time.Time
	written := uint64(0)
	fails, pause := 0, 0
	for {
		switch now := time.Now(); {
		case db.stopped.Load() != nil:
			if pause--; pause > 0 {
				break
			}
			if err := db.reopen(ctx); err != nil && ctx.Err() == nil {
				fails++
				pause = min(1<<min(fails, 8), reopenPause)
				db.trouble(ProblemBroken, err)
				break
			}
			fails, pause = 0, 0
		case snapped.IsZero() && now.Sub(began) >= snapshotFirst,
			!snapped.IsZero() && now.Sub(snapped) >= snapshotEvery && db.Writes() != written:
			snapped, written = now, db.Writes()
			if _, err := db.Snapshot(ctx); err != nil && ctx.Err() == nil {
				db.log.WarnContext(ctx, "no snapshot made", "err", err)
			}
		case now.Sub(kept) >= epochEvery:
			kept = now
			if err := db.keepEpoch(); err != nil {
				db.log.WarnContext(ctx, "epoch of the store not written", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Snapshot copies the store as it is at one moment, has the copy checked and puts it before the other snapshots, the
// last of which goes. Reads and writes go on. A copy in which records are damaged doesn't count, lest it should push
// out one in which they aren't. Only one is made at a time.
func (db *DB) Snapshot(ctx context.Context) (r Report, err error) {
	select {
	case db.snapping <- struct{}{}:
		defer func() { <-db.snapping }()
	case <-ctx.Done():
		return r, ctx.Err()
	}
	temp := filepath.Join(db.dir, fileSnap)
	if r, err = db.snapshot(ctx, temp); err != nil {
		err = fmt.Errorf("snapshot of the store: %w", errors.Join(err, os.RemoveAll(temp)))
		if ctx.Err() == nil && db.uncertain() == nil { // else that is told already
			db.trouble(ProblemSnapshot, err)
		}
		return r, err
	}
	db.trouble(ProblemSnapshot, nil)
	return r, nil
}

func (db *DB) snapshot(ctx context.Context, temp string) (Report, error) {
	if err := db.uncertain(); err != nil {
		return Report{}, err
	}
	r, err := db.copyTo(ctx, temp)
	if err != nil {
		return r, err
	}
	if !r.Whole() {
		return r, fmt.Errorf("the copy has damaged records: %v", r.Flaws)
	}
	for n := maxSnapshots - 1; n >= 1; n-- {
		older, there, err := found(db.dir, snapshotName(n))
		if err == nil && there {
			err = os.Rename(older, filepath.Join(db.dir, snapshotName(n+1)))
		}
		if err != nil {
			return r, err
		}
	}
	r.Path = filepath.Join(db.dir, snapshotName(1))
	return r, errors.Join(os.Rename(temp, r.Path), syncDir(db.dir))
}

// copyTo writes the store as it is to a file, brings that to the disk and has it checked. It leaves as much space free
// as it takes: the store needs it more.
func (db *DB) copyTo(ctx context.Context, path string) (Report, error) {
	if err := db.hasRoom(); err != nil {
		return Report{}, err
	}
	err := writeFile(path, func(w io.Writer) error {
		return db.view(func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(w)
			return err
		})
	})
	if err != nil {
		return Report{}, err
	}
	return db.verifyCopy(ctx, path)
}

func (db *DB) verifyCopy(ctx context.Context, path string) (Report, error) {
	r, err := db.verify(ctx, path)
	if err == nil && !r.Sound() {
		err = fmt.Errorf("a copy does not pass the check: %w: %s", ErrDamaged, strings.Join(r.Damage, "; "))
	}
	return r, err
}

// Copy writes the store as it is at this moment to a file of its own in the state folder, has it checked and returns its
// path. The caller removes it. Reads and writes go on meanwhile.
func (db *DB) Copy(ctx context.Context) (string, error) {
	if err := db.uncertain(); err != nil {
		return "", fmt.Errorf("copy of the store: %w", err)
	}
	path := filepath.Join(db.dir, fileDB+".copy-"+rand.Text()[:8])
	if _, err := db.copyTo(ctx, path); err != nil {
		return "", fmt.Errorf("copy of the store: %w", errors.Join(err, os.RemoveAll(path)))
	}
	return path, nil
}

func (db *DB) hasRoom() error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(db.dir, &fs); err != nil {
		return fmt.Errorf("free space of %s: %w", db.dir, err)
	}
	var size int64
	if err := db.view(func(tx *bbolt.Tx) error {
		size = tx.Size()
		return nil
	}); err != nil {
		return err
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < 2*size { //nolint:gosec // no disk is that large
		return fmt.Errorf("%s has %d bytes free, and a copy of the store takes %d: %w", db.dir, free, size, syscall.ENOSPC)
	}
	return nil
}

// reopen lets writes go on after a commit failed. It writes all that the file holds to a new one, which is checked and
// put in its place. So it doesn't matter which of the old file's pages the disk never took, though the kernel has them
// in memory and calls them written.
//
// What was acknowledged is in it: a commit writes only to pages that the tree before it doesn't use. Of the failed commit
// itself it has all or nothing: nothing if the kernel has dropped pages of it.
func (db *DB) reopen(ctx context.Context) error {
	select {
	case db.snapping <- struct{}{}:
		defer func() { <-db.snapping }()
	case <-ctx.Done():
		return ctx.Err()
	}
	path, temp := filepath.Join(db.dir, fileDB), filepath.Join(db.dir, fileNew)
	r, err := inspect(path) // nobody writes it
	if err == nil && r.Before != nil && r.Txid > db.synced.Load() {
		if err = errors.Join(db.hasRoom(), copyFile(path, temp), undoLast(temp)); err == nil {
			_, err = db.verifyCopy(ctx, temp)
		}
	} else if err == nil {
		_, err = db.copyTo(ctx, temp)
	}
	if err != nil {
		return fmt.Errorf("write the store anew: %w", errors.Join(err, os.RemoveAll(temp)))
	}
	bolt, err := bbolt.Open(temp, 0o600, options())
	if err != nil {
		return fmt.Errorf("write the store anew: %w", err)
	}
	if err := errors.Join(os.Rename(temp, path), syncDir(db.dir)); err != nil {
		return fmt.Errorf("write the store anew: %w", errors.Join(err, bolt.Close()))
	}
	old := db.bolt.Swap(bolt)
	db.configs.Add(1)
	db.devices.forget(nil, true)
	if err := db.readBooks(); err != nil { // as good as impossible: it was checked
		return fmt.Errorf("write the store anew: %w", errors.Join(err, old.Close()))
	}
	db.stopped.Store(nil)
	db.trouble(ProblemBroken, nil)
	if err := old.Close(); err != nil {
		db.log.WarnContext(ctx, "old file of the store not closed", "err", err)
	}
	return nil
}
