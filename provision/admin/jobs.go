package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dialtone-project/dialtone/provision"
	"github.com/dialtone-project/dialtone/provision/port"
)

// Bounds of the jobs.
const (
	keptJobs    = 200 // that have ended
	queuedJobs  = 16  // that wait
	keptImports = 8   // whose verdicts are remembered
)

// JobState is how far a job is.
type JobState string

// The states of a job; the last three are for ever.
const (
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Ended reports whether nothing happens to the job any more.
func (s JobState) Ended() bool { return s == JobDone || s == JobFailed || s == JobCancelled }

// JobKind is what a job does.
type JobKind string

// The kinds of jobs.
const (
	JobBackup JobKind = "backup"
	JobVerify JobKind = "verify"
	JobImport JobKind = "import"
)

// Job is work that takes too long for whoever asked to wait, as it is at one moment.
type Job struct {
	ID          string // of this run of the program
	Kind        JobKind
	Object      string // what it is about; of a backup, its name once there is one
	State       JobState
	Done, Total int64     // bytes; Total 0: nobody knows yet how many
	By          string    // who asked for it
	Created     time.Time // when it was asked for
	Started     time.Time // zero: it hasn't
	Ended       time.Time // zero: it hasn't
	Err         error     // why it failed
	// Verdicts are what an import that is done said of each thing; nil if it is none of the last ones. They never change.
	Verdicts []port.Verdict
}

// Work does a job. It ends soon after its context, with its error. Progress says how far it is and may be called often;
// what Work returns is the job's Object from then on, if it is any.
type Work func(ctx context.Context, progress func(done, total int64)) (object string, err error)

// effort does a job of any kind, as [Work] does, and writes what only that kind comes to into its result.
type effort func(ctx context.Context, progress func(done, total int64), result *Job) (object string, err error)

// Jobs does long work, one job after the other, and remembers the last ones until the program ends. It is safe for
// concurrent use; make it with NewJobs.
type Jobs struct {
	queue chan *job

	mu    sync.Mutex // guards what follows
	told  func(Job)
	list  []*job // the oldest first
	last  int
	ended bool
}

// job is one with what does it.
type job struct {
	Job
	work   effort
	cancel context.CancelFunc // nil: it doesn't run
}

// NewJobs returns an empty list.
func NewJobs() *Jobs { return &Jobs{queue: make(chan *job, queuedJobs)} }

// Tell has a function called at each change of a job's state, in their order. It must return at once, and must not call
// back.
func (j *Jobs) Tell(f func(Job)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.told = f
}

// Start queues work. ErrConflict if too much waits already, or the program is about to end.
func (j *Jobs) Start(kind JobKind, object, by string, work Work) (Job, error) {
	return j.start(kind, object, by, func(ctx context.Context, progress func(done, total int64), _ *Job) (string, error) {
		return work(ctx, progress)
	})
}

// StartImport queues an import from a kind of files, as Start does. The job's Verdicts are what it returns.
func (j *Jobs) StartImport(format port.Format, by string, run func(context.Context) ([]port.Verdict, error)) (Job, error) {
	return j.start(JobImport, string(format), by, func(ctx context.Context, _ func(done, total int64), result *Job) (_ string, err error) {
		result.Verdicts, err = run(ctx)
		return "", err
	})
}

func (j *Jobs) start(kind JobKind, object, by string, work effort) (Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return Job{}, fmt.Errorf("the appliance is about to stop: ask again when it runs: %w", provision.ErrConflict)
	}
	x := &job{
		Job:  Job{ID: strconv.Itoa(j.last + 1), Kind: kind, Object: object, State: JobQueued, By: by, Created: time.Now()},
		work: work,
	}
	select {
	case j.queue <- x:
	default:
		return Job{}, fmt.Errorf("%d jobs wait already: let them end or cancel some: %w", queuedJobs, provision.ErrConflict)
	}
	j.last++
	j.list = append(j.list, x)
	j.forget()
	j.tell(x)
	return x.Job, nil
}

// forget drops the oldest of those that have ended; mu is held.
func (j *Jobs) forget() {
	if len(j.list) <= keptJobs {
		return
	}
	if i := slices.IndexFunc(j.list, func(x *job) bool { return x.State.Ended() }); i >= 0 {
		j.list = slices.Delete(j.list, i, i+1)
	}
}

