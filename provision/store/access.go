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
	"github.com/dialtone-project/dialtone/provision/access"
)

var (
	_ access.Store      = (*DB)(nil)
	_ access.AuditStore = (*DB)(nil)
)

// The kinds of records in the bucket access: their keys begin so.
const (
	accessUser  = "user"
	accessToken = "token"
	accessSum   = "sum" // of a token's secret; leads to its ID
)

type (
	userRecord struct {
		Role     access.Role `json:"role"`
		Password string      `json:"password"`
		OpenTOTP []byte      `json:"totp,omitempty"` // before schema 6
		TOTP     *sealedText `json:"totp_seed,omitempty"`
		TOTPStep int64       `json:"totp_step,omitempty"`
		Disabled bool        `json:"disabled,omitempty"`
		Created  time.Time   `json:"created"`
		Changed  time.Time   `json:"changed"`
	}
	tokenRecord struct {
		User    string         `json:"user"`
		Name    string         `json:"name"`
		Sum     []byte         `json:"sum"`
		Scopes  []access.Scope `json:"scopes"`
		Created time.Time      `json:"created"`
		Expiry  time.Time      `json:"expiry,omitzero"`
		Used    time.Time      `json:"used,omitzero"`
	}
)

// keyOpenTOTP is what a user's record had the seed of the second factor under in the clear.
const keyOpenTOTP = "totp"

// sealedText is a secret in a record that isn't parameters, in the same form.
type sealedText struct {
	Sealed string `json:"$sealed"`
}

func recordOf(at place, u access.User) userRecord {
	r := userRecord{
		Role: u.Role, Password: string(u.Password), TOTPStep: u.TOTPStep, Disabled: u.Disabled, Created: u.Created.UTC(), Changed: u.Changed.UTC(),
	}
	if len(u.TOTP) > 0 {
		r.TOTP = &sealedText{at.seal(keyOpenTOTP, u.TOTP)}
	}
	return r
}

func userOf(at place, name string, rev uint64, body []byte) (access.User, error) {
	var r userRecord
	if err := json.Unmarshal(body, &r); err != nil {
		return access.User{}, err
	}
	seed := r.OpenTOTP
	if r.TOTP != nil {
		var err error
		if seed, err = at.open(keyOpenTOTP, r.TOTP.Sealed); err != nil {
			return access.User{}, fmt.Errorf("second factor: %w", err)
		}
	}
	return access.User{
		Name: name, Rev: rev, Role: r.Role, Password: access.Hash(r.Password), TOTP: seed, TOTPStep: r.TOTPStep, Disabled: r.Disabled,
		Created: r.Created, Changed: r.Changed,
	}, nil
}

func tokenOf(_ place, id string, rev uint64, body []byte) (access.Token, error) {
	var r tokenRecord
	if err := json.Unmarshal(body, &r); err != nil {
		return access.Token{}, err
	}
	if len(r.Sum) != 32 {
		return access.Token{}, errShort
	}
	return access.Token{
		ID: id, Rev: rev, User: r.User, Name: r.Name, Sum: [32]byte(r.Sum), Scopes: r.Scopes, Created: r.Created, Expiry: r.Expiry, Used: r.Used,
	}, nil
}

// resealedUser is resealed for a record of the bucket access: only users' have secrets.
func resealedUser(at place, payload []byte) ([]byte, error) {
	rev, body, err := splitRev(payload)
	if err != nil {
		return nil, err
	}
	u, err := userOf(at, strings.TrimPrefix(at.key, pair(accessUser, "")), rev, body)
	if err != nil {
		return nil, err
	}
	if body, err = json.Marshal(recordOf(at, u)); err != nil { //nolint:gosec // the password's hash
		return nil, err
	}
	return withRev(rev, body), nil
}

// checkAccess sees whether a record of the bucket can be read.
func checkAccess(key, payload []byte) error {
	kind, id, _ := strings.Cut(string(key), "\x00")
	if kind == accessSum {
		if len(id) != 32 || len(payload) == 0 {
			return errShort
		}
		return nil
	}
	rev, body, err := splitRev(payload)
	if err != nil {
		return err
	}
	switch kind {
	case accessUser:
		_, err = userOf(place{}, id, rev, body)
	case accessToken:
		_, err = tokenOf(place{}, id, rev, body)
	default:
		err = fmt.Errorf("a record of kind %q", kind)
	}
	return err
}

// Users implements [access.Store]. Damaged ones are left out; see [DB.Problems].
func (db *DB) Users(context.Context) ([]access.User, error) {
	return accessRecords(db, accessUser, userOf)
}

// Tokens implements [access.Store]. Damaged ones are left out; see [DB.Problems].
func (db *DB) Tokens(context.Context) ([]access.Token, error) {
	return accessRecords(db, accessToken, tokenOf)
}

