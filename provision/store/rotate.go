package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision/access"
)

// Records of the meta bucket. keyKey is there since the secrets were first sealed and names the key with which all of
// them are. keyScrub is there from then on until nothing of before is left: neither in free pages of the file, nor in
// snapshots, nor in the key file.
const (
	keyKey   = "key"
	keyScrub = "scrub"
)

// sealedBuckets are those whose records may have secrets in them.
func sealedBuckets() []string {
	return []string{bucketDevices, bucketConfigs, bucketRevisions, bucketAccess}
}

// openKeys brings the key file and the store together before anything is read of it: the key is made on the first start,
// what an earlier version left in the clear is sealed, and a rotation that was cut off is finished. A key that is missing
// or another one is an error if any secret needs it.
func (db *DB) openKeys(ctx context.Context, path string, found Report) error {
	keys, there, err := readKeys(db.dir)
	if err != nil {
		return err
	}
	stored, scrub, err := db.keyState()
	if err != nil {
		return err
	}
	if known := there && stored != "" && keys.has(stored); !known {
		if err := db.needs(path, keys); err != nil {
			return err
		}
	}
	if !there {
		k, err := randomSealKey()
		if err != nil {
			return err
		}
		keys = &ring{[]sealKey{k}}
		if err := writeKeys(db.dir, keys); err != nil {
			return err
		}
		db.log.InfoContext(ctx, "key of the secrets made", "path", filepath.Join(db.dir, fileKey), "key", k.id)
	}
	db.ring.Store(keys)
	if stored != keys.first().id {
		if _, err = db.reseal(ctx); errors.Is(err, lease.ErrReadOnly) && db.stopped.Load() == nil {
			db.log.WarnContext(ctx, "secrets not sealed with the present key yet", "err", err)
			return nil // they can be read; the next start tries again
		} else if err != nil {
			return fmt.Errorf("seal the secrets of %s: %w", path, err)
		}
		if _, scrub, err = db.keyState(); err != nil {
			return err
		}
	}
	if scrub {
		return db.scrub(ctx, path, found)
	}
	if err := db.sealCopies(ctx); err != nil { // say, for want of space
		db.log.WarnContext(ctx, "a copy of the store isn't sealed; the next start tries again", "err", err)
		return nil
	}
	return db.trim()
}

func (r *ring) has(id string) bool {
	_, ok := r.find(id)
	return ok
}

// keyState reads what the meta bucket says of the keys; no ID: nothing is sealed yet.
func (db *DB) keyState() (id string, scrub bool, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		payload, _, err := db.get(tx, bucketMeta, []byte(keyKey))
		id = string(payload)
		scrub = tx.Bucket([]byte(bucketMeta)).Get([]byte(keyScrub)) != nil
		return err
	})
	return id, scrub, err
}

// needs returns an error if there are secrets that none of the keys opens. No ring has no keys.
func (db *DB) needs(path string, keys *ring) error {
	lacking := make(map[string]int)
	err := db.view(func(tx *bbolt.Tx) error {
		for _, bucket := range sealedBuckets() {
			c := tx.Bucket([]byte(bucket)).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				for id := range keyIDs(v) {
					if keys == nil || !keys.has(id) {
						lacking[id]++
					}
				}
			}
		}
		return nil
	})
	if err != nil || len(lacking) == 0 {
		return err
	}
	ids, n := slices.Sorted(maps.Keys(lacking)), 0
	for _, records := range lacking {
		n += records
	}
	file := filepath.Join(db.dir, fileKey)
	is := "is missing"
	if keys != nil {
		is = "is another one's"
	}
	return fmt.Errorf("key file %s %s: %d records of %s have secrets that are sealed with key %s; put the file back, each backup of this "+
		"store holds it", file, is, n, path, strings.Join(ids, ", "))
}

// sealed takes note of the keys that a record needs.
func (c *checker) sealed(bucket string, value []byte) {
	if !slices.Contains(sealedBuckets(), bucket) || !isSealed(value) {
		return
	}
	for id := range keyIDs(value) {
		if !slices.Contains(c.report.Keys, id) {
			c.report.Keys = append(c.report.Keys, id)
		}
	}
}