// tell passes on that a state has changed; mu is held.
func (j *Jobs) tell(x *job) {
	if j.told != nil {
		j.told(x.Job)
	}
}

// Run does the jobs until ctx ends. Then the one in hand and those that wait are cancelled.
func (j *Jobs) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			j.stop()
			return nil
		case x := <-j.queue:
			if ctx.Err() == nil { // of two that are ready, either is taken; nothing is begun at the end
				j.do(ctx, x)
			}
		}
	}
}

func (j *Jobs) stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	for _, x := range j.list {
		if !x.State.Ended() {
			j.end(x, "", context.Canceled)
		}
	}
}

// do does one job, unless it was cancelled while it waited.
func (j *Jobs) do(ctx context.Context, x *job) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j.mu.Lock()
	if x.State.Ended() {
		j.mu.Unlock()
		return
	}
	x.State, x.Started, x.cancel = JobRunning, time.Now(), cancel
	j.tell(x)
	j.mu.Unlock()
	var result Job
	object, err := x.work(ctx, func(done, total int64) {
		j.mu.Lock()
		defer j.mu.Unlock()
		x.Done, x.Total = done, total
	}, &result)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		err = context.Canceled // whatever it stumbled over because of that
	}
	if err == nil {
		x.Verdicts = result.Verdicts
	}
	j.end(x, object, err)
	j.forgetVerdicts()
}

// forgetVerdicts lets go those of all imports but the last; mu is held.
func (j *Jobs) forgetVerdicts() {
	kept := 0
	for _, x := range slices.Backward(j.list) {
		if x.Verdicts == nil {
			continue
		}
		if kept++; kept > keptImports {
			x.Verdicts = nil
		}
	}
}

// end writes down what a job came to; mu is held.
func (j *Jobs) end(x *job, object string, err error) {
	x.Ended, x.work, x.cancel = time.Now(), nil, nil
	if object != "" {
		x.Object = object
	}
	switch {
	case err == nil:
		x.State = JobDone
	case errors.Is(err, context.Canceled):
		x.State = JobCancelled
	default:
		x.State, x.Err = JobFailed, err
	}
	j.tell(x)
}

// Job returns one by its ID. ErrNotFound.
func (j *Jobs) Job(id string) (Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x, err := j.find(id)
	if err != nil {
		return Job{}, err
	}
	return x.Job, nil
}

// find finds one by its ID; mu is held.
func (j *Jobs) find(id string) (*job, error) {
	i := slices.IndexFunc(j.list, func(x *job) bool { return x.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("job %s: %w: the last %d are kept, until the program ends", provision.Printable(id), provision.ErrNotFound, keptJobs)
	}
	return j.list[i], nil
}

// Cancel has a job end before its time, and returns it as it is now: one that runs ends soon after. ErrNotFound;
// ErrConflict if it has ended.
func (j *Jobs) Cancel(id string) (Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x, err := j.find(id)
	switch {
	case err != nil:
		return Job{}, err
	case x.State.Ended():
		return Job{}, fmt.Errorf("job %s is %s: there is nothing to cancel: %w", x.ID, x.State, provision.ErrConflict)
	case x.cancel != nil:
		x.cancel()
	default:
		j.end(x, "", context.Canceled)
	}
	return x.Job, nil
}

// All returns the jobs that are remembered, the oldest first.
func (j *Jobs) All() []Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	list := make([]Job, len(j.list))
	for i, x := range j.list {
		list[i] = x.Job
	}
	return list
}

// Page returns a page of them, the newest first if nothing else is said.
func (j *Jobs) Page(p Page) (List[Job], error) { return jobTable().page(j.All(), p) }

func jobTable() *table[Job] {
	number := func(x *Job) string {
		n, _ := strconv.ParseUint(x.ID, 10, 64) // it is ours
		return numberKey(n)
	}
	return &table[Job]{sort: "-id", id: number, fields: map[string]field[Job]{
		"id":      {text: func(x *Job) string { return x.ID }, key: number, exact: true},
		"kind":    {text: func(x *Job) string { return string(x.Kind) }, free: true},
		"object":  {text: func(x *Job) string { return x.Object }, free: true},
		"state":   {text: func(x *Job) string { return string(x.State) }, exact: true},
		"by":      {text: func(x *Job) string { return x.By }, free: true},
		"created": {text: func(x *Job) string { return timeText(x.Created) }, key: func(x *Job) string { return timeKey(x.Created) }},
	}}
}
