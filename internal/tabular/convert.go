package tabular

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// Convert returns column as an array of type t, for use as a key, a time or a number; NULL stays NULL.
// Taken are text of any kind as t is written, and every type whose values t can hold exactly: other integer
// widths, floats and decimals without a fraction for integers, dates (their midnight) and instants of any unit for
// timestamps, rounded down to the microsecond as an as-of time is. Dictionaries are resolved, and an empty text is NULL where
// t is neither string nor bytes. A list is taken where it is of type t, and never converted.
//
// name is the column's, for messages; where names a row's place ([Reader.Where] of the reader that gave the batch). The error is
// ErrInvalid: it names the place of the first value that does not fit, or the column's type where none would.
func Convert(column arrow.Array, name string, t feature.Type, where func(row int) string) (arrow.Array, error) {
	want := t.Arrow()
	if own, _ := feature.TypeOfArrow(column.DataType()); own == t {
		return column, nil
	}
	if t.List {
		return nil, feature.Errorf(feature.ErrInvalid, "column %s: its type is %s, where %s is wanted", name, column.DataType(), t)
	}
	read := valueReader(column, t)
	if read == nil {
		return nil, feature.Errorf(feature.ErrInvalid, "column %s: its type is %s, where %s is wanted%s", name, column.DataType(), t, typeHint(column, t))
	}
	b := array.NewBuilder(memory.DefaultAllocator, want)
	b.Reserve(column.Len())
	for row := range column.Len() {
		if isNull(column, row) {
			b.AppendNull()
			continue
		}
		if !read(b, row) {
			return nil, feature.Errorf(feature.ErrInvalid, "%s: column %s: %s is no %s%s",
				where(row), name, quoted(column, row), t, valueHint(t))
		}
	}
	return b.NewArray(), nil
}

func quoted(column arrow.Array, row int) string {
	const most = 80
	s := string(appendValue(nil, column, row))
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.Quote(s)
}

func typeHint(column arrow.Array, t feature.Type) string {
	if _, isInt := integers(column); isInt && t.Kind == feature.Timestamp {
		return ": an integer does not tell its unit; write the column as a timestamp"
	}
	return ""
}

func valueHint(t feature.Type) string {
	if t.Kind == feature.Timestamp {
		return " that asof reads: write 2006-01-02T15:04:05Z, 2006-01-02 15:04:05.123456 or 2006-01-02"
	}
	return ""
}

// valueReader returns a function that appends column's value at a row, which is not NULL, to a builder of t and is
// false where the value does not fit. It returns nil where no value of the column's type would.
func valueReader(column arrow.Array, t feature.Type) func(b array.Builder, row int) bool {
	if c, ok := column.(*array.Dictionary); ok {
		if arrow.TypeEqual(c.Dictionary().DataType(), t.Arrow()) {
			return sameReader(c)
		}
		if read := valueReader(c.Dictionary(), t); read != nil {
			return func(b array.Builder, row int) bool { return read(b, c.GetValueIndex(row)) }
		}
		return nil
	}
	if text := texts(column); text != nil {
		return func(b array.Builder, row int) bool {
			if text(row) == "" && t.Kind != feature.String && t.Kind != feature.Bytes {
				b.AppendNull()
				return true
			}
			return appendParsed(b, text(row))
		}
	}
	switch t.Kind {
	case feature.Int32, feature.Int64:
		return integerReader(column)
	case feature.Float32, feature.Float64:
		return floatReader(column)
	case feature.Timestamp:
		return instantReader(column)
	case feature.Bytes:
		return bytesReader(column)
	}
	return nil
}

// sameReader reads a dictionary whose values have the wanted type.
func sameReader(c *array.Dictionary) func(b array.Builder, row int) bool {
	values := c.Dictionary()
	return func(b array.Builder, row int) bool {
		i := c.GetValueIndex(row)
		switch b := b.(type) {
		case *array.BooleanBuilder:
			b.Append(values.(*array.Boolean).Value(i))
		case *array.Int32Builder:
			b.Append(values.(*array.Int32).Value(i))
		case *array.Int64Builder:
			b.Append(values.(*array.Int64).Value(i))
		case *array.Float32Builder:
			b.Append(values.(*array.Float32).Value(i))
		case *array.Float64Builder:
			b.Append(values.(*array.Float64).Value(i))
		case *array.StringBuilder:
			b.Append(values.(*array.String).Value(i))
		case *array.BinaryBuilder:
			b.Append(values.(*array.Binary).Value(i))
		case *array.TimestampBuilder:
			b.Append(values.(*array.Timestamp).Value(i))
		}
		return true
	}
}

