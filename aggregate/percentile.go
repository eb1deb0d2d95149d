package aggregate

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// percentileFunction is approx_percentile: the value of rank p * (count - 1), rounded down, in ascending order with NaN last, to a
// relative error of the accuracy, by a DDSketch (Masson, Rim, Lee: VLDB 2019). Its bins are never collapsed, so that the result
// does not depend on who has merged what.
func percentileFunction() functionEntry {
	return functionEntry{name: "approx_percentile", parameters: []string{"p", "accuracy"}, call: func(a feature.Aggregation) (*Call, error) {
		if err := needNumber(a.Input.Type); err != nil {
			return nil, err
		}
		if len(a.P) == 0 || slices.ContainsFunc(a.P, func(p float64) bool { return !(p >= 0 && p <= 1) }) {
			return nil, feature.Errorf(feature.ErrInvalid, "needs p, from 0 to 1, not %v", a.P)
		}
		index, err := mapping.NewCubicallyInterpolatedMapping(a.Accuracy)
		if err != nil {
			return nil, feature.Errorf(feature.ErrInvalid, "has an accuracy from 0.001 to 0.2, not %v", a.Accuracy)
		}
		// A column name cannot have a dot: 0.01 is 0_01.
		accuracy := strings.ReplaceAll(strconv.FormatFloat(a.Accuracy, 'f', -1, 64), ".", "_")
		spec := Spec{
			Columns: []feature.Field{{Name: a.Input.Name + "__ddsketch_" + accuracy, Type: feature.Scalar(feature.Bytes)}},
			New:     func() States { return &histograms{index: index} },
		}
		result := feature.Type{Kind: feature.Float64, List: a.PList}
		return &Call{Type: result, Specs: []Spec{spec}, Finish: func(states []States) (arrow.Array, error) {
			return states[0].(*histograms).percentiles(a.P, a.PList), nil
		}}, nil
	}}
}

// bin counts values that are alike. Its key orders bins as their values are ordered.
type bin struct {
	key   int32
	count uint64
}

// The keys of bins: 0 is zero and what is too small to tell from it, the others are middle + index for positive values and its
// negative for negative ones. Indices lie within +-2^20 for accuracies from 0.001 on, so that there are never more bins than that.
const (
	keyNaN    = math.MaxInt32
	keyInf    = keyNaN - 1
	keyMiddle = 1 << 24
)

// histograms are DDSketches: bins in the order of their keys.
type histograms struct {
	index *mapping.CubicallyInterpolatedMapping
	bins  [][]bin
}

func (h *histograms) Reset(n int) { h.bins = zeroed(h.bins, n) }

func (h *histograms) Add(values arrow.Array, _ Times, spans []Span) {
	numbers := realNumbers(values)
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if values.IsValid(int(i)) {
				h.add(int(s.Group), bin{h.keyOf(numbers[i]), 1})
			}
		}
	}
}

// realNumbers returns the values of a numeric column as float64.
func realNumbers(values arrow.Array) []float64 {
	if t, _ := feature.TypeOfArrow(values.DataType()); !isInteger(t) {
		return floats(values)
	}
	wide := make([]float64, values.Len())
	for i, v := range integers(values) {
		wide[i] = float64(v)
	}
	return wide
}

func (h *histograms) keyOf(v float64) int32 {
	magnitude := math.Abs(v)
	key := int32(0)
	switch {
	case v != v:
		return keyNaN
	case math.IsInf(v, 0):
		key = keyInf
	case magnitude >= h.index.MinIndexableValue():
		key = keyMiddle + int32(h.index.Index(min(magnitude, h.index.MaxIndexableValue())))
	}
	if v < 0 {
		return -key
	}
	return key
}

func (h *histograms) valueOf(key int32) float64 {
	magnitude := key
	if key < 0 {
		magnitude = -key
	}
	value := 0.0
	switch magnitude {
	case keyNaN:
		return math.NaN()
	case keyInf:
		value = math.Inf(1)
	case 0:
	default:
		value = h.index.Value(int(magnitude) - keyMiddle)
	}
	if key < 0 {
		return -value
	}
	return value
}

func (h *histograms) add(g int, b bin) {
	bins := h.bins[g]
	at, found := slices.BinarySearchFunc(bins, b, func(x, y bin) int { return cmp.Compare(x.key, y.key) })
	if found {
		bins[at].count += b.count
		return
	}
	h.bins[g] = slices.Insert(bins, at, b)
}

