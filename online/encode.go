package online

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// maxValueBytes bounds a stored value: room for an embedding of four million float32, and a quarter of one of
// Badger's log files.
const maxValueBytes = 16 << 20

// encode appends to dst the value that holds row i of columns, one column for each field, for the store's key. The
// columns have the Arrow types of the fields. What it appends passes validate.
func (l *layout) encode(dst, key []byte, s stamp, columns []arrow.Array, i int) ([]byte, error) {
	if len(columns) != len(l.fields) {
		return dst, feature.Errorf(feature.ErrInternal, "online value of %d columns for a schema of %d fields", len(columns), len(l.fields))
	}
	base := len(dst)
	dst = append(dst, make([]byte, l.variable)...)
	head := dst[base:]
	head[0] = valueVersion
	binary.LittleEndian.PutUint32(head[schemaAt:], l.schema)
	binary.LittleEndian.PutUint64(head[eventAt:], uint64(s.event))
	if s.created != feature.MinTime {
		head[flagsAt] |= flagCreated
		binary.LittleEndian.PutUint64(head[createdAt:], uint64(s.created))
	}
	binary.LittleEndian.PutUint64(head[asOfAt:], uint64(s.asOf))
	var err error
	for f := range l.fields {
		if dst, err = l.encodeField(dst, base, f, columns[f], i); err != nil {
			return dst[:base], err
		}
	}
	if len(dst)-base > maxValueBytes {
		return dst[:base], feature.Errorf(feature.ErrInvalid, "a row of %d bytes is too large for the online store, which holds up to %d: "+
			"shorten its strings or lists, or set online: false", len(dst)-base, maxValueBytes)
	}
	binary.LittleEndian.PutUint32(dst[base+checksumAt:], checksum(key, dst[base:]))
	if fault := l.malformed(dst[base:]); fault != "" {
		return dst[:base], feature.Errorf(feature.ErrInternal, "encoded a value that does not decode: %s", fault)
	}
	return dst, nil
}

// encodeField writes row i of column as field f of the value that begins at base and ends where dst ends.
func (l *layout) encodeField(dst []byte, base, f int, column arrow.Array, i int) ([]byte, error) {
	s := l.slots[f]
	null := column.IsNull(i)
	if null {
		dst[base+nullsAt+f/8] |= 1 << (f % 8)
	}
	if !s.variable {
		if null {
			return dst, nil
		}
		return dst, putFixed(dst[base+s.at:], l.fields[f].Type.Kind, column, i)
	}
	if !null {
		var err error
		if dst, err = appendVariable(dst, l.fields[f].Type, column, i); err != nil {
			return dst, err
		}
	}
	end := len(dst) - base - l.variable
	if end > math.MaxUint32 {
		return dst, feature.Errorf(feature.ErrInvalid, "field %s is larger than a value can be", l.fields[f].Name)
	}
	binary.LittleEndian.PutUint32(dst[base+s.at:], uint32(end))
	return dst, nil
}

// putFixed writes value i of column, which is not NULL, at the head of b.
func putFixed(b []byte, kind feature.Kind, column arrow.Array, i int) error {
	order := binary.LittleEndian
	switch c := column.(type) {
	case *array.Boolean:
		if kind == feature.Bool {
			b[0] = 0
			if c.Value(i) {
				b[0] = 1
			}
			return nil
		}
	case *array.Int32:
		if kind == feature.Int32 {
			order.PutUint32(b, uint32(c.Value(i)))
			return nil
		}
	case *array.Int64:
		if kind == feature.Int64 {
			order.PutUint64(b, uint64(c.Value(i)))
			return nil
		}
	case *array.Float32:
		if kind == feature.Float32 {
			order.PutUint32(b, math.Float32bits(c.Value(i)))
			return nil
		}
	case *array.Float64:
		if kind == feature.Float64 {
			order.PutUint64(b, math.Float64bits(c.Value(i)))
			return nil
		}
	case *array.Timestamp:
		if kind == feature.Timestamp {
			order.PutUint64(b, uint64(c.Value(i)))
			return nil
		}
	}
	return wrongColumn(feature.Scalar(kind), column)
}

// appendVariable appends value i of column, which is not NULL, to dst.
func appendVariable(dst []byte, t feature.Type, column arrow.Array, i int) ([]byte, error) {
	switch c := column.(type) {
	case *array.String:
		if t == feature.Scalar(feature.String) {
			return append(dst, c.Value(i)...), nil
		}
	case *array.Binary:
		if t == feature.Scalar(feature.Bytes) {
			return append(dst, c.Value(i)...), nil
		}
	case *array.List:
		if t.List {
			from, to := c.ValueOffsets(i)
			return appendList(dst, t.Kind, c.ListValues(), int(from), int(to))
		}
	}
	return dst, wrongColumn(t, column)
}

func wrongColumn(t feature.Type, column arrow.Array) error {
	return feature.Errorf(feature.ErrInternal, "online store got a column of %s for a feature of type %s", column.DataType(), t)
}
