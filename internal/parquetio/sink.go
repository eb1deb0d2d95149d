package parquetio

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/uncleared"
)

// reserveMax bounds what is reserved on the word of the metadata alone: 32 MB, which nobody has touched yet.
const reserveMax = 1 << 22

// sink collects the values of an array.
type sink[T any] interface {
	// reserve makes room for n more values, as far as that is prudent.
	reserve(n int)
	// spare returns the reserved memory of the n values to come, so that they can be decoded into it before they are added; nil
	// where add copies them.
	spare(n int) []T
	// add appends values that are not NULL.
	add(values []T)
	// addMasked appends len(defs) values: the next of values where the level is max, else NULL. It returns how
	// many of values it took.
	addMasked(values []T, defs []byte, max uint8) int
	// bytes returns how much variable-width data it holds.
	bytes() int
	// finish returns the array, of d, and empties the sink.
	finish(d arrow.DataType) arrow.ArrayData
}

// indexedSink is a sink that looks values of a dictionary up itself.
type indexedSink[T any] interface {
	// addIndexed appends the values at the given places of dict.
	addIndexed(dict []T, indices []int32) error
}

// runsSink is a sink that takes places in a dictionary run by run.
type runsSink[T any] interface {
	// addRuns appends the values of dict at the n places that body encodes.
	addRuns(dict []T, body []byte, n int) error
}

// textSink is a sink that decodes texts itself.
type textSink interface {
	// addTexts appends the n values of a page's body, or reports that it knows nothing of their encoding.
	addTexts(enc format.Encoding, body []byte, n int) (known bool, err error)
}

// deltaSink is a sink that adds deltas up itself.
type deltaSink interface {
	// addDeltas appends the n values of a page's body in the encoding DELTA_BINARY_PACKED.
	addDeltas(body []byte, n int) error
}

// validity is the bitmap of an array; there is none until the first NULL.
type validity struct {
	bits  []byte
	n     int
	nulls int
}

func (v *validity) addValid(n int) {
	if v.bits != nil {
		v.grow(n)
		for i := v.n; i < v.n+n; i++ {
			v.bits[i>>3] |= 1 << (i & 7)
		}
	}
	v.n += n
}

func (v *validity) addNull() {
	v.start()
	v.grow(1)
	v.n++
	v.nulls++
}

// addLevels appends a bit per level and returns the number of valid ones.
func (v *validity) addLevels(defs []byte, max uint8) int {
	v.start()
	v.grow(len(defs))
	valid, bits, n := 0, v.bits, v.n
	for i, d := range defs {
		if d == max {
			bits[(n+i)>>3] |= 1 << ((n + i) & 7)
			valid++
		}
	}
	v.n += len(defs)
	v.nulls += len(defs) - valid
	return valid
}

func (v *validity) start() {
	if v.bits == nil {
		n := v.n
		v.bits, v.n = make([]byte, 0, n/8+64), 0
		v.grow(n)
		v.addValid(n)
	}
}

func (v *validity) grow(n int) {
	for need := (v.n+n+7)/8 - len(v.bits); need > 0; need = 0 {
		v.bits = append(v.bits, make([]byte, need)...)
	}
}

func (v *validity) buffer() *memory.Buffer {
	if v.nulls == 0 {
		return nil
	}
	return memory.NewBufferBytes(v.bits)
}

// numberSink collects numbers; T's width is that of the array.
type numberSink[T fixedWidth] struct {
	memory *Memory // nil: the collector's
	values []T
	valid  validity
}

func (s *numberSink[T]) reserve(n int) {
	if n = len(s.values) + min(n, reserveMax); n > cap(s.values) {
		before := s.values
		s.values = append(allocate[T](s.memory, n), before...)
		bufferOf(s.memory, before).Release()
	}
}

func (s *numberSink[T]) bytes() int { return 0 }

func (s *numberSink[T]) spare(n int) []T {
	if cap(s.values)-len(s.values) < n { // as much as a page claims to hold is not to be trusted
		return nil
	}
	return s.values[len(s.values):][:n]
}

