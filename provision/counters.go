package provision

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// StatusOf returns what an error makes of a request; nil is StatusOK.
func StatusOf(err error) Status {
	switch {
	case err == nil:
		return StatusOK
	case errors.Is(err, ErrNotFound):
		return StatusMissing
	case errors.Is(err, ErrForbidden):
		return StatusForbidden
	case errors.Is(err, ErrInvalid):
		return StatusInvalid
	}
	return StatusFailed
}

// Counters count outcomes since the start. The zero value is ready; they are safe for concurrent use.
type Counters struct {
	outcomes [len(countedProtos)][len(countedStatuses)]atomic.Uint64
	created  atomic.Uint64
	sighted  atomic.Uint64
	mismatch atomic.Uint64
	took     [len(tookBounds) + 1]atomic.Uint64 // the last one has what took longer
	tookSum  atomic.Int64                       // nanoseconds
}

//nolint:gochecknoglobals // constants
var (
	countedProtos   = [...]Proto{DHCP, TFTP, HTTP, SIP}
	countedStatuses = [...]Status{StatusOK, StatusMissing, StatusForbidden, StatusInvalid, StatusFailed}
	tookBounds      = [...]time.Duration{
		250 * time.Microsecond, time.Millisecond, 4 * time.Millisecond, 16 * time.Millisecond, 64 * time.Millisecond,
		250 * time.Millisecond, time.Second, 4 * time.Second,
	}
)

// Count is how many requests of a protocol came to a status.
type Count struct {
	Proto  Proto
	Status Status
	N      uint64
}

func (c *Counters) add(o *Outcome) {
	p, s := slices.Index(countedProtos[:], o.Request.Proto), slices.Index(countedStatuses[:], o.Status())
	if p >= 0 && s >= 0 {
		c.outcomes[p][s].Add(1)
	}
	if o.Created {
		c.created.Add(1)
	}
	if o.Sighted {
		c.sighted.Add(1)
	}
	if len(o.Identity.Conflicts) > 0 {
		c.mismatch.Add(1)
	}
	took := o.Took()
	c.tookSum.Add(int64(took))
	i := slices.IndexFunc(tookBounds[:], func(b time.Duration) bool { return took <= b })
	if i < 0 {
		i = len(tookBounds)
	}
	c.took[i].Add(1)
}

// TookBucket counts requests that took at most so long, and longer than those of the bucket before it.
type TookBucket struct {
	Max time.Duration
	N   uint64
}

// Took returns how long requests were worked on, in buckets and in all. The last bucket has no bound.
func (c *Counters) Took() (buckets []TookBucket, sum time.Duration) {
	for i := range c.took {
		b := TookBucket{N: c.took[i].Load()}
		if i < len(tookBounds) {
			b.Max = tookBounds[i]
		}
		buckets = append(buckets, b)
	}
	return buckets, time.Duration(c.tookSum.Load())
}

// Mismatched returns how many requests contradicted themselves, or what was known of who sent them.
func (c *Counters) Mismatched() uint64 { return c.mismatch.Load() }

// Outcomes returns a count for every protocol and status, zeros included, always in the same order.
func (c *Counters) Outcomes() []Count {
	out := make([]Count, 0, len(countedProtos)*len(countedStatuses))
	for p, proto := range countedProtos {
		for s, status := range countedStatuses {
			out = append(out, Count{proto, status, c.outcomes[p][s].Load()})
		}
	}
	return out
}

// Created returns how many devices were added by their own requests.
func (c *Counters) Created() uint64 { return c.created.Load() }

// Sighted returns how many requests came from devices that weren't added.
func (c *Counters) Sighted() uint64 { return c.sighted.Load() }
