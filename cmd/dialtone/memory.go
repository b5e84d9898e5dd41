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
)

// tuneCollector lets the garbage collector run less often while little memory is in use. Go's rule is to collect when
// the heap has doubled; of the few megabytes of a small site, that is forty times a second in a boot storm, and takes a
// sixth of the CPU. A fixed higher percentage would cost a large site as many times its leases, and a memory limit
// would have the collector run without a pause once these come near it. GOGC in the environment overrules all this.
func tuneCollector(ctx context.Context) error {
	if is := debug.SetGCPercent(100); is != 100 {
		debug.SetGCPercent(is)
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(heapEvery)
	defer tick.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for is := 100; ; {
		metrics.Read(live)
		if percent := heapPercent(live[0].Value.Uint64()); percent != is {
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

// heapPercent returns by how much the heap may grow, in steps: each change of it stops the program for a moment.
func heapPercent(live uint64) int {
	for _, percent := range []uint64{400, 300, 200, 150} {
		if live*percent/100 <= heapSpare {
			return int(percent) //nolint:gosec // one of the above
		}
	}
	return 100
}
