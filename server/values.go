package server

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// writeValues puts a column of a feature type on the wire. Numbers stay where they are: the message points into the column.
func writeValues(column arrow.Array) *asofv1.Values {
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
		v.Kind = &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: c.Int32Values()}}
	case *array.Int64:
		v.Kind = &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: c.Int64Values()}}
	case *array.Float32:
		v.Kind = &asofv1.Values_Float32S{Float32S: &asofv1.Float32Values{Values: c.Float32Values()}}
	case *array.Float64:
		v.Kind = &asofv1.Values_Float64S{Float64S: &asofv1.Float64Values{Values: c.Float64Values()}}
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
	return v
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
	lists.Elements = writeValues(array.NewSlice(c.ListValues(), first, last))
	return lists
}
