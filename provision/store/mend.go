package store

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// mend repairs, in a store that is sound otherwise, the records that the check found flawed and that are known from
// elsewhere: a lease from its last event, or if that is too long ago from a snapshot, since which there was none; one
// whose key alone is damaged from itself; an index from the records. Others stay as they are, out of use, until somebody deletes or overwrites them.
func (db *DB) mend(ctx context.Context, found Report) error {
	if found.Flawed == 0 {
		return nil
	}
	var ops []op
	err := db.transact(func(tx *bbolt.Tx, b books) (bool, error) {
		ops = slices.Concat(db.mendLeases(tx), mendIndex(tx, deviceTable()), mendIndex(tx, configTable()))
		for _, o := range ops {
			if err := b.apply(tx, o); err != nil {
				return false, err
			}
		}
		return len(ops) > 0, nil
	})
	if err != nil && !errors.Is(err, lease.ErrReadOnly) {
		return err
	}
	mended := make(map[recordKey]bool)
	for _, o := range ops {
		mended[recordKey{o.bucket, string(o.key)}] = err == nil
	}
	for _, f := range found.Flaws {
		key, uerr := strconv.Unquote(f.Key)
		switch {
		case mended[recordKey{f.Bucket, key}]:
			db.log.ErrorContext(ctx, "damaged record mended", "bucket", f.Bucket, "key", f.Key, "err", f.Why)
		case uerr == nil:
			_ = db.damaged(f.Bucket, key, errors.New(f.Why))
		}
	}
	return nil
}

func (db *DB) mendLeases(tx *bbolt.Tx) (ops []op) {
	// There is a record for each address that was ever leased. Those whose revision is behind are wanted, and those
	// that can't be read, or are missing because a key is damaged.
	have, damaged := make(map[netip.Addr]uint64), make(map[netip.Addr]bool)
	restore := func(l lease.Lease, value []byte) {
		delete(damaged, l.Addr)
		have[l.Addr] = l.Rev
		ops = append(ops, op{bucketLeases, l.Addr.AsSlice(), value})
	}
	c := tx.Bucket([]byte(bucketLeases)).Cursor()
	for k, value := c.First(); k != nil; k, value = c.Next() {
		payload, err := unseal(bucketLeases, k, value)
		var l lease.Lease
		if err == nil {
			l, err = leaseAt(k, payload)
		}
		if err == nil {
			have[l.Addr] = l.Rev
			continue
		}
		if l, ok := misplaced(value); ok {
			ops = append(ops, op{bucketLeases, bytes.Clone(k), nil})
			restore(l, bytes.Clone(value))
		} else if addr, ok := netip.AddrFromSlice(k); ok && addr.Is4() {
			damaged[addr] = true
		}
	}
	if len(damaged) == 0 {
		return ops
	}
	sure := true // that each address's last event is known
	c = tx.Bucket([]byte(bucketEvents)).Cursor()
	for k, value := c.Last(); k != nil; k, value = c.Prev() {
		payload, err := unseal(bucketEvents, k, value)
		var e lease.Event
		if err == nil {
			e, err = eventAt(k, payload)
		}
		if err != nil {
			sure = false
			continue
		}
		if have[e.Lease.Addr] >= e.Lease.Rev || damaged[e.Lease.Addr] && !sure {
			continue
		}
		if body, err := encodeLease(e.Lease); err == nil {
			restore(e.Lease, seal(bucketLeases, e.Lease.Addr.AsSlice(), body))
		}
	}
	db.oldLeases(func(l lease.Lease, value []byte) {
		if have[l.Addr] < l.Rev && (sure || !damaged[l.Addr]) {
			restore(l, bytes.Clone(value))
		}
	})
	return ops
}

// misplaced returns the lease of a record that is whole but for its key.
func misplaced(value []byte) (lease.Lease, bool) {
	if len(value) < sumSize {
		return lease.Lease{}, false
	}
	l, err := decodeLease(value[sumSize:])
	if err != nil {
		return l, false
	}
	_, err = unseal(bucketLeases, l.Addr.AsSlice(), value)
	return l, err == nil
}

// oldLeases calls f for each lease of the newest snapshot.
func (db *DB) oldLeases(f func(l lease.Lease, value []byte)) {
	file, err := os.Open(filepath.Join(db.dir, snapshotName(1)))
	if err != nil {
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return
	}
	m, err := openImage(file, info.Size())
	if err != nil {
		return
	}
	m.records(func(bucket string, key, value []byte) {
		if bucket != bucketLeases {
			return
		}
		payload, err := unseal(bucket, key, value)
		if err != nil {
			return
		}
		if l, err := leaseAt(key, payload); err == nil {
			f(l, value)
		}
	}, nil)
}

// mendIndex makes the indices of a table agree with its records. What leads to a damaged record is left: who asks by it
// must hear of the damage. So is what leads nowhere while there is a damaged record, for its key may be what is damaged.
func mendIndex[T any](tx *bbolt.Tx, t table[T]) (ops []op) {
	want, there, damaged := make(map[recordKey]string), make(map[string]bool), 0
	for _, id := range keys(tx, t.bucket) {
		payload, err := unseal(t.bucket, id, tx.Bucket([]byte(t.bucket)).Get(id))
		var v T
		if err == nil {
			v, err = t.parse(string(id), payload)
		}
		if err != nil {
			damaged++
			continue
		}
		there[string(id)] = true
		for _, r := range t.refs(v) {
			want[recordKey{r.bucket, r.key}] = string(id)
		}
	}
	for _, b := range t.indexes {
		for _, key := range keys(tx, b) {
			id, err := unseal(b, key, tx.Bucket([]byte(b)).Get(key))
			k := recordKey{b, string(key)}
			switch {
			case err == nil && want[k] == string(id):
				delete(want, k)
			case want[k] != "": // it is overwritten below
			case damaged > 0 && (err != nil || !there[string(id)]):
			default:
				ops = append(ops, op{b, key, nil})
			}
		}
	}
	for k, id := range want {
		ops = append(ops, op{k.bucket, []byte(k.key), seal(k.bucket, []byte(k.key), []byte(id))})
	}
	return ops
}
