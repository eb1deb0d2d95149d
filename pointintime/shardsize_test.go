package pointintime

import "testing"

// TestShardsFor asks for the shards of spines and histories of several sizes: none is to hold much more of either than a worker has the memory for, and a small spine is not
// to be cut for the sake of a long history.
func TestShardsFor(t *testing.T) {
	for _, c := range []struct{ rows, history, workers, want int }{
		{0, 0, 2, 1},
		{1000, 1 << 30, 2, 1},
		{1 << 16, 1 << 20, 8, 2},
		{1 << 21, 20 << 20, 2, 18},
		{1 << 21, 128 << 20, 2, 34},
		{1 << 21, 1 << 40, 2, 64},
		{1 << 21, 1 << 20, 3, 18},
	} {
		if got := shardsFor(c.rows, c.history, c.workers); got != c.want {
			t.Errorf("%d rows, %d of history, %d workers: %d shards, want %d", c.rows, c.history, c.workers, got, c.want)
		}
	}
}
