package aggregate

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// countFunction is count: the number of values that are not NULL, or of rows.
func countFunction() functionEntry {
	return functionEntry{name: "count", rows: true, call: func(a feature.Aggregation) (*Call, error) {
		return &Call{Type: feature.Scalar(feature.Int64), Specs: []Spec{countSpec(a.Input)}, Empty: int64(0), Finish: func(states []States) (arrow.Array, error) {
			return int64s(states[0].(*counts).n), nil
		}}, nil
	}}
}

// countSpec is the state of count: its number.
func countSpec(input feature.Field) Spec {
	return Spec{
		Columns: []feature.Field{{Name: input.Name + "__count", Type: feature.Scalar(feature.Int64)}},
		New:     func() States { return &counts{} },
	}
}

type counts struct{ n []int64 }

func (c *counts) Reset(n int) { c.n = zeroed(c.n, n) }

func (c *counts) Add(values arrow.Array, _ Times, spans []Span) {
	for _, s := range spans {
		c.n[s.Group] += int64(s.To - s.From)
	}
	if values == nil || values.NullN() == 0 {
		return
	}
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if values.IsNull(int(i)) {
				c.n[s.Group]--
			}
		}
	}
}

func (c *counts) Fold(tiles []arrow.Array, _ Times, spans []Span) error {
	column, ok := tiles[0].(*array.Int64)
	if !ok || column.NullN() > 0 {
		return feature.Errorf(feature.ErrCorrupt, "stored counts are NULL, or no integers")
	}
	values := column.Int64Values()
	for _, s := range spans {
		n, signs := c.n[s.Group], int64(0)
		for _, v := range values[s.From:s.To] {
			n += v
			signs |= v
		}
		if signs < 0 {
			return feature.Errorf(feature.ErrCorrupt, "a stored count is negative")
		}
		c.n[s.Group] = n
	}
	return nil
}

func (c *counts) Merge(dst int, from States, src int)  { c.n[dst] += from.(*counts).n[src] }
func (c *counts) Remove(dst int, from States, src int) { c.n[dst] -= from.(*counts).n[src] }

func (c *counts) Store() ([]arrow.Array, error) { return []arrow.Array{int64s(c.n)}, nil }

// int64s copies values into a column without NULLs.
func int64s(values []int64) arrow.Array {
	return fixedColumn(arrow.PrimitiveTypes.Int64, slices.Clone(values), nil)
}

// zeroed returns a slice of n zeros, in the memory of s where that is large enough.
func zeroed[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/8) // the next time, it may be a little more
	}
	s = s[:n]
	clear(s)
	return s
}
