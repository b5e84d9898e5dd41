package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// lastOf is a store in the midst of its life: what its files hold, and the pages that only the last transaction wrote.
type lastOf struct {
	file, epoch []byte
	own         []uint64
	last        lease.Lease // of the last transaction
	before      []byte      // the file before it
}

// midLife takes the files of a store that runs; its last transaction is acknowledged, but the epoch's file doesn't know.
func midLife(t *testing.T) (l lastOf) {
	t.Helper()
	dir := t.TempDir()
	db := openDB(t, dir)
	must[provision.Device](t)(db.PutDevice(t.Context(), provision.Device{ID: "phone", HW: benchLease(7).Client.HW}))
	prev := make(map[uint32]lease.Lease)
	for i := range uint32(40) {
		l.before = must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileDB)))
		n := i % 25
		events := must[[]lease.Event](t)(db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindRenewed, Prev: prev[n], Next: benchLease(n)}))
		prev[n], l.last = events[0].Lease, events[0].Lease
	}
	l.file = must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileDB)))
	l.epoch = must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileEpoch)))
	m := must[*image](t)(openImage(bytes.NewReader(l.file), int64(len(l.file))))
	older := *m
	older.metas = m.metas[1:]
	m.records(func(string, []byte, []byte) {}, nil)
	older.records(func(string, []byte, []byte) {}, nil)
	for _, id := range m.asked {
		if !older.has(id) {
			l.own = append(l.own, id)
		}
	}
	if len(l.own) < 4 { // a root, and a leaf each of leases, events and meta
		t.Fatalf("pages of the last transaction: got %v", l.own)
	}
	return l
}

// elsewhere says in an epoch's file that it was written before the system was started anew.
func elsewhere(t *testing.T, epoch []byte) []byte {
	t.Helper()
	var e Epoch
	if err := json.Unmarshal(epoch, &e); err != nil {
		t.Fatal(err)
	}
	if e.Boot == "" {
		t.Fatal("the epoch's file doesn't say in which run of the kernel it was written")
	}
	e.Boot = "another"
	return must[[]byte](t)(json.Marshal(e))
}

// put makes a state folder of it, as it is when the machine has been started anew, or only the process.
func (l lastOf) put(t *testing.T, dir string, file []byte, rebooted bool) {
	t.Helper()
	epoch := l.epoch
	if rebooted {
		epoch = elsewhere(t, epoch)
	}
	write(t, filepath.Join(dir, fileDB), string(file))
	write(t, filepath.Join(dir, fileEpoch), string(epoch))
	write(t, filepath.Join(dir, fileMarker), markerText)
}

