package pointintime

import (
	"context"
	"fmt"
	mathbits "math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/internal/uncleared"
)

// output collects an answer: first what each row finds, then column after column, or some at a time, their values. Shards write to disjoint places of it at once.
type output struct {
	*places
	q       Question
	runs    []Run
	workers int
	stats   *stages.Stats
	shards  []found
	columns []sink // nil: not gathered yet
	a       *Answer
	present func() ([]byte, int) // feature.PresentBits of the answer's rows, when they are settled
}

// sink collects one feature's values: place to[i] of the answer gets row from[i] of values. Calls with disjoint places may run at once.
type sink interface {
	scatter(values arrow.Array, from []int32, to []uint32)
	// settle moves what was collected to its rows, once, before the calls of finish and statuses.
	settle(*places)
	// finish returns the values; rows that are not present hold fallback, or NULL when that is nil.
	finish(fallback any) (arrow.Array, error)
	// nulls tells of each place whose value has been scattered whether it is NULL; nil: none is.
	nulls() []bool
	// statuses returns the status of each row.
	statuses() []feature.Status
}

func newOutput(q Question, runs []Run, opts Options) *output {
	rows := q.Times.Len()
	a := &Answer{Rows: make([]feature.Status, rows)}
	if q.tally == nil || q.tally.withTimes {
		a.EventTimes = valuesOf[feature.Time](q.spare, rows)
		if q.View.HasCreatedTime {
			a.CreatedTimes, a.Known = uncleared.Make[feature.Time](rows), make([]bool, rows)
		}
	}
	o := &output{places: newPlaces(rows, q.spare), q: q, runs: runs, workers: opts.Workers, stats: opts.Stats, columns: make([]sink, len(q.Features)), a: a}
	o.present = sync.OnceValues(func() ([]byte, int) { return feature.PresentBits(a.Rows) })
	if q.View.Windowed() {
		for c := range o.columns {
			o.columns[c] = o.newSink(c)
		}
	}
	return o
}

// feature returns the feature of column c.
func (o *output) feature(c int) *feature.Feature { return &o.q.View.Features[o.q.Features[c]] }

func (o *output) newSink(c int) sink {
	return newSink(o.feature(c).Type, &presence{rows: o.a.Rows, present: o.present, expires: o.q.View.TTL > 0}, o.q.spare)
}

// found notes which rows have a match in m: those of hits, whose places are at the same positions. Those whose values are wanted, which is not when
// the match has expired, it moves to the front of both, and returns how many they are.
func (o *output) found(hits []int32, places []uint32, m *matches, asOf []int64) (wanted int) {
	a := o.a
	for i, s := range hits {
		place, event := places[i], feature.Time(m.events[s])
		a.Rows[place] = feature.Present
		if a.EventTimes != nil {
			a.EventTimes[place] = event
		}
		if a.Known != nil {
			a.CreatedTimes[place], a.Known[place] = feature.Time(m.created[s]), m.known(s, asOf)
		}
		if o.q.View.TTL > 0 && o.q.View.Expired(event, feature.Time(asOf[s])) {
			a.Rows[place] = feature.Expired
			continue
		}
		hits[wanted], places[wanted] = s, place
		wanted++
	}
	return wanted
}

// settle moves what was found from its places to its rows, when all shards have found theirs.
func (o *output) settle() {
	defer o.stats.Start(stages.Join).Stop(0, 0)
	settle(o.places, o.a.Rows, feature.NotFound)
	if o.a.EventTimes != nil {
		settle(o.places, o.a.EventTimes, 0)
	}
	if o.a.Known != nil {
		settle(o.places, o.a.CreatedTimes, 0)
		settle(o.places, o.a.Known, false)
	}
}

// values returns the values of a column that has been gathered, in the order of the rows, once.
func (o *output) values(c int) (arrow.Array, error) {
	defer o.stats.Start(stages.Join).Stop(0, 0)
	o.columns[c].settle(o.places)
	f := o.feature(c)
	values, err := o.columns[c].finish(f.Default)
	if err != nil {
		return nil, fmt.Errorf("view %s, feature %s: %w", o.q.View.Name, f.Name, err)
	}
	return values, nil
}

