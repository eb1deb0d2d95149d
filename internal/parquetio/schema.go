package parquetio

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// schemaDepthMax bounds the nesting of groups; levels are counted in a byte.
const schemaDepthMax = 64

// column is a leaf of the schema.
type column struct {
	info  ColumnInfo
	index int // among the leaves

	physical format.Type
	width    int // bytes of a FIXED_LEN_BYTE_ARRAY
	kind     kind
	bits     int   // of an integer
	unsigned bool  // of an integer
	scale    int   // of a decimal
	unit     int64 // of a timestamp: its units per second

	maxDef, maxRep uint8
	listDef        uint8 // definition level from which on a list has an element here
}

// levelWidth returns the bits of a level up to max.
func levelWidth(max uint8) int { return bits.Len8(max) }

type schemaNode struct {
	element  *format.SchemaElement
	children []*schemaNode
}

type schemaBuilder struct {
	file *File
	next int
}

// buildColumns finds the leaves of the schema.
func (f *File) buildColumns() error {
	if len(f.meta.Schema) == 0 {
		return f.corrupt("it has no schema")
	}
	b := &schemaBuilder{file: f}
	root, err := b.node(0)
	if err != nil {
		return err
	}
	if b.next != len(f.meta.Schema) {
		return f.corrupt("the schema has %d elements outside its tree", len(f.meta.Schema)-b.next)
	}
	if err := b.group(root, nil, levels{}); err != nil {
		return err
	}
	f.byPath = make(map[string]*column, len(f.columns))
	for _, c := range f.columns {
		if twin := f.byPath[c.info.Path]; twin != nil {
			for _, c := range []*column{c, twin} {
				c.kind, c.info.Type, c.info.Convertible = kindOther, feature.Type{}, false
				c.info.Physical = "two columns of one name"
			}
		}
		f.byPath[c.info.Path] = c
	}
	return nil
}

func (b *schemaBuilder) node(depth int) (*schemaNode, error) {
	if b.next >= len(b.file.meta.Schema) || depth > schemaDepthMax {
		return nil, b.file.corrupt("its schema is no tree of at most %d levels", schemaDepthMax)
	}
	n := &schemaNode{element: &b.file.meta.Schema[b.next]}
	b.next++
	if n.element.Type.Valid {
		return n, nil
	}
	for range n.element.NumChildren.V {
		child, err := b.node(depth + 1)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, child)
	}
	return n, nil
}

// levels are what nesting makes of a node: its definition and repetition level, the definition level of its list's
// elements, and whether it lies in something that is not a scalar or a list of scalars.
type levels struct {
	def, rep, list uint8
	foreign        string
}

func (l levels) in(e *format.SchemaElement) levels {
	switch repetition(e) {
	case format.Optional:
		l.def++
	case format.Repeated:
		l.def++
		l.rep++
		l.list = l.def
	}
	return l
}

func repetition(e *format.SchemaElement) format.FieldRepetitionType {
	if e.RepetitionType.Valid {
		return e.RepetitionType.V
	}
	return format.Required
}

// group adds the leaves below n, whose own path and levels are given.
func (b *schemaBuilder) group(n *schemaNode, path []string, l levels) error {
	for _, c := range n.children {
		p := append(path[:len(path):len(path)], c.element.Name)
		in := l.in(c.element)
		if c.element.Type.Valid {
			if err := b.leaf(c, p, in); err != nil {
				return err
			}
			continue
		}
		if element, ok := listElement(c); ok {
			in = in.in(c.children[0].element)
			if element != c.children[0] {
				in = in.in(element.element)
			}
			if err := b.leaf(element, p, in); err != nil {
				return err
			}
			continue
		}
		switch {
		case in.foreign != "":
		case isAnnotated(c.element, deprecated.List):
			in.foreign = "list of lists or structs"
		case isAnnotated(c.element, deprecated.Map) || isAnnotated(c.element, deprecated.MapKeyValue):
			in.foreign = "map"
		case repetition(c.element) == format.Repeated:
			in.foreign = "repeated struct"
		}
		if err := b.group(c, p, in); err != nil {
			return err
		}
	}
	return nil
}

func isAnnotated(e *format.SchemaElement, as deprecated.ConvertedType) bool {
	switch e.LogicalType.Value.(type) {
	case *format.ListType:
		return as == deprecated.List
	case *format.MapType:
		return as == deprecated.Map
	}
	return e.ConvertedType.Valid && e.ConvertedType.V == as
}

// listElement returns the leaf that holds the elements when n is a list of scalars: either of the three-level form,
// or of the two-level form of old writers. The rules are those of the format's page on logical types.
func listElement(n *schemaNode) (*schemaNode, bool) {
	if !isAnnotated(n.element, deprecated.List) || len(n.children) != 1 {
		return nil, false
	}
	repeated := n.children[0]
	if repetition(repeated.element) != format.Repeated || repetition(n.element) == format.Repeated {
		return nil, false
	}
	if repeated.element.Type.Valid {
		return repeated, true
	}
	if len(repeated.children) != 1 {
		return nil, false
	}
	name := repeated.element.Name
	if name == "array" || name == n.element.Name+"_tuple" { // a struct of one field
		return nil, false
	}
	element := repeated.children[0]
	return element, element.element.Type.Valid && repetition(element.element) != format.Repeated
}

func (b *schemaBuilder) leaf(n *schemaNode, path []string, l levels) error {
	e := n.element
	if e.Type.V < format.Boolean || e.Type.V > format.FixedLenByteArray {
		return b.file.corrupt("column %s has the unknown physical type %d", strings.Join(path, "."), e.Type.V)
	}
	c := &column{
		index:    len(b.file.columns),
		physical: e.Type.V,
		width:    int(e.TypeLength.V),
		maxDef:   l.def, maxRep: l.rep, listDef: l.list,
	}
	c.info = ColumnInfo{Path: strings.Join(path, "."), FieldID: int(e.FieldID), column: c}
	if c.physical == format.FixedLenByteArray && (c.width <= 0 || c.width > fixedWidthMax) {
		return b.file.corrupt("column %s has values of %d bytes", c.info.Path, c.width)
	}
	name := c.annotate(e)
	c.info.Physical = name
	if l.rep > 0 {
		c.info.Physical = "list of " + name
	}
	if l.rep > 1 && l.foreign == "" {
		l.foreign = "list of lists"
	}
	if l.foreign != "" {
		c.kind, c.info.Physical = kindOther, fmt.Sprintf("%s in a %s", name, l.foreign)
	}
	c.info.Type, c.info.Convertible = c.natural(), c.kind != kindOther
	b.file.columns = append(b.file.columns, c)
	return nil
}
