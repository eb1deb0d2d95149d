package materialize

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/internal/keysort"
)

// tiler adds sorted rows up to tiles: one for each key and tile of time, or, for an exact view, for each key, event time and, where
// the view has those, created time.
type tiler interface {
	// add takes the next sorted rows.
	add(rows arrow.RecordBatch) error
	// finish yields what is left.
	finish() error
}

// tilesOf returns the tiles of view that sorted rows make, sorted; rows is the view of the rows. No tile has rows elsewhere.
func tilesOf(view, rows *feature.View, batch arrow.RecordBatch) (tiles []arrow.RecordBatch, err error) {
	t, err := newTiler(view, rows, func(batch arrow.RecordBatch) error {
		tiles = append(tiles, batch)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for from := int64(0); from < batch.NumRows(); from += sortedBatchRows {
		if err := t.add(batch.NewSlice(from, min(from+sortedBatchRows, batch.NumRows()))); err != nil {
			return nil, err
		}
	}
	return tiles, t.finish()
}

// newTiler returns a tiler that yields the tiles of view, sorted, in batches; rows is the view of the rows that it takes.
func newTiler(view, rows *feature.View, yield func(arrow.RecordBatch) error) (tiler, error) {
	if keysort.UsesInts(view.Keys) {
		return newTilerOf(view, rows, keysort.IntKeys, yield)
	}
	return newTilerOf(view, rows, keysort.TextKeys, yield)
}

// tilerOf is a tiler of keys that are compared as K. The rows of a tile follow each other, so that of the tiles in a batch only the
// last can go on in the next one.
type tilerOf[K keysort.Ordered] struct {
	view    *feature.View
	created bool // rows have created times
	specs   []aggregate.Spec
	inputs  []int // for each spec, the column of a batch of rows that it takes; -1: the rows themselves
	keysOf  func([]arrow.Array, int) []K
	schema  *arrow.Schema
	yield   func(arrow.RecordBatch) error

	done []aggregate.States // of the tiles that a batch completes
	last []aggregate.States // of the tile that may go on
	head *tileHead[K]       // of that tile; nil before the first row
}

// tileID tells a tile from others of one view.
type tileID[K keysort.Ordered] struct {
	key     K
	label   int64 // the last instant that the tile includes
	created int64 // unknownCreated where NULL, and where tiles have none
}

// unknownCreated stands for a NULL created time.
const unknownCreated = math.MinInt64

// tileHead is a tile's id with its key as columns of one row.
type tileHead[K keysort.Ordered] struct {
	tileID[K]
	keys []arrow.Array
}

func newTilerOf[K keysort.Ordered](view, rows *feature.View, keysOf func([]arrow.Array, int) []K, yield func(arrow.RecordBatch) error) (tiler, error) {
	specs, err := aggregate.Specs(view.Features)
	if err != nil {
		return nil, err
	}
	t := &tilerOf[K]{view: view, created: rows.HasCreatedTime, specs: specs, keysOf: keysOf, schema: schemaOf(view), yield: yield}
	first := len(rows.Columns()) - len(rows.Features)
	for i := range specs {
		t.inputs = append(t.inputs, -1)
		if at := rows.Feature(specs[i].Input); at >= 0 {
			t.inputs[i] = first + at
		}
		t.done, t.last = append(t.done, specs[i].New()), append(t.last, specs[i].New())
	}
	return t, nil
}

// tileRows are the rows of a batch.
type tileRows[K keysort.Ordered] struct {
	batch arrow.RecordBatch
	keys  []K
	times aggregate.Times
}

func (t *tilerOf[K]) rowsOf(batch arrow.RecordBatch) tileRows[K] {
	n := len(t.view.Keys)
	r := tileRows[K]{batch: batch, keys: t.keysOf(batch.Columns()[:n], int(batch.NumRows()))}
	r.times.Events = keysort.Timestamps(batch.Column(n).(*array.Timestamp))
	if t.created {
		r.times.Created = createdTimes(batch.Column(n + 1).(*array.Timestamp))
	}
	return r
}

// createdTimes returns created times, unknownCreated where NULL.
func createdTimes(column *array.Timestamp) []int64 {
	times := keysort.Timestamps(column)
	if column.NullN() == 0 {
		return times
	}
	times = slices.Clone(times)
	for i := range times {
		if column.IsNull(i) {
			times[i] = unknownCreated
		}
	}
	return times
}

func (t *tilerOf[K]) idOf(r tileRows[K], row int) tileID[K] {
	id := tileID[K]{key: r.keys[row], label: int64(t.view.TileOf(feature.Time(r.times.Events[row])).To), created: unknownCreated}
	if t.view.HasCreatedTime {
		id.created = r.times.Created[row]
	}
	return id
}

func (t *tilerOf[K]) add(batch arrow.RecordBatch) error {
	r := t.rowsOf(batch)
	var starts []int32 // rows that begin a tile
	var ids []tileID[K]
	var at tileID[K]
	if t.head != nil {
		at = t.head.tileID
	}
	for row := range len(r.keys) {
		id := t.idOf(r, row)
		if id == at && (t.head != nil || row > 0) {
			continue
		}
		starts, ids, at = append(starts, int32(row)), append(ids, id), id
	}
	if len(starts) == 0 {
		t.take(t.last, r, []aggregate.Span{{To: int32(len(r.keys))}})
		return nil
	}
	if err := t.complete(r, starts, ids); err != nil {
		return err
	}
	final := len(starts) - 1
	t.head = &tileHead[K]{tileID: ids[final]}
	for _, column := range batch.Columns()[:len(t.view.Keys)] {
		t.head.keys = append(t.head.keys, array.NewSlice(column, int64(starts[final]), int64(starts[final])+1))
	}
	reset(t.last, 1)
	t.take(t.last, r, []aggregate.Span{{From: starts[final], To: int32(len(r.keys))}})
	return nil
}

// complete yields the tile that was open and all but the last of those that begin at starts.
func (t *tilerOf[K]) complete(r tileRows[K], starts []int32, ids []tileID[K]) error {
	var spans []aggregate.Span
	var from []int32 // 0: the open tile's head, 1: the batch
	var row []int32
	if t.head != nil {
		ids = append([]tileID[K]{t.head.tileID}, ids...)
		spans, from, row = append(spans, aggregate.Span{To: starts[0]}), append(from, 0), append(row, 0)
	}
	for i, start := range starts[:len(starts)-1] {
		spans = append(spans, aggregate.Span{Group: int32(len(spans)), From: start, To: starts[i+1]})
		from, row = append(from, 1), append(row, start)
	}
	if len(spans) == 0 {
		return nil
	}
	reset(t.done, len(spans))
	if t.head != nil {
		for i := range t.done {
			t.done[i].Merge(0, t.last[i], 0)
		}
	}
	t.take(t.done, r, spans)
	keys := make([]arrow.Array, len(t.view.Keys))
	for i := range keys {
		sources := []arrow.Array{r.batch.Column(i), r.batch.Column(i)}
		if t.head != nil {
			sources[0] = t.head.keys[i]
		}
		keys[i] = interleave.Rows(sources, from, row)
	}
	return t.emit(keys, ids[:len(spans)], t.done)
}

func reset(states []aggregate.States, groups int) {
	for _, s := range states {
		s.Reset(groups)
	}
}

// take adds rows to states.
func (t *tilerOf[K]) take(states []aggregate.States, r tileRows[K], spans []aggregate.Span) {
	for i, s := range states {
		var values arrow.Array
		if t.inputs[i] >= 0 {
			values = r.batch.Column(t.inputs[i])
		}
		s.Add(values, r.times, spans)
	}
}

// emit yields tiles.
func (t *tilerOf[K]) emit(keys []arrow.Array, ids []tileID[K], states []aggregate.States) error {
	columns := slices.Clone(keys)
	times := func(of func(tileID[K]) int64) arrow.Array {
		b := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
		b.Reserve(len(ids))
		for _, id := range ids {
			if v := of(id); v != unknownCreated {
				b.UnsafeAppend(arrow.Timestamp(v))
			} else {
				b.UnsafeAppendBoolToBitmap(false)
			}
		}
		return b.NewArray()
	}
	columns = append(columns, times(func(id tileID[K]) int64 { return id.label }))
	if t.view.HasCreatedTime {
		columns = append(columns, times(func(id tileID[K]) int64 { return id.created }))
	}
	for i, s := range states {
		stored, err := s.Store()
		if err != nil {
			return t.failed(err, t.specs[i].Name(), keys, ids)
		}
		columns = append(columns, stored...)
	}
	return t.yield(array.NewRecordBatch(t.schema, columns, int64(len(ids))))
}

// failed says which tile does not fit its columns.
func (t *tilerOf[K]) failed(err error, column string, keys []arrow.Array, ids []tileID[K]) error {
	var overflow *aggregate.OverflowError
	if !errors.As(err, &overflow) {
		return fmt.Errorf("column %s: %w", column, err)
	}
	id := ids[overflow.Group]
	return feature.Errorf(feature.ErrInvalid, "column %s, %s, window %s: %w; take a sum of doubles, with expr: cast(... as double)",
		column, feature.KeyText(t.view.Keys, keys, overflow.Group), t.view.TileOf(feature.Time(id.label)), err)
}

func (t *tilerOf[K]) finish() error {
	if t.head == nil {
		return nil
	}
	return t.emit(t.head.keys, []tileID[K]{t.head.tileID}, t.last)
}
