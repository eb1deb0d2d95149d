package aggregate

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// numbers draws floats of magnitudes that meet: near ones, far ones, cancelling ones, the least and the greatest.
func numbers(special bool) *rapid.Generator[float64] {
	draws := []*rapid.Generator[float64]{
		rapid.Float64Range(-1000, 1000),
		rapid.SampledFrom([]float64{1e16, 1, -1e16, 0, math.Copysign(0, -1), 0.1, -0.1, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1e-300, 1e300}),
		rapid.Custom(func(t *rapid.T) float64 {
			return math.Ldexp(rapid.Float64Range(-1, 1).Draw(t, "m"), rapid.IntRange(-1080, 1024).Draw(t, "e"))
		}),
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.Int32().Draw(t, "cents")) / 100 }),
	}
	if special {
		draws = append(draws, rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}))
	}
	return rapid.OneOf(draws...)
}

// rational returns the exact sum of the powers of values, and what to make of values that are not finite.
func rational(values []float64, power int) (sum *big.Rat, special float64) {
	sum = new(big.Rat)
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			special += v
			continue
		}
		r := new(big.Rat).SetFloat64(v)
		if power == 2 {
			r.Mul(r, r)
		}
		sum.Add(sum, r)
	}
	if math.IsNaN(special) {
		special = math.NaN() // of one bit pattern
	}
	return sum, special
}

func columnOf(values []float64) arrow.Array {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.AppendValues(values, nil)
	return b.NewArray()
}

// TestExactFunctions holds sum, avg and the variances against rational numbers, with the values spread over tiles that are stored, read
// back and merged, and others added and taken out again.
func TestExactFunctions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		special := rapid.Bool().Draw(t, "special")
		tiles := rapid.SliceOfN(rapid.SliceOfN(numbers(special), 0, 6), 1, 5).Draw(t, "tiles")
		passing := rapid.SliceOfN(numbers(special), 0, 4).Draw(t, "passing")
		var all []float64
		for _, tile := range tiles {
			all = append(all, tile...)
		}
		for _, name := range []string{"sum", "avg", "var_pop", "var_samp", "stddev_pop", "stddev_samp"} {
			got := throughTiles(t, name, tiles, passing)
			want, ok := exactly(name, all)
			if got.IsValid(0) != ok || ok && math.Float64bits(got.Value(0)) != math.Float64bits(want) {
				t.Fatalf("%s of %v is %v, want %v (%v)", name, all, got, want, ok)
			}
		}
	})
}

// exactly is the definition of the functions.
func exactly(name string, values []float64) (_ float64, ok bool) {
	n := int64(len(values))
	sum, special := rational(values, 1)
	if n == 0 || n == 1 && (name == "var_samp" || name == "stddev_samp") {
		return 0, false
	}
	if special != 0 || math.IsNaN(special) {
		if name != "sum" && name != "avg" {
			return math.NaN(), true
		}
		return special, true
	}
	squares, _ := rational(values, 2)
	count := new(big.Rat).SetInt64(n)
	deviations := new(big.Rat).Sub(squares, new(big.Rat).Quo(new(big.Rat).Mul(sum, sum), count))
	result := map[string]*big.Rat{"sum": sum, "avg": new(big.Rat).Quo(sum, count), "var_pop": new(big.Rat).Quo(deviations, count)}
	result["stddev_pop"] = result["var_pop"]
	if n > 1 {
		result["var_samp"] = new(big.Rat).Quo(deviations, new(big.Rat).SetInt64(n-1))
		result["stddev_samp"] = result["var_samp"]
	}
	f, _ := result[name].Float64()
	if name == "stddev_pop" || name == "stddev_samp" {
		f = math.Sqrt(f)
	}
	return f, true
}