// Damage to pages of a transaction that was acknowledged a moment ago isn't taken for a commit that was cut off: the lease
// is there, or it is said that it may not be.
func TestLastTransactionDamaged(t *testing.T) {
	t.Parallel()
	l := midLife(t)
	page := os.Getpagesize()
	rnd := rand.New(rand.NewPCG(9, 10))
	dir := memDir(t)
	for _, rebooted := range []bool{false, true} {
		restored, undone := 0, 0
		const rounds = 400
		for range rounds {
			b := bytes.Clone(l.file)
			at := int(l.own[rnd.IntN(len(l.own))])*page + rnd.IntN(page)
			b[at] ^= 1 << rnd.IntN(8)
			l.put(t, dir, b, rebooted)
			var log bytes.Buffer
			db := must[*DB](t)(Open(dir, slog.New(slog.NewTextHandler(&log, nil))))
			there := false
			for have, err := range db.LoadLeases(t.Context()) {
				there = there || err == nil && have.Addr == l.last.Addr && have.Rev >= l.last.Rev
			}
			switch {
			case !db.Restored().IsZero():
				restored++
			case rebooted && strings.Contains(log.String(), "undone"): // a number of a page looks like any other
				undone++
			case !there:
				t.Errorf("rebooted %t, byte %d of page %d: the last lease is gone, and nothing is said", rebooted, at%page, at/page)
			}
			if !there && undone == 0 {
				t.Errorf("rebooted %t, byte %d of page %d: the last lease is gone", rebooted, at%page, at/page)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if restored == 0 || undone > rounds/40 {
			t.Errorf("rebooted %t: of %d, %d restored, and %d taken for a commit that was cut off", rebooted, rounds, restored, undone)
		}
		t.Logf("rebooted %t: of %d, %d restored, and %d taken for a commit that was cut off", rebooted, rounds, restored, undone)
	}
}

// A page that the disk never took, of the pages of the last transaction: after a power failure that is undone. If the
// kernel is the same one, or knows that the disk had it, it was something else.
func TestLastTransactionCutOff(t *testing.T) {
	t.Parallel()
	l := midLife(t)
	page := os.Getpagesize()
	for i, id := range l.own {
		b := bytes.Clone(l.file)
		from, to := int(id)*page, (int(id)+1)*page
		if bytes.Equal(b[from:to], l.before[from:to]) {
			continue // it was the same the last time
		}
		copy(b[from:to], l.before[from:to])
		for _, c := range []struct {
			name     string
			rebooted bool
			known    bool
			want     Remedy
		}{
			{"power failure", true, false, RemedyUndo},
			{"same kernel", false, false, RemedyStepBack},
			{"known to be on the disk", true, true, RemedyRestore},
		} {
			dir := memDir(t)
			l.put(t, dir, b, c.rebooted)
			r := must[Report](t)(CheckBy(t.Context(), self(t), filepath.Join(dir, fileDB)))
			if c.known {
				var e Epoch
				if err := json.Unmarshal(elsewhere(t, l.epoch), &e); err != nil {
					t.Fatal(err)
				}
				e.Txid = r.Txid
				write(t, filepath.Join(dir, fileEpoch), string(must[[]byte](t)(json.Marshal(e))))
			}
			if got := must[Remedy](t)(r.Remedy(dir)); got != c.want || r.Sound() {
				t.Errorf("page %d, %s: got remedy %q of %+v, want %q", i, c.name, got, r, c.want)
			}
			var log bytes.Buffer
			db, err := Opener{Dir: dir, Child: self(t), Log: slog.New(slog.NewTextHandler(&log, nil))}.Open(t.Context())
			if err != nil {
				t.Errorf("page %d, %s: %v", i, c.name, err)
				continue
			}
			if got := db.Restored().IsZero(); got != (c.want == RemedyUndo) || got != strings.Contains(log.String(), "cut off") {
				t.Errorf("page %d, %s: restored: got %t; log:\n%s", i, c.name, !got, log.String())
			}
			if got := len(loadAll(t, db)); got != 25 {
				t.Errorf("page %d, %s: got %d leases, want 25", i, c.name, got)
			}
			must[provision.Device](t)(db.PutDevice(t.Context(), provision.Device{ID: "other", HW: benchLease(8).Client.HW}))
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if r := must[Report](t)(CheckBy(t.Context(), self(t), filepath.Join(dir, fileDB))); !r.Whole() || r.Devices != 2 {
				t.Errorf("page %d, %s: afterwards: got %+v", i, c.name, r)
			}
		}
	}
}

// The two meta pages of a copy that bbolt made lead to the same tree, and the newer one may be in either place. The first
// commit to it can be cut off as any.
func TestCutOffAfterCopy(t *testing.T) {
	t.Parallel()
	for extra := range uint32(2) {
		dir := t.TempDir()
		fill(t, dir)
		if err := runOnce(dir, 3+extra); err != nil {
			t.Fatal(err)
		}
		db := openDB(t, dir)
		db.breakDown(errors.New("commit: input/output error"))
		if err := db.reopen(t.Context()); err != nil { // it has written all of the file anew
			t.Fatal(err)
		}
		if err := db.keepEpoch(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, fileDB)
		before := must[[]byte](t)(os.ReadFile(path))
		must[[]lease.Event](t)(db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(90)}))
		after := must[[]byte](t)(os.ReadFile(path))
		epoch := must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileEpoch)))
		// The meta page reached the disk, and nothing else did.
		copy(after[2*os.Getpagesize():], before[2*os.Getpagesize():])
		l := lastOf{epoch: epoch}
		again := t.TempDir()
		l.put(t, again, after, true)
		var log bytes.Buffer
		db = must[*DB](t)(Open(again, slog.New(slog.NewTextHandler(&log, nil))))
		if got := len(loadAll(t, db)); got != 4+int(extra) || !db.Restored().IsZero() || !strings.Contains(log.String(), "undone") {
			t.Errorf("got %d leases, restored %v; log:\n%s", got, db.Restored(), log.String())
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if db := openDB(t, again); !db.Restored().IsZero() {
			t.Error("the next start takes the store for an older copy")
		}
	}
}

