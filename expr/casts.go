package expr

import (
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"github.com/asof-store/asof/feature"
)

// cast checks CAST(x AS type). Types have their names of definitions or Spark's.
func (c *checker) cast(pos lexer.Position, k *cast) (*node, error) {
	of, err := c.disjunction(k.Of)
	if err != nil {
		return nil, err
	}
	t, ok := castType(strings.ToLower(k.Type), strings.ToLower(k.Elem))
	if !ok {
		return nil, errorAt(k.Pos, "types are "+strings.Join(feature.TypeNames(), ", ")+", and list<...> of them", "unknown type %s", k.Type)
	}
	if of.untyped() {
		of.resolve(t)
	}
	if !castable(of.typ, t) {
		return nil, errorAt(pos, "", "no cast leads from %s to %s", of.typ, t)
	}
	return &node{op: opCast, pos: pos, typ: t, args: []*node{of}}, nil
}

// castType reads a type's name, and its element's if it is a list.
func castType(name, elem string) (feature.Type, bool) {
	list := name == "list" || name == "array"
	if list != (elem != "") {
		return feature.Type{}, false
	}
	if list {
		name = elem
	}
	switch name {
	case "boolean":
		name = "bool"
	case "int", "integer":
		name = "int32"
	case "bigint", "long":
		name = "int64"
	case "float", "real":
		name = "float32"
	case "double":
		name = "float64"
	case "binary":
		name = "bytes"
	}
	t, err := feature.ParseType(name)
	t.List = list
	return t, err == nil
}

// sparkType returns Spark's name of t.
func sparkType(t feature.Type) string {
	name := ""
	switch t.Kind {
	case feature.Bool:
		name = "BOOLEAN"
	case feature.Int32:
		name = "INT"
	case feature.Int64:
		name = "BIGINT"
	case feature.Float32:
		name = "FLOAT"
	case feature.Float64:
		name = "DOUBLE"
	case feature.String:
		name = "STRING"
	case feature.Bytes:
		name = "BINARY"
	case feature.Timestamp:
		name = "TIMESTAMP"
	}
	if t.List {
		return "ARRAY<" + name + ">"
	}
	return name
}

// castable reports whether cast leads from one type to the other. Lists of numbers are cast to lists
// of wider or of floating numbers, which cannot fail.
func castable(from, to feature.Type) bool {
	switch {
	case from == to:
		return true
	case from.List && to.List:
		f, t := feature.Scalar(from.Kind), feature.Scalar(to.Kind)
		return widens(f, t) || f.IsNumeric() && t.Kind == feature.Float32
	case from.List || to.List:
		return false
	case from.Kind == feature.String:
		return true
	case to.Kind == feature.String:
		return true
	case from.Kind == feature.Bytes || to.Kind == feature.Bytes:
		return false
	case from.Kind == feature.Bool:
		return to.IsNumeric()
	case from.Kind == feature.Timestamp:
		return to.IsNumeric()
	}
	return true // a number to a number, bool or timestamp
}
