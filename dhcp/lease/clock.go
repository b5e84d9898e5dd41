package lease

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	maxStep  = 5 * time.Minute  // a wall clock that is further off is not believed at once
	stepHold = 10 * time.Minute // but after it has been so for that long
)

// clock is the wall clock without its steps.
type clock struct {
	wall  func() time.Time
	start time.Time     // by the monotonic clock
	base  time.Time     // what the wall clock said then
	skew  atomic.Int64  // a Duration: how far the wall clock has gone from base plus the time since start
	steps time.Duration // sum of the steps that were believed; guarded by Table.mu

	stepped time.Time // since when there is one to believe; only Run uses it
}

func (c *clock) init(wall func() time.Time) {
	c.wall, c.start, c.base = wall, time.Now(), wall().Round(0).UTC()
}

// now returns the wall clock's time, or our own if the wall clock seems to have stepped.
func (c *clock) now() time.Time {
	if w, off := c.read(); off.Abs() <= maxStep {
		return w
	}
	return c.own()
}

func (c *clock) own() time.Time {
	return c.base.Add(time.Since(c.start) + time.Duration(c.skew.Load()))
}

func (c *clock) read() (wall time.Time, off time.Duration) {
	wall = c.wall().Round(0).UTC()
	return wall, wall.Sub(c.own())
}

// watchClock follows what the wall clock drifts, and believes a step that has lasted.
func (t *Table) watchClock(ctx context.Context) {
	c := &t.clock
	wall, off := c.read()
	switch {
	case off.Abs() <= maxStep:
		c.skew.Add(int64(off))
		c.stepped = time.Time{}
	case c.stepped.IsZero():
		c.stepped = time.Now()
		t.log.WarnContext(ctx, "wall clock has stepped, leases go on by our own time", "wall", wall, "step", off)
	case time.Since(c.stepped) >= stepHold:
		c.stepped = time.Time{}
		t.log.WarnContext(ctx, "step of the wall clock is taken over", "wall", wall, "step", off)
		t.step(off)
	}
}

// step takes over a step of the clock. Clients count by clocks that did not step, so what was leased to them since we
// started is moved along.
func (t *Table) step(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock.skew.Add(int64(d))
	t.clock.steps += d
	for _, e := range t.entries {
		if e.local && e.place >= 0 {
			t.shift(e, d)
		}
	}
}

// shift moves the end of an entry's lease in memory, and has Run store it.
func (t *Table) shift(e *entry, d time.Duration) {
	if e.place < 0 {
		return
	}
	e.expiry = pressed(instant(e.expiry).Add(d))
	t.due.update(e)
	if !e.shifted {
		e.shifted = true
		t.shifted = append(t.shifted, e)
	}
}
