package aggregate

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// sumFunction is sum: of floats the real sum, rounded once, of integers their sum, an error where that is beyond int64.
func sumFunction() functionEntry {
	return functionEntry{name: "sum", call: func(a feature.Aggregation) (*Call, error) {
		if err := needNumber(a.Input.Type); err != nil {
			return nil, err
		}
		result := feature.Scalar(feature.Float64)
		if isInteger(a.Input.Type) {
			result = feature.Scalar(feature.Int64)
		}
		return &Call{Type: result, Specs: []Spec{sumSpec(a.Input)}, Finish: func(states []States) (arrow.Array, error) {
			return states[0].(sums).finish()
		}}, nil
	}}
}

func needNumber(t feature.Type) error {
	if !t.IsNumeric() {
		return feature.Errorf(feature.ErrInvalid, "takes numbers, not %s", t)
	}
	return nil
}

func isInteger(t feature.Type) bool { return t.Kind == feature.Int32 || t.Kind == feature.Int64 }

// sumSpec is the state of sum.
func sumSpec(input feature.Field) Spec {
	name := input.Name + "__sum"
	if isInteger(input.Type) {
		return Spec{Columns: []feature.Field{{Name: name, Type: feature.Scalar(feature.Int64)}}, New: func() States { return &intSums{} }}
	}
	return Spec{Columns: exactColumns(name), New: func() States { return &floatSums{realSums{sum: newExactSums()}} }}
}

// sums is what floatSums and intSums have in common.
type sums interface {
	States
	// finish returns the sums as a column, NULL where nothing was added.
	finish() (arrow.Array, error)
	// quotient returns the sum of a group divided by d, rounded once.
	quotient(group int, d int64) float64
}

// realSums are exact sums with their counts.
type realSums struct {
	sum exactSums
	n   []int64 // how many numbers or tiles have been added: none makes NULL
}

func (s *realSums) Reset(n int) {
	s.sum.reset(n)
	s.n = zeroed(s.n, n)
}

func (s *realSums) Fold(tiles []arrow.Array, _ Times, spans []Span) error {
	return s.sum.fold(tiles, spans, s.n)
}

func (s *realSums) merge(dst int, from *realSums, src int) {
	s.sum.merge(dst, &from.sum, src, false)
	s.n[dst] += from.n[src]
}

func (s *realSums) remove(dst int, from *realSums, src int) {
	s.sum.merge(dst, &from.sum, src, true)
	s.n[dst] -= from.n[src]
}

func (s *realSums) Store() ([]arrow.Array, error) { return s.sum.store(s.n), nil }

// floatSums are sums of floats.
type floatSums struct{ realSums }

func (s *floatSums) Add(values arrow.Array, _ Times, spans []Span) {
	column := floats(values)
	s.sum.placeFloats(column, 1)
	if values.NullN() == 0 {
		for _, span := range spans {
			s.sum.addFloats(int(span.Group), column[span.From:span.To])
			s.n[span.Group] += int64(span.To - span.From)
		}
		return
	}
	for _, span := range spans {
		for i := span.From; i < span.To; i++ {
			if values.IsValid(int(i)) {
				s.sum.addFloat(int(span.Group), column[i])
				s.n[span.Group]++
			}
		}
	}
}

func (s *floatSums) Merge(dst int, from States, src int) {
	s.merge(dst, &from.(*floatSums).realSums, src)
}

func (s *floatSums) Remove(dst int, from States, src int) {
	s.remove(dst, &from.(*floatSums).realSums, src)
}

func (s *floatSums) finish() (arrow.Array, error) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.Reserve(len(s.n))
	for g, n := range s.n {
		if n == 0 {
			b.UnsafeAppendBoolToBitmap(false)
			continue
		}
		sum, ok := s.sum.odd[g].special()
		if !ok {
			sum = s.sum.float(g)
		}
		b.UnsafeAppend(sum)
	}
	return b.NewArray(), nil
}

func (s *floatSums) quotient(group int, d int64) float64 {
	if sum, ok := s.sum.odd[group].special(); ok {
		return sum
	}
	return s.sum.quotient(group, uint64(d))
}

// intSums are sums of integers, of 128 bits in two's complement.
type intSums struct {
	hi []int64
	lo []uint64
	n  []int64
}

func (s *intSums) Reset(n int) {
	s.hi, s.lo, s.n = zeroed(s.hi, n), zeroed(s.lo, n), zeroed(s.n, n)
}

