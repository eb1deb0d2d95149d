package pointintime

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPlaces gives some of many rows places, in any order and over several calls, and puts what was left there in order.
func TestPlaces(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	for _, n := range []int{0, 1, 100, blockRows - 1, blockRows, blockRows + 1, 3*blockRows + 7} {
		for _, part := range []float64{0, 0.5, 1} {
			p, values, want := newPlaces(n, nil), make([]int64, n), slices.Repeat([]int64{-1}, n)
			var rows, memory []uint32
			for _, row := range random.Perm(n) {
				if random.Float64() < part || part == 1 {
					rows, want[row] = append(rows, uint32(row)), int64(row)
				}
			}
			for i := range values {
				values[i] = -2 // nobody's
			}
			for len(rows) > 0 {
				some := rows[:1+random.IntN(len(rows))]
				places := slices.Clone(some)
				p.take(places, &memory)
				for i, at := range places {
					if values[at] != -2 {
						t.Fatalf("%d rows: place %d is given twice", n, at)
					}
					values[at] = int64(some[i])
				}
				rows = rows[len(some):]
			}
			if settle(p, values, -1); !slices.Equal(values, want) {
				t.Errorf("%d rows, %v of them found: values are not where they belong", n, part)
			}
		}
	}
}
