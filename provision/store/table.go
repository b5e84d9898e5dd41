package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/provision"
)

const (
	maxKey  = 1 << 10 // bytes of an ID and of what a record is found by
	maxBody = 1 << 20 // bytes of a device or config
)

// refusal is an error with a text of its own that matches a kind: the kinds' texts suit the commonest case only.
type refusal struct {
	text string
	kind error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.kind }

func conflict(format string, args ...any) error {
	return refusal{fmt.Sprintf(format, args...), provision.ErrConflict}
}

// checkKey says whether a text that people or phones choose can be a part of a key.
func checkKey(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("it is empty: %w", provision.ErrInvalid)
	case len(s) > maxKey:
		return fmt.Errorf("it is longer than %d bytes: %w", maxKey, provision.ErrInvalid)
	case !utf8.ValidString(s) || strings.Contains(s, "\x00"):
		return fmt.Errorf("it is not plain text: %w", provision.ErrInvalid)
	}
	return nil
}

// table is how one kind of record is stored: under its ID, and under everything else that it is found by.
type table[T any] struct {
	bucket string
	encode func(place, T) ([]byte, error)
	decode func(at place, id string, rev uint64, body []byte) (T, error)
	refs   func(T) []ref
	// indexes are the buckets of all refs.
	indexes []string
}

// ref is a key in an index bucket that leads to a record. Two records can't have the same.
type ref struct {
	bucket string
	key    string
	name   string // what it is, for people
}

// pair is the key of a ref that several records may share: unique by the record's own ID.
func pair(key, id string) string { return key + "\x00" + id }

// row is a record as it is stored.
type row struct {
	rev  uint64
	body []byte // valid until the transaction ends
}

// entry is a record on its way into the store.
type entry[T any] struct {
	v    T
	id   string
	rev  uint64 // that it has to have now; 0: there must be none
	body []byte
	ring *ring // with which its secrets are sealed
	refs []ref
}

func (t table[T]) entry(db *DB, id string, rev uint64, v T) (entry[T], error) {
	at := db.place(t.bucket, id)
	e := entry[T]{v: v, id: id, rev: rev, refs: t.refs(v), ring: at.ring}
	if err := checkKey(id); err != nil {
		return e, fmt.Errorf("id: %w", err)
	}
	for _, r := range e.refs {
		if len(r.key) > 2*maxKey+1 {
			return e, fmt.Errorf("%s is too long: %w", r.name, provision.ErrInvalid)
		}
	}
	var err error
	if e.body, err = t.encode(at, v); err != nil {
		return e, err
	}
	if len(e.body) > maxBody {
		return e, fmt.Errorf("it takes more than %d bytes: %w", maxBody, provision.ErrInvalid)
	}
	return e, nil
}

func (t table[T]) row(db *DB, tx *bbolt.Tx, id string) (row, bool, error) {
	payload, ok, err := db.get(tx, t.bucket, []byte(id))
	if err != nil || !ok {
		return row{}, false, err
	}
	rev, body, err := splitRev(payload)
	if err != nil {
		return row{}, false, db.damaged(t.bucket, id, err)
	}
	return row{rev, body}, true, nil
}

func (t table[T]) read(db *DB, id string, r row) (T, error) {
	v, err := t.decode(db.place(t.bucket, id), id, r.rev, r.body)
	if err != nil {
		return v, db.damaged(t.bucket, id, err)
	}
	return v, nil
}

// find returns the record with that ID.
func (t table[T]) find(db *DB, tx *bbolt.Tx, id string) (v T, err error) {
	r, ok, err := t.row(db, tx, id)
	if err != nil {
		return v, err
	}
	if !ok {
		return v, provision.ErrNotFound
	}
	return t.read(db, id, r)
}

// findBy returns the record that an index key leads to.
func (t table[T]) findBy(db *DB, tx *bbolt.Tx, index, key string) (v T, err error) {
	id, ok, err := db.get(tx, index, []byte(key))
	if err != nil {
		return v, err
	}
	if !ok {
		return v, provision.ErrNotFound
	}
	v, err = t.find(db, tx, string(id))
	if errors.Is(err, provision.ErrNotFound) {
		err = db.damaged(index, key, fmt.Errorf("it leads to %q, which is missing", id))
	}
	return v, err
}

