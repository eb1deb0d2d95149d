package aggregate

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// codec moves values of one scalar type between columns and Go, and orders them: numbers ascending with -0 before 0 and NaN, of
// which there is one, last; false before true; text and bytes byte by byte.
type codec[T any] struct {
	t feature.Type
	// read returns a column's values, sharing memory with it where that can be; ok is false for a column of another type.
	read func(arrow.Array) (values []T, ok bool)
	less func(a, b T) bool
	// least and greatest return the least or greatest of best and values.
	least, greatest func(best T, values []T) T
	// keep returns v so that it lasts longer than its column.
	keep   func(v T) T
	append func(b array.Builder, v T)
	// column builds a column of values, NULL where they are not valid.
	column func(values []T, valid []bool) arrow.Array
}

// appended is column for values that are appended one by one.
func (c *codec[T]) appended(values []T, valid []bool) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, c.t.Arrow())
	b.Reserve(len(values))
	for i, v := range values {
		if valid[i] {
			c.append(b, v)
		} else {
			b.AppendNull()
		}
	}
	return b.NewArray()
}

// fixedColumn returns a column in the memory of values, of which those at nulls are NULL.
func fixedColumn[T arrow.FixedWidthType](t arrow.DataType, values []T, nulls []int) arrow.Array {
	buffers := []*memory.Buffer{nil, memory.NewBufferBytes(arrow.GetBytes(values))}
	if len(nulls) > 0 {
		valid := bytes.Repeat([]byte{0xff}, (len(values)+7)/8)
		for _, i := range nulls {
			bitutil.ClearBit(valid, i)
		}
		buffers[0] = memory.NewBufferBytes(valid)
	}
	return array.MakeFromData(array.NewData(t, len(values), buffers, nil, len(nulls), 0))
}

// byType calls the function for the Go type in which the values of a scalar type are kept.
func byType[R any](t feature.Type, f scalars[R]) R {
	switch t.Kind {
	case feature.Bool:
		return f.bool(boolCodec())
	case feature.Int32:
		return f.int32(fixedCodec(t, func(a *array.Int32) []int32 { return a.Int32Values() }, (*array.Int32Builder).Append, cmp.Less))
	case feature.Int64:
		return f.int64(fixedCodec(t, func(a *array.Int64) []int64 { return a.Int64Values() }, (*array.Int64Builder).Append, cmp.Less))
	case feature.Float32:
		return f.float32(floatCodec(t, func(a *array.Float32) []float32 { return a.Float32Values() }, (*array.Float32Builder).Append))
	case feature.Float64:
		return f.float64(floatCodec(t, func(a *array.Float64) []float64 { return a.Float64Values() }, (*array.Float64Builder).Append))
	case feature.Timestamp:
		return f.timestamp(fixedCodec(t, func(a *array.Timestamp) []arrow.Timestamp { return a.TimestampValues() }, (*array.TimestampBuilder).Append, cmp.Less))
	}
	return f.string(textCodec(t))
}

// scalars has an instance of one generic function for each type.
type scalars[R any] struct {
	bool      func(*codec[bool]) R
	int32     func(*codec[int32]) R
	int64     func(*codec[int64]) R
	float32   func(*codec[float32]) R
	float64   func(*codec[float64]) R
	timestamp func(*codec[arrow.Timestamp]) R
	string    func(*codec[string]) R
}

func fixedCodec[T number, A arrow.Array, B array.Builder](t feature.Type, values func(A) []T, add func(B, T), less func(a, b T) bool) *codec[T] {
	return &codec[T]{
		t:        t,
		less:     less,
		least:    leastOf[T],
		greatest: greatestOf[T],
		column: func(values []T, valid []bool) arrow.Array {
			var nulls []int
			for i, ok := range valid {
				if !ok {
					nulls = append(nulls, i)
				}
			}
			return fixedColumn(t.Arrow(), slices.Clone(values), nulls)
		},
		read: func(a arrow.Array) ([]T, bool) {
			column, ok := a.(A)
			if !ok {
				return nil, false
			}
			return values(column), true
		},
		keep:   func(v T) T { return v },
		append: func(b array.Builder, v T) { add(b.(B), v) },
	}
}

