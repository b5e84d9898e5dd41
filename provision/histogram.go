package provision

import (
	"sync/atomic"
	"time"
)

//nolint:gochecknoglobals // a constant
var tookBounds = [...]time.Duration{
	250 * time.Microsecond, time.Millisecond, 4 * time.Millisecond, 16 * time.Millisecond, 64 * time.Millisecond,
	250 * time.Millisecond, time.Second, 4 * time.Second,
}

// Histogram counts how long something took. The zero value is ready; it is safe for concurrent use, and to observe costs two
// additions.
type Histogram struct {
	n   [len(tookBounds) + 1]atomic.Uint64 // the last one has what took longer
	sum atomic.Int64                       // nanoseconds
}

// TookBucket counts what took at most so long, and longer than what the bucket before it has.
type TookBucket struct {
	Max time.Duration
	N   uint64
}

// Observe counts one.
func (h *Histogram) Observe(took time.Duration) {
	i := 0
	for i < len(tookBounds) && took > tookBounds[i] {
		i++
	}
	h.n[i].Add(1)
	h.sum.Add(int64(took))
}

// Took returns the counts, and how long all took together. The last bucket has no bound.
func (h *Histogram) Took() (buckets []TookBucket, sum time.Duration) {
	buckets = make([]TookBucket, len(h.n))
	for i := range h.n {
		buckets[i].N = h.n[i].Load()
		if i < len(tookBounds) {
			buckets[i].Max = tookBounds[i]
		}
	}
	return buckets, time.Duration(h.sum.Load())
}
