package interleave

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/internal/uncleared"
)

// Part is rows [From, To) of an array.
type Part struct {
	Array    arrow.Array
	From, To int
}

// slice returns the rows as an array.
func (p *Part) slice() arrow.Array { return array.NewSlice(p.Array, int64(p.From), int64(p.To)) }

// Join returns the rows of parts, one at least and all of one type, one after the other, as an array that shares no memory with them. It lies in memory of m, unless it has nothing but NULLs: what [Rows]
// and [Take] make of it may then share that.
func Join(m memory.Allocator, parts []Part) (arrow.Array, error) {
	switch parts[0].Array.(type) {
	case *array.Int32:
		return joined(m, parts, func(a arrow.Array) []int32 { return a.(*array.Int32).Int32Values() })
	case *array.Int64:
		return joined(m, parts, func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() })
	case *array.Float32:
		return joined(m, parts, func(a arrow.Array) []float32 { return a.(*array.Float32).Float32Values() })
	case *array.Float64:
		return joined(m, parts, func(a arrow.Array) []float64 { return a.(*array.Float64).Float64Values() })
	case *array.Timestamp:
		return joined(m, parts, func(a arrow.Array) []arrow.Timestamp { return a.(*array.Timestamp).TimestampValues() })
	}
	return concatenated(m, parts)
}

// joined copies numbers side by side, unless there are NULLs among them.
func joined[T arrow.FixedWidthType](m memory.Allocator, parts []Part, of func(arrow.Array) []T) (arrow.Array, error) {
	rows := 0
	for i := range parts {
		if parts[i].Array.NullN() > 0 {
			return concatenated(m, parts)
		}
		rows += parts[i].To - parts[i].From
	}
	buffer := memory.NewBufferWithAllocator(m.Allocate(rows*int(unsafe.Sizeof(*new(T)))), m)
	out := arrow.GetData[T](buffer.Bytes())
	for i := range parts {
		out = out[copy(out, of(parts[i].Array)[parts[i].From:parts[i].To]):]
	}
	return numbers(parts[0].Array.DataType(), rows, buffer), nil
}

// concatenated joins arrays of any type.
func concatenated(m memory.Allocator, parts []Part) (arrow.Array, error) {
	arrays, rows := make([]arrow.Array, len(parts)), 0
	for i := range parts {
		arrays[i] = parts[i].slice()
		rows += arrays[i].Len()
	}
	if allNull(arrays...) {
		return nulls(arrays[0].DataType(), rows), nil
	}
	return array.Concatenate(arrays, m)
}

// nulls returns an array of nothing but NULLs. Numbers have values that nobody has written.
func nulls(t arrow.DataType, n int) arrow.Array {
	fixed, ok := t.(arrow.FixedWidthDataType)
	if !ok {
		return array.MakeArrayOfNull(memory.DefaultAllocator, t, n)
	}
	valid, values := make([]byte, (n+7)/8), uncleared.Make[byte]((n*fixed.BitWidth()+7)/8)
	data := array.NewData(t, n, []*memory.Buffer{memory.NewBufferBytes(valid), memory.NewBufferBytes(values)}, nil, n, 0)
	defer data.Release()
	return array.MakeFromData(data)
}