// answer gathers all columns and returns the answer.
func (o *output) answer(ctx context.Context) (*Answer, error) {
	all := make([]int, len(o.columns))
	for c := range all {
		all[c] = c
	}
	if err := o.gather(ctx, all...); err != nil {
		return nil, err
	}
	o.a.Columns = make([]Column, len(o.columns))
	var group errgroup.Group
	group.SetLimit(o.workers)
	for c, s := range o.columns {
		group.Go(func() error {
			values, err := o.values(c)
			if err != nil {
				return err
			}
			o.a.Columns[c] = Column{Values: values, Statuses: s.statuses()}
			return nil
		})
	}
	return o.a, group.Wait()
}

// presence tells which rows of a column are present: those of the answer, except those whose value is NULL, of which there is
// seldom any.
type presence struct {
	rows    []feature.Status     // of the answer
	present func() ([]byte, int) // feature.PresentBits of rows, when they are settled
	expires bool                 // rows may have places without a value
	first   sync.Once
	any     atomic.Bool // there is null
	null    []bool      // nil: none
}

func (p *presence) setNull(place uint32) {
	p.first.Do(func() {
		p.null = make([]bool, len(p.rows))
		p.any.Store(true)
	})
	p.null[place] = true
}

func (p *presence) nulls() []bool {
	if !p.any.Load() {
		return nil
	}
	return p.null
}

func (p *presence) settle(at *places) {
	if p.null != nil {
		settle(at, p.null, false)
	}
}

// has reports whether row is present.
func (p *presence) has(row int) bool {
	return p.rows[row] == feature.Present && (p.null == nil || !p.null[row])
}

func (p *presence) statuses() []feature.Status {
	if p.null == nil {
		return p.rows
	}
	own := slices.Clone(p.rows)
	for i, null := range p.null {
		if null {
			own[i] = feature.Null
		}
	}
	return own
}

// validity returns the Arrow bitmap of the present rows and the number of others; nil when all are present.
func (p *presence) validity() (*memory.Buffer, int) {
	bits, absent := p.present()
	if p.null != nil {
		bits = slices.Clone(bits)
		for i, null := range p.null {
			if null && p.rows[i] == feature.Present {
				bits[i/8] &^= 1 << (i % 8)
				absent++
			}
		}
	}
	if absent == 0 {
		return nil, 0
	}
	return memory.NewBufferBytes(bits), absent
}

func newSink(t feature.Type, p *presence, spare *spareMemory) sink {
	rows := len(p.rows)
	if t.List {
		return &listSink{t: t, presence: p, piece: make([]int32, rows), at: make([]int32, rows)}
	}
	switch t.Kind {
	case feature.Bool:
		return &boolSink{presence: p, values: make([]bool, rows)}
	case feature.Int32:
		return newFixedSink(t, p, spare, arrow.Int32Traits.CastToBytes, func(a arrow.Array) []int32 { return a.(*array.Int32).Int32Values() })
	case feature.Int64:
		return newFixedSink(t, p, spare, arrow.Int64Traits.CastToBytes, func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() })
	case feature.Float32:
		return newFixedSink(t, p, spare, arrow.Float32Traits.CastToBytes, func(a arrow.Array) []float32 { return a.(*array.Float32).Float32Values() })
	case feature.Float64:
		return newFixedSink(t, p, spare, arrow.Float64Traits.CastToBytes, func(a arrow.Array) []float64 { return a.(*array.Float64).Float64Values() })
	case feature.Timestamp:
		return newFixedSink(t, p, spare, arrow.TimestampTraits.CastToBytes, func(a arrow.Array) []arrow.Timestamp { return a.(*array.Timestamp).TimestampValues() })
	}
	return &textSink{t: t, presence: p, values: make([][]byte, rows)}
}

// fixedSink collects values of a fixed width.
type fixedSink[T fixedWidth] struct {
	*presence
	t      feature.Type
	values []T // of any content where nothing has been found
	bytes  func([]T) []byte
	of     func(arrow.Array) []T
}

func newFixedSink[T fixedWidth](t feature.Type, p *presence, spare *spareMemory, bytes func([]T) []byte, of func(arrow.Array) []T) sink {
	return &fixedSink[T]{p, t, valuesOf[T](spare, len(p.rows)), bytes, of}
}

