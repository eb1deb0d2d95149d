package server

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// WriteValues puts a column of a feature type on the wire. Numbers stay where they are: the message points into the column.
func WriteValues(column arrow.Array) *asofv1.Values {
	v := &asofv1.Values{}
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
		writeNumbers(v, feature.Int32, arrow.GetBytes(c.Int32Values()))
	case *array.Int64:
		writeNumbers(v, feature.Int64, arrow.GetBytes(c.Int64Values()))
	case *array.Float32:
		writeNumbers(v, feature.Float32, arrow.GetBytes(c.Float32Values()))
	case *array.Float64:
		writeNumbers(v, feature.Float64, arrow.GetBytes(c.Float64Values()))
	case *array.String:
		v.Kind = &asofv1.Values_Strings{Strings: &asofv1.StringValues{Values: each(c.Len(), func(i int) string {
			return strings.ToValidUTF8(c.Value(i), "\ufffd") // protobuf refuses other bytes
		})}}
	case *array.Binary:
		v.Kind = &asofv1.Values_Bytes{Bytes: &asofv1.BytesValues{Values: each(c.Len(), c.Value)}}
	case *array.Timestamp:
		writeNumbers(v, feature.Timestamp, arrow.GetBytes(c.TimestampValues()))
	case *array.List:
		v.Kind = &asofv1.Values_Lists{Lists: writeLists(c)}
	default:
		panic(fmt.Sprintf("server: no feature type has columns of %s", column.DataType()))
	}
	return v
}

// writeNumbers puts numbers, which lie in memory as an array has them, on the wire.
func writeNumbers(v *asofv1.Values, kind feature.Kind, bits []byte) {
	switch kind {
	case feature.Int32:
		v.Kind = &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: arrow.GetData[int32](bits)}}
	case feature.Int64:
		v.Kind = &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: arrow.GetData[int64](bits)}}
	case feature.Float32:
		v.Kind = &asofv1.Values_Float32S{Float32S: &asofv1.Float32Values{Values: arrow.GetData[float32](bits)}}
	case feature.Float64:
		v.Kind = &asofv1.Values_Float64S{Float64S: &asofv1.Float64Values{Values: arrow.GetData[float64](bits)}}
	case feature.Timestamp:
		v.Kind = &asofv1.Values_Timestamps{Timestamps: &asofv1.TimestampValues{Micros: arrow.GetData[int64](bits)}}
	default:
		panic(fmt.Sprintf("server: %s is no type of numbers", kind))
	}
}

// wireColumn is a column of an answer on the wire, of the most frequent kind in one piece.
type wireColumn struct {
	column  asofv1.FeatureColumn
	values  asofv1.Values
	kind    asofv1.Values_Float64S
	doubles asofv1.Float64Values
}

// write is WriteValues of the values of c.
func (w *wireColumn) write(c *online.Column) *asofv1.Values {
	bits, defaulted, ok := c.Bits()
	if !ok {
		return WriteValues(c.Values())
	}
	if c.Type.Kind == feature.Float64 {
		w.doubles.Values = arrow.GetData[float64](bits)
		w.kind.Float64S, w.values.Kind = &w.doubles, &w.kind
	} else {
		writeNumbers(&w.values, c.Type.Kind, bits)
	}
	if defaulted {
		return &w.values
	}
	for i, status := range c.Statuses {
		if status != feature.Present {
			w.values.NullRows = append(w.values.NullRows, uint32(i))
		}
	}
	return &w.values
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
	offsets, end := make([]int32, 1, len(lengths)+1), int64(0)
	for _, n := range lengths {
		if end += int64(n); end > int64(elements.Len()) {
			break
		}
		offsets = append(offsets, int32(end))
	}
	if end != int64(elements.Len()) {
		return nil, feature.Errorf(feature.ErrInvalid, "lists of %d elements or more, with %d of them there", end, elements.Len())
	}
	bitmap, nulls := bitmapOf(valid)
	data := array.NewData(t.Arrow(), len(lengths), []*memory.Buffer{bitmap, memory.NewBufferBytes(arrow.GetBytes(offsets))},
		[]arrow.ArrayData{elements.Data()}, nulls, 0)
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
