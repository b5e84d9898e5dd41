package lease_test

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/dialtone-project/dialtone/dhcp/lease"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// unreadable is a store with a record that can't be read until it is healed.
type unreadable struct {
	lease.Store
	addr   netip.Addr
	healed atomic.Bool
}

func (u *unreadable) LoadLeases(ctx context.Context) iter.Seq2[lease.Lease, error] {
	return func(yield func(lease.Lease, error) bool) {
		for l, err := range u.Store.LoadLeases(ctx) {
			if l.Addr == u.addr && !u.healed.Load() {
				l, err = lease.Lease{Addr: u.addr}, errDisk
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// pass lets time pass, in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }

// start runs the table until it is told to stop.
func start(t *testing.T, table *lease.Table) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := table.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// inBubble runs one case of a property in a bubble of its own. What rapid throws to end one comes out of it.
func inBubble(t *testing.T, rt *rapid.T, run func(*rapid.T)) {
	t.Helper()
	var thrown any
	synctest.Test(t, func(*testing.T) {
		defer func() { thrown = recover() }()
		run(rt)
	})
	switch {
	case thrown == nil:
	case fmt.Sprintf("%T", thrown) == "rapid.invalidData":
		panic(thrown) // that is no failure, and rapid tells them apart by their lines
	default:
		panic(thrown)
	}
}
