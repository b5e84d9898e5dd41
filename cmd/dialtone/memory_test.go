package main

import "testing"

func TestHeapPercent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live uint64 // MiB
		want int
	}{{0, 400}, {4, 400}, {5, 300}, {8, 200}, {10, 150}, {16, 100}, {4096, 100}} {
		if got := heapPercent(c.live << 20); got != c.want {
			t.Errorf("%d MiB in use: got %d %%, want %d %%", c.live, got, c.want)
		}
	}
}

// Memory is given back once for each time that something was done, and not while it is.
func TestQuiet(t *testing.T) {
	t.Parallel()
	var q quiet
	var allocated uint64
	look := func(times int, each uint64) (given int) {
		for range times {
			allocated += each
			if q.due(allocated) {
				given++
			}
		}
		return given
	}
	for i, c := range []struct {
		looks int
		each  uint64
		want  int
	}{
		{1, 40 << 20, 0},                         // the start
		{quietLooks - 1, quietBytes, 0},          // not long enough
		{1, quietBytes, 1},                       // now it is
		{10 * quietLooks, 1 << 10, 0},            // next to nothing was done since
		{1000, quietBytes + 1, 0},                // the phones of a site boot
		{quietLooks - 1, 0, 0},                   // and stop,
		{quietLooks, 0, 1},                       // for good
		{worthBytes / quietBytes, quietBytes, 1}, // a trickle, for as long as it was quiet
		{quietLooks - 1, quietBytes, 0},          // and on
		{1, quietBytes, 1},
	} {
		if got := look(c.looks, c.each); got != c.want {
			t.Errorf("step %d: memory was given back %d times, want %d", i, got, c.want)
		}
	}
}
