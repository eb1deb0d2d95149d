package aggregate

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
)

// variance says which of the four functions it is.
type variance struct {
	sample bool // divides by n - 1
	root   bool // is the square root
}

// varianceFunction is var_pop, var_samp, stddev_pop or stddev_samp: the real variance of the values, rounded once, or the square root
// of that.
func varianceFunction(name string, v variance) functionEntry {
	return functionEntry{name: name, call: func(a feature.Aggregation) (*Call, error) {
		if err := needNumber(a.Input.Type); err != nil {
			return nil, err
		}
		specs := []Spec{countSpec(a.Input), sumSpec(a.Input), squaresSpec(a.Input)}
		return &Call{Type: feature.Scalar(feature.Float64), Specs: specs, Finish: func(states []States) (arrow.Array, error) {
			n := states[0].(*counts).n
			return float64s(n, func(g int) (float64, bool) {
				return v.of(n[g], states[1].(sums), states[2].(*squares), g)
			}), nil
		}}, nil
	}}
}

// of returns the variance of group g, which has n > 0 values: (n*Q - S*S) / (n*d) for the sum S and the sum of squares Q, which are
// exact, and d being n or n - 1.
func (v variance) of(n int64, sum sums, q *squares, g int) (_ float64, ok bool) {
	d := n
	if v.sample {
		d--
	}
	if d == 0 {
		return 0, false
	}
	if _, special := q.sum.odd[g].special(); special {
		return math.NaN(), true
	}
	var s, squared, total big.Int
	unit := 0
	switch sum := sum.(type) {
	case *floatSums:
		sum.sum.integer(g, &s)
		unit = unitOfSquares
	case *intSums:
		setLimbs(&s, []uint64{sum.lo[g], uint64(sum.hi[g])})
		if sum.hi[g] < 0 {
			s.Sub(&s, new(big.Int).Lsh(big.NewInt(1), 128))
		}
	}
	q.sum.integer(g, &total)
	if unit == 0 { // squares of integers are kept in the unit of squares of floats
		total.Rsh(&total, -unitOfSquares)
	}
	total.Sub(total.Mul(&total, big.NewInt(n)), squared.Mul(&s, &s))
	result := roundRatio(&total, new(big.Int).Mul(big.NewInt(n), big.NewInt(d)), unit)
	if v.root {
		return math.Sqrt(result), true
	}
	return result, true
}

// squaresSpec is the state of a sum of squares.
func squaresSpec(input feature.Field) Spec {
	return Spec{Columns: exactColumns(input.Name + "__sum_squares"), New: func() States { return &squares{realSums{sum: newExactSquares()}} }}
}

// squares are sums of squares.
type squares struct{ realSums }

func (s *squares) Add(values arrow.Array, _ Times, spans []Span) {
	add := s.adder(values)
	for _, span := range spans {
		for i := span.From; i < span.To; i++ {
			if values.IsValid(int(i)) {
				add(int(span.Group), int(i))
				s.n[span.Group]++
			}
		}
	}
}

func (s *squares) Merge(dst int, from States, src int) {
	s.merge(dst, &from.(*squares).realSums, src)
}

func (s *squares) Remove(dst int, from States, src int) {
	s.remove(dst, &from.(*squares).realSums, src)
}

// adder returns a function that adds the square of value i to a group.
func (s *squares) adder(values arrow.Array) func(group, i int) {
	if t, _ := feature.TypeOfArrow(values.DataType()); isInteger(t) {
		column := integers(values)
		return func(group, i int) {
			v := uint64(max(column[i], -column[i])) // of the least integer too: it is its own negative
			hi, lo := bits.Mul64(v, v)
			s.sum.add(group, hi, lo, -unitOfSquares, false)
		}
	}
	column := floats(values)
	s.sum.placeFloats(column, 2)
	return func(group, i int) { s.sum.addSquare(group, column[i]) }
}

// roundRatio returns x * 2^exp / d, rounded once to the nearest float64, ties to even; d > 0.
func roundRatio(x, d *big.Int, exp int) float64 {
	// Enough bits below to make the quotient longer than 64 bits.
	shift := max(0, d.BitLen()+66-x.BitLen())
	var q, rest big.Int
	q.Lsh(q.Abs(x), uint(shift))
	q.QuoRem(&q, d, &rest)
	q.Lsh(&q, 1)
	if rest.Sign() != 0 {
		q.SetBit(&q, 0, 1) // far below what decides about rounding, other than that it is there
	}
	if x.Sign() < 0 {
		q.Neg(&q)
	}
	return roundInt(&q, exp-shift-1)
}

func bigUint(v uint64) *big.Int { return new(big.Int).SetUint64(v) }
