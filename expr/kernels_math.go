package expr

import (
	"math"
	"strconv"

	"github.com/asof-store/asof/feature"
)

// planFloat returns the plan of a function of a float64.
func planFloat(loop func(a, r []float64, valid bitmap) bool) func(*planner, *node) kernel {
	return func(p *planner, n *node) kernel { return monadic(n, n.typ, p.node(n.args[0]), loop) }
}

func sqrt(a, r []float64, _ bitmap) bool {
	for i, x := range a {
		r[i] = math.Sqrt(x)
	}
	return false
}

func exp(a, r []float64, _ bitmap) bool {
	for i, x := range a {
		r[i] = math.Exp(x)
	}
	return false
}

// ln of what is not positive is NULL, as in Spark.
func ln(a, r []float64, valid bitmap) bool {
	for i, x := range a {
		if x <= 0 {
			valid.clear(i)
			continue
		}
		r[i] = math.Log(x)
	}
	return false
}

func log10(a, r []float64, valid bitmap) bool {
	for i, x := range a {
		if x <= 0 {
			valid.clear(i)
			continue
		}
		r[i] = log10Of(x)
	}
	return false
}

// log10Of is math.Log10, which misses some powers of ten by a bit, made exact for them as Java's is.
func log10Of(x float64) float64 {
	v := math.Log10(x)
	if k := math.Round(v); math.Abs(v-k) < 1e-12 && math.Pow10(int(k)) == x {
		return k
	}
	return v
}

func planPow(p *planner, n *node) kernel {
	return dyadic(n, p.node(n.args[0]), p.node(n.args[1]), func(a, b, r []float64, _ bitmap) bool {
		for i := range r {
			r[i] = pow(a[i], b[i])
		}
		return false
	})
}

// pow is Java's power, which is Go's save for two cases: 1 to the NaN, and 1 or -1 to an infinity, are NaN.
func pow(x, y float64) float64 {
	if y != y || math.Abs(x) == 1 && math.IsInf(y, 0) {
		return math.NaN()
	}
	return math.Pow(x, y)
}

func planCeil(p *planner, n *node) kernel { return planToWhole(p, n, math.Ceil) }

func planFloor(p *planner, n *node) kernel { return planToWhole(p, n, math.Floor) }

// planToWhole returns the kernel of ceil and floor, whose results are int64.
func planToWhole(p *planner, n *node, toWhole func(float64) float64) kernel {
	of := n.args[0]
	if of.typ.Kind == feature.Int32 || of.typ.Kind == feature.Int64 {
		return planCast(n, p.node(of), of.typ)
	}
	wide := widen(n, p.node(of), of.typ, feature.Scalar(feature.Float64))
	return monadic(n, n.typ, wide, func(a []float64, r []int64, valid bitmap) bool {
		over := false
		for i, x := range a {
			v, fits := wholeOf(toWhole(x))
			if !fits && x == x {
				over = true
			}
			if x != x {
				valid.clear(i)
			}
			r[i] = v
		}
		return over
	})
}

// wholeOf returns the int64 of a float64 without its fraction; fits is false where there is none, NaN included.
func wholeOf(x float64) (v int64, fits bool) {
	if x >= -1<<63 && x < 1<<63 {
		return int64(x), true
	}
	return 0, false
}

// planRound returns the kernel of round, which rounds halves away from zero.
func planRound(p *planner, n *node) kernel {
	digits, arg := 0, p.node(n.args[0])
	if len(n.args) == 2 {
		digits = int(n.args[1].value.(int32))
	}
	switch n.typ.Kind {
	case feature.Int32:
		return planRoundInteger[int32](n, arg, digits)
	case feature.Int64:
		return planRoundInteger[int64](n, arg, digits)
	case feature.Float32:
		return monadic(n, n.typ, arg, safe(func(a, r []float32) {
			for i, x := range a {
				r[i] = float32(roundFloat(float64(x), digits))
			}
		}))
	}
	return monadic(n, n.typ, arg, safe(func(a, r []float64) {
		for i, x := range a {
			r[i] = roundFloat(x, digits)
		}
	}))
}

func planRoundInteger[T integer](n *node, arg kernel, digits int) kernel {
	if digits >= 0 {
		return arg
	}
	return monadic(n, n.typ, arg, func(a, r []T, _ bitmap) bool {
		over := false
		for i, x := range a {
			v, fits := roundInteger(int64(x), -digits)
			r[i] = T(v)
			over = over || !fits || int64(r[i]) != v
		}
		return over
	})
}

// roundInteger rounds to a multiple of 10^zeros; fits is false when that overflows.
func roundInteger(x int64, zeros int) (v int64, fits bool) {
	if zeros > 19 {
		return 0, true
	}
	unit := uint64(1)
	for range zeros {
		unit *= 10
	}
	size := uint64(x)
	if x < 0 {
		size = -size
	}
	rest := size % unit
	size -= rest
	if rest >= unit-rest {
		if size > math.MaxUint64-unit {
			return 0, false
		}
		size += unit
	}
	if x < 0 {
		return -int64(size), size <= 1<<63
	}
	return int64(size), size < 1<<63
}

// roundFloat rounds the shortest decimal text of x, as Spark's BigDecimal does, so that round(1.005, 2) is 1.01. Where
// x*10^digits lies clear of a half, which is nearly always, arithmetic gives that same number.
func roundFloat(x float64, digits int) float64 {
	if digits == 0 {
		return math.Round(x) + 0 // a half is exact, in binary as in decimal; + 0 makes 0 of -0, as decimals have it
	}
	if digits > 0 && digits <= 22 { // 10^22 is the last power of ten that a float64 holds exactly
		unit := math.Pow10(digits)
		scaled := math.Abs(x) * unit
		whole := math.Floor(scaled + 0.5)
		if whole < 1<<52 && math.Abs(scaled-math.Floor(scaled)-0.5) > scaled*0x1p-50 {
			return math.Copysign(whole/unit, x) + 0
		}
	}
	return roundDecimal(x, digits)
}

// roundDecimal rounds by way of the decimal text.
func roundDecimal(x float64, digits int) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x + 0
	}
	text := strconv.FormatFloat(math.Abs(x), 'e', -1, 64)
	var mantissa []byte
	i := 0
	for ; text[i] != 'e'; i++ {
		if text[i] != '.' {
			mantissa = append(mantissa, text[i])
		}
	}
	exponent, _ := strconv.Atoi(text[i+1:])
	keep := exponent + 1 + digits // so many digits of the mantissa stay
	if keep >= len(mantissa) {
		return x
	}
	if keep < 0 {
		return 0
	}
	up := mantissa[keep] >= '5'
	rounded := append([]byte{'0'}, mantissa[:keep]...)
	for j := len(rounded) - 1; up; j-- {
		if up = rounded[j] == '9'; up {
			rounded[j] = '0'
		} else {
			rounded[j]++
		}
	}
	v, _ := strconv.ParseFloat(string(rounded)+"e"+strconv.Itoa(-digits), 64)
	return math.Copysign(v, x) + 0
}