// throughTiles computes a function the long way.
func throughTiles(t *rapid.T, name string, tiles [][]float64, passing []float64) *array.Float64 {
	call, err := New(feature.Aggregation{Function: name, Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)}})
	if err != nil {
		t.Fatal(err)
	}
	var answers []States
	for _, spec := range call.Specs {
		built, read, answer := spec.New(), spec.New(), spec.New()
		built.Reset(len(tiles))
		read.Reset(len(tiles) + 1)
		answer.Reset(1)
		var spans []Span
		var values []float64
		for i, tile := range tiles {
			spans = append(spans, Span{Group: int32(i), From: int32(len(values)), To: int32(len(values) + len(tile))})
			values = append(values, tile...)
		}
		built.Add(columnOf(values), Times{}, spans)
		stored, err := built.Store()
		if err != nil {
			t.Fatal(err)
		}
		for i := range tiles {
			if err := read.Fold(stored, Times{}, []Span{{Group: int32(i), From: int32(i), To: int32(i + 1)}}); err != nil {
				t.Fatal(err)
			}
		}
		read.Add(columnOf(passing), Times{}, []Span{{Group: int32(len(tiles)), To: int32(len(passing))}})
		answer.Merge(0, read, len(tiles))
		for i := range tiles {
			answer.Merge(0, read, i)
		}
		answer.(Remover).Remove(0, read, len(tiles))
		answers = append(answers, answer)
	}
	result, err := call.Finish(answers)
	if err != nil {
		t.Fatal(err)
	}
	return result.(*array.Float64)
}

// TestIntegerFunctions does the same for integers up to the ends of int64.
func TestIntegerFunctions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Int64(), rapid.Int64Range(-9, 9), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64})), 1, 8).Draw(t, "values")
		b := array.NewInt64Builder(memory.DefaultAllocator)
		b.AppendValues(values, nil)
		column := b.NewArray()
		sum, squares, n := new(big.Int), new(big.Int), big.NewInt(int64(len(values)))
		for _, v := range values {
			x := big.NewInt(v)
			sum.Add(sum, x)
			squares.Add(squares, new(big.Int).Mul(x, x))
		}
		deviations := new(big.Int).Sub(new(big.Int).Mul(n, squares), new(big.Int).Mul(sum, sum))
		want := map[string]*big.Rat{"avg": new(big.Rat).SetFrac(sum, n), "var_pop": new(big.Rat).SetFrac(deviations, new(big.Int).Mul(n, n))}
		for name, w := range want {
			f, _ := w.Float64()
			if got := direct(t, name, column); math.Float64bits(got) != math.Float64bits(f) {
				t.Fatalf("%s of %v is %v, want %v", name, values, got, f)
			}
		}
	})
}

func direct(t *rapid.T, name string, column arrow.Array) float64 {
	call, err := New(feature.Aggregation{Function: name, Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Int64)}})
	if err != nil {
		t.Fatal(err)
	}
	var states []States
	for _, spec := range call.Specs {
		s := spec.New()
		s.Reset(1)
		s.Add(column, Times{}, []Span{{To: int32(column.Len())}})
		states = append(states, s)
	}
	result, err := call.Finish(states)
	if err != nil {
		t.Fatal(err)
	}
	return result.(*array.Float64).Value(0)
}

