package expr

import (
	"github.com/alecthomas/participle/v2/lexer"

	"github.com/asof-store/asof/feature"
)

// operator tells what a node of the typed tree does.
type operator uint8

const (
	opLiteral      operator = iota + 1 // value
	opColumn                           // name
	opNegate                           // -a
	opAdd                              // a + b, as the next four
	opSubtract                         //
	opMultiply                         //
	opDivide                           //
	opModulo                           //
	opEqual                            // a = b, as the next six
	opNotEqual                         //
	opLess                             //
	opLessEqual                        //
	opGreater                          //
	opGreaterEqual                     //
	opSame                             // a <=> b
	opAnd                              // a AND b
	opOr                               // a OR b
	opNot                              // NOT a
	opIsNull                           // a IS NULL
	opIn                               // a IN (b, c, ...)
	opBetween                          // a BETWEEN b AND c
	opLike                             // a LIKE b, b a literal that holds the pattern with \ as its escape
	opCase                             // CASE WHEN a THEN b WHEN c THEN d ... [ELSE e] END
	opSwitch                           // CASE a WHEN b THEN c ... [ELSE d] END
	opCast                             // CAST(a AS typ)
	opElement                          // a[b]
	opCall                             // name(a, b, ...)
)

// node is a node of the typed tree.
type node struct {
	op   operator
	typ  feature.Type // the zero Type for a NULL that has found no type yet
	pos  lexer.Position
	args []*node
	// name is the column's name or the function's.
	name string
	// parts are the parts of a column's path; name is them, joined by dots.
	parts []string
	// value is a literal's: bool, int32, int64, float32, float64, string, feature.Time, or nil for NULL.
	value any
	// implicit marks a conversion that nobody wrote and that Spark makes too.
	implicit bool
	// constant marks a node that reads no column.
	constant bool
}

// untyped reports whether n is a NULL that has found no type yet.
func (n *node) untyped() bool { return n.typ == feature.Type{} }

// resolve gives an untyped node, and what makes it up, its type.
func (n *node) resolve(t feature.Type) {
	n.typ = t
	for _, a := range n.args {
		if a.untyped() {
			a.resolve(t)
		}
	}
}

// markConstants sets constant in n and below.
func (n *node) markConstants() {
	n.constant = n.op != opColumn
	for _, a := range n.args {
		a.markConstants()
		n.constant = n.constant && a.constant
	}
}

// branches splits the arguments of a CASE, those before the first WHEN left out, into (condition, value) pairs and
// the value of ELSE, nil when there is none.
func branches(args []*node) (pairs [][2]*node, otherwise *node) {
	for len(args) >= 2 {
		pairs = append(pairs, [2]*node{args[0], args[1]})
		args = args[2:]
	}
	if len(args) == 1 {
		otherwise = args[0]
	}
	return pairs, otherwise
}
