package pointintime

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestAges holds percentiles of ages against those of the sorted ages themselves.
func TestAges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		greatest := rapid.SampledFrom([]int64{0, 1, 300, 70_000, 1e12, math.MaxInt64}).Draw(t, "greatest")
		all := rapid.SliceOfN(rapid.Int64Range(0, greatest), 1, 400).Draw(t, "ages")
		var parts [2]ages // added up, as those of chunks are
		for i, age := range all {
			parts[i%2].note(age)
		}
		parts[0].add(&parts[1])
		slices.Sort(all)
		for _, part := range []float64{0, 0.5, 0.9, 0.99, 1} {
			want := float64(all[int(part*float64(len(all)-1))]) / 1e6
			if got := parts[0].quantile(part, int64(len(all))); math.Abs(got-want) > want/128 {
				t.Fatalf("quantile %v: got %v s, want %v s", part, got, want)
			}
		}
	})
}
