package offline

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// ends are the least and the greatest of some values, in the types of parquetio's bounds; both nil where there are none, and for floats and
// lists.
type ends struct{ low, high any }

func endsOf(a arrow.Array) ends {
	switch a := a.(type) {
	case *array.Boolean:
		return endsBy(a, a.Value, func(x, y bool) int { return cmp.Compare(bit(x), bit(y)) })
	case *array.Int32:
		return endsBy(a, func(i int) int64 { return int64(a.Value(i)) }, cmp.Compare)
	case *array.Int64:
		return endsBy(a, a.Value, cmp.Compare)
	case *array.Timestamp:
		return endsBy(a, func(i int) feature.Time { return feature.Time(a.Value(i)) }, cmp.Compare)
	case *array.String:
		return endsBy(a, a.Value, cmp.Compare)
	case *array.Binary:
		return endsBy(a, a.Value, bytes.Compare)
	}
	return ends{}
}

func endsBy[T any](a arrow.Array, value func(int) T, compare func(x, y T) int) ends {
	var low, high T
	known := false
	for i := range a.Len() {
		if a.IsNull(i) {
			continue
		}
		v := value(i)
		if !known || compare(v, low) < 0 {
			low = v
		}
		if !known || compare(v, high) > 0 {
			high = v
		}
		known = true
	}
	if !known {
		return ends{}
	}
	return ends{low, high}
}

func bit(b bool) int8 {
	if b {
		return 1
	}
	return 0
}

// compareEnds compares two of the same type; ok is false of others.
func compareEnds(a, b any) (order int, ok bool) {
	switch a := a.(type) {
	case bool:
		b, ok := b.(bool)
		return cmp.Compare(bit(a), bit(b)), ok
	case int64:
		b, ok := b.(int64)
		return cmp.Compare(a, b), ok
	case feature.Time:
		b, ok := b.(feature.Time)
		return cmp.Compare(a, b), ok
	case string:
		b, ok := b.(string)
		return cmp.Compare(a, b), ok
	case []byte:
		b, ok := b.([]byte)
		return bytes.Compare(a, b), ok
	}
	return 0, false
}

// within reports whether low and high bound the values.
func (e ends) within(low, high any) bool {
	if e.low == nil {
		return true
	}
	below, ok1 := compareEnds(low, e.low)
	above, ok2 := compareEnds(e.high, high)
	return !ok1 || !ok2 || below <= 0 && above <= 0
}

// widen takes more values in.
func (e *ends) widen(more ends) {
	if more.low == nil {
		return
	}
	if below, _ := compareEnds(more.low, e.low); e.low == nil || below < 0 {
		e.low = kept(more.low)
	}
	if above, _ := compareEnds(more.high, e.high); e.high == nil || above > 0 {
		e.high = kept(more.high)
	}
}

// kept copies text, so that it does not keep an array in memory.
func kept(v any) any {
	switch v := v.(type) {
	case []byte:
		return bytes.Clone(v)
	case string:
		return strings.Clone(v)
	}
	return v
}

// plain returns the ends in Parquet's plain encoding, without length, of values of kind k.
func (e ends) plain(k feature.Kind) (low, high []byte) {
	return plainEnd(e.low, k), plainEnd(e.high, k)
}

func plainEnd(v any, k feature.Kind) []byte {
	switch v := v.(type) {
	case bool:
		return []byte{byte(bit(v))}
	case int64:
		if k == feature.Int32 {
			return binary.LittleEndian.AppendUint32(nil, uint32(v))
		}
		return binary.LittleEndian.AppendUint64(nil, uint64(v))
	case feature.Time:
		return binary.LittleEndian.AppendUint64(nil, uint64(v))
	case string:
		return []byte(v)
	case []byte:
		return append([]byte{}, v...) // an empty one is not nil, which is none
	}
	return nil
}

// String shows the ends.
func (e ends) String() string {
	if e.low == nil {
		return "NULL"
	}
	return fmt.Sprintf("[%v, %v]", e.low, e.high)
}
