package online

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// The head of a stored list: its length and whether a null bitmap follows.
const (
	listFlagsAt = 4
	listHead    = 5
	listNulls   = 1
)

// list is a stored list taken apart. Its parts point into the value.
type list struct {
	length   int
	nulls    []byte // nil where no element is NULL
	elements []byte // fixed-width elements, or the ends of the variable-width ones
	width    int    // of an element in elements
	variable bool
	bytes    []byte // what variable-width elements point to
}

// appendList appends elements [from, to) of values as a list of kind.
func appendList(dst []byte, kind feature.Kind, values arrow.Array, from, to int) ([]byte, error) {
	n := to - from
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, 0)
	flags, nulls := len(dst)-1, len(dst)
	for i := from; i < to; i++ {
		if !values.IsNull(i) {
			continue
		}
		if dst[flags] == 0 {
			dst[flags] = listNulls
			dst = append(dst, make([]byte, (n+7)/8)...)
		}
		dst[nulls+(i-from)/8] |= 1 << ((i - from) % 8)
	}
	width := fixedWidth(feature.Scalar(kind))
	slot := width
	if width == 0 {
		slot = 4
	}
	elements := len(dst)
	dst = append(dst, make([]byte, n*slot)...)
	start := len(dst)
	var err error
	for i := range n {
		at := elements + i*slot
		switch {
		case values.IsNull(from+i) && width > 0: // zero bytes
		case width > 0:
			err = putFixed(dst[at:], kind, values, from+i)
		default:
			if values.IsValid(from + i) {
				dst, err = appendVariable(dst, feature.Scalar(kind), values, from+i)
			}
			binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-start))
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// openList takes b apart; fault says what is wrong with it. Only the parts' lengths are checked, not what variable-width
// elements point to.
func openList(b []byte, kind feature.Kind) (l list, fault string) {
	if len(b) < listHead {
		return l, "is no list"
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	l.width = fixedWidth(feature.Scalar(kind))
	if l.width == 0 {
		l.width, l.variable = 4, true
	}
	rest := b[listHead:]
	if b[listFlagsAt]&^listNulls != 0 {
		return l, "is a list with unknown flags"
	}
	need := n * uint64(l.width)
	if b[listFlagsAt] == listNulls {
		if uint64(len(rest)) < (n+7)/8 {
			return l, "is a list that ends in its null bitmap"
		}
		l.nulls, rest = rest[:(n+7)/8], rest[(n+7)/8:]
	}
	if uint64(len(rest)) < need || (!l.variable && uint64(len(rest)) != need) {
		return l, "is a list of another length than it says"
	}
	l.length, l.elements, l.bytes = int(n), rest[:need], rest[need:]
	return l, ""
}

// checkList returns what is wrong with the stored list b, "" for nothing.
func checkList(b []byte, kind feature.Kind) string {
	l, fault := openList(b, kind)
	if fault != "" {
		return fault
	}
	if n := l.length % 8; l.nulls != nil && n != 0 && l.nulls[len(l.nulls)-1]>>n != 0 {
		return "is a list whose null bitmap is longer than it"
	}
	end, anyNull := uint32(0), false
	for i := range l.length {
		null := l.isNull(i)
		anyNull = anyNull || null
		element := l.elements[i*l.width : (i+1)*l.width]
		switch {
		case l.variable:
			next := binary.LittleEndian.Uint32(element)
			if next < end || uint64(next) > uint64(len(l.bytes)) || (null && next != end) {
				return "is a list with an element outside of it"
			}
			end = next
		case null:
			for _, c := range element {
				if c != 0 {
					return "is a list with a NULL that has a value"
				}
			}
		case kind == feature.Bool && element[0] > 1:
			return "is a list with an element that is neither true nor false"
		}
	}
	if l.variable && int(end) != len(l.bytes) {
		return "is a list with bytes after its last element"
	}
	if l.nulls != nil && !anyNull {
		return "is a list with a null bitmap and no NULL"
	}
	return ""
}

func (l *list) isNull(i int) bool { return l.nulls != nil && l.nulls[i/8]>>(i%8)&1 != 0 }

// element returns the bytes of element i of a checked list.
func (l *list) element(i int) []byte {
	at := l.elements[i*l.width:]
	if !l.variable {
		return at[:l.width]
	}
	from := uint32(0)
	if i > 0 {
		from = binary.LittleEndian.Uint32(l.elements[(i-1)*l.width:])
	}
	return l.bytes[from:binary.LittleEndian.Uint32(at)]
}

// appendListTo appends the checked list b of kind to to.
func appendListTo(to *array.ListBuilder, b []byte, kind feature.Kind) {
	l, _ := openList(b, kind)
	to.Append(true)
	values := to.ValueBuilder()
	values.Reserve(l.length)
	add := appender(values)
	for i := range l.length {
		if l.isNull(i) {
			values.AppendNull()
		} else {
			add(l.element(i))
		}
	}
}

// appender returns a function that appends the stored bytes of a value to b, whose type is that of a feature type.
func appender(b array.Builder) func(stored []byte) {
	order := binary.LittleEndian
	switch b := b.(type) {
	case *array.BooleanBuilder:
		return func(v []byte) { b.Append(v[0] == 1) }
	case *array.Int32Builder:
		return func(v []byte) { b.Append(int32(order.Uint32(v))) }
	case *array.Int64Builder:
		return func(v []byte) { b.Append(int64(order.Uint64(v))) }
	case *array.Float32Builder:
		return func(v []byte) { b.Append(math.Float32frombits(order.Uint32(v))) }
	case *array.Float64Builder:
		return func(v []byte) { b.Append(math.Float64frombits(order.Uint64(v))) }
	case *array.TimestampBuilder:
		return func(v []byte) { b.Append(arrow.Timestamp(order.Uint64(v))) }
	case *array.StringBuilder:
		return func(v []byte) { b.BinaryBuilder.Append(v) }
	case *array.BinaryBuilder:
		return func(v []byte) { b.Append(v) }
	case *array.ListBuilder:
		elem, _ := feature.TypeOfArrow(b.ValueBuilder().Type())
		return func(v []byte) { appendListTo(b, v, elem.Kind) }
	}
	panic("online: no feature type has columns of " + b.Type().String())
}
