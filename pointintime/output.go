package pointintime

import (
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
)

// output collects an answer. Shards write disjoint rows of it at once.
type output struct {
	view    *feature.View
	names   []string
	columns []sink
	status  [][]feature.Status
	a       *Answer
}

// sink collects one feature's values: row to[i] of the answer is row from[i] of values, and its status says whether
// that was NULL. Calls with disjoint rows may run at once.
type sink interface {
	scatter(values arrow.Array, from []int32, to []uint32)
	// finish returns the column; rows whose status is not Present hold fallback, or NULL when that is nil.
	finish(fallback any) (arrow.Array, error)
}

func newOutput(q Question, rows int) *output {
	a := &Answer{Found: make([]bool, rows), Expired: make([]bool, rows), EventTimes: make([]feature.Time, rows)}
	if q.View.HasCreatedTime {
		a.CreatedTimes, a.Known = make([]feature.Time, rows), make([]bool, rows)
	}
	o := &output{view: q.View, a: a}
	for _, f := range q.Features {
		status := make([]feature.Status, rows)
		for i := range status {
			status[i] = feature.NotFound
		}
		o.names = append(o.names, q.View.Features[f].Name)
		o.status = append(o.status, status)
		o.columns = append(o.columns, newSink(q.View.Features[f].Type, status))
	}
	return o
}

// found notes that row has the match s of m, and reports whether its values are wanted: not when the match has expired.
func (o *output) found(row int, m matches, s int, asOf feature.Time) bool {
	event := feature.Time(m.events[s])
	o.a.Found[row], o.a.EventTimes[row] = true, event
	if m.created != nil {
		o.a.CreatedTimes[row] = feature.Time(m.created[s])
		o.a.Known[row] = m.created[s] != unknownCreated && feature.Time(m.created[s]) <= asOf
	}
	if !o.view.Expired(event, asOf) {
		return true
	}
	o.a.Expired[row] = true
	for _, status := range o.status {
		status[row] = feature.Expired
	}
	return false
}

func (o *output) answer(q Question) (*Answer, error) {
	o.a.Columns = make([]Column, len(o.columns))
	for c, s := range o.columns {
		values, err := s.finish(q.View.Features[q.Features[c]].Default)
		if err != nil {
			return nil, fmt.Errorf("view %s, feature %s: %w", q.View.Name, o.names[c], err)
		}
		o.a.Columns[c] = Column{Values: values, Statuses: o.status[c]}
	}
	return o.a, nil
}

func newSink(t feature.Type, status []feature.Status) sink {
	if t.List {
		return &listSink{t: t, status: status, piece: make([]int32, len(status)), at: make([]int32, len(status))}
	}
	switch t.Kind {
	case feature.Bool:
		return &boolSink{status: status, values: make([]bool, len(status))}
	case feature.Int32:
		return newFixedSink(t, status, arrow.Int32Traits.CastToBytes, func(a arrow.Array) []int32 { return a.(*array.Int32).Int32Values() })
	case feature.Int64:
		return newFixedSink(t, status, arrow.Int64Traits.CastToBytes, func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() })
	case feature.Float32:
		return newFixedSink(t, status, arrow.Float32Traits.CastToBytes, func(a arrow.Array) []float32 { return a.(*array.Float32).Float32Values() })
	case feature.Float64:
		return newFixedSink(t, status, arrow.Float64Traits.CastToBytes, func(a arrow.Array) []float64 { return a.(*array.Float64).Float64Values() })
	case feature.Timestamp:
		return newFixedSink(t, status, arrow.TimestampTraits.CastToBytes, func(a arrow.Array) []arrow.Timestamp { return a.(*array.Timestamp).TimestampValues() })
	}
	return &textSink{t: t, status: status, values: make([][]byte, len(status))}
}

// fixedSink collects values of a fixed width.
type fixedSink[T any] struct {
	t      feature.Type
	status []feature.Status
	values []T
	bytes  func([]T) []byte
	of     func(arrow.Array) []T
}

func newFixedSink[T any](t feature.Type, status []feature.Status, bytes func([]T) []byte, of func(arrow.Array) []T) sink {
	return &fixedSink[T]{t, status, make([]T, len(status)), bytes, of}
}

func (s *fixedSink[T]) scatter(values arrow.Array, from []int32, to []uint32) {
	src := s.of(values)
	if values.NullN() == 0 {
		for i, f := range from {
			s.values[to[i]] = src[f]
			s.status[to[i]] = feature.Present
		}
		return
	}
	for i, f := range from {
		if values.IsNull(int(f)) {
			s.status[to[i]] = feature.Null
			continue
		}
		s.values[to[i]] = src[f]
		s.status[to[i]] = feature.Present
	}
}

