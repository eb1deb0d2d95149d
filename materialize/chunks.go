package materialize

import (
	"context"
	"math"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/source"
)

// ChunkRows is about how many rows of its source one commit of a backfill computes, where the request does not say how long chunks are: a minute's
// work, which is then what an interruption costs.
const ChunkRows = 64 << 20

// chunksMax bounds the commits of a run that was asked for chunks: each snapshot lists what belongs to it.
const chunksMax = 10_000

// Estimate tells beforehand what a run will do to a view.
type Estimate struct {
	View    string
	Ranges  []feature.Range // of event times, in the order in which they will be computed, a commit each
	Stale   []offline.Stale // what of the history is stale
	Rebuild bool
	Rows    int64         // of the source to read, about: row groups that lie only in part in a range count in proportion
	Bytes   int64         // of the source to read, about, of all columns
	Took    time.Duration // about, as the last run went; 0 where none tells
}

// Estimate tells what [Engine.Run] would do with the same request, view by view. It reads the source files' metadata alone, and fails as
// planning does.
func (e *Engine) Estimate(ctx context.Context, views []*definitions.View, r Request) ([]Estimate, error) {
	var estimates []Estimate
	for _, view := range views {
		planned, err := e.plan(ctx, view, r)
		if err != nil {
			return estimates, err
		}
		estimate := Estimate{View: view.Name, Stale: planned.stale, Rebuild: planned.rebuild}
		pieces, err := source.Pieces(ctx, view.Source.Spec, planned.files, feature.Range{From: feature.MinTime, To: feature.MaxTime})
		if err != nil {
			return estimates, err
		}
		for _, s := range planned.steps {
			rows, bytes := amount(pieces, s.rows)
			estimate.Ranges, estimate.Rows, estimate.Bytes = append(estimate.Ranges, s.events), estimate.Rows+rows, estimate.Bytes+bytes
		}
		if done := planned.done; done != nil && done.RowsRead > 0 {
			estimate.Took = time.Duration(float64(done.Took) * float64(estimate.Rows) / float64(done.RowsRead))
		}
		estimates = append(estimates, estimate)
	}
	return estimates, nil
}

// amount returns about how many rows and bytes of pieces have event times in a range, taking those of a piece to be spread evenly.
func amount(pieces []source.Piece, r feature.Range) (rows, bytes int64) {
	for _, p := range pieces {
		if !p.Events.Overlaps(r) {
			continue
		}
		length := func(from, to feature.Time) float64 { return float64(to) - float64(from) + 1 }
		share := length(max(p.Events.From, r.From), min(p.Events.To, r.To)) / length(p.Events.From, p.Events.To)
		rows, bytes = rows+int64(math.Round(share*float64(p.Rows))), bytes+int64(math.Round(share*float64(p.Bytes)))
	}
	return rows, bytes
}

// cutter returns a function that cuts a range into chunks as r asks for, between tiles of view; nil where ranges stay whole. It fails
// with ErrInvalid where there would be too many.
func cutter(view *feature.View, pieces []source.Piece, r Request) (func(feature.Range) []feature.Range, error) {
	if r.Chunk <= 0 && !r.ranged() {
		return nil, nil
	}
	events := feature.Range{From: feature.MaxTime, To: feature.MinTime}
	for _, p := range pieces {
		events = feature.Range{From: min(events.From, p.Events.From), To: max(events.To, p.Events.To)}
	}
	if r.Chunk > 0 && !events.Empty() && float64(events.To)-float64(events.From) > chunksMax*float64(r.Chunk.Microseconds()) {
		return nil, feature.Errorf(feature.ErrInvalid, "view %s: its rows from %s to %s would make more than %d chunks of %s: take longer ones with --chunk", view.Name, events.From, events.To, chunksMax, r.Chunk)
	}
	return func(whole feature.Range) []feature.Range {
		inside := feature.Range{From: max(whole.From, events.From), To: min(whole.To, events.To)}
		if inside.Empty() {
			return []feature.Range{whole}
		}
		ends := evenEnds(pieces, whole, inside)
		if r.Chunk > 0 {
			ends = regularEnds(inside, r.Chunk)
		}
		var chunks []feature.Range
		for _, end := range ends {
			if end = view.TileOf(end).To; whole.From <= end && end < whole.To {
				chunks, whole.From = append(chunks, feature.Range{From: whole.From, To: end}), end+1
			}
		}
		return append(chunks, whole)
	}, nil
}

// regularEnds returns the last instants before the multiples of a length that lie inside.
func regularEnds(inside feature.Range, length time.Duration) (ends []feature.Time) {
	step := feature.Time(length.Microseconds())
	at := inside.From - inside.From%step
	for at <= inside.From {
		at += step
	}
	for ; at <= inside.To; at += step {
		ends = append(ends, at-1)
	}
	return ends
}

// evenEnds returns ends that cut a range into parts of about as many rows, [ChunkRows] at most; inside are the event times that it has.
func evenEnds(pieces []source.Piece, whole, inside feature.Range) (ends []feature.Time) {
	total, _ := amount(pieces, whole)
	parts := (total + ChunkRows - 1) / ChunkRows
	for part := int64(1); part < parts; part++ {
		low, high := inside.From, inside.To
		for low < high {
			mid := low + feature.Time(uint64(high-low)/2)
			if rows, _ := amount(pieces, feature.Range{From: whole.From, To: mid}); rows < total*part/parts {
				low = mid + 1
			} else {
				high = mid
			}
		}
		ends = append(ends, low)
	}
	return ends
}
