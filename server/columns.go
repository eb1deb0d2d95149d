package server

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// validRows tells which of n rows are not NULL; nil if all are. Misfit is the first of nulls that is no row or not ascending, else -1.
func validRows(nulls []uint32, n int) (valid []bool, misfit int) {
	if len(nulls) == 0 {
		return nil, -1
	}
	valid = make([]bool, n)
	for i := range valid {
		valid[i] = true
	}
	before := -1
	for i, row := range nulls {
		if int64(row) >= int64(n) || int(row) <= before {
			return nil, i
		}
		valid[row], before = false, int(row)
	}
	return valid, -1
}

// kindOf returns the name of the field of v that is set, its type and its length; "" where none is or where it is a list of none.
func kindOf(v *asofv1.Values) (field string, t feature.Type, n int) {
	switch k := v.GetKind().(type) {
	case *asofv1.Values_Bools:
		return "bools", feature.Scalar(feature.Bool), len(k.Bools.GetValues())
	case *asofv1.Values_Int32S:
		return "int32s", feature.Scalar(feature.Int32), len(k.Int32S.GetValues())
	case *asofv1.Values_Int64S:
		return "int64s", feature.Scalar(feature.Int64), len(k.Int64S.GetValues())
	case *asofv1.Values_Float32S:
		return "float32s", feature.Scalar(feature.Float32), len(k.Float32S.GetValues())
	case *asofv1.Values_Float64S:
		return "float64s", feature.Scalar(feature.Float64), len(k.Float64S.GetValues())
	case *asofv1.Values_Strings:
		return "strings", feature.Scalar(feature.String), len(k.Strings.GetValues())
	case *asofv1.Values_Bytes:
		return "bytes", feature.Scalar(feature.Bytes), len(k.Bytes.GetValues())
	case *asofv1.Values_Timestamps:
		return "timestamps", feature.Scalar(feature.Timestamp), len(k.Timestamps.GetMicros())
	case *asofv1.Values_Lists:
		_, elements, _ := kindOf(k.Lists.GetElements())
		return "lists", feature.ListOf(elements.Kind), len(k.Lists.GetLengths())
	}
	return "", t, 0
}

// buildScalars returns the values of v, which are of no list type, as a column.
func buildScalars(v *asofv1.Values, valid []bool) arrow.Array {
	mem := memory.DefaultAllocator
	switch k := v.GetKind().(type) {
	case *asofv1.Values_Bools:
		b := array.NewBooleanBuilder(mem)
		b.AppendValues(k.Bools.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Int32S:
		return buildNumbers(feature.Int32, k.Int32S.GetValues(), valid)
	case *asofv1.Values_Int64S:
		return buildNumbers(feature.Int64, k.Int64S.GetValues(), valid)
	case *asofv1.Values_Float32S:
		return buildNumbers(feature.Float32, k.Float32S.GetValues(), valid)
	case *asofv1.Values_Float64S:
		return buildNumbers(feature.Float64, k.Float64S.GetValues(), valid)
	case *asofv1.Values_Timestamps:
		return buildNumbers(feature.Timestamp, k.Timestamps.GetMicros(), valid)
	case *asofv1.Values_Strings:
		b := array.NewStringBuilder(mem)
		b.AppendValues(k.Strings.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Bytes:
		b := array.NewBinaryBuilder(mem, arrow.BinaryTypes.Binary)
		b.AppendValues(k.Bytes.GetValues(), valid)
		return b.NewArray()
	}
	panic(fmt.Sprintf("server: %T holds no scalars", v.GetKind()))
}

// buildNumbers returns a column of values, which it keeps.
func buildNumbers[T int32 | int64 | float32 | float64](kind feature.Kind, values []T, valid []bool) arrow.Array {
	bitmap, nulls := bitmapOf(valid)
	buffers := []*memory.Buffer{bitmap, memory.NewBufferBytes(arrow.GetBytes(values))}
	return array.MakeFromData(array.NewData(feature.Scalar(kind).Arrow(), len(values), buffers, nil, nulls, 0))
}

// bitmapOf returns valid as an array has it, nil if all rows are, and the number of those that are not.
func bitmapOf(valid []bool) (buffer *memory.Buffer, nulls int) {
	if valid == nil {
		return nil, 0
	}
	bitmap := make([]byte, (len(valid)+7)/8)
	for i, is := range valid {
		if is {
			bitmap[i/8] |= 1 << (i % 8)
		} else {
			nulls++
		}
	}
	return memory.NewBufferBytes(bitmap), nulls
}
