package store

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/access"
)

const planted = "s3cr3t-number-"

// vault is one of each that has secrets.
type vault struct {
	device  provision.Device
	configs []provision.Config
	user    access.User
}

// plant fills a store with secrets.
func plant(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	lines := func(s string) provision.Params {
		return provision.Params{
			"ntp_server": "192.0.2.1",
			"sip_lines":  map[string]any{"1": map[string]any{"username": "11", "password": provision.Secret(planted + s)}},
			"list":       []any{map[string]any{"k": provision.Secret(planted + "list")}},
		}
	}
	for _, id := range []provision.ConfigID{"a", "b"} {
		c := must[provision.Config](t)(db.PutConfig(ctx, provision.Config{ID: id, Params: lines(string(id))}))
		c.Params = lines(string(id) + "2") // the former one is in its history
		must[provision.Config](t)(db.PutConfig(ctx, c))
	}
	must[provision.Device](t)(db.PutDevice(ctx, provision.Device{
		ID: "0004f2aabbcc", HW: hwaddr.Addr{0, 4, 0xf2, 0xaa, 0xbb, 0xcc}, Config: "a",
		Override: provision.Params{"admin_password": provision.Secret(planted + "device")},
	}))
	note, _ := access.WithNote(ctx, access.Socket(), "test")
	must[access.User](t)(db.PutUser(note, access.User{Name: "desk", Role: access.Owner, TOTP: []byte(planted + "totp")}))
}

func unlock(t *testing.T, db *DB) (v vault) {
	t.Helper()
	ctx := t.Context()
	v.device = must[provision.Device](t)(db.Device(ctx, "0004f2aabbcc"))
	v.configs = must[[]provision.Config](t)(db.Configs(ctx))
	for _, r := range must[[]provision.Revision](t)(db.Revisions(ctx, "a")) {
		v.configs = append(v.configs, r.State)
	}
	v.user = must[access.User](t)(db.User(ctx, "desk"))
	return v
}

func sameVault(t *testing.T, got, want vault) {
	t.Helper()
	opts := cmp.AllowUnexported(vault{})
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("what is stored (-want +got):\n%s", diff)
	}
	if s := got.device.Override["admin_password"]; s != provision.Secret(planted+"device") {
		t.Errorf("the device's password isn't what was planted")
	}
}

