package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"
)

const keySchema = "schema"

// migration takes a store from the version that is its index to the next one.
type migration func(*bbolt.Tx) error

// migrations are applied in order; their number is the version of the layout that this program knows. Those that have
// been released never change: a store of any age goes through all that it hasn't seen.
func migrations() []migration {
	return []migration{createBuckets, count, createRevisions, createGate, createAccess, sealSecrets}
}

func version(steps []migration) uint32 { return uint32(len(steps)) } //nolint:gosec // a handful

// migrate brings a store to the last version, in one transaction, and returns the version that it had: 0 for a new
// one. A store of a later version is refused.
func migrate(bolt *bbolt.DB, steps []migration) (from uint32, err error) {
	tx, err := bolt.Begin(true)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back, and says so
	if from, err = readSchema(tx); err != nil {
		return 0, err
	}
	to := version(steps)
	switch {
	case from > to:
		return from, fmt.Errorf("it was written by a newer version of dialtone (its schema is %d, this one knows %d); install that version "+
			"again, or restore a backup from before the upgrade", from, to)
	case from == to:
		return from, nil
	}
	for v := from; v < to; v++ {
		if err := steps[v](tx); err != nil {
			return from, fmt.Errorf("migrate from schema %d to %d: %w", v, v+1, err)
		}
	}
	payload := binary.BigEndian.AppendUint32(nil, to)
	if err := tx.Bucket([]byte(bucketMeta)).Put([]byte(keySchema), seal(bucketMeta, []byte(keySchema), payload)); err != nil {
		return from, err
	}
	if tx.Bucket([]byte(bucketMeta)).Get([]byte(keyBooks)) != nil { // schema 1 has none
		if err := stamp(tx); err != nil {
			return from, err
		}
	}
	return from, errors.Join(tx.Commit(), bolt.Sync())
}

// keepBefore keeps a copy of a store that is about to be migrated, as it is, beside it: dialtone.db.schema4 is what the version
// that knew schema 4 can still read. A copy that is there already was of a migration that didn't come to its end, or of a
// downgrade since; the newest counts. One with secrets in the clear is sealed as soon as the migrated store is open; see
// sealCopies. Without room for the copy there is no migration.
func (db *DB) keepBefore(ctx context.Context, path string, r Report) error {
	if r.Schema == 0 || r.Schema >= version(migrations()) {
		return nil
	}
	kept := fmt.Sprintf("%s.schema%d", path, r.Schema)
	temp := kept + ".new"
	err := copyFile(path, temp)
	if err == nil {
		err = os.Rename(temp, kept)
	}
	if err == nil {
		err = syncDir(db.dir)
	}
	if err != nil {
		return fmt.Errorf("keep a copy of %s before it is migrated: %w; make room for it", path, err)
	}
	db.log.InfoContext(ctx, "store kept before its migration", "path", kept, "schema", r.Schema)
	return nil
}

// readSchema returns the store's version, 0 if it is a new and empty one.
func readSchema(tx *bbolt.Tx) (uint32, error) {
	b := tx.Bucket([]byte(bucketMeta))
	if b == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return 0, errors.New("it is not a store of dialtone's")
		}
		return 0, nil
	}
	payload, err := unseal(bucketMeta, []byte(keySchema), b.Get([]byte(keySchema)))
	if err != nil {
		return 0, fmt.Errorf("%w %q in %s: %w", ErrDamaged, keySchema, bucketMeta, err)
	}
	if len(payload) != 4 {
		return 0, fmt.Errorf("%w %q in %s: %w", ErrDamaged, keySchema, bucketMeta, errShort)
	}
	return binary.BigEndian.Uint32(payload), nil
}

// buckets returns all that the present schema has.
func buckets() []string {
	return append(firstBuckets(), bucketRevisions, bucketGate, bucketAccess, bucketAudit)
}

// firstBuckets returns all that schemas 1 and 2 have.
func firstBuckets() []string {
	return []string{
		bucketMeta, bucketLeases, bucketEvents, bucketCursors,
		bucketDevices, bucketDeviceMAC, bucketDeviceSerial, bucketDeviceUUID, bucketDeviceConfig,
		bucketConfigs, bucketConfigRole, bucketConfigParent, bucketNetworks,
	}
}

// createBuckets makes schema 1 of nothing.
func createBuckets(tx *bbolt.Tx) error {
	for _, name := range firstBuckets() {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return nil
}

// createRevisions makes schema 3: configs get a history.
func createRevisions(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucket([]byte(bucketRevisions)); err != nil {
		return fmt.Errorf("create bucket %s: %w", bucketRevisions, err)
	}
	return nil
}

// createGate makes schema 4: enrolment windows, and devices set aside.
func createGate(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucket([]byte(bucketGate)); err != nil {
		return fmt.Errorf("create bucket %s: %w", bucketGate, err)
	}
	return nil
}

// createAccess makes schema 5: users, their tokens, and the audit.
func createAccess(tx *bbolt.Tx) error {
	for _, name := range []string{bucketAccess, bucketAudit} {
		if _, err := tx.CreateBucket([]byte(name)); err != nil {
			return fmt.Errorf("create bucket %s: %w", name, err)
		}
	}
	return nil
}

// sealSecrets makes schema 6: secrets are sealed. It only sees to it that earlier versions leave the store alone, for what is
// sealed means nothing to them. A migration has no key, so openKeys does the rest.
func sealSecrets(*bbolt.Tx) error { return nil }

// checkBuckets sees that each bucket is there, so that nobody has to who reads one.
func checkBuckets(tx *bbolt.Tx) error {
	for _, name := range buckets() {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: bucket %s is missing; restore a backup", ErrDamaged, name)
		}
	}
	return nil
}
