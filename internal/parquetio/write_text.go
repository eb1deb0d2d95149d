package parquetio

import (
	"bytes"
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

// textValues are strings or bytes, in the memory of the arrays.
type textValues struct {
	stretches []textStretch
	n, bytes  int
	lengths   []int32
	encoded   []byte
	distinct  map[string]struct{} // of a sample
}

// textStretch are some values of an array, none of them NULL.
type textStretch struct {
	offsets  []int32 // of all values of the array
	data     []byte
	from, to int
}

func (s *textStretch) value(i int) []byte { return s.data[s.offsets[i]:s.offsets[i+1]] }

// stretchOf returns the values [from, to) of an array of strings or bytes.
func stretchOf(a arrow.Array, from, to int) textStretch {
	s := textStretch{offsets: a.(interface{ ValueOffsets() []int32 }).ValueOffsets(), from: from, to: to}
	if data := a.Data().Buffers()[2]; data != nil {
		s.data = data.Bytes()
	}
	return s
}

// textAt returns value i of an array of strings or bytes, in the array's memory.
func textAt(a arrow.Array, i int) string {
	if s, ok := a.(*array.String); ok {
		return s.Value(i)
	}
	b := a.(*array.Binary).Value(i)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (v *textValues) take(a arrow.Array, from, to int) {
	eachStretch(a, from, to, func(from, to int, valid bool) {
		if !valid {
			return
		}
		s := stretchOf(a, from, to)
		v.n, v.bytes = v.n+to-from, v.bytes+4*(to-from)+int(s.offsets[to]-s.offsets[from])
		if n := len(v.stretches); n > 0 && v.stretches[n-1].to == from && &v.stretches[n-1].offsets[0] == &s.offsets[0] {
			v.stretches[n-1].to = to
			return
		}
		v.stretches = append(v.stretches, s)
	})
}

// textTaken is how many values are taken at once, so that a page of a megabyte ends soon after the one that fills it.
const textTaken = 1024

func (v *textValues) most(arrow.Array, int) int { return textTaken }
func (v *textValues) len() int                  { return v.n }
func (v *textValues) size() int                 { return v.bytes }

func (v *textValues) reset() {
	clear(v.stretches) // let the arrays go
	v.stretches, v.n, v.bytes = v.stretches[:0], 0, 0
}

// bounds compares values by their first eight bytes where these differ.
func (v *textValues) bounds() (low, high []byte) {
	if v.n == 0 {
		return nil, nil
	}
	low = v.stretches[0].value(v.stretches[0].from)
	high = low
	lowest, highest := firstEight(low), firstEight(high)
	for i := range v.stretches {
		s := &v.stretches[i]
		for k := s.from; k < s.to; k++ {
			value := s.value(k)
			first := firstEight(value)
			if first < lowest || first == lowest && bytes.Compare(value, low) < 0 {
				low, lowest = value, first
			}
			if first > highest || first == highest && bytes.Compare(value, high) > 0 {
				high, highest = value, first
			}
		}
	}
	return append([]byte{}, low...), append([]byte{}, high...)
}

// firstEight returns the first eight bytes of b as a number of the same order: bytes that b does not have are 0.
func firstEight(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var eight [8]byte
	copy(eight[:], b)
	return binary.BigEndian.Uint64(eight[:])
}

func (v *textValues) encode(encoding format.Encoding) ([]byte, error) {
	v.encoded = slices.Grow(v.encoded[:0], v.bytes)
	if encoding == format.DeltaLengthByteArray {
		return v.encodeLengths()
	}
	for i := range v.stretches {
		s := &v.stretches[i]
		for k := s.from; k < s.to; k++ {
			v.encoded = appendText(v.encoded, s.value(k))
		}
	}
	return v.encoded, nil
}

// encodeLengths encodes all lengths, and then all texts, which need not be looked at for that.
func (v *textValues) encodeLengths() (_ []byte, err error) {
	v.lengths = v.lengths[:0]
	for i := range v.stretches {
		s := &v.stretches[i]
		for k := s.from; k < s.to; k++ {
			v.lengths = append(v.lengths, s.offsets[k+1]-s.offsets[k])
		}
	}
	coder := delta.BinaryPackedEncoding{}
	if v.encoded, err = coder.EncodeInt32(v.encoded, v.lengths); err != nil {
		return nil, err
	}
	for i := range v.stretches {
		s := &v.stretches[i]
		v.encoded = append(v.encoded, s.data[s.offsets[s.from]:s.offsets[s.to]]...)
	}
	return v.encoded, nil
}

func appendText[T string | []byte](dst []byte, value T) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(value))), value...)
}

func (v *textValues) repeat(arrays []arrow.Array) bool {
	distinct, n := v.distinct, 0
	defer clear(distinct) // let the arrays go
	for _, a := range arrays {
		a = elementsOf(a)
		for i := 0; i < a.Len() && n < sampleRows; i++ {
			if a.IsValid(i) {
				distinct[textAt(a, i)] = struct{}{}
				if n++; len(distinct) > sampleRows/2 {
					return false
				}
			}
		}
	}
	return n > 0 && 2*len(distinct) <= n
}

func (v *textValues) dictionary(arrays []arrow.Array, most int) dictionary {
	d := &textDictionary{numbers: map[string]int32{}}
	size := 0
	for _, a := range arrays {
		a = elementsOf(a)
		for i := range a.Len() {
			if a.IsNull(i) {
				continue
			}
			text := textAt(a, i)
			if n := len(d.ints); n > 0 && text == d.values[d.ints[n-1]] {
				d.ints = append(d.ints, d.ints[n-1])
				continue
			}
			number, known := d.numbers[text]
			if !known {
				number = int32(len(d.values))
				d.numbers[text] = number
				d.values, size = append(d.values, text), size+4+len(text)
			}
			d.ints = append(d.ints, number)
			if size > most {
				return nil
			}
		}
	}
	return d
}

// textDictionary numbers strings or bytes.
type textDictionary struct {
	numbers map[string]int32
	values  []string
	numbered
}

func (d *textDictionary) plain() ([]byte, int, error) {
	var body []byte
	for _, value := range d.values {
		body = appendText(body, value)
	}
	return body, len(d.values), nil
}
