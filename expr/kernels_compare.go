package expr

import "github.com/asof-store/asof/feature"

// comparer compares the values of two vectors of a chunk and writes a bit for each row.
type comparer func(a, b *vector, rows int, r bitmap)

// equality returns the comparer of a = b for the type: NaN equals itself.
func equality(t feature.Type) comparer {
	switch physicalOf(t) {
	case physicalBits:
		return func(a, b *vector, _ int, r bitmap) {
			x, y := bitsOf(a), bitsOf(b)
			for w := range r {
				r[w] = ^(x[w] ^ y[w])
			}
		}
	case physicalInt32:
		return comparerOf(equal[int32])
	case physicalInt64:
		return comparerOf(equal[int64])
	case physicalFloat32:
		return comparerOf(equalFloats[float32])
	case physicalFloat64:
		return comparerOf(equalFloats[float64])
	}
	return comparerOf(equal[string])
}

// order returns the comparer of a < b for the type: false is less than true, texts go by their bytes, NaN is
// greater than all other numbers.
func order(t feature.Type) comparer {
	switch physicalOf(t) {
	case physicalBits:
		return func(a, b *vector, _ int, r bitmap) {
			x, y := bitsOf(a), bitsOf(b)
			for w := range r {
				r[w] = ^x[w] & y[w]
			}
		}
	case physicalInt32:
		return comparerOf(less[int32])
	case physicalInt64:
		return comparerOf(less[int64])
	case physicalFloat32:
		return comparerOf(lessFloats[float32])
	case physicalFloat64:
		return comparerOf(lessFloats[float64])
	}
	return comparerOf(less[string])
}

func comparerOf[T any](loop func(a, b []T, r bitmap)) comparer {
	return func(a, b *vector, rows int, r bitmap) {
		loop(a.data.([]T)[:rows], b.data.([]T)[:rows], r)
	}
}

func equal[T int32 | int64 | string](a, b []T, r bitmap) {
	b = b[:len(a)]
	for w := 0; w<<6 < len(a); w++ {
		word, lo := uint64(0), w<<6
		for i, hi := lo, min(lo+64, len(a)); i < hi; i++ {
			word |= bit(a[i] == b[i]) << (i & 63)
		}
		r[w] = word
	}
}

func less[T int32 | int64 | string](a, b []T, r bitmap) {
	b = b[:len(a)]
	for w := 0; w<<6 < len(a); w++ {
		word, lo := uint64(0), w<<6
		for i, hi := lo, min(lo+64, len(a)); i < hi; i++ {
			word |= bit(a[i] < b[i]) << (i & 63)
		}
		r[w] = word
	}
}

func equalFloats[T float](a, b []T, r bitmap) {
	b = b[:len(a)]
	for w := 0; w<<6 < len(a); w++ {
		word, lo := uint64(0), w<<6
		for i, hi := lo, min(lo+64, len(a)); i < hi; i++ {
			word |= (bit(a[i] == b[i]) | bit(a[i] != a[i])&bit(b[i] != b[i])) << (i & 63)
		}
		r[w] = word
	}
}

func lessFloats[T float](a, b []T, r bitmap) {
	b = b[:len(a)]
	for w := 0; w<<6 < len(a); w++ {
		word, lo := uint64(0), w<<6
		for i, hi := lo, min(lo+64, len(a)); i < hi; i++ {
			word |= (bit(a[i] < b[i]) | bit(a[i] == a[i])&bit(b[i] != b[i])) << (i & 63)
		}
		r[w] = word
	}
}

// bit is a form of the condition that compilers turn into code without branches.
func bit(condition bool) uint64 {
	var b uint8
	if condition {
		b = 1
	}
	return uint64(b)
}

// compare returns the kernel of a comparison of values of type t.
func compare(op operator, t feature.Type, left, right kernel) kernel {
	holds := comparerFor(op, t)
	return func(f *frame, active bitmap) (*vector, error) {
		a, b, err := both(f, active, left, right)
		if err != nil {
			return nil, err
		}
		out := f.take(feature.Scalar(feature.Bool))
		r := bitsOf(out)
		holds(a, b, f.rows, r)
		out.valid.and(a.valid, b.valid)
		if op == opSame {
			for w := range r {
				r[w] = r[w]&out.valid[w] | ^a.valid[w]&^b.valid[w]
			}
			copy(out.valid, f.all)
		}
		f.give(a, b)
		return out, nil
	}
}

// comparerFor makes the six comparisons of the two: a total order, NaN included, allows it.
func comparerFor(op operator, t feature.Type) comparer {
	switch op {
	case opNotEqual:
		return negate(equality(t))
	case opLess:
		return order(t)
	case opGreaterEqual:
		return negate(order(t))
	case opGreater:
		return swap(order(t))
	case opLessEqual:
		return negate(swap(order(t)))
	}
	return equality(t)
}

func negate(c comparer) comparer {
	return func(a, b *vector, rows int, r bitmap) {
		c(a, b, rows, r)
		r.not(r)
	}
}

func swap(c comparer) comparer {
	return func(a, b *vector, rows int, r bitmap) { c(b, a, rows, r) }
}

// planExtreme returns the kernel of least and greatest: NULLs do not count, and of equals the first stays.
func planExtreme(p *planner, n *node) kernel {
	better := order(n.typ)
	if n.name == "greatest" {
		better = swap(better)
	}
	args := p.nodes(n.args)
	return func(f *frame, active bitmap) (*vector, error) {
		vs, err := every(f, active, args)
		if err != nil {
			return nil, err
		}
		out, take := f.take(n.typ), f.mask()
		clear(out.valid)
		for _, v := range vs {
			better(v, out, f.rows, take)
			for w := range take {
				take[w] = f.all[w] & v.valid[w] & (take[w] | ^out.valid[w])
			}
			out.copyWhere(v, take)
		}
		f.giveMask(take)
		f.give(vs...)
		return out, nil
	}
}