func (s *intSums) Add(values arrow.Array, _ Times, spans []Span) { s.addAll(values, spans) }

func (s *intSums) addAll(values arrow.Array, spans []Span) {
	column, nulls := integers(values), values.NullN() > 0
	for _, span := range spans {
		hi, lo, n := s.hi[span.Group], s.lo[span.Group], s.n[span.Group]
		for i := span.From; i < span.To; i++ {
			if nulls && values.IsNull(int(i)) {
				continue
			}
			var carry uint64
			lo, carry = bits.Add64(lo, uint64(column[i]), 0)
			hi += column[i]>>63 + int64(carry)
			n++
		}
		s.hi[span.Group], s.lo[span.Group], s.n[span.Group] = hi, lo, n
	}
}

func (s *intSums) Fold(tiles []arrow.Array, _ Times, spans []Span) error {
	if _, ok := tiles[0].(*array.Int64); !ok {
		return feature.Errorf(feature.ErrCorrupt, "stored integer sums are no integers")
	}
	s.addAll(tiles[0], spans)
	return nil
}

func (s *intSums) Merge(dst int, from States, src int) {
	f := from.(*intSums)
	var carry uint64
	s.lo[dst], carry = bits.Add64(s.lo[dst], f.lo[src], 0)
	s.hi[dst] += f.hi[src] + int64(carry)
	s.n[dst] += f.n[src]
}

func (s *intSums) Remove(dst int, from States, src int) {
	f := from.(*intSums)
	var borrow uint64
	s.lo[dst], borrow = bits.Sub64(s.lo[dst], f.lo[src], 0)
	s.hi[dst] -= f.hi[src] + int64(borrow)
	s.n[dst] -= f.n[src]
}

func (s *intSums) Store() ([]arrow.Array, error) {
	column, err := s.finish()
	return []arrow.Array{column}, err
}

func (s *intSums) finish() (arrow.Array, error) {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	b.Reserve(len(s.n))
	for g, n := range s.n {
		switch {
		case n == 0:
			b.UnsafeAppendBoolToBitmap(false)
		case s.hi[g] != int64(s.lo[g])>>63:
			return nil, &OverflowError{Group: g}
		default:
			b.UnsafeAppend(int64(s.lo[g]))
		}
	}
	return b.NewArray(), nil
}

func (s *intSums) quotient(group int, d int64) float64 {
	hi, lo := uint64(s.hi[group]), s.lo[group]
	neg := s.hi[group] < 0
	if neg {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	q := divide([]uint64{lo, hi}, uint64(d), 0)
	if neg {
		return -q
	}
	return q
}

// floats returns the values of a column of float64 or float32 as float64.
func floats(values arrow.Array) []float64 {
	switch c := values.(type) {
	case *array.Float64:
		return c.Float64Values()
	case *array.Float32:
		wide := make([]float64, c.Len())
		for i, v := range c.Float32Values() {
			wide[i] = float64(v)
		}
		return wide
	}
	panic("aggregate: " + values.DataType().String() + " is no column of floats")
}

// integers returns the values of a column of int64 or int32 as int64.
func integers(values arrow.Array) []int64 {
	switch c := values.(type) {
	case *array.Int64:
		return c.Int64Values()
	case *array.Int32:
		wide := make([]int64, c.Len())
		for i, v := range c.Int32Values() {
			wide[i] = int64(v)
		}
		return wide
	}
	panic("aggregate: " + values.DataType().String() + " is no column of integers")
}

// quotient returns the finite sum of group g divided by d, rounded once.
func (s *exactSums) quotient(g int, d uint64) float64 {
	if o := s.odd[g]; o != nil {
		return roundRatio(&o.finite, bigUint(d), s.unit)
	}
	var buf [exactWidthMax]uint64
	mag, neg := s.magnitudeOf(g, buf[:0])
	q := divide(mag, d, s.unit+64*s.base)
	if neg {
		return -q
	}
	return q
}

// divide returns limbs * 2^exp / d, rounded once; limbs are least significant first, and d is not zero.
func divide(limbs []uint64, d uint64, exp int) float64 {
	// Two limbs below make the quotient longer than 64 bits whatever d is.
	var buf [exactWidthMax + 2]uint64
	q, rest := buf[:len(limbs)+2], uint64(0)
	for i := len(q) - 1; i >= 0; i-- {
		limb := uint64(0)
		if i >= 2 {
			limb = limbs[i-2]
		}
		q[i], rest = bits.Div64(rest, limb, d)
	}
	return round(q, exp-128, rest != 0)
}
