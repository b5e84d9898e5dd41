package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	heapSpare = 16 << 20 // bytes that the heap may grow by between two collections, even if little is in use
	heapEvery = time.Second

	quietBytes = 256 << 10 // bytes that are allocated between two looks, at most, while nothing much is done
	quietLooks = 30        // looks for which that is so before memory is given back
	worthBytes = 4 << 20   // bytes that must have been allocated since it was given back last
)

// tuneCollector lets the garbage collector run less often while little memory is in use. Go's rule is to collect when
// the heap has doubled; of the few megabytes of a small site, that is forty times a second in a boot storm, and takes a
// sixth of the CPU. A fixed higher percentage would cost a large site as many times its leases, and a memory limit
// would have the collector run without a pause once these come near it. When the phones are up and nothing much is done any
// more, what they left behind is given back to the system. GOGC in the environment overrules all this.
func tuneCollector(ctx context.Context) error {
	if is := debug.SetGCPercent(100); is != 100 {
		debug.SetGCPercent(is)
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(heapEvery)
	defer tick.Stop()
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	var idle quiet
	for is := 100; ; {
		metrics.Read(heap)
		if idle.due(heap[1].Value.Uint64()) {
			debug.FreeOSMemory()
		}
		if percent := heapPercent(heap[0].Value.Uint64()); percent != is {
			debug.SetGCPercent(percent)
			is = percent
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// quiet tells when memory is worth giving back. The zero value is that of a start, which gives back by itself.
type quiet struct {
	looks     int    // in a row between which little was allocated
	last, was uint64 // bytes that were allocated ever: at the last look, and when memory was given back
}

// due is asked at each look, with the bytes that were allocated ever.
func (q *quiet) due(allocated uint64) bool {
	if q.looks++; allocated-q.last > quietBytes {
		q.looks = 0
	}
	q.last = allocated
	if q.looks < quietLooks || allocated-q.was < worthBytes {
		return false
	}
	q.looks, q.was = 0, allocated
	return true
}

// heapPercent returns by how much the heap may grow, in steps: each change of it stops the program for a moment.
func heapPercent(live uint64) int {
	for _, percent := range []uint64{400, 300, 200, 150} {
		if live*percent/100 <= heapSpare {
			return int(percent) //nolint:gosec // one of the above
		}
	}
	return 100
}
