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
