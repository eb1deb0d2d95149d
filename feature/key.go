package feature

import (
	"encoding/binary"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Key is an entity key in its order-preserving byte form: bytes.Compare on two keys of one entity orders them as
// comparing their parts one by one does. Parts are encoded one after another:
//
//	bool             1 byte, 0 or 1
//	int32            4 bytes big-endian, sign bit flipped
//	int64, timestamp 8 bytes big-endian, sign bit flipped
//	string, bytes    the bytes, each 0x00 as 0x00 0xff, then 0x00 0x01
//
// The form is stored in the online store and never changes. The key of a global entity is empty.
type Key []byte

// AppendKeyBool appends a bool part to k.
func AppendKeyBool(k Key, v bool) Key {
	if v {
		return append(k, 1)
	}
	return append(k, 0)
}

// AppendKeyInt32 appends an int32 part to k.
func AppendKeyInt32(k Key, v int32) Key {
	return binary.BigEndian.AppendUint32(k, uint32(v)^(1<<31))
}

// AppendKeyInt64 appends an int64 or timestamp part to k.
func AppendKeyInt64(k Key, v int64) Key {
	return binary.BigEndian.AppendUint64(k, uint64(v)^(1<<63))
}

// AppendKeyString appends a string or bytes part to k.
func AppendKeyString[T ~string | ~[]byte](k Key, v T) Key {
	for i := 0; i < len(v); i++ {
		if v[i] == 0 {
			k = append(k, 0, 0xff)
		} else {
			k = append(k, v[i])
		}
	}
	return append(k, 0, 1)
}

// AppendKeyPart appends row i of column to k; ok is false, and k unchanged, where the value is NULL. The column has
// the Arrow type of a key type.
func AppendKeyPart(k Key, column arrow.Array, i int) (_ Key, ok bool) {
	if column.IsNull(i) {
		return k, false
	}
	switch c := column.(type) {
	case *array.Boolean:
		return AppendKeyBool(k, c.Value(i)), true
	case *array.Int32:
		return AppendKeyInt32(k, c.Value(i)), true
	case *array.Int64:
		return AppendKeyInt64(k, c.Value(i)), true
	case *array.Timestamp:
		return AppendKeyInt64(k, int64(c.Value(i))), true
	case *array.String:
		return AppendKeyString(k, c.Value(i)), true
	case *array.Binary:
		return AppendKeyString(k, c.Value(i)), true
	}
	panic("feature: " + column.DataType().String() + " is no key type")
}

// KeyText returns the key in row i of the columns of its parts as messages show it: "key customer_id=7".
func KeyText(parts []Field, columns []arrow.Array, i int) string {
	if len(parts) == 0 {
		return "the key of all rows"
	}
	texts := make([]string, len(parts))
	for c, part := range parts {
		texts[c] = part.Name + "=" + columns[c].ValueStr(i)
	}
	return "key " + strings.Join(texts, ", ")
}

// DecodeKey returns the parts of k, whose types fields give, as bool, int32, int64, Time, string and []byte. It fails
// with ErrCorrupt when k is not the encoding of such a key; it reads outside bytes and never panics.
func DecodeKey(k Key, fields []Field) ([]any, error) {
	parts := make([]any, 0, len(fields))
	rest := []byte(k)
	for _, f := range fields {
		part, n := decodePart(rest, f.Type.Kind)
		if n == 0 {
			return nil, Errorf(ErrCorrupt, "key %x does not hold part %s (%s)", []byte(k), f.Name, f.Type)
		}
		parts, rest = append(parts, part), rest[n:]
	}
	if len(rest) > 0 {
		return nil, Errorf(ErrCorrupt, "key %x has %d bytes after its last part", []byte(k), len(rest))
	}
	return parts, nil
}

// decodePart returns the part at the head of b and its length, 0 when there is none.
func decodePart(b []byte, kind Kind) (any, int) {
	switch {
	case kind == Bool && len(b) >= 1 && b[0] <= 1:
		return b[0] == 1, 1
	case kind == Int32 && len(b) >= 4:
		return int32(binary.BigEndian.Uint32(b) ^ (1 << 31)), 4
	case kind == Int64 && len(b) >= 8:
		return int64(binary.BigEndian.Uint64(b) ^ (1 << 63)), 8
	case kind == Timestamp && len(b) >= 8:
		return Time(binary.BigEndian.Uint64(b) ^ (1 << 63)), 8
	case kind == String:
		s, n := decodeString(b)
		return string(s), n
	case kind == Bytes:
		return decodeString(b)
	}
	return nil, 0
}

func decodeString(b []byte) ([]byte, int) {
	out := []byte{}
	for i := 0; i < len(b); i++ {
		if b[i] != 0 {
			out = append(out, b[i])
			continue
		}
		if i+1 == len(b) {
			break
		}
		switch b[i+1] {
		case 0xff:
			out = append(out, 0)
			i++
		case 1:
			return out, i + 2
		default:
			return nil, 0
		}
	}
	return nil, 0
}
