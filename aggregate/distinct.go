package aggregate

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/axiomhq/hyperloglog"

	"github.com/asof-store/asof/feature"
)

// distinctFunction is approx_count_distinct: how many different values there are, by HyperLogLog with 2^precision registers (Flajolet
// et al. 2007; sparse as in Heule et al. 2013), to a relative error of about 1.04 / 2^(precision/2).
func distinctFunction() functionEntry {
	return functionEntry{name: "approx_count_distinct", parameters: []string{"precision"}, call: func(a feature.Aggregation) (*Call, error) {
		if err := needScalar(a.Input.Type); err != nil {
			return nil, err
		}
		if _, err := hyperloglog.NewSketch(uint8(a.Precision), true); err != nil || a.Precision > math.MaxUint8 {
			return nil, feature.Errorf(feature.ErrInvalid, "has a precision from 4 to 16, not %d", a.Precision)
		}
		spec := Spec{
			Columns: []feature.Field{{Name: fmt.Sprintf("%s__hll_%d", a.Input.Name, a.Precision), Type: feature.Scalar(feature.Bytes)}},
			New:     func() States { return &distincts{precision: uint8(a.Precision)} },
		}
		return &Call{Type: feature.Scalar(feature.Int64), Specs: []Spec{spec}, Empty: int64(0), Finish: func(states []States) (arrow.Array, error) {
			sketches := states[0].(*distincts).sketches
			counts := make([]int64, len(sketches))
			for i, s := range sketches {
				if s != nil {
					counts[i] = int64(s.Estimate())
				}
			}
			return int64s(counts), nil
		}}, nil
	}}
}

// distincts are HyperLogLog sketches; nil is an empty one.
type distincts struct {
	precision uint8
	sketches  []*hyperloglog.Sketch
}

func (d *distincts) Reset(n int) { d.sketches = zeroed(d.sketches, n) }

// of returns the sketch of group g, making it if need be.
func (d *distincts) of(g int) *hyperloglog.Sketch {
	if d.sketches[g] == nil {
		d.sketches[g] = d.empty()
	}
	return d.sketches[g]
}

func (d *distincts) empty() *hyperloglog.Sketch {
	s, err := hyperloglog.NewSketch(d.precision, true)
	if err != nil {
		panic("aggregate: a precision that was checked is refused: " + err.Error())
	}
	return s
}

func (d *distincts) Add(values arrow.Array, _ Times, spans []Span) {
	bytesOf := canonicalBytes(values)
	for _, span := range spans {
		for i := span.From; i < span.To; i++ {
			if values.IsValid(int(i)) {
				d.of(int(span.Group)).Insert(bytesOf(int(i)))
			}
		}
	}
}

// canonicalBytes returns the bytes by which the values of a column are told apart: numbers that are equal have the same. The bytes
// are good until the next call.
func canonicalBytes(values arrow.Array) func(i int) []byte {
	buf := make([]byte, 8)
	number := func(v uint64) []byte {
		binary.BigEndian.PutUint64(buf, v)
		return buf
	}
	real := func(v float64) []byte {
		if v != v {
			v = math.NaN()
		}
		return number(math.Float64bits(v + 0)) // -0 + 0 is 0
	}
	switch c := values.(type) {
	case *array.Boolean:
		return func(i int) []byte {
			if c.Value(i) {
				return number(1)
			}
			return number(0)
		}
	case *array.Int32:
		return func(i int) []byte { return number(uint64(c.Value(i))) }
	case *array.Int64:
		return func(i int) []byte { return number(uint64(c.Value(i))) }
	case *array.Timestamp:
		return func(i int) []byte { return number(uint64(c.Value(i))) }
	case *array.Float32:
		return func(i int) []byte { return real(float64(c.Value(i))) }
	case *array.Float64:
		return func(i int) []byte { return real(c.Value(i)) }
	case *array.String:
		return func(i int) []byte { return append(buf[:0], c.Value(i)...) }
	case *array.Binary:
		return c.Value
	}
	panic("aggregate: no scalar has columns of " + values.DataType().String())
}

func (d *distincts) Fold(tiles []arrow.Array, _ Times, spans []Span) error {
	column, ok := tiles[0].(*array.Binary)
	if !ok {
		return wrongColumn(feature.Scalar(feature.Bytes))
	}
	for _, span := range spans {
		for i := span.From; i < span.To; i++ {
			if column.IsNull(int(i)) {
				continue
			}
			if err := d.fold(int(span.Group), column.Value(int(i))); err != nil {
				return err
			}
		}
	}
	return nil
}

// fold merges a stored sketch into group g.
func (d *distincts) fold(g int, stored []byte) error {
	var tile hyperloglog.Sketch
	if err := tile.UnmarshalBinary(stored); err != nil {
		return feature.Errorf(feature.ErrCorrupt, "a stored sketch is damaged: %w", err)
	}
	if stored[1] != d.precision {
		return feature.Errorf(feature.ErrCorrupt, "a stored sketch is of precision %d, not %d", stored[1], d.precision)
	}
	if d.sketches[g] == nil {
		d.sketches[g] = &tile
		return nil
	}
	if err := d.sketches[g].Merge(&tile); err != nil {
		return feature.Errorf(feature.ErrCorrupt, "a stored sketch does not merge: %w", err)
	}
	return nil
}

func (d *distincts) Merge(dst int, from States, src int) {
	s := from.(*distincts).sketches[src]
	if s == nil {
		return
	}
	if err := d.of(dst).Merge(s); err != nil {
		panic("aggregate: sketches of one precision do not merge: " + err.Error())
	}
}

func (d *distincts) Store() ([]arrow.Array, error) {
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	for _, s := range d.sketches {
		if s == nil {
			b.AppendNull()
			continue
		}
		s.Estimate() // brings it into the form that depends on its values alone
		stored, err := s.MarshalBinary()
		if err != nil {
			return nil, feature.Errorf(feature.ErrInternal, "storing a sketch: %w", err)
		}
		b.Append(stored)
	}
	return []arrow.Array{b.NewArray()}, nil
}
