package store

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/network"
	"github.com/dialtone-project/dialtone/provision"
)

var update = flag.Bool("update", false, "write the golden store of the present schema anew")

// golden returns the stores of all schemas, the present one last.
func golden() []string {
	return []string{"testdata/schema1.db.gz", "testdata/schema2.db.gz", "testdata/schema3.db.gz", "testdata/schema4.db.gz", "testdata/schema5.db.gz", "testdata/schema6.db.gz"}
}

// content is what the golden store holds: a record of each kind, with each field set.
type content struct {
	Leases   []lease.Lease
	Events   []lease.Event
	Cursor   uint64
	Devices  []provision.Device
	Configs  []provision.Config
	Declared network.Declared
	Rev      uint64
}

func goldenContent(t *testing.T) content {
	t.Helper()
	l, d, c, n := benchLease(7), provision.Device{}, provision.Config{}, declared()
	populate(t, &l.Client)
	populate(t, &d)
	populate(t, &c)
	l.Boot, l.LastBoot = 1772352007, 1772352000
	l.Rev, d.Rev, c.Rev, d.Override, d.Options, c.Params = 1, 1, 1, manyParams(), manyParams(), manyParams()
	d.Created = l.Start
	prev := lease.Event{Seq: 1, At: l.Start, Kind: lease.KindBound, Lease: l}
	l.Rev, l.State = 2, lease.Released
	return content{
		Leases: []lease.Lease{l},
		Events: []lease.Event{prev, {Seq: 2, At: l.Expiry, Kind: lease.KindReleased, Lease: l, Prev: prev.Lease}},
		Cursor: 2, Devices: []provision.Device{d}, Configs: []provision.Config{c}, Declared: n, Rev: 1,
	}
}

func saveContent(t *testing.T, db *DB, c content) {
	t.Helper()
	for _, e := range c.Events {
		if _, err := db.CommitLeases(t.Context(), lease.Change{At: e.At, Kind: e.Kind, Prev: e.Prev, Next: e.Lease}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.SaveCursor(t.Context(), "hook", c.Cursor); err != nil {
		t.Fatal(err)
	}
	d, cfg := c.Devices[0], c.Configs[0]
	d.Rev, cfg.Rev = 0, 0
	if _, err := db.AddDevice(t.Context(), d, cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SaveDeclared(t.Context(), c.Declared, 0); err != nil {
		t.Fatal(err)
	}
}

func loadContent(t *testing.T, db *DB) (c content) {
	t.Helper()
	c.Leases = loadAll(t, db)
	for e, err := range db.Events(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		c.Events = append(c.Events, e)
	}
	var errs [4]error
	c.Cursor, errs[0] = db.LoadCursor(t.Context(), "hook")
	c.Devices, errs[1] = db.Devices(t.Context())
	c.Configs, errs[2] = db.Configs(t.Context())
	c.Declared, c.Rev, errs[3] = db.LoadDeclared(t.Context())
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return c
}

func sameContent(t *testing.T, got, want content) {
	t.Helper()
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
}

// elder takes away what came without a change of layout: a golden store of that layout may say nothing of it.
func elder(c content) content {
	for i := range c.Leases {
		c.Leases[i].Client.Relay, c.Leases[i].Boot, c.Leases[i].LastBoot = netip.Addr{}, 0, 0
	}
	for i := range c.Events {
		for _, l := range []*lease.Lease{&c.Events[i].Lease, &c.Events[i].Prev} {
			l.Boot, l.LastBoot = 0, 0
		}
		c.Events[i].Lease.Client.Relay, c.Events[i].Prev.Client.Relay = netip.Addr{}, netip.Addr{}
	}
	for i := range c.Devices {
		d := &c.Devices[i]
		d.State, d.Remote, d.Static, d.Port, d.Network = "", false, false, "", ""
	}
	for i := range c.Declared.Networks {
		n := &c.Declared.Networks[i]
		n.Provisioning, n.ShortenAt, n.NoAutoconfigure = network.Provisioning{}, 0, false
	}
	return c
}

// TestGolden reads the stores that each released layout wrote. They must be readable forever: a change of layout adds a
// migration and a golden store, and leaves these.
func TestGolden(t *testing.T) {
	if *update {
		dir := t.TempDir()
		db := openDB(t, dir)
		saveContent(t, db, goldenContent(t))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		write(t, golden()[len(golden())-1]+".key", string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileKey)))))
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileDB)))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, golden()[len(golden())-1], packed.String())
	}
	if got, want := len(golden()), len(migrations()); got != want {
		t.Errorf("golden stores: got %d, want one for each of %d schemas", got, want)
	}
	for i, name := range golden() {
		dir := t.TempDir()
		r := must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(must[[]byte](t)(os.ReadFile(name)))))
		before := string(must[[]byte](t)(io.ReadAll(r)))
		write(t, filepath.Join(dir, fileDB), before)
		if key, err := os.ReadFile(name + ".key"); err == nil { // since schema 6
			write(t, filepath.Join(dir, fileKey), string(key))
		}
		db := openDB(t, dir)
		sameContent(t, elder(loadContent(t, db)), elder(goldenContent(t)))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if r := must[Report](t)(inspect(filepath.Join(dir, fileDB))); !r.Whole() || int(r.Schema) != len(migrations()) {
			t.Errorf("%s, migrated: got %+v", name, r)
		}
		keptBefore(t, dir, i+1, before)
	}
}

