package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

const (
	// maxEvents is how many events the outbox keeps, the newest: hours of a large site's, days of a small one's.
	maxEvents = 65536
	// pruneSlice is how many old events a commit drops beyond those that it adds, so that none of them is long.
	pruneSlice = 64
	// readSlice is how many records are read in one transaction when many are: the reader may take its time over
	// them, and a long transaction keeps the file growing and can hold up the writer. The first slice is smaller, because
	// many a reader wants one record or two.
	readSlice  = 1024
	firstSlice = 16
)

// LoadLeases yields every stored lease, in order of address. A damaged record yields its address and an error
// (ErrDamaged), and the iteration goes on. What is written meanwhile may be seen or not.
func (db *DB) LoadLeases(ctx context.Context) iter.Seq2[lease.Lease, error] {
	return func(yield func(lease.Lease, error) bool) { scan(ctx, db, bucketLeases, nil, leaseAt, yield) }
}

// Events yields the stored events after a number; the newest maxEvents are kept. A damaged one yields its number and
// an error (ErrDamaged), and the iteration goes on.
func (db *DB) Events(ctx context.Context, after uint64) iter.Seq2[lease.Event, error] {
	return func(yield func(lease.Event, error) bool) {
		if after+1 != 0 {
			scan(ctx, db, bucketEvents, seqKey(after+1), eventAt, yield)
		}
	}
}

// scan yields a bucket's records from a key on, some at a time. What decode returns with an error, or for no payload,
// stands for a damaged record.
func scan[T any](
	ctx context.Context, db *DB, bucket string, from []byte, decode func(key, payload []byte) (T, error), yield func(T, error) bool,
) {
	type item struct {
		v   T
		err error
	}
	var items []item
	for size, more := firstSlice, true; more; size = min(4*size, readSlice) {
		items, more = items[:0], false
		err := cmp.Or(ctx.Err(), db.uncertain())
		if err == nil {
			err = db.view(func(tx *bbolt.Tx) error {
				c := tx.Bucket([]byte(bucket)).Cursor()
				for k, value := c.Seek(from); k != nil; k, value = c.Next() {
					if len(items) == size {
						from, more = bytes.Clone(k), true
						return nil
					}
					payload, err := unseal(bucket, k, value)
					v, derr := decode(k, payload)
					if err = cmp.Or(err, derr); err != nil {
						err = db.damaged(bucket, string(k), err)
					}
					items = append(items, item{v, err})
				}
				return nil
			})
		}
		for _, it := range items {
			if !yield(it.v, it.err) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, fmt.Errorf("read %s: %w", bucket, err))
		}
	}
}

// uncertain is the error of reading while nobody knows what the disk holds: what would be read may be in memory only.
func (db *DB) uncertain() error {
	if stopped := db.stopped.Load(); stopped != nil {
		return fmt.Errorf("what the disk holds is not known: %w", *stopped)
	}
	return nil
}

// leaseAt decodes the record of a lease.
func leaseAt(key, payload []byte) (lease.Lease, error) {
	addr, _ := netip.AddrFromSlice(key)
	l, err := decodeLease(payload)
	if err == nil && l.Addr != addr {
		err = fmt.Errorf("it is the lease of %s", l.Addr)
	}
	if err != nil {
		return lease.Lease{Addr: addr}, err
	}
	return l, nil
}

// eventAt decodes the record of an event.
func eventAt(key, payload []byte) (lease.Event, error) {
	seq, err := keySeq(key)
	if err != nil {
		return lease.Event{}, err
	}
	e, err := decodeEvent(seq, payload)
	if err != nil {
		return lease.Event{Seq: seq}, err
	}
	return e, nil
}

// change is a [lease.Change] made ready for its transaction.
type change struct {
	lease.Change
	key   []byte // of the lease
	value []byte // the lease, sealed
	body  []byte // the event, not yet sealed under its number; nil if nobody needs to hear of it
}

func prepare(c lease.Change) (change, error) {
	if c.Prev.Addr.IsValid() && c.Prev.Addr != c.Next.Addr {
		return change{}, fmt.Errorf("the lease of %s can't become that of %s", c.Prev.Addr, c.Next.Addr)
	}
	c.Next.Rev = c.Prev.Rev + 1
	ready := change{Change: c, key: c.Next.Addr.AsSlice()}
	body, err := encodeLease(c.Next)
	if err != nil {
		return change{}, err
	}
	ready.value = seal(bucketLeases, ready.key, body)
	if c.Kind != lease.KindNone {
		ready.body, err = encodeEvent(lease.Event{At: c.At, Kind: c.Kind, Lease: c.Next, Prev: c.Prev})
	}
	return ready, err
}

