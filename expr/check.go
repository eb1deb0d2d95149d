package expr

import (
	"slices"
	"strings"

	"github.com/alecthomas/participle/v2/lexer"

	"github.com/asof-store/asof/feature"
)

// checker makes the typed tree of a parse tree: it finds columns and functions, gives every node its type, and puts in
// the conversions that nobody wrote.
type checker struct {
	typeOf  func(column string) (feature.Type, bool)
	names   func() []string
	columns map[string]bool
}

// root checks a whole expression.
func (c *checker) root(d *disjunction) (*node, error) {
	n, err := c.disjunction(d)
	if err != nil {
		return nil, err
	}
	if n.untyped() {
		return nil, untypedNull(n)
	}
	return n, nil
}

func untypedNull(n *node) *Error {
	return errorAt(n.pos, "write cast(null as int64)", "the type of this NULL is unknown")
}

func (c *checker) disjunction(d *disjunction) (*node, error) {
	return chain(c, opOr, d.Terms, c.conjunction)
}

func (c *checker) conjunction(d *conjunction) (*node, error) {
	return chain(c, opAnd, d.Terms, c.negation)
}

// chain joins terms by AND or OR from the left.
func chain[T any](c *checker, op operator, terms []T, check func(T) (*node, error)) (*node, error) {
	left, err := check(terms[0])
	if err != nil {
		return nil, err
	}
	for _, term := range terms[1:] {
		right, err := check(term)
		if err != nil {
			return nil, err
		}
		left = &node{op: op, pos: left.pos, typ: feature.Scalar(feature.Bool), args: []*node{left, right}}
		if err := c.wantAll(left, feature.Scalar(feature.Bool)); err != nil {
			return nil, err
		}
	}
	return left, nil
}

func (c *checker) negation(g *negation) (*node, error) {
	n, err := c.predicate(g.Of)
	for range g.Nots {
		if err != nil {
			return nil, err
		}
		n, err = c.not(g.Pos, n)
	}
	return n, err
}

func (c *checker) not(pos lexer.Position, of *node) (*node, error) {
	n := &node{op: opNot, pos: pos, typ: feature.Scalar(feature.Bool), args: []*node{of}}
	return n, c.wantAll(n, n.typ)
}

func (c *checker) predicate(p *predicate) (*node, error) {
	left, err := c.comparison(p.Left)
	if err != nil || p.Test == nil {
		return left, err
	}
	n := &node{pos: left.pos, typ: feature.Scalar(feature.Bool), args: []*node{left}}
	negated := p.Test.Not
	if is := p.Test.Is; is != nil {
		n.op, negated = opIsNull, is.Not
		if left.untyped() {
			left.resolve(feature.Scalar(feature.Bool))
		}
	} else if err = c.choice(n, p.Test.Which); err != nil {
		return nil, err
	}
	if negated {
		return c.not(n.pos, n)
	}
	return n, nil
}

// choice completes the node of a BETWEEN, IN or LIKE whose left side is its first argument.
func (c *checker) choice(n *node, ch *choice) error {
	switch {
	case ch.Between != nil:
		n.op = opBetween
		for _, bound := range []*comparison{ch.Between.Low, ch.Between.High} {
			arg, err := c.comparison(bound)
			if err != nil {
				return err
			}
			n.args = append(n.args, arg)
		}
		return c.comparable(n, "between", n.args)
	case ch.In != nil:
		n.op = opIn
		args, err := c.all(ch.In)
		if err != nil {
			return err
		}
		n.args = append(n.args, args...)
		return c.comparable(n, "in", n.args)
	}
	return c.like(n, ch)
}

