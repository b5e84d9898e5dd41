package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

// envRole tells this test binary that it plays the other process, in the folder where it is started.
const envRole = "DIALTONE_STORE_TEST"

// checkVerb has it check the file that is named next, as the program's own verb does.
const checkVerb = "store-check"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == checkVerb {
		r, err := Check(os.Args[2])
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(r)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	role := os.Getenv(envRole)
	if role == "" {
		os.Exit(m.Run())
	}
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	switch role {
	case "open":
		began := time.Now()
		_, err := Open(dir, slog.New(slog.DiscardHandler))
		fmt.Println(time.Since(began), err)
	case "commit-some":
		if err := commitSome(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	case "commit":
		if err := commitForever(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
}

func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), envRole+"="+role)
	return cmd
}

// cutDuringCreation: what a first start leaves that is cut off is no store; the next one makes it or finds it whole.
func cutDuringCreation(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		keeps   bool // what was in the store
	}{
		{"no folder", func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"empty folder", func(*testing.T, string) {}, false},
		{"creation cut off", func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, fileNew), strings.Repeat("\x00half a page", 3000))
		}, false},
		{"cut off before the marker", func(t *testing.T, dir string) {
			t.Helper()
			fill(t, dir)
			if err := os.Remove(filepath.Join(dir, fileMarker)); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"cut off within the marker", func(t *testing.T, dir string) {
			t.Helper()
			fill(t, dir)
			write(t, filepath.Join(dir, fileMarker), "")
		}, true},
		{"second start", fill, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c.prepare(t, dir)
			db := openDB(t, dir)
			if got, want := len(loadAll(t, db)) == 1, c.keeps; got != want {
				t.Errorf("the lease is there: got %t, want %t", got, want)
			}
			for name, want := range map[string]os.FileMode{"": 0o700 | os.ModeDir, fileDB: 0o600, fileMarker: 0o600, fileLock: 0o600} {
				info, err := os.Stat(filepath.Join(dir, name))
				if err != nil {
					t.Error(err)
					continue
				}
				if got := info.Mode(); got != want {
					t.Errorf("mode of %q: got %v, want %v", name, got, want)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, fileNew)); err == nil {
				t.Errorf("%s is still there", fileNew)
			}
			if size(t, filepath.Join(dir, fileMarker)) == 0 {
				t.Errorf("%s is empty", fileMarker)
			}
		})
	}
}

// fill makes a store with one lease.
func fill(t *testing.T, dir string) {
	t.Helper()
	db := openDB(t, dir)
	if _, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(1)}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpenLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			fill(t, dir)
			path := filepath.Join(dir, fileDB)
			if err := lose(path); err != nil {
				t.Fatal(err)
			}
			for range 2 { // trying again doesn't help
				fails(t, dir, path, fileMarker, "restore", "delete")
			}
			if err := os.Remove(filepath.Join(dir, fileMarker)); err != nil {
				t.Fatal(err)
			}
			if got := loadAll(t, openDB(t, dir)); len(got) != 0 {
				t.Errorf("leases of a new store: got %v, want none", got)
			}
		})
	}
}

func TestOpenForeign(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	edit(t, filepath.Join(dir, fileDB), func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("somebody else's"))
		return err
	})
	fails(t, dir, fileDB, "not a store")
}

// fails checks that a store can't be opened and that the error has these words.
func fails(t *testing.T, dir string, words ...string) {
	t.Helper()
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = db.Close()
		t.Fatal("Open: got a store, want an error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("Open: error %q lacks %q", err, w)
		}
	}
}

// edit changes a closed store's file behind its back. It is that way without the last transaction, too.
func edit(t *testing.T, path string, fn func(*bbolt.Tx) error) {
	t.Helper()
	bolt, err := bbolt.Open(path, 0o600, options())
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*bbolt.Tx) error{fn, func(*bbolt.Tx) error { return nil }} {
		err = errors.Join(err, bolt.Update(func(tx *bbolt.Tx) error {
			if err := change(tx); err != nil || checkBuckets(tx) != nil {
				return err
			}
			return count(tx)
		}))
	}
	if err := errors.Join(err, bolt.Close()); err != nil {
		t.Fatal(err)
	}
}