// all returns every record that is whole, by ID.
func (t table[T]) all(db *DB) ([]T, error) {
	var out []T
	err := db.view(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(t.bucket)).ForEach(func(k, _ []byte) error {
			v, err := t.find(db, tx, string(k))
			if err == nil {
				out = append(out, v)
			}
			return nil // damaged has noted it
		})
	})
	return out, err
}

// put plans the write of a record and returns its new revision. A write that changes nothing is none.
func (t table[T]) put(db *DB, tx *bbolt.Tx, e entry[T]) (ops []op, rev uint64, err error) {
	now, there, err := t.row(db, tx, e.id)
	if err != nil {
		return nil, 0, err
	}
	if at := db.place(t.bucket, e.id); at.ring != e.ring { // the key was rotated since
		if e.body, err = t.encode(at, e.v); err != nil {
			return nil, 0, err
		}
	}
	switch {
	case there && e.rev == 0:
		return nil, 0, conflict("it exists already")
	case !there && e.rev != 0:
		return nil, 0, conflict("it was deleted meanwhile")
	case now.rev != e.rev:
		return nil, 0, conflict("it has changed meanwhile: its revision is %d, not %d", now.rev, e.rev)
	case there && t.same(db, now, e):
		return nil, now.rev, nil
	}
	for _, r := range e.refs {
		owner, taken, err := db.get(tx, r.bucket, []byte(r.key))
		if err != nil {
			return nil, 0, err
		}
		if taken && string(owner) != e.id {
			return nil, 0, conflict("%s belongs to %s", r.name, owner)
		}
		if !taken {
			ops = append(ops, op{r.bucket, []byte(r.key), seal(r.bucket, []byte(r.key), []byte(e.id))})
		}
	}
	if there {
		old, err := t.read(db, e.id, now)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range t.refs(old) {
			if !slices.ContainsFunc(e.refs, func(n ref) bool { return n.bucket == r.bucket && n.key == r.key }) {
				ops = append(ops, op{r.bucket, []byte(r.key), nil})
			}
		}
	}
	rev = e.rev + 1
	key := []byte(e.id)
	return append(ops, op{t.bucket, key, seal(t.bucket, key, withRev(rev, e.body))}), rev, nil
}

// same reports whether a record is what is stored already. Sealed secrets never look the same, so they are compared in
// the clear.
func (t table[T]) same(db *DB, now row, e entry[T]) bool {
	if bytes.Equal(now.body, e.body) {
		return true
	}
	if !isSealed(now.body) || !isSealed(e.body) {
		return false
	}
	old, err := t.read(db, e.id, now)
	if err != nil {
		return false
	}
	was, err := t.encode(place{}, old)
	if err != nil {
		return false
	}
	is, err := t.encode(place{}, e.v)
	return err == nil && bytes.Equal(was, is)
}

// remove plans the deletion of a record, be it damaged: then what leads to it is searched for.
func (t table[T]) remove(db *DB, tx *bbolt.Tx, id string) ([]op, error) {
	ops := []op{{t.bucket, []byte(id), nil}}
	v, err := t.find(db, tx, id)
	if err == nil {
		for _, r := range t.refs(v) {
			ops = append(ops, op{r.bucket, []byte(r.key), nil})
		}
		return ops, nil
	}
	if !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	for _, index := range t.indexes {
		c := tx.Bucket([]byte(index)).Cursor()
		for k, value := c.First(); k != nil; k, value = c.Next() {
			if owner, err := unseal(index, k, value); err == nil && string(owner) == id {
				ops = append(ops, op{index, bytes.Clone(k), nil})
			}
		}
	}
	return ops, nil
}

// sharers returns the IDs that share a key in an index of pairs, up to n.
func sharers(tx *bbolt.Tx, index, key string, n int) (ids []string) {
	prefix := []byte(pair(key, ""))
	c := tx.Bucket([]byte(index)).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(ids) < n; k, _ = c.Next() {
		ids = append(ids, string(k[len(prefix):]))
	}
	return ids
}