// texts returns a function that reads column's text, nil where it is no text.
func texts(column arrow.Array) func(row int) string {
	switch c := column.(type) {
	case *array.String:
		return c.Value
	case *array.LargeString:
		return c.Value
	case *array.StringView:
		return c.Value
	}
	return nil
}

// appendParsed appends the value that s writes.
func appendParsed(b array.Builder, s string) bool {
	var err error
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(s)
	case *array.Int32Builder:
		var v int64
		if v, err = parseInt(s, 32); err == nil {
			b.Append(int32(v))
		}
	case *array.Int64Builder:
		var v int64
		if v, err = parseInt(s, 64); err == nil {
			b.Append(v)
		}
	case *array.Float32Builder:
		var v float64
		if v, err = strconv.ParseFloat(s, 32); err == nil {
			b.Append(float32(v))
		}
	case *array.Float64Builder:
		var v float64
		if v, err = strconv.ParseFloat(s, 64); err == nil {
			b.Append(v)
		}
	case *array.BinaryBuilder:
		var v []byte
		if v, err = base64.StdEncoding.DecodeString(s); err == nil {
			b.Append(v)
		}
	case *array.BooleanBuilder:
		switch s {
		case "true", "True", "TRUE", "false", "False", "FALSE":
			b.Append(s[0] == 't' || s[0] == 'T')
		default:
			return false
		}
	case *array.TimestampBuilder:
		v, ok := ParseTime(s)
		if !ok {
			return false
		}
		b.Append(arrow.Timestamp(v))
	default:
		return false
	}
	return err == nil
}

// parseInt reads an integer; a fraction of zeros is none: "7.0" is what some tools write of an integer beside a NULL.
func parseInt(s string, bits int) (int64, error) {
	if whole, fraction, ok := strings.Cut(s, "."); ok && fraction != "" && strings.Trim(fraction, "0") == "" {
		s = whole
	}
	return strconv.ParseInt(s, 10, bits)
}

// integerReader reads integers, and floats and decimals that happen to be whole: what becomes of integer keys beside a NULL in some tools.
func integerReader(column arrow.Array) func(b array.Builder, row int) bool {
	whole, ok := integers(column)
	if !ok {
		whole = wholeNumbers(column)
	}
	if whole == nil {
		return nil
	}
	return func(b array.Builder, row int) bool {
		v, ok := whole(row)
		if !ok {
			return false
		}
		switch b := b.(type) {
		case *array.Int64Builder:
			b.Append(v)
		case *array.Int32Builder:
			if v < math.MinInt32 || v > math.MaxInt32 {
				return false
			}
			b.Append(int32(v))
		}
		return true
	}
}

// integers returns a function that reads an integer column, which is false beyond int64.
func integers(column arrow.Array) (func(row int) (int64, bool), bool) {
	switch c := column.(type) {
	case *array.Int8:
		return func(row int) (int64, bool) { return int64(c.Value(row)), true }, true
	case *array.Int16:
		return func(row int) (int64, bool) { return int64(c.Value(row)), true }, true
	case *array.Int32:
		return func(row int) (int64, bool) { return int64(c.Value(row)), true }, true
	case *array.Int64:
		return func(row int) (int64, bool) { return c.Value(row), true }, true
	case *array.Uint8:
		return func(row int) (int64, bool) { return int64(c.Value(row)), true }, true
	case *array.Uint16:
		return func(row int) (int64, bool) { return int64(c.Value(row)), true }, true
	case *array.Uint32:
		return func(row int) (int64, bool) { return int64(c.Value(row)), true }, true
	case *array.Uint64:
		return func(row int) (int64, bool) { return int64(c.Value(row)), c.Value(row) <= math.MaxInt64 }, true
	}
	return nil, false
}

