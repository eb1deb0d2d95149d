package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

// The values of features in JSON: docs/serving.md says what each type looks like, and ReadJSON takes what AppendJSON writes.

// exactMax is the greatest integer below which a float64, which is what most programs read a JSON number as, holds every integer.
const exactMax = 1<<53 - 1

// ReadJSON makes a column of type t of values as encoding/json decodes them, with numbers as json.Number. It fails with ErrInvalid, naming
// the first row that does not fit; rows are counted from 0.
func ReadJSON(t feature.Type, values []any) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, t.Arrow())
	b.Reserve(len(values))
	for row, value := range values {
		if err := appendFromJSON(b, t, value); err != nil {
			return nil, feature.Errorf(feature.ErrInvalid, "row %d: %w", row, err)
		}
	}
	return b.NewArray(), nil
}

func appendFromJSON(b array.Builder, t feature.Type, value any) error {
	if value == nil {
		b.AppendNull()
		return nil
	}
	if !t.List {
		scalar, ok := scalarFromJSON(t.Kind, value)
		if !ok {
			return fmt.Errorf("%s is no %s%s", jsonText(value), t, jsonHint(t.Kind))
		}
		return feature.AppendValue(b, scalar)
	}
	list, ok := value.([]any)
	if !ok {
		return fmt.Errorf("%s is no %s: write an array", jsonText(value), t)
	}
	lists := b.(*array.ListBuilder)
	lists.Append(true)
	for i, element := range list {
		if err := appendFromJSON(lists.ValueBuilder(), feature.Scalar(t.Kind), element); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// scalarFromJSON returns value as the Go type of a kind, where it is one without loss.
func scalarFromJSON(kind feature.Kind, value any) (any, bool) {
	text, isText := value.(string)
	if number, is := value.(json.Number); is {
		text = number.String()
	} else if !isText {
		truth, is := value.(bool)
		return truth, is && kind == feature.Bool
	}
	switch kind {
	case feature.Int32:
		n, ok := integerFromJSON(text)
		return int32(n), ok && n == int64(int32(n))
	case feature.Int64:
		n, ok := integerFromJSON(text)
		return n, ok
	case feature.Float32:
		x, ok := floatFromJSON(text, 32)
		return float32(x), ok
	case feature.Float64:
		x, ok := floatFromJSON(text, 64)
		return x, ok
	case feature.String:
		return text, isText
	case feature.Bytes:
		bytes, err := base64.StdEncoding.DecodeString(text)
		return bytes, isText && err == nil
	case feature.Timestamp:
		at, ok := tabular.ParseTime(text)
		return at, isText && ok
	}
	return nil, false
}

// integerFromJSON reads an integer: its digits, or a number such as 1.0 or 1e3 that is one, as long as a float64 holds it exactly.
func integerFromJSON(text string) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	x, err := strconv.ParseFloat(text, 64)
	return int64(x), err == nil && x == math.Trunc(x) && math.Abs(x) <= exactMax
}

func floatFromJSON(text string, bits int) (float64, bool) {
	switch text {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	x, err := strconv.ParseFloat(text, bits)
	return x, err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
}

// jsonText shows a value in a message, cut short.
func jsonText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("a %T", value)
	}
	if len(text) > 40 {
		return strings.ToValidUTF8(string(text[:40]), "") + "..."
	}
	return string(text)
}

// jsonHint says how JSON writes a kind, where that is not plain.
func jsonHint(kind feature.Kind) string {
	switch kind {
	case feature.Timestamp:
		return `: write "2024-05-17T08:00:00Z"`
	case feature.Bytes:
		return ": write it in base64"
	}
	return ""
}

// AppendJSON appends value i of a column of a feature type to dst, as JSON.
func AppendJSON(dst []byte, column arrow.Array, i int) []byte {
	if column.IsNull(i) {
		return append(dst, "null"...)
	}
	switch c := column.(type) {
	case *array.Boolean:
		return strconv.AppendBool(dst, c.Value(i))
	case *array.Int32:
		return strconv.AppendInt(dst, int64(c.Value(i)), 10)
	case *array.Int64:
		return appendJSONInteger(dst, c.Value(i))
	case *array.Float32:
		return appendJSONFloat(dst, float64(c.Value(i)), 32)
	case *array.Float64:
		return appendJSONFloat(dst, c.Value(i), 64)
	case *array.String:
		return appendJSONString(dst, c.Value(i))
	case *array.Binary:
		dst = base64.StdEncoding.AppendEncode(append(dst, '"'), c.Value(i))
		return append(dst, '"')
	case *array.Timestamp:
		return AppendJSONTime(dst, feature.Time(c.Value(i)))
	case *array.List:
		dst = append(dst, '[')
		from, to := c.ValueOffsets(i)
		for j := from; j < to; j++ {
			if j > from {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, c.ListValues(), int(j))
		}
		return append(dst, ']')
	}
	panic(fmt.Sprintf("server: no feature type has columns of %s", column.DataType()))
}

// appendJSONInteger appends n, as a text where many programs would lose digits of the number.
func appendJSONInteger(dst []byte, n int64) []byte {
	if n >= -exactMax && n <= exactMax {
		return strconv.AppendInt(dst, n, 10)
	}
	dst = strconv.AppendInt(append(dst, '"'), n, 10)
	return append(dst, '"')
}

// appendJSONFloat appends x with as many digits as tell it from its neighbours, or as a text where JSON has no number for it.
func appendJSONFloat(dst []byte, x float64, bits int) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, `"NaN"`...)
	case math.IsInf(x, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(dst, `"-Infinity"`...)
	}
	form := byte('f')
	if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, x, form, -1, bits)
}

// AppendJSONTime appends an instant as a text in RFC 3339, in UTC.
func AppendJSONTime(dst []byte, t feature.Time) []byte {
	dst = t.Std().AppendFormat(append(dst, '"'), time.RFC3339Nano)
	return append(dst, '"')
}

// appendJSONString appends s in quotes; bytes that are not UTF-8 become U+FFFD, as protobuf has it.
func appendJSONString(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("server: " + err.Error()) // a string has no value that cannot be encoded
	}
	return append(dst, text...)
}