func secondInstance(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	took, refused := openElsewhere(t, dir)
	if took > time.Second {
		t.Errorf("second process: refused after %v, want at most 1s", took)
	}
	for _, w := range []string{dir, "already running", fmt.Sprintf("process %d;", os.Getpid())} {
		if !strings.Contains(refused, w) {
			t.Errorf("second process: error %q lacks %q", refused, w)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got := openElsewhere(t, dir); got != "<nil>" {
		t.Errorf("second process after the first has closed: got error %q, want none", got)
	}
}

// openElsewhere opens the store in another process and returns how long that took and its error's text.
func openElsewhere(t *testing.T, dir string) (took time.Duration, result string) {
	t.Helper()
	out, err := child(t, "open", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if took, err = time.ParseDuration(first); err != nil {
		t.Fatalf("child: %s", out)
	}
	return took, rest
}

// killedAtRandom kills a process in the midst of many commits, more than once on the same store. What was acknowledged is
// there, no event is missing or doubled, and what wasn't acknowledged is there wholly or not at all.
func killedAtRandom(t *testing.T) {
	dir := t.TempDir()
	acked := make(map[string]uint64) // address → revision
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		end := rnd.IntN(150) // 0: as soon as it is there
		cmd := child(t, "commit", dir)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for sc := bufio.NewScanner(pipe); sc.Scan(); lines++ {
			var addr string
			var rev uint64
			if _, err := fmt.Sscanf(sc.Text(), "%s %d", &addr, &rev); err != nil {
				t.Fatalf("child: %s", sc.Text())
			}
			acked[addr] = rev
			if lines == end {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || lines < end {
			t.Fatalf("child: ended by itself after %d commits (%v)", lines, err)
		}
		if end%8 == 0 {
			checkKilled(t, dir, acked)
		}
	}
	checkKilled(t, dir, acked)
}

func checkKilled(t *testing.T, dir string, acked map[string]uint64) {
	t.Helper()
	db := openDB(t, dir)
	stored := make(map[string]uint64)
	for _, l := range loadAll(t, db) {
		stored[l.Addr.String()] = l.Rev
	}
	for addr, rev := range acked {
		if stored[addr] < rev {
			t.Errorf("lease %s: revision %d was acknowledged, %d is stored", addr, rev, stored[addr])
		}
	}
	heard := make(map[string]uint64)
	seq := uint64(0)
	for e, err := range db.Events(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if seq++; e.Seq != seq {
			t.Fatalf("event: got number %d, want %d", e.Seq, seq)
		}
		addr := e.Lease.Addr.String()
		if e.Lease.Rev != heard[addr]+1 {
			t.Errorf("event %d: lease %s goes from revision %d to %d", seq, addr, heard[addr], e.Lease.Rev)
		}
		heard[addr] = e.Lease.Rev
	}
	for addr, rev := range stored {
		if heard[addr] != rev {
			t.Errorf("lease %s: at revision %d, but the last event has %d", addr, rev, heard[addr])
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// commitForever binds and renews 100 addresses at once, and writes a line for each commit that was acknowledged.
func commitForever(dir string) error {
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, have := context.Background(), make(map[string]lease.Lease)
	for l, err := range db.LoadLeases(ctx) {
		if err != nil {
			return err
		}
		have[l.Addr.String()] = l
	}
	errs := make(chan error)
	var out sync.Mutex
	for i := range uint32(100) {
		next := benchLease(i)
		go func() {
			prev := have[next.Addr.String()]
			for {
				events, err := db.CommitLeases(ctx, lease.Change{Kind: lease.KindRenewed, Prev: prev, Next: next})
				if err != nil {
					errs <- err
					return
				}
				prev = events[0].Lease
				out.Lock()
				fmt.Println(prev.Addr, prev.Rev)
				out.Unlock()
			}
		}()
	}
	return <-errs
}

// loadAll returns all leases; a damaged one ends the test.
func loadAll(t *testing.T, db *DB) (all []lease.Lease) {
	t.Helper()
	for l, err := range db.LoadLeases(t.Context()) {
		if err != nil {
			t.Fatalf("LoadLeases: %v", err)
		}
		all = append(all, l)
	}
	return all
}

// commitSome binds and renews ten addresses a few times, and writes a line for each commit that was acknowledged.
func commitSome(dir string) error {
	db, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	have := make(map[netip.Addr]lease.Lease)
	for l, err := range db.LoadLeases(context.Background()) {
		if err != nil {
			return err
		}
		have[l.Addr] = l
	}
	for i := range uint32(30) {
		next := benchLease(i%10 + 100)
		events, err := db.CommitLeases(context.Background(), lease.Change{Kind: lease.KindRenewed, Prev: have[next.Addr], Next: next})
		if err != nil {
			return err
		}
		have[next.Addr] = events[0].Lease
		fmt.Println(next.Addr, events[0].Lease.Rev)
	}
	return db.Close()
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}