// CheckKeys returns an error if the key file in a folder lacks a key that a store needs which was checked: as of a backup.
func (r Report) CheckKeys(dir string) error {
	keys, there, err := readKeys(dir)
	if err != nil || len(r.Keys) == 0 {
		return err
	}
	for _, id := range r.Keys {
		if !there || !keys.has(id) {
			return fmt.Errorf("%s hasn't got key %s, with which secrets of the store are sealed", filepath.Join(dir, fileKey), id)
		}
	}
	return nil
}

// keyIDs returns the IDs of the keys that a record's ciphertexts name.
func keyIDs(value []byte) map[string]bool {
	const mark = `"` + keySealed + `":"`
	ids := make(map[string]bool)
	for {
		_, rest, ok := bytes.Cut(value, []byte(mark))
		if !ok {
			return ids
		}
		if id, _, ok := bytes.Cut(rest, []byte(":")); ok && len(id) <= 64 {
			ids[string(id)] = true
		}
		value = rest
	}
}

// reseal seals all secrets with the first key of the ring, in one transaction, and returns how many records had some.
// Those that can't be opened stay as they are.
func (db *DB) reseal(ctx context.Context) (n int, err error) {
	keys := db.ring.Load()
	err = db.do(ctx, func(tx *bbolt.Tx) (ops []op, err error) {
		for _, bucket := range sealedBuckets() {
			c := tx.Bucket([]byte(bucket)).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				if !isSealed(v) && !isOpen(v) || bucket == bucketAccess && !bytes.HasPrefix(k, []byte(pair(accessUser, ""))) {
					continue
				}
				payload, err := resealed(keys, bucket, k, v)
				if err != nil {
					_ = db.damaged(bucket, string(k), err)
					continue
				}
				key := bytes.Clone(k)
				ops = append(ops, op{bucket, key, seal(bucket, key, payload)})
			}
		}
		if n = len(ops); n > 0 {
			ops = append(ops, metaOp(keyScrub, []byte{1}))
		}
		return append(ops, metaOp(keyKey, []byte(keys.first().id))), nil
	})
	return n, err
}

func metaOp(key string, payload []byte) op {
	return op{bucketMeta, []byte(key), seal(bucketMeta, []byte(key), payload)}
}

// resealed returns the payload of a record with its secrets sealed by the first key.
func resealed(keys *ring, bucket string, key, value []byte) ([]byte, error) {
	payload, err := unseal(bucket, key, value)
	if err != nil {
		return nil, err
	}
	at := place{keys, bucket, string(key)}
	switch bucket {
	case bucketDevices:
		return resealedRow(at, deviceTable(), payload)
	case bucketConfigs:
		return resealedRow(at, configTable(), payload)
	case bucketRevisions:
		return resealedRevision(at, payload)
	}
	return resealedUser(at, payload)
}

func resealedRow[T any](at place, t table[T], payload []byte) ([]byte, error) {
	rev, body, err := splitRev(payload)
	if err != nil {
		return nil, err
	}
	v, err := t.decode(at, at.key, rev, body)
	if err != nil {
		return nil, err
	}
	if body, err = t.encode(at, v); err != nil {
		return nil, err
	}
	return withRev(rev, body), nil
}

// scrub leaves nothing of what was before the secrets were sealed with the present key: it writes the file anew, without
// its free pages, makes a snapshot and lets earlier ones go, and drops earlier keys. What of it doesn't succeed, say for
// want of space, is for the next start.
func (db *DB) scrub(ctx context.Context, path string, found Report) error {
	if err := db.bolt.Load().Close(); err != nil {
		return fmt.Errorf("close %s: %w", path, err)
	}
	temp := filepath.Join(db.dir, fileNew)
	err := compactFile(temp, path, found.Epoch)
	var r Report
	if err == nil {
		r, err = db.verify(ctx, temp)
	}
	if err == nil && !r.Sound() {
		err = fmt.Errorf("the new file isn't sound: %v", r.Damage)
	}
	if err == nil {
		err = errors.Join(os.Rename(temp, path), syncDir(db.dir))
	} else {
		err = errors.Join(err, os.RemoveAll(temp))
	}
	if oerr := db.openFile(ctx, path); oerr != nil {
		return oerr
	}
	if err == nil {
		err = db.replaceSnapshots(ctx)
	}
	if err == nil {
		err = db.sealCopies(ctx)
	}
	if err == nil {
		err = db.trim()
	}
	if err == nil {
		err = db.do(ctx, func(*bbolt.Tx) ([]op, error) { return []op{{bucketMeta, []byte(keyScrub), nil}}, nil })
	}
	if err != nil {
		db.log.WarnContext(ctx, "earlier copies of secrets are still on the disk; the next start tries to remove them again", "err", err)
	}
	return nil
}

