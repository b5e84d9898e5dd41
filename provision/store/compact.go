package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

const (
	compactLeast = 4 << 20 // bytes of free pages below which compaction isn't worth it
	compactTx    = 4 << 20 // bytes per transaction
)

// compact writes a verified store anew, before it is opened, if more than half of its pages are free: bbolt uses free
// pages again but never gives them back. If that doesn't succeed, say for want of space, the store stays as it is.
func (db *DB) compact(ctx context.Context, found Report) {
	if found.Free < max(compactLeast, found.Used) || found.Schema != version(migrations()) {
		return
	}
	path, temp := filepath.Join(db.dir, fileDB), filepath.Join(db.dir, fileNew)
	err := compactFile(temp, path, found.Epoch)
	var r Report
	if err == nil {
		r, err = db.verify(ctx, temp)
	}
	switch {
	case err != nil:
	case !r.Sound() || r.Leases != found.Leases || r.LastEvent != found.LastEvent || r.Devices != found.Devices || r.Configs != found.Configs:
		err = fmt.Errorf("the new file isn't what the old one was: %v", r.Damage)
	default:
		err = errors.Join(os.Rename(temp, path), syncDir(db.dir))
	}
	if err != nil {
		db.log.WarnContext(ctx, "store not compacted", "path", path, "err", errors.Join(err, os.RemoveAll(temp)))
		return
	}
	db.log.InfoContext(ctx, "store compacted", "path", path, "from", found.Size, "to", r.Size)
}

// compactFile copies a store that nobody has open. The copy is an epoch further, since transactions count from one
// again in it.
func compactFile(to, from string, is Epoch) (err error) {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	src, err := bbolt.Open(from, 0o600, options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := bbolt.Open(to, 0o600, options())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Sync(), dst.Close()) }()
	if err := bbolt.Compact(dst, src, compactTx); err != nil {
		return err
	}
	return dst.Update(func(tx *bbolt.Tx) error { return errors.Join(putEpoch(tx, is.next(0)), stamp(tx)) })
}
