package aggregate

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// avgFunction is avg: the real sum divided by the count, rounded once.
func avgFunction() functionEntry {
	return functionEntry{name: "avg", call: func(a feature.Aggregation) (*Call, error) {
		if err := needNumber(a.Input.Type); err != nil {
			return nil, err
		}
		specs := []Spec{countSpec(a.Input), sumSpec(a.Input)}
		return &Call{Type: feature.Scalar(feature.Float64), Specs: specs, Finish: func(states []States) (arrow.Array, error) {
			n, sum := states[0].(*counts).n, states[1].(sums)
			return float64s(n, func(g int) (float64, bool) { return sum.quotient(g, n[g]), n[g] > 0 }), nil
		}}, nil
	}}
}

// float64s returns a column with a value for each of n; those that are not ok are NULL.
func float64s(n []int64, value func(group int) (v float64, ok bool)) arrow.Array {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.Reserve(len(n))
	for g := range n {
		if n[g] == 0 {
			b.UnsafeAppendBoolToBitmap(false)
			continue
		}
		if v, ok := value(g); ok {
			b.UnsafeAppend(v)
		} else {
			b.UnsafeAppendBoolToBitmap(false)
		}
	}
	return b.NewArray()
}
