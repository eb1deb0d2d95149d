package aggregate

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
)

// exactSums holds exact sums of numbers for many groups: integers in units of 2^unit, large enough for every float64 (or every
// square of one). Adding is exact, so it neither depends on an order nor drifts, and what was added can be taken out again.
// Rounding happens once, when a result is asked for.
//
// A group's integer is a window of width 64-bit limbs in two's complement, which begins base limbs above the unit; the last limb
// stays free for carries. The window lies where the first numbers were. Groups whose numbers leave it, and those with NaNs or
// infinities, are kept in odd. (The idea of summing floats in fixed point is Kulisch's; the small window makes an addition two or
// three instructions with carry.)
type exactSums struct {
	unit   int
	width  int // limbs of a window
	below  int // how many of them lie below the first numbers
	placed bool
	base   int
	limbs  []uint64
	odd    map[int]*oddSum

	nulls []arrow.Array // the columns of nothing but NULLs that were stored last, which others share
}

// oddSum is a sum that does not fit the window.
type oddSum struct {
	finite           big.Int // of the finite numbers, in units of 2^unit
	nan, plus, minus int64   // how many of the others
}

// The units in which every finite float64, and the square of every one, is an integer.
const (
	unitOfValues  = -1074
	unitOfSquares = 2 * unitOfValues
)

const (
	sumWidth      = 6  // limbs of a window of sums
	exactWidthMax = 10 // and of sums of squares
)

// The windows hold 64 binades below the first numbers and 64 above; for squares 256 and 128.
func newExactSums() exactSums { return exactSums{unit: unitOfValues, width: sumWidth, below: 1} }
func newExactSquares() exactSums {
	return exactSums{unit: unitOfSquares, width: exactWidthMax, below: 4}
}

func (s *exactSums) reset(n int) {
	s.limbs = zeroed(s.limbs, n*s.width)
	s.odd, s.placed = nil, false
}

// place lays the window, if it has no place yet, around most of the given numbers, whose positions are those of a magnitude's
// lowest bit above the unit.
func (s *exactSums) place(positions []int) {
	if s.placed || len(positions) == 0 {
		return
	}
	slices.Sort(positions)
	s.placed, s.base = true, max(0, positions[len(positions)/2]>>6-s.below)
}

// placeSample is how many numbers place looks at.
const placeSample = 256

// placeFloats is place for the exponents of floats, each times `power`.
func (s *exactSums) placeFloats(values []float64, power int) {
	if s.placed {
		return
	}
	var positions []int
	for _, v := range values {
		if len(positions) == placeSample {
			break
		}
		if v != 0 && !math.IsNaN(v) && !math.IsInf(v, 0) {
			_, exp, _ := magnitude(v)
			positions = append(positions, exp*power-s.unit)
		}
	}
	s.place(positions)
}

// magnitude returns a finite x as m * 2^exp.
func magnitude(x float64) (m uint64, exp int, neg bool) {
	b := math.Float64bits(x)
	m, exp = b&(1<<52-1), int(b>>52&0x7ff)
	if exp == 0 {
		exp = 1
	} else {
		m |= 1 << 52
	}
	return m, exp - 1075, b>>63 != 0
}

// addFloat adds x to group g.
func (s *exactSums) addFloat(g int, x float64) {
	if math.Float64bits(x)>>52&0x7ff == 0x7ff {
		s.oddOf(g).addSpecial(x)
		return
	}
	if x == 0 {
		return
	}
	m, exp, neg := magnitude(x)
	s.add(g, 0, m, exp-s.unit, neg)
}

// addFloats adds values to group g. It is addFloat in a loop, with the sum of those that begin in the second limb of the window, which is
// most of them, in two registers.
func (s *exactSums) addFloats(g int, values []float64) {
	// A mantissa and its shift take 116 bits, and 127 hold the sum of so many.
	const valuesMax = 1 << 11
	for ; len(values) > valuesMax; values = values[valuesMax:] {
		s.addFloats(g, values[:valuesMax])
	}
	if s.width != sumWidth || !s.placed || s.odd != nil && s.odd[g] != nil {
		for _, x := range values {
			s.addFloat(g, x)
		}
		return
	}
	var low, high uint64
	first := -1075 - s.unit - 64*(s.base+1) // position above the second limb of a number with exponent bits 0
	for _, x := range values {
		b := math.Float64bits(x)
		exp := int(b >> 52 & 0x7ff)
		pos := first + exp
		if uint(pos) >= 64 || exp == 0 || exp == 0x7ff {
			s.addFloat(g, x) // zeros, the very small, the special, and what begins in another limb
			continue
		}
		m, sign := b&(1<<52-1)|1<<52, uint64(int64(b)>>63)
		var carry uint64
		low, carry = bits.Add64(low, m<<pos^sign, sign&1)
		high, _ = bits.Add64(high, m>>1>>(63-pos)^sign, carry)
	}
	if s.odd != nil && s.odd[g] != nil {
		s.odd[g].addSigned(low, high, 64*(s.base+1))
		return
	}
	l := s.limbs[g*sumWidth : (g+1)*sumWidth : (g+1)*sumWidth]
	sign := uint64(int64(high) >> 63)
	var carry uint64
	l[1], carry = bits.Add64(l[1], low, 0)
	l[2], carry = bits.Add64(l[2], high, carry)
	l[3], carry = bits.Add64(l[3], sign, carry)
	l[4], carry = bits.Add64(l[4], sign, carry)
	l[5], _ = bits.Add64(l[5], sign, carry)
}

