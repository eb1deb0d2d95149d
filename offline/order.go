package offline

import (
	"cmp"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// order follows rows that come in batches and tells whether they are sorted by their leading columns, ascending, NULLs
// first.
type order struct {
	keys int           // how many of the columns are key parts
	last []arrow.Array // the sorting columns of the last row, one row each; nil before the first
	tied []bool        // of the batch's rows: equal to the one before in the columns compared so far, in the end in all
}

// next takes the sorting columns of the next rows, at least one. It returns the first row that belongs before the one before
// it, or -1; and for each row whether its key is another than that of the row before. The flags are good until the
// next call.
func (o *order) next(columns []arrow.Array, newKey []bool) (bad int, _ []bool) {
	n := columns[0].Len()
	o.tied = grow(o.tied, n)
	for i := range o.tied {
		o.tied[i] = true
	}
	o.tied[0] = o.last != nil
	newKey = grow(newKey, n)
	for c, column := range columns {
		if c == o.keys {
			o.flagKeys(newKey)
		}
		var before arrow.Array
		if o.last != nil {
			before = o.last[c]
		}
		if bad := ascends(before, column, o.tied); bad >= 0 {
			return bad, nil
		}
	}
	for _, l := range o.last {
		l.Release()
	}
	o.last = o.last[:0]
	for _, column := range columns {
		o.last = append(o.last, array.NewSlice(column, int64(n-1), int64(n)))
	}
	return -1, newKey
}

func (o *order) flagKeys(newKey []bool) {
	for i, t := range o.tied {
		newKey[i] = !t
	}
}

func grow(s []bool, n int) []bool {
	if cap(s) < n {
		return make([]bool, n)
	}
	return s[:n]
}

// ascends compares the rows of a column that are tied so far with the one before, which for row 0 is the last of before
// (nil: none). It unties those that are greater and returns the first that is less, or -1.
func ascends(before, column arrow.Array, tied []bool) int {
	switch column.(type) {
	case *array.Int32:
		return ascending(before, column, tied, func(a arrow.Array) []int32 { return a.(*array.Int32).Int32Values() })
	case *array.Int64:
		return ascending(before, column, tied, func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() })
	case *array.Timestamp:
		return ascending(before, column, tied, timesNullFirst)
	case *array.String:
		return ascending(before, column, tied, func(a arrow.Array) []string {
			return gather(a, a.(*array.String).Value)
		})
	case *array.Binary:
		return ascending(before, column, tied, func(a arrow.Array) []string {
			return gather(a, func(i int) string {
				b := a.(*array.Binary).Value(i)
				return unsafe.String(unsafe.SliceData(b), len(b)) // read alone, and forgotten before the array is
			})
		})
	case *array.Boolean:
		return ascending(before, column, tied, func(a arrow.Array) []int8 {
			return gather(a, func(i int) int8 {
				if a.(*array.Boolean).Value(i) {
					return 1
				}
				return 0
			})
		})
	}
	panic("offline: " + column.DataType().String() + " is no type to sort by")
}

func gather[T any](a arrow.Array, value func(int) T) []T {
	values := make([]T, a.Len())
	for i := range values {
		values[i] = value(i)
	}
	return values
}

// timesNullFirst returns microseconds, the least for NULL. A NULL and the beginning of time tie, which is one instant too few.
func timesNullFirst(a arrow.Array) []int64 {
	v := a.(*array.Timestamp).TimestampValues()
	times := unsafe.Slice((*int64)(unsafe.SliceData(v)), len(v))
	if a.NullN() == 0 {
		return times
	}
	times = append([]int64(nil), times...)
	for i := range times {
		if a.IsNull(i) {
			times[i] = int64(feature.MinTime)
		}
	}
	return times
}

func ascending[T cmp.Ordered](before, column arrow.Array, tied []bool, values func(arrow.Array) []T) int {
	v := values(column)
	if before != nil && tied[0] {
		switch w := values(before)[0]; {
		case v[0] < w:
			return 0
		case v[0] > w:
			tied[0] = false
		}
	}
	for i := 1; i < len(v); i++ {
		if !tied[i] || v[i] == v[i-1] {
			continue
		}
		if v[i] < v[i-1] {
			return i
		}
		tied[i] = false
	}
	return -1
}
