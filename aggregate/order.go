package aggregate

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
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
}

// column builds a column of values, NULL where they are not valid.
func (c *codec[T]) column(values []T, valid []bool) arrow.Array {
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

func fixedCodec[T cmp.Ordered, A arrow.Array, B array.Builder](t feature.Type, values func(A) []T, add func(B, T), less func(a, b T) bool) *codec[T] {
	return &codec[T]{
		t:        t,
		less:     less,
		least:    func(best T, values []T) T { return leastOf(best, values, less) },
		greatest: func(best T, values []T) T { return greatestOf(best, values, less) },
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

// leastOf returns the least of best and values; less decides where < and > do not, as between zeros and about NaN.
func leastOf[T cmp.Ordered](best T, values []T, less func(a, b T) bool) T {
	for _, v := range values {
		if v < best || !(v > best) && less(v, best) {
			best = v
		}
	}
	return best
}

// greatestOf is leastOf for the greatest.
func greatestOf[T cmp.Ordered](best T, values []T, less func(a, b T) bool) T {
	for _, v := range values {
		if v > best || !(v < best) && less(best, v) {
			best = v
		}
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
	return &codec[bool]{
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
}

func textCodec(t feature.Type) *codec[string] {
	return &codec[string]{
		t:        t,
		less:     cmp.Less[string],
		least:    func(best string, values []string) string { return leastOf(best, values, cmp.Less) },
		greatest: func(best string, values []string) string { return greatestOf(best, values, cmp.Less) },
		read:     texts,
		keep:     strings.Clone,
		append:   func(b array.Builder, v string) { appendText(b, v) },
	}
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