// addSquare adds the square of x to group g; a NaN for one that is not finite.
func (s *exactSums) addSquare(g int, x float64) {
	if math.Float64bits(x)>>52&0x7ff == 0x7ff {
		s.oddOf(g).nan++
		return
	}
	m, exp, _ := magnitude(x)
	hi, lo := bits.Mul64(m, m)
	s.add(g, hi, lo, 2*exp-s.unit, false)
}

// add adds the integer hi:lo, shifted left by pos and negated if neg, to group g.
func (s *exactSums) add(g int, hi, lo uint64, pos int, neg bool) {
	if !s.placed {
		s.place([]int{pos})
	}
	k := pos>>6 - s.base
	if k < 0 || k > s.width-4 || s.odd != nil && s.odd[g] != nil {
		s.oddOf(g).add(hi, lo, pos, neg)
		return
	}
	var sign, carry uint64
	if neg {
		sign, carry = math.MaxUint64, 1
	}
	shift := uint(pos & 63)
	l := s.limbs[g*s.width+k : (g+1)*s.width]
	l[0], carry = bits.Add64(l[0], lo<<shift^sign, carry)
	l[1], carry = bits.Add64(l[1], (hi<<shift|lo>>(64-shift))^sign, carry)
	l[2], carry = bits.Add64(l[2], hi>>(64-shift)^sign, carry)
	for i := 3; i < len(l) && carry != sign&1; i++ {
		l[i], carry = bits.Add64(l[i], sign, carry)
	}
}

// addLimbs adds the integer in limbs, least significant first, shifted left by 64*at and negated if neg, to group g.
func (s *exactSums) addLimbs(g int, limbs []uint64, at int, neg bool) {
	if !s.placed {
		s.place([]int{64 * at})
	}
	k := at - s.base
	if k < 0 || k+len(limbs) >= s.width || s.odd != nil && s.odd[g] != nil {
		var x big.Int
		setLimbs(&x, limbs)
		x.Lsh(&x, uint(64*at))
		if neg {
			x.Neg(&x)
		}
		s.oddOf(g).merge(&oddSum{finite: x}, false)
		return
	}
	var sign, carry uint64
	if neg {
		sign, carry = math.MaxUint64, 1
	}
	l := s.limbs[g*s.width+k : (g+1)*s.width]
	for i := range l {
		v := sign
		if i < len(limbs) {
			v ^= limbs[i]
		}
		l[i], carry = bits.Add64(l[i], v, carry)
	}
}

// merge adds group src of t to group dst, or takes it out of there.
func (s *exactSums) merge(dst int, t *exactSums, src int, remove bool) {
	if !s.placed && t.placed {
		s.placed, s.base = true, t.base
	}
	if o := t.odd[src]; o != nil || s.odd[dst] != nil || s.base != t.base && t.placed {
		if o == nil {
			o = &oddSum{}
			t.integer(src, &o.finite)
		}
		s.oddOf(dst).merge(o, remove)
		return
	}
	if !t.placed {
		return
	}
	d, l := s.limbs[dst*s.width:(dst+1)*s.width], t.limbs[src*s.width:(src+1)*s.width]
	carry := uint64(0)
	if remove {
		for i, v := range l {
			d[i], carry = bits.Sub64(d[i], v, carry)
		}
		return
	}
	for i, v := range l {
		d[i], carry = bits.Add64(d[i], v, carry)
	}
}

// oddOf returns the odd form of group g, in which it is from now on.
func (s *exactSums) oddOf(g int) *oddSum {
	if o := s.odd[g]; o != nil {
		return o
	}
	o := &oddSum{}
	s.integer(g, &o.finite)
	if s.odd == nil {
		s.odd = map[int]*oddSum{}
	}
	s.odd[g] = o
	return o
}

func (o *oddSum) addSpecial(x float64) {
	switch {
	case math.IsNaN(x):
		o.nan++
	case x > 0:
		o.plus++
	default:
		o.minus++
	}
}

func (o *oddSum) add(hi, lo uint64, pos int, neg bool) {
	var v, w big.Int
	v.Or(v.Lsh(v.SetUint64(hi), 64), w.SetUint64(lo)).Lsh(&v, uint(pos))
	if neg {
		v.Neg(&v)
	}
	o.finite.Add(&o.finite, &v)
}