// TestRounding gives sums half way between two float64s, which go to the even one unless something far below decides.
func TestRounding(t *testing.T) {
	const big, least = 1 << 53, math.SmallestNonzeroFloat64
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{big, 1}, big},
		{[]float64{big, 3}, big + 4},
		{[]float64{big, 1, least}, big + 2},
		{[]float64{big, 3, -least}, big + 2},
		{[]float64{-big, -1}, -big},
		{[]float64{-big, -1, -least}, -big - 2},
		{[]float64{math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64}, math.MaxFloat64},
		{[]float64{math.MaxFloat64, math.MaxFloat64}, math.Inf(1)},
		{[]float64{least, -least}, 0},
		{[]float64{math.Copysign(0, -1)}, 0},
	} {
		s := newExactSums()
		s.reset(1)
		for _, v := range c.values {
			s.addFloat(0, v)
		}
		if got := s.float(0); math.Float64bits(got) != math.Float64bits(c.want) {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
}

// TestManyAlike adds so many numbers as large as a limb holds that their sum fills two registers, beside some that go elsewhere: the window that
// was laid around them comes out like a sum made in big integers.
func TestManyAlike(t *testing.T) {
	for exp := -70; exp <= 70; exp++ {
		for _, odd := range []float64{0, 1e300, 5e-324, -1e-200} {
			x := math.Ldexp(1<<53-1, exp)
			values := slices.Repeat([]float64{x}, 5000)
			values[2500] = odd
			for _, sign := range []float64{1, -1} {
				s, want := newExactSums(), new(big.Float).SetPrec(4000)
				s.reset(2)
				for i := range values {
					if i != 2500 {
						values[i] = sign * x
					}
					want.Add(want, big.NewFloat(values[i]))
				}
				s.placeFloats(values, 1)
				s.addFloats(1, values)
				if got, exact := s.float(1), mustFloat(want); math.Float64bits(got) != math.Float64bits(exact) || s.float(0) != 0 {
					t.Fatalf("4999 times %g and %g: got %g, want %g", sign*x, odd, got, exact)
				}
			}
		}
	}
}

func mustFloat(f *big.Float) float64 {
	x, _ := f.Float64()
	return x
}

// TestSumOfMoreBitsThanAMantissa stores sums of as many bits as a float64 has, and of one more: only the first are one number.
func TestSumOfMoreBitsThanAMantissa(t *testing.T) {
	for _, c := range []struct{ x, y, high, low float64 }{
		{1, 0x1p-52, 1 + 0x1p-52, 0}, {1, 0x1p-53, 1, 0x1p-53}, {-1, -0x1p-53, -1, -0x1p-53}, {1, 0x1p-60, 1, 0x1p-60}, {0x1p-1074, 0x1p-1022, 0x1p-1022 + 0x1p-1074, 0},
	} {
		s, rest := newExactSums(), newExactSums()
		s.reset(1)
		s.addFloat(0, c.x)
		s.addFloat(0, c.y)
		if high, low, exact := s.parts(0, &rest); high != c.high || low != c.low || exact != nil {
			t.Errorf("%g + %g is stored as %g, %g and %x, want %g and %g", c.x, c.y, high, low, exact, c.high, c.low)
		}
		if sum, one := s.asFloat(0); one != (c.low == 0) || one && sum != c.high {
			t.Errorf("%g + %g is one number: %t, %g", c.x, c.y, one, sum)
		}
	}
}

// TestLeastSums: of sums about the least normal number none is taken for another.
func TestLeastSums(t *testing.T) {
	for exp := -1074; exp <= -1020; exp++ {
		for _, x := range []float64{math.Ldexp(1, exp), -math.Ldexp(1, exp), math.Ldexp(3, exp)} {
			s := newExactSums()
			s.reset(1)
			s.placeFloats([]float64{x}, 1)
			s.addFloat(0, x)
			if sum, ok := s.asFloat(0); ok && sum != x || !ok && math.Abs(x) >= 0x1p-1022 {
				t.Errorf("the sum of %g is %g, known: %v", x, sum, ok)
			}
		}
	}
}

// TestSumsThatAreFloats: a sum that is known to be a float64 is the one that it is rounded to, with nothing left; that of a single normal number is known.
func TestSumsThatAreFloats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newExactSums()
		if rapid.Bool().Draw(t, "squares") {
			s = newExactSquares()
		}
		values := rapid.SliceOfN(numbers(true), 1, 4).Draw(t, "values")
		s.reset(2)
		s.placeFloats(values, 1)
		for _, v := range values {
			s.addFloat(1, v)
		}
		sum, one := s.asFloat(1)
		if alone := len(values) == 1 && math.Abs(values[0]) >= 0x1p-1022 && !math.IsInf(values[0], 0); alone && !one {
			t.Fatalf("%g alone is not known to be a float64", values[0])
		}
		if !one {
			return
		}
		if want := s.float(1); math.Float64bits(sum) != math.Float64bits(want) {
			t.Fatalf("the sum of %g is %g, rounded it is %g", values, sum, want)
		}
		if s.addFloat(1, -sum); s.float(1) != 0 {
			t.Fatalf("%g of the sum of %g is left beside %g", s.float(1), values, sum)
		}
	})
}
