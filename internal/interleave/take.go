package interleave

import (
	"slices"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Take returns an array whose row i is row rows[i] of source, as [Rows] does of one source. Numbers have memory of m.
func Take(m memory.Allocator, source arrow.Array, rows []uint32) arrow.Array {
	if allNull(source) {
		return nullsOf(source, len(rows))
	}
	if source.NullN() == 0 {
		switch s := source.(type) {
		case *array.Int32:
			return taken(m, s, rows, s.Int32Values())
		case *array.Int64:
			return taken(m, s, rows, s.Int64Values())
		case *array.Float32:
			return taken(m, s, rows, s.Float32Values())
		case *array.Float64:
			return taken(m, s, rows, s.Float64Values())
		case *array.Timestamp:
			return taken(m, s, rows, s.TimestampValues())
		}
	}
	row := make([]int32, len(rows))
	for i, r := range rows {
		row[i] = int32(r)
	}
	return Rows([]arrow.Array{source}, make([]int32, len(rows)), row)
}

// numbers returns an array of a buffer's values, none of which is NULL. It takes the buffer over.
func numbers(t arrow.DataType, n int, buffer *memory.Buffer) arrow.Array {
	data := array.NewData(t, n, []*memory.Buffer{nil, buffer}, nil, 0, 0)
	defer data.Release()
	buffer.Release() // which data holds
	return array.MakeFromData(data)
}

func taken[T arrow.FixedWidthType](m memory.Allocator, source arrow.Array, rows []uint32, values []T) arrow.Array {
	buffer := memory.NewBufferWithAllocator(m.Allocate(len(rows)*int(unsafe.Sizeof(*new(T)))), m)
	out := arrow.GetData[T](buffer.Bytes())
	for i, r := range rows {
		out[i] = values[r]
	}
	return numbers(source.DataType(), len(rows), buffer)
}

// Put returns the rows of parts, one at least and all of one type, in the order that places say: row i of them, counted through all parts, becomes row places[i]. Each
// place is there once. Numbers are read in their order, once, and written where they belong, which takes less time than looking for each where it lies. They have memory
// of m; what else has to be joined first lies in scratch meanwhile.
func Put(m, scratch memory.Allocator, parts []Part, places []uint32) (arrow.Array, error) {
	if !slices.ContainsFunc(parts, func(p Part) bool { return p.Array.NullN() > 0 }) {
		switch parts[0].Array.(type) {
		case *array.Int32:
			return put(m, parts, places, (*array.Int32).Int32Values), nil
		case *array.Int64:
			return put(m, parts, places, (*array.Int64).Int64Values), nil
		case *array.Float32:
			return put(m, parts, places, (*array.Float32).Float32Values), nil
		case *array.Float64:
			return put(m, parts, places, (*array.Float64).Float64Values), nil
		case *array.Timestamp:
			return put(m, parts, places, (*array.Timestamp).TimestampValues), nil
		}
	}
	source := parts[0].slice()
	if len(parts) > 1 || allNull(source) { // which Take would share
		var err error
		if source, err = Join(scratch, parts); err != nil {
			return nil, err
		}
	}
	rows := make([]uint32, len(places))
	for i, place := range places {
		rows[place] = uint32(i)
	}
	return Take(m, source, rows), nil
}

func put[A arrow.Array, T arrow.FixedWidthType](m memory.Allocator, parts []Part, places []uint32, of func(A) []T) arrow.Array {
	buffer := memory.NewBufferWithAllocator(m.Allocate(len(places)*int(unsafe.Sizeof(*new(T)))), m)
	out := arrow.GetData[T](buffer.Bytes())
	for _, p := range parts {
		values := of(p.Array.(A))[p.From:p.To]
		for i, place := range places[:len(values)] {
			out[place] = values[i]
		}
		places = places[len(values):]
	}
	return numbers(parts[0].Array.DataType(), len(out), buffer)
}
