package server

import (
	"fmt"
	"math"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/asof-store/asof/feature"
	feasttypes "github.com/asof-store/asof/proto/feast/types"
)

// readFeastValues returns values as a column of type t. A number of another type is taken where it fits, because Feast's clients guess types:
// they send any integer as int64_val and any float as double_val. It fails with an error that says which value is the first that does not fit.
func readFeastValues(values []*feasttypes.Value, t feature.Type) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, t.Arrow())
	b.Reserve(len(values))
	for i, v := range values {
		fits, err := appendFeast(b, v, t)
		if err != nil {
			return nil, err
		}
		if !fits {
			return nil, fmt.Errorf("value %d is %s, not %s", i, describeFeast(v), t)
		}
	}
	return b.NewArray(), nil
}

// appendFeast appends v to b, whose columns are of type t, if it fits.
func appendFeast(b array.Builder, v *feasttypes.Value, t feature.Type) (fits bool, err error) {
	if _, null := v.GetVal().(*feasttypes.Value_NullVal); null || v.GetVal() == nil {
		b.AppendNull()
		return true, nil
	}
	list, ok := b.(*array.ListBuilder)
	if !ok {
		value, ok := feastScalar(v, t.Kind)
		if !ok {
			return false, nil
		}
		return true, feature.AppendValue(b, value)
	}
	elements, ok := feastElements(v)
	list.Append(true)
	for i := 0; ok && err == nil && i < len(elements); i++ {
		ok, err = appendFeast(list.ValueBuilder(), elements[i], feature.Scalar(t.Kind))
	}
	return ok, err
}

// feastScalar returns the Go value of a kind that v stands for.
func feastScalar(v *feasttypes.Value, kind feature.Kind) (value any, ok bool) {
	switch kind {
	case feature.Bool:
		_, ok = v.GetVal().(*feasttypes.Value_BoolVal)
		return v.GetBoolVal(), ok
	case feature.String:
		_, ok = v.GetVal().(*feasttypes.Value_StringVal)
		return v.GetStringVal(), ok
	case feature.Bytes:
		_, ok = v.GetVal().(*feasttypes.Value_BytesVal)
		return v.GetBytesVal(), ok
	case feature.Int32:
		n, ok := feastInteger(v)
		return int32(n), ok && int64(int32(n)) == n
	case feature.Int64:
		return okay(feastInteger(v))
	case feature.Float32:
		f, ok := feastFloat(v)
		return float32(f), ok && (math.IsInf(f, 0) || !math.IsInf(float64(float32(f)), 0))
	case feature.Float64:
		return okay(feastFloat(v))
	case feature.Timestamp:
		if seconds, ok := v.GetVal().(*feasttypes.Value_UnixTimestampVal); ok {
			return okay(secondsTime(seconds.UnixTimestampVal, true))
		}
		return okay(secondsTime(feastInteger(v)))
	}
	return nil, false
}

// okay makes any value of the first of two results.
func okay[T any](value T, ok bool) (any, bool) { return value, ok }

// feastInteger returns the integer that v is: one, or a float without a fraction, up to where those are exact.
func feastInteger(v *feasttypes.Value) (int64, bool) {
	switch k := v.GetVal().(type) {
	case *feasttypes.Value_Int32Val:
		return int64(k.Int32Val), true
	case *feasttypes.Value_Int64Val:
		return k.Int64Val, true
	case *feasttypes.Value_DoubleVal:
		return int64(k.DoubleVal), math.Abs(k.DoubleVal) <= exactMax && k.DoubleVal == math.Trunc(k.DoubleVal)
	}
	return 0, false
}

// feastFloat returns the float that v is: one, or an integer that is one too.
func feastFloat(v *feasttypes.Value) (float64, bool) {
	switch k := v.GetVal().(type) {
	case *feasttypes.Value_FloatVal:
		return float64(k.FloatVal), true
	case *feasttypes.Value_DoubleVal:
		return k.DoubleVal, true
	}
	n, ok := feastInteger(v)
	return float64(n), ok && n <= exactMax && n >= -exactMax
}