// addSigned adds the number high:low in two's complement, shifted left by pos.
func (o *oddSum) addSigned(low, high uint64, pos int) {
	neg := int64(high) < 0
	if neg {
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high, _ = bits.Sub64(0, high, borrow)
	}
	o.add(high, low, pos, neg)
}

func (o *oddSum) merge(p *oddSum, remove bool) {
	if remove {
		o.finite.Sub(&o.finite, &p.finite)
		o.nan, o.plus, o.minus = o.nan-p.nan, o.plus-p.plus, o.minus-p.minus
		return
	}
	o.finite.Add(&o.finite, &p.finite)
	o.nan, o.plus, o.minus = o.nan+p.nan, o.plus+p.plus, o.minus+p.minus
}

// special returns the sum where it is no finite number; ok is false where it is one.
func (o *oddSum) special() (sum float64, ok bool) {
	switch {
	case o == nil || o.nan == 0 && o.plus == 0 && o.minus == 0:
		return 0, false
	case o.nan > 0 || o.plus > 0 && o.minus > 0:
		return math.NaN(), true
	case o.plus > 0:
		return math.Inf(1), true
	}
	return math.Inf(-1), true
}

// integer sets x to the finite sum of group g, in units of 2^unit.
func (s *exactSums) integer(g int, x *big.Int) {
	if o := s.odd[g]; o != nil {
		x.Set(&o.finite)
		return
	}
	var buf [exactWidthMax]uint64
	mag, neg := s.magnitudeOf(g, buf[:0])
	setLimbs(x, mag)
	x.Lsh(x, uint(64*s.base))
	if neg {
		x.Neg(x)
	}
}

// magnitudeOf returns the absolute value of the window of group g, least significant limb first, appended to buf.
func (s *exactSums) magnitudeOf(g int, buf []uint64) (mag []uint64, neg bool) {
	mag = append(buf, s.limbs[g*s.width:(g+1)*s.width]...)
	neg = mag[len(mag)-1]>>63 != 0
	if neg {
		carry := uint64(1)
		for i, v := range mag {
			mag[i], carry = bits.Add64(^v, 0, carry)
		}
	}
	return mag, neg
}

// setLimbs sets x to limbs, least significant first.
func setLimbs(x *big.Int, limbs []uint64) {
	b := make([]byte, 0, 8*len(limbs))
	for _, l := range slices.Backward(limbs) {
		b = binary.BigEndian.AppendUint64(b, l)
	}
	x.SetBytes(b)
}

// float returns the finite sum of group g rounded to the nearest float64, ties to even; an infinity where it is beyond.
func (s *exactSums) float(g int) float64 {
	if o := s.odd[g]; o != nil {
		return roundInt(&o.finite, s.unit)
	}
	var buf [exactWidthMax]uint64
	mag, neg := s.magnitudeOf(g, buf[:0])
	f := round(mag, s.unit+64*s.base, false)
	if neg {
		return -f
	}
	return f
}

// roundInt returns x * 2^exp rounded to the nearest float64.
func roundInt(x *big.Int, exp int) float64 {
	f := round(limbsOf(new(big.Int).Abs(x).Bytes(), 0), exp, false)
	if x.Sign() < 0 {
		return -f
	}
	return f
}

// limbsOf returns the integer with the given bytes, most significant first, and so many zero bytes after them, as limbs, least
// significant first.
func limbsOf(b []byte, zeros int) []uint64 {
	limbs := make([]uint64, (len(b)+zeros+7)/8)
	for i, v := range slices.Backward(b) {
		at := len(b) - 1 - i + zeros
		limbs[at/8] |= uint64(v) << (8 * (at % 8))
	}
	return limbs
}

// round returns limbs * 2^exp, limbs being least significant first, rounded to the nearest float64, ties to even. sticky tells
// that the true value is a little more than the limbs say.
func round(limbs []uint64, exp int, sticky bool) float64 {
	top := len(limbs) - 1
	for top >= 0 && limbs[top] == 0 {
		top--
	}
	if top < 0 {
		return 0
	}
	m, shift := limbs[top], uint(bits.LeadingZeros64(limbs[top]))
	exp += 64 * top
	m <<= shift
	exp -= int(shift)
	below := uint64(0)
	if top > 0 {
		m |= limbs[top-1] >> (64 - shift)
		below = limbs[top-1] << shift
	}
	for i := 0; i < top-1; i++ {
		below |= limbs[i]
	}
	// The value is m * 2^exp and a little more if below or sticky; m has 64 bits, of which 53 fit, fewer below 2^-1022.
	drop := max(11, -1074-exp)
	if drop > 64 {
		return 0
	}
	rest, half := m, uint64(1)<<(drop-1)
	kept := uint64(0)
	if drop < 64 {
		rest, kept = m&(1<<drop-1), m>>drop
	}
	if rest > half || rest == half && (below != 0 || sticky || kept&1 == 1) {
		kept++
	}
	return math.Ldexp(float64(kept), exp+drop)
}
