package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

var (
	_ lease.Store             = (*DB)(nil)
	_ lease.Cursors           = (*DB)(nil)
	_ provision.DeviceStore   = (*DB)(nil)
	_ provision.RevisionStore = (*DB)(nil)
)

// ErrDamaged says that a record is there but can't be trusted or understood. It is never served.
var ErrDamaged = errors.New("damaged record")

// DB is an open store. It is made by [Open] and safe for concurrent use.
type DB struct {
	dir      string
	child    []string
	lock     io.Closer
	log      *slog.Logger
	queue    queue
	bolt     atomic.Pointer[bbolt.DB] // another one after each reopen
	writes   atomic.Uint64
	took     provision.Histogram // of transactions that were committed
	configs  atomic.Uint64       // counts what may have changed a config
	devices  deviceCache
	ring     atomic.Pointer[ring] // of the secrets; set by Open
	keyUse   sync.RWMutex         // held for reading by who needs that the key stays, for writing by who rotates it
	writing  sync.Mutex           // held from a transaction's begin until it is on the disk
	books    books                // of who holds writing, and of reopen while nobody writes
	synced   atomic.Uint64        // the last transaction that is on the disk
	snapping chan struct{}        // holds a token while a snapshot is made
	// stopped is the first commit error after which the file may not be written any more; see transact and reopen.
	stopped  atomic.Pointer[error]
	restored time.Time // set by Open
	epoch    Epoch     // as its file has it; of Open, Run and Close

	mu       sync.Mutex
	problems map[recordKey]error // guarded by mu
}

// recordKey names a record.
type recordKey struct{ bucket, key string }

// Close ends the use of the store; it waits for transactions that run. Later calls of other methods fail. A second
// Close does nothing.
func (db *DB) Close() error {
	err := db.keepEpoch()
	db.writing.Lock()
	err = errors.Join(err, db.bolt.Load().Close())
	db.writing.Unlock()
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

// Took returns how long write transactions took, from their begin until they were on the disk, as
// [provision.Histogram.Took] does.
func (db *DB) Took() ([]provision.TookBucket, time.Duration) { return db.took.Took() }

// Size returns how many bytes the store's file has.
func (db *DB) Size() (n int64, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		n = tx.Size()
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("size of the store: %w", err)
	}
	return n, nil
}

// view reads. The file may be opened anew meanwhile; then the transaction begins again before fn is called.
func (db *DB) view(fn func(*bbolt.Tx) error) error {
	for {
		bolt := db.bolt.Load()
		err := bolt.View(fn)
		if !errors.Is(err, bolterrors.ErrDatabaseNotOpen) || db.bolt.Load() == bolt {
			return err
		}
	}
}

// Problem is a record that was found damaged, or something that is wrong with the store as a whole.
type Problem struct {
	Bucket string // empty: the store as a whole
	Key    string // raw bytes, whoever prints it escapes it; one of the Problem constants for the store as a whole
	Err    error  // wraps ErrDamaged for a record
}

// What can be wrong with the store as a whole, as the key of a [Problem].
const (
	ProblemFull     = "full"     // the disk is; it is over with the next commit
	ProblemBroken   = "broken"   // the disk took a commit no one knows how much of; it is over when the file could be written anew
	ProblemRestored = "restored" // from a snapshot, or an older copy was put in place; until the next start
	ProblemSnapshot = "snapshot" // the last one could not be made
)

// Problems returns what is wrong with the store as a whole, then the damaged records that were met since it was opened,
// by bucket and key. A record that is deleted or overwritten is no problem any more. At most maxProblems are kept.
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

