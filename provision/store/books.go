package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"
)

// keyBooks is where the books are in the meta bucket.
const keyBooks = "books"

// books are kept of all buckets but meta: how many records each has, and the sum of their checksums. Each transaction
// brings them up to date. A tree that lost a page, or has one of an earlier time in its place, is as good a tree as any
// to look at; it is the books that don't agree with it.
type books map[string]account

type account struct {
	Records uint64 `json:"records"`
	Sum     uint64 `json:"sum"`
	// Txid is the transaction that wrote the books; it stands with bucketMeta. A version that didn't know of it leaves it out.
	Txid uint64 `json:"txid,omitempty"`
}

// note takes account of a record that goes or comes; its value says enough.
func (a *account) note(value []byte, comes bool) {
	sum := uint64(0)
	if len(value) >= sumSize { // else it is damaged, and counts for what it is
		sum = uint64(binary.BigEndian.Uint32(value))
	}
	if comes {
		a.Records++
		a.Sum += sum
	} else {
		a.Records--
		a.Sum -= sum
	}
}

// apply does a write and takes account of it.
func (b books) apply(tx *bbolt.Tx, o op) error {
	if o.bucket == bucketMeta {
		return apply(tx, o)
	}
	a := b[o.bucket]
	if old := tx.Bucket([]byte(o.bucket)).Get(o.key); old != nil {
		a.note(old, false)
	}
	if o.value != nil {
		a.note(o.value, true)
	}
	b[o.bucket] = a
	return apply(tx, o)
}

// txid is the transaction that the books are of, 0 if they don't say.
func (b books) txid() uint64 { return b[bucketMeta].Txid }

// keep writes the books, as of this transaction.
func (b books) keep(tx *bbolt.Tx) error {
	b[bucketMeta] = account{Txid: uint64(tx.ID())} //nolint:gosec // never negative
	return put(tx, bucketMeta, []byte(keyBooks), b.append(make([]byte, 0, 64*len(b))))
}

// append writes the books as encoding/json would. Each commit does, and encoding/json is a tenth of what a commit costs
// beside the disk.
func (b books) append(to []byte) []byte {
	names := slices.Sorted(maps.Keys(b)) // of our own, so that there is nothing in them to escape
	to = append(to, '{')
	for i, name := range names {
		if i > 0 {
			to = append(to, ',')
		}
		a := b[name]
		to = append(append(append(to, '"'), name...), `":{"records":`...)
		to = strconv.AppendUint(to, a.Records, 10)
		to = append(to, `,"sum":`...)
		to = strconv.AppendUint(to, a.Sum, 10)
		if a.Txid != 0 {
			to = append(to, `,"txid":`...)
			to = strconv.AppendUint(to, a.Txid, 10)
		}
		to = append(to, '}')
	}
	return append(to, '}')
}

// count makes schema 2: the books of a store that had none.
func count(tx *bbolt.Tx) error {
	b := make(books)
	for _, name := range firstBuckets() {
		if name == bucketMeta {
			continue
		}
		var a account
		c := tx.Bucket([]byte(name)).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			a.note(v, true)
		}
		b[name] = a
	}
	return b.keep(tx)
}

// stamp says of books that are right that they are of this transaction.
func stamp(tx *bbolt.Tx) error {
	b, err := booksOf(tx)
	if err != nil {
		return err
	}
	return b.keep(tx)
}

func booksOf(tx *bbolt.Tx) (b books, err error) {
	value := tx.Bucket([]byte(bucketMeta)).Get([]byte(keyBooks))
	payload, err := unseal(bucketMeta, []byte(keyBooks), value)
	if err == nil {
		err = json.Unmarshal(payload, &b)
	}
	if err != nil {
		return nil, fmt.Errorf("%w %q in %s: %w", ErrDamaged, keyBooks, bucketMeta, err)
	}
	return b, nil
}

// readBooks takes over the books of a file that is on the disk as it is. No writer is at work.
func (db *DB) readBooks() error {
	return db.view(func(tx *bbolt.Tx) (err error) {
		db.books, err = booksOf(tx)
		db.synced.Store(uint64(tx.ID())) //nolint:gosec // never negative
		return err
	})
}