// nowhere sees that no file of a folder has any of some words in it.
func nowhere(t *testing.T, dir string, words ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, w := range words {
			if bytes.Contains(b, []byte(w)) {
				t.Errorf("%s has %q in it", path, w)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// private sees that nobody but its owner may use what is in a state folder.
func private(t *testing.T, dir string) {
	t.Helper()
	entries := must[[]os.DirEntry](t)(os.ReadDir(dir))
	for _, e := range entries {
		if info := must[fs.FileInfo](t)(e.Info()); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", e.Name(), info.Mode())
		}
	}
}

// Neither the store nor its snapshots have a secret in them, and who reads through it gets them.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log bytes.Buffer
	db := must[*DB](t)(Opener{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}.Open(t.Context()))
	plant(t, db)
	must[Report](t)(db.Snapshot(t.Context()))
	want := unlock(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	nowhere(t, dir, planted, "czNjcjN0LW51bWJlci", "s3cr3t")
	if strings.Contains(log.String(), "s3cr3t") {
		t.Errorf("the log has a secret: %s", &log)
	}
	for _, name := range []string{fileDB, snapshotName(1)} {
		if r := must[Report](t)(inspect(filepath.Join(dir, name))); !r.Whole() { // the check has no key
			t.Errorf("%s: %+v", name, r)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, fileKey)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: mode %v, error %v", info.Mode(), err)
	}
	sameVault(t, unlock(t, openDB(t, dir)), want)
}

// A write that changes nothing is none, though each ciphertext is another one.
func TestSealedWritesOfTheSame(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	plant(t, db)
	v := unlock(t, db)
	before := db.Writes()
	for _, c := range v.configs[:2] {
		if again := must[provision.Config](t)(db.PutConfig(t.Context(), c)); again.Rev != c.Rev {
			t.Errorf("config %s: got rev %d, want %d", c.ID, again.Rev, c.Rev)
		}
	}
	must[provision.Device](t)(db.PutDevice(t.Context(), v.device))
	if db.Writes() != before {
		t.Errorf("got %d writes, want none", db.Writes()-before)
	}
	v.device.Override = provision.Params{"admin_password": provision.Secret("another")}
	if d := must[provision.Device](t)(db.PutDevice(t.Context(), v.device)); d.Rev != v.device.Rev+1 {
		t.Errorf("another secret: got rev %d, want %d", d.Rev, v.device.Rev+1)
	}
}

// What was sealed opens at its place and nowhere else, and not if any bit of it is another one.
func TestSealOpen(t *testing.T) {
	t.Parallel()
	keys := &ring{[]sealKey{must[sealKey](t)(randomSealKey()), must[sealKey](t)(randomSealKey())}}
	rapid.Check(t, func(t *rapid.T) {
		at := place{keys, rapid.SampledFrom(sealedBuckets()).Draw(t, "bucket"), rapid.String().Draw(t, "key")}
		path, plain := rapid.String().Draw(t, "path"), rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed := at.seal(path, plain)
		if got, err := at.open(path, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("open: got %q, error %v; want %q", got, err, plain)
		}
		if got, err := (place{}).open(path, sealed); err != nil || got != nil {
			t.Fatalf("without a key: got %q, error %v; want nothing", got, err)
		}
		for name, at := range map[string]place{
			"bucket": {keys, at.bucket + "x", at.key}, "key": {keys, at.bucket, at.key + "x"},
			"shifted": {keys, at.bucket + at.key, ""}, "ring": {&ring{keys.keys[1:]}, at.bucket, at.key},
		} {
			if name == "shifted" && at.key == "" && at.bucket == "" {
				continue
			}
			if got, err := at.open(path, sealed); err == nil && (name != "shifted" || len(at.key) > 0) {
				t.Fatalf("another %s: got %q, want an error", name, got)
			}
		}
		if _, err := at.open(path+"x", sealed); err == nil {
			t.Fatal("it opens at another path")
		}
		b := []byte(sealed)
		i := rapid.IntRange(0, len(b)-1).Draw(t, "byte")
		b[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if got, err := at.open(path, string(b)); err == nil {
			t.Fatalf("byte %d altered: got %q, want an error", i, got)
		}
	})
}

// tamper changes the payload of a record in a store that is closed, with a checksum that fits.
func tamper(t *testing.T, dir, bucket, key string, change func(payload []byte, tx *bbolt.Tx) []byte) {
	t.Helper()
	bolt := must[*bbolt.DB](t)(bbolt.Open(filepath.Join(dir, fileDB), 0o600, options()))
	err := bolt.Update(func(tx *bbolt.Tx) error {
		payload := must[[]byte](t)(unseal(bucket, []byte(key), tx.Bucket([]byte(bucket)).Get([]byte(key))))
		if err := put(tx, bucket, []byte(key), change(bytes.Clone(payload), tx)); err != nil {
			return err
		}
		b := make(books)
		for _, name := range buckets() {
			var a account
			if err := tx.Bucket([]byte(name)).ForEach(func(_, v []byte) error { a.note(v, true); return nil }); err != nil {
				return err
			}
			b[name] = a
		}
		return b.keep(tx)
	})
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
}

// A ciphertext that was altered, or brought from another record, is damage, and nothing of the record is served.
func TestTamperedSecret(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte, *bbolt.Tx) []byte{
		"altered": func(b []byte, _ *bbolt.Tx) []byte {
			i := bytes.Index(b, []byte(`"$sealed":"`)) + 60
			b[i] = map[bool]byte{true: 'B', false: 'A'}[b[i] == 'A']
			return b
		},
		"of another config": func(b []byte, tx *bbolt.Tx) []byte {
			other, err := unseal(bucketConfigs, []byte("a"), tx.Bucket([]byte(bucketConfigs)).Get([]byte("a")))
			if err != nil {
				t.Error(err)
			}
			return append(b[:8:8], other[8:]...)
		},
		"of its own history": func(b []byte, tx *bbolt.Tx) []byte {
			key := revisionKey("b", 2)
			r, err := unseal(bucketRevisions, key, tx.Bucket([]byte(bucketRevisions)).Get(key))
			i, j := bytes.Index(r, []byte(`"state":`)), bytes.LastIndex(r, []byte(`}`))
			if err != nil || i < 0 {
				t.Errorf("revision %q: %v", r, err)
				return b
			}
			return append(b[:8:8], r[i+len(`"state":`):j]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := openDB(t, dir)
			plant(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			tamper(t, dir, bucketConfigs, "b", change)
			db = openDB(t, dir)
			if c, err := db.Config(t.Context(), "b"); !errors.Is(err, ErrDamaged) || len(c.Params) > 0 || strings.Contains(err.Error(), planted) {
				t.Errorf("got %v, error %v; want ErrDamaged", c, err)
			}
			if !slices.ContainsFunc(db.Problems(), func(p Problem) bool { return p.Bucket == bucketConfigs && p.Key == "b" }) {
				t.Errorf("it isn't among the problems: %v", db.Problems())
			}
			must[provision.Config](t)(db.Config(t.Context(), "a"))
		})
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	key := func(dir string) string { return filepath.Join(dir, fileKey) }
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string) error
		want  string
	}{
		"missing":  {func(_ *testing.T, dir string) error { return os.Remove(key(dir)) }, "is missing: "},
		"readable": {func(_ *testing.T, dir string) error { return os.Chmod(key(dir), 0o640) }, "chmod 600 "},
		"empty":    {func(_ *testing.T, dir string) error { return os.Truncate(key(dir), 0) }, "put it back from a backup"},
		"altered": {func(t *testing.T, dir string) error {
			b := must[[]byte](t)(os.ReadFile(key(dir)))
			b[len(b)-10] ^= 2
			return os.WriteFile(key(dir), b, 0o600)
		}, "put it back from a backup"},
		"another": {func(t *testing.T, dir string) error {
			return writeKeys(dir, &ring{[]sealKey{must[sealKey](t)(randomSealKey())}})
		}, "is another one's: "},
		"a folder": {func(_ *testing.T, dir string) error {
			return errors.Join(os.Remove(key(dir)), os.Mkdir(key(dir), 0o700))
		}, "is not a file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			db := openDB(t, dir)
			plant(t, db)
			want := unlock(t, db)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			good := must[[]byte](t)(os.ReadFile(key(dir)))
			if err := c.spoil(t, dir); err != nil {
				t.Fatal(err)
			}
			if db, err := Open(dir, slog.New(slog.DiscardHandler)); err == nil {
				t.Fatalf("it was opened: %v", db.Close())
			} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), key(dir)) || strings.Contains(err.Error(), string(good[len(good)-40:])) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
			if err := os.RemoveAll(key(dir)); err != nil {
				t.Fatal(err)
			}
			write(t, key(dir), string(good))
			sameVault(t, unlock(t, openDB(t, dir)), want)
		})
	}
}