// CommitLeases implements [lease.Store]. A damaged record conflicts with nothing: its address can't be committed.
func (db *DB) CommitLeases(ctx context.Context, changes ...lease.Change) ([]lease.Event, error) {
	ready := make([]change, len(changes))
	for i, c := range changes {
		var err error
		if ready[i], err = prepare(c); err != nil {
			return nil, fmt.Errorf("commit lease %s: %w", c.Next.Addr, err)
		}
	}
	var events []lease.Event
	err := db.do(ctx, func(tx *bbolt.Tx) (ops []op, err error) {
		ops, events, err = db.planLeases(tx, ready)
		return ops, err
	})
	if err != nil {
		return nil, fmt.Errorf("commit leases: %w", err)
	}
	return events, nil
}

func (db *DB) planLeases(tx *bbolt.Tx, changes []change) (ops []op, events []lease.Event, err error) {
	ops = make([]op, 0, 3*len(changes))
	next, err := nextEvent(tx)
	if err != nil {
		return nil, nil, err
	}
	written := make(map[netip.Addr]uint64, len(changes)) // revisions after the changes so far
	for _, c := range changes {
		stored, ok := written[c.Next.Addr]
		if !ok {
			if stored, err = db.storedRev(tx, c.key); err != nil {
				return nil, nil, err
			}
		}
		if stored != c.Prev.Rev {
			return nil, nil, fmt.Errorf("lease %s is at revision %d, not %d: %w", c.Next.Addr, stored, c.Prev.Rev, lease.ErrConflict)
		}
		written[c.Next.Addr] = c.Next.Rev
		ops = append(ops, op{bucketLeases, c.key, c.value})
		if c.body != nil {
			key := seqKey(next)
			ops = append(ops, op{bucketEvents, key, seal(bucketEvents, key, c.body)})
			events = append(events, lease.Event{Seq: next, At: c.At, Kind: c.Kind, Lease: c.Next, Prev: c.Prev})
			next++
		}
	}
	if len(events) > 0 {
		keep := seqKey(next - min(next, maxEvents)) // the oldest that stays
		c := tx.Bucket([]byte(bucketEvents)).Cursor()
		for k, _ := c.First(); k != nil && bytes.Compare(k, keep) < 0 && len(ops) < 3*len(changes)+pruneSlice; k, _ = c.Next() {
			ops = append(ops, op{bucketEvents, bytes.Clone(k), nil})
		}
	}
	return ops, events, nil
}

// storedRev returns the revision of a lease, 0 if there is none.
func (db *DB) storedRev(tx *bbolt.Tx, key []byte) (uint64, error) {
	payload, ok, err := db.get(tx, bucketLeases, key)
	if err != nil || !ok {
		return 0, err
	}
	l, err := leaseAt(key, payload)
	if err != nil {
		return 0, db.damaged(bucketLeases, string(key), err)
	}
	return l.Rev, nil
}

// nextEvent returns the number of the event that will be stored next.
func nextEvent(tx *bbolt.Tx) (uint64, error) {
	k, _ := tx.Bucket([]byte(bucketEvents)).Cursor().Last()
	if k == nil {
		return 1, nil
	}
	last, err := keySeq(k)
	return last + 1, err
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func keySeq(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, fmt.Errorf("%w %x in %s: not the key of an event", ErrDamaged, key, bucketEvents)
	}
	return binary.BigEndian.Uint64(key), nil
}

// LoadCursor implements [lease.Cursors].
func (db *DB) LoadCursor(_ context.Context, name string) (seq uint64, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		payload, ok, err := db.get(tx, bucketCursors, []byte(name))
		if err != nil || !ok {
			return err
		}
		if len(payload) != 8 {
			return db.damaged(bucketCursors, name, errShort)
		}
		seq = binary.BigEndian.Uint64(payload)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("load cursor %q: %w", name, err)
	}
	return seq, nil
}

// SaveCursor implements [lease.Cursors]. It overwrites a damaged cursor.
func (db *DB) SaveCursor(ctx context.Context, name string, seq uint64) error {
	if err := checkKey(name); err != nil {
		return fmt.Errorf("save cursor %q: %w", name, err)
	}
	key := []byte(name)
	value := seal(bucketCursors, key, seqKey(seq))
	err := db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
		if bytes.Equal(tx.Bucket([]byte(bucketCursors)).Get(key), value) {
			return nil, nil
		}
		return []op{{bucketCursors, key, value}}, nil
	})
	if err != nil {
		return fmt.Errorf("save cursor %q: %w", name, err)
	}
	return nil
}
