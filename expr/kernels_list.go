package expr

import "github.com/asof-store/asof/feature"

// element returns the kernel of l[i], counted from 0: NULL outside the list.
func element(t feature.Type, of, index kernel) kernel {
	switch physicalOf(t) {
	case physicalBits:
		return elementOf(t, of, index, func(out, from *vector, i, j int) {
			if bitsOf(from).get(j) {
				bitsOf(out).set(i)
			} else {
				bitsOf(out).clear(i)
			}
		})
	case physicalInt32:
		return elementOf(t, of, index, copyElement[int32])
	case physicalInt64:
		return elementOf(t, of, index, copyElement[int64])
	case physicalFloat32:
		return elementOf(t, of, index, copyElement[float32])
	case physicalFloat64:
		return elementOf(t, of, index, copyElement[float64])
	}
	return elementOf(t, of, index, copyElement[string])
}

func copyElement[T any](out, from *vector, i, j int) {
	out.data.([]T)[i] = from.data.([]T)[j]
}

func elementOf(t feature.Type, of, index kernel, set func(out, from *vector, i, j int)) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, b, err := both(f, active, of, index)
		if err != nil {
			return nil, err
		}
		out := f.take(t)
		out.valid.and(a.valid, b.valid)
		lists, indices := valuesOf[list](f, a), valuesOf[int64](f, b)
		for i, l := range lists {
			if j := indices[i]; !out.valid.get(i) || j < 0 || j >= int64(l.to-l.from) || !l.of.valid.get(l.from+int(j)) {
				out.valid.clear(i)
			} else {
				set(out, l.of, i, l.from+int(j))
			}
		}
		f.give(a, b)
		return out, nil
	}
}

func planSize(p *planner, n *node) kernel {
	return monadic(n, n.typ, p.node(n.args[0]), safe(func(a []list, r []int32) {
		for i, l := range a {
			r[i] = int32(l.to - l.from)
		}
	}))
}

// planArray puts the values of a row side by side into one vector for the chunk.
func planArray(p *planner, n *node) kernel {
	args, elem := p.nodes(n.args), feature.Scalar(n.typ.Kind)
	return func(f *frame, active bitmap) (*vector, error) {
		vs, err := every(f, active, args)
		if err != nil {
			return nil, err
		}
		k := len(vs)
		all := newVector(physicalOf(elem), k*f.rows)
		for i, v := range vs {
			all.spread(v, f.rows, i, k)
		}
		out := f.take(n.typ)
		copy(out.valid, f.all)
		for i, r := 0, valuesOf[list](f, out); i < len(r); i++ {
			r[i] = list{all, i * k, i*k + k}
		}
		f.give(vs...)
		return out, nil
	}
}

// spread copies row i of from to at + i*step, for all rows. The vector's bits must be zero there.
func (v *vector) spread(from *vector, rows, at, step int) {
	for i := range rows {
		if from.valid.get(i) {
			v.valid.set(at + i*step)
		}
	}
	switch to := v.data.(type) {
	case bitmap:
		for i := range rows {
			if bitsOf(from).get(i) {
				to.set(at + i*step)
			}
		}
	case []int32:
		spreadValues(to, from.data.([]int32), rows, at, step)
	case []int64:
		spreadValues(to, from.data.([]int64), rows, at, step)
	case []float32:
		spreadValues(to, from.data.([]float32), rows, at, step)
	case []float64:
		spreadValues(to, from.data.([]float64), rows, at, step)
	case []string:
		spreadValues(to, from.data.([]string), rows, at, step)
	}
}

func spreadValues[T any](to, from []T, rows, at, step int) {
	for i, x := range from[:rows] {
		to[at+i*step] = x
	}
}

// castLists returns the kernel that converts the elements of lists, none of which can fail.
func castLists(to feature.Type, arg kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := arg(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(to)
		copy(out.valid, a.valid)
		converted := map[*vector]*vector{} // lists of a chunk share few vectors, most often one
		for i, l := range valuesOf[list](f, a) {
			if out.valid.get(i) && l.of != nil {
				if converted[l.of] == nil {
					converted[l.of] = convertElements(l.of, to.Kind)
				}
				l.of = converted[l.of]
			}
			out.data.([]list)[i] = l
		}
		f.give(a)
		return out, nil
	}
}

// convertElements returns a vector of numbers as one of another kind.
func convertElements(v *vector, to feature.Kind) *vector {
	switch data := v.data.(type) {
	case []int32:
		return convertVector(v, data, to)
	case []int64:
		return convertVector(v, data, to)
	case []float32:
		return convertVector(v, data, to)
	}
	return convertVector(v, v.data.([]float64), to)
}

func convertVector[A integer | float](v *vector, data []A, to feature.Kind) *vector {
	out := newVector(physicalOf(feature.Scalar(to)), len(data))
	copy(out.valid, v.valid)
	switch r := out.data.(type) {
	case []int64:
		convertNumbers(data, r)
	case []float32:
		convertNumbers(data, r)
	case []float64:
		convertNumbers(data, r)
	}
	return out
}