func (h *histograms) Merge(dst int, from States, src int) {
	more := from.(*histograms).bins[src]
	if len(more) < 8 { // a few are searched for
		for _, b := range more {
			h.add(dst, b)
		}
		return
	}
	have := h.bins[dst]
	merged := make([]bin, 0, len(have)+len(more))
	for len(have) > 0 && len(more) > 0 {
		switch a, b := have[0], more[0]; {
		case a.key < b.key:
			merged, have = append(merged, a), have[1:]
		case a.key > b.key:
			merged, more = append(merged, b), more[1:]
		default:
			merged, have, more = append(merged, bin{a.key, a.count + b.count}), have[1:], more[1:]
		}
	}
	h.bins[dst] = append(append(merged, have...), more...)
}

func (h *histograms) percentiles(ps []float64, list bool) arrow.Array {
	if !list {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		for _, bins := range h.bins {
			if len(bins) == 0 {
				b.AppendNull()
			} else {
				b.Append(h.percentile(bins, ps[0]))
			}
		}
		return b.NewArray()
	}
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Float64)
	for _, bins := range h.bins {
		if b.Append(len(bins) > 0); len(bins) == 0 {
			continue
		}
		for _, p := range ps {
			b.ValueBuilder().(*array.Float64Builder).Append(h.percentile(bins, p))
		}
	}
	return b.NewArray()
}

func (h *histograms) percentile(bins []bin, p float64) float64 {
	total := uint64(0)
	for _, b := range bins {
		total += b.count
	}
	rank := uint64(p * float64(total-1))
	for _, b := range bins {
		if rank < b.count {
			return h.valueOf(b.key)
		}
		rank -= b.count
	}
	return h.valueOf(bins[len(bins)-1].key) // p * (total - 1) was rounded up
}

// histogramVersion begins a stored sketch. After it come, as varints, the number of bins, and for each the difference of its key from the
// one before (of the first from 0; signed, zigzag) and its count.
const histogramVersion = 1

func (h *histograms) Store() ([]arrow.Array, error) {
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	var buf []byte
	for _, bins := range h.bins {
		if len(bins) == 0 {
			b.AppendNull()
			continue
		}
		buf = binary.AppendUvarint(append(buf[:0], histogramVersion), uint64(len(bins)))
		last := int64(0)
		for _, bin := range bins {
			buf = binary.AppendVarint(buf, int64(bin.key)-last)
			buf = binary.AppendUvarint(buf, bin.count)
			last = int64(bin.key)
		}
		b.Append(buf)
	}
	return []arrow.Array{b.NewArray()}, nil
}

func (h *histograms) Fold(tiles []arrow.Array, _ Times, spans []Span) error {
	column, ok := tiles[0].(*array.Binary)
	if !ok {
		return wrongColumn(feature.Scalar(feature.Bytes))
	}
	tile := &histograms{index: h.index}
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if column.IsNull(int(i)) {
				continue
			}
			bins, err := h.decode(column.Value(int(i)))
			if err != nil {
				return err
			}
			tile.bins = [][]bin{bins}
			h.Merge(int(s.Group), tile, 0)
		}
	}
	return nil
}

// decode reads a stored sketch; it fails on what Store cannot have written.
func (h *histograms) decode(b []byte) ([]bin, error) {
	damaged := func(what string) ([]bin, error) {
		return nil, feature.Errorf(feature.ErrCorrupt, "a stored sketch of percentiles is damaged: %s", what)
	}
	if len(b) == 0 || b[0] != histogramVersion {
		return damaged("it is not of version " + fmt.Sprint(histogramVersion))
	}
	n, size := binary.Uvarint(b[1:])
	if b = b[1+max(0, size):]; size <= 0 || n == 0 || n > uint64(len(b))/2 {
		return damaged("its number of bins")
	}
	bins := make([]bin, 0, n)
	last := int64(0)
	for range n {
		step, size := binary.Varint(b)
		if size <= 0 || len(bins) > 0 && step <= 0 {
			return damaged("a key")
		}
		count, more := binary.Uvarint(b[size:])
		if more <= 0 || count == 0 {
			return damaged("a count")
		}
		b = b[size+more:]
		if last += step; last != int64(int32(last)) || !h.isKey(int32(last)) {
			return damaged("a key that no value has")
		}
		bins = append(bins, bin{int32(last), count})
	}
	if len(b) > 0 {
		return damaged("bytes after its end")
	}
	return bins, nil
}

// isKey reports whether keyOf gives key for some value.
func (h *histograms) isKey(key int32) bool {
	if key == 0 || key == keyNaN || key == keyInf || key == -keyInf {
		return true
	}
	index := int(max(key, -key)) - keyMiddle
	return index >= h.index.Index(h.index.MinIndexableValue()) && index <= h.index.Index(h.index.MaxIndexableValue())
}