func (s *numberSink[T]) add(values []T) {
	if n := len(s.values) + len(values); n > len(s.values) && n <= cap(s.values) && &values[0] == &s.values[:n][len(s.values)] {
		s.values = s.values[:n] // where they are already
	} else {
		s.values = append(s.values, values...)
	}
	s.valid.addValid(len(values))
}

func (s *numberSink[T]) addMasked(values []T, defs []byte, max uint8) int {
	s.values = appendMasked(s.values, values, defs, max)
	return s.valid.addLevels(defs, max)
}

func (s *numberSink[T]) finish(d arrow.DataType) arrow.ArrayData {
	data := bufferOf(s.memory, s.values)
	defer data.Release() // the array holds it
	out := array.NewData(d, len(s.values), []*memory.Buffer{s.valid.buffer(), data}, nil, s.valid.nulls, 0)
	*s = numberSink[T]{memory: s.memory}
	return out
}

// boolSink collects booleans, a byte each until they are packed.
type boolSink struct {
	values []bool
	valid  validity
}

func (s *boolSink) reserve(n int)    { s.values = reserved(s.values, n) }
func (s *boolSink) spare(int) []bool { return nil }
func (s *boolSink) bytes() int       { return 0 }

func (s *boolSink) add(values []bool) {
	s.values = append(s.values, values...)
	s.valid.addValid(len(values))
}

func (s *boolSink) addMasked(values []bool, defs []byte, max uint8) int {
	s.values = appendMasked(s.values, values, defs, max)
	return s.valid.addLevels(defs, max)
}

func (s *boolSink) finish(d arrow.DataType) arrow.ArrayData {
	packed := make([]byte, (len(s.values)+7)/8)
	for i, v := range s.values {
		if v {
			packed[i>>3] |= 1 << (i & 7)
		}
	}
	out := array.NewData(d, len(s.values), []*memory.Buffer{s.valid.buffer(), memory.NewBufferBytes(packed)}, nil, s.valid.nulls, 0)
	*s = boolSink{}
	return out
}

// bytesSink collects strings and bytes.
type bytesSink struct {
	data    []byte
	offsets []int32 // one more than values, or none
	valid   validity
}

func (s *bytesSink) bytes() int { return len(s.data) }

func (s *bytesSink) reserve(n int)      { s.offsets = reserved(s.offsets, n+1) }
func (s *bytesSink) spare(int) [][]byte { return nil }

func (s *bytesSink) add(values [][]byte) {
	s.first()
	size := 0
	for _, v := range values {
		size += len(v)
	}
	s.grow(len(values), size)
	for _, v := range values {
		s.data = append(s.data, v...)
		s.offsets = append(s.offsets, int32(len(s.data)))
	}
	s.valid.addValid(len(values))
}

// grow makes room for n values of so many bytes in sum, and for as many as there is room for in offsets, if those are as long: texts come page by page.
func (s *bytesSink) grow(n, size int) {
	if size <= cap(s.data)-len(s.data) {
		return
	}
	size += len(s.data)
	n += len(s.offsets) - 1
	most := min(2*size+size*max(0, cap(s.offsets)-1-n)/max(1, n), offsetMax)
	s.data = append(uncleared.Make[byte](max(size, most))[:0], s.data...)
}

func (s *bytesSink) addIndexed(dict [][]byte, indices []int32) error {
	s.first()
	size := 0
	for _, k := range indices {
		if uint(k) >= uint(len(dict)) {
			return errIndex(k, len(dict))
		}
		size += len(dict[k])
	}
	if len(s.data)+size > offsetMax {
		return ErrTooMuch
	}
	s.grow(len(indices), size)
	data, offsets := s.data, s.offsets
	for _, k := range indices {
		data = append(data, dict[k]...)
		offsets = append(offsets, int32(len(data)))
	}
	s.data, s.offsets = data, offsets
	s.valid.addValid(len(indices))
	return nil
}

func (s *bytesSink) addTexts(enc format.Encoding, body []byte, n int) (known bool, err error) {
	switch enc {
	case format.Plain:
		return true, s.addPlain(body, n)
	case format.DeltaLengthByteArray:
		return true, s.addDeltaLength(body, n)
	}
	return false, nil
}

