package parquetio

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
)

// number is a type of fixed width that Parquet stores as it lies in memory.
type number interface {
	int32 | int64 | float32 | float64
}

// numberValues are numbers.
type numberValues[T number] struct {
	of     func(arrow.Array) []T
	values []T // of the page: a part of an array, or own
	own    []T
	deltas []byte
	seen   numberDictionary[T] // of a chunk, or of the sample that decides whether it gets a dictionary
}

func (v *numberValues[T]) take(a arrow.Array, from, to int) {
	all := v.of(a)[from:to]
	if len(v.values) == 0 && a.NullN() == 0 {
		v.values = all[:len(all):len(all)] // what is appended goes elsewhere
		return
	}
	if len(v.own) == 0 {
		v.own = append(v.own, v.values...)
	}
	eachStretch(a, from, to, func(from, to int, valid bool) {
		if valid {
			v.own = append(v.own, v.of(a)[from:to]...)
		}
	})
	v.values = v.own
}

// eachStretch calls do with the stretches of [from, to) in which all values of a are valid, or none is.
func eachStretch(a arrow.Array, from, to int, do func(from, to int, valid bool)) {
	bitmap, offset := a.NullBitmapBytes(), a.Data().Offset()
	if a.NullN() == 0 || len(bitmap) == 0 {
		do(from, to, true)
		return
	}
	for from < to {
		valid := bitutil.BitIsSet(bitmap, offset+from)
		end := from + 1
		for end < to {
			at := offset + end
			word, left := stretchWord(bitmap, at, valid)
			if n := bits.TrailingZeros64(word); n < left {
				end += n
				break
			}
			end += left
		}
		end = min(end, to)
		do(from, end, valid)
		from = end
	}
}

// stretchWord returns the bits of bitmap from the given one on, as many as there are up to the end of eight bytes; those that are as valid says are 0.
func stretchWord(bitmap []byte, at int, valid bool) (word uint64, n int) {
	var eight [8]byte
	first := at / 8
	n = copy(eight[:], bitmap[first:])*8 - at%8
	word = binary.LittleEndian.Uint64(eight[:]) >> (at % 8)
	if valid {
		word = ^word
	}
	return word, n
}

func (v *numberValues[T]) most(arrow.Array, int) int {
	return max(1, writtenPageBytesMax/int(unsafe.Sizeof(*new(T)))-len(v.values))
}

func (v *numberValues[T]) len() int  { return len(v.values) }
func (v *numberValues[T]) size() int { return len(v.values) * int(unsafe.Sizeof(*new(T))) }
func (v *numberValues[T]) reset()    { v.values, v.own = nil, v.own[:0] }

func (v *numberValues[T]) bounds() (low, high []byte) {
	if len(v.values) == 0 {
		return nil, nil
	}
	least, most := v.values[0], v.values[0]
	for _, value := range v.values {
		least, most = min(least, value), max(most, value)
	}
	return bytes.Clone(plainBytes([]T{least})), bytes.Clone(plainBytes([]T{most}))
}

func (v *numberValues[T]) encode(encoding format.Encoding) (_ []byte, err error) {
	if encoding != format.DeltaBinaryPacked {
		return plainBytes(v.values), nil
	}
	coder := delta.BinaryPackedEncoding{}
	switch values := any(v.values).(type) {
	case []int32:
		v.deltas, err = coder.EncodeInt32(v.deltas, values)
	case []int64:
		v.deltas, err = coder.EncodeInt64(v.deltas, values)
	}
	return v.deltas, err
}

// plainBytes returns the memory of values, which on the little-endian machines that this runs on is Parquet's plain encoding.
func plainBytes[T number](values []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(*new(T))))
}

func (v *numberValues[T]) dictionary(arrays []arrow.Array, most int) dictionary {
	d := &v.seen
	d.reset(0)
	for _, a := range arrays {
		a = elementsOf(a)
		for i, value := range v.of(a) {
			if a.IsValid(i) {
				d.ints = append(d.ints, d.number(value))
			}
		}
		if len(d.values)*int(unsafe.Sizeof(*new(T))) > most {
			return nil
		}
	}
	return d
}

func (v *numberValues[T]) repeat(arrays []arrow.Array) bool {
	rows, n := 0, 0
	for _, a := range arrays {
		rows += elementsOf(a).Len()
	}
	d := &v.seen
	d.reset(min(rows, sampleRows)/2 + 1)
	for _, a := range arrays {
		a = elementsOf(a)
		values := v.of(a)
		for i := 0; i < len(values) && n < sampleRows; i++ {
			if a.IsValid(i) {
				d.number(values[i])
				if n++; len(d.values) > sampleRows/2 {
					return false
				}
			}
		}
	}
	return n > 0 && 2*len(d.values) <= n
}

// elementsOf returns the elements of a list in the rows that it has, and anything else as it is.
func elementsOf(a arrow.Array) arrow.Array {
	list, ok := a.(*array.List)
	if !ok || list.Len() == 0 {
		return a
	}
	from, _ := list.ValueOffsets(0)
	_, to := list.ValueOffsets(list.Len() - 1)
	return array.NewSlice(list.ListValues(), from, to)
}

// numberDictionary numbers values by their bits, so that NaN is one value and the zeros are two: a table of twice as many places as
// values, in which a value lies at its hash or behind.
type numberDictionary[T number] struct {
	values []T
	table  []int32 // one more than the number; 0: free
	numbered
}

