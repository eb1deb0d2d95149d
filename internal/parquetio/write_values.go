package parquetio

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"
)

// appendValues appends rows [from, to) of a to values, with the levels of a top-level column. The column index that a Value
// can carry is left out: a column's writer does not look at it.
func appendValues(values []parquet.Value, a arrow.Array, from, to int, optional bool) []parquet.Value {
	level := 0
	if optional {
		level = 1
	}
	if list, ok := a.(*array.List); ok {
		return appendLists(values, list, from, to, level)
	}
	return appendScalars(values, a, from, to, level)
}

// appendScalars appends values of definition level `level`, and NULLs one level below. Each kind has a loop of its own, so
// that making a value is inlined; with a function value in its place the whole writer is half as fast.
func appendScalars(values []parquet.Value, a arrow.Array, from, to, level int) []parquet.Value {
	begin := len(values)
	switch a := a.(type) {
	case *array.Boolean:
		for i := from; i < to; i++ {
			values = append(values, parquet.BooleanValue(a.Value(i)))
		}
	case *array.Int32:
		for _, v := range a.Int32Values()[from:to] {
			values = append(values, parquet.Int32Value(v))
		}
	case *array.Int64:
		for _, v := range a.Int64Values()[from:to] {
			values = append(values, parquet.Int64Value(v))
		}
	case *array.Timestamp:
		for _, v := range a.TimestampValues()[from:to] {
			values = append(values, parquet.Int64Value(int64(v)))
		}
	case *array.Float32:
		for _, v := range a.Float32Values()[from:to] {
			values = append(values, parquet.FloatValue(v))
		}
	case *array.Float64:
		for _, v := range a.Float64Values()[from:to] {
			values = append(values, parquet.DoubleValue(v))
		}
	case *array.String:
		for i := from; i < to; i++ {
			values = append(values, parquet.ByteArrayValue(bytesOf(a.Value(i))))
		}
	case *array.Binary:
		for i := from; i < to; i++ {
			values = append(values, parquet.ByteArrayValue(a.Value(i)))
		}
	default:
		panic("parquetio: " + a.DataType().String() + " is no feature type's column")
	}
	if level > 0 {
		setLevels(values[begin:], a, from, level)
	}
	return values
}

// setLevels gives values, which are a's from row `from` on, their definition levels, and makes NULLs of those that are.
func setLevels(values []parquet.Value, a arrow.Array, from, level int) {
	for i := range values {
		values[i].SetDefinitionLevel(level)
	}
	if a.NullN() == 0 {
		return
	}
	for i := range values {
		if a.IsNull(from + i) {
			values[i] = parquet.NullValue()
			values[i].SetDefinitionLevel(level - 1)
		}
	}
}

// bytesOf returns the bytes of s without a copy; nobody writes to them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// appendLists appends lists whose own presence is definition level `level`: below it the list is NULL, at it empty,
// one above an element is NULL, two above it is there.
func appendLists(values []parquet.Value, list *array.List, from, to, level int) []parquet.Value {
	elements := list.ListValues()
	for i := from; i < to; i++ {
		first, end := list.ValueOffsets(i)
		begin := len(values)
		switch {
		case list.IsNull(i):
			values = append(values, parquet.NullValue())
		case first == end:
			values = append(values, parquet.NullValue())
			values[begin].SetDefinitionLevel(level)
		default:
			values = appendScalars(values, elements, int(first), int(end), level+2)
			for k := begin + 1; k < len(values); k++ {
				values[k].SetRepetitionLevel(1)
			}
		}
	}
	return values
}
