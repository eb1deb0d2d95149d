package keysort

import (
	"strings"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// Ordered is what keys are compared as. int64 is the fast path of entities with one integer-like key part (and of
// global entities, whose keys are all 0), and of others whose [Packing] is that short. string holds the bytes of one text part as they are, or the
// order-preserving form of several parts (feature.Key).
type Ordered interface{ int64 | string | Words }

// Words are a number of 192 bits, the most significant first.
type Words [3]uint64

// Less reports whether a goes before b.
func Less[K Ordered](a, b K) bool {
	switch a := any(a).(type) {
	case int64:
		return a < any(b).(int64)
	case string:
		return a < any(b).(string)
	}
	return lessWords(any(a).(Words), any(b).(Words))
}

func lessWords(a, b Words) bool {
	if a[0] != b[0] {
		return a[0] < b[0]
	}
	return a[1] < b[1] || a[1] == b[1] && a[2] < b[2]
}

// leading fills heads with numbers of keys that are less only if the key is: of a text, its first eight bytes, with zeros behind its end.
func leading[K Ordered](heads []uint64, keys []K) {
	switch keys := any(keys).(type) {
	case []int64:
		for i, key := range keys {
			heads[i] = orderOfInt(key)
		}
	case []string:
		for i, key := range keys {
			heads[i] = firstEight(key)
		}
	case []Words:
		for i := range keys {
			heads[i] = keys[i][0]
		}
	}
}

// Compare returns -1, 0 or 1, as a goes before b, equals it or follows it.
func Compare[K Ordered](a, b K) int {
	switch {
	case a == b:
		return 0
	case Less(a, b):
		return -1
	}
	return 1
}

// Form is how the keys of a view are compared as K.
type Form[K Ordered] struct {
	// Of returns the keys of all rows, of which columns are the parts; NULLs give arbitrary values. The result may share memory with columns.
	Of func(columns []arrow.Array, rows int) []K
	// Low and High translate a lower and an upper bound on the first key part, encoded as a feature.Key of that part alone.
	Low, High func(first feature.Key) Bound[K]
}

// Ints is the form of keys of which [UsesInts] is true.
func Ints(parts []feature.Field) Form[int64] { return formOf(parts, IntKeys) }

// Texts is the form of all other keys.
func Texts(parts []feature.Field) Form[string] { return formOf(parts, TextKeys) }

func formOf[K Ordered](parts []feature.Field, of func([]arrow.Array, int) []K) Form[K] {
	bound := func(first feature.Key) Bound[K] { return boundOf[K](first, parts) }
	return Form[K]{of, bound, bound}
}

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

// boundOf translates the encoded first key part of an entity with the given parts.
func boundOf[K Ordered](encoded feature.Key, parts []feature.Field) Bound[K] {
	if len(parts) == 0 || encoded == nil {
		return Bound[K]{}
	}
	value := any(string(encoded))
	if len(parts) == 1 {
		var ok bool
		if value, ok = firstPart(encoded, parts); !ok {
			return Bound[K]{} // a bound that cannot be read prunes nothing
		}
	}
	k, ok := value.(K)
	return Bound[K]{k, ok}
}

// firstPart decodes an encoded first key part to what its values are compared as, an int64 or a string.
func firstPart(encoded feature.Key, parts []feature.Field) (value any, ok bool) {
	decoded, err := feature.DecodeKey(encoded, parts[:1])
	if err != nil {
		return nil, false
	}
	switch p := decoded[0].(type) {
	case int32:
		return int64(p), true
	case feature.Time:
		return int64(p), true
	case bool:
		if p {
			return int64(1), true
		}
		return int64(0), true
	case []byte:
		return string(p), true
	}
	return decoded[0], true
}

// Above reports whether key lies above the upper bound b. Of several parts b covers the first alone, so a key that begins
// with b is still within it.
func (b Bound[K]) Above(key K, parts int) bool {
	if !b.Known || !Less(b.Value, key) {
		return false
	}
	if text, ok := any(key).(string); ok && parts > 1 {
		return !strings.HasPrefix(text, any(b.Value).(string))
	}
	return true
}