// feastElements returns the elements of a list as values of their own.
func feastElements(v *feasttypes.Value) ([]*feasttypes.Value, bool) {
	switch k := v.GetVal().(type) {
	case *feasttypes.Value_BytesListVal:
		return eachElement(k.BytesListVal.GetVal(), func(e []byte) *feasttypes.Value {
			return &feasttypes.Value{Val: &feasttypes.Value_BytesVal{BytesVal: e}}
		}), true
	case *feasttypes.Value_StringListVal:
		return eachElement(k.StringListVal.GetVal(), func(e string) *feasttypes.Value {
			return &feasttypes.Value{Val: &feasttypes.Value_StringVal{StringVal: e}}
		}), true
	case *feasttypes.Value_Int32ListVal:
		return eachElement(k.Int32ListVal.GetVal(), func(e int32) *feasttypes.Value {
			return &feasttypes.Value{Val: &feasttypes.Value_Int32Val{Int32Val: e}}
		}), true
	case *feasttypes.Value_Int64ListVal:
		return eachElement(k.Int64ListVal.GetVal(), func(e int64) *feasttypes.Value {
			return &feasttypes.Value{Val: &feasttypes.Value_Int64Val{Int64Val: e}}
		}), true
	case *feasttypes.Value_DoubleListVal:
		return eachElement(k.DoubleListVal.GetVal(), func(e float64) *feasttypes.Value {
			return &feasttypes.Value{Val: &feasttypes.Value_DoubleVal{DoubleVal: e}}
		}), true
	case *feasttypes.Value_FloatListVal:
		return eachElement(k.FloatListVal.GetVal(), func(e float32) *feasttypes.Value {
			return &feasttypes.Value{Val: &feasttypes.Value_FloatVal{FloatVal: e}}
		}), true
	case *feasttypes.Value_BoolListVal:
		return eachElement(k.BoolListVal.GetVal(), func(e bool) *feasttypes.Value { return &feasttypes.Value{Val: &feasttypes.Value_BoolVal{BoolVal: e}} }), true
	case *feasttypes.Value_UnixTimestampListVal:
		return eachElement(k.UnixTimestampListVal.GetVal(), func(e int64) *feasttypes.Value {
			return &feasttypes.Value{Val: &feasttypes.Value_UnixTimestampVal{UnixTimestampVal: e}}
		}), true
	}
	return nil, false
}

func eachElement[T any](elements []T, value func(T) *feasttypes.Value) []*feasttypes.Value {
	values := make([]*feasttypes.Value, len(elements))
	for i, e := range elements {
		values[i] = value(e)
	}
	return values
}

// describeFeast says what v is, for messages.
func describeFeast(v *feasttypes.Value) string {
	m := v.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
	if field.Kind() == protoreflect.MessageKind {
		return string(field.Name())
	}
	text := fmt.Sprint(m.Get(field))
	const textMax = 40
	if len(text) > textMax {
		text = strings.ToValidUTF8(text[:textMax], "") + "..."
	}
	return string(field.Name()) + " " + text
}

// writeFeastValues returns the values of a column of a feature type. It fails with ErrInvalid where a list has a NULL among its elements, which
// Feast's lists cannot have.
func writeFeastValues(column arrow.Array) ([]*feasttypes.Value, error) {
	switch c := column.(type) {
	case *array.Boolean:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_BoolVal, i int) {
			held.BoolVal, v.Val = c.Value(i), held
		}), nil
	case *array.Int32:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_Int32Val, i int) {
			held.Int32Val, v.Val = c.Value(i), held
		}), nil
	case *array.Int64:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_Int64Val, i int) {
			held.Int64Val, v.Val = c.Value(i), held
		}), nil
	case *array.Float32:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_FloatVal, i int) {
			held.FloatVal, v.Val = c.Value(i), held
		}), nil
	case *array.Float64:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_DoubleVal, i int) {
			held.DoubleVal, v.Val = c.Value(i), held
		}), nil
	case *array.String:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_StringVal, i int) {
			held.StringVal, v.Val = validText(c.Value(i)), held
		}), nil
	case *array.Binary:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_BytesVal, i int) {
			held.BytesVal, v.Val = c.Value(i), held
		}), nil
	case *array.Timestamp:
		return eachFeast(c, func(v *feasttypes.Value, held *feasttypes.Value_UnixTimestampVal, i int) {
			held.UnixTimestampVal, v.Val = unixSeconds(c.Value(i)), held
		}), nil
	case *array.List:
		return writeFeastLists(c)
	}
	panic("server: no feature type has columns of " + column.DataType().String())
}

