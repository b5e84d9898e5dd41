package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// groupCommit: a thousand clients at once share a few transactions.
func groupCommit(t *testing.T) {
	db := openDB(t, t.TempDir())
	before := db.Writes()
	const clients = 1000
	var wg sync.WaitGroup
	for n := range uint32(clients) {
		wg.Go(func() {
			if _, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(n)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := db.Writes() - before; got > clients/4 {
		t.Errorf("transactions: got %d for %d clients", got, clients)
	}
	if got := len(loadAll(t, db)); got != clients {
		t.Errorf("leases: got %d, want %d", got, clients)
	}
}

// unknownNetwork: a lease of a network that is no longer declared is kept and read like any other.
func unknownNetwork(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	db := openDB(t, dir)
	if d, _, err := db.LoadDeclared(t.Context()); err != nil || len(d.Networks) != 0 {
		t.Fatalf("got %v, error %v; want no networks", d, err)
	}
	if got := loadAll(t, db); len(got) != 1 || got[0].Network != "voice" {
		t.Errorf("got %v, want the lease", got)
	}
}

// startsFast: with 5 000 leases the store is verified and opened, by a child that bbolt has a say in, well within the
// half second that a server may take to its first answer.
func startsFast(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	changes := make([]lease.Change, 5000)
	for n := range changes {
		l := benchLease(uint32(n))
		changes[n] = lease.Change{At: l.Start, Kind: lease.KindBound, Next: l}
	}
	must[[]lease.Event](t)(db.CommitLeases(t.Context(), changes...))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	db, err := Opener{Dir: dir, Child: self(t), Log: slog.New(slog.DiscardHandler)}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	took := time.Since(began)
	t.Logf("opened in %v", took)
	if limit := 5 * time.Second; took > limit { // BenchmarkOpen tells the time of an idle machine
		t.Errorf("open took %v, want at most %v even on a busy machine", took, limit)
	}
}

// staysSmall: renewals without end fill the outbox and then nothing more, and what is free is given back at the start. The
// outbox is full after the first few ten thousand, so 100 000 show it; with DIALTONE_SOAK set, as make fuzz does, they are
// the case's million.
func staysSmall(t *testing.T) {
	const phones, limit = 250, 64 << 20
	rounds := 100
	switch {
	case testing.Short():
		rounds = 20
	case os.Getenv("DIALTONE_SOAK") != "":
		rounds = 1000
	}
	dir := t.TempDir()
	db := openDB(t, dir)
	prev := make([]lease.Lease, phones)
	renew := func(db *DB) {
		t.Helper()
		changes := make([]lease.Change, phones)
		for n := range changes {
			next := benchLease(uint32(n))
			changes[n] = lease.Change{At: next.Start, Kind: lease.KindRenewed, Prev: prev[n], Next: next}
		}
		for n, e := range must[[]lease.Event](t)(db.CommitLeases(t.Context(), changes...)) {
			prev[n] = e.Lease
		}
	}
	path := filepath.Join(dir, fileDB)
	var half int64
	for n := range 4 * rounds {
		renew(db)
		if n == 3*rounds {
			half = size(t, path)
		}
	}
	end := size(t, path)
	if end > limit || !testing.Short() && end > half {
		t.Errorf("size after %d renewals: got %d bytes, want at most %d, and no growth since three quarters (%d)", 4*rounds*phones, end, limit, half)
	}
	// Ninety percent of the outbox goes, as when a site shrinks.
	err := db.bolt.Load().Update(func(tx *bbolt.Tx) error {
		all := keys(tx, bucketEvents)
		for _, k := range all[:len(all)*9/10] {
			if err := apply(tx, op{bucketEvents, k, nil}); err != nil {
				return err
			}
		}
		return count(tx)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before := must[Report](t)(inspect(path))
	db = openDB(t, dir)
	if got := size(t, path); got > before.Size/2 {
		t.Errorf("size after the start: got %d bytes of %d, %d of them free", got, before.Size, before.Free)
	}
	if !db.Restored().IsZero() {
		t.Error("a compacted store is taken for an older copy")
	}
	renew(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db := openDB(t, dir); !db.Restored().IsZero() || len(loadAll(t, db)) != phones {
		t.Error("the start after that: the store is taken for an older copy, or has lost leases")
	}
}

// killedAtSyscalls kills a process as it enters its first, second, … write or sync of the store.
func killedAtSyscalls(t *testing.T) {
	strace := needStrace(t)
	const calls = "pwrite64,fdatasync,fsync,ftruncate"
	dir := t.TempDir()
	fill(t, dir)
	acked := make(map[string]uint64)
	for n := 1; n <= 40; n++ {
		cmd := child(t, "commit-some", dir)
		traced := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls,
			"-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", calls, n), cmd.Path)
		traced.Dir, traced.Env = cmd.Dir, append(cmd.Env, "GOMAXPROCS=1")
		out, _ := traced.Output() // it was killed
		for line := range strings.Lines(string(out)) {
			var addr string
			var rev uint64
			if _, err := fmt.Sscanf(line, "%s %d", &addr, &rev); err == nil {
				acked[addr] = rev
			}
		}
		checkKilled(t, dir, acked)
	}
	if len(acked) == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

func needStrace(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	if err := exec.CommandContext(t.Context(), path, "-qq", "-o", "/dev/null", "true").Run(); err != nil {
		t.Skipf("strace can't trace here: %v", err)
	}
	return path
}

// syncFailsOnce: that commit fails, nothing is read or written until the file was written anew, and then all that was
// acknowledged is there.
func syncFailsOnce(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	db, err := Opener{Dir: dir, Child: self(t), Log: slog.New(slog.DiscardHandler)}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	commit := func(n uint32) error {
		_, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(n)})
		return err
	}
	table := must[*lease.Table](t)(lease.Open(t.Context(), db, time.Now, slog.New(slog.DiscardHandler)))
	db.breakDown(errors.New("commit: input/output error"))
	if err := commit(2); !errors.Is(err, lease.ErrReadOnly) {
		t.Errorf("commit: got error %v, want %v", err, lease.ErrReadOnly)
	}
	if err := table.Reread(t.Context()); err != nil {
		t.Errorf("reread without doubts: %v", err)
	}
	if p := db.Problems(); len(p) != 1 || p[0].Key != ProblemBroken {
		t.Errorf("problems: got %v, want %q", p, ProblemBroken)
	}
	if _, err := db.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was made of what nobody knows")
	}
	before := must[os.FileInfo](t)(os.Stat(filepath.Join(dir, fileDB)))
	if err := db.reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := must[os.FileInfo](t)(os.Stat(filepath.Join(dir, fileDB)))
	if os.SameFile(before, after) {
		t.Error("the file is the one that could not be synced")
	}
	if err := commit(2); err != nil {
		t.Error(err)
	}
	if got := len(loadAll(t, db)); got != 2 || len(db.Problems()) != 0 {
		t.Errorf("got %d leases and problems %v, want 2 and none", got, db.Problems())
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db := openDB(t, dir); len(loadAll(t, db)) != 2 || !db.Restored().IsZero() {
		t.Error("after a restart the store has lost leases or is taken for an older copy")
	}
}

// breakDown is what a failed fsync does.
func (db *DB) breakDown(err error) { _ = db.failed(0, err) }

// syncFailsForGood: as long as the disk takes no copy, Run tries and the store stays read-only; then it heals.
func syncFailsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		checker := filepath.Join(dir, "checker")
		exe := must[string](t)(os.Executable())
		if err := os.Symlink(exe, checker); err != nil {
			t.Fatal(err)
		}
		db := must[*DB](t)(Opener{Dir: dir, Child: []string{checker, checkVerb}, Log: slog.New(slog.DiscardHandler)}.Open(t.Context()))
		must[[]lease.Event](t)(db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(1)}))
		done := make(chan error)
		ctx, cancel := contextWithCancel(t)
		go func() { done <- db.Run(ctx) }()
		<-time.After(time.Minute)
		if len(must[[]string](t)(db.snapshots())) != 1 {
			t.Error("no snapshot was made")
		}
		// A new file can't be checked, as if its bytes couldn't be read.
		if err := os.Remove(checker); err != nil {
			t.Fatal(err)
		}
		db.breakDown(errors.New("commit: input/output error"))
		<-time.After(10 * time.Minute)
		if _, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(2)}); !errors.Is(err, lease.ErrReadOnly) {
			t.Errorf("commit: got error %v, want %v", err, lease.ErrReadOnly)
		}
		if err := os.Symlink(exe, checker); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		if _, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(2)}); err != nil {
			t.Errorf("commit ten seconds after the disk is well: %v", err)
		}
		<-time.After(10 * time.Minute)
		if got := len(must[[]string](t)(db.snapshots())); got != 2 {
			t.Errorf("got %d snapshots, want 2", got)
		}
		cancel()
		if err := errors.Join(<-done, db.Close()); err != nil {
			t.Error(err)
		}
	})
}

