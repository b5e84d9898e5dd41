package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// The files in the state folder.
const (
	fileDB     = "dialtone.db"
	fileNew    = "dialtone.db.new" // the first creation, before it is renamed to fileDB
	fileMarker = "dialtone.installed"
	fileLock   = "dialtone.lock"
)

const markerText = `This file says that ` + fileDB + ` was created in this folder, on the date below. If that file is
missing or empty while this one is here, Dialtone does not start: it would otherwise begin anew, without its leases
and its phones. Restore ` + fileDB + ` from a backup, or delete this file to begin anew on purpose.
`

// Open opens the store in the state folder dir; it makes both on the first start. The folder belongs to one process at
// a time: a second one is refused at once. It is an error if the store has been here before (there is a marker) and is
// missing or empty now. Close it when nobody uses it any more.
func Open(dir string, log *slog.Logger) (*DB, error) {
	// Its contents are nobody else's business: leases, passwords.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	bolt, err := open(dir, log)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &DB{bolt: bolt, lock: lock, log: log, problems: make(map[recordKey]error)}, nil
}

// lockDir takes the state folder for this process. The lock is on a file of its own, because the store's own file is
// renamed into place; bbolt locks that one as well.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, fileLock)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("state folder %s is in use: dialtone is already running%s; stop that one first or use another folder", dir, holder(path))
		} else {
			err = fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	if err := writeLock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// writeLock leaves the process's number for those who come too late.
func writeLock(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "%d\n", os.Getpid())
	return err
}

// holder tells who has the lock, as far as it can be read.
func holder(path string) string {
	b, err := os.ReadFile(path)
	pid := strings.TrimSpace(string(b))
	if err != nil || pid == "" || len(pid) > 10 {
		return ""
	}
	return " as process " + pid
}

func open(dir string, log *slog.Logger) (*bbolt.DB, error) {
	path := filepath.Join(dir, fileDB)
	there, err := hasContent(path)
	if err != nil {
		return nil, err
	}
	installed, err := hasContent(filepath.Join(dir, fileMarker))
	if err != nil {
		return nil, err
	}
	if !there {
		if installed {
			return nil, fmt.Errorf("%s is missing or empty, but %s says that it was created before: its leases and phones are lost from "+
				"this folder; restore the file from a backup, or delete %s to begin anew", path, fileMarker, fileMarker)
		}
		if err := create(dir); err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		log.Info("store created", "path", path)
	}
	if !installed {
		if err := mark(dir); err != nil {
			return nil, fmt.Errorf("create %s: %w", fileMarker, err)
		}
	}
	bolt, err := bbolt.Open(path, 0o600, options())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	from, err := migrate(bolt, migrations())
	if err == nil {
		err = bolt.View(checkBuckets)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), bolt.Close())
	}
	if to := version(migrations()); from != to {
		log.Info("store migrated", "path", path, "from", from, "to", to)
	}
	return bolt, nil
}

func options() *bbolt.Options {
	return &bbolt.Options{
		Timeout:      500 * time.Millisecond, // for the lock; we hold the folder's already
		FreelistType: bbolt.FreelistMapType,
		// The list of free pages is found again on opening by walking the file, instead of being written with each
		// commit. Images of the disk after a power cut were as sound with this as without.
		NoFreelistSync: true,
		NoStatistics:   true, // contended counters that nobody reads
	}
}

// create makes a store with all its buckets beside its place and renames it into it. The caller holds the folder's
// lock. A crash leaves no store or a whole one.
func create(dir string) error {
	temp := filepath.Join(dir, fileNew)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	bolt, err := bbolt.Open(temp, 0o600, options())
	if err != nil {
		return err
	}
	_, err = migrate(bolt, migrations())
	if err := errors.Join(err, bolt.Sync(), bolt.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, fileDB)); err != nil {
		return err
	}
	// The folder may be as new as the file.
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// mark leaves the install marker. It is on the disk before the first write to the store is.
func mark(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, fileMarker), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n", markerText, time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// hasContent reports whether there is a file that isn't empty. An empty marker is one that a crash cut off, an empty
// store is none.
func hasContent(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s is not a file", path)
	}
	return info.Size() > 0, nil
}
