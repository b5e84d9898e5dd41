package dhcp

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A worker that has finished takes the next job, and ends when there is none for a while.
func TestCrew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var done, busy, most atomic.Int32
		hold := make(chan struct{})
		c := newCrew(func(context.Context, *job) {
			most.Store(max(most.Load(), busy.Add(1)))
			<-hold
			busy.Add(-1)
			done.Add(1)
		})
		ctx, stop := context.WithCancel(t.Context())
		for range 3 {
			c.start(ctx, &job{})
		}
		synctest.Wait()
		if got := busy.Load(); got != 3 {
			t.Errorf("%d jobs are in hand, want 3: nobody waits for another's job", got)
		}
		close(hold)
		synctest.Wait()
		for range 10 { // one after the other, by who is idle
			c.start(ctx, &job{})
			synctest.Wait()
		}
		if got, want := done.Load(), int32(13); got != want || most.Load() != 3 {
			t.Errorf("%d jobs done by up to %d workers, want %d by 3", got, most.Load(), want)
		}
		time.Sleep(workerRests + time.Second) //nolint:forbidigo // the bubble's time
		synctest.Wait()
		ended := make(chan struct{})
		go func() { c.workers.Wait(); close(ended) }()
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Error("idle workers don't end")
		}
		c.start(ctx, &job{})
		stop()
		c.workers.Wait()
	})
}