// addDeltaLength decodes lengths to where the offsets will be, and copies all texts at once.
func (s *bytesSink) addDeltaLength(body []byte, n int) error {
	s.first()
	if n == 0 {
		return nil
	}
	s.offsets = slices.Grow(s.offsets, n)
	lengths := s.offsets[len(s.offsets):][:n]
	body, err := decodeDelta(lengths, body)
	if err != nil {
		return err
	}
	size := 0
	for _, length := range lengths {
		if size += int(length); length < 0 || size > len(body) {
			return errShortPage
		}
	}
	if len(s.data)+size > offsetMax {
		return ErrTooMuch
	}
	s.grow(n, size)
	end := int32(len(s.data))
	for i, length := range lengths {
		end += length
		lengths[i] = end
	}
	s.data, s.offsets = append(s.data, body[:size]...), s.offsets[:len(s.offsets)+n]
	s.valid.addValid(n)
	return nil
}

func (s *bytesSink) addPlain(body []byte, n int) error {
	s.first()
	if n > len(body)/4 {
		return errShortPage
	}
	s.grow(n, len(body)-4*n)
	data, offsets := s.data, s.offsets
	for range n {
		if len(body) < 4 {
			return errShortPage
		}
		size := binary.LittleEndian.Uint32(body)
		if body = body[4:]; uint64(size) > uint64(len(body)) {
			return errShortPage
		}
		data = append(data, body[:size]...)
		offsets = append(offsets, int32(len(data)))
		body = body[size:]
	}
	s.data, s.offsets = data, offsets
	s.valid.addValid(n)
	return nil
}

func (s *bytesSink) addMasked(values [][]byte, defs []byte, max uint8) int {
	s.first()
	k := 0
	for _, d := range defs {
		if d == max {
			s.data = append(s.data, values[k]...)
			k++
		}
		s.offsets = append(s.offsets, int32(len(s.data)))
	}
	return s.valid.addLevels(defs, max)
}

func (s *bytesSink) first() {
	if len(s.offsets) == 0 {
		s.offsets = append(s.offsets, 0)
	}
}

func (s *bytesSink) finish(d arrow.DataType) arrow.ArrayData {
	s.first()
	buffers := []*memory.Buffer{s.valid.buffer(), memory.NewBufferBytes(arrow.GetBytes(s.offsets)), memory.NewBufferBytes(s.data)}
	out := array.NewData(d, len(s.offsets)-1, buffers, nil, s.valid.nulls, 0)
	*s = bytesSink{}
	return out
}

// listSink collects lists whose elements another sink collects.
type listSink struct {
	offsets []int32 // one more than closed lists
	valid   validity
}

func (s *listSink) finish(t feature.Type, elements arrow.ArrayData) arrow.ArrayData {
	if len(s.offsets) == 0 {
		s.offsets = []int32{0}
	}
	buffers := []*memory.Buffer{s.valid.buffer(), memory.NewBufferBytes(arrow.GetBytes(s.offsets))}
	out := array.NewData(t.Arrow(), len(s.offsets)-1, buffers, []arrow.ArrayData{elements}, s.valid.nulls, 0)
	*s = listSink{}
	return out
}

// offsetMax is the most that 32-bit offsets of an array can tell.
const offsetMax = math.MaxInt32

// ErrTooMuch is met where an array would have to hold more text than it can or may.
var ErrTooMuch error = errValue("too much text for one batch: read fewer rows at once")

func appendMasked[T any](dst, values []T, defs []byte, max uint8) []T {
	n, k := len(dst), 0
	dst = append(dst, make([]T, len(defs))...)
	out := dst[n:]
	for i, d := range defs {
		if d == max {
			out[i] = values[k]
			k++
		}
	}
	return dst
}

func reserved[T any](s []T, n int) []T {
	n = len(s) + min(n, reserveMax)
	if cap(s) >= n {
		return s
	}
	return append(make([]T, 0, n), s...)
}
