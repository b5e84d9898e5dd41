package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

// Report is what [Check] found in a store's file.
type Report struct {
	Path string `json:"path"`
	// InUse says that a process has the file open, so that it was not looked at.
	InUse bool `json:"in_use,omitempty"`
	// Damage is what is wrong with the file as a whole; with any, nobody may open it.
	Damage []string `json:"damage,omitempty"`
	// Flaws are records that would be left out of an otherwise sound file, the first of them; there are Flawed in all.
	Flaws  []Flaw `json:"flaws,omitempty"`
	Flawed int    `json:"flawed"`
	// Remarks are what is odd but hurts nobody.
	Remarks []string `json:"remarks,omitempty"`

	Schema    uint32        `json:"schema"`
	Leases    int           `json:"leases"`
	Events    int           `json:"events"`
	LastEvent uint64        `json:"last_event"`
	Devices   int           `json:"devices"`
	Configs   int           `json:"configs"`
	Size      int64         `json:"size"` // bytes
	Used      int64         `json:"used"` // bytes of pages that are in use
	Free      int64         `json:"free"` // bytes of pages that were in use and aren't any more
	Txid      uint64        `json:"txid"` // of the last transaction
	Epoch     Epoch         `json:"epoch"`
	Keys      []string      `json:"keys,omitempty"` // IDs of those that secrets are sealed with
	Before    *Before       `json:"before,omitempty"`
	Took      time.Duration `json:"took"` // nanoseconds
}

// Flaw is a record that can't be trusted, or that another one contradicts.
type Flaw struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"` // quoted
	Why    string `json:"why"`
}

// Sound reports whether the file may be opened.
func (r Report) Sound() bool { return len(r.Damage) == 0 && !r.InUse }

// Whole reports whether the file is sound and none of its records would be left out.
func (r Report) Whole() bool { return r.Sound() && r.Flawed == 0 }

const maxFlaws = 100 // that are told apart

// Check reads a store's file that no process has open and says what is wrong with it: whether its pages make a tree,
// which records have a wrong checksum or make no sense, whether indices and records agree and whether each client has
// one address in a network. If that finds no damage, bbolt has to agree; as bbolt may panic or be ended by a bus error
// over a damaged file, and the stack overflow of a cyclic one can't be recovered from, Check is for a process of its
// own (see [Opener]). An error says that the file can't be read at all.
func Check(path string) (r Report, err error) {
	r.Path = path
	f, err := os.Open(path) //nolint:gosec // the administrator's or our own
	if err != nil {
		return r, err
	}
	defer f.Close()
	// As bbolt would, but that waits.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		r.InUse = errors.Is(err, syscall.EWOULDBLOCK)
		if r.InUse {
			err = nil
		}
		return r, err
	}
	if r, err = inspect(path); err != nil || !r.Sound() {
		return r, err
	}
	began := time.Now()
	bolt, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		r.Damage = append(r.Damage, "bbolt: "+err.Error())
		return r, nil
	}
	err = bolt.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() { // to the end, or its goroutine stays
			if len(r.Damage) < maxDamage {
				r.Damage = append(r.Damage, "bbolt: "+err.Error())
			}
		}
		return nil
	})
	r.Took += time.Since(began)
	return r, errors.Join(err, bolt.Close())
}

// inspect is Check without bbolt; it is safe in any process.
func inspect(path string) (Report, error) {
	r := Report{Path: path}
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	f, err := os.Open(path) //nolint:gosec // the administrator's or our own
	if err != nil {
		return r, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r, err
	}
	if !info.Mode().IsRegular() {
		return r, fmt.Errorf("%s is not a file", path)
	}
	r.Size = info.Size()
	m, err := openImage(f, r.Size)
	if err != nil {
		r.Damage = []string{err.Error()}
		return r, nil
	}
	if len(m.metas) == 1 {
		r.Remarks = append(r.Remarks, "one of the two meta pages is damaged; the next commit but one writes it anew")
	}
	c := survey(m, &r)
	if !r.Whole() && len(m.metas) == 2 {
		r.Before = before(m, c)
	}
	return r, nil
}

// survey looks at the newest tree.
func survey(m *image, r *Report) *checker {
	c := &checker{
		image: m, report: r, devices: deviceTable(), configs: configTable(), counted: make(books), flawed: make(map[recordKey]bool),
		holders: make(map[tenancy]netip.Addr), more: make(map[tenancy][]netip.Addr),
	}
	seed := maphash.MakeSeed()
	c.hash.SetSeed(seed)
	c.rows = newRowCheck(seed, func(hash *maphash.Hash, id string, payload []byte) (uint64, error) {
		return checkRow(hash, c.devices, id, payload)
	})
	m.records(c.record, func(bucket string, _ bool) { c.buckets = append(c.buckets, bucket) })
	wanted, bad := c.rows.close()
	c.wanted += wanted
	for _, id := range slices.Sorted(maps.Keys(bad)) {
		c.flaw(bucketDevices, id, bad[id])
	}
	// The older meta page of a copy that bbolt made leads to the same tree as the newer one.
	r.Damage, r.Txid, r.Used = m.damage, max(m.metas[0].txid, c.books.txid()), (m.used+2)*m.page
	r.Free = max(0, int64(m.metas[0].high)*m.page-r.Used) //nolint:gosec // a file's size, or there is damage
	c.finish()
	return c
}

