// Package interleave builds Arrow arrays out of single rows of other arrays.
package interleave

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Rows returns an array whose row i is row row[i] of sources[from[i]]. The sources, at least one, have one type: that of a
// feature type (see feature.Type.Arrow). The result shares no memory with them, unless it has nothing but NULLs. Time and memory are linear in the result,
// whatever the size of the sources.
func Rows(sources []arrow.Array, from, row []int32) arrow.Array {
	if allNull(sources...) {
		return nullsOf(sources[0], len(row))
	}
	switch sources[0].(type) {
	case *array.Int32:
		return fixed(sources, from, row, arrow.Int32Traits.CastToBytes, func(a arrow.Array) []int32 { return a.(*array.Int32).Int32Values() })
	case *array.Int64:
		return fixed(sources, from, row, arrow.Int64Traits.CastToBytes, func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() })
	case *array.Float32:
		return fixed(sources, from, row, arrow.Float32Traits.CastToBytes, func(a arrow.Array) []float32 { return a.(*array.Float32).Float32Values() })
	case *array.Float64:
		return fixed(sources, from, row, arrow.Float64Traits.CastToBytes, func(a arrow.Array) []float64 { return a.(*array.Float64).Float64Values() })
	case *array.Timestamp:
		return fixed(sources, from, row, arrow.TimestampTraits.CastToBytes, func(a arrow.Array) []arrow.Timestamp { return a.(*array.Timestamp).TimestampValues() })
	case *array.Boolean:
		return booleans(sources, from, row)
	case *array.String:
		return text(sources, from, row, func(a arrow.Array, i int) string { return a.(*array.String).Value(i) })
	case *array.Binary:
		return text(sources, from, row, func(a arrow.Array, i int) []byte { return a.(*array.Binary).Value(i) })
	case *array.List:
		return lists(sources, from, row)
	}
	panic("interleave: " + sources[0].DataType().String() + " is no feature type's column")
}

// allNull reports whether the sources have nothing but NULLs.
func allNull(sources ...arrow.Array) bool {
	return !slices.ContainsFunc(sources, func(s arrow.Array) bool { return s.NullN() < s.Len() })
}

// nullsOf returns n rows of a source that has nothing but NULLs.
func nullsOf(source arrow.Array, n int) arrow.Array {
	if n <= source.Len() {
		return array.NewSlice(source, 0, int64(n))
	}
	return array.MakeArrayOfNull(memory.DefaultAllocator, source.DataType(), n)
}

func fixed[T any](sources []arrow.Array, from, row []int32, bytes func([]T) []byte, of func(arrow.Array) []T) arrow.Array {
	values := make([][]T, len(sources))
	for i, s := range sources {
		values[i] = of(s)
	}
	out := make([]T, len(row))
	for i, r := range row {
		out[i] = values[from[i]][r]
	}
	return build(sources, from, row, memory.NewBufferBytes(bytes(out)))
}

func booleans(sources []arrow.Array, from, row []int32) arrow.Array {
	bits := make([]byte, (len(row)+7)/8)
	for i, r := range row {
		if sources[from[i]].(*array.Boolean).Value(int(r)) {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return build(sources, from, row, memory.NewBufferBytes(bits))
}

func text[T string | []byte](sources []arrow.Array, from, row []int32, value func(arrow.Array, int) T) arrow.Array {
	offsets := make([]int32, len(row)+1)
	for i, r := range row {
		offsets[i+1] = offsets[i] + int32(len(value(sources[from[i]], int(r))))
	}
	out := make([]byte, 0, offsets[len(row)])
	for i, r := range row {
		out = append(out, value(sources[from[i]], int(r))...)
	}
	return build(sources, from, row, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(out))
}

// lists gathers the elements as Rows of the sources' element columns.
func lists(sources []arrow.Array, from, row []int32) arrow.Array {
	elements := make([]arrow.Array, len(sources))
	for i, s := range sources {
		elements[i] = s.(*array.List).ListValues()
	}
	offsets := make([]int32, len(row)+1)
	var elementFrom, elementRow []int32
	for i, r := range row {
		start, end := sources[from[i]].(*array.List).ValueOffsets(int(r))
		for e := start; e < end; e++ {
			elementFrom, elementRow = append(elementFrom, from[i]), append(elementRow, int32(e))
		}
		offsets[i+1] = int32(len(elementRow))
	}
	child := Rows(elements, elementFrom, elementRow)
	valid, nulls := validity(sources, from, row)
	data := array.NewData(sources[0].DataType(), len(row), []*memory.Buffer{valid, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets))},
		[]arrow.ArrayData{child.Data()}, nulls, 0)
	return array.MakeFromData(data)
}

// build makes an array of the sources' type from its buffers, its validity taken from the rows.
func build(sources []arrow.Array, from, row []int32, buffers ...*memory.Buffer) arrow.Array {
	valid, nulls := validity(sources, from, row)
	data := array.NewData(sources[0].DataType(), len(row), append([]*memory.Buffer{valid}, buffers...), nil, nulls, 0)
	return array.MakeFromData(data)
}

// validity returns the bitmap of rows that are not NULL, nil when none is, and the number of NULLs.
func validity(sources []arrow.Array, from, row []int32) (*memory.Buffer, int) {
	any := false
	for _, s := range sources {
		any = any || s.NullN() > 0
	}
	if !any {
		return nil, 0
	}
	bits, nulls := make([]byte, (len(row)+7)/8), 0
	for i, r := range row {
		if sources[from[i]].IsNull(int(r)) {
			nulls++
		} else {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return memory.NewBufferBytes(bits), nulls
}
