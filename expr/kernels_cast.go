package expr

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/asof-store/asof/feature"
)

// planCast returns the kernel that makes values of n.typ of values of the type from.
func planCast(n *node, arg kernel, from feature.Type) kernel {
	to := n.typ
	switch {
	case from == to:
		return arg
	case from.List:
		return castLists(to, arg)
	case to.Kind == feature.String:
		return castToText(n, arg, from)
	case from.Kind == feature.String:
		return castFromText(n, arg)
	case to.Kind == feature.Bool:
		return castToBool(arg, from)
	case from.Kind == feature.Bool:
		return widen(n, castFromBool(arg), feature.Scalar(feature.Int32), to)
	case to.Kind == feature.Timestamp:
		return castToTime(n, arg, from)
	case from.Kind == feature.Timestamp:
		return castFromTime(n, arg)
	case to.Kind == feature.Int32 || to.Kind == feature.Int64 && from.Kind != feature.Int32:
		return narrow(n, arg, from)
	}
	return widen(n, arg, from, to)
}

// widen returns the kernel of a numeric conversion that cannot fail: to a wider or a floating type.
func widen(n *node, arg kernel, from, to feature.Type) kernel {
	switch {
	case from == to:
		return arg
	case from.Kind == feature.Int32:
		return widenFrom[int32](n, arg, to)
	case from.Kind == feature.Int64:
		return widenFrom[int64](n, arg, to)
	case from.Kind == feature.Float32:
		return widenFrom[float32](n, arg, to)
	}
	return widenFrom[float64](n, arg, to)
}

func widenFrom[A integer | float](n *node, arg kernel, to feature.Type) kernel {
	switch to.Kind {
	case feature.Int32:
		return monadic(n, to, arg, safe(convertNumbers[A, int32]))
	case feature.Int64:
		return monadic(n, to, arg, safe(convertNumbers[A, int64]))
	case feature.Float32:
		return monadic(n, to, arg, safe(convertNumbers[A, float32]))
	}
	return monadic(n, to, arg, safe(convertNumbers[A, float64]))
}

func convertNumbers[A, R integer | float](a []A, r []R) {
	for i, x := range a {
		r[i] = R(x)
	}
}

// narrow returns the kernel of a cast to an integer that may not fit: a fraction is cut off, NaN gives NULL.
func narrow(n *node, arg kernel, from feature.Type) kernel {
	if from.Kind == feature.Int64 {
		return monadic(n, n.typ, arg, func(a []int64, r []int32, _ bitmap) bool {
			over := false
			for i, x := range a {
				r[i] = int32(x)
				over = over || int64(r[i]) != x
			}
			return over
		})
	}
	wide := widen(n, arg, from, feature.Scalar(feature.Float64))
	if n.typ.Kind == feature.Int32 {
		return monadic(n, n.typ, wide, narrowFloats[int32])
	}
	return monadic(n, n.typ, wide, narrowFloats[int64])
}

func narrowFloats[R integer](a []float64, r []R, valid bitmap) bool {
	over := false
	for i, x := range a {
		v, fits := wholeOf(x)
		r[i] = R(v)
		if x != x {
			valid.clear(i)
		} else if !fits || int64(r[i]) != v {
			over = true
		}
	}
	return over
}

func castFromBool(arg kernel) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := arg(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(feature.Scalar(feature.Int32))
		copy(out.valid, a.valid)
		for i, r := 0, valuesOf[int32](f, out); i < len(r); i++ {
			r[i] = int32(bitsOf(a)[i>>6] >> (i & 63) & 1)
		}
		f.give(a)
		return out, nil
	}
}

// castToBool: a number is true unless it is zero.
func castToBool(arg kernel, from feature.Type) kernel {
	var loop comparer
	switch from.Kind {
	case feature.Int32:
		loop = comparerOf(notZero[int32])
	case feature.Int64:
		loop = comparerOf(notZero[int64])
	case feature.Float32:
		loop = comparerOf(notZero[float32])
	case feature.Float64:
		loop = comparerOf(notZero[float64])
	}
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := arg(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(feature.Scalar(feature.Bool))
		copy(out.valid, a.valid)
		loop(a, a, f.rows, bitsOf(out))
		f.give(a)
		return out, nil
	}
}

func notZero[T integer | float](a, _ []T, r bitmap) {
	clear(r)
	for i, x := range a {
		r[i>>6] |= bit(x != 0) << (i & 63)
	}
}

const microsPerSecond = 1_000_000

