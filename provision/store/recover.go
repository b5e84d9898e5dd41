package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// keyRestored is when a store of an earlier time was put in place, in seconds since 1970.
const keyRestored = "restored"

func snapshotName(n int) string { return fileDB + "." + strconv.Itoa(n) }

// snapshots returns the paths of the snapshots that are there, the newest first.
func (db *DB) snapshots() (paths []string, err error) {
	for n := 1; n <= maxSnapshots; n++ {
		path, there, err := found(db.dir, snapshotName(n))
		if err != nil {
			return nil, err
		}
		if there {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// restore puts the newest good snapshot in the place of a store that is damaged or gone, and what can still be read of
// the store's own records on top of it; see merge. The damaged file is kept beside it. A crash leaves the one or the
// other in place. It returns the check of what is in place now.
func (db *DB) restore(ctx context.Context, r Report) (Report, error) {
	path := filepath.Join(db.dir, fileDB)
	why := strings.Join(r.Damage, "; ")
	db.log.ErrorContext(ctx, "store is damaged", "path", path, "err", why)
	snapshot, err := db.goodSnapshot(ctx)
	if err != nil && r.Before != nil {
		return db.stepBack(ctx, r)
	}
	if err != nil {
		return Report{}, fmt.Errorf("%s: %s; %w", path, why, err)
	}
	if err := copyFile(snapshot, filepath.Join(db.dir, fileNew)); err != nil {
		return Report{}, fmt.Errorf("restore %s from %s: %w", path, snapshot, err)
	}
	return db.replace(ctx, filepath.Base(snapshot), why, false)
}

// replace puts fileNew, a copy of an earlier state, in the store's place, with what can be read of the store's own records,
// or leases alone.
func (db *DB) replace(ctx context.Context, earlier, why string, leases bool) (Report, error) {
	path, temp := filepath.Join(db.dir, fileDB), filepath.Join(db.dir, fileNew)
	got, err := mergeFiles(temp, path, leases)
	if err != nil {
		return Report{}, fmt.Errorf("restore %s from %s: %w", path, earlier, err)
	}
	aside, err := db.putAside(path)
	if err == nil {
		err = errors.Join(os.Rename(temp, path), syncDir(db.dir))
	}
	if err != nil {
		return Report{}, fmt.Errorf("restore %s from %s: %w", path, earlier, err)
	}
	err = fmt.Errorf("%s was restored from %s, for it was damaged (%s); %s; the damaged file is kept as %q", path, earlier, why, got, aside)
	db.trouble(ProblemRestored, err)
	return db.verify(ctx, path)
}

// goodSnapshot returns the newest snapshot that passes the check.
func (db *DB) goodSnapshot(ctx context.Context) (string, error) {
	all, err := db.snapshots()
	if err != nil {
		return "", err
	}
	var faults []string
	for _, path := range all {
		r, err := db.verify(ctx, path)
		switch {
		case err != nil:
			faults = append(faults, err.Error())
		case r.Sound() && r.Schema != 0:
			return path, nil
		default:
			faults = append(faults, filepath.Base(path)+": "+strings.Join(r.Damage, "; "))
		}
	}
	if len(faults) == 0 {
		faults = []string{"there is none"}
	}
	return "", fmt.Errorf("no snapshot beside it can take its place (%s); restore a backup of %s, or delete it, %s and its snapshots "+
		"to begin anew, without its leases and phones", strings.Join(faults, "; "), fileDB, fileMarker)
}

// putAside keeps a damaged file under another name, as well as under its own, and drops the oldest of those kept. No
// name: there is no file.
func (db *DB) putAside(path string) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	kept, err := filepath.Glob(filepath.Join(db.dir, fileDB+".damaged-*"))
	if err != nil {
		return "", err
	}
	slices.Sort(kept)
	for len(kept) >= maxDamaged {
		if err := os.Remove(kept[0]); err != nil {
			return "", err
		}
		kept = kept[1:]
	}
	name := fileDB + ".damaged-" + time.Now().UTC().Format("20060102T150405.000Z")
	aside := filepath.Join(db.dir, name)
	if err := os.Link(path, aside); err != nil { // not all file systems can
		err = os.Rename(path, aside)
		return name, err
	}
	return name, nil
}

// mergeFiles adds what can be read of a damaged file to a good one that nobody has open, and notes in it that it was
// restored now.
func mergeFiles(good, damaged string, leases bool) (got gains, err error) {
	bolt, err := bbolt.Open(good, 0o600, options())
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, bolt.Sync(), bolt.Close()) }()
	if _, err := migrate(bolt, migrations()); err != nil {
		return got, err
	}
	return got, bolt.Update(func(tx *bbolt.Tx) error {
		if got, err = merge(tx, damaged, leases); err != nil {
			return err
		}
		if err := putTime(tx, keyRestored, time.Now()); err != nil {
			return err
		}
		return count(tx)
	})
}

func putTime(tx *bbolt.Tx, key string, t time.Time) error {
	payload := binary.BigEndian.AppendUint64(nil, uint64(t.Unix())) //nolint:gosec // a bit pattern
	return put(tx, bucketMeta, []byte(key), payload)
}

// put seals and writes a record.
func put(tx *bbolt.Tx, bucket string, key, payload []byte) error {
	return apply(tx, op{bucket, key, seal(bucket, key, payload)})
}

// Restored returns when a store of an earlier time was last put in place: restored by [Opener.Open], or by somebody
// else. The zero time is never. Leases may have been acknowledged that it doesn't know of, so for the longest lease
// time after that the server should probe an address before it offers it, even to who held it.
func (db *DB) Restored() time.Time { return db.restored }

// copyFile copies a file to the disk.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	return writeFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, src)
		return err
	})
}

// writeFile makes a file and brings it to the disk. One that could not be finished is removed.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