// A key that no secret needs may go.
func TestKeyFileWithoutSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := openDB(t, dir)
	must[provision.Config](t)(db.PutConfig(t.Context(), provision.Config{ID: "c", Label: `"$sealed":"x:`}))
	old := db.ring.Load().first().id
	if err := errors.Join(db.Close(), os.Remove(filepath.Join(dir, fileKey))); err != nil {
		t.Fatal(err)
	}
	if now := openDB(t, dir).ring.Load().first().id; now == old {
		t.Error("the key is the one that was removed")
	}
}

// A rotation may be cut off after any step: all secrets can be read, the next start finishes it, and then nothing is left
// that the old key opens.
func TestRotationCutOff(t *testing.T) {
	t.Parallel()
	for cut := range 6 {
		dir := t.TempDir()
		db := openDB(t, dir)
		plant(t, db)
		must[Report](t)(db.Snapshot(t.Context()))
		must[Report](t)(db.Snapshot(t.Context()))
		want, old := unlock(t, db), db.ring.Load().first()
		var out Rotation
		steps := db.rotation(&out)
		if len(steps) != 5 {
			t.Fatalf("%d steps", len(steps))
		}
		for _, step := range steps[:cut] {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameVault(t, unlock(t, db), want)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openDB(t, dir)
		sameVault(t, unlock(t, db), want)
		keys, _, err := readKeys(dir)
		if err != nil || len(keys.keys) != 1 {
			t.Fatalf("after %d steps: key file %v, error %v; want one key", cut, keys, err)
		}
		if rotated := keys.first().id != old.id; rotated != (cut > 0) {
			t.Errorf("after %d steps: rotated %v", cut, rotated)
		}
		if cut > 0 {
			nowhere(t, dir, old.id+":")
		}
		if got := must[Report](t)(db.Snapshot(t.Context())); !got.Whole() {
			t.Errorf("after %d steps: %+v", cut, got)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if _, scrub, err := func() (string, bool, error) { db := openDB(t, dir); return db.keyState() }(); err != nil || scrub {
			t.Errorf("after %d steps: scrub %v, error %v", cut, scrub, err)
		}
	}
}

// A key file that doesn't fit a store is found out without opening it.
func TestCheckKeys(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), t.TempDir()
	db := openDB(t, dir)
	plant(t, db)
	if err := errors.Join(db.Close(), openDB(t, other).Close()); err != nil {
		t.Fatal(err)
	}
	r := must[Report](t)(inspect(filepath.Join(dir, fileDB)))
	if err := r.CheckKeys(dir); err != nil || len(r.Keys) != 1 {
		t.Errorf("its own key file: %v, keys %v", err, r.Keys)
	}
	for _, dir := range []string{other, t.TempDir()} {
		if err := r.CheckKeys(dir); err == nil || !strings.Contains(err.Error(), r.Keys[0]) {
			t.Errorf("of another store, or none: got error %v, want one with %s", err, r.Keys[0])
		}
	}
}

func TestRotateKey(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	plant(t, db)
	want := unlock(t, db)
	release := db.HoldKey()
	if _, err := db.RotateKey(t.Context()); !errors.Is(err, provision.ErrConflict) {
		t.Errorf("during a backup: got error %v, want ErrConflict", err)
	}
	release()
	// A write that was prepared before the rotation is sealed with the new key.
	late := want.device
	late.Label = "late"
	e := must[entry[provision.Device]](t)(deviceTable().entry(db, string(late.ID), late.Rev, late))
	r := must[Rotation](t)(db.RotateKey(t.Context()))
	if n := must[Rotation](t)(db.SealedRecords(t.Context())); r.Records != n.Records || n.Old != r.New || r.Records == 0 {
		t.Errorf("got %+v and then %+v", r, n)
	}
	if err := db.do(t.Context(), func(tx *bbolt.Tx) ([]op, error) {
		ops, _, err := deviceTable().put(db, tx, e)
		return ops, err
	}); err != nil {
		t.Fatal(err)
	}
	want.device.Label, want.device.Rev = "late", want.device.Rev+1
	sameVault(t, unlock(t, db), want)
	if err := db.view(func(tx *bbolt.Tx) error {
		if v := tx.Bucket([]byte(bucketDevices)).Get([]byte(late.ID)); !keyIDs(v)[r.New] || keyIDs(v)[r.Old] {
			t.Errorf("the late write is sealed with %v, want %s", keyIDs(v), r.New)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A store of an earlier version has its secrets sealed on opening, and nothing in the clear stays: not in free pages, not in
// snapshots.
func TestEarlierStoreIsSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	z := must[*gzip.Reader](t)(gzip.NewReader(bytes.NewReader(must[[]byte](t)(os.ReadFile("testdata/schema5.db.gz")))))
	image := string(must[[]byte](t)(io.ReadAll(z)))
	if !strings.Contains(image, "s3cr3t") {
		t.Fatal("there is no secret to seal")
	}
	for _, name := range []string{fileDB, snapshotName(1), snapshotName(2), fileDB + ".damaged-20260101T000000.000Z"} {
		write(t, filepath.Join(dir, name), image)
	}
	write(t, filepath.Join(dir, fileDB+".damaged-20260102T000000.000Z"), "nothing secret in it")
	db := openDB(t, dir)
	sameContent(t, elder(loadContent(t, db)), elder(goldenContent(t)))
	kept := must[[]string](t)(db.copies())
	want := []string{fileDB + ".schema5.sealed", fileDB + ".damaged-20260101T000000.000Z.sealed", fileDB + ".damaged-20260102T000000.000Z"}
	for i, path := range kept {
		kept[i] = filepath.Base(path)
	}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("copies (-want +got):\n%s", diff)
	}
	private(t, dir)
	nowhere(t, dir, "s3cr3t")
	if _, snapshots, err := Files(dir); err != nil || len(snapshots) != 1 {
		t.Errorf("snapshots %v, error %v; want a new one", snapshots, err)
	}
}