// checker looks at each record of a file.
type checker struct {
	image   *image
	report  *Report
	devices table[provision.Device]
	configs table[provision.Config]
	buckets []string
	books   books // as the file has them
	counted books // as they should be
	flawed  map[recordKey]bool
	holders map[tenancy]netip.Addr   // bound addresses
	more    map[tenancy][]netip.Addr // all of those who have several

	// Of all index entries, and of those that there should be, the sums of their hashes: if the two are equal, so are
	// the entries. Only if they aren't, all are gathered.
	hash            maphash.Hash
	indexed, wanted uint64
	rows            *rowCheck
}

// tenancy is a client in a network.
type tenancy struct {
	network network.ID
	hw      hwaddr.Addr
}

// links are index entries and the IDs that they lead to.
type links map[recordKey]string

// link returns the hash of an index entry.
func link(hash *maphash.Hash, bucket, key, id string) uint64 {
	hash.Reset()
	for _, part := range [...]string{bucket, key, id} {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(part))) //nolint:gosec // bbolt's keys end at 32 KiB, IDs earlier
		_, _ = hash.Write(size[:])
		_, _ = hash.WriteString(part)
	}
	return hash.Sum64()
}

func (c *checker) flaw(bucket, key string, why error) {
	c.report.Flawed++
	c.flawed[recordKey{bucket, key}] = true
	if len(c.report.Flaws) < maxFlaws {
		c.report.Flaws = append(c.report.Flaws, Flaw{bucket, fmt.Sprintf("%q", key), why.Error()})
	}
}

func (c *checker) record(bucket string, key, value []byte) {
	if bucket == bucketLeases && len(key) != 4 || bucket == bucketEvents && len(key) != 8 {
		// Whose record this is can't be said, so that one is missing that nobody would miss.
		c.image.complain("bucket %s: a key of %d bytes", bucket, len(key))
		return
	}
	a := c.counted[bucket]
	a.note(value, true)
	c.counted[bucket] = a
	c.sealed(bucket, value)
	payload, err := unseal(bucket, key, value)
	if err == nil {
		err = c.payload(bucket, key, payload)
	}
	if err != nil {
		c.flaw(bucket, string(key), err)
	}
}

func (c *checker) payload(bucket string, key, payload []byte) error {
	switch bucket {
	case bucketMeta:
		switch {
		case string(key) == keySchema && len(payload) == 4:
			c.report.Schema = binary.BigEndian.Uint32(payload)
		case string(key) == keyEpoch:
			return json.Unmarshal(payload, &c.report.Epoch)
		case string(key) == keyBooks:
			return json.Unmarshal(payload, &c.books)
		}
	case bucketLeases:
		c.report.Leases++
		l, err := leaseAt(key, payload)
		if err == nil && l.State == lease.Bound && !l.Client.HW.IsZero() {
			c.hold(tenancy{l.Network, l.Client.HW}, l.Addr)
		}
		return err
	case bucketEvents:
		c.report.Events++
		e, err := eventAt(key, payload)
		c.report.LastEvent = max(c.report.LastEvent, e.Seq)
		return err
	case bucketCursors:
		if len(payload) != 8 {
			return errShort
		}
	case bucketDevices:
		c.report.Devices++
		c.rows.add(string(key), payload)
	case bucketConfigs:
		c.report.Configs++
		wanted, err := checkRow(&c.hash, c.configs, string(key), payload)
		c.wanted += wanted
		return err
	case bucketNetworks:
		_, body, err := splitRev(payload)
		if err == nil {
			_, err = decodeDeclared(body)
		}
		return err
	case bucketRevisions:
		_, err := revisionAt(place{}, key, payload)
		return err
	case bucketGate:
		return checkGate(key, payload)
	case bucketAccess:
		return checkAccess(key, payload)
	case bucketAudit:
		_, err := auditAt(key, payload)
		return err
	default:
		if c.owner(bucket) != "" {
			c.indexed += link(&c.hash, bucket, string(key), string(payload))
		}
	}
	return nil
}

func (c *checker) hold(who tenancy, addr netip.Addr) {
	first, ok := c.holders[who]
	if !ok {
		c.holders[who] = addr
		return
	}
	if len(c.more[who]) == 0 {
		c.more[who] = []netip.Addr{first}
	}
	c.more[who] = append(c.more[who], addr)
}

// owner returns the bucket that an index leads to; empty: it is none.
func (c *checker) owner(index string) string {
	switch {
	case slices.Contains(c.devices.indexes, index):
		return bucketDevices
	case slices.Contains(c.configs.indexes, index):
		return bucketConfigs
	}
	return ""
}

