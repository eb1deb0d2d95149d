package interleave

import (
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
