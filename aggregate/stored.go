package aggregate

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// exactColumns are the columns in which an exact sum is stored: NAME is the sum rounded to a float64, NaN and infinities
// included; NAME_low, unless NULL, is the rest, rounded; NAME_exact, unless NULL, is the whole sum where the two are not (see
// encode). All are NULL where nothing was added.
func exactColumns(name string) []feature.Field {
	return []feature.Field{
		{Name: name, Type: feature.Scalar(feature.Float64)},
		{Name: name + "_low", Type: feature.Scalar(feature.Float64)},
		{Name: name + "_exact", Type: feature.Scalar(feature.Bytes)},
	}
}

// store returns the groups' sums as columns; n tells how many numbers are in each.
func (s *exactSums) store(n []int64) []arrow.Array {
	high := make([]float64, len(n))
	var nulls []int
	var rests []remainder
	rest := exactSums{unit: s.unit, width: s.width, below: s.below}
	for g := range n {
		if n[g] == 0 {
			nulls = append(nulls, g)
			continue
		}
		sum, ok := s.asFloat(g)
		if !ok {
			r := remainder{group: g}
			sum, r.low, r.exact = s.parts(g, &rest)
			if r.low != 0 || r.exact != nil {
				rests = append(rests, r)
			}
		}
		high[g] = sum
	}
	return append([]arrow.Array{fixedColumn(arrow.PrimitiveTypes.Float64, high, nulls)}, s.storedRests(rests, len(n))...)
}

// remainder is what is left of the sum of a group beside one float64.
type remainder struct {
	group int
	low   float64 // 0: nothing
	exact []byte  // nil: nothing
}

// storedRests returns the columns of remainders, which ascend by group.
func (s *exactSums) storedRests(rests []remainder, groups int) []arrow.Array {
	if len(rests) == 0 {
		if s.nulls == nil || s.nulls[0].Len() < groups {
			s.nulls = []arrow.Array{array.MakeArrayOfNull(memory.DefaultAllocator, arrow.PrimitiveTypes.Float64, groups),
				array.MakeArrayOfNull(memory.DefaultAllocator, arrow.BinaryTypes.Binary, groups)}
		}
		return []arrow.Array{array.NewSlice(s.nulls[0], 0, int64(groups)), array.NewSlice(s.nulls[1], 0, int64(groups))}
	}
	low, exact := array.NewFloat64Builder(memory.DefaultAllocator), array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	for g := range groups {
		r := remainder{}
		if len(rests) > 0 && rests[0].group == g {
			r, rests = rests[0], rests[1:]
		}
		if r.low != 0 {
			low.Append(r.low)
		} else {
			low.AppendNull()
		}
		if r.exact != nil {
			exact.Append(r.exact)
		} else {
			exact.AppendNull()
		}
	}
	return []arrow.Array{low.NewArray(), exact.NewArray()}
}

// parts returns what is stored of group g; rest is a place to work in.
func (s *exactSums) parts(g int, rest *exactSums) (high, low float64, exact []byte) {
	if special, ok := s.odd[g].special(); ok {
		return special, 0, nil
	}
	high = s.float(g)
	if math.IsInf(high, 0) {
		return high, 0, s.encode(g)
	}
	rest.reset(1)
	rest.merge(0, s, g, false)
	rest.addFloat(0, -high)
	if low = rest.float(0); low == 0 && rest.zero() {
		return high, 0, nil
	}
	if rest.addFloat(0, -low); rest.zero() {
		return high, low, nil
	}
	return high, low, s.encode(g)
}

