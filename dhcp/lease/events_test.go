package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dialtone-project/dialtone/dhcp/lease"
	"github.com/dialtone-project/dialtone/dhcp/lease/leasetest"
)

func TestSubscription(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	table := open(t, store)
	s := voice(t)
	sub, small := table.Subscribe(10), table.Subscribe(0)
	bind(t, table, s, client(1), ip(10))
	if err := table.Release(t.Context(), s, client(1), ip(10)); err != nil {
		t.Fatal(err)
	}
	bind(t, table, s, client(2), ip(10))
	for i, want := range story(t, store, 0) {
		e := <-sub.C
		if e.Seq != uint64(i)+1 || tell(e) != want {
			t.Errorf("got event %d %q, want %d %q", e.Seq, tell(e), i+1, want)
		}
	}
	if sub.Lagged() {
		t.Error("got lagged, want not: all fitted")
	}
	if !small.Lagged() || small.Lagged() {
		t.Error("want lagged exactly once")
	}
	if e := <-small.C; e.Seq != 1 {
		t.Errorf("got event %d, want 1", e.Seq)
	}
	sub.Close()
	bind(t, table, s, client(3), ip(14))
	if len(sub.C) != 0 {
		t.Error("got an event after Close")
	}
	if e := <-small.C; e.Seq != 4 {
		t.Errorf("got event %d, want 4: a reader that lags is served on", e.Seq)
	}
}

// TestEventsComeInOrder lets commits end in one order and their callers go on in another.
func TestEventsComeInOrder(t *testing.T) {
	t.Parallel()
	store := new(leasetest.Memory)
	table := open(t, store)
	s := big(t)
	const clients = 500
	sub := table.Subscribe(2 * clients)
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			bind(t, table, s, client(n), bigIP(n+2))
			if l, ok := table.ByAddr(bigIP(n + 2)); !ok || l.Client.HW != client(n).HW {
				t.Errorf("got lease %v, want that of client %d: it was bound", l, n)
			}
			bind(t, table, s, client(n), bigIP(n+2))
		})
	}
	wg.Wait()
	if n := len(sub.C); n != 2*clients {
		t.Fatalf("got %d events, want %d", n, 2*clients)
	}
	for i := range 2 * clients {
		if e := <-sub.C; e.Seq != uint64(i)+1 {
			t.Fatalf("got event %d, want %d", e.Seq, i+1)
		}
	}
	byAddr := make(map[string]int)
	for _, l := range open(t, store).All() {
		byAddr[l.Addr.String()]++
		if !l.Active(time.Now()) {
			t.Errorf("got %v, want it active", l)
		}
	}
	if len(byAddr) != clients {
		t.Errorf("got %d addresses, want %d", len(byAddr), clients)
	}
}

// follow runs Follow until the returned function is called.
func follow(t *testing.T, table *lease.Table, c lease.Cursors, log *slog.Logger, deliver func(context.Context, lease.Event) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- lease.Follow(ctx, table, c, "hook", deliver, log) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("follow: %v", err)
		}
	}
}

// reader remembers what it was told, and fails as often as it should.
type reader struct {
	mu    sync.Mutex
	told  []uint64
	fails int
	never uint64 // the event that always fails
}

func (r *reader) deliver(_ context.Context, e lease.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails > 0 || r.never == e.Seq {
		r.fails--
		return errors.New("not now")
	}
	r.told = append(r.told, e.Seq)
	return nil
}

func (r *reader) got() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]uint64(nil), r.told...)
}

func numbers(from, to uint64) (all []uint64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		s := big(t)
		discard := slog.New(slog.DiscardHandler)
		bindMany := func(from, to int) {
			for n := from; n < to; n++ {
				bind(t, table, s, client(n), bigIP(n+2))
			}
		}
		bindMany(0, 300)
		var r reader
		stop := follow(t, table, store, discard, r.deliver)
		synctest.Wait()
		check(t, "told of the past", numbers(1, 300), r.got())
		bindMany(300, 600)
		synctest.Wait()
		check(t, "told of the present", numbers(1, 600), r.got())
		if n := store.Saves(); n > 1 {
			t.Errorf("the cursor was saved %d times for 600 events", n)
		}
		pass(time.Minute)
		if seq, _ := store.LoadCursor(t.Context(), "hook"); seq != 600 {
			t.Errorf("got cursor %d, want 600", seq)
		}
		bindMany(600, 603)
		synctest.Wait()
		stop()

		// Restart: a new table and the same name.
		table = open(t, store)
		bindMany(603, 605)
		var next reader
		next.fails = 3
		stop = follow(t, table, store, discard, next.deliver)
		pass(time.Minute)
		check(t, "told after a restart", numbers(604, 605), next.got())
		stop()

		// A crash: the cursor is older than what was delivered.
		if err := store.SaveCursor(t.Context(), "hook", 600); err != nil {
			t.Fatal(err)
		}
		var again reader
		stop = follow(t, table, store, discard, again.deliver)
		synctest.Wait()
		check(t, "told after a crash", numbers(601, 605), again.got())
		stop()
	})
}

func TestFollowGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		var log strings.Builder
		s := voice(t)
		bind(t, table, s, client(1), ip(10))
		bind(t, table, s, client(2), ip(14))
		r := reader{never: 1}
		stop := follow(t, table, store, slog.New(slog.NewTextHandler(&log, nil)), r.deliver)
		pass(59 * time.Minute)
		check(t, "told before the hour", []uint64(nil), r.got())
		pass(3 * time.Minute)
		stop()
		check(t, "told", numbers(2, 2), r.got())
		if !strings.Contains(log.String(), "given up") {
			t.Errorf("got log %q, want a line about the event that was given up", log.String())
		}
	})
}

func TestFollowNoticesGaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(leasetest.Memory)
		table := open(t, store)
		s := voice(t)
		for range 9 {
			bind(t, table, s, client(1), ip(10))
		}
		store.Trim(6)
		for _, c := range []struct {
			cursor uint64
			gap    bool
		}{{0, false}, {3, true}, {6, false}} {
			if err := store.SaveCursor(t.Context(), "hook", c.cursor); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			var r reader
			stop := follow(t, table, store, slog.New(slog.NewTextHandler(&log, nil)), r.deliver)
			synctest.Wait()
			stop()
			check(t, "told", numbers(7, 9), r.got())
			if got := strings.Contains(log.String(), "missing"); got != c.gap {
				t.Errorf("cursor %d: got log %q, want a gap: %v", c.cursor, log.String(), c.gap)
			}
		}
	})
}

func TestFollowOutlastsTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFailing()
		table := open(t, store)
		var r reader
		stop := follow(t, table, store, slog.New(slog.DiscardHandler), r.deliver)
		store.blind.Store(true)
		bind(t, table, voice(t), client(1), ip(10))
		pass(time.Minute)
		store.blind.Store(false)
		pass(time.Minute)
		stop()
		check(t, "told", numbers(1, 1), r.got())
	})
}