func (c *checker) like(n *node, ch *choice) error {
	n.op = opLike
	pattern, err := c.comparison(ch.Like)
	if err != nil {
		return err
	}
	if pattern.op != opLiteral || pattern.typ != feature.Scalar(feature.String) {
		return errorAt(pattern.pos, "", "the pattern of like must be a 'text'")
	}
	escape := `\`
	if ch.Escape != nil {
		escape = unquoteString(*ch.Escape)
	}
	text, err := canonicalPattern(pattern.value.(string), escape)
	if err != nil {
		return errorAt(pattern.pos, "", "%s", err)
	}
	pattern.value = text
	if n.args[0], err = c.want(n.args[0], feature.Scalar(feature.String), "like"); err != nil {
		return err
	}
	n.args = append(n.args, pattern)
	return nil
}

func (c *checker) all(ds []*disjunction) ([]*node, error) {
	nodes := make([]*node, len(ds))
	for i, d := range ds {
		var err error
		if nodes[i], err = c.disjunction(d); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (c *checker) comparison(cmp *comparison) (*node, error) {
	left, err := c.sum(cmp.Left)
	for i := 0; i < len(cmp.Rest) && err == nil; i++ {
		var right *node
		if right, err = c.sum(cmp.Rest[i].Right); err != nil {
			return nil, err
		}
		n := &node{op: comparisonOperator(cmp.Rest[i].Op), pos: left.pos, typ: feature.Scalar(feature.Bool), args: []*node{left, right}}
		err = c.comparable(n, cmp.Rest[i].Op, n.args)
		left = n
	}
	return left, err
}

func comparisonOperator(op string) operator {
	switch op {
	case "=", "==":
		return opEqual
	case "<>", "!=":
		return opNotEqual
	case "<":
		return opLess
	case "<=":
		return opLessEqual
	case ">":
		return opGreater
	case ">=":
		return opGreaterEqual
	}
	return opSame
}

func (c *checker) sum(s *sum) (*node, error) {
	left, err := c.product(s.Left)
	for i := 0; i < len(s.Rest) && err == nil; i++ {
		var right *node
		if right, err = c.product(s.Rest[i].Right); err != nil {
			return nil, err
		}
		op := opAdd
		if s.Rest[i].Op == "-" {
			op = opSubtract
		}
		left, err = c.arithmetic(op, s.Rest[i].Op, left, right)
	}
	return left, err
}

func (c *checker) product(p *product) (*node, error) {
	left, err := c.signed(p.Left)
	for i := 0; i < len(p.Rest) && err == nil; i++ {
		var right *node
		if right, err = c.signed(p.Rest[i].Right); err != nil {
			return nil, err
		}
		op := opMultiply
		switch p.Rest[i].Op {
		case "/":
			op = opDivide
		case "%":
			op = opModulo
		}
		left, err = c.arithmetic(op, p.Rest[i].Op, left, right)
	}
	return left, err
}

func (c *checker) arithmetic(op operator, sign string, left, right *node) (*node, error) {
	n := &node{op: op, pos: left.pos, args: []*node{left, right}}
	for _, a := range n.args {
		if !a.untyped() && !a.typ.IsNumeric() {
			return nil, errorAt(a.pos, arithmeticHint(op, n.args), "%s needs numbers, but %s is %s", sign, a, a.typ)
		}
	}
	if op == opDivide {
		n.typ = feature.Scalar(feature.Float64)
		return n, c.wantAll(n, n.typ)
	}
	if err := c.alike(n.args); err != nil {
		return nil, err
	}
	if n.args[0].untyped() {
		return nil, untypedNull(n.args[0])
	}
	n.typ = n.args[0].typ
	return n, nil
}

func arithmeticHint(op operator, args []*node) string {
	isTime := func(n *node) bool { return n.typ == feature.Scalar(feature.Timestamp) }
	isText := func(n *node) bool { return n.typ == feature.Scalar(feature.String) }
	switch {
	case slices.ContainsFunc(args, isTime):
		return "unix_micros(t) makes a number of a timestamp"
	case op == opAdd && slices.ContainsFunc(args, isText):
		return "concat(a, b) joins texts; cast(a as float64) makes a number of one"
	case slices.ContainsFunc(args, isText):
		return "cast(a as float64) makes a number of a text"
	}
	return ""
}

func (c *checker) signed(s *signed) (*node, error) {
	signs := s.Signs
	number := s.Of.Base.Number
	var n *node
	var err error
	if k := len(signs); k > 0 && signs[k-1] == "-" && number != nil && len(s.Of.Indices) == 0 {
		n, err = numberLiteral(s.Pos, *number, true) // so that the least integer can be written
		signs = signs[:k-1]
	} else {
		n, err = c.indexed(s.Of)
	}
	if err != nil || len(s.Signs) == 0 {
		return n, err
	}
	if n.untyped() {
		return nil, untypedNull(n)
	}
	if !n.typ.IsNumeric() {
		return nil, errorAt(n.pos, "", "a sign needs a number, but %s is %s", n, n.typ)
	}
	for _, sign := range signs {
		switch {
		case sign == "+":
		case n.op == opLiteral && !negative(n.value):
			n = &node{op: opLiteral, pos: s.Pos, typ: n.typ, value: negateLiteral(n.value)} // printed, it would be read as this
		default:
			n = &node{op: opNegate, pos: s.Pos, typ: n.typ, args: []*node{n}}
		}
	}
	return n, nil
}

func (c *checker) indexed(e *indexed) (*node, error) {
	n, err := c.primary(e.Base)
	for i := 0; i < len(e.Indices) && err == nil; i++ {
		var index *node
		if index, err = c.disjunction(e.Indices[i]); err != nil {
			return nil, err
		}
		if !n.typ.List {
			return nil, errorAt(n.pos, "", "[ ] needs a list, but %s is %s", n, typeText(n))
		}
		if index, err = c.wantWhole(index, "the index of an element"); err != nil {
			return nil, err
		}
		n = &node{op: opElement, pos: n.pos, typ: feature.Scalar(n.typ.Kind), args: []*node{n, index}}
	}
	return n, err
}

func (c *checker) primary(p *primary) (*node, error) {
	switch {
	case p.Number != nil:
		return numberLiteral(p.Pos, *p.Number, false)
	case p.String != nil:
		return literal(p.Pos, feature.String, unquoteString(*p.String)), nil
	case p.Word != nil && *p.Word == "NULL":
		return &node{op: opLiteral, pos: p.Pos}, nil
	case p.Word != nil:
		return literal(p.Pos, feature.Bool, *p.Word == "TRUE"), nil
	case p.Case != nil:
		return c.caseWhen(p.Pos, p.Case)
	case p.Cast != nil:
		return c.cast(p.Pos, p.Cast)
	case p.Inner != nil:
		return c.disjunction(p.Inner)
	}
	return c.named(p.Pos, p.Named)
}

// named checks a column, a call or a timestamp literal.
func (c *checker) named(pos lexer.Position, m *named) (*node, error) {
	switch {
	case m.Call != nil && m.Text != nil:
		return nil, errorAt(pos, "", "unexpected text after a call")
	case m.Text != nil:
		if len(m.Parts) != 1 || !strings.EqualFold(m.Parts[0], "timestamp") {
			return nil, errorAt(pos, "timestamp '2026-01-01T00:00:00Z' is the only literal of this form", "unexpected text after %s", strings.Join(m.Parts, "."))
		}
		return timestampLiteral(pos, unquoteString(*m.Text))
	case m.Call != nil:
		return c.call(pos, m)
	}
	n := &node{op: opColumn, pos: pos}
	for _, part := range m.Parts {
		n.parts = append(n.parts, unquoteName(part))
	}
	n.name = strings.Join(n.parts, ".")
	var ok bool
	if n.typ, ok = c.typeOf(n.name); !ok {
		return nil, errorAt(pos, c.columnHint(n.name), "unknown column %s", n.name)
	}
	c.columns[n.name] = true
	return n, nil
}

func timestampLiteral(pos lexer.Position, text string) (*node, error) {
	t, exact, ok := parseTimestamp(text)
	if !ok {
		return nil, errorAt(pos, "write timestamp '2026-01-31T12:00:00Z'", "'%s' is no timestamp", text)
	}
	if !exact {
		return nil, errorAt(pos, "", "timestamp '%s' has more digits than microseconds", text)
	}
	return literal(pos, feature.Timestamp, feature.Time(t)), nil
}

func (c *checker) call(pos lexer.Position, m *named) (*node, error) {
	name := strings.ToLower(unquoteName(m.Parts[0]))
	f, ok := functionNamed(name)
	if !ok || len(m.Parts) > 1 {
		return nil, errorAt(pos, functionHint(name), "unknown function %s", strings.Join(m.Parts, "."))
	}
	args, err := c.all(m.Call.Args)
	if err != nil {
		return nil, err
	}
	if k := len(args); k < f.argsMin || f.argsMax >= 0 && k > f.argsMax {
		return nil, errorAt(pos, "write "+f.usage, "%s has %d arguments", name, k)
	}
	n := &node{op: opCall, pos: pos, name: f.name, args: args}
	return n, f.check(c, n)
}

func (c *checker) caseWhen(pos lexer.Position, w *caseWhen) (*node, error) {
	n := &node{op: opCase, pos: pos}
	keys := []*node{} // the operand of CASE and what it is compared with
	if w.Of != nil {
		n.op = opSwitch
		of, err := c.disjunction(w.Of)
		if err != nil {
			return nil, err
		}
		n.args, keys = append(n.args, of), append(keys, of)
	}
	for _, when := range w.Whens {
		pair, err := c.all([]*disjunction{when.If, when.Then})
		if err != nil {
			return nil, err
		}
		n.args, keys = append(n.args, pair...), append(keys, pair[0])
	}
	if w.Else != nil {
		otherwise, err := c.disjunction(w.Else)
		if err != nil {
			return nil, err
		}
		n.args = append(n.args, otherwise)
	}
	return n, c.branches(n, keys)
}

// branches gives the conditions (or compared values) and the values of a CASE their types.
func (c *checker) branches(n *node, keys []*node) error {
	first := 0
	if n.op == opSwitch {
		if err := c.comparable(n, "case", keys); err != nil {
			return err
		}
		first, n.args[0] = 1, keys[0]
		keys = keys[1:]
	}
	values := []*node{}
	for i := range n.args[first:] {
		if i%2 == 1 || i == len(n.args)-first-1 {
			values = append(values, n.args[first+i])
		}
	}
	if err := c.alike(values); err != nil {
		return err
	}
	for i := range n.args[first:] {
		switch {
		case i%2 == 1 || i == len(n.args)-first-1:
			n.args[first+i], values = values[0], values[1:]
		case n.op == opSwitch:
			n.args[first+i], keys = keys[0], keys[1:]
		default:
			var err error
			if n.args[first+i], err = c.want(n.args[first+i], feature.Scalar(feature.Bool), "when"); err != nil {
				return err
			}
		}
	}
	n.typ = n.args[first+1].typ
	return nil
}
