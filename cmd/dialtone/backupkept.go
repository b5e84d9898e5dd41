package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/admin"
	"github.com/dialtone-project/dialtone/provision/backup"
	"github.com/dialtone-project/dialtone/provision/store"
)

// keptBackups are the backups in the state folder, as the use cases see them.
type keptBackups struct{ *parts }

func (k keptBackups) folder() backup.Folder {
	return backup.Folder{Dir: filepath.Join(k.settings.State, backupFolder)}
}

// List implements admin.Backups.
func (k keptBackups) List() ([]admin.BackupFile, error) {
	list, err := k.folder().List()
	if err != nil {
		return nil, err
	}
	files := make([]admin.BackupFile, len(list))
	for i, f := range list {
		files[i] = admin.BackupFile(f)
	}
	return files, nil
}

// Create implements admin.Backups.
func (k keptBackups) Create(ctx context.Context, scheduled bool, progress func(done, total int64)) (admin.BackupFile, error) {
	if err := k.room(); err != nil {
		return admin.BackupFile{}, err
	}
	f, err := k.folder().Create(ctx, time.Now(), scheduled, func(ctx context.Context, w io.Writer) error {
		return k.backup(ctx, &meter{w: w, told: progress})
	})
	if errors.Is(err, backup.ErrFull) {
		err = fmt.Errorf("%w: %w", err, provision.ErrConflict)
	}
	return admin.BackupFile(f), err
}

// spareRoom is what a backup leaves free at least: leases must still be written.
const spareRoom = 64 << 20

// room returns an error if a backup might fill the disk. It is hardly larger than what it is of.
func (k keptBackups) room() error {
	need, state := uint64(spareRoom), k.settings.State
	err := filepath.WalkDir(state, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.IsDir() && path == k.folder().Dir {
			return fs.SkipDir
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			need += uint64(max(0, info.Size()))
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("look for room for a backup: %w", err)
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(state, &disk); err != nil {
		return fmt.Errorf("look for room for a backup: %w", err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < need { //nolint:gosec // a block's size
		return kindError(provision.ErrConflict, "there isn't room for a backup: %d MB are free where %s is, and %d should be; remove backups "+
			"that you don't need (dialtone backup list) or keep them elsewhere (dialtone backup create FILE)", free>>20, state, need>>20)
	}
	return nil
}

// Open implements admin.Backups.
func (k keptBackups) Open(name string) (io.ReadCloser, error) {
	f, err := k.folder().Open(name)
	if err != nil {
		return nil, missing(name, err)
	}
	return f, nil
}

// Remove implements admin.Backups.
func (k keptBackups) Remove(name string) error { return missing(name, k.folder().Remove(name)) }

func missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup %s: %w", provision.Printable(name), provision.ErrNotFound)
	}
	return err
}

// Verify implements admin.Backups, as the verb does with a file elsewhere.
func (k keptBackups) Verify(ctx context.Context, name string, progress func(done, total int64)) (err error) {
	f, err := k.folder().Open(name)
	if err != nil {
		return missing(name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	temp, err := os.MkdirTemp("", "dialtone-verify-")
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	dir := filepath.Join(temp, "state")
	if _, err := backup.Restore(ctx, &meter{r: f, told: progress, total: info.Size()}, backup.Key{}, dir); err != nil {
		if errors.Is(err, backup.ErrDamaged) || errors.Is(err, backup.ErrKey) {
			err = fmt.Errorf("%w: %w", err, provision.ErrInvalid)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	_, err = checkRestored(ctx, dir)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// checkRestored checks the store in a folder that a backup was unpacked into.
func checkRestored(ctx context.Context, dir string) (store.Report, error) {
	child, err := checker()
	if err != nil {
		return store.Report{}, err
	}
	r, err := store.CheckBy(ctx, child, filepath.Join(dir, storeFile))
	if err == nil && !r.Whole() {
		err = kindError(provision.ErrInvalid, "its store is damaged: %v %v", r.Damage, r.Flaws)
	}
	if kerr := r.CheckKeys(dir); err == nil && kerr != nil {
		err = kindError(provision.ErrInvalid, "its secrets can't be read: %s", kerr)
	}
	return r, err
}

// meter tells how many bytes went through it.
type meter struct {
	w           io.Writer
	r           io.Reader
	told        func(done, total int64)
	done, total int64
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.count(n)
	return n, err
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.count(n)
	return n, err
}

func (m *meter) count(n int) {
	m.done += int64(n)
	m.told(m.done, m.total)
}