func bitsOf[T number](v T) uint64 {
	if unsafe.Sizeof(v) == 4 {
		return uint64(*(*uint32)(unsafe.Pointer(&v)))
	}
	return *(*uint64)(unsafe.Pointer(&v))
}

// hashOf mixes bits: numbers that people write down differ in the upper bits of a float, and in the lower ones of an integer.
func hashOf(bits uint64) uint64 { return (bits ^ bits>>32) * 0x9e3779b97f4a7c15 >> 32 }

// number returns the number of a value, which it adds.
func (d *numberDictionary[T]) number(v T) int32 {
	if 2*len(d.values) >= len(d.table) {
		d.grow()
	}
	bits, mask := bitsOf(v), uint64(len(d.table)-1)
	for at := hashOf(bits); ; at++ {
		switch n := d.table[at&mask]; {
		case n == 0:
			d.values = append(d.values, v)
			d.table[at&mask] = int32(len(d.values))
			return int32(len(d.values)) - 1
		case bitsOf(d.values[n-1]) == bits:
			return n - 1
		}
	}
}

// reset empties d, and makes room for so many values.
func (d *numberDictionary[T]) reset(values int) {
	d.values, d.numbered = slices.Grow(d.values[:0], values), d.numbered.emptied()
	d.makeTable(2 * values)
}

// makeTable makes an empty table with so many places or more. It writes to each of them: the system gives memory that is read first twice, once to be read.
func (d *numberDictionary[T]) makeTable(places int) {
	places = max(64, 1<<bits.Len(uint(places)))
	if cap(d.table) < places {
		d.table = make([]int32, places)
	}
	d.table = d.table[:places]
	clear(d.table)
}

func (d *numberDictionary[T]) grow() {
	d.makeTable(len(d.table))
	mask := uint64(len(d.table) - 1)
	for i, v := range d.values {
		at := hashOf(bitsOf(v))
		for d.table[at&mask] != 0 {
			at++
		}
		d.table[at&mask] = int32(i) + 1
	}
}

func (d *numberDictionary[T]) plain() ([]byte, int, error) {
	return plainBytes(d.values), len(d.values), nil
}

// numbered is what the values of a chunk are called in its dictionary.
type numbered struct {
	ints    []int32
	encoded int // of ints
	packed  []byte
}

// emptied returns n without numbers, in the same memory.
func (n numbered) emptied() numbered { return numbered{ints: n.ints[:0], packed: n.packed} }

func (n *numbered) encode(values int) (_ []byte, err error) {
	ints := n.ints[n.encoded:][:values]
	n.encoded += values
	runs := 1
	for i := 1; i < len(ints); i++ {
		if ints[i] != ints[i-1] {
			runs++
		}
	}
	if runs*runRowsMin <= len(ints) {
		n.packed = appendRuns(n.packed[:0], ints)
		return n.packed, nil
	}
	coder := rle.DictionaryEncoding{}
	n.packed, err = coder.EncodeInt32(n.packed, ints)
	return n.packed, err
}

// runRowsMin is how many rows the runs of a page must have on average to be written as runs, however they lie: the library begins one at each eighth row alone, and
// packs what is between. A key of 20 rows takes 3 bytes so, and 19 otherwise, and who reads it meets each key once.
const runRowsMin = 4

// appendRuns appends ints in the RLE and bit-packing hybrid, all of them in runs, behind their width in bits.
func appendRuns(dst []byte, ints []int32) []byte {
	width := bits.Len32(uint32(slices.Max(ints)))
	dst = append(dst, byte(width))
	for i := 0; i < len(ints); {
		end := i + 1
		for end < len(ints) && ints[end] == ints[i] {
			end++
		}
		dst = binary.AppendUvarint(dst, uint64(end-i)<<1)
		for shift := 0; shift < width; shift += 8 {
			dst = append(dst, byte(ints[i]>>shift))
		}
		i = end
	}
	return dst
}

// boolValues are packed eight to a byte, the first in the lowest bit.
type boolValues struct {
	bits []byte
	n    int
	seen [2]bool
}

func (v *boolValues) take(a arrow.Array, from, to int) {
	of := a.(*array.Boolean)
	for i := from; i < to; i++ {
		if of.IsNull(i) {
			continue
		}
		if v.n%8 == 0 {
			v.bits = append(v.bits, 0)
		}
		value := of.Value(i)
		bitutil.SetBitTo(v.bits, v.n, value)
		v.n++
		if value {
			v.seen[1] = true
		} else {
			v.seen[0] = true
		}
	}
}

func (v *boolValues) most(arrow.Array, int) int { return writtenPageBytesMax }
func (v *boolValues) len() int                  { return v.n }
func (v *boolValues) size() int                 { return len(v.bits) }
func (v *boolValues) reset()                    { v.bits, v.n, v.seen = v.bits[:0], 0, [2]bool{} }

func (v *boolValues) bounds() (low, high []byte) {
	switch {
	case v.n == 0:
		return nil, nil
	case !v.seen[0]:
		return []byte{1}, []byte{1}
	case !v.seen[1]:
		return []byte{0}, []byte{0}
	}
	return []byte{0}, []byte{1}
}

func (v *boolValues) encode(format.Encoding) ([]byte, error)   { return v.bits, nil }
func (v *boolValues) repeat([]arrow.Array) bool                { return false } // a bit each is less than a number
func (v *boolValues) dictionary([]arrow.Array, int) dictionary { return nil }

// timestamps returns the microseconds of a column without copying.
func timestamps(a *array.Timestamp) []int64 {
	v := a.TimestampValues()
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(v))), len(v))
}