func (s *fixedSink[T]) finish(fallback any) (arrow.Array, error) {
	valid, nulls := []byte(nil), 0
	if fallback != nil {
		value, err := fixedDefault[T](fallback)
		if err != nil {
			return nil, err
		}
		for i, st := range s.status {
			if st != feature.Present {
				s.values[i] = value
			}
		}
	} else {
		valid, nulls = validity(s.status)
	}
	data := array.NewData(s.t.Arrow(), len(s.values), []*memory.Buffer{bitmap(valid), memory.NewBufferBytes(s.bytes(s.values))}, nil, nulls, 0)
	return array.MakeFromData(data), nil
}

// fixedDefault returns a feature's default as the Go type of its column.
func fixedDefault[T any](fallback any) (T, error) {
	if t, ok := fallback.(feature.Time); ok {
		fallback = arrow.Timestamp(t)
	}
	v, ok := fallback.(T)
	if !ok {
		return v, fmt.Errorf("default %v is a %T, not a %T", fallback, fallback, v)
	}
	return v, nil
}

// validity returns the Arrow bitmap of the present rows and the number of others; nil when all are present.
func validity(status []feature.Status) ([]byte, int) {
	bits := make([]byte, (len(status)+7)/8)
	nulls := 0
	for i, st := range status {
		if st == feature.Present {
			bits[i/8] |= 1 << (i % 8)
		} else {
			nulls++
		}
	}
	if nulls == 0 {
		return nil, 0
	}
	return bits, nulls
}

func bitmap(bits []byte) *memory.Buffer {
	if bits == nil {
		return nil
	}
	return memory.NewBufferBytes(bits)
}

// boolSink collects booleans, a byte each, because neighbours in a bitmap may belong to different shards.
type boolSink struct {
	status []feature.Status
	values []bool
}

func (s *boolSink) scatter(values arrow.Array, from []int32, to []uint32) {
	src := values.(*array.Boolean)
	for i, f := range from {
		s.status[to[i]] = feature.Null
		if !src.IsNull(int(f)) {
			s.values[to[i]], s.status[to[i]] = src.Value(int(f)), feature.Present
		}
	}
}

func (s *boolSink) finish(fallback any) (arrow.Array, error) {
	b := array.NewBooleanBuilder(memory.DefaultAllocator)
	b.Reserve(len(s.values))
	for i, v := range s.values {
		if s.status[i] == feature.Present {
			b.UnsafeAppend(v)
		} else if err := feature.AppendValue(b, fallback); err != nil {
			return nil, err
		}
	}
	return b.NewArray(), nil
}

// textSink collects strings and bytes, copied out of the decoded columns so that those can go.
type textSink struct {
	t      feature.Type
	status []feature.Status
	values [][]byte
}

func (s *textSink) scatter(values arrow.Array, from []int32, to []uint32) {
	src := values.(interface {
		arrow.Array
		ValueLen(int) int
	})
	size := 0
	for _, f := range from {
		size += src.ValueLen(int(f))
	}
	arena := make([]byte, 0, size)
	for i, f := range from {
		if src.IsNull(int(f)) {
			s.status[to[i]] = feature.Null
			continue
		}
		start := len(arena)
		switch c := values.(type) {
		case *array.String:
			arena = append(arena, c.Value(int(f))...)
		case *array.Binary:
			arena = append(arena, c.Value(int(f))...)
		}
		s.values[to[i]], s.status[to[i]] = arena[start:len(arena):len(arena)], feature.Present
	}
}

func (s *textSink) finish(fallback any) (arrow.Array, error) {
	b := array.NewBinaryBuilder(memory.DefaultAllocator, s.t.Arrow().(arrow.BinaryDataType))
	b.Reserve(len(s.values))
	for i, v := range s.values {
		if s.status[i] == feature.Present {
			b.Append(v)
		} else if err := feature.AppendValue(b, fallback); err != nil {
			return nil, err
		}
	}
	data := b.NewArray().Data()
	return array.MakeFromData(array.NewData(s.t.Arrow(), data.Len(), data.Buffers(), nil, data.NullN(), 0)), nil
}

// listSink keeps the wanted lists of each call as a piece and puts them in order at the end.
type listSink struct {
	t      feature.Type
	status []feature.Status
	piece  []int32 // of each row
	at     []int32 // place in the piece

	mu     sync.Mutex
	pieces []arrow.Array
}

func (s *listSink) scatter(values arrow.Array, from []int32, to []uint32) {
	wanted := interleave.Rows([]arrow.Array{values}, make([]int32, len(from)), from)
	s.mu.Lock()
	piece := int32(len(s.pieces))
	s.pieces = append(s.pieces, wanted)
	s.mu.Unlock()
	for i, t := range to {
		s.piece[t], s.at[t], s.status[t] = piece, int32(i), feature.Present
		if wanted.IsNull(i) {
			s.status[t] = feature.Null
		}
	}
}

func (s *listSink) finish(fallback any) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, s.t.Arrow())
	if err := feature.AppendValue(b, fallback); err != nil { // the last piece: what stands in for NULL
		return nil, err
	}
	for i, st := range s.status {
		if st != feature.Present {
			s.piece[i], s.at[i] = int32(len(s.pieces)), 0
		}
	}
	return interleave.Rows(append(s.pieces, b.NewArray()), s.piece, s.at), nil
}
