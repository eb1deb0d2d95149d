package expr

import (
	"math"
	"math/bits"

	"github.com/asof-store/asof/feature"
)

type integer interface{ int32 | int64 }

type float interface{ float32 | float64 }

func planArithmetic(n *node, left, right kernel) kernel {
	switch n.typ.Kind {
	case feature.Int32:
		return integerArithmetic(n, left, right, multiply32)
	case feature.Int64:
		return integerArithmetic(n, left, right, multiply64)
	case feature.Float32:
		return floatArithmetic[float32](n, left, right)
	}
	return floatArithmetic[float64](n, left, right)
}

func integerArithmetic[T integer](n *node, left, right kernel, multiply func(a, b, r []T, valid bitmap) bool) kernel {
	switch n.op {
	case opAdd:
		return dyadic(n, left, right, addIntegers[T])
	case opSubtract:
		return dyadic(n, left, right, subtractIntegers[T])
	case opMultiply:
		return dyadic(n, left, right, multiply)
	}
	return dyadic(n, left, right, remainders[T])
}

func floatArithmetic[T float](n *node, left, right kernel) kernel {
	switch n.op {
	case opAdd:
		return dyadic(n, left, right, addFloats[T])
	case opSubtract:
		return dyadic(n, left, right, subtractFloats[T])
	case opMultiply:
		return dyadic(n, left, right, multiplyFloats[T])
	case opDivide:
		return dyadic(n, left, right, divideFloats[T])
	}
	return dyadic(n, left, right, floatRemainders[T])
}

func addIntegers[T integer](a, b, r []T, _ bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	var over T // its sign is set once a sum has neither operand's sign
	for i := range r {
		s := a[i] + b[i]
		over |= (a[i] ^ s) & (b[i] ^ s)
		r[i] = s
	}
	return over < 0
}

func subtractIntegers[T integer](a, b, r []T, _ bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	var over T
	for i := range r {
		s := a[i] - b[i]
		over |= (a[i] ^ b[i]) & (a[i] ^ s)
		r[i] = s
	}
	return over < 0
}

func multiply32(a, b, r []int32, _ bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	var over int64
	for i := range r {
		p := int64(a[i]) * int64(b[i])
		r[i] = int32(p)
		over |= p ^ int64(int32(p))
	}
	return over != 0
}

// multiply64 takes the product of the bit patterns to 128 bits and makes its high half the signed one's.
func multiply64(a, b, r []int64, _ bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	var over uint64
	for i := range r {
		hi, lo := bits.Mul64(uint64(a[i]), uint64(b[i]))
		hi -= uint64(a[i]>>63&b[i]) + uint64(b[i]>>63&a[i])
		over |= hi ^ uint64(int64(lo)>>63)
		r[i] = int64(lo)
	}
	return over != 0
}

// remainders have the sign of the dividend; by zero they are NULL.
func remainders[T integer](a, b, r []T, valid bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	for i := range r {
		if b[i] == 0 {
			valid.clear(i)
			continue
		}
		r[i] = a[i] % b[i]
	}
	return false
}

func addFloats[T float](a, b, r []T, _ bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	for i := range r {
		r[i] = a[i] + b[i]
	}
	return false
}

func subtractFloats[T float](a, b, r []T, _ bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	for i := range r {
		r[i] = a[i] - b[i]
	}
	return false
}

func multiplyFloats[T float](a, b, r []T, _ bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	for i := range r {
		r[i] = a[i] * b[i]
	}
	return false
}

// divideFloats gives NULL for a division by zero.
func divideFloats[T float](a, b, r []T, valid bitmap) bool {
	a, b = a[:len(r)], b[:len(r)]
	for i := range r {
		if b[i] == 0 {
			valid.clear(i)
		}
		r[i] = a[i] / b[i]
	}
	return false
}

func floatRemainders[T float](a, b, r []T, valid bitmap) bool {
	for i := range r {
		if b[i] == 0 {
			valid.clear(i)
			continue
		}
		r[i] = T(math.Mod(float64(a[i]), float64(b[i])))
	}
	return false
}

func planNegate(n *node, arg kernel) kernel {
	switch n.typ.Kind {
	case feature.Int32:
		return monadic(n, n.typ, arg, negateIntegers[int32])
	case feature.Int64:
		return monadic(n, n.typ, arg, negateIntegers[int64])
	case feature.Float32:
		return monadic(n, n.typ, arg, safe(negateFloats[float32]))
	}
	return monadic(n, n.typ, arg, safe(negateFloats[float64]))
}

func negateIntegers[T integer](a, r []T, _ bitmap) bool {
	var over T // only the least integer and its negation, itself, are both negative
	for i, x := range a {
		over |= x & -x
		r[i] = -x
	}
	return over < 0
}

func negateFloats[T float](a, r []T) {
	for i, x := range a {
		r[i] = -x
	}
}

func planAbs(p *planner, n *node) kernel {
	arg := p.node(n.args[0])
	switch n.typ.Kind {
	case feature.Int32:
		return monadic(n, n.typ, arg, absIntegers[int32])
	case feature.Int64:
		return monadic(n, n.typ, arg, absIntegers[int64])
	case feature.Float32:
		return monadic(n, n.typ, arg, safe(absFloats[float32]))
	}
	return monadic(n, n.typ, arg, safe(absFloats[float64]))
}

func absIntegers[T integer](a, r []T, _ bitmap) bool {
	var over T
	for i, x := range a {
		v := max(x, -x)
		over |= v
		r[i] = v
	}
	return over < 0
}

func absFloats[T float](a, r []T) {
	for i, x := range a {
		r[i] = T(math.Abs(float64(x)))
	}
}
