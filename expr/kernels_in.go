package expr

import (
	"slices"

	"github.com/asof-store/asof/feature"
)

// inSetMin is the number of literals from which IN looks values up in a set: a comparison costs about a nanosecond a row,
// a lookup ten.
const inSetMin = 12

// planIn returns the kernel of x IN (...).
func planIn(p *planner, n *node) kernel {
	items := n.args[1:]
	literals := !slices.ContainsFunc(items, func(i *node) bool { return i.op != opLiteral })
	if literals && len(items) >= inSetMin {
		x := p.node(n.args[0])
		switch physicalOf(n.args[0].typ) {
		case physicalInt32:
			return inSet[int32](x, items)
		case physicalInt64:
			return inSet[int64](x, items)
		case physicalFloat32:
			return inSet[float32](x, items)
		case physicalFloat64:
			return inSet[float64](x, items)
		case physicalString:
			return inSet[string](x, items)
		}
	}
	return p.share(n.args[0], func(x kernel) kernel {
		return inItems(equality(n.args[0].typ), x, p.nodes(items))
	})
}

// inItems compares with one item after the other; an item runs where none before it was equal.
func inItems(same comparer, x kernel, items []kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := x(f, active)
		if err != nil {
			return nil, err
		}
		out, open, hit := f.take(feature.Scalar(feature.Bool)), f.mask(), f.mask()
		defer f.giveMask(hit)
		defer f.giveMask(open)
		found := bitsOf(out)
		clear(found)
		copy(out.valid, a.valid) // first: x is not NULL, then: and neither is an item
		open.and(active, a.valid)
		for i := 0; i < len(items) && open.any(); i++ {
			b, err := items[i](f, open)
			if err != nil {
				return nil, err
			}
			same(a, b, f.rows, hit)
			for w := range open {
				out.valid[w] &^= open[w] &^ b.valid[w]
				equal := open[w] & b.valid[w] & hit[w]
				found[w] |= equal
				open[w] &^= equal
			}
			f.give(b)
		}
		for w := range found {
			out.valid[w] |= found[w]
		}
		f.give(a)
		return out, nil
	}
}

// inSet looks values up among literals.
func inSet[T int32 | int64 | float32 | float64 | string](x kernel, items []*node) kernel {
	set := make(map[T]struct{}, len(items))
	hasNull, hasNaN := false, false
	for _, item := range items {
		if item.value == nil {
			hasNull = true
			continue
		}
		v := constantVector(item.typ, item.value, 1).data.([]T)[0]
		set[v] = struct{}{}
		hasNaN = hasNaN || v != v // a map finds no NaN
	}
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := x(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(feature.Scalar(feature.Bool))
		found := bitsOf(out)
		clear(found)
		for i, v := range valuesOf[T](f, a) {
			_, in := set[v]
			found[i>>6] |= bit(in || hasNaN && v != v) << (i & 63)
		}
		copy(out.valid, a.valid)
		if hasNull {
			out.valid.and(a.valid, found)
		}
		f.give(a)
		return out, nil
	}
}