// number is a type of numbers of one width.
type number interface {
	arrow.FixedWidthType
	cmp.Ordered
}

// leastOf returns the least of best and values, of which NaN is the greatest.
func leastOf[T cmp.Ordered](best T, values []T) T {
	least := best
	for _, v := range values {
		least = min(least, v)
	}
	if least == least {
		return least
	}
	for _, v := range values { // to min, NaN is less than any other
		switch {
		case best != best:
			best = v
		case v == v:
			best = min(best, v)
		}
	}
	return best
}

// greatestOf returns the greatest of best and values, as max has it.
func greatestOf[T cmp.Ordered](best T, values []T) T {
	for _, v := range values {
		best = max(best, v)
	}
	return best
}

func floatCodec[T float32 | float64, A arrow.Array, B array.Builder](t feature.Type, values func(A) []T, add func(B, T)) *codec[T] {
	c := fixedCodec(t, values, add, lessFloat[T])
	c.keep = func(v T) T {
		if v != v {
			return T(math.NaN())
		}
		return v
	}
	c.greatest = func(best T, values []T) T { return c.keep(greatestOf(best, values)) } // of two NaNs, max makes a third one
	return c
}

func lessFloat[T float32 | float64](a, b T) bool {
	switch {
	case a < b:
		return true
	case a > b:
		return false
	case a == b:
		return a == 0 && math.Signbit(float64(a)) && !math.Signbit(float64(b))
	}
	return a == a && b != b
}

func boolCodec() *codec[bool] {
	c := &codec[bool]{
		t:        feature.Scalar(feature.Bool),
		less:     func(a, b bool) bool { return !a && b },
		least:    func(best bool, values []bool) bool { return best && !slices.Contains(values, false) },
		greatest: func(best bool, values []bool) bool { return best || slices.Contains(values, true) },
		read: func(a arrow.Array) ([]bool, bool) {
			column, ok := a.(*array.Boolean)
			if !ok {
				return nil, false
			}
			values := make([]bool, column.Len())
			for i := range values {
				values[i] = column.Value(i)
			}
			return values, true
		},
		keep:   func(v bool) bool { return v },
		append: func(b array.Builder, v bool) { b.(*array.BooleanBuilder).Append(v) },
	}
	c.column = c.appended
	return c
}

func textCodec(t feature.Type) *codec[string] {
	c := &codec[string]{
		t:        t,
		less:     cmp.Less[string],
		least:    leastOf[string],
		greatest: greatestOf[string],
		read:     texts,
		keep:     strings.Clone,
		append:   func(b array.Builder, v string) { appendText(b, v) },
	}
	c.column = c.appended
	return c
}

// texts returns the values of a column of text or bytes; they point into it.
func texts(a arrow.Array) ([]string, bool) {
	values := make([]string, a.Len())
	switch c := a.(type) {
	case *array.String:
		for i := range values {
			values[i] = c.Value(i)
		}
	case *array.Binary:
		for i := range values {
			values[i] = c.ValueString(i)
		}
	default:
		return nil, false
	}
	return values, true
}

func appendText(b array.Builder, v string) {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(v)
	case *array.BinaryBuilder:
		b.AppendString(v)
	}
}

// needScalar refuses lists.
func needScalar(t feature.Type) error {
	if t.List {
		return feature.Errorf(feature.ErrInvalid, "takes single values, not %s", t)
	}
	return nil
}

// wrongColumn is the error for stored states of another type.
func wrongColumn(t feature.Type) error {
	return feature.Errorf(feature.ErrCorrupt, "stored states are not of type %s", t)
}