// checkRow returns the sum of the hashes of what a record should be found by.
func checkRow[T any](hash *maphash.Hash, t table[T], id string, payload []byte) (wanted uint64, err error) {
	v, err := t.parse(id, payload)
	if err != nil {
		return 0, err
	}
	for _, r := range t.refs(v) {
		wanted += link(hash, r.bucket, r.key, id)
	}
	return wanted, nil
}

// parse decodes the payload of a record, without its secrets.
func (t table[T]) parse(id string, payload []byte) (v T, err error) {
	rev, body, err := splitRev(payload)
	if err != nil {
		return v, err
	}
	return t.decode(place{}, id, rev, body)
}

// finish compares what the records say of each other.
func (c *checker) finish() {
	r := c.report
	if !r.Sound() {
		return
	}
	if slices.Contains(c.buckets, bucketMeta) {
		switch {
		case r.Schema == 0:
			r.Damage = append(r.Damage, "the record of its schema is damaged")
		case r.Schema == version(migrations()):
			if is, want := c.books.txid(), c.image.metas[0].txid; is != 0 && is < want {
				r.Damage = append(r.Damage, fmt.Sprintf("it should end with transaction %d, but pages are of transaction %d", want, is))
			}
			for _, b := range buckets() {
				if !slices.Contains(c.buckets, b) {
					r.Damage = append(r.Damage, fmt.Sprintf("bucket %s is missing", b))
				}
				c.audit(b)
			}
		}
	} else if len(c.buckets) == 0 && c.image.metas[0].txid > 1 || // what bbolt makes of nothing ends with transaction 1
		slices.ContainsFunc(buckets(), func(b string) bool { return slices.Contains(c.buckets, b) }) { // else it is somebody else's
		r.Damage = append(r.Damage, fmt.Sprintf("bucket %s is missing", bucketMeta))
	}
	if c.indexed != c.wanted || len(c.flawed) > 0 {
		c.compare()
	}
	for k, addrs := range c.more {
		r.Remarks = append(r.Remarks, fmt.Sprintf("client %x has %d leases in network %q: %v", k.hw[:], len(addrs), k.network, addrs))
	}
	slices.Sort(r.Remarks)
}

// compare finds out which indices and records disagree.
func (c *checker) compare() {
	index, wanted := make(links), make(links)
	c.image.records(func(bucket string, key, value []byte) {
		payload, err := unseal(bucket, key, value)
		switch {
		case err != nil:
		case bucket == bucketDevices:
			addRefs(wanted, c.devices, string(key), payload)
		case bucket == bucketConfigs:
			addRefs(wanted, c.configs, string(key), payload)
		case c.owner(bucket) != "":
			index[recordKey{bucket, string(key)}] = string(payload)
		}
	}, nil)
	for k, id := range index {
		if c.flawed[recordKey{c.owner(k.bucket), id}] || c.flawed[k] {
			continue // who asks by it must hear of the damage, and it was told already
		}
		if want, ok := wanted[k]; !ok {
			c.flaw(k.bucket, k.key, fmt.Errorf("it leads to %q, which doesn't say so", id))
		} else if want != id {
			c.flaw(k.bucket, k.key, fmt.Errorf("it leads to %q instead of %q", id, want))
		}
	}
	for k, id := range wanted {
		if _, ok := index[k]; !ok && !c.flawed[k] {
			c.flaw(k.bucket, k.key, fmt.Errorf("%q is not found by it", id))
		}
	}
}

// addRefs adds what a record should be found by, unless it makes no sense.
func addRefs[T any](to links, t table[T], id string, payload []byte) {
	if v, err := t.parse(id, payload); err == nil {
		for _, r := range t.refs(v) {
			to[recordKey{r.bucket, r.key}] = id
		}
	}
}

// audit compares what a bucket has with the books. Where there are damaged records, they explain the sum.
func (c *checker) audit(bucket string) {
	if bucket == bucketMeta {
		return
	}
	is, want, sums := c.counted[bucket], c.books[bucket], true
	for k := range c.flawed {
		sums = sums && k.bucket != bucket
	}
	if is.Records != want.Records || sums && is.Sum != want.Sum {
		c.report.Damage = append(c.report.Damage, fmt.Sprintf(
			"bucket %s has %d records that sum up to %x, and should have %d and %x", bucket, is.Records, is.Sum, want.Records, want.Sum))
	}
}

// Files returns the store's file in a state folder, if there is one, and its snapshots, the newest first.
func Files(dir string) (db string, snapshots []string, err error) {
	path, there, err := found(dir, fileDB)
	if err != nil {
		return "", nil, err
	}
	if there {
		db = path
	}
	for n := 1; n <= maxSnapshots; n++ {
		path, there, err := found(dir, snapshotName(n))
		if err != nil {
			return "", nil, err
		}
		if there {
			snapshots = append(snapshots, path)
		}
	}
	if db == "" && len(snapshots) == 0 {
		return "", nil, fmt.Errorf("%s has no store: %w", dir, provision.ErrNotFound)
	}
	return db, snapshots, nil
}