// replaceSnapshots makes a snapshot and lets all earlier ones go, where there are any.
func (db *DB) replaceSnapshots(ctx context.Context) error {
	if all, err := db.snapshots(); err != nil || len(all) == 0 {
		return err
	}
	if _, err := db.Snapshot(ctx); err != nil {
		return err
	}
	for n := 2; n <= maxSnapshots; n++ {
		if err := os.RemoveAll(filepath.Join(db.dir, snapshotName(n))); err != nil {
			return err
		}
	}
	return syncDir(db.dir)
}

// trim drops all keys but the first from the key file. In memory they stay: who has begun to read before the secrets were
// sealed anew still needs them.
func (db *DB) trim() error {
	keys := db.ring.Load()
	on, there, err := readKeys(db.dir)
	if err != nil || there && len(on.keys) == 1 {
		return err
	}
	return writeKeys(db.dir, &ring{keys.keys[:1]})
}

// Rotation is what came of [DB.RotateKey].
type Rotation struct {
	Old, New string // IDs of the keys; no New: it was only asked what would be done
	Records  int    // that have secrets
}

// RotateKey makes a new key and seals all secrets with it. The key file has both keys until no record and no snapshot
// needs the old one, so a crash at any moment leaves a store that can be read; the next start finishes the work. What is
// left of the old ciphertexts in the file's free pages goes with the next start. ErrConflict: a backup is being made, whose
// key file wouldn't fit its store.
func (db *DB) RotateKey(ctx context.Context) (Rotation, error) {
	if !db.keyUse.TryLock() {
		return Rotation{}, fmt.Errorf("rotate the key: %w", conflict("a backup is being made, or another rotation runs: try again when it is finished"))
	}
	defer db.keyUse.Unlock()
	var out Rotation
	for _, step := range db.rotation(&out) {
		if err := step(context.WithoutCancel(ctx)); err != nil {
			return out, fmt.Errorf("rotate the key: %w", err)
		}
	}
	return out, nil
}

// rotation returns the steps of a rotation. After each of them the store is whole.
func (db *DB) rotation(out *Rotation) []func(context.Context) error {
	return []func(context.Context) error{
		func(context.Context) error {
			k, err := randomSealKey()
			if err != nil {
				return err
			}
			keys := db.ring.Load()
			out.Old, out.New = keys.first().id, k.id
			next := &ring{append([]sealKey{k}, keys.keys...)}
			if err := writeKeys(db.dir, next); err != nil {
				return err
			}
			db.ring.Store(next)
			return nil
		},
		func(ctx context.Context) (err error) {
			if err = access.NoteOf(ctx).Describe("key of the secrets", map[string]any{"key": out.Old}, map[string]any{"key": out.New}); err != nil {
				return err
			}
			out.Records, err = db.reseal(ctx)
			return err
		},
		db.replaceSnapshots,
		db.sealCopies,
		func(context.Context) error { return db.trim() },
	}
}

// SealedRecords returns the ID of the key in use, and how many records have secrets.
func (db *DB) SealedRecords(context.Context) (r Rotation, err error) {
	r.Old = db.ring.Load().first().id
	err = db.view(func(tx *bbolt.Tx) error {
		for _, bucket := range sealedBuckets() {
			c := tx.Bucket([]byte(bucket)).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				if isSealed(v) {
					r.Records++
				}
			}
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("count the sealed records: %w", err)
	}
	return r, nil
}

// HoldKey keeps the key from being rotated until the returned function is called: for who copies store and key file one
// after the other. It waits for a rotation that runs.
func (db *DB) HoldKey() (release func()) {
	db.keyUse.RLock()
	return db.keyUse.RUnlock
}
