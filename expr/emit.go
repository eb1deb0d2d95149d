package expr

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// sink collects vectors into one Arrow array. NULL rows hold zero values, so that equal results are equal bytes.
type sink struct {
	typ      feature.Type
	rows     int
	nulls    int
	valid    bitmap
	bits     bitmap  // values of bools
	values   any     // values of numbers and timestamps: []int32, []int64, []float32 or []float64
	offsets  []int32 // of texts and lists
	text     []byte
	elements *sink // of lists
}

func newSink(t feature.Type, rows int) *sink {
	s := &sink{typ: t, valid: newBitmap(rows)[:0]}
	switch physicalOf(t) {
	case physicalBits:
		s.bits = newBitmap(rows)[:0]
	case physicalInt32:
		s.values = make([]int32, 0, rows)
	case physicalInt64:
		s.values = make([]int64, 0, rows)
	case physicalFloat32:
		s.values = make([]float32, 0, rows)
	case physicalFloat64:
		s.values = make([]float64, 0, rows)
	case physicalString:
		s.offsets = append(make([]int32, 0, rows+1), 0)
	case physicalList:
		s.offsets = append(make([]int32, 0, rows+1), 0)
		s.elements = newSink(feature.Scalar(t.Kind), rows)
	}
	return s
}

// append adds the rows [from, to) of v.
func (s *sink) append(v *vector, from, to int) error {
	if from == to {
		return nil
	}
	nulls := s.nulls
	s.valid = appendBits(s.valid, s.rows, v.valid, from, to)
	s.nulls += to - from - v.valid.count(from, to)
	zero := s.nulls > nulls
	s.rows += to - from
	switch data := v.data.(type) {
	case bitmap:
		s.bits = appendBits(s.bits, s.rows-(to-from), data, from, to)
	case []int32:
		s.values = appendValues(s.values.([]int32), data[from:to], v.valid, from, zero)
	case []int64:
		s.values = appendValues(s.values.([]int64), data[from:to], v.valid, from, zero)
	case []float32:
		s.values = appendValues(s.values.([]float32), data[from:to], v.valid, from, zero)
	case []float64:
		s.values = appendValues(s.values.([]float64), data[from:to], v.valid, from, zero)
	case []string:
		return s.appendTexts(data[from:to], v.valid, from)
	case []list:
		return s.appendLists(data[from:to], v.valid, from)
	}
	return nil
}

// appendBits appends the bits [from, to) of b to those that dst holds.
func appendBits(dst bitmap, held int, b bitmap, from, to int) bitmap {
	if held&63 == 0 && from == 0 {
		return append(dst, b[:(to+63)/64]...)
	}
	for i := from; i < to; i, held = i+1, held+1 {
		if held&63 == 0 {
			dst = append(dst, 0)
		}
		if b.get(i) {
			dst.set(held)
		} else {
			dst.clear(held)
		}
	}
	return dst
}

func appendValues[T any](dst, values []T, valid bitmap, from int, zero bool) []T {
	held := len(dst)
	dst = append(dst, values...)
	if zero {
		var null T
		valid.eachClear(from, from+len(values), func(i int) { dst[held+i-from] = null })
	}
	return dst
}

func (s *sink) appendTexts(values []string, valid bitmap, from int) error {
	for i, v := range values {
		if valid.get(from + i) {
			s.text = append(s.text, v...)
		}
		if len(s.text) > math.MaxInt32 {
			return tooLarge(s.typ)
		}
		s.offsets = append(s.offsets, int32(len(s.text)))
	}
	return nil
}

func (s *sink) appendLists(values []list, valid bitmap, from int) error {
	for i, v := range values {
		if valid.get(from + i) {
			if err := s.elements.append(v.of, v.from, v.to); err != nil {
				return err
			}
		}
		if s.elements.rows > math.MaxInt32 {
			return tooLarge(s.typ)
		}
		s.offsets = append(s.offsets, int32(s.elements.rows))
	}
	return nil
}

func tooLarge(t feature.Type) error {
	return feature.Errorf(feature.ErrInvalid, "the %s values of an expression exceed 2 GiB in one batch: use smaller batches", t)
}

// data returns what was collected as Arrow data.
func (s *sink) data() arrow.ArrayData {
	buffers := []*memory.Buffer{nil}
	if k := s.rows & 63; k > 0 {
		s.valid[len(s.valid)-1] &= 1<<k - 1
	}
	if s.nulls > 0 {
		buffers[0] = bufferOf([]uint64(s.valid))
	}
	var children []arrow.ArrayData
	switch values := s.values.(type) {
	case []int32:
		buffers = append(buffers, bufferOf(values))
	case []int64:
		buffers = append(buffers, bufferOf(values))
	case []float32:
		buffers = append(buffers, bufferOf(values))
	case []float64:
		buffers = append(buffers, bufferOf(values))
	default:
		switch physicalOf(s.typ) {
		case physicalBits:
			s.bits.and(s.bits, s.valid)
			buffers = append(buffers, bufferOf([]uint64(s.bits)))
		case physicalString:
			buffers = append(buffers, bufferOf(s.offsets), memory.NewBufferBytes(s.text))
		case physicalList:
			buffers = append(buffers, bufferOf(s.offsets))
			children = []arrow.ArrayData{s.elements.data()}
		}
	}
	return array.NewData(s.typ.Arrow(), s.rows, buffers, children, s.nulls, 0)
}

// bufferOf returns the memory of values as an Arrow buffer; words of bits lie as Arrow wants them on little-endian machines,
// the only ones that Arrow for Go shares memory on.
func bufferOf[T arrow.FixedWidthType](values []T) *memory.Buffer {
	return memory.NewBufferBytes(arrow.GetBytes(values))
}
