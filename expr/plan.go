package expr

import (
	"errors"

	"github.com/asof-store/asof/feature"
)

// kernel computes one node for the chunk of a frame. The caller gives the result back to the frame. active marks the
// rows whose values are wanted: only they can fail, and only they have meaning in the result.
type kernel func(f *frame, active bitmap) (*vector, error)

// plan is a typed tree made ready to run. It is immutable.
type plan struct {
	root      kernel
	columns   []*node // one node for each column that is read
	constants []*node // literals
	shared    int     // slots of frame.shared
}

// planner makes kernels of nodes. The first error of folding constants stays in err.
type planner struct {
	plan    *plan
	columns map[string]int
	err     error
}

func newPlan(tree *node) (*plan, error) {
	tree.markConstants()
	p := &planner{plan: &plan{}, columns: map[string]int{}}
	p.plan.root = p.node(tree)
	if p.err != nil {
		return nil, p.err
	}
	return p.plan, nil
}

// node returns the kernel of n. What reads no column is computed here and now.
func (p *planner) node(n *node) kernel {
	k := p.kernel(n)
	if n.op != opLiteral && n.constant && !n.typ.List && p.err == nil {
		return p.fold(n, k)
	}
	return k
}

// fold runs a constant kernel on one row and returns a kernel of its value. A constant that overflows is a
// mistake wherever it stands, even in a branch that no row takes.
func (p *planner) fold(n *node, k kernel) kernel {
	f := newFrame(p.plan, nil, 1)
	f.move(0, 1)
	v, err := k(f, f.all)
	var fault *RowError
	if errors.As(err, &fault) {
		p.err = errorAt(n.pos, "", "%s: %s", fault.Expr, fault.Message)
		return k
	}
	return p.constant(&node{op: opLiteral, pos: n.pos, typ: n.typ, value: v.valueAt(n.typ, 0)})
}

// constant returns a kernel of a literal.
func (p *planner) constant(n *node) kernel {
	slot := len(p.plan.constants)
	p.plan.constants = append(p.plan.constants, n)
	return func(f *frame, _ bitmap) (*vector, error) {
		if f.constants[slot] == nil {
			f.constants[slot] = constantVector(n.typ, n.value, f.capacity)
		}
		return f.constants[slot], nil
	}
}

// column returns a kernel that loads a column.
func (p *planner) column(n *node) kernel {
	slot, ok := p.columns[n.name]
	if !ok {
		slot = len(p.plan.columns)
		p.columns[n.name] = slot
		p.plan.columns = append(p.plan.columns, n)
	}
	return func(f *frame, _ bitmap) (*vector, error) {
		return f.columns[slot].load(f), nil
	}
}

// share computes what is read several times only once: body is made with a kernel that reads the value of the node.
func (p *planner) share(n *node, body func(value kernel) kernel) kernel {
	of := p.node(n)
	slot := p.plan.shared
	p.plan.shared++
	run := body(func(f *frame, _ bitmap) (*vector, error) {
		return &f.shared[slot], nil
	})
	return func(f *frame, active bitmap) (*vector, error) {
		v, err := of(f, active)
		if err != nil {
			return nil, err
		}
		f.shared[slot] = vector{valid: v.valid, data: v.data, layout: v.layout} // not pooled: readers cannot give it away
		out, err := run(f, active)
		f.give(v)
		return out, err
	}
}

// nodes returns the kernels of several nodes.
func (p *planner) nodes(ns []*node) []kernel {
	kernels := make([]kernel, len(ns))
	for i, n := range ns {
		kernels[i] = p.node(n)
	}
	return kernels
}

// whole returns the kernel of an integer as an int64.
func (p *planner) whole(n *node) kernel {
	return widen(n, p.node(n), n.typ, feature.Scalar(feature.Int64))
}

// kernel returns the kernel of n itself, not folded.
func (p *planner) kernel(n *node) kernel {
	switch n.op {
	case opLiteral:
		return p.constant(n)
	case opColumn:
		return p.column(n)
	case opNegate:
		return planNegate(n, p.node(n.args[0]))
	case opAdd, opSubtract, opMultiply, opDivide, opModulo:
		return planArithmetic(n, p.node(n.args[0]), p.node(n.args[1]))
	case opEqual, opNotEqual, opLess, opLessEqual, opGreater, opGreaterEqual, opSame:
		return compare(n.op, n.args[0].typ, p.node(n.args[0]), p.node(n.args[1]))
	case opAnd:
		return and(p.node(n.args[0]), p.node(n.args[1]))
	case opOr:
		return or(p.node(n.args[0]), p.node(n.args[1]))
	case opNot:
		return not(p.node(n.args[0]))
	case opIsNull:
		return isNullKernel(p.node(n.args[0]))
	case opIn:
		return planIn(p, n)
	case opBetween:
		return p.share(n.args[0], func(x kernel) kernel {
			t := n.args[0].typ
			return and(compare(opGreaterEqual, t, x, p.node(n.args[1])), compare(opLessEqual, t, x, p.node(n.args[2])))
		})
	case opLike:
		return like(p.node(n.args[0]), newMatcher(n.args[1].value.(string)))
	case opCase:
		return p.choose(n.typ, n.args)
	case opSwitch:
		return planSwitch(p, n)
	case opCast:
		return planCast(n, p.node(n.args[0]), n.args[0].typ)
	case opElement:
		return element(n.typ, p.node(n.args[0]), p.whole(n.args[1]))
	}
	f, _ := functionNamed(n.name)
	return f.plan(p, n)
}

// newFrame returns the memory for running a plan on chunks of up to rows rows.
func newFrame(p *plan, columns []*column, rows int) *frame {
	return &frame{plan: p, capacity: rows, all: newBitmap(rows), columns: columns,
		constants: make([]*vector, len(p.constants)), shared: make([]vector, p.shared)}
}

// fail returns the error of node n at a row of the chunk.
func (f *frame) fail(n *node, row int) error {
	return &RowError{Row: f.from + row, Expr: n.String(), Message: overflowMessage(n)}
}

func overflowMessage(n *node) string {
	switch {
	case n.typ.Kind == feature.Timestamp:
		return "the result lies outside the range of timestamps"
	case n.op == opCast, n.name == "ceil", n.name == "floor":
		return "integer overflow: the value does not fit " + n.typ.String()
	case n.typ.Kind == feature.Int32:
		return "integer overflow: the result does not fit int32; cast an operand to int64"
	}
	return "integer overflow: the result does not fit int64; cast an operand to float64"
}