// keptBefore sees that a store of an earlier schema was kept as it was, and that one of the present schema wasn't.
func keptBefore(t *testing.T, dir string, schema int, before string) {
	t.Helper()
	kept := must[[]string](t)(filepath.Glob(filepath.Join(dir, fileDB+".schema*")))
	if schema == len(migrations()) {
		if len(kept) > 0 {
			t.Errorf("nothing was migrated, and %v is kept", kept)
		}
		return
	}
	want := filepath.Join(dir, fileDB+".schema"+strconv.Itoa(schema))
	if isOpen([]byte(before)) {
		want += sealedSuffix
	}
	if len(kept) != 1 || kept[0] != want {
		t.Fatalf("kept are %v, want %s", kept, want)
	}
	if strings.HasSuffix(want, sealedSuffix) {
		plain := filepath.Join(t.TempDir(), "plain")
		if err := Unseal(dir, want, plain); err != nil {
			t.Fatal(err)
		}
		kept[0] = plain
	}
	if string(must[[]byte](t)(os.ReadFile(kept[0]))) != before {
		t.Errorf("%s isn't what the store was", kept[0])
	}
	if r := must[Report](t)(inspect(kept[0])); int(r.Schema) != schema || !r.Sound() {
		t.Errorf("%s: got %+v", kept[0], r)
	}
	// Who goes back to the former version puts it in place; going forward once more loses nothing.
	write(t, filepath.Join(dir, fileDB), before)
	db := openDB(t, dir)
	sameContent(t, elder(loadContent(t, db)), elder(goldenContent(t)))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// Without room for the copy nothing is migrated, and the store stays as it is.
func TestMigrateWithoutCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(must[[]byte](t)(os.ReadFile(golden()[0])))))
	before := string(must[[]byte](t)(io.ReadAll(r)))
	write(t, filepath.Join(dir, fileDB), before)
	if err := os.Mkdir(filepath.Join(dir, fileDB+".schema1.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "before it is migrated") {
		t.Errorf("opened: %v", err)
	}
	if after := string(must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileDB)))); after != before {
		t.Error("the store was touched")
	}
}

func TestContentSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openDB(t, dir)
	want := goldenContent(t)
	saveContent(t, db, want)
	sameContent(t, loadContent(t, db), want)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	sameContent(t, loadContent(t, openDB(t, dir)), want)
}

// upgradeInterrupted: a migration that breaks off leaves the old schema, one that ends leaves the new one.
func upgradeInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	bolt, err := bbolt.Open(path, 0o600, options())
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	var ran []int
	step := func(n int, result error) migration {
		return func(tx *bbolt.Tx) error {
			ran = append(ran, n)
			if err := tx.Bucket([]byte(bucketMeta)).Put([]byte("step"), []byte{byte(n)}); err != nil {
				return err
			}
			return result
		}
	}
	state := func() (schema uint32, last byte) {
		t.Helper()
		err := bolt.View(func(tx *bbolt.Tx) (err error) {
			schema, err = readSchema(tx)
			if v := tx.Bucket([]byte(bucketMeta)).Get([]byte("step")); v != nil {
				last = v[0]
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return schema, last
	}
	one := createBuckets
	if _, err := migrate(bolt, []migration{one}); err != nil {
		t.Fatal(err)
	}

	broken := errors.New("broken")
	if _, err := migrate(bolt, []migration{one, step(2, nil), step(3, broken)}); !errors.Is(err, broken) {
		t.Errorf("migrate with a broken step: got error %v, want %v", err, broken)
	}
	if schema, last := state(); schema != 1 || last != 0 {
		t.Errorf("after a broken step: got schema %d and the work of step %d, want 1 and 0", schema, last)
	}

	ran = nil
	from, err := migrate(bolt, []migration{one, step(2, nil), step(3, nil)})
	if err != nil || from != 1 {
		t.Errorf("migrate: got %d, error %v; want 1", from, err)
	}
	if diff := cmp.Diff([]int{2, 3}, ran); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if schema, last := state(); schema != 3 || last != 3 {
		t.Errorf("after migrating: got schema %d and the work of step %d, want 3 and 3", schema, last)
	}
	ran = nil
	if from, err := migrate(bolt, []migration{one, step(2, nil), step(3, nil)}); err != nil || from != 3 || len(ran) != 0 {
		t.Errorf("migrate again: got %d, error %v, steps %v; want 3 and none", from, err, ran)
	}
}

func TestOpenNewer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir)
	path := filepath.Join(dir, fileDB)
	edit(t, path, func(tx *bbolt.Tx) error {
		v := seal(bucketMeta, []byte(keySchema), binary.BigEndian.AppendUint32(nil, 99))
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keySchema), v)
	})
	fails(t, dir, path, "newer version", "99", "backup")
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keySchema), []byte{0, 0, 0, 0, 0, 0, 0, 1})
	})
	fails(t, dir, path, "damaged")
}

func TestOpenIncomplete(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir)
	edit(t, filepath.Join(dir, fileDB), func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte(bucketEvents)) })
	fails(t, dir, fileDB, bucketEvents, "backup")
}