// eachFeast returns the values of a column, in one piece of memory with another for what they hold; write sets one that is not NULL.
func eachFeast[V any](column arrow.Array, write func(v *feasttypes.Value, held *V, i int)) []*feasttypes.Value {
	n := column.Len()
	values, held, all := make([]feasttypes.Value, n), make([]V, n), make([]*feasttypes.Value, n)
	null := &feasttypes.Value_NullVal{}
	for i := range all {
		all[i] = &values[i]
		if column.IsNull(i) {
			values[i].Val = null
		} else {
			write(&values[i], &held[i], i)
		}
	}
	return all
}

// validText is what protobuf takes of a text: bytes that are not UTF-8 become U+FFFD.
func validText(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// unixSeconds rounds an instant down to the second.
func unixSeconds(t arrow.Timestamp) int64 { return feature.Time(t).Std().Unix() }

// writeFeastLists returns the lists of a column; numbers stay where they are.
func writeFeastLists(c *array.List) ([]*feasttypes.Value, error) {
	elements := c.ListValues()
	for i := range c.Len() {
		from, to := c.ValueOffsets(i)
		for e := from; e < to && elements.NullN() > 0 && c.IsValid(i); e++ {
			if elements.IsNull(int(e)) {
				return nil, feature.Errorf(feature.ErrInvalid, "row %d is a list with a NULL in it, which Feast's protobuf lists cannot have: ask over HTTP, or with asof.v1", i)
			}
		}
	}
	list := func(write func(v *feasttypes.Value, from, to int64)) []*feasttypes.Value {
		return eachFeast(c, func(v *feasttypes.Value, _ *struct{}, i int) {
			from, to := c.ValueOffsets(i)
			write(v, from, to)
		})
	}
	switch e := elements.(type) {
	case *array.Boolean:
		return list(func(v *feasttypes.Value, from, to int64) {
			v.Val = &feasttypes.Value_BoolListVal{BoolListVal: &feasttypes.BoolList{Val: between(from, to, e.Value)}}
		}), nil
	case *array.Int32:
		return list(func(v *feasttypes.Value, from, to int64) {
			v.Val = &feasttypes.Value_Int32ListVal{Int32ListVal: &feasttypes.Int32List{Val: e.Int32Values()[from:to]}}
		}), nil
	case *array.Int64:
		return list(func(v *feasttypes.Value, from, to int64) {
			v.Val = &feasttypes.Value_Int64ListVal{Int64ListVal: &feasttypes.Int64List{Val: e.Int64Values()[from:to]}}
		}), nil
	case *array.Float32:
		return list(func(v *feasttypes.Value, from, to int64) {
			v.Val = &feasttypes.Value_FloatListVal{FloatListVal: &feasttypes.FloatList{Val: e.Float32Values()[from:to]}}
		}), nil
	case *array.Float64:
		return list(func(v *feasttypes.Value, from, to int64) {
			v.Val = &feasttypes.Value_DoubleListVal{DoubleListVal: &feasttypes.DoubleList{Val: e.Float64Values()[from:to]}}
		}), nil
	case *array.String:
		return list(func(v *feasttypes.Value, from, to int64) {
			texts := between(from, to, func(i int) string { return validText(e.Value(i)) })
			v.Val = &feasttypes.Value_StringListVal{StringListVal: &feasttypes.StringList{Val: texts}}
		}), nil
	case *array.Binary:
		return list(func(v *feasttypes.Value, from, to int64) {
			v.Val = &feasttypes.Value_BytesListVal{BytesListVal: &feasttypes.BytesList{Val: between(from, to, e.Value)}}
		}), nil
	case *array.Timestamp:
		return list(func(v *feasttypes.Value, from, to int64) {
			seconds := between(from, to, func(i int) int64 { return unixSeconds(e.Value(i)) })
			v.Val = &feasttypes.Value_UnixTimestampListVal{UnixTimestampListVal: &feasttypes.Int64List{Val: seconds}}
		}), nil
	}
	panic("server: no feature type has columns of " + c.DataType().String())
}

func between[T any](from, to int64, value func(int) T) []T {
	return each(int(to-from), func(i int) T { return value(int(from) + i) })
}

// secondsTime returns the instant so many seconds after 1970 began, if there is one and a Time reaches so far.
func secondsTime(seconds int64, ok bool) (feature.Time, bool) {
	const micros = 1_000_000
	return feature.Time(seconds * micros), ok && seconds <= math.MaxInt64/micros && seconds >= math.MinInt64/micros
}