// asFloat returns the sum of group g if that is known to be a normal float64 or zero, as that of a few values often is: its bits lie in two limbs, and are no more than those
// of a mantissa.
func (s *exactSums) asFloat(g int) (sum float64, ok bool) {
	if s.odd != nil && s.odd[g] != nil {
		return 0, false
	}
	l, at := s.limbs[g*s.width:(g+1)*s.width], 0
	for at < len(l)-2 && l[at] == 0 {
		at++
	}
	low, high, sign := l[at], l[at+1], uint64(int64(l[len(l)-1])>>63)
	for _, limb := range l[at+2:] {
		if limb != sign {
			return 0, false
		}
	}
	exp := s.unit + 64*(s.base+at)
	if sign != 0 {
		var borrow uint64
		low, borrow = bits.Sub64(0, low, 0)
		high, _ = bits.Sub64(0, high, borrow)
	}
	if n := bits.Len64(high); n > 0 {
		if low<<(64-n) != 0 {
			return 0, false
		}
		low, exp = high<<(64-n)|low>>n, exp+n
	}
	if low == 0 {
		return 0, true
	}
	if bits.Len64(low)-bits.TrailingZeros64(low) > 53 {
		return 0, false
	}
	b := math.Float64bits(float64(low))
	if e := int(b>>52) + exp; e < 1 || e > 2046 {
		return 0, false
	}
	return math.Float64frombits(b + uint64(exp)<<52 | sign<<63), true
}

// zero reports whether the sum of group 0 is exactly zero.
func (s *exactSums) zero() bool {
	if o := s.odd[0]; o != nil {
		return o.finite.Sign() == 0
	}
	for _, l := range s.limbs[:s.width] {
		if l != 0 {
			return false
		}
	}
	return true
}

// encode returns the finite sum of group g: a byte that is 1 for negative sums and else 0, two bytes, most significant first, that
// tell how many zero bytes were left out at the end, and the absolute value in units of 2^unit, most significant byte first,
// without zero bytes at its ends.
func (s *exactSums) encode(g int) []byte {
	var x big.Int
	s.integer(g, &x)
	b := []byte{0, 0, 0}
	if x.Sign() < 0 {
		b[0] = 1
	}
	mag := x.Bytes()
	end := len(mag)
	for end > 0 && mag[end-1] == 0 {
		end--
	}
	binary.BigEndian.PutUint16(b[1:], uint16(len(mag)-end))
	return append(b, mag[:end]...)
}

// exactBytesMax bounds a stored sum: 2^63 squares of the greatest float64.
const exactBytesMax = 600

// addEncoded adds an encoded sum to group g; it fails on bytes that encode cannot have made.
func (s *exactSums) addEncoded(g int, b []byte) error {
	damaged := feature.Errorf(feature.ErrCorrupt, "a stored exact sum is damaged: %x", b)
	if len(b) < 4 || b[0] > 1 || b[3] == 0 || b[len(b)-1] == 0 {
		return damaged
	}
	zeros := int(binary.BigEndian.Uint16(b[1:]))
	if zeros+len(b)-3 > exactBytesMax {
		return damaged
	}
	s.addLimbs(g, limbsOf(b[3:], zeros%8), zeros/8, b[0] == 1)
	return nil
}

// fold adds stored sums to groups, and to n how many there were.
func (s *exactSums) fold(tiles []arrow.Array, spans []Span, n []int64) error {
	high, ok1 := tiles[0].(*array.Float64)
	low, ok2 := tiles[1].(*array.Float64)
	exact, ok3 := tiles[2].(*array.Binary)
	if !ok1 || !ok2 || !ok3 {
		return feature.Errorf(feature.ErrCorrupt, "stored sums are no numbers")
	}
	values := high.Float64Values()
	s.placeFloats(values, 1)
	simple := high.NullN() == 0 && low.NullN() == low.Len() && exact.NullN() == exact.Len()
	for _, span := range spans {
		g := int(span.Group)
		if simple {
			s.addFloats(g, values[span.From:span.To])
			n[g] += int64(span.To - span.From)
			continue
		}
		for i := int(span.From); i < int(span.To); i++ {
			if high.IsNull(i) {
				continue
			}
			n[g]++
			if err := s.foldTile(g, i, values[i], low, exact); err != nil {
				return err
			}
		}
	}
	return nil
}

// foldTile adds tile i to group g.
func (s *exactSums) foldTile(g, i int, high float64, low *array.Float64, exact *array.Binary) error {
	if exact.IsValid(i) {
		return s.addEncoded(g, exact.Value(i))
	}
	s.addFloat(g, high)
	if low.IsValid(i) {
		s.addFloat(g, low.Value(i))
	}
	return nil
}
