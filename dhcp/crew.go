package dhcp

import (
	"context"
	"sync"
	"time"
)

// workerRests is for how long a worker waits for the next message before it ends.
const workerRests = 5 * time.Second

// crew works on jobs, one goroutine for each that is in hand. Who has finished stays for a while and takes the next: in
// a storm a new goroutine for each message would spend a tenth of the time on growing its stack.
type crew struct {
	do      func(context.Context, *job)
	next    chan *job // unbuffered: a send succeeds if somebody is idle
	workers sync.WaitGroup
}

func newCrew(do func(context.Context, *job)) *crew { return &crew{do: do, next: make(chan *job)} }

// start has a job done, by a new worker if nobody is idle.
func (c *crew) start(ctx context.Context, j *job) {
	select {
	case c.next <- j:
	default:
		c.workers.Go(func() { c.work(ctx, j) })
	}
}

func (c *crew) work(ctx context.Context, j *job) {
	rest := time.NewTimer(workerRests)
	defer rest.Stop()
	for {
		c.do(ctx, j)
		rest.Reset(workerRests)
		select {
		case j = <-c.next:
		case <-rest.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
