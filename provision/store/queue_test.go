package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/dhcp/hwaddr"
	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/provision"
)

// TestGroup makes requests wait for a busy store. They end up in one transaction, and those that are refused fail
// alone.
func TestGroup(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	before := db.Writes()
	busy, err := db.bolt.Load().Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	const n = 60
	errs := make([]error, n)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	submit := func(i int) {
		wg.Go(func() {
			if i%3 == 2 {
				d := provision.Device{ID: provision.DeviceID(rune('a' + i)), HW: hwaddr.Addr{0, 0x15, 0x65, 0, 0, byte(i)}}
				_, errs[i] = db.PutDevice(ctx, d)
				return
			}
			l := benchLease(uint32(i / 3)) // two ask for the same address
			_, errs[i] = db.CommitLeases(ctx, lease.Change{Kind: lease.KindBound, Next: l})
		})
	}
	// The first one takes itself out of the queue and becomes the writer.
	submit(0)
	waitFor(t, db, func(q *queue) bool { return q.busy && len(q.waiting) == 0 })
	for i := 1; i < n; i++ {
		submit(i)
	}
	waitFor(t, db, func(q *queue) bool { return len(q.waiting) == n-1 })
	cancel() // they wait already
	if err := busy.Rollback(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()

	if got, want := db.Writes()-before, uint64(2); got != want {
		t.Errorf("transactions: got %d, want %d", got, want)
	}
	for i := 0; i < n; i += 3 {
		a, b := errs[i], errs[i+1]
		if (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), lease.ErrConflict) {
			t.Errorf("two who ask for the same: got errors %v and %v, want one conflict", a, b)
		}
		if errs[i+2] != nil {
			t.Errorf("PutDevice: %v", errs[i+2])
		}
	}
	if got, want := len(loadAll(t, db)), n/3; got != want {
		t.Errorf("leases: got %d, want %d", got, want)
	}
	_, err = db.CommitLeases(ctx, lease.Change{Next: benchLease(100)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a commit that begins after its context's end: got error %v, want %v", err, context.Canceled)
	}
}

func waitFor(t *testing.T, db *DB, cond func(*queue) bool) {
	t.Helper()
	for t.Context().Err() == nil {
		db.queue.mu.Lock()
		ok := cond(&db.queue)
		db.queue.mu.Unlock()
		if ok {
			return
		}
		runtime.Gosched()
	}
}

// TestPanic: whoever waits for a transaction hears of its end, even if it is a panic.
func TestPanic(t *testing.T) {
	t.Parallel()
	db := openDB(t, t.TempDir())
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.do(t.Context(), func(*bbolt.Tx) ([]op, error) { panic("as bbolt does on a damaged page") })
	}()
	group := []*request{
		{plan: func(*bbolt.Tx) ([]op, error) { return nil, nil }},
		{plan: func(*bbolt.Tx) ([]op, error) { panic("again") }},
	}
	func() {
		defer func() { _ = recover() }()
		db.write(group)
	}()
	for i, r := range group {
		if !errors.Is(r.err, errUnfinished) {
			t.Errorf("request %d: got error %v, want %v", i, r.err, errUnfinished)
		}
	}
	if _, err := db.CommitLeases(t.Context(), lease.Change{Next: benchLease(1)}); err != nil {
		t.Errorf("a commit after a panic: %v", err)
	}
}

// TestDiskFails puts something else in the place of the store's file descriptor.
func TestDiskFails(t *testing.T) {
	for _, c := range []struct {
		name, instead string
		want          error
		recovers      bool
	}{
		{"full", "/dev/full", syscall.ENOSPC, true},
		{"broken", "/dev/null", nil, false}, // takes each write, and can't be synced
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			dir := t.TempDir()
			fill(t, dir)
			db, err := Open(dir, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			commit := func(n uint32) error {
				_, err := db.CommitLeases(t.Context(), lease.Change{Kind: lease.KindBound, Next: benchLease(n)})
				return err
			}
			if err := commit(2); err != nil {
				t.Fatal(err)
			}
			restore := replace(t, filepath.Join(dir, fileDB), c.instead)
			err = commit(3)
			if err == nil || errors.Is(err, lease.ErrConflict) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("commit to a %s disk: got error %v, want %v", c.name, err, c.want)
			}
			restore()
			err = commit(4)
			if got := err == nil; got != c.recovers {
				t.Errorf("commit when the disk is back: got error %v, want success: %t", err, c.recovers)
			}
			if got := strings.Contains(log.String(), "takes no more writes"); got == c.recovers {
				t.Errorf("log says that writes have ended: got %t, want %t", got, !c.recovers)
			}
			if _, err := db.Devices(t.Context()); err != nil {
				t.Errorf("reading: %v", err)
			}
			if !c.recovers {
				if !errors.Is(err, lease.ErrReadOnly) {
					t.Errorf("commit after a failed fsync: got error %v, want %v", err, lease.ErrReadOnly)
				}
				if err := firstError(db.LoadLeases(t.Context())); err == nil {
					t.Error("leases were read while nobody knows what the disk holds")
				}
				if err := db.reopen(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := commit(4); err != nil {
					t.Errorf("commit to the new file: %v", err)
				}
			}
			if p := db.Problems(); len(p) != 0 {
				t.Errorf("problems in the end: got %v, want none", p)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if got, want := len(loadAll(t, openDB(t, dir))), 3; got != want {
				t.Errorf("leases after a restart: got %d, want %d", got, want)
			}
		})
	}
}

// replace makes the descriptor of an open file that of another one, until the returned function is called.
func replace(t *testing.T, path, other string) func() {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		t.Skip("needs /proc")
	}
	for _, link := range fds {
		if target, err := os.Readlink(link); err != nil || target != path {
			continue
		}
		fd := 0
		for _, digit := range filepath.Base(link) {
			fd = 10*fd + int(digit-'0')
		}
		saved, err := syscall.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(other, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(f.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := errors.Join(syscall.Dup3(saved, fd, syscall.O_CLOEXEC), syscall.Close(saved), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatalf("no descriptor of %s", path)
	return nil
}