// The first commit to a store that was put there from a backup can be cut off, too; there are no snapshots then.
func TestCutOffAfterBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir)
	path := filepath.Join(dir, fileDB)
	before := must[[]byte](t)(os.ReadFile(path))
	if err := MarkRestored(dir, must[Report](t)(inspect(path))); err != nil {
		t.Fatal(err)
	}
	l := lastOf{epoch: must[[]byte](t)(os.ReadFile(filepath.Join(dir, fileEpoch)))}
	db := openDB(t, dir)
	after := must[[]byte](t)(os.ReadFile(path))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	copy(after[2*os.Getpagesize():], before[2*os.Getpagesize():])
	l.put(t, dir, after, false)
	if db := openDB(t, dir); len(loadAll(t, db)) != 1 || db.Restored().IsZero() {
		t.Errorf("got leases %v, restored %v; want one and that it is restored", loadAll(t, db), db.Restored())
	}
}

// A kernel that couldn't write pages may forget them and read the old ones again. The failed commit is undone then.
func TestSyncFailsAndPagesAreDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir)
	db := openDB(t, dir)
	path := filepath.Join(dir, fileDB)
	before := must[[]byte](t)(os.ReadFile(path))
	synced := db.synced.Load()
	must[[]lease.Event](t)(db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(2)}))
	db.synced.Store(synced)
	db.breakDown(errors.New("commit: fdatasync: input/output error"))
	f := must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0))
	defer f.Close()
	if _, err := f.WriteAt(before[2*os.Getpagesize():], int64(2*os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	if err := db.reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(loadAll(t, db)); got != 1 {
		t.Errorf("got %d leases, want the one that was acknowledged", got)
	}
	must[[]lease.Event](t)(db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(3)}))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db := openDB(t, dir); len(loadAll(t, db)) != 2 || !db.Restored().IsZero() {
		t.Error("after a restart the store has lost leases or is taken for an older copy")
	}
}

// A sync that fails in the kernel: what it was for isn't acknowledged, and neither is anything after it.
func TestSyncFailsInKernel(t *testing.T) {
	t.Parallel()
	strace := needStrace(t)
	for n := 3; n < 12; n += 2 {
		dir := t.TempDir()
		fill(t, dir)
		cmd := child(t, "commit-some", dir)
		traced := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
			"-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", n), cmd.Path)
		traced.Dir, traced.Env = cmd.Dir, append(cmd.Env, "GOMAXPROCS=1")
		out, err := traced.Output()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		last := lines[len(lines)-1]
		if err == nil || !strings.HasPrefix(last, "error: ") || !strings.Contains(last, "fdatasync") {
			t.Errorf("sync %d fails: got error %v and %q last", n, err, last)
		}
		acked := make(map[string]uint64)
		for _, line := range lines[:len(lines)-1] {
			var addr string
			var rev uint64
			if _, err := fmt.Sscanf(line, "%s %d", &addr, &rev); err != nil {
				t.Fatalf("after sync %d: %s", n, line)
			}
			acked[addr] = rev
		}
		checkKilled(t, dir, acked)
		// The lease that there was, those acknowledged, and the one whose sync failed: it may be there.
		if got, acks := must[Report](t)(inspect(filepath.Join(dir, fileDB))).Events, len(lines)-1; acks == 30 || got > acks+2 {
			t.Errorf("sync %d fails: got %d events after %d acknowledgements", n, got, acks)
		}
	}
}

// A version that knows of no transaction in the books leaves it out when it writes them, and what it wrote is taken as it is.
func TestBooksOfEarlierVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fill(t, dir)
	path := filepath.Join(dir, fileDB)
	bolt := must[*bbolt.DB](t)(bbolt.Open(path, 0o600, options()))
	err := bolt.Update(func(tx *bbolt.Tx) error {
		var then map[string]struct {
			Records uint64 `json:"records"`
			Sum     uint64 `json:"sum"`
		}
		now := must[books](t)(booksOf(tx))
		if now.txid() == 0 {
			t.Error("the books don't say which transaction they are of")
		}
		if err := errors.Join(json.Unmarshal(must[[]byte](t)(json.Marshal(now)), &then)); err != nil {
			return err
		}
		return put(tx, bucketMeta, []byte(keyBooks), must[[]byte](t)(json.Marshal(then)))
	})
	if err := errors.Join(err, bolt.Sync(), bolt.Close()); err != nil {
		t.Fatal(err)
	}
	if r := must[Report](t)(inspect(path)); !r.Whole() {
		t.Errorf("got %+v", r)
	}
	if db := openDB(t, dir); len(loadAll(t, db)) != 1 {
		t.Error("the lease is gone")
	}
}