// diskFull fills a file system of its own. Nothing is acknowledged that isn't written, and it is over with the space.
func diskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	db := must[*DB](t)(Open(dir, slog.New(slog.DiscardHandler)))
	acked := 0
	var err error
	for n := uint32(0); n < 10_000 && err == nil; n++ {
		if _, err = db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(n)}); err == nil {
			acked++
		}
	}
	if !errors.Is(err, lease.ErrReadOnly) || !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "file") {
		t.Fatalf("after %d leases: got error %v, want %v for want of space", acked, err, lease.ErrReadOnly)
	}
	if p := db.Problems(); len(p) != 1 || p[0].Key != ProblemFull {
		t.Errorf("problems: got %v, want %q", p, ProblemFull)
	}
	if _, err := db.Snapshot(t.Context()); err == nil {
		t.Error("a snapshot was made on a full disk")
	}
	if got := len(loadAll(t, db)); got != acked {
		t.Errorf("leases: got %d, want the %d that were acknowledged", got, acked)
	}
	// It can be started while the disk is full.
	if err := db.Close(); err != nil {
		t.Log(err) // its epoch may find no place
	}
	write(t, filepath.Join(dir, "ballast"), "")
	db = must[*DB](t)(Open(dir, slog.New(slog.DiscardHandler)))
	defer db.Close()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(20_000)}); err != nil {
		t.Errorf("commit when there is space again: %v", err)
	}
	if got := len(loadAll(t, db)); got != acked+1 {
		t.Errorf("leases: got %d, want %d", got, acked+1)
	}
	if p := db.Problems(); len(p) != 0 && p[0].Key == ProblemFull {
		t.Errorf("problems: got %v, want none", p)
	}
}

