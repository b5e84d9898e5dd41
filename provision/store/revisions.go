package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/provision"
)

// revisionRecord is a revision in the file. Config and Number are its key.
type revisionRecord struct {
	At      time.Time       `json:"at"`
	Who     string          `json:"who,omitempty"`
	Why     string          `json:"why,omitempty"`
	Deleted bool            `json:"deleted,omitempty"`
	Rev     uint64          `json:"rev"`
	State   json.RawMessage `json:"state"` // a configRecord
}

// maxAuthor bounds what is kept of who and why, in bytes.
const maxAuthor = 1 << 10

func checkAuthor(by provision.Author) error {
	for _, t := range []struct{ name, s string }{{"who", by.Who}, {"why", by.Why}} {
		if err := checkText(t.name, t.s); err != nil {
			return err
		}
		if len(t.s) > maxAuthor {
			return fmt.Errorf("%s takes more than %d bytes: %w", t.name, maxAuthor, provision.ErrInvalid)
		}
	}
	return nil
}

func revisionKey(id string, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(pair(id, "")), number)
}

// revisionAt decodes the payload under a key.
func revisionAt(at place, key, payload []byte) (v provision.Revision, err error) {
	id, number, ok := strings.Cut(string(key), "\x00")
	if !ok || len(number) != 8 {
		return v, errShort
	}
	var r revisionRecord
	if err := json.Unmarshal(payload, &r); err != nil {
		return v, err
	}
	v = provision.Revision{
		Config: provision.ConfigID(id), Number: binary.BigEndian.Uint64([]byte(number)),
		At: r.At, By: provision.Author{Who: r.Who, Why: r.Why}, Deleted: r.Deleted,
	}
	v.State, err = decodeConfig(at, id, r.Rev, r.State)
	return v, err
}

// revision is one on its way into the store.
type revision struct {
	id      string
	rev     uint64
	state   provision.Config
	by      provision.Author
	deleted bool
}

// revise plans the write of a config's next revision. The oldest gives way to it. Where there is no history yet, the
// config as it was before comes first, so that what a change undid can always be restored.
func (db *DB) revise(tx *bbolt.Tx, r revision) ([]op, error) {
	at := time.Now().UTC()
	last, known := lastRevision(tx, r.id)
	var ops []op
	if !known {
		was, err := configTable().find(db, tx, r.id)
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, provision.ErrNotFound) {
			return nil, err
		}
		if err == nil && !r.deleted {
			o, err := db.revisionOp(last+1, at, revision{
				id: r.id, rev: was.Rev, state: was, by: provision.Author{Who: provision.BySystem, Why: "as it was before there was a history"},
			})
			if err != nil {
				return nil, err
			}
			ops, last = append(ops, o), last+1
		}
	}
	o, err := db.revisionOp(last+1, at, r)
	if err != nil {
		return nil, err
	}
	ops = append(ops, o)
	if last+1 > provision.MaxRevisions {
		if key := revisionKey(r.id, last+1-provision.MaxRevisions); tx.Bucket([]byte(bucketRevisions)).Get(key) != nil {
			ops = append(ops, op{bucketRevisions, key, nil})
		}
	}
	return ops, nil
}

func (db *DB) revisionOp(number uint64, at time.Time, r revision) (op, error) {
	key := revisionKey(r.id, number)
	state, err := encodeConfig(db.place(bucketRevisions, string(key)), r.state)
	if err != nil {
		return op{}, fmt.Errorf("revision: %w", err)
	}
	payload, err := json.Marshal(revisionRecord{
		At: at, Who: r.by.Who, Why: r.by.Why, Deleted: r.deleted, Rev: r.rev, State: state,
	})
	if err != nil {
		return op{}, fmt.Errorf("revision: %w", err)
	}
	return op{bucketRevisions, key, seal(bucketRevisions, key, payload)}, nil
}

// resealedRevision is resealed for a revision.
func resealedRevision(at place, payload []byte) ([]byte, error) {
	v, err := revisionAt(at, []byte(at.key), payload)
	if err != nil {
		return nil, err
	}
	var r revisionRecord
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, err
	}
	if r.State, err = encodeConfig(at, v.State); err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// lastRevision returns the number of a config's newest revision; false: there is none.
func lastRevision(tx *bbolt.Tx, id string) (uint64, bool) {
	c := tx.Bucket([]byte(bucketRevisions)).Cursor()
	k, _ := c.Seek([]byte(id + "\x01")) // right after all of it
	if k == nil {
		k, _ = c.Last()
	} else {
		k, _ = c.Prev()
	}
	number, ok := bytes.CutPrefix(k, []byte(pair(id, "")))
	if !ok || len(number) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(number), true
}

// forget plans the deletion of a config's history.
func forget(tx *bbolt.Tx, id string) (ops []op) {
	prefix := []byte(pair(id, ""))
	c := tx.Bucket([]byte(bucketRevisions)).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		ops = append(ops, op{bucketRevisions, bytes.Clone(k), nil})
	}
	return ops
}

// Revisions implements [provision.RevisionStore]. Damaged ones are left out; see [DB.Problems].
func (db *DB) Revisions(_ context.Context, id provision.ConfigID) (list []provision.Revision, err error) {
	if err := checkKey(string(id)); err != nil {
		return nil, fmt.Errorf("revisions of config %q: %w", id, provision.ErrNotFound)
	}
	err = db.view(func(tx *bbolt.Tx) error {
		prefix := []byte(pair(string(id), ""))
		c := tx.Bucket([]byte(bucketRevisions)).Cursor()
		for k, value := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, value = c.Next() {
			payload, err := unseal(bucketRevisions, k, value)
			var r provision.Revision
			if err == nil {
				r, err = revisionAt(db.place(bucketRevisions, string(k)), k, payload)
			}
			if err != nil {
				_ = db.damaged(bucketRevisions, string(k), err) // noted there
				continue
			}
			list = append(list, r)
		}
		if len(list) > 0 {
			return nil
		}
		_, err := configTable().find(db, tx, string(id))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("revisions of config %s: %w", id, err)
	}
	slices.Reverse(list)
	return list, nil
}