// castToTime: a number is seconds since the epoch; what is no instant, NaN and the infinities, gives NULL.
func castToTime(n *node, arg kernel, from feature.Type) kernel {
	whole := feature.Scalar(feature.Int64)
	if from.Kind == feature.Int32 || from.Kind == feature.Int64 {
		return monadic(n, n.typ, widen(n, arg, from, whole), func(a, r []int64, _ bitmap) bool {
			over := false
			for i, x := range a {
				r[i] = x * microsPerSecond
				over = over || r[i]/microsPerSecond != x
			}
			return over
		})
	}
	return monadic(n, n.typ, widen(n, arg, from, feature.Scalar(feature.Float64)), func(a []float64, r []int64, valid bitmap) bool {
		over := false
		for i, x := range a {
			v, fits := wholeOf(x * microsPerSecond)
			r[i] = v
			if math.IsNaN(x) || math.IsInf(x, 0) {
				valid.clear(i)
			} else if !fits {
				over = true
			}
		}
		return over
	})
}

// castFromTime: seconds since the epoch, whole ones for integers.
func castFromTime(n *node, arg kernel) kernel {
	if n.typ.Kind == feature.Int32 || n.typ.Kind == feature.Int64 {
		whole := feature.Scalar(feature.Int64)
		seconds := monadic(n, whole, arg, safe(func(a, r []int64) {
			for i, x := range a {
				r[i] = floorDivide(x, microsPerSecond)
			}
		}))
		return planCast(n, seconds, whole)
	}
	float := feature.Scalar(feature.Float64)
	seconds := monadic(n, float, arg, safe(func(a []int64, r []float64) {
		for i, x := range a {
			r[i] = float64(x) / microsPerSecond
		}
	}))
	return widen(n, seconds, float, n.typ)
}

func castToText(n *node, arg kernel, from feature.Type) kernel {
	switch from.Kind {
	case feature.Bool:
		return castToText(n, castFromBool(arg), feature.Type{})
	case feature.Int32, feature.Int64:
		wide := widen(n, arg, from, feature.Scalar(feature.Int64))
		return monadic(n, n.typ, wide, texts(func(dst []byte, x int64) []byte { return strconv.AppendInt(dst, x, 10) }))
	case feature.Float32:
		return monadic(n, n.typ, arg, texts(func(dst []byte, x float32) []byte { return appendFloat(dst, float64(x), 32) }))
	case feature.Float64:
		return monadic(n, n.typ, arg, texts(func(dst []byte, x float64) []byte { return appendFloat(dst, x, 64) }))
	case feature.Timestamp:
		return monadic(n, n.typ, arg, texts(appendTimestamp))
	case feature.Bytes:
		return monadic(n, n.typ, arg, func(a, r []string, valid bitmap) bool {
			for i, x := range a {
				r[i] = x
				if !utf8.ValidString(x) {
					valid.clear(i)
				}
			}
			return false
		})
	}
	return monadic(n, n.typ, arg, texts(func(dst []byte, x int32) []byte { return strconv.AppendBool(dst, x != 0) }))
}

// castFromText reads texts; one that does not say a value of the type gives NULL.
func castFromText(n *node, arg kernel) kernel {
	switch n.typ.Kind {
	case feature.Bytes:
		return arg
	case feature.Bool:
		yes := monadic(n, feature.Scalar(feature.Int32), arg, readTexts(parseBool))
		return castToBool(yes, feature.Scalar(feature.Int32))
	case feature.Int32:
		return monadic(n, n.typ, arg, readTexts(func(s string) (int32, bool) {
			v, ok := parseInteger(s)
			return int32(v), ok && int64(int32(v)) == v
		}))
	case feature.Int64:
		return monadic(n, n.typ, arg, readTexts(parseInteger))
	case feature.Float32:
		return monadic(n, n.typ, arg, readTexts(func(s string) (float32, bool) {
			v, ok := parseFloat(s, 32)
			return float32(v), ok
		}))
	case feature.Float64:
		return monadic(n, n.typ, arg, readTexts(func(s string) (float64, bool) { return parseFloat(s, 64) }))
	}
	return monadic(n, n.typ, arg, readTexts(func(s string) (int64, bool) {
		v, _, ok := parseTimestamp(trimSpace(s))
		return v, ok
	}))
}

func readTexts[R any](read func(string) (R, bool)) func(a []string, r []R, valid bitmap) bool {
	return func(a []string, r []R, valid bitmap) bool {
		for i, s := range a {
			v, ok := read(s)
			if r[i] = v; !ok {
				valid.clear(i)
			}
		}
		return false
	}
}
