package server

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// WriteValues puts a column of a feature type on the wire. Numbers stay where they are: the message points into the column.
func WriteValues(column arrow.Array) *asofv1.Values {
	v := &asofv1.Values{}
	writeValues(v, column)
	return v
}

// writeValues is WriteValues into v, which is empty.
func writeValues(v *asofv1.Values, column arrow.Array) {
	if column.NullN() > 0 {
		for i := range column.Len() {
			if column.IsNull(i) {
				v.NullRows = append(v.NullRows, uint32(i))
			}
		}
	}
	switch c := column.(type) {
	case *array.Boolean:
		v.Kind = &asofv1.Values_Bools{Bools: &asofv1.BoolValues{Values: each(c.Len(), c.Value)}}
	case *array.Int32:
		v.Kind = &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: c.Int32Values()}}
	case *array.Int64:
		v.Kind = &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: c.Int64Values()}}
	case *array.Float32:
		v.Kind = &asofv1.Values_Float32S{Float32S: &asofv1.Float32Values{Values: c.Float32Values()}}
	case *array.Float64:
		whole := &float64Kind{values: asofv1.Float64Values{Values: c.Float64Values()}}
		whole.kind.Float64S = &whole.values
		v.Kind = &whole.kind
	case *array.String:
		v.Kind = &asofv1.Values_Strings{Strings: &asofv1.StringValues{Values: each(c.Len(), func(i int) string {
			return strings.ToValidUTF8(c.Value(i), "\ufffd") // protobuf refuses other bytes
		})}}
	case *array.Binary:
		v.Kind = &asofv1.Values_Bytes{Bytes: &asofv1.BytesValues{Values: each(c.Len(), c.Value)}}
	case *array.Timestamp:
		v.Kind = &asofv1.Values_Timestamps{Timestamps: &asofv1.TimestampValues{Micros: each(c.Len(), func(i int) int64 { return int64(c.Value(i)) })}}
	case *array.List:
		v.Kind = &asofv1.Values_Lists{Lists: writeLists(c)}
	default:
		panic(fmt.Sprintf("server: no feature type has columns of %s", column.DataType()))
	}
}

// float64Kind is the most frequent kind of values, in one piece of memory.
type float64Kind struct {
	kind   asofv1.Values_Float64S
	values asofv1.Float64Values
}

// ReadValues returns the column that [WriteValues] has put on the wire. It fails with ErrInvalid on a message that it cannot have made.
func ReadValues(v *asofv1.Values) (arrow.Array, error) {
	_, t, n := kindOf(v)
	if t.Kind == 0 {
		return nil, feature.Errorf(feature.ErrInvalid, "values of no type")
	}
	valid, misfit := validRows(v.GetNullRows(), n)
	if misfit >= 0 {
		return nil, feature.Errorf(feature.ErrInvalid, "null_rows[%d] is row %d of %d: rows are counted from 0, ascending", misfit, v.GetNullRows()[misfit], n)
	}
	lists, ok := v.GetKind().(*asofv1.Values_Lists)
	if !ok {
		return buildScalars(v, valid), nil
	}
	if _, nested := lists.Lists.GetElements().GetKind().(*asofv1.Values_Lists); nested {
		return nil, feature.Errorf(feature.ErrInvalid, "lists of lists")
	}
	elements, err := ReadValues(lists.Lists.GetElements())
	if err != nil {
		return nil, err
	}
	return buildLists(t, lists.Lists.GetLengths(), elements, valid)
}

// buildLists cuts elements into lists of the given lengths.
func buildLists(t feature.Type, lengths []uint32, elements arrow.Array, valid []bool) (arrow.Array, error) {
	offsets, nulls, end := make([]int32, 1, len(lengths)+1), make([]byte, (len(lengths)+7)/8), int64(0)
	for i, n := range lengths {
		if end += int64(n); end > int64(elements.Len()) {
			break
		}
		offsets = append(offsets, int32(end))
		if valid[i] {
			nulls[i/8] |= 1 << (i % 8)
		}
	}
	if end != int64(elements.Len()) {
		return nil, feature.Errorf(feature.ErrInvalid, "lists of %d elements or more, with %d of them there", end, elements.Len())
	}
	data := array.NewData(t.Arrow(), len(lengths), []*memory.Buffer{memory.NewBufferBytes(nulls), memory.NewBufferBytes(arrow.GetBytes(offsets))},
		[]arrow.ArrayData{elements.Data()}, array.UnknownNullCount, 0)
	return array.NewListData(data), nil
}

func each[T any](n int, value func(int) T) []T {
	values := make([]T, n)
	for i := range values {
		values[i] = value(i)
	}
	return values
}

// writeLists lays the lists of c end to end. NULL is a list without elements here.
func writeLists(c *array.List) *asofv1.ListValues {
	lists := &asofv1.ListValues{Lengths: make([]uint32, c.Len())}
	first, last := int64(0), int64(0)
	for i := range c.Len() {
		from, to := c.ValueOffsets(i)
		if i == 0 {
			first = from
		}
		lists.Lengths[i], last = uint32(to-from), to
	}
	lists.Elements = WriteValues(array.NewSlice(c.ListValues(), first, last))
	return lists
}
