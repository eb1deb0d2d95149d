package expr

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// table is test data: columns of Go values as literals have them, []any for lists, nil for NULL.
type table struct {
	names  []string
	types  map[string]feature.Type
	values map[string][]any
	arrays map[string]arrow.Array
	rows   int
}

func (t *table) typeOf(name string) (feature.Type, bool) {
	typ, ok := t.types[name]
	return typ, ok
}

func (t *table) column(name string) arrow.Array { return t.arrays[name] }

func (t *table) row(i int) map[string]any {
	row := map[string]any{}
	for name, values := range t.values {
		row[name] = values[i]
	}
	return row
}

// add adds a column whose array begins somewhere inside its buffers.
func (t *table) add(name string, typ feature.Type, values []any, offset int) {
	if t.types == nil {
		t.types, t.values, t.arrays = map[string]feature.Type{}, map[string][]any{}, map[string]arrow.Array{}
	}
	b := array.NewBuilder(memory.DefaultAllocator, typ.Arrow())
	for i := range offset {
		appendValue(b, values[(i*7)%max(1, len(values)):])
	}
	for i := range values {
		appendValue(b, values[i:])
	}
	a := b.NewArray()
	t.names = append(t.names, name)
	t.types[name], t.values[name], t.rows = typ, values, len(values)
	t.arrays[name] = array.NewSlice(a, int64(a.Len()-len(values)), int64(a.Len()))
}

// appendValue appends the first of the values.
func appendValue(b array.Builder, values []any) {
	if len(values) == 0 || values[0] == nil {
		b.AppendNull()
		return
	}
	switch v := values[0].(type) {
	case bool:
		b.(*array.BooleanBuilder).Append(v)
	case int32:
		b.(*array.Int32Builder).Append(v)
	case int64:
		b.(*array.Int64Builder).Append(v)
	case float32:
		b.(*array.Float32Builder).Append(v)
	case float64:
		b.(*array.Float64Builder).Append(v)
	case feature.Time:
		b.(*array.TimestampBuilder).Append(arrow.Timestamp(v))
	case string:
		switch b := b.(type) {
		case *array.StringBuilder:
			b.Append(v)
		case *array.BinaryBuilder:
			b.Append([]byte(v))
		}
	case []any:
		l := b.(*array.ListBuilder)
		l.Append(true)
		for i := range v {
			appendValue(l.ValueBuilder(), v[i:])
		}
	}
}

// valueOf returns row i of an array.
func valueOf(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i)
	case *array.Int32:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Float32:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Timestamp:
		return feature.Time(a.Value(i))
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return string(a.Value(i))
	case *array.List:
		start, end := a.ValueOffsets(i)
		list := []any{}
		for j := start; j < end; j++ {
			list = append(list, valueOf(a.ListValues(), int(j)))
		}
		return list
	}
	panic(fmt.Sprintf("no value of %T", a))
}

// same compares to the bit, save that all NaN are one.
func same(a, b any) bool {
	switch x := a.(type) {
	case float64:
		y, ok := b.(float64)
		return ok && (x != x && y != y || math.Float64bits(x) == math.Float64bits(y))
	case float32:
		y, ok := b.(float32)
		return ok && (x != x && y != y || math.Float32bits(x) == math.Float32bits(y))
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	}
	if _, list := b.([]any); list {
		return false
	}
	return a == b
}

// randomValue returns a value of the type, often one at an edge.
func randomValue(r *rand.Rand, t feature.Type) any {
	if r.IntN(6) == 0 {
		return nil
	}
	if t.List {
		list := []any{}
		for range r.IntN(4) {
			list = append(list, randomValue(r, feature.Scalar(t.Kind)))
		}
		return list
	}
	switch t.Kind {
	case feature.Bool:
		return r.IntN(2) == 0
	case feature.Int32:
		return pick(r, int32(r.IntN(7)-3), int32(r.IntN(7)-3), int32(r.Uint32()), math.MinInt32, math.MaxInt32)
	case feature.Int64:
		return pick(r, int64(r.IntN(7)-3), int64(r.IntN(7)-3), int64(r.Uint64()), math.MinInt64, math.MaxInt64, math.MaxInt32, 1<<53+1)
	case feature.Float32:
		return float32(randomFloat(r))
	case feature.Float64:
		return randomFloat(r)
	case feature.Timestamp:
		return feature.Time(pick(r, r.Int64N(4e15)-2e15, r.Int64N(4e15)-2e15, 0, -1, math.MinInt64, math.MaxInt64))
	case feature.String:
		return pick(r, "", " a ", "Ab", "äÖ", "abab", "12", " -7.9 ", "1e3", "NaN", "true", "2026-02-28 23:59:59.5", "%_\\", "b")
	}
	return pick(r, "", "\xff\x00", "ab", "é")
}

func randomFloat(r *rand.Rand) float64 {
	return pick(r, float64(r.IntN(9)-4)/2, r.NormFloat64()*1000, 0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1),
		1.005, -2.5, 1e300, 5e-324, 1<<63, -1<<63, 1<<31)
}

func pick[T any](r *rand.Rand, values ...T) T { return values[r.IntN(len(values))] }
