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

// tiler adds rows up to tiles, of which there is one for each key and stretch of time, or, for an exact view, for each key, event time and, where the
// view has those, created time. The rows of a tile follow each other.
type tiler[K keysort.Ordered] struct {
	view    *feature.View
	created bool // rows have created times
	specs   []aggregate.Spec
	inputs  []int // for each spec, the column of a batch of rows that it takes; -1: the rows themselves
	keysOf  func([]arrow.Array, int) []K
	schema  *arrow.Schema
	states  []aggregate.States
	ids     []tileID[K]      // of the rows at hand, in memory that serves again
	spans   []aggregate.Span // of each tile
}

// tileID tells a tile from others of one view.
type tileID[K keysort.Ordered] struct {
	key     K
	label   int64 // the last instant that the tile includes
	created int64 // unknownCreated where NULL, and where tiles have none
}

// unknownCreated stands for a NULL created time.
const unknownCreated = math.MinInt64

// newTiler returns a tiler that makes tiles of view; rows is the view of the rows.
func newTiler[K keysort.Ordered](view, rows *feature.View, specs []aggregate.Spec, keysOf func([]arrow.Array, int) []K) *tiler[K] {
	t := &tiler[K]{view: view, created: rows.HasCreatedTime, specs: specs, keysOf: keysOf, schema: schemaOf(view)}
	first := len(rows.Columns()) - len(rows.Features)
	for i := range specs {
		t.inputs = append(t.inputs, -1)
		if at := rows.Feature(specs[i].Input); at >= 0 {
			t.inputs[i] = first + at
		}
		t.states = append(t.states, specs[i].New())
	}
	return t
}

