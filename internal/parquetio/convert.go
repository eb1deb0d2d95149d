package parquetio

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go/format"
)

const (
	dayMicros       = 24 * 60 * 60 * 1_000_000
	unixEpochJulian = 2440588 // Julian day number of 1970-01-01
)

// converted decodes what native decodes and converts it; convert's dst and src have one length.
func converted[N, T any](native decodeFunc[N], convert func(dst []T, src []N) error) decodeFunc[T] {
	var raw []N
	return func(dst []T, enc format.Encoding, body []byte, n int) ([]T, error) {
		var err error
		if raw, err = native(raw, enc, body, n); err != nil {
			return nil, err
		}
		dst = sized(dst, n)
		return dst, convert(dst, raw)
	}
}

// valueError is a value that does not fit the type it is read as, as against bytes that are corrupt.
type valueError struct{ error }

func errValue(format string, args ...any) error { return valueError{fmt.Errorf(format, args...)} }

func int32s() decodeFunc[int32] { return decodeInt[int32]() }
func int64s() decodeFunc[int64] { return decodeInt[int64]() }
func (c *column) arrays() decodeFunc[[]byte] {
	if c.physical == format.ByteArray {
		return decodeByteArrays
	}
	return decodeFixedArrays(c.width)
}

// decodeNone is for columns that hold nothing but NULLs.
func decodeNone[T any](dst []T, _ format.Encoding, _ []byte, n int) ([]T, error) {
	if n > 0 {
		return nil, errors.New("it holds values where only NULLs can be")
	}
	return dst[:0], nil
}

func (c *column) asBool() decodeFunc[bool] {
	if c.kind == kindNull {
		return decodeNone[bool]
	}
	return decodeBools
}

func (c *column) asInt32() decodeFunc[int32] {
	switch {
	case c.kind == kindNull:
		return decodeNone[int32]
	case c.physical == format.Int32 && c.fits32():
		return int32s()
	}
	return converted(c.asInt64(), func(dst []int32, src []int64) error {
		for i, v := range src {
			if v != int64(int32(v)) {
				return errValue("the value %d does not fit int32: read the column as int64", v)
			}
			dst[i] = int32(v)
		}
		return nil
	})
}

// asInt64 decodes integers, and times as microseconds.
func (c *column) asInt64() decodeFunc[int64] {
	switch c.kind {
	case kindNull:
		return decodeNone[int64]
	case kindInt96:
		return converted(decodeFixedArrays(12), int96Micros)
	case kindDate, kindTimestamp:
		return c.asMicros()
	case kindDecimal:
		if c.physical == format.ByteArray || c.physical == format.FixedLenByteArray {
			return converted(c.arrays(), bigInts)
		}
	}
	switch {
	case c.physical == format.Int32 && c.unsigned:
		return converted(int32s(), func(dst []int64, src []int32) error {
			for i, v := range src {
				dst[i] = int64(uint32(v))
			}
			return nil
		})
	case c.physical == format.Int32:
		return converted(int32s(), widen)
	case c.unsigned:
		return converted(int64s(), func(dst, src []int64) error {
			for i, v := range src {
				if v < 0 {
					return errValue("the value %d does not fit int64", uint64(v))
				}
				dst[i] = v
			}
			return nil
		})
	}
	return int64s()
}

func widen(dst []int64, src []int32) error {
	for i, v := range src {
		dst[i] = int64(v)
	}
	return nil
}

func (c *column) asMicros() decodeFunc[int64] {
	if c.kind == kindTimestamp && c.unit == 1e6 {
		return int64s()
	}
	native := int64s()
	if c.kind == kindDate {
		native = converted(int32s(), widen)
	}
	return converted(native, func(dst, src []int64) error {
		for i, v := range src {
			t, ok := c.micros(v)
			if !ok {
				return errValue("the time %d (%s) lies beyond what microseconds can tell", v, c.info.Physical)
			}
			dst[i] = t
		}
		return nil
	})
}

// micros returns the instant of v, a value of a DATE or TIMESTAMP column, rounded up to the microsecond: a feature
// must not seem to be known before it was.
func (c *column) micros(v int64) (t int64, ok bool) {
	factor := int64(1)
	switch {
	case c.kind == kindDate:
		factor = dayMicros
	case c.unit == 1e3:
		factor = 1e3
	case c.unit == 1e9:
		t = v / 1e3
		if v%1e3 > 0 {
			t++
		}
		return t, true
	}
	return v * factor, v <= math.MaxInt64/factor && v >= math.MinInt64/factor
}

// int96Micros converts the timestamps of old Hive and Spark: nanoseconds of the day, then the Julian day.
func int96Micros(dst []int64, src [][]byte) error {
	for i, b := range src {
		nanos, day := int64(binary.LittleEndian.Uint64(b)), int64(int32(binary.LittleEndian.Uint32(b[8:])))-unixEpochJulian
		micros := nanos / 1e3
		if nanos%1e3 > 0 {
			micros++
		}
		t := day*dayMicros + micros
		if limit := int64(math.MaxInt64/dayMicros) - 2; day > limit || day < -limit || micros > dayMicros || micros < -dayMicros {
			return errValue("the INT96 timestamp of day %d and %d ns lies beyond what microseconds can tell", day, nanos)
		}
		dst[i] = t
	}
	return nil
}

func bigInts(dst []int64, src [][]byte) error {
	for i, b := range src {
		v := unscaled(b)
		if !v.IsInt64() {
			return errValue("the decimal %s does not fit int64: read the column as float64", v)
		}
		dst[i] = v.Int64()
	}
	return nil
}

// unscaled returns the big-endian two's complement number in b.
func unscaled(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return v
}