// noAccess: what keeps the store from being opened is named.
func noAccess(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, fileDB), 0o700); err != nil {
		t.Fatal(err)
	}
	fails(t, dir, fileDB, "not a file")
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "x")
	fails(t, file, file)
}

// cannotGrow: the file reached the largest size that it may have.
func cannotGrow(t *testing.T) {
	db := openDB(t, t.TempDir())
	db.bolt.Load().MaxSize = 1 << 16
	var err error
	acked := 0
	for n := uint32(0); n < 10_000 && err == nil; n++ {
		if _, err = db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(n)}); err == nil {
			acked++
		}
	}
	if !errors.Is(err, lease.ErrReadOnly) || len(loadAll(t, db)) != acked {
		t.Errorf("got error %v and %d leases, want %v and %d", err, len(loadAll(t, db)), lease.ErrReadOnly, acked)
	}
	db.bolt.Load().MaxSize = 0
	if _, err = db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(20_000)}); err != nil {
		t.Error(err)
	}
}

// longExport: a reader that takes its time over the leases doesn't keep the file growing.
func longExport(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	const leases = 3000
	prev := make([]lease.Lease, leases)
	renew := func() {
		t.Helper()
		changes := make([]lease.Change, leases)
		for n := range changes {
			changes[n] = lease.Change{Prev: prev[n], Next: benchLease(uint32(n))}
			if n%10 == 0 {
				changes[n].Kind = lease.KindRenewed
			}
		}
		must[[]lease.Event](t)(db.CommitLeases(t.Context(), changes...))
		for n := range prev {
			prev[n].Addr, prev[n].Rev = changes[n].Next.Addr, changes[n].Prev.Rev+1
		}
	}
	renew()
	renew()
	before := size(t, filepath.Join(dir, fileDB))
	read := 0
	for _, err := range db.LoadLeases(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if read++; read%100 == 0 {
			renew()
		}
	}
	if after := size(t, filepath.Join(dir, fileDB)); read != leases || after > 4*before {
		t.Errorf("read %d leases; the file grew from %d to %d bytes", read, before, after)
	}
}