// User implements [access.Store].
func (db *DB) User(_ context.Context, name string) (access.User, error) {
	return accessRecord(db, accessUser, name, userOf)
}

// TokenBySum implements [access.Store].
func (db *DB) TokenBySum(_ context.Context, sum [32]byte) (t access.Token, err error) {
	var id string
	err = db.view(func(tx *bbolt.Tx) error {
		payload, ok, err := db.get(tx, bucketAccess, []byte(pair(accessSum, string(sum[:]))))
		if err == nil && !ok {
			return access.ErrNotFound
		}
		id = string(payload)
		return err
	})
	if err != nil {
		return t, err
	}
	return accessRecord(db, accessToken, id, tokenOf)
}

// PutUser implements [access.Store].
func (db *DB) PutUser(ctx context.Context, u access.User) (access.User, error) {
	rev, err := db.putAccess(ctx, accessUser, u.Name, u.Rev, func(at place) any { return recordOf(at, u) })
	if err != nil {
		return access.User{}, fmt.Errorf("put user %s: %w", u.Name, err)
	}
	u.Rev = rev
	return u, nil
}

// PutToken implements [access.Store].
func (db *DB) PutToken(ctx context.Context, t access.Token) (access.Token, error) {
	sum := []byte(pair(accessSum, string(t.Sum[:])))
	rev, err := db.putAccess(ctx, accessToken, t.ID, t.Rev, func(place) any {
		return tokenRecord{t.User, t.Name, t.Sum[:], t.Scopes, t.Created.UTC(), t.Expiry.UTC(), t.Used.UTC()}
	}, op{bucketAccess, sum, seal(bucketAccess, sum, []byte(t.ID))})
	if err != nil {
		return access.Token{}, fmt.Errorf("put token %s: %w", t.ID, err)
	}
	t.Rev = rev
	return t, nil
}

// DeleteUser implements [access.Store].
func (db *DB) DeleteUser(ctx context.Context, name string) error {
	err := db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
		key := []byte(pair(accessUser, name))
		if tx.Bucket([]byte(bucketAccess)).Get(key) == nil {
			return nil, access.ErrNotFound
		}
		ops := []op{{bucketAccess, key, nil}}
		tokens, err := accessRecordsIn(db, tx, accessToken, tokenOf)
		for _, t := range tokens {
			if t.User == name {
				ops = append(ops, dropToken(t)...)
			}
		}
		return ops, err
	})
	if err != nil {
		return fmt.Errorf("delete user %s: %w", name, err)
	}
	return nil
}

// DeleteToken implements [access.Store].
func (db *DB) DeleteToken(ctx context.Context, id string) error {
	err := db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
		t, err := accessRecordIn(db, tx, accessToken, id, tokenOf)
		if err != nil {
			return nil, err
		}
		return dropToken(t), nil
	})
	if err != nil {
		return fmt.Errorf("delete token %s: %w", id, err)
	}
	return nil
}

func dropToken(t access.Token) []op {
	return []op{{bucketAccess, []byte(pair(accessToken, t.ID)), nil}, {bucketAccess, []byte(pair(accessSum, string(t.Sum[:]))), nil}}
}

// putAccess writes a record whose revision still matches, with what goes with it.
func (db *DB) putAccess(ctx context.Context, kind, id string, rev uint64, record func(place) any, more ...op) (uint64, error) {
	if err := checkKey(id); err != nil {
		return 0, err
	}
	key := []byte(pair(kind, id))
	next := rev + 1
	err := db.do(ctx, func(tx *bbolt.Tx) ([]op, error) {
		var now uint64
		payload, ok, err := db.get(tx, bucketAccess, key)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
		if ok {
			if now, _, err = splitRev(payload); err != nil {
				return nil, db.damaged(bucketAccess, string(key), err)
			}
		}
		if now != rev {
			return nil, access.ErrConflict
		}
		body, err := json.Marshal(record(db.place(bucketAccess, string(key))))
		if err != nil {
			return nil, err
		}
		return append([]op{{bucketAccess, key, seal(bucketAccess, key, withRev(next, body))}}, more...), nil
	})
	return next, err
}

func accessRecord[T any](db *DB, kind, id string, decode func(place, string, uint64, []byte) (T, error)) (v T, err error) {
	err = db.view(func(tx *bbolt.Tx) (err error) {
		v, err = accessRecordIn(db, tx, kind, id, decode)
		return err
	})
	return v, err
}

func accessRecordIn[T any](db *DB, tx *bbolt.Tx, kind, id string, decode func(place, string, uint64, []byte) (T, error)) (v T, err error) {
	key := pair(kind, id)
	payload, ok, err := db.get(tx, bucketAccess, []byte(key))
	if err != nil {
		return v, err
	}
	if !ok {
		return v, access.ErrNotFound
	}
	rev, body, err := splitRev(payload)
	if err == nil {
		v, err = decode(db.place(bucketAccess, key), id, rev, body)
	}
	if err != nil {
		return v, db.damaged(bucketAccess, key, err)
	}
	return v, nil
}

