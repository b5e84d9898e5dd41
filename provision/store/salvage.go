package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// gains is what was read of a damaged file and is newer than the snapshot.
type gains struct{ leases, events, records, lost int }

func (g gains) String() string {
	return fmt.Sprintf("%d leases, %d events and %d devices, configs and networks were saved from it, and %d could not be fitted in",
		g.leases, g.events, g.records, g.lost)
}

// salvage reads a damaged file into a transaction on what was its snapshot.
type salvage struct {
	tx     *bbolt.Tx
	first  uint64 // the number of the first event that the snapshot lacks
	flawed map[string]bool
	whole  map[string]bool
	rows   map[string]map[string][]byte // the administrator's records and the cursors, by bucket
	got    gains
	err    error
	leases bool // only these and their events are wanted
}

// merge adds to a good snapshot what can be read of the damaged file that was the store, record by record, each with
// its checksum:
//
//   - Leases whose revision is higher. If the tree of the leases is damaged itself, leaves that nothing leads to any
//     more are searched, too; as a lease is never deleted, its highest revision is its last one.
//   - Events after the snapshot's last one.
//   - The devices, configs and networks as they are, if all of them can be read. Otherwise those with a higher revision,
//     or that the snapshot lacks: what was deleted after the snapshot comes back. A record that another one's MAC,
//     serial number or role contradicts gives way to it if that one is newer.
//   - Cursors that are further on.
//   - Revisions of configs that the snapshot lacks.
//
// Of these it takes only leases and events if leases is set.
//
// What is lost is what was written after the snapshot on pages that can't be read any more. No file to read is no error.
func merge(tx *bbolt.Tx, damaged string, leases bool) (gains, error) {
	f, err := os.Open(damaged)
	if errors.Is(err, fs.ErrNotExist) {
		return gains{}, nil
	}
	if err != nil {
		return gains{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return gains{}, err
	}
	s := &salvage{tx: tx, leases: leases, flawed: make(map[string]bool), whole: make(map[string]bool), rows: make(map[string]map[string][]byte)}
	if s.first, err = nextEvent(tx); err != nil {
		return gains{}, err
	}
	m, err := openImage(f, info.Size())
	if err != nil { // both meta pages are gone; leaves may be there
		m = &image{r: f, size: info.Size(), page: int64(os.Getpagesize())}
	} else {
		m.records(s.record, func(bucket string, sound bool) { s.whole[bucket] = sound && !s.flawed[bucket] })
	}
	if leases || !s.whole[bucketLeases] { // a tree that is whole may be stale
		m.strays(bucketLeases, s.lease)
	}
	if leases {
		return s.got, s.err
	}
	s.admin()
	if s.err == nil {
		s.err = s.reindex()
	}
	return s.got, s.err
}

// record takes over a record that the damaged file's tree leads to.
func (s *salvage) record(bucket string, key, value []byte) {
	payload, err := unseal(bucket, key, value)
	if err != nil {
		s.flawed[bucket] = true
		return
	}
	switch {
	case bucket == bucketLeases:
		s.lease(key, payload)
		return
	case bucket == bucketEvents:
		s.event(key, payload)
		return
	case s.leases:
		return
	}
	switch bucket {
	case bucketRevisions, bucketGate, bucketAccess, bucketAudit:
		if _, ok := s.stored(bucket, key); !ok {
			s.put(bucket, bytes.Clone(key), payload)
		}
	case bucketDevices, bucketConfigs, bucketNetworks, bucketCursors:
		if s.rows[bucket] == nil {
			s.rows[bucket] = make(map[string][]byte)
		}
		s.rows[bucket][string(key)] = bytes.Clone(payload)
	}
}

func (s *salvage) put(bucket string, key, payload []byte) {
	if err := put(s.tx, bucket, key, payload); err != nil && s.err == nil {
		s.err = err
	}
}

// stored returns the payload of a record that the transaction has already.
func (s *salvage) stored(bucket string, key []byte) ([]byte, bool) {
	payload, err := unseal(bucket, key, s.tx.Bucket([]byte(bucket)).Get(key))
	return payload, err == nil
}

func (s *salvage) lease(key, payload []byte) {
	l, err := leaseAt(key, payload)
	if err != nil {
		s.flawed[bucketLeases] = true
		return
	}
	if old, ok := s.stored(bucketLeases, key); ok {
		if have, err := leaseAt(key, old); err == nil && have.Rev >= l.Rev {
			return
		}
	}
	s.got.leases++
	s.put(bucketLeases, bytes.Clone(key), payload)
}

// event takes over an event, and the lease that it tells of, whose own record may be gone.
func (s *salvage) event(key, payload []byte) {
	e, err := eventAt(key, payload)
	if err != nil {
		s.flawed[bucketEvents] = true
		return
	}
	if e.Seq < s.first {
		return
	}
	s.got.events++
	s.put(bucketEvents, bytes.Clone(key), payload)
	if body, err := encodeLease(e.Lease); err == nil {
		s.lease(e.Lease.Addr.AsSlice(), body)
	}
}

// admin takes over what people declared, and the cursors.
func (s *salvage) admin() {
	trees := []string{bucketDevices, bucketConfigs, bucketNetworks}
	all := !slices.ContainsFunc(trees, func(b string) bool { return !s.whole[b] })
	if all {
		for _, b := range trees { // what isn't there was deleted
			for _, key := range keys(s.tx, b) {
				if _, ok := s.rows[b][string(key)]; !ok {
					s.got.records++
					s.drop(b, key)
				}
			}
		}
	}
	for _, b := range append(trees, bucketCursors) {
		for key, payload := range s.rows[b] {
			old, ok := s.stored(b, []byte(key))
			switch {
			case ok && bytes.Equal(old, payload), ok && (!all || b == bucketCursors) && !newer(payload, old):
				delete(s.rows[b], key)
				continue
			case b != bucketCursors:
				s.got.records++
			}
			s.put(b, []byte(key), payload)
		}
	}
}

// newer compares what records of people, and cursors, begin with: their revision or number, in the order of bytes.
func newer(a, b []byte) bool {
	return len(a) >= 8 && (len(b) < 8 || bytes.Compare(a[:8], b[:8]) > 0)
}

func (s *salvage) drop(bucket string, key []byte) {
	if err := apply(s.tx, op{bucket, key, nil}); err != nil && s.err == nil {
		s.err = err
	}
}

// reindex makes the indices anew. Records that were saved come first; one that finds what it is found by taken goes.
func (s *salvage) reindex() error {
	lostDevices, err := reindex(s.tx, deviceTable(), s.rows[bucketDevices])
	if err != nil {
		return err
	}
	lostConfigs, err := reindex(s.tx, configTable(), s.rows[bucketConfigs])
	s.got.lost += lostDevices + lostConfigs
	return err
}

func reindex[T any](tx *bbolt.Tx, t table[T], newer map[string][]byte) (lost int, err error) {
	for _, b := range t.indexes {
		for _, key := range keys(tx, b) {
			if err := apply(tx, op{b, key, nil}); err != nil {
				return lost, err
			}
		}
	}
	var ids []string
	for _, id := range keys(tx, t.bucket) {
		if _, ok := newer[string(id)]; !ok {
			ids = append(ids, string(id))
		}
	}
	for _, id := range append(slices.Sorted(maps.Keys(newer)), ids...) {
		payload, err := unseal(t.bucket, []byte(id), tx.Bucket([]byte(t.bucket)).Get([]byte(id)))
		if err != nil {
			continue // it stays as it is: damaged
		}
		v, err := t.parse(id, payload)
		if err != nil {
			continue
		}
		refs := t.refs(v)
		if slices.ContainsFunc(refs, func(r ref) bool { return tx.Bucket([]byte(r.bucket)).Get([]byte(r.key)) != nil }) {
			lost++
			if err := apply(tx, op{t.bucket, []byte(id), nil}); err != nil {
				return lost, err
			}
			continue
		}
		for _, r := range refs {
			if err := put(tx, r.bucket, []byte(r.key), []byte(id)); err != nil {
				return lost, err
			}
		}
	}
	return lost, nil
}

// keys returns all keys of a bucket.
func keys(tx *bbolt.Tx, bucket string) (all [][]byte) {
	c := tx.Bucket([]byte(bucket)).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		all = append(all, bytes.Clone(k))
	}
	return all
}
