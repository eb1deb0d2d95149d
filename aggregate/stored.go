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
	high, low := array.NewFloat64Builder(memory.DefaultAllocator), array.NewFloat64Builder(memory.DefaultAllocator)
	exact := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	high.Reserve(len(n))
	low.Reserve(len(n))
	exact.Reserve(len(n))
	rest := exactSums{unit: s.unit, width: s.width, below: s.below}
	for g := range n {
		if n[g] == 0 {
			high.UnsafeAppendBoolToBitmap(false)
			low.UnsafeAppendBoolToBitmap(false)
			exact.AppendNull()
			continue
		}
		h, l, e := s.parts(g, &rest)
		high.UnsafeAppend(h)
		if l == 0 {
			low.UnsafeAppendBoolToBitmap(false)
		} else {
			low.UnsafeAppend(l)
		}
		if e == nil {
			exact.AppendNull()
		} else {
			exact.Append(e)
		}
	}
	return []arrow.Array{high.NewArray(), low.NewArray(), exact.NewArray()}
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
	if s.isFloat(g) {
		return high, 0, nil
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

// isFloat reports whether the sum of group g, which is not beyond the greatest float64, is known to be one exactly, as that of a single value is: it has
// no more bits than a mantissa, and none below the least number.
func (s *exactSums) isFloat(g int) bool {
	if s.odd[g] != nil {
		return false
	}
	var buf [exactWidthMax]uint64
	mag, _ := s.magnitudeOf(g, buf[:0])
	least, most := -1, 0 // bits that are set
	for i, limb := range mag {
		if limb == 0 {
			continue
		}
		if least < 0 {
			least = 64*i + bits.TrailingZeros64(limb)
		}
		most = 64*i + 63 - bits.LeadingZeros64(limb)
	}
	return least < 0 || most-least < 53 && s.unit+64*s.base+least >= -1074
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