func (s *fixedSink[T]) scatter(values arrow.Array, from []int32, to []uint32) {
	src := s.of(values)
	if values.NullN() == 0 {
		for i, f := range from {
			s.values[to[i]] = src[f]
		}
		return
	}
	for i, f := range from {
		if values.IsNull(int(f)) {
			s.setNull(to[i])
			continue
		}
		s.values[to[i]] = src[f]
	}
}

func (s *fixedSink[T]) settle(at *places) {
	s.presence.settle(at)
	var nothing T
	settle(at, s.values, nothing)
}

func (s *fixedSink[T]) finish(fallback any) (arrow.Array, error) {
	var valid *memory.Buffer
	var nulls int
	if fallback != nil {
		value, err := fixedDefault[T](fallback)
		if err != nil {
			return nil, err
		}
		for i := range s.values {
			if !s.has(i) {
				s.values[i] = value
			}
		}
	} else if valid, nulls = s.validity(); nulls > 0 && (s.expires || s.null != nil) {
		s.clearAbsent(valid.Bytes())
	}
	data := array.NewData(s.t.Arrow(), len(s.values), []*memory.Buffer{valid, memory.NewBufferBytes(s.bytes(s.values))}, nil, nulls, 0)
	return array.MakeFromData(data), nil
}

// clearAbsent makes zeros of the values of which bits say that they are not there: those of rows that have a place, and no value, have been anything so far.
func (s *fixedSink[T]) clearAbsent(bits []byte) {
	var zero T
	for i, b := range bits {
		for absent := ^b; absent != 0; absent &= absent - 1 {
			if row := 8*i + mathbits.TrailingZeros8(absent); row < len(s.values) {
				s.values[row] = zero
			}
		}
	}
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

// boolSink collects booleans, a byte each, because neighbours in a bitmap may belong to different shards.
type boolSink struct {
	*presence
	values []bool
}

func (s *boolSink) scatter(values arrow.Array, from []int32, to []uint32) {
	src := values.(*array.Boolean)
	for i, f := range from {
		if src.IsNull(int(f)) {
			s.setNull(to[i])
			continue
		}
		s.values[to[i]] = src.Value(int(f))
	}
}

func (s *boolSink) settle(at *places) {
	s.presence.settle(at)
	settle(at, s.values, false)
}

func (s *boolSink) finish(fallback any) (arrow.Array, error) {
	b := array.NewBooleanBuilder(memory.DefaultAllocator)
	b.Reserve(len(s.values))
	for i, v := range s.values {
		if s.has(i) {
			b.UnsafeAppend(v)
		} else if err := feature.AppendValue(b, fallback); err != nil {
			return nil, err
		}
	}
	return b.NewArray(), nil
}

// textSink collects strings and bytes, copied out of the decoded columns so that those can go.
type textSink struct {
	*presence
	t      feature.Type
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
			s.setNull(to[i])
			continue
		}
		start := len(arena)
		switch c := values.(type) {
		case *array.String:
			arena = append(arena, c.Value(int(f))...)
		case *array.Binary:
			arena = append(arena, c.Value(int(f))...)
		}
		s.values[to[i]] = arena[start:len(arena):len(arena)]
	}
}

func (s *textSink) settle(at *places) {
	s.presence.settle(at)
	settle(at, s.values, nil)
}

func (s *textSink) finish(fallback any) (arrow.Array, error) {
	b := array.NewBinaryBuilder(memory.DefaultAllocator, s.t.Arrow().(arrow.BinaryDataType))
	b.Reserve(len(s.values))
	for i, v := range s.values {
		if s.has(i) {
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
	*presence
	t     feature.Type
	piece []int32 // of each row
	at    []int32 // place in the piece

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
		s.piece[t], s.at[t] = piece, int32(i)
		if wanted.IsNull(i) {
			s.setNull(t)
		}
	}
}

func (s *listSink) settle(at *places) {
	s.presence.settle(at)
	settle(at, s.piece, 0)
	settle(at, s.at, 0)
}

func (s *listSink) finish(fallback any) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, s.t.Arrow())
	if err := feature.AppendValue(b, fallback); err != nil { // the last piece: what stands in for NULL
		return nil, err
	}
	for i := range s.rows {
		if !s.has(i) {
			s.piece[i], s.at[i] = int32(len(s.pieces)), 0
		}
	}
	return interleave.Rows(append(s.pieces, b.NewArray()), s.piece, s.at), nil
}
