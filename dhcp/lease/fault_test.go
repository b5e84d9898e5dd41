package lease_test

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

var errDisk = errors.New("input/output error")

// failing is a store whose next commits fail as told.
type failing struct {
	leasetest.Memory
	fault atomic.Pointer[leasetest.Fault]
	blind atomic.Bool
}

func newFailing() *failing {
	f := new(failing)
	f.OnCommit = func([]lease.Change) leasetest.Fault {
		if p := f.fault.Load(); p != nil {
			return *p
		}
		return leasetest.Fault{}
	}
	f.OnRead = func() error {
		if f.blind.Load() {
			return errDisk
		}
		return nil
	}
	return f
}

func TestBindWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	for _, written := range []bool{false, true} {
		store := newFailing()
		table := open(t, store)
		sub := table.Subscribe(10)
		s := voice(t)
		bind(t, table, s, client(2), ip(14))
		store.fault.Store(&leasetest.Fault{Err: errDisk, Written: written})
		if l, err := table.Bind(t.Context(), s, client(1), ip(10)); !errors.Is(err, errDisk) {
			t.Fatalf("got %v, error %v; want the disk's", l, err)
		}
		if _, err := table.Bind(t.Context(), s, client(2), ip(14)); !errors.Is(err, errDisk) {
			t.Fatalf("renewal: got error %v, want the disk's", err)
		}
		store.fault.Store(nil)
		if l, ok := table.ByAddr(ip(10)); ok {
			t.Errorf("got lease %v, want none that may not be stored", l)
		}
		if _, ok := table.ByAddr(ip(14)); !ok {
			t.Error("got no lease, want the one whose renewal failed: its client holds it either way")
		}
		for _, c := range []lease.Client{client(1), client(3)} {
			if l, err := table.Bind(t.Context(), s, c, ip(10)); err == nil || errors.Is(err, lease.ErrTaken) {
				t.Errorf("before the store is read again: got %v, error %v; want one that is no NAK", l, err)
			}
		}
		if l, err := table.Bind(t.Context(), s, client(1), ip(16)); err == nil {
			t.Errorf("got %v for a client that may hold %s, want an error", l, ip(10))
		}
		if got := offer(t, table, s, client(3), ip(10)); got == ip(10) {
			t.Errorf("got an offer of %s, which may be leased", got)
		}
		store.blind.Store(true)
		if err := table.Reread(t.Context()); !errors.Is(err, errDisk) {
			t.Errorf("reread: got error %v, want the disk's", err)
		}
		store.blind.Store(false)
		if err := table.Reread(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l, ok := table.ByAddr(ip(10)); ok != written {
			t.Errorf("written %v: got lease %v, %v after the store was read", written, l, ok)
		}
		bind(t, table, s, client(1), ip(10))
		want := []string{"bound .14 2", "bound .10 1"}
		if written {
			want = []string{"bound .14 2", "bound .10 1", "renewed .14 2", "renewed .10 1"}
		}
		check(t, "events", want, story(t, store, 0))
		var heard []string
		for len(sub.C) > 0 {
			heard = append(heard, tell(<-sub.C))
		}
		check(t, "heard", want, heard)
	}
}

func TestConflictIsReadAgain(t *testing.T) {
	t.Parallel()
	store := newFailing()
	table, other := open(t, store), open(t, store) // nobody does that, but a restored backup looks the same
	s := voice(t)
	bind(t, other, s, client(1), ip(10))
	if l, err := table.Bind(t.Context(), s, client(2), ip(10)); !errors.Is(err, lease.ErrConflict) {
		t.Fatalf("got %v, error %v; want ErrConflict", l, err)
	}
	if err := table.Reread(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Bind(t.Context(), s, client(2), ip(10)); !errors.Is(err, lease.ErrTaken) {
		t.Errorf("got error %v, want ErrTaken", err)
	}
	bind(t, table, s, client(2), ip(14))
}

func TestDeclineWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	store := newFailing()
	table := open(t, store)
	s := voice(t)
	bind(t, table, s, client(1), ip(10))
	store.fault.Store(&leasetest.Fault{Err: errDisk})
	if err := table.Decline(t.Context(), s, client(1), ip(10), 0); !errors.Is(err, errDisk) {
		t.Fatalf("got error %v, want the disk's", err)
	}
	if l, ok := table.ByAddr(ip(10)); ok {
		t.Errorf("got lease %v, want none: a stranger may be there", l)
	}
}

