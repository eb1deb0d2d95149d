package materialize

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
)

// checkedTiles is how many tiles are checked at once: a dense sketch takes 16 KiB of memory.
const checkedTiles = 512

// CheckTiles returns a function that fails with ErrCorrupt unless rows are tiles as runs of the view store them: on the grid of its
// granularity, with states that fold, and are then stored as the same bytes again. It takes the columns of feature.View.Columns, and is nil for
// a view that stores no tiles.
func CheckTiles(view *feature.View) (func(rows arrow.RecordBatch) error, error) {
	if !view.Windowed() {
		return nil, nil
	}
	specs, err := aggregate.Specs(view.Features)
	if err != nil {
		return nil, err
	}
	return func(rows arrow.RecordBatch) error {
		for from := int64(0); from < rows.NumRows(); from += checkedTiles {
			piece := rows.NewSlice(from, min(from+checkedTiles, rows.NumRows()))
			if err := checkTiles(view, specs, piece, from); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// checkTiles checks tiles, the first of which is row `from` for the message.
func checkTiles(view *feature.View, specs []aggregate.Spec, tiles arrow.RecordBatch, from int64) error {
	n := len(view.Keys)
	events := tiles.Column(n).(*array.Timestamp)
	times := aggregate.Times{Events: make([]int64, events.Len())}
	spans := make([]aggregate.Span, events.Len())
	for i, v := range events.TimestampValues() {
		times.Events[i], spans[i] = int64(v), aggregate.Span{Group: int32(i), From: int32(i), To: int32(i) + 1}
		if end := view.TileOf(feature.Time(v)).To; end != feature.Time(v) {
			return feature.Errorf(feature.ErrCorrupt, "row %d: a tile ends at %s, the nearest end of tiles of %s is %s", from+int64(i), feature.Time(v), view.Granularity, end)
		}
	}
	next := n + 1
	if view.HasCreatedTime {
		times.Created = createdTimes(tiles.Column(next).(*array.Timestamp))
		next++
	}
	for i := range specs {
		stored := tiles.Columns()[next : next+len(specs[i].Columns)]
		next += len(specs[i].Columns)
		states := specs[i].New()
		states.Reset(len(spans))
		err := states.Fold(stored, times, spans)
		var again []arrow.Array
		if err == nil {
			again, err = states.Store()
		}
		if err != nil {
			return feature.Errorf(feature.ErrCorrupt, "rows %d to %d, column %s: %w", from, from+tiles.NumRows()-1, specs[i].Name(), err)
		}
		for c, column := range stored {
			if row := differs(column, again[c]); row >= 0 {
				return feature.Errorf(feature.ErrCorrupt, "row %d, column %s: it has %s, which a run would store as %s", from+int64(row),
					specs[i].Columns[c].Name, valueText(column, row), valueText(again[c], row))
			}
		}
	}
	return nil
}

// differs returns the first row in which two columns of one type are not the same, to the bit; -1: none.
func differs(a, b arrow.Array) int {
	if array.Equal(a, b) {
		return -1
	}
	for i := range a.Len() { // NaNs are not equal, but the same
		if valueText(a, i) != valueText(b, i) {
			return i
		}
	}
	return -1
}
