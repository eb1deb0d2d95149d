package interleave

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Take returns an array whose row i is row rows[i] of source, as [Rows] does of one source.
func Take(source arrow.Array, rows []uint32) arrow.Array {
	if allNull(source) {
		return array.MakeArrayOfNull(memory.DefaultAllocator, source.DataType(), len(rows))
	}
	if source.NullN() == 0 {
		switch s := source.(type) {
		case *array.Int32:
			return taken(s, rows, arrow.Int32Traits.CastToBytes, s.Int32Values())
		case *array.Int64:
			return taken(s, rows, arrow.Int64Traits.CastToBytes, s.Int64Values())
		case *array.Float32:
			return taken(s, rows, arrow.Float32Traits.CastToBytes, s.Float32Values())
		case *array.Float64:
			return taken(s, rows, arrow.Float64Traits.CastToBytes, s.Float64Values())
		case *array.Timestamp:
			return taken(s, rows, arrow.TimestampTraits.CastToBytes, s.TimestampValues())
		}
	}
	row := make([]int32, len(rows))
	for i, r := range rows {
		row[i] = int32(r)
	}
	return Rows([]arrow.Array{source}, make([]int32, len(rows)), row)
}

func taken[T any](source arrow.Array, rows []uint32, bytes func([]T) []byte, values []T) arrow.Array {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = values[r]
	}
	data := array.NewData(source.DataType(), len(rows), []*memory.Buffer{nil, memory.NewBufferBytes(bytes(out))}, nil, 0, 0)
	return array.MakeFromData(data)
}
