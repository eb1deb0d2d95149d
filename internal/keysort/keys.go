package keysort

import (
	"strings"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// Ordered is what keys are compared as. int64 is the fast path of entities with one integer-like key part (and of
// global entities, whose keys are all 0). string holds the bytes of one text part as they are, or the
// order-preserving form of several parts (feature.Key).
type Ordered interface{ int64 | string }

// UsesInts reports whether keys of the given parts are compared as int64.
func UsesInts(parts []feature.Field) bool {
	if len(parts) > 1 {
		return false
	}
	return len(parts) == 0 || (parts[0].Type.Kind != feature.String && parts[0].Type.Kind != feature.Bytes)
}

// IntKeys returns the keys of all rows; NULLs give arbitrary values. The result may share memory with columns.
func IntKeys(columns []arrow.Array, rows int) []int64 {
	if len(columns) == 0 {
		return make([]int64, rows)
	}
	switch c := columns[0].(type) {
	case *array.Int64:
		return c.Int64Values()
	case *array.Timestamp:
		return Timestamps(c)
	case *array.Int32:
		keys := make([]int64, rows)
		for i, v := range c.Int32Values() {
			keys[i] = int64(v)
		}
		return keys
	case *array.Boolean:
		keys := make([]int64, rows)
		for i := range keys {
			if c.Value(i) {
				keys[i] = 1
			}
		}
		return keys
	}
	panic("keysort: " + columns[0].DataType().String() + " is no integer key")
}

// TextKeys returns the keys of all rows; NULLs give arbitrary values. The result shares memory with columns or
// with one buffer of its own.
func TextKeys(columns []arrow.Array, rows int) []string {
	keys := make([]string, rows)
	if len(columns) == 1 {
		switch c := columns[0].(type) {
		case *array.String:
			for i := range keys {
				keys[i] = c.Value(i)
			}
			return keys
		case *array.Binary:
			for i := range keys {
				keys[i] = unsafe.String(unsafe.SliceData(c.Value(i)), len(c.Value(i)))
			}
			return keys
		}
	}
	ends := make([]int, rows)
	buffer := make(feature.Key, 0, rows*16)
	for i := range rows {
		for _, c := range columns {
			buffer, _ = feature.AppendKeyPart(buffer, c, i)
		}
		ends[i] = len(buffer)
	}
	start := 0
	for i, end := range ends {
		keys[i] = unsafe.String(unsafe.SliceData(buffer[start:]), end-start)
		start = end
	}
	return keys
}

// Timestamps returns the microseconds of a timestamp column without copying; NULLs give arbitrary values.
func Timestamps(c *array.Timestamp) []int64 {
	v := c.TimestampValues()
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(v))), len(v))
}

// Bound is a page's or run's bound on the first key part, in the form in which keys of type K are compared.
type Bound[K Ordered] struct {
	Value K
	Known bool
}

// BoundOf translates the encoded first key part of an entity with the given parts.
func BoundOf[K Ordered](encoded feature.Key, parts []feature.Field) Bound[K] {
	if len(parts) == 0 || encoded == nil {
		return Bound[K]{}
	}
	var value any
	if len(parts) > 1 {
		value = string(encoded)
	} else {
		decoded, err := feature.DecodeKey(encoded, parts[:1])
		if err != nil {
			return Bound[K]{} // a bound that cannot be read prunes nothing
		}
		switch p := decoded[0].(type) {
		case int64:
			value = p
		case int32:
			value = int64(p)
		case feature.Time:
			value = int64(p)
		case bool:
			value = int64(0)
			if p {
				value = int64(1)
			}
		case string:
			value = p
		case []byte:
			value = string(p)
		}
	}
	k, ok := value.(K)
	return Bound[K]{k, ok}
}

// Above reports whether key lies above the upper bound b. Of several parts b covers the first alone, so a key that begins
// with b is still within it.
func (b Bound[K]) Above(key K, parts int) bool {
	if !b.Known || key <= b.Value {
		return false
	}
	if parts > 1 {
		return !strings.HasPrefix(any(key).(string), any(b.Value).(string))
	}
	return true
}
