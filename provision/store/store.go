package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

var (
	_ lease.Store           = (*DB)(nil)
	_ lease.Cursors         = (*DB)(nil)
	_ provision.DeviceStore = (*DB)(nil)
	_ provision.ConfigStore = (*DB)(nil)
)

// ErrDamaged says that a record is there but can't be trusted or understood. It is never served.
var ErrDamaged = errors.New("damaged record")

// DB is an open store. It is made by [Open] and safe for concurrent use.
type DB struct {
	bolt   *bbolt.DB
	lock   io.Closer
	log    *slog.Logger
	queue  queue
	writes atomic.Uint64
	// stopped is the first commit error after which the file may not be written any more; see commit.
	stopped atomic.Pointer[error]

	mu       sync.Mutex
	problems map[recordKey]error // guarded by mu
}

// recordKey names a record.
type recordKey struct{ bucket, key string }

// Close ends the use of the store; it waits for transactions that run. Later calls of other methods fail. A second
// Close does nothing.
func (db *DB) Close() error {
	err := db.bolt.Close()
	if lerr := db.lock.Close(); !errors.Is(lerr, os.ErrClosed) {
		err = errors.Join(err, lerr)
	}
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Writes returns how many write transactions were committed since the store was opened.
func (db *DB) Writes() uint64 { return db.writes.Load() }

// Problem is a record that was found damaged.
type Problem struct {
	Bucket string
	Key    string // raw bytes; whoever prints it escapes it
	Err    error  // wraps ErrDamaged
}

// Problems returns the damaged records that were met since the store was opened, by bucket and key. A record that is
// deleted or overwritten is no problem any more. At most maxProblems are kept.
func (db *DB) Problems() []Problem {
	db.mu.Lock()
	defer db.mu.Unlock()
	out := make([]Problem, 0, len(db.problems))
	for k, err := range db.problems {
		out = append(out, Problem{Bucket: k.bucket, Key: k.key, Err: err})
	}
	slices.SortFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Key, b.Key))
	})
	return out
}

// maxProblems bounds what is kept and logged of a store that is damaged all over.
const maxProblems = 1000

// damaged notes a damaged record, logs it the first time and returns the error for the caller.
func (db *DB) damaged(bucket, key string, why error) error {
	err := fmt.Errorf("%w %q in %s: %w", ErrDamaged, key, bucket, why)
	k := recordKey{bucket, key}
	db.mu.Lock()
	_, known := db.problems[k]
	room := len(db.problems) < maxProblems
	if !known && room {
		db.problems[k] = err
	}
	db.mu.Unlock()
	if !known && room {
		db.log.Error("damaged record left out", "bucket", bucket, "key", fmt.Sprintf("%q", key), "err", why)
	}
	return err
}

// repaired forgets the problems with records that have been overwritten or deleted.
func (db *DB) repaired(ops []op) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if len(db.problems) == 0 {
		return
	}
	for _, o := range ops {
		delete(db.problems, recordKey{o.bucket, string(o.key)})
	}
}

// op is one write: value under key, or the key's deletion if value is nil.
type op struct {
	bucket     string
	key, value []byte
}

// write runs a group of requests in one transaction and sets the error of each. Plans run one after the other, and
// each sees what those before it wrote.
func (db *DB) write(group []*request) {
	err := errUnfinished // what the group hears if a plan or bbolt panics
	defer func() {
		if err != nil {
			for _, r := range group {
				r.err = err
			}
		}
	}()
	err = db.transact(func(tx *bbolt.Tx) (bool, error) {
		changed := false
		for _, r := range group {
			if r.ops, r.err = r.plan(tx); r.err != nil {
				continue // it wrote nothing, and fails alone
			}
			for _, o := range r.ops {
				if err := apply(tx, o); err != nil {
					return false, err
				}
				changed = true
			}
		}
		return changed, nil
	})
	if err != nil {
		return
	}
	for _, r := range group {
		if r.err == nil {
			db.repaired(r.ops)
		}
	}
}

var errUnfinished = errors.New("the transaction did not finish")

// transact is the only place that opens a write transaction. It is committed if fn reports a change.
func (db *DB) transact(fn func(*bbolt.Tx) (bool, error)) error {
	tx, err := db.bolt.Begin(true)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back, and says so
	if stopped := db.stopped.Load(); stopped != nil {
		return fmt.Errorf("the store takes no writes since one failed; restart to check it and open it again: %w", *stopped)
	}
	changed, err := fn(tx)
	if err != nil || !changed {
		return err
	}
	if err := tx.Commit(); err != nil {
		err = fmt.Errorf("commit: %w", err)
		// After a failed fsync nobody knows which pages the disk holds, and what bbolt holds in memory may no longer
		// fit the file's newest meta page; another commit on top could damage the file. A full disk is told of
		// before the meta page is written, and is over when there is space again.
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, bolterrors.ErrMaxSizeReached) {
			db.stopped.Store(&err)
			db.log.Error("store takes no more writes", "err", err)
		}
		return err
	}
	db.writes.Add(1)
	return nil
}

func apply(tx *bbolt.Tx, o op) error {
	b := tx.Bucket([]byte(o.bucket))
	if o.value == nil {
		return b.Delete(o.key)
	}
	if o.bucket == bucketEvents {
		b.FillPercent = 0.9 // keys only ever rise: pages that are split half-way would stay half empty
	}
	return b.Put(o.key, o.value)
}

// get returns the payload of a record; it is valid until the transaction ends. False: there is none.
func (db *DB) get(tx *bbolt.Tx, bucket string, key []byte) ([]byte, bool, error) {
	if len(key) == 0 {
		return nil, false, nil
	}
	value := tx.Bucket([]byte(bucket)).Get(key)
	if value == nil {
		return nil, false, nil
	}
	payload, err := unseal(bucket, key, value)
	if err != nil {
		return nil, false, db.damaged(bucket, string(key), err)
	}
	return payload, true, nil
}
