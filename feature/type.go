package feature

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Kind is the scalar part of a [Type].
type Kind uint8

// The scalar kinds. The zero Kind is no kind at all.
const (
	Bool Kind = iota + 1
	Int32
	Int64
	Float32
	Float64
	String
	Bytes
	Timestamp // an instant in UTC microseconds
)

var kindNames = [...]string{Bool: "bool", Int32: "int32", Int64: "int64", Float32: "float32", Float64: "float64",
	String: "string", Bytes: "bytes", Timestamp: "timestamp"}

// String returns the name of k as definitions write it.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Type is the type of a feature or of a key part: a scalar kind or a list of one. It is comparable; the zero
// Type is no type.
type Type struct {
	Kind Kind
	List bool
}

// Scalar returns the type of single values of kind k.
func Scalar(k Kind) Type { return Type{Kind: k} }

// ListOf returns the type of lists of kind k.
func ListOf(k Kind) Type { return Type{Kind: k, List: true} }

// TypeNames lists the scalar type names in the order in which documentation gives them.
func TypeNames() []string { return append([]string(nil), kindNames[1:]...) }

// ParseType reads a type as definitions write it: a scalar name, or "list<name>".
func ParseType(s string) (Type, error) {
	name := strings.TrimSpace(s)
	list := strings.HasPrefix(name, "list<") && strings.HasSuffix(name, ">")
	if list {
		name = strings.TrimSpace(name[len("list<") : len(name)-1])
	}
	for k := Bool; k <= Timestamp; k++ {
		if kindNames[k] == name {
			return Type{Kind: k, List: list}, nil
		}
	}
	return Type{}, Errorf(ErrInvalid, "unknown type %q: types are %s, and list<...> of them", s, strings.Join(TypeNames(), ", "))
}

// String returns t as definitions write it.
func (t Type) String() string {
	if t.List {
		return "list<" + t.Kind.String() + ">"
	}
	return t.Kind.String()
}

// IsNumeric reports whether t is a scalar number.
func (t Type) IsNumeric() bool { return !t.List && t.Kind >= Int32 && t.Kind <= Float64 }

// IsKey reports whether values of t can be part of an entity key: everything whose equality is exact.
func (t Type) IsKey() bool {
	return !t.List && t.Kind != 0 && t.Kind != Float32 && t.Kind != Float64
}

var timestampArrow = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// Arrow returns the Arrow type in which columns of t travel between packages.
func (t Type) Arrow() arrow.DataType {
	var d arrow.DataType
	switch t.Kind {
	case Bool:
		d = arrow.FixedWidthTypes.Boolean
	case Int32:
		d = arrow.PrimitiveTypes.Int32
	case Int64:
		d = arrow.PrimitiveTypes.Int64
	case Float32:
		d = arrow.PrimitiveTypes.Float32
	case Float64:
		d = arrow.PrimitiveTypes.Float64
	case String:
		d = arrow.BinaryTypes.String
	case Bytes:
		d = arrow.BinaryTypes.Binary
	case Timestamp:
		d = timestampArrow
	default:
		panic("feature: the zero Type has no Arrow type")
	}
	if t.List {
		return arrow.ListOf(d)
	}
	return d
}

// TypeOfArrow is the inverse of [Type.Arrow]; ok is false for every other Arrow type.
func TypeOfArrow(d arrow.DataType) (t Type, ok bool) {
	if l, isList := d.(*arrow.ListType); isList {
		e, ok := TypeOfArrow(l.Elem())
		return Type{Kind: e.Kind, List: true}, ok && !e.List
	}
	for k := Bool; k <= Timestamp; k++ {
		if arrow.TypeEqual(d, Scalar(k).Arrow()) {
			return Scalar(k), true
		}
	}
	return Type{}, false
}