func accessRecords[T any](db *DB, kind string, decode func(place, string, uint64, []byte) (T, error)) (all []T, err error) {
	err = db.view(func(tx *bbolt.Tx) (err error) {
		all, err = accessRecordsIn(db, tx, kind, decode)
		return err
	})
	return all, err
}

func accessRecordsIn[T any](db *DB, tx *bbolt.Tx, kind string, decode func(place, string, uint64, []byte) (T, error)) (all []T, err error) {
	prefix := []byte(pair(kind, ""))
	c := tx.Bucket([]byte(bucketAccess)).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		v, err := accessRecordIn(db, tx, kind, string(k[len(prefix):]), decode)
		if errors.Is(err, ErrDamaged) {
			continue // noted there
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// maxAudit is how many entries the audit keeps; the oldest go first.
const maxAudit = 50_000

type auditRecord struct {
	access.Entry
	Sum []byte `json:"sum"`
}

func auditAt(key, payload []byte) (access.Entry, error) {
	var r auditRecord
	if err := json.Unmarshal(payload, &r); err != nil {
		return access.Entry{}, err
	}
	if len(r.Sum) != 32 || len(key) != 8 || r.Seq != binary.BigEndian.Uint64(key) {
		return access.Entry{}, errShort
	}
	r.Entry.Sum = [32]byte(r.Sum)
	return r.Entry, nil
}

// audited returns a plan that writes the note's entry with the first of the plans that changes something, and then sets
// noted.
func (db *DB) audited(n *access.Note, noted *bool, plan func(*bbolt.Tx) ([]op, error)) func(*bbolt.Tx) ([]op, error) {
	return func(tx *bbolt.Tx) ([]op, error) {
		ops, err := plan(tx)
		if err != nil || len(ops) == 0 {
			return ops, err
		}
		e, ok := n.Take()
		if !ok {
			return ops, nil
		}
		*noted = true
		more, err := db.entryOps(tx, e)
		if err != nil {
			return nil, err
		}
		return append(slices.Clip(ops), more...), nil
	}
}

// entryOps numbers an entry, chains it to the last one and lets the oldest go.
func (db *DB) entryOps(tx *bbolt.Tx, e access.Entry) ([]op, error) {
	var prev [32]byte
	e.Seq, e.At = 1, time.Now().UTC()
	c := tx.Bucket([]byte(bucketAudit)).Cursor()
	if k, value := c.Last(); k != nil {
		payload, err := unseal(bucketAudit, k, value)
		var last access.Entry
		if err == nil {
			last, err = auditAt(k, payload)
		}
		if err != nil { // the chain begins anew after a record that nobody can read, and shows it
			_ = db.damaged(bucketAudit, string(k), err)
			last.Seq = binary.BigEndian.Uint64(k)
		}
		e.Seq, prev = last.Seq+1, last.Sum
	}
	e.Sum = e.Chain(prev)
	payload, err := json.Marshal(auditRecord{Entry: e, Sum: e.Sum[:]})
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	key := binary.BigEndian.AppendUint64(nil, e.Seq)
	ops := []op{{bucketAudit, key, seal(bucketAudit, key, payload)}}
	if k, _ := c.First(); k != nil && e.Seq-binary.BigEndian.Uint64(k) >= maxAudit {
		ops = append(ops, op{bucketAudit, bytes.Clone(k), nil})
	}
	return ops, nil
}

// Append implements [access.AuditStore].
func (db *DB) Append(ctx context.Context, e access.Entry) error {
	ctx = access.WithoutNote(context.WithoutCancel(ctx)) // both would take the same number
	err := db.do(ctx, func(tx *bbolt.Tx) ([]op, error) { return db.entryOps(tx, e) })
	if err != nil {
		return fmt.Errorf("write the audit: %w", err)
	}
	return nil
}

// Audit implements [access.AuditStore]. Damaged entries are left out; see [DB.Problems].
func (db *DB) Audit(_ context.Context, before uint64, n int) (list []access.Entry, err error) {
	if n <= 0 {
		return nil, fmt.Errorf("read the audit: %d entries: %w", n, provision.ErrInvalid)
	}
	err = db.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketAudit)).Cursor()
		k, value := c.Last()
		if before > 0 {
			if at, _ := c.Seek(binary.BigEndian.AppendUint64(nil, before)); at != nil {
				k, value = c.Prev()
			} else {
				k, value = c.Last()
			}
		}
		for ; k != nil && len(list) < n; k, value = c.Prev() {
			payload, err := unseal(bucketAudit, k, value)
			var e access.Entry
			if err == nil {
				e, err = auditAt(k, payload)
			}
			if err != nil {
				_ = db.damaged(bucketAudit, string(k), err)
				continue
			}
			list = append(list, e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	return list, nil
}
