package expr

import (
	"github.com/asof-store/asof/feature"
)

// widens reports whether every number of type from may stand where one of type to is wanted.
func widens(from, to feature.Type) bool {
	if !from.IsNumeric() || !to.IsNumeric() {
		return false
	}
	switch to.Kind {
	case feature.Int64:
		return from.Kind == feature.Int32
	case feature.Float64:
		return true
	}
	return false
}

// commonType returns the type to which values of all the types may be brought: their own if they are alike, the widest
// number otherwise. An integer with a float32 gives a float64, as in Spark's ANSI mode, since a float32 would lose
// digits. Untyped NULLs do not count; the zero Type comes back where there is nothing else.
func commonType(nodes []*node) (common feature.Type, odd *node) {
	for _, n := range nodes {
		switch {
		case n.untyped() || n.typ == common || widens(n.typ, common):
		case common == feature.Type{} || widens(common, n.typ):
			common = n.typ
		case n.typ.IsNumeric() && common.IsNumeric():
			common = feature.Scalar(feature.Float64)
		default:
			return common, n
		}
	}
	return common, nil
}

// alike brings the nodes to one type, in place. It leaves NULLs untyped where nothing gives them a type.
func (c *checker) alike(nodes []*node) error {
	common, odd := commonType(nodes)
	if odd != nil {
		return errorAt(odd.pos, castHint(common), "values of one type are needed, but %s is %s beside %s", odd, odd.typ, common)
	}
	if (common == feature.Type{}) {
		return nil
	}
	implicit := false // Spark comes to the same type by itself only if it stands there
	for _, n := range nodes {
		implicit = implicit || n.typ == common
	}
	for i, n := range nodes {
		nodes[i] = c.convert(n, common, implicit)
	}
	return nil
}

func castHint(t feature.Type) string { return "cast(... as " + t.String() + ") converts it" }

// comparable brings the operands of a comparison to one type, in place, first the node's own arguments.
func (c *checker) comparable(n *node, what string, operands []*node) error {
	for _, o := range operands {
		if o.typ.List {
			return errorAt(o.pos, "compare its elements", "%s compares no lists, and %s is %s", what, o, o.typ)
		}
	}
	common, odd := commonType(operands)
	if odd != nil {
		return errorAt(n.pos, compareHint(common, odd), "%s compares %s with %s", what, common, odd.typ)
	}
	if (common == feature.Type{}) {
		for _, o := range operands {
			o.resolve(feature.Scalar(feature.Bool)) // NULL = NULL
		}
		return nil
	}
	return c.alike(operands)
}

func compareHint(a feature.Type, odd *node) string {
	text, truth := feature.Scalar(feature.String), feature.Scalar(feature.Bool)
	if a == truth || odd.typ == truth {
		return ""
	}
	if a == text {
		a = odd.typ
	} else if odd.typ != text {
		return castHint(a)
	}
	if a == feature.Scalar(feature.Timestamp) {
		return "write timestamp '2026-01-01T00:00:00Z', or cast(... as timestamp)"
	}
	return castHint(a)
}

// want returns n as a value of type t, or an error that says what needs it.
func (c *checker) want(n *node, t feature.Type, what string) (*node, error) {
	if n.untyped() || n.typ == t || widens(n.typ, t) {
		return c.convert(n, t, true), nil
	}
	hint := ""
	if castable(n.typ, t) && t.Kind != feature.Bool {
		hint = castHint(t)
	}
	return nil, errorAt(n.pos, hint, "%s needs %s, but %s is %s", what, t, n, n.typ)
}

// wantWhole returns n as an integer of either size, int32 if it is an untyped NULL.
func (c *checker) wantWhole(n *node, what string) (*node, error) {
	if n.typ == feature.Scalar(feature.Int64) {
		return n, nil
	}
	return c.want(n, feature.Scalar(feature.Int32), what)
}

// wantAll makes all arguments of n values of type t.
func (c *checker) wantAll(n *node, t feature.Type) error {
	for i, a := range n.args {
		var err error
		if n.args[i], err = c.want(a, t, n.title()); err != nil {
			return err
		}
	}
	return nil
}

// convert returns n as type t, to which it widens.
func (c *checker) convert(n *node, t feature.Type, implicit bool) *node {
	switch {
	case n.typ == t:
		return n
	case n.untyped():
		n.resolve(t)
		return n
	case n.op == opLiteral && n.value != nil:
		return &node{op: opLiteral, pos: n.pos, typ: t, value: convertLiteral(n.value, t.Kind)}
	}
	return &node{op: opCast, pos: n.pos, typ: t, args: []*node{n}, implicit: implicit}
}

// typeText names the type of n in messages.
func typeText(n *node) string {
	if n.untyped() {
		return "an untyped NULL"
	}
	return n.typ.String()
}
