package expr

import "github.com/asof-store/asof/feature"

// and returns the three-valued conjunction. The right side runs where the left is not false.
func and(left, right kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		return connect(f, active, left, right, 0)
	}
}

// or returns the three-valued disjunction. The right side runs where the left is not true.
func or(left, right kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		return connect(f, active, left, right, ^uint64(0))
	}
}

// connect is both connectives: with decider all zeros a false decides (AND), with all ones a true does (OR).
func connect(f *frame, active bitmap, left, right kernel, decider uint64) (*vector, error) {
	a, err := left(f, active)
	if err != nil {
		return nil, err
	}
	out, open := f.take(feature.Scalar(feature.Bool)), f.mask()
	r := bitsOf(out)
	for w, x := range bitsOf(a) {
		decided := a.valid[w] &^ (x ^ decider)
		out.valid[w], r[w] = decided, decided&decider
		open[w] = active[w] &^ decided
	}
	defer f.giveMask(open)
	if !open.any() {
		f.give(a)
		return out, nil
	}
	b, err := right(f, open)
	if err != nil {
		return nil, err
	}
	for w, y := range bitsOf(b) {
		decided := out.valid[w] | b.valid[w]&^(y^decider)
		out.valid[w] = decided | a.valid[w]&b.valid[w]
		r[w] = decided&decider | out.valid[w]&^decided&^decider
	}
	f.give(a, b)
	return out, nil
}

func not(arg kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := arg(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(feature.Scalar(feature.Bool))
		copy(out.valid, a.valid)
		bitsOf(out).not(bitsOf(a))
		f.give(a)
		return out, nil
	}
}

func isNullKernel(arg kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := arg(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(feature.Scalar(feature.Bool))
		copy(out.valid, f.all)
		bitsOf(out).not(a.valid)
		f.give(a)
		return out, nil
	}
}

// choose returns the kernel of CASE over (condition, value) pairs and perhaps a last value: every value runs where its
// condition is the first that is true.
func (p *planner) choose(t feature.Type, args []*node) kernel {
	pairs, last := branches(args)
	conditions, values := make([]kernel, len(pairs)), make([]kernel, len(pairs))
	for i, pair := range pairs {
		conditions[i], values[i] = p.node(pair[0]), p.node(pair[1])
	}
	var otherwise kernel
	if last != nil {
		otherwise = p.node(last)
	}
	return chooseKernel(t, conditions, values, otherwise)
}

func chooseKernel(t feature.Type, conditions, values []kernel, otherwise kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		out, open, taken := f.take(t), f.mask(), f.mask()
		defer f.giveMask(taken)
		defer f.giveMask(open)
		clear(out.valid)
		copy(open, active)
		for i := 0; i < len(conditions) && open.any(); i++ {
			c, err := conditions[i](f, open)
			if err != nil {
				return nil, err
			}
			for w, holds := range bitsOf(c) {
				taken[w] = open[w] & c.valid[w] & holds
				open[w] &^= taken[w]
			}
			f.give(c)
			if err := f.runWhere(out, values[i], taken); err != nil {
				return nil, err
			}
		}
		if otherwise == nil {
			return out, nil
		}
		return out, f.runWhere(out, otherwise, open)
	}
}

// runWhere runs a kernel on the masked rows, if there are any, and copies its values of them.
func (f *frame) runWhere(out *vector, k kernel, mask bitmap) error {
	if !mask.any() {
		return nil
	}
	v, err := k(f, mask)
	if err != nil {
		return err
	}
	out.copyWhere(v, mask)
	f.give(v)
	return nil
}

// planSwitch makes conditions of the compared values.
func planSwitch(p *planner, n *node) kernel {
	return p.share(n.args[0], func(x kernel) kernel {
		pairs, last := branches(n.args[1:])
		conditions, values := make([]kernel, len(pairs)), make([]kernel, len(pairs))
		for i, pair := range pairs {
			conditions[i] = compare(opEqual, n.args[0].typ, x, p.node(pair[0]))
			values[i] = p.node(pair[1])
		}
		var otherwise kernel
		if last != nil {
			otherwise = p.node(last)
		}
		return chooseKernel(n.typ, conditions, values, otherwise)
	})
}

func planIf(p *planner, n *node) kernel { return p.choose(n.typ, n.args) }

// planCoalesce runs each argument where all before it are NULL.
func planCoalesce(p *planner, n *node) kernel {
	args := p.nodes(n.args)
	return func(f *frame, active bitmap) (*vector, error) {
		out, open := f.take(n.typ), f.mask()
		defer f.giveMask(open)
		clear(out.valid)
		copy(open, active)
		for _, arg := range args {
			if err := f.runWhere(out, arg, open); err != nil {
				return nil, err
			}
			for w := range open {
				open[w] &^= out.valid[w]
			}
		}
		return out, nil
	}
}

// planNullif clears the rows that are equal. The two are compared in their common type; the result has the first one's.
func planNullif(p *planner, n *node) kernel {
	common, _ := commonType(n.args)
	converted := func(a *node, k kernel) kernel {
		if a.typ == common {
			return k
		}
		return planCast(&node{op: opCast, typ: common, args: []*node{a}}, k, a.typ)
	}
	return p.share(n.args[0], func(x kernel) kernel {
		same := compare(opEqual, common, converted(n.args[0], x), converted(n.args[1], p.node(n.args[1])))
		return func(f *frame, active bitmap) (*vector, error) {
			c, err := same(f, active)
			if err != nil {
				return nil, err
			}
			v, err := x(f, active)
			if err != nil {
				return nil, err
			}
			out := f.take(n.typ)
			copy(out.valid, v.valid)
			out.copyWhere(v, active)
			for w, equal := range bitsOf(c) {
				out.valid[w] &^= c.valid[w] & equal
			}
			f.give(c)
			return out, nil
		}
	})
}
