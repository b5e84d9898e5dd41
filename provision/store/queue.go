package store

import (
	"context"
	"runtime"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/dialtone-project/dialtone/provision/access"
)

// maxGroup bounds how many requests share a transaction.
const maxGroup = 1024

// request is one write that waits for its transaction.
type request struct {
	// plan reads what the write depends on and returns what to write, nothing if nothing changes. It must not write:
	// that way a request that is refused leaves no trace in the transaction that it shares. The group's transaction
	// may run it in any goroutine; it runs once.
	plan func(*bbolt.Tx) ([]op, error)
	ops  []op
	err  error
	// turn is sent to once: true asks the request's goroutine to write the next group, which the request is in; false
	// says that the request has been dealt with.
	turn chan bool
}

// queue is where writes meet. Whoever comes while nobody writes becomes the writer of all who wait, writes one
// transaction and hands the job to the first of those who have come meanwhile. So nobody waits for a timer, nobody
// writes twice for others, and there is no goroutine to start or stop.
type queue struct {
	mu      sync.Mutex
	busy    bool       // guarded by mu; somebody writes or has been asked to
	crowd   bool       // guarded by mu; the last group was of more than one
	waiting []*request // guarded by mu
}

// do submits a write and waits for its end. A context that is done stops it only before it waits.
func (db *DB) do(ctx context.Context, plan func(*bbolt.Tx) ([]op, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	note, noted := access.NoteOf(ctx), false
	if note.Rehearsed() {
		return access.ErrRehearsed
	}
	if note != nil {
		plan = db.audited(note, &noted, plan)
	}
	r := &request{plan: plan, turn: make(chan bool, 1)}
	if db.queue.join(r) || <-r.turn {
		db.lead()
	}
	if r.err != nil && noted {
		note.Undo()
	}
	return r.err
}

// lead writes the next group. The deferred parts keep the others from waiting forever if bbolt panics.
func (db *DB) lead() {
	// Those whom the last group woke are about to ask again, if they ever do; letting them run first makes groups a
	// third larger where many clients wait (BenchmarkCommit). With one CPU nobody may get to ask while a fast disk writes.
	if db.queue.crowded() || runtime.GOMAXPROCS(0) == 1 {
		runtime.Gosched()
	}
	group := db.queue.take()
	defer func() {
		for _, r := range group[1:] {
			r.turn <- false
		}
		if next := db.queue.next(); next != nil {
			next.turn <- true
		}
	}()
	db.write(group)
}

// join adds a request and reports whether it has to write.
func (q *queue) join(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, r)
	if q.busy {
		return false
	}
	q.busy = true
	return true
}

// take removes the requests of the next group from the queue. The first is the writer's own.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxGroup)
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	q.crowd = n > 1
	return group
}

// crowded reports whether more than one waits, or did the last time.
func (q *queue) crowded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.crowd || len(q.waiting) > 1
}

// next returns the request that writes next, or nil: then the job is free.
func (q *queue) next() *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.busy, q.waiting = false, nil
		return nil
	}
	return q.waiting[0]
}