// trouble notes what is wrong with the store as a whole and logs it the first time, or that it is over if err is nil.
func (db *DB) trouble(what string, err error) {
	k := recordKey{"", what}
	db.mu.Lock()
	_, known := db.problems[k]
	if err != nil {
		db.problems[k] = err
	} else {
		delete(db.problems, k)
	}
	db.mu.Unlock()
	switch {
	case err != nil && !known:
		db.log.Error("store is in trouble", "trouble", what, "err", err)
	case err == nil && known:
		db.log.Info("store is out of trouble", "trouble", what)
	}
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
		// A commit that failed may show after reopen, so it counts as any.
		if err != nil || slices.ContainsFunc(group, (*request).ofConfigs) {
			db.configs.Add(1)
		}
		db.devices.forget(group, err != nil)
	}()
	err = db.transact(func(tx *bbolt.Tx, b books) (bool, error) {
		changed := false
		for _, r := range group {
			if r.ops, r.err = r.plan(tx); r.err != nil {
				continue // it wrote nothing, and fails alone
			}
			for _, o := range r.ops {
				if err := b.apply(tx, o); err != nil {
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

// ofConfigs reports whether the request writes configs.
func (r *request) ofConfigs() bool {
	return slices.ContainsFunc(r.ops, func(o op) bool { return o.bucket == bucketConfigs })
}

var errUnfinished = errors.New("the transaction did not finish")

// transact is the only place that opens a write transaction. It is committed if fn reports a change.
//
// bbolt would sync twice, its pages before the meta page that leads to them. Here both go to the disk in one sync, in any
// order, which is sound as long as the next transaction doesn't begin before that: it writes to the pages of the tree before
// the last one. So whatever a power failure leaves of a transaction, the tree that the older meta page leads to is whole,
// and [Opener.Open] goes back to it; see Before.
func (db *DB) transact(fn func(*bbolt.Tx, books) (bool, error)) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	begun := time.Now()
	tx, err := db.beginWrite()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back, and says so
	b := maps.Clone(db.books)
	changed, err := fn(tx, b)
	if err != nil || !changed {
		return err
	}
	if err := b.keep(tx); err != nil {
		return err
	}
	bolt, id := tx.DB(), tx.ID()
	if err := tx.Commit(); err != nil {
		return db.failed(id, fmt.Errorf("commit: %w", err))
	}
	if err := bolt.Sync(); err != nil {
		return db.failed(id, fmt.Errorf("commit: fdatasync: %w", err))
	}
	db.synced.Store(uint64(id)) //nolint:gosec // never negative
	db.books = b
	db.writes.Add(1)
	db.took.Observe(time.Since(begun))
	db.trouble(ProblemFull, nil)
	return nil
}

// beginWrite opens a write transaction on the file that is in use when it is its turn.
func (db *DB) beginWrite() (*bbolt.Tx, error) {
	for {
		bolt := db.bolt.Load()
		tx, err := bolt.Begin(true)
		switch {
		case err != nil && (!errors.Is(err, bolterrors.ErrDatabaseNotOpen) || db.bolt.Load() == bolt):
			return nil, err
		case err != nil:
			continue
		}
		// In this order: reopen puts the new file in place before it lets writers go on.
		if stopped := db.stopped.Load(); stopped != nil {
			err = fmt.Errorf("%w until its file could be written anew: %w", lease.ErrReadOnly, *stopped)
		} else if db.bolt.Load() == bolt {
			return tx, nil
		}
		if rerr := tx.Rollback(); rerr != nil || err != nil {
			return nil, cmp.Or(err, rerr)
		}
	}
}

// failed says what a failed commit means. A full disk is told of before the meta page is written, and it can be seen
// that it wasn't: nothing was written, and it is over when there is space again. After any other failure, of an fsync
// above all, nobody knows which pages the disk holds; the kernel may have forgotten them and say that all is well the
// next time, and another commit on top could damage the file. So there is none, until reopen has written a new file.
func (db *DB) failed(id int, err error) error {
	if isFull(err) {
		now := id
		verr := db.view(func(tx *bbolt.Tx) error {
			now = tx.ID()
			return nil
		})
		if verr == nil && now < id {
			err = fmt.Errorf("%w: %w", lease.ErrReadOnly, err)
			db.trouble(ProblemFull, err)
			return err
		}
	}
	db.stopped.Store(&err)
	db.trouble(ProblemBroken, fmt.Errorf("store takes no more writes until its file could be written anew: %w", err))
	return err
}

// isFull reports whether a commit failed for want of space. That the file can't be made longer, bbolt says in words
// only; an fsync's error has no path.
func isFull(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && (errors.Is(path, syscall.ENOSPC) || errors.Is(path, syscall.EDQUOT)) ||
		errors.Is(err, bolterrors.ErrMaxSizeReached) || strings.Contains(err.Error(), "file resize error")
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