func (c *column) asFloat32() decodeFunc[float32] {
	switch c.kind {
	case kindNull:
		return decodeNone[float32]
	case kindFloat16:
		return converted(c.arrays(), func(dst []float32, src [][]byte) error {
			for i, b := range src {
				dst[i] = float16.FromLEBytes(b).Float32()
			}
			return nil
		})
	}
	return decodeFixed[float32]()
}

func (c *column) asFloat64() decodeFunc[float64] {
	switch c.kind {
	case kindNull:
		return decodeNone[float64]
	case kindFloat, kindFloat16:
		return converted(c.asFloat32(), func(dst []float64, src []float32) error {
			for i, v := range src {
				dst[i] = float64(v)
			}
			return nil
		})
	case kindInt:
		return converted(c.asInt64(), func(dst []float64, src []int64) error {
			for i, v := range src {
				dst[i] = float64(v)
			}
			return nil
		})
	case kindDecimal:
		return c.decimals()
	}
	return decodeFixed[float64]()
}

func (c *column) decimals() decodeFunc[float64] {
	scale := decimalScale(c.scale)
	if c.physical == format.ByteArray || c.physical == format.FixedLenByteArray {
		return converted(c.arrays(), func(dst []float64, src [][]byte) error {
			for i, b := range src {
				if len(b) > 1024 {
					return errValue("a decimal of %d bytes", len(b))
				}
				dst[i] = scale(unscaled(b))
			}
			return nil
		})
	}
	native := int64s()
	if c.physical == format.Int32 {
		native = converted(int32s(), widen)
	}
	// Both numbers are exact in float64, so one division rounds once.
	divisor, exact := math.Pow10(min(c.scale, 22)), c.scale <= 22
	return converted(native, func(dst []float64, src []int64) error {
		for i, v := range src {
			if exact && v <= 1<<53 && v >= -1<<53 {
				dst[i] = float64(v) / divisor
			} else {
				dst[i] = scale(big.NewInt(v))
			}
		}
		return nil
	})
}

// decimalScale returns the function from an unscaled number to the nearest float64.
func decimalScale(scale int) func(*big.Int) float64 {
	divisor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	return func(v *big.Int) float64 {
		f, _ := new(big.Rat).SetFrac(v, divisor).Float64()
		return f
	}
}

// asBytes decodes strings and bytes; text is checked to be UTF-8.
func (c *column) asBytes(text bool) decodeFunc[[]byte] {
	switch {
	case c.kind == kindNull:
		return decodeNone[[]byte]
	case c.kind == kindUUID:
		return converted(c.arrays(), uuids)
	case !text:
		return c.arrays()
	}
	native := c.arrays()
	return func(dst [][]byte, enc format.Encoding, body []byte, n int) ([][]byte, error) {
		dst, err := native(dst, enc, body, n)
		for _, b := range dst {
			if !utf8.Valid(b) {
				return nil, errValue("the value %.40q is not UTF-8: read the column as bytes", b)
			}
		}
		return dst, err
	}
}

// uuids writes 16 bytes as 8-4-4-4-12 hexadecimal digits.
func uuids(dst, src [][]byte) error {
	slab := make([]byte, 0, 36*len(src))
	for i, b := range src {
		start := len(slab)
		for j, end := range [...]int{4, 6, 8, 10, 16} {
			if j > 0 {
				slab = append(slab, '-')
			}
			slab = hex.AppendEncode(slab, b[[...]int{0, 4, 6, 8, 10}[j]:end])
		}
		dst[i] = slab[start:]
	}
	return nil
}

// asStored reports whether the values of c, in the plain encoding, are those that it reads as kind k.
func (c *column) asStored(k feature.Kind) bool {
	switch k {
	case feature.Int32:
		return c.kind == kindInt && c.physical == format.Int32 && c.fits32()
	case feature.Int64:
		return c.kind == kindInt && c.physical == format.Int64 && !c.unsigned
	case feature.Timestamp:
		return c.kind == kindTimestamp && c.unit == 1e6
	case feature.Float32:
		return c.kind == kindFloat
	case feature.Float64:
		return c.kind == kindDouble
	}
	return false
}

// viewOf returns how the values of c, read as t, are seen in the body of a plain page; nil where they have to be decoded.
func viewOf[T any](c *column, t feature.Type) (view func([]byte, int) []T) {
	if !viewable() || !c.asStored(t.Kind) {
		return nil
	}
	switch view := any(&view).(type) {
	case *func([]byte, int) []int32:
		*view = viewed[int32]
	case *func([]byte, int) []int64:
		*view = viewed[int64]
	case *func([]byte, int) []float32:
		*view = viewed[float32]
	case *func([]byte, int) []float64:
		*view = viewed[float64]
	}
	return view
}

// cursor ties each feature kind to its decoder and sink.
func (f *File) cursor(group int, c *column, t feature.Type) cursor {
	switch t.Kind {
	case feature.Bool:
		return newCursor(f, group, c, t, c.asBool(), &boolSink{})
	case feature.Int32:
		return newCursor(f, group, c, t, c.asInt32(), &numberSink[int32]{memory: f.memory})
	case feature.Float32:
		return newCursor(f, group, c, t, c.asFloat32(), &numberSink[float32]{memory: f.memory})
	case feature.Float64:
		return newCursor(f, group, c, t, c.asFloat64(), &numberSink[float64]{memory: f.memory})
	case feature.String, feature.Bytes:
		return newCursor(f, group, c, t, c.asBytes(t.Kind == feature.String), &bytesSink{})
	}
	return newCursor(f, group, c, t, c.asInt64(), &numberSink[int64]{memory: f.memory})
}
