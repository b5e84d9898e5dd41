package lease

import (
	"context"
	"log/slog"
	"time"
)

const (
	followBatch  = 256             // events in memory; none is read while one is delivered
	followSave   = 1024            // events between two saves of the cursor, at most …
	followLinger = 5 * time.Second // … or the time between them
	followRetry  = time.Second     // before the second try; each further pause is twice as long …
	followPause  = time.Minute     // … up to this
	followGiveUp = time.Hour       // since an event's first try
	followErrors = 5               // failed reads at one place before what can't be read is passed over
)

// Follow delivers the events of the table's store to a reader that has a name: in order, each at least once, from where
// the reader of that name was when the process last ended. It returns nil when ctx ends, and waits for deliver.
//
// If deliver fails, the same event is tried again after a second, then after pauses that double up to a minute; after
// an hour the event is logged and passed over, so that nothing dams the rest for ever. A reader that knows a hopeless
// event returns nil for it.
//
// How far the reader came is saved after 1024 events or 5 seconds, and at the end. After a crash it gets at most what
// came since then once more.
func Follow(
	ctx context.Context, t *Table, c Cursors, name string, deliver func(context.Context, Event) error, log *slog.Logger,
) error {
	f := follower{table: t, cursors: c, name: name, deliver: deliver, log: log.With("reader", name)}
	sub := t.Subscribe(followBatch) // before the first read, so that nothing is missed in between
	defer sub.Close()
	if !f.load(ctx) {
		return nil
	}
	defer f.save(context.WithoutCancel(ctx))
	linger := time.NewTicker(followLinger)
	defer linger.Stop()
	for behind := true; ctx.Err() == nil; {
		if behind = behind || sub.Lagged(); behind {
			if more := f.round(ctx); more {
				continue
			}
			behind = false
		}
		select {
		case <-ctx.Done():
		case e := <-sub.C:
			// What comes in order needs no reading. What was read before it came here is old.
			if e.Seq == f.seq+1 {
				behind = !f.take(ctx, e)
			} else {
				behind = e.Seq > f.seq
			}
		case <-linger.C:
			f.save(ctx)
			behind = f.fails > 0
		}
	}
	return nil
}

type follower struct {
	table   *Table
	cursors Cursors
	name    string
	deliver func(context.Context, Event) error
	log     *slog.Logger

	seq     uint64 // delivered last
	unsaved int
	since   time.Time // of the first that is unsaved
	fails   int       // of reading what comes next
}

// load reads the cursor, however long that takes. It returns false if ctx ended.
func (f *follower) load(ctx context.Context) bool {
	for pause := followRetry; ; pause = min(2*pause, followPause) {
		seq, err := f.cursors.LoadCursor(ctx, f.name)
		if err == nil {
			f.seq = seq
			return true
		}
		f.log.ErrorContext(ctx, "place in the lease events can't be read", "err", err)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

func (f *follower) save(ctx context.Context) {
	if f.unsaved == 0 {
		return
	}
	if err := f.cursors.SaveCursor(ctx, f.name, f.seq); err != nil {
		f.log.ErrorContext(ctx, "place in the lease events can't be saved", "seq", f.seq, "err", err)
		return
	}
	f.unsaved = 0
}

// round delivers what the store has, and reports whether it may have more.
func (f *follower) round(ctx context.Context) (more bool) {
	events, err := f.read(ctx)
	if err != nil {
		if f.fails++; f.fails&(f.fails-1) == 0 { // it may stay so for long
			f.log.ErrorContext(ctx, "lease events can't be read", "after", f.seq, "tries", f.fails, "err", err)
		}
	} else {
		f.fails = 0
	}
	for _, e := range events {
		// A reader that is new has missed nothing.
		if e.Seq != f.seq+1 && f.seq != 0 {
			f.log.WarnContext(ctx, "lease events are missing", "first", f.seq+1, "last", e.Seq-1)
		}
		if !f.take(ctx, e) {
			return false
		}
	}
	return len(events) == followBatch
}

// take delivers an event and now and then saves how far it came. It returns false if ctx ended before it was delivered.
func (f *follower) take(ctx context.Context, e Event) bool {
	if !f.try(ctx, e) {
		return false
	}
	f.seq = e.Seq
	if f.unsaved++; f.unsaved == 1 {
		f.since = time.Now()
	}
	if f.unsaved >= followSave || time.Since(f.since) >= followLinger {
		f.save(ctx)
	}
	return true
}

// read takes a batch into memory: an iteration over the store mustn't last as long as a delivery.
func (f *follower) read(ctx context.Context) (events []Event, err error) {
	for e, fault := range f.table.store.Events(ctx, f.seq) {
		switch {
		case fault == nil:
			events = append(events, e)
		case f.fails < followErrors:
			return events, fault
		default:
			err = fault // what follows shows as a gap
		}
		if len(events) == followBatch {
			break
		}
	}
	return events, err
}

// try delivers an event, again and again if need be. It returns false if ctx ended.
func (f *follower) try(ctx context.Context, e Event) bool {
	first := time.Now()
	for pause := followRetry; ; pause = min(2*pause, followPause) {
		err := f.deliver(ctx, e)
		switch {
		case err == nil:
			return true
		case ctx.Err() != nil:
			return false
		case time.Since(first) >= followGiveUp:
			f.log.ErrorContext(ctx, "lease event is given up", "seq", e.Seq, "ip", e.Lease.Addr, "mac", e.Lease.Client.HW, "err", err)
			return true
		}
		f.log.WarnContext(ctx, "lease event is not delivered yet", "seq", e.Seq, "err", err)
		if !sleep(ctx, pause) {
			return false
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