func (t *tiler[K]) timesOf(batch arrow.RecordBatch) aggregate.Times {
	n := len(t.view.Keys)
	times := aggregate.Times{Events: keysort.Timestamps(batch.Column(n).(*array.Timestamp))}
	if t.created {
		times.Created = createdTimes(batch.Column(n + 1).(*array.Timestamp))
	}
	return times
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

// tiles returns the tiles of rows.
func (t *tiler[K]) tiles(rows arrow.RecordBatch) ([]arrow.RecordBatch, error) {
	return t.each(rows, func(rows arrow.RecordBatch, ids []tileID[K], spans []aggregate.Span) (arrow.RecordBatch, error) {
		t.add(rows, t.timesOf(rows), spans)
		return t.stored(t.keys(rows, spans), ids)
	})
}

// add makes states of rows.
func (t *tiler[K]) add(rows arrow.RecordBatch, times aggregate.Times, spans []aggregate.Span) {
	for i, s := range t.states {
		var values arrow.Array
		if t.inputs[i] >= 0 {
			values = rows.Column(t.inputs[i])
		}
		s.Reset(len(spans))
		s.Add(values, times, spans)
	}
}

// keys returns the keys of the first rows of spans.
func (t *tiler[K]) keys(rows arrow.RecordBatch, spans []aggregate.Span) []arrow.Array {
	first := make([]uint32, len(spans))
	for i, s := range spans {
		first[i] = uint32(s.From)
	}
	return takenColumns(memory.DefaultAllocator, rows.Columns()[:len(t.view.Keys)], first)
}

// merged returns the tiles that sorted partial tiles make. One that is alone is stored as it is.
func (t *tiler[K]) merged(partial arrow.RecordBatch) ([]arrow.RecordBatch, error) {
	return t.each(partial, func(partial arrow.RecordBatch, ids []tileID[K], spans []aggregate.Span) (arrow.RecordBatch, error) {
		from, row := make([]int32, len(ids)), make([]int32, len(ids))
		var several []aggregate.Span
		var of []tileID[K]
		for i, s := range spans {
			row[i] = s.From
			if s.To > s.From+1 {
				from[i], row[i] = 1, int32(len(several))
				several, of = append(several, aggregate.Span{Group: row[i], From: s.From, To: s.To}), append(of, ids[i])
			}
		}
		if len(several) == 0 {
			partial.Retain()
			return partial, nil
		}
		whole, err := t.folded(partial, several, of)
		if err != nil {
			return nil, err
		}
		columns := make([]arrow.Array, partial.NumCols())
		for c := range columns {
			columns[c] = interleave.Rows([]arrow.Array{partial.Column(c), whole.Column(c)}, from, row)
		}
		return array.NewRecordBatch(t.schema, columns, int64(len(ids))), nil
	})
}

// folded returns the tiles that spans of partial tiles make.
func (t *tiler[K]) folded(partial arrow.RecordBatch, spans []aggregate.Span, ids []tileID[K]) (arrow.RecordBatch, error) {
	times, next := t.timesOf(partial), int(partial.NumCols())-len(t.view.States)
	for i, s := range t.states {
		n := len(t.specs[i].Columns)
		s.Reset(len(spans))
		if err := s.Fold(partial.Columns()[next:next+n], times, spans); err != nil {
			return nil, fmt.Errorf("column %s: %w", t.specs[i].Name(), err)
		}
		next += n
	}
	return t.stored(t.keys(partial, spans), ids)
}

// each returns what do makes of rows, as many at a time as have about sortedBatchRows: it is handed the tiles that they are in, and which rows are in each.
func (t *tiler[K]) each(rows arrow.RecordBatch, do func(rows arrow.RecordBatch, ids []tileID[K], spans []aggregate.Span) (arrow.RecordBatch, error)) (out []arrow.RecordBatch, err error) {
	times, tile, first := t.timesOf(rows), feature.Range{From: 1, To: 0}, 0
	ids, spans := t.ids[:0], t.spans[:0]
	flush := func(end int) error {
		part := rows.NewSlice(int64(first), int64(end))
		defer part.Release()
		made, err := do(part, ids, spans)
		t.ids, t.spans = ids, spans
		out, ids, spans, first = append(out, made), ids[:0], spans[:0], end
		return err
	}
	for row, key := range t.keysOf(rows.Columns()[:len(t.view.Keys)], int(rows.NumRows())) {
		if event := feature.Time(times.Events[row]); !tile.Contains(event) {
			tile = t.view.TileOf(event)
		}
		id := tileID[K]{key: key, label: int64(tile.To), created: unknownCreated}
		if t.view.HasCreatedTime {
			id.created = times.Created[row]
		}
		if last := len(ids) - 1; last >= 0 && id == ids[last] {
			spans[last].To++
			continue
		}
		if row-first >= sortedBatchRows {
			if err := flush(row); err != nil {
				return nil, err
			}
		}
		at := int32(row - first)
		ids, spans = append(ids, id), append(spans, aggregate.Span{Group: int32(len(ids)), From: at, To: at + 1})
	}
	if len(ids) == 0 {
		return nil, nil
	}
	err = flush(int(rows.NumRows()))
	return out, err
}

// stored returns the tiles of the states as they are stored.
func (t *tiler[K]) stored(keys []arrow.Array, ids []tileID[K]) (arrow.RecordBatch, error) {
	columns := append(make([]arrow.Array, 0, t.schema.NumFields()), keys...)
	columns = append(columns, tileTimes(ids, func(id *tileID[K]) int64 { return id.label }))
	if t.view.HasCreatedTime {
		columns = append(columns, tileTimes(ids, func(id *tileID[K]) int64 { return id.created }))
	}
	for i, s := range t.states {
		stored, err := s.Store()
		if err != nil {
			return nil, t.failed(err, t.specs[i].Name(), keys, ids)
		}
		columns = append(columns, stored...)
	}
	return array.NewRecordBatch(t.schema, columns, int64(len(ids))), nil
}

// tileTimes returns one of the times of tiles, NULL where it is unknown.
func tileTimes[K keysort.Ordered](ids []tileID[K], of func(*tileID[K]) int64) arrow.Array {
	times, known := make([]arrow.Timestamp, len(ids)), make([]bool, len(ids))
	for i := range ids {
		if t := of(&ids[i]); t != unknownCreated {
			times[i], known[i] = arrow.Timestamp(t), true
		}
	}
	if !slices.Contains(known, false) {
		known = nil // which takes a builder less
	}
	b := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	b.AppendValues(times, known)
	return b.NewArray()
}

// failed says which tile does not fit its columns.
func (t *tiler[K]) failed(err error, column string, keys []arrow.Array, ids []tileID[K]) error {
	var overflow *aggregate.OverflowError
	if !errors.As(err, &overflow) {
		return fmt.Errorf("column %s: %w", column, err)
	}
	id := ids[overflow.Group]
	return feature.Errorf(feature.ErrInvalid, "column %s, %s, window %s: %w; take a sum of doubles, with expr: cast(... as double)",
		column, feature.KeyText(t.view.Keys, keys, overflow.Group), t.view.TileOf(feature.Time(id.label)), err)
}
