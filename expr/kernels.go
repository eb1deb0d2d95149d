package expr

import "github.com/asof-store/asof/feature"

// The templates of kernels. A loop runs over the values of a chunk; valid is the validity of the result, from which
// it may clear rows. It returns true when some row may have overflowed, NULL rows and inactive ones included: then, and
// only then, the rows that count are tried one by one.

// monadic returns the kernel of node n with one operand; t is the type of the result.
func monadic[A, R any](n *node, t feature.Type, arg kernel, loop func(a []A, r []R, valid bitmap) bool) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := arg(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(t)
		copy(out.valid, a.valid)
		x, r := valuesOf[A](f, a), valuesOf[R](f, out)
		if loop(x, r, out.valid) {
			err = f.firstFault(n, active, a.valid, func(i int) bool {
				return loop(x[i:i+1], make([]R, 1), bitmap{1})
			})
		}
		f.give(a)
		return out, err
	}
}

// dyadic returns the kernel of node n with two operands of one type.
func dyadic[A, R any](n *node, left, right kernel, loop func(a, b []A, r []R, valid bitmap) bool) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, b, err := both(f, active, left, right)
		if err != nil {
			return nil, err
		}
		out := f.take(n.typ)
		out.valid.and(a.valid, b.valid)
		x, y, r := valuesOf[A](f, a), valuesOf[A](f, b), valuesOf[R](f, out)
		if loop(x, y, r, out.valid) {
			given := f.mask()
			given.and(a.valid, b.valid)
			err = f.firstFault(n, active, given, func(i int) bool {
				return loop(x[i:i+1], y[i:i+1], make([]R, 1), bitmap{1})
			})
			f.giveMask(given)
		}
		f.give(a, b)
		return out, err
	}
}

// both runs two kernels on the same rows.
func both(f *frame, active bitmap, left, right kernel) (a, b *vector, err error) {
	if a, err = left(f, active); err != nil {
		return nil, nil, err
	}
	b, err = right(f, active)
	return a, b, err
}

// every runs kernels on the same rows.
func every(f *frame, active bitmap, kernels []kernel) ([]*vector, error) {
	vs := make([]*vector, len(kernels))
	for i, k := range kernels {
		var err error
		if vs[i], err = k(f, active); err != nil {
			return nil, err
		}
	}
	return vs, nil
}

// firstFault returns the error of the first row that is active, has all its operands and fails.
func (f *frame) firstFault(n *node, active, given bitmap, fails func(i int) bool) error {
	for i := range f.rows {
		if active.get(i) && given.get(i) && fails(i) {
			return f.fail(n, i)
		}
	}
	return nil
}

// safe makes a loop of one that neither fails nor clears rows.
func safe[A, R any](loop func(a []A, r []R)) func(a []A, r []R, valid bitmap) bool {
	return func(a []A, r []R, _ bitmap) bool {
		loop(a, r)
		return false
	}
}
