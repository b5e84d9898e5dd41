package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// TestCase runs the cases of the conformance list and of the faults that are the store's, by their ids.
func TestCase(t *testing.T) {
	t.Parallel()
	for id, run := range map[string]func(*testing.T){
		"D-DB-01":  killedAtRandom,
		"D-DB-02":  powerCuts,
		"D-DB-03":  groupCommit,
		"D-DB-04":  emptyOrMissing,
		"D-DB-05":  truncated,
		"D-DB-06":  flippedInValue,
		"D-DB-07":  flippedAnywhere,
		"D-DB-08":  cutDuringCreation,
		"D-DB-09":  upgradeInterrupted,
		"D-DB-10":  fieldsOfTomorrow,
		"D-DB-11":  oneUndecodable,
		"D-DB-13":  unknownNetwork,
		"D-DB-14":  startsFast,
		"D-DB-16":  staysSmall,
		"D-DB-17":  secondInstance,
		"F-STO-01": killedAtSyscalls,
		"F-STO-02": powerCuts,
		"F-STO-03": cutDuringCreation,
		"F-STO-04": syncFailsOnce,
		"F-STO-05": syncFailsForGood,
		"F-STO-06": diskFull,
		"F-STO-09": truncated,
		"F-STO-10": zeroedPages,
		"F-STO-11": flippedInValue,
		"F-STO-12": emptyOrMissing,
		"F-STO-13": metaPages,
		"F-STO-14": olderCopy,
		"F-STO-15": secondInstance,
		"F-STO-16": noAccess,
		"F-STO-17": cannotGrow,
		"F-STO-18": longExport,
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}

// leaseVersion names one version of a lease.
type leaseVersion struct {
	addr netip.Addr
	rev  uint64
}

// history is every version that each lease had, and the last ones at the time of the snapshot and in the end.
type history struct {
	dir      string
	versions map[leaseVersion]lease.Lease
	snapshot map[netip.Addr]uint64
	end      map[netip.Addr]uint64
}

// sample makes a closed store with a snapshot after which something was written. Its files are big enough for trees of
// more than one page.
func sample(t *testing.T) history {
	t.Helper()
	h := history{dir: t.TempDir(), versions: make(map[leaseVersion]lease.Lease), end: make(map[netip.Addr]uint64)}
	db := openDB(t, h.dir)
	last := make(map[uint32]lease.Lease)
	round := func(from, to uint32) {
		t.Helper()
		var changes []lease.Change
		for n := from; n < to; n++ {
			l := benchLease(n)
			l.Expiry = l.Expiry.Add(time.Duration(last[n].Rev) * time.Minute)
			kind := lease.KindRenewed
			if last[n].Rev == 0 {
				kind = lease.KindBound
			}
			changes = append(changes, lease.Change{At: l.Start, Kind: kind, Prev: last[n], Next: l})
		}
		for i, e := range must[[]lease.Event](t)(db.CommitLeases(t.Context(), changes...)) {
			last[from+uint32(i)] = e.Lease
			h.versions[leaseVersion{e.Lease.Addr, e.Lease.Rev}] = e.Lease
			h.end[e.Lease.Addr] = e.Lease.Rev
		}
	}
	round(0, 200)
	for n := range 40 {
		id := fmt.Sprintf("phone-%02d", n)
		d := provision.Device{ID: provision.DeviceID(id), HW: benchLease(uint32(n)).Client.HW, Label: strings.Repeat("x", 300)}
		must[provision.Device](t)(db.PutDevice(t.Context(), d))
	}
	must[uint64](t)(db.SaveDeclared(t.Context(), declared(), 0))
	must[Report](t)(db.Snapshot(t.Context()))
	h.snapshot = maps.Clone(h.end)
	round(100, 300)
	if err := db.DeleteDevice(t.Context(), "phone-39", 0); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

// copy returns the state folder in a new place, with the store's file changed.
func (h history) copy(t *testing.T, change func([]byte) []byte) string {
	t.Helper()
	dir := memDir(t)
	if err := os.CopyFS(dir, os.DirFS(h.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, fileKey), 0o600); err != nil { // CopyFS doesn't keep modes
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileDB)
	b := must[[]byte](t)(os.ReadFile(path))
	write(t, path, string(change(b)))
	return dir
}

// memDir is a folder for one test, in memory if there is such a place: who looks at hundreds of files that nobody kills
// needn't wait for a disk.
func memDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dialtone-test-") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// outcome is how the opening of a damaged store ended.
type outcome struct {
	restored bool
	complete bool // nothing that was acknowledged is missing
	log      string
}

// opens checks that a damaged store can be opened and serves no lease that there never was, none older than the
// snapshot's, and that it can be written to.
func (h history) opens(t *testing.T, dir string, child ...string) (o outcome) {
	t.Helper()
	var log bytes.Buffer
	db, err := Opener{Dir: dir, Child: child, Log: slog.New(slog.NewTextHandler(&log, nil))}.Open(t.Context())
	o.log = log.String()
	if err != nil {
		t.Errorf("open: %v", err)
		return o
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	o.restored = !db.Restored().IsZero()
	got := make(map[netip.Addr]uint64)
	extra := benchLease(1000)
	var last lease.Lease
	for l, err := range db.LoadLeases(t.Context()) {
		if l.Addr == extra.Addr {
			last = l
			continue
		}
		if err != nil {
			got[l.Addr] = h.end[l.Addr] // noticed, and not served
			continue
		}
		got[l.Addr] = l.Rev
		if diff := cmp.Diff(h.versions[leaseVersion{l.Addr, l.Rev}], l, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("a lease that never was (-want +got):\n%s", diff)
		}
	}
	for addr, rev := range h.snapshot {
		if got[addr] < rev {
			t.Errorf("lease %s: got revision %d, the snapshot has %d", addr, got[addr], rev)
		}
	}
	o.complete = maps.Equal(got, h.end)
	if !o.restored && !o.complete {
		for addr, rev := range h.end {
			if got[addr] != rev {
				t.Errorf("lease %s: got revision %d instead of %d, but nothing was said", addr, got[addr], rev)
			}
		}
		for addr := range got {
			if h.end[addr] == 0 {
				t.Errorf("lease %s: got one that never was", addr)
			}
		}
	}
	if _, err := db.Devices(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Prev: last, Next: extra}); err != nil {
		t.Errorf("commit to what was restored: %v", err)
	}
	return o
}

// self is this test binary as the checking child.
func self(t *testing.T) []string {
	t.Helper()
	return []string{must[string](t)(os.Executable()), checkVerb}
}

func truncated(t *testing.T) {
	h := sample(t)
	length := int(size(t, filepath.Join(h.dir, fileDB)))
	rnd := rand.New(rand.NewPCG(1, 2))
	lost := 0
	for i := range 60 {
		n := 1 + rnd.IntN(length-1)
		dir := h.copy(t, func(b []byte) []byte { return b[:n] })
		var child []string
		if i%6 == 0 {
			child = self(t)
		}
		o := h.opens(t, dir, child...)
		if !o.complete {
			lost++
		}
		if o.restored {
			kept := must[[]string](t)(filepath.Glob(filepath.Join(dir, fileDB+".damaged-*")))
			if len(kept) != 1 || size(t, kept[0]) != int64(n) || !strings.Contains(o.log, filepath.Base(kept[0])) {
				t.Errorf("cut off at %d: kept %v, want the damaged file; log:\n%s", n, kept, o.log)
			}
			if again := h.opens(t, dir); !again.restored || strings.Contains(again.log, "damaged") {
				t.Errorf("the second start: restored %v, log:\n%s", again.restored, again.log)
			}
		}
	}
	t.Logf("%d of 60 lost what came after the snapshot", lost)
}

// zeroedPages: each page in turn. What was acknowledged after the snapshot is found even so, unless it was on that
// page.
func zeroedPages(t *testing.T) {
	h := sample(t)
	page := os.Getpagesize()
	pages := int(size(t, filepath.Join(h.dir, fileDB))) / page
	restored, complete := 0, 0
	for n := range pages {
		dir := h.copy(t, func(b []byte) []byte {
			clear(b[n*page : (n+1)*page])
			return b
		})
		o := h.opens(t, dir)
		if o.restored {
			restored++
			if o.complete {
				complete++
			}
		}
	}
	if restored == 0 || complete == 0 {
		t.Errorf("%d pages: restored %d times, complete %d times; want some of both", pages, restored, complete)
	}
	t.Logf("%d pages: restored %d times, complete %d times", pages, restored, complete)
}

// flippedAnywhere flips bits wherever they come to lie. Nothing wrong is ever served.
func flippedAnywhere(t *testing.T) {
	h := sample(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	restored := 0
	for i := range 300 {
		dir := h.copy(t, func(b []byte) []byte {
			for range 1 + i%8 {
				b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
			}
			return b
		})
		var child []string
		if i%30 == 0 {
			child = self(t)
		}
		o := h.opens(t, dir, child...)
		if o.restored {
			restored++
		}
		if t.Failed() {
			t.Log(o.log)
		}
		if t.Failed() {
			t.Fatalf("round %d, in %s", i, dir)
		}
	}
	if restored == 0 {
		t.Error("no flip was ever seen in a page")
	}
}

// flippedInValue: one lease, in its record; the outbox knows it, so that it is mended. Where the outbox doesn't, it is
// left out and all others are served.
func flippedInValue(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		h := sample(t)
		key := benchLease(150).Addr.AsSlice()
		edit(t, filepath.Join(h.dir, fileDB), func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketLeases))
			v := bytes.Clone(b.Get(key))
			v[len(v)/2] ^= 1
			if forgotten {
				if err := tx.DeleteBucket([]byte(bucketEvents)); err != nil {
					return err
				}
				if _, err := tx.CreateBucket([]byte(bucketEvents)); err != nil {
					return err
				}
			}
			return b.Put(key, v)
		})
		if forgotten {
			for n := range maxSnapshots {
				if err := os.RemoveAll(filepath.Join(h.dir, snapshotName(n+1))); err != nil {
					t.Fatal(err)
				}
			}
		}
		var log bytes.Buffer
		db, err := Opener{Dir: h.dir, Child: self(t), Log: slog.New(slog.NewTextHandler(&log, nil))}.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		got, damaged := 0, 0
		for l, err := range db.LoadLeases(t.Context()) {
			switch {
			case err == nil:
				got++
				if l.Rev != h.end[l.Addr] || l.Client.HW != h.versions[leaseVersion{l.Addr, l.Rev}].Client.HW {
					t.Errorf("got %v, which never was", l)
				}
			case errors.Is(err, ErrDamaged) && bytes.Equal(l.Addr.AsSlice(), key):
				damaged++
			default:
				t.Errorf("got error %v", err)
			}
		}
		if want := 300 - damaged; got != want || (damaged == 1) != forgotten || len(db.Problems()) != damaged {
			t.Errorf("outbox empty %t: got %d leases and %d damaged, problems %v", forgotten, got, damaged, db.Problems())
		}
		if word := map[bool]string{false: "mended", true: "left out"}[forgotten]; !strings.Contains(log.String(), word) {
			t.Errorf("the log doesn't say %q:\n%s", word, log.String())
		}
	}
}

