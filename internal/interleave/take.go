package interleave

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Take returns an array whose row i is row rows[i] of source, as [Rows] does of one source. Numbers lie in memory of m.
func Take(source arrow.Array, rows []uint32, m memory.Allocator) arrow.Array {
	if allNull(source) {
		return array.MakeArrayOfNull(memory.DefaultAllocator, source.DataType(), len(rows))
	}
	if source.NullN() == 0 {
		switch s := source.(type) {
		case *array.Int32:
			return taken(s, rows, m, arrow.Int32Traits.CastFromBytes, s.Int32Values())
		case *array.Int64:
			return taken(s, rows, m, arrow.Int64Traits.CastFromBytes, s.Int64Values())
		case *array.Float32:
			return taken(s, rows, m, arrow.Float32Traits.CastFromBytes, s.Float32Values())
		case *array.Float64:
			return taken(s, rows, m, arrow.Float64Traits.CastFromBytes, s.Float64Values())
		case *array.Timestamp:
			return taken(s, rows, m, arrow.TimestampTraits.CastFromBytes, s.TimestampValues())
		}
	}
	row := make([]int32, len(rows))
	for i, r := range rows {
		row[i] = int32(r)
	}
	return Rows([]arrow.Array{source}, make([]int32, len(rows)), row)
}

func taken[T any](source arrow.Array, rows []uint32, m memory.Allocator, of func([]byte) []T, values []T) arrow.Array {
	buffer := memory.NewResizableBuffer(m)
	defer buffer.Release() // the array holds it
	buffer.Resize(len(rows) * int(unsafe.Sizeof(*new(T))))
	out := of(buffer.Bytes())
	for i, r := range rows {
		out[i] = values[r]
	}
	data := array.NewData(source.DataType(), len(rows), []*memory.Buffer{nil, buffer}, nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}