// wholeNumbers returns a function that reads floats and decimals, which is false where one has a fraction or
// lies beyond what is exact.
func wholeNumbers(column arrow.Array) func(row int) (int64, bool) {
	float := func(v float64) (int64, bool) {
		const exact = 1 << 53 // beyond it neighbours collapse, and a key would match another's rows
		return int64(v), v == math.Trunc(v) && math.Abs(v) <= exact
	}
	switch c := column.(type) {
	case *array.Float32:
		return func(row int) (int64, bool) {
			v, ok := float(float64(c.Value(row)))
			return v, ok && v >= -1<<24 && v <= 1<<24
		}
	case *array.Float64:
		return func(row int) (int64, bool) { return float(c.Value(row)) }
	case *array.Decimal128:
		scale := c.DataType().(*arrow.Decimal128Type).Scale
		return func(row int) (int64, bool) { return unscaled(c.Value(row).BigInt(), scale) }
	case *array.Decimal256:
		scale := c.DataType().(*arrow.Decimal256Type).Scale
		return func(row int) (int64, bool) { return unscaled(c.Value(row).BigInt(), scale) }
	}
	return nil
}

// unscaled returns v / 10^scale where that is an int64.
func unscaled(v *big.Int, scale int32) (int64, bool) {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale < 0 {
		v = new(big.Int).Mul(v, power)
		return v.Int64(), v.IsInt64()
	}
	quotient, rest := new(big.Int).QuoRem(v, power, new(big.Int))
	return quotient.Int64(), rest.Sign() == 0 && quotient.IsInt64()
}

func floatReader(column arrow.Array) func(b array.Builder, row int) bool {
	var value func(row int) (float64, bool)
	switch c := column.(type) {
	case *array.Float32:
		value = func(row int) (float64, bool) { return float64(c.Value(row)), true }
	case *array.Float64:
		value = func(row int) (float64, bool) { return c.Value(row), true }
	case *array.Decimal128:
		scale := c.DataType().(*arrow.Decimal128Type).Scale
		value = func(row int) (float64, bool) { return c.Value(row).ToFloat64(scale), true }
	default:
		whole, ok := integers(column)
		if !ok {
			return nil
		}
		value = func(row int) (float64, bool) {
			v, ok := whole(row)
			return float64(v), ok
		}
	}
	return func(b array.Builder, row int) bool {
		v, ok := value(row)
		switch b := b.(type) {
		case *array.Float32Builder:
			b.Append(float32(v))
		case *array.Float64Builder:
			b.Append(v)
		}
		return ok
	}
}

// instantReader reads instants and dates, rounded down to the microsecond. A column without a zone is UTC, and the zone
// of one that has it only tells how to show it.
func instantReader(column arrow.Array) func(b array.Builder, row int) bool {
	var micros func(row int) (int64, bool)
	switch c := column.(type) {
	case *array.Timestamp:
		perUnit := c.DataType().(*arrow.TimestampType).Unit.Multiplier()
		micros = func(row int) (int64, bool) { return toMicros(int64(c.Value(row)), perUnit) }
	case *array.Date32:
		micros = func(row int) (int64, bool) { return toMicros(int64(c.Value(row)), 24*time.Hour) }
	case *array.Date64:
		micros = func(row int) (int64, bool) { return toMicros(int64(c.Value(row)), time.Millisecond) }
	default:
		return nil
	}
	return func(b array.Builder, row int) bool {
		v, ok := micros(row)
		b.(*array.TimestampBuilder).Append(arrow.Timestamp(v))
		return ok
	}
}

// toMicros returns v units in microseconds, rounded down; ok is false where they are beyond int64.
func toMicros(v int64, unit time.Duration) (micros int64, ok bool) {
	if unit >= time.Microsecond {
		factor := int64(unit / time.Microsecond)
		return v * factor, v <= math.MaxInt64/factor && v >= math.MinInt64/factor
	}
	divisor := int64(time.Microsecond / unit)
	micros = v / divisor
	if v%divisor < 0 {
		micros--
	}
	return micros, true
}

func bytesReader(column arrow.Array) func(b array.Builder, row int) bool {
	var value func(row int) []byte
	switch c := column.(type) {
	case *array.LargeBinary:
		value = c.Value
	case *array.FixedSizeBinary:
		value = c.Value
	case *array.BinaryView:
		value = c.Value
	default:
		return nil
	}
	return func(b array.Builder, row int) bool {
		b.(*array.BinaryBuilder).Append(value(row))
		return true
	}
}