func emptyOrMissing(t *testing.T) {
	h := sample(t)
	for name, lose := range map[string]func(string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		for _, marked := range []bool{true, false} {
			dir := h.copy(t, func(b []byte) []byte { return b })
			if err := lose(filepath.Join(dir, fileDB)); err != nil {
				t.Fatal(err)
			}
			if !marked {
				if err := os.Remove(filepath.Join(dir, fileMarker)); err != nil {
					t.Fatal(err)
				}
			}
			if o := h.opens(t, dir); !o.restored || !strings.Contains(o.log, "was restored from") {
				t.Errorf("%s: restored %t, log:\n%s", name, o.restored, o.log)
			}
		}
		// Nothing to restore it from.
		dir := h.copy(t, func(b []byte) []byte { return b })
		if err := errors.Join(lose(filepath.Join(dir, fileDB)), os.Truncate(filepath.Join(dir, snapshotName(1)), 5000)); err != nil {
			t.Fatal(err)
		}
		fails(t, dir, fileDB, snapshotName(1), fileMarker, "restore", "begin anew")
	}
}

// metaPages: with one of the two, the store is opened and a remark is made; with none it is restored.
func metaPages(t *testing.T) {
	h := sample(t)
	page := os.Getpagesize()
	spoil := func(pages ...int) string {
		return h.copy(t, func(b []byte) []byte {
			for _, n := range pages {
				clear(b[n*page+16 : n*page+80])
			}
			return b
		})
	}
	for _, n := range []int{0, 1} {
		dir := spoil(n)
		r := must[Report](t)(CheckBy(t.Context(), self(t), filepath.Join(dir, fileDB)))
		if !r.Sound() || len(r.Remarks) != 1 {
			t.Errorf("meta page %d: got %+v, want a remark", n, r)
		}
		// The other one may be of the transaction before: then the store is as it was before that.
		db := must[*DB](t)(Open(dir, slog.New(slog.DiscardHandler)))
		if got := len(loadAll(t, db)); got != 300 {
			t.Errorf("meta page %d: got %d leases, want 300", n, got)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if o := h.opens(t, spoil(0, 1), self(t)...); !o.restored || !o.complete {
		t.Errorf("both meta pages: restored %t, complete %t; want all leases, for their pages are whole", o.restored, o.complete)
	}
}

// olderCopy: a copy of an earlier time is noticed, whatever happened in between.
func olderCopy(t *testing.T) {
	for name, c := range map[string]struct {
		later func(dir string) error
		older bool
	}{
		"the same again":           {func(string) error { return nil }, false},
		"one start later":          {func(dir string) error { return runOnce(dir, 0) }, true},
		"several starts later":     {func(dir string) error { return errors.Join(runOnce(dir, 0), runOnce(dir, 3)) }, true},
		"without its epoch's file": {func(dir string) error { return os.Remove(filepath.Join(dir, fileEpoch)) }, true},
	} {
		dir := t.TempDir()
		fill(t, dir)
		if err := runOnce(dir, 0); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fileDB)
		old := must[[]byte](t)(os.ReadFile(path))
		if err := c.later(dir); err != nil {
			t.Fatal(err)
		}
		write(t, path, string(old))
		db := openDB(t, dir)
		if got := !db.Restored().IsZero(); got != c.older {
			t.Errorf("%s: taken for an older copy: got %t, want %t", name, got, c.older)
		}
		if problems := db.Problems(); (len(problems) == 1) != c.older {
			t.Errorf("%s: got problems %v", name, problems)
		}
		since := db.Restored()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		// It is remembered, but not said again.
		db = openDB(t, dir)
		if !db.Restored().Equal(since) || len(db.Problems()) != 0 {
			t.Errorf("%s, next start: got %v and problems %v, want %v and none", name, db.Restored(), db.Problems(), since)
		}
	}
	// A copy of the middle of one run, put back after it.
	dir := t.TempDir()
	db := openDB(t, dir)
	copied := filepath.Join(t.TempDir(), "copy")
	must[Report](t)(db.copyTo(t.Context(), copied))
	if _, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(1)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), os.Rename(copied, filepath.Join(dir, fileDB))); err != nil {
		t.Fatal(err)
	}
	if db := openDB(t, dir); db.Restored().IsZero() {
		t.Error("a copy of the middle of the last run was not noticed")
	}
}

// runOnce is one run of the store in which so many leases are written.
func runOnce(dir string, leases uint32) error {
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for n := range leases {
		if _, err := db.CommitLeases(context.Background(), lease.Change{Kind: lease.KindBound, Next: benchLease(50 + n)}); err != nil {
			return err
		}
	}
	return db.Close()
}
