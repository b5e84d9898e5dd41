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
// elsewhere: a lease from its last event, or if that is too long ago from a snapshot, since which there was none; an
// index from the records. Others stay as they are, out of use, until somebody deletes or overwrites them.
func (db *DB) mend(ctx context.Context, found Report) error {
	if found.Flawed == 0 {
		return nil
	}
	var ops []op
	err := db.transact(func(tx *bbolt.Tx) (bool, error) {
		ops = slices.Concat(db.mendLeases(tx), mendIndex(tx, deviceTable()), mendIndex(tx, configTable()))
		for _, o := range ops {
			if err := apply(tx, o); err != nil {
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
	damaged := make(map[netip.Addr]bool)
	c := tx.Bucket([]byte(bucketLeases)).Cursor()
	for k, value := c.First(); k != nil; k, value = c.Next() {
		payload, err := unseal(bucketLeases, k, value)
		if err == nil {
			_, err = leaseAt(k, payload)
		}
		if addr, ok := netip.AddrFromSlice(k); err != nil && ok && addr.Is4() {
			damaged[addr] = true
		}
	}
	c = tx.Bucket([]byte(bucketEvents)).Cursor()
	for k, value := c.Last(); k != nil && len(damaged) > 0; k, value = c.Prev() {
		payload, err := unseal(bucketEvents, k, value)
		if err != nil {
			return ops // it may be the last one of any address: what is older proves nothing
		}
		e, err := eventAt(k, payload)
		if err != nil {
			return ops
		}
		if !damaged[e.Lease.Addr] {
			continue
		}
		delete(damaged, e.Lease.Addr)
		if body, err := encodeLease(e.Lease); err == nil {
			key := e.Lease.Addr.AsSlice()
			ops = append(ops, op{bucketLeases, key, seal(bucketLeases, key, body)})
		}
	}
	for key, payload := range db.oldLeases(damaged) {
		ops = append(ops, op{bucketLeases, []byte(key), seal(bucketLeases, []byte(key), payload)})
	}
	return ops
}

// oldLeases returns the records of leases, by key, from the newest snapshot that has them.
func (db *DB) oldLeases(wanted map[netip.Addr]bool) map[string][]byte {
	out := make(map[string][]byte)
	for n := 1; n <= maxSnapshots && len(out) < len(wanted); n++ {
		f, err := os.Open(filepath.Join(db.dir, snapshotName(n)))
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil {
			if m, err := openImage(f, info.Size()); err == nil {
				m.records(func(bucket string, key, value []byte) {
					addr, _ := netip.AddrFromSlice(key)
					payload, err := unseal(bucket, key, value)
					if _, have := out[string(key)]; err == nil && bucket == bucketLeases && wanted[addr] && !have {
						out[string(key)] = bytes.Clone(payload)
					}
				}, nil)
			}
		}
		_ = f.Close()
	}
	return out
}

// mendIndex makes the indices of a table agree with its records. What leads to a damaged record is left: who asks by it
// must hear of the damage.
func mendIndex[T any](tx *bbolt.Tx, t table[T]) (ops []op) {
	want, damaged := make(map[recordKey]string), make(map[string]bool)
	for _, id := range keys(tx, t.bucket) {
		payload, err := unseal(t.bucket, id, tx.Bucket([]byte(t.bucket)).Get(id))
		var v T
		if err == nil {
			v, err = t.parse(string(id), payload)
		}
		if err != nil {
			damaged[string(id)] = true
			continue
		}
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
			case err == nil && damaged[string(id)] || err != nil && want[k] == "" && len(damaged) > 0:
			case want[k] == "":
				ops = append(ops, op{b, key, nil})
			}
		}
	}
	for k, id := range want {
		ops = append(ops, op{k.bucket, []byte(k.key), seal(k.bucket, []byte(k.key), []byte(id))})
	}
	return ops
}