func TestStorePanics(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	var calm atomic.Bool
	store.OnCommit = func([]lease.Change) leasetest.Fault {
		if !calm.Load() {
			panic("page fault")
		}
		return leasetest.Fault{}
	}
	table := open(t, store)
	s := voice(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("got no panic, want the store's")
			}
		}()
		_, _ = table.Bind(t.Context(), s, client(1), ip(10))
	}()
	calm.Store(true)
	if err := table.Reread(t.Context()); err != nil {
		t.Fatal(err)
	}
	bind(t, table, s, client(1), ip(10))
}

// TestBindsShareACommit shows that a commit that takes long keeps no other client from the store, and what waits for it.
func TestBindsShareACommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients = 8
		gate := make(chan struct{})
		var waiting atomic.Int32
		store := new(leasetest.Memory)
		store.OnCommit = func([]lease.Change) leasetest.Fault {
			waiting.Add(1)
			<-gate
			return leasetest.Fault{}
		}
		table := open(t, store)
		s := voice(t)
		addrs := []int{10, 14, 16, 17, 18, 19, 30, 31}
		var wg sync.WaitGroup
		for n := range clients {
			for range 2 { // the same request twice
				wg.Go(func() { bind(t, table, s, client(n), ip(addrs[n])) })
			}
		}
		synctest.Wait()
		if got := waiting.Load(); got != clients {
			t.Errorf("got %d commits at once, want %d", got, clients)
		}
		if all := table.All(); len(all) != 0 {
			t.Errorf("got leases %v before they were committed, want none", all)
		}
		if got := offer(t, table, s, client(100), ip(10)); got != ip(32) {
			t.Errorf("got an offer of %s, want the only one that is in no commit", got)
		}
		close(gate)
		wg.Wait()
		if n := len(story(t, store, 0)); n != 2*clients {
			t.Errorf("got %d events, want %d", n, 2*clients)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		store := new(leasetest.Memory)
		store.OnCommit = func([]lease.Change) leasetest.Fault {
			<-gate
			return leasetest.Fault{}
		}
		table := open(t, store)
		s := voice(t)
		var wg sync.WaitGroup
		wg.Go(func() { bind(t, table, s, client(1), ip(10)) })
		synctest.Wait()
		ctx, cancel := contextWithTimeout(t, time.Second)
		defer cancel()
		if _, err := table.Bind(ctx, s, client(2), ip(10)); !errors.Is(err, ctx.Err()) || ctx.Err() == nil {
			t.Errorf("got error %v, want that of the context", err)
		}
		close(gate)
		wg.Wait()
	})
}

func TestOpenWithUnreadableRecords(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	s := voice(t)
	table := open(t, store)
	bind(t, table, s, client(1), ip(10))
	bind(t, table, s, client(2), ip(14))

	broken := &unreadable{Store: store, addr: ip(10)}
	table = open(t, broken)
	if l, ok := table.ByAddr(ip(10)); ok {
		t.Errorf("got lease %v that can't be read", l)
	}
	if _, ok := table.ByAddr(ip(14)); !ok {
		t.Error("got no lease, want the one that can be read")
	}
	if l, err := table.Bind(t.Context(), s, client(3), ip(10)); err == nil {
		t.Errorf("got %v, want an error: the address may be leased", l)
	}
	if err := table.Reread(t.Context()); err == nil {
		t.Error("got no error while the record can't be read")
	}
	broken.healed.Store(true)
	if err := table.Reread(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := table.ByAddr(ip(10)); !ok {
		t.Error("got no lease after the record could be read again")
	}

	blind := newFailing()
	blind.blind.Store(true)
	if _, err := lease.Open(t.Context(), blind, time.Now, slog.New(slog.DiscardHandler)); !errors.Is(err, errDisk) {
		t.Errorf("nothing can be read: got error %v, want the disk's", err)
	}
}
