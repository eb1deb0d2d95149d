package tabular

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// appendValue appends the text of c's value at row, which is not NULL: integers and decimals in digits, floats with as many
// digits as tell them from their neighbours, instants in RFC 3339 with microseconds, bytes in base64, and
// lists, structs and maps as JSON.
func appendValue(b []byte, c arrow.Array, row int) []byte {
	switch c := c.(type) {
	case *array.String:
		return append(b, c.Value(row)...)
	case *array.LargeString:
		return append(b, c.Value(row)...)
	case *array.Binary:
		return base64.StdEncoding.AppendEncode(b, c.Value(row))
	case *array.LargeBinary:
		return base64.StdEncoding.AppendEncode(b, c.Value(row))
	case *array.FixedSizeBinary:
		return base64.StdEncoding.AppendEncode(b, c.Value(row))
	case *array.Timestamp:
		return appendTimestamp(b, int64(c.Value(row)), c.DataType().(*arrow.TimestampType).Unit)
	case *array.Date32:
		return c.Value(row).ToTime().AppendFormat(b, time.DateOnly)
	case *array.Date64:
		return c.Value(row).ToTime().AppendFormat(b, time.DateOnly)
	case *array.Dictionary:
		return appendValue(b, c.Dictionary(), c.GetValueIndex(row))
	case array.ExtensionArray:
		return appendValue(b, c.Storage(), row)
	case array.ListLike, *array.Struct:
		return appendJSON(b, c, row)
	}
	if number, ok := appendNumber(b, c, row); ok {
		return number
	}
	return append(b, c.ValueStr(row)...) // times of day and what is rarer
}

// isNull reports whether c's value at row is NULL, be it that a dictionary holds the NULL.
func isNull(c arrow.Array, row int) bool {
	if d, ok := c.(*array.Dictionary); ok && !c.IsNull(row) {
		return d.Dictionary().IsNull(d.GetValueIndex(row))
	}
	return c.IsNull(row)
}

func appendNumber(b []byte, c arrow.Array, row int) ([]byte, bool) {
	switch c := c.(type) {
	case *array.Int64:
		return strconv.AppendInt(b, c.Value(row), 10), true
	case *array.Int32:
		return strconv.AppendInt(b, int64(c.Value(row)), 10), true
	case *array.Float64:
		return appendFloat(b, c.Value(row), 64), true
	case *array.Float32:
		return appendFloat(b, float64(c.Value(row)), 32), true
	case *array.Float16:
		return appendFloat(b, float64(c.Value(row).Float32()), 32), true
	case *array.Boolean:
		return strconv.AppendBool(b, c.Value(row)), true
	case *array.Decimal128:
		return append(b, c.Value(row).ToString(c.DataType().(arrow.DecimalType).GetScale())...), true
	case *array.Decimal256:
		return append(b, c.Value(row).ToString(c.DataType().(arrow.DecimalType).GetScale())...), true
	}
	return b, false
}

// appendFloat appends v with the fewest digits that read back as v; as JSON does, with an exponent only where it is
// far from one.
func appendFloat(b []byte, v float64, bits int) []byte {
	switch abs := math.Abs(v); {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 1):
		return append(b, "Infinity"...)
	case math.IsInf(v, -1):
		return append(b, "-Infinity"...)
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		return strconv.AppendFloat(b, v, 'e', -1, bits)
	}
	return strconv.AppendFloat(b, v, 'f', -1, bits)
}

// appendTimestamp appends an instant with six digits of its second's fraction, nine where the column counts nanoseconds.
func appendTimestamp(b []byte, v int64, unit arrow.TimeUnit) []byte {
	var t time.Time
	switch unit {
	case arrow.Second:
		t = time.Unix(v, 0)
	case arrow.Millisecond:
		t = time.UnixMilli(v)
	case arrow.Microsecond:
		t = time.UnixMicro(v)
	default:
		return time.Unix(0, v).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z")
	}
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
}

// appendJSON appends the value of c at row as JSON; numbers that JSON lacks (NaN, infinities) become strings.
func appendJSON(b []byte, c arrow.Array, row int) []byte {
	if isNull(c, row) {
		return append(b, "null"...)
	}
	switch c := c.(type) {
	case array.ListLike: // maps too: a list of {"key", "value"}
		return appendJSONList(b, c, row)
	case *array.Struct:
		b = append(b, '{')
		for i, f := range c.DataType().(*arrow.StructType).Fields() {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, f.Name), ':')
			b = appendJSON(b, c.Field(i), row)
		}
		return append(b, '}')
	case *array.Dictionary:
		return appendJSON(b, c.Dictionary(), c.GetValueIndex(row))
	case array.ExtensionArray:
		return appendJSON(b, c.Storage(), row)
	}
	start := len(b)
	b = appendValue(b, c, row)
	switch c.DataType().ID() {
	case arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return b
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
		if last := b[len(b)-1]; last != 'N' && last != 'y' { // NaN, Infinity
			return b
		}
	}
	return appendJSONString(b[:start], string(b[start:]))
}

func appendJSONList(b []byte, c array.ListLike, row int) []byte {
	b = append(b, '[')
	from, to := c.ValueOffsets(row)
	for i := from; i < to; i++ {
		if i > from {
			b = append(b, ',')
		}
		b = appendJSON(b, c.ListValues(), int(i))
	}
	return append(b, ']')
}

func appendJSONString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("tabular: a string without JSON: " + err.Error()) // json marshals every string
	}
	return append(b, quoted...)
}
