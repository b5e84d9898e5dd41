package store

import (
	"context"
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
	fileEpoch  = "dialtone.epoch"
	fileSnap   = "dialtone.db.snap" // a snapshot that wasn't verified yet

	maxSnapshots = 2 // dialtone.db.1 is the newest
	maxDamaged   = 3 // damaged files that are kept for a look at them
)

const markerText = `This file says that ` + fileDB + ` was created in this folder, on the date below. If that file is
missing or empty while this one is here, Dialtone restores it from its snapshots, ` + fileDB + `.1 and so on. Without
these it does not start: it would otherwise begin anew, without its leases and its phones. Restore ` + fileDB + ` from a
backup, or delete this file to begin anew on purpose.
`

// Opener opens the store in a state folder.
type Opener struct {
	Dir string
	// Child is a program with arguments that is given a file's path as one more, does [Check] on it and writes the
	// [Report] as JSON. Without, files are looked at in this process and bbolt isn't asked: for tests and tools.
	Child []string
	Log   *slog.Logger
}

// Open is [Opener.Open] without a child.
func Open(dir string, log *slog.Logger) (*DB, error) {
	return Opener{Dir: dir, Log: log}.Open(context.Background())
}

// Open verifies and opens the store; on the first start it makes it. The folder belongs to one process at a time: a
// second one is refused at once. A store that is damaged or gone is restored from its newest good snapshot, with what
// can be read of its own records, which is logged and stays among the problems; without a good snapshot that is an
// error. Close it when nobody uses it any more; [DB.Run] has to run meanwhile.
func (o Opener) Open(ctx context.Context) (*DB, error) {
	// Its contents are nobody else's business: leases, passwords.
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	db := &DB{
		dir: o.Dir, child: o.Child, lock: lock, log: o.Log,
		problems: make(map[recordKey]error), snapping: make(chan struct{}, 1),
	}
	if err := db.open(ctx); err != nil {
		if bolt := db.bolt.Load(); bolt != nil {
			err = errors.Join(err, bolt.Close())
		}
		return nil, errors.Join(err, lock.Close())
	}
	return db, nil
}

// open does the work of Open in a folder that is ours.
func (db *DB) open(ctx context.Context) error {
	path, there, err := found(db.dir, fileDB)
	if err != nil {
		return err
	}
	_, installed, err := found(db.dir, fileMarker)
	if err != nil {
		return err
	}
	snapshots, err := db.snapshots()
	if err != nil {
		return err
	}
	var report Report
	older := ""
	switch {
	case there:
		report, older, err = db.take(ctx, path)
	case installed || len(snapshots) > 0:
		report, err = db.restore(ctx, Report{Damage: []string{"it is missing or empty"}})
	default:
		if err = create(db.dir); err != nil {
			return fmt.Errorf("create %s: %w", path, err)
		}
		db.log.InfoContext(ctx, "store created", "path", path)
	}
	if err != nil {
		return err
	}
	if err := db.keepBefore(ctx, path, report); err != nil {
		return err
	}
	db.compact(ctx, report)
	if !installed { // on the disk before the first write to the store is
		if err := mark(db.dir); err != nil {
			return fmt.Errorf("create %s: %w", fileMarker, err)
		}
	}
	if err := db.openFile(ctx, path); err != nil {
		return err
	}
	if err := db.openKeys(ctx, path, report); err != nil {
		return err
	}
	if err := db.mend(ctx, report); err != nil {
		return fmt.Errorf("mend %s: %w", path, err)
	}
	return db.begin(ctx, report.Epoch, older)
}

// take makes the store that was found fit to be opened. It returns the check of what is in place then, and why that is
// older than the store that was here last, or nothing if it isn't or is restored.
func (db *DB) take(ctx context.Context, path string) (Report, string, error) {
	r, err := db.verify(ctx, path)
	if err != nil {
		return r, "", err
	}
	remedy, err := r.Remedy(db.dir)
	if err == nil && remedy == RemedyUndo {
		if err = undoLast(path); err == nil {
			db.log.WarnContext(ctx, "the store's last transaction was cut off, as by a power failure, and is undone; nobody was told that it was done",
				"path", path, "transaction", r.Txid, "err", r.firstFault())
			r, err = db.verify(ctx, path)
		}
		if err == nil && !r.Sound() {
			remedy = RemedyRestore
		}
	}
	switch {
	case err != nil:
		return r, "", fmt.Errorf("%s: %w", path, err)
	case remedy == RemedyStepBack:
		r, err = db.stepBack(ctx, r)
		return r, "", err
	case remedy == RemedyRestore:
		r, err = db.restore(ctx, r)
		return r, "", err
	}
	older, err := db.judge(r.Epoch, r.Txid)
	return r, older, err
}

// The lock is tried for half a second: who ends may need it to let go, and a child that is being started holds all that
// its parent has open until it runs the other program.
const (
	lockTries = 25
	lockPause = 20 * time.Millisecond
)

// lockDir takes the state folder for this process. The lock is on a file of its own, because the store's own file is
// renamed into place; bbolt locks that one as well.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, fileLock)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state folder: %w", err)
	}
	for range lockTries {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
		<-time.After(lockPause)
	}
	if err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("state folder %s is in use: dialtone is already running%s; stop that one first or use another folder", dir, holder(path))
		} else {
			err = fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	// Our number, for those who come too late. They can do without, if the disk is full.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
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

// openFile opens the verified file and brings it to the present schema.
func (db *DB) openFile(ctx context.Context, path string) error {
	bolt, err := bbolt.Open(path, 0o600, options())
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	db.bolt.Store(bolt)
	// The last process may have been killed before its sync; its transaction must be on the disk before the next one writes.
	if err := bolt.Sync(); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	from, err := migrate(bolt, migrations())
	if err == nil {
		err = bolt.View(checkBuckets)
	}
	if err == nil {
		err = db.readBooks()
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if to := version(migrations()); from != to {
		db.log.InfoContext(ctx, "store migrated", "path", path, "from", from, "to", to)
	}
	return nil
}

func options() *bbolt.Options {
	return &bbolt.Options{
		Timeout:      500 * time.Millisecond, // for the lock; we hold the folder's already
		FreelistType: bbolt.FreelistMapType,
		// The list of free pages is found again on opening by walking the file, instead of being written with each
		// commit. Images of the disk after a power cut were as sound with this as without.
		NoFreelistSync: true,
		NoSync:         true, // whoever writes syncs, once; see transact
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

// found returns the path of a file in the state folder, and whether it is there and isn't empty. An empty marker is one
// that a crash cut off, an empty store is none.
func found(dir, name string) (path string, there bool, err error) {
	path = filepath.Join(dir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, false, nil
	}
	if err != nil {
		return path, false, err
	}
	if !info.Mode().IsRegular() {
		return path, false, fmt.Errorf("%s is not a file", path)
	}
	return path, info.Size() > 0, nil
}
