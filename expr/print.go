package expr

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/asof-store/asof/feature"
)

// The strengths of operators, from the weakest to the strongest.
const (
	levelOr = iota + 1
	levelAnd
	levelNot
	levelPredicate
	levelComparison
	levelSum
	levelProduct
	levelSign
	levelElement
	levelPrimary
)

// String returns the node as Spark SQL.
func (n *node) String() string {
	var out strings.Builder
	n.print(&out)
	return out.String()
}

// title names what the node does, for messages.
func (n *node) title() string {
	if n.op == opCall {
		return n.name
	}
	sign, _ := n.binary()
	if sign == "" && n.op == opNot {
		sign = "NOT"
	}
	return strings.ToLower(sign)
}

// binary returns the sign and the strength of a binary operator, "" for every other node.
func (n *node) binary() (sign string, level int) {
	switch n.op {
	case opAdd:
		return "+", levelSum
	case opSubtract:
		return "-", levelSum
	case opMultiply:
		return "*", levelProduct
	case opDivide:
		return "/", levelProduct
	case opModulo:
		return "%", levelProduct
	case opEqual:
		return "=", levelComparison
	case opNotEqual:
		return "<>", levelComparison
	case opLess:
		return "<", levelComparison
	case opLessEqual:
		return "<=", levelComparison
	case opGreater:
		return ">", levelComparison
	case opGreaterEqual:
		return ">=", levelComparison
	case opSame:
		return "<=>", levelComparison
	case opAnd:
		return "AND", levelAnd
	case opOr:
		return "OR", levelOr
	}
	return "", 0
}

// level returns the strength of the node as it is printed.
func (n *node) level() int {
	if _, level := n.binary(); level != 0 {
		return level
	}
	switch n.op {
	case opNot:
		if n.negatedPredicate() {
			return levelPredicate
		}
		return levelNot
	case opIsNull, opIn, opBetween, opLike:
		return levelPredicate
	case opNegate:
		return levelSign
	case opLiteral:
		if negative(n.value) {
			return levelSign
		}
	case opElement:
		return levelElement
	case opCast:
		if n.implicit {
			return n.args[0].level()
		}
	}
	return levelPrimary
}

// negatedPredicate reports whether the node is a NOT that is written inside its predicate: x IS NOT NULL.
func (n *node) negatedPredicate() bool {
	switch n.args[0].op {
	case opIsNull, opIn, opBetween, opLike:
		return true
	}
	return false
}

// printAt prints the node, in parentheses where it is weaker than the place needs.
func (n *node) printAt(out *strings.Builder, level int) {
	if n.level() >= level {
		n.print(out)
		return
	}
	out.WriteByte('(')
	n.print(out)
	out.WriteByte(')')
}

func (n *node) print(out *strings.Builder) {
	if sign, level := n.binary(); sign != "" {
		n.args[0].printAt(out, level)
		out.WriteString(" " + sign + " ")
		n.args[1].printAt(out, level+1)
		return
	}
	switch n.op {
	case opLiteral:
		out.WriteString(literalText(n.value))
	case opColumn:
		for i, part := range n.parts {
			if i > 0 {
				out.WriteByte('.')
			}
			out.WriteString(quoteName(part))
		}
	case opNegate:
		out.WriteByte('-')
		if a := n.args[0]; a.op == opNegate || a.level() == levelSign {
			out.WriteByte(' ') // two of them would begin a comment
		}
		n.args[0].printAt(out, levelSign)
	case opNot:
		if n.negatedPredicate() {
			n.args[0].printPredicate(out, "NOT ")
			return
		}
		out.WriteString("NOT ")
		n.args[0].printAt(out, levelNot)
	case opIsNull, opIn, opBetween, opLike:
		n.printPredicate(out, "")
	case opCase, opSwitch:
		n.printCase(out)
	case opCast:
		if n.implicit {
			n.args[0].print(out)
			return
		}
		out.WriteString("CAST(")
		n.args[0].print(out)
		out.WriteString(" AS " + sparkType(n.typ) + ")")
	case opElement:
		n.args[0].printAt(out, levelElement)
		out.WriteByte('[')
		n.args[1].print(out)
		out.WriteByte(']')
	case opCall:
		out.WriteString(n.name)
		printList(out, n.args)
	}
}

func printList(out *strings.Builder, nodes []*node) {
	out.WriteByte('(')
	for i, n := range nodes {
		if i > 0 {
			out.WriteString(", ")
		}
		n.print(out)
	}
	out.WriteByte(')')
}

func (n *node) printPredicate(out *strings.Builder, not string) {
	n.args[0].printAt(out, levelSum)
	switch n.op {
	case opIsNull:
		out.WriteString(" IS " + not + "NULL")
	case opIn:
		out.WriteString(" " + not + "IN ")
		printList(out, n.args[1:])
	case opBetween:
		out.WriteString(" " + not + "BETWEEN ")
		n.args[1].printAt(out, levelSum)
		out.WriteString(" AND ")
		n.args[2].printAt(out, levelSum)
	case opLike:
		out.WriteString(" " + not + "LIKE ")
		n.args[1].print(out)
	}
}

func (n *node) printCase(out *strings.Builder) {
	out.WriteString("CASE")
	args := n.args
	if n.op == opSwitch {
		out.WriteByte(' ')
		args[0].print(out)
		args = args[1:]
	}
	pairs, otherwise := branches(args)
	for _, p := range pairs {
		out.WriteString(" WHEN ")
		p[0].print(out)
		out.WriteString(" THEN ")
		p[1].print(out)
	}
	if otherwise != nil {
		out.WriteString(" ELSE ")
		otherwise.print(out)
	}
	out.WriteString(" END")
}

// literalText returns a literal as Spark reads it, with the suffix of its type.
func literalText(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case bool:
		return strings.ToUpper(strconv.FormatBool(v))
	case int32:
		return strconv.Itoa(int(v))
	case int64:
		return strconv.FormatInt(v, 10) + "L"
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32) + "F"
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64) + "D"
	case feature.Time:
		return "TIMESTAMP '" + v.String() + "'"
	case string:
		return quoteString(v)
	}
	panic(fmt.Sprintf("expr: no literal has the type %T", v))
}

// negative reports whether v is printed with a sign.
func negative(v any) bool {
	switch v := v.(type) {
	case int32:
		return v < 0
	case int64:
		return v < 0
	case float32:
		return math.Signbit(float64(v))
	case float64:
		return math.Signbit(v)
	}
	return false
}
