package materialize

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
)

// TestChunks cuts random ranges of random pieces: the chunks follow each other without a gap, end with tiles, and hold no more time, or about
// no more rows, than they may.
func TestChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := &feature.View{Granularity: time.Duration(rapid.SampledFrom([]int{0, 10}).Draw(t, "granularity")) * time.Microsecond}
		var pieces []source.Piece
		events := feature.Range{From: feature.MaxTime, To: feature.MinTime}
		for range rapid.IntRange(1, 6).Draw(t, "pieces") {
			from := feature.Time(rapid.IntRange(-5000, 5000).Draw(t, "from"))
			pieces = append(pieces, source.Piece{Events: feature.Range{From: from, To: from + feature.Time(rapid.IntRange(1000, 5000).Draw(t, "length"))},
				Rows: int64(rapid.IntRange(0, 4).Draw(t, "rows")) * ChunkRows})
			last := pieces[len(pieces)-1].Events
			events = feature.Range{From: min(events.From, last.From), To: max(events.To, last.To)}
		}
		whole := feature.Range{From: feature.Time(rapid.IntRange(-6000, 0).Draw(t, "whole from")), To: feature.Time(rapid.IntRange(0, 9000).Draw(t, "whole to"))}
		if rapid.IntRange(0, 4).Draw(t, "from the beginning") == 0 {
			whole.From = feature.MinTime
		}
		r := Request{From: &whole.From, Chunk: time.Duration(rapid.SampledFrom([]int{0, 0, 7, 100, 2500}).Draw(t, "chunk")) * time.Microsecond}
		cut, err := cutter(view, pieces, r)
		if err != nil {
			t.Fatal(err)
		}
		next, total := whole.From, int64(0)
		chunks := cut(whole)
		for i, c := range chunks {
			last := i == len(chunks)-1
			if c.From != next || c.Empty() || !last && view.TileOf(c.To).To != c.To {
				t.Fatalf("chunk %d of %v is %v", i, chunks, c)
			}
			next = c.To + 1
			rows, _ := amount(pieces, c)
			total += rows
			// The time before all events and after them, which belongs to the first chunk and the last, does not count.
			length := min(c.To, events.To) - max(c.From, events.From)
			if long := r.Chunk.Microseconds() + view.Granularity.Microseconds(); r.Chunk > 0 && int64(length) >= long {
				t.Fatalf("chunk %d, %v, is longer than %s", i, c, r.Chunk)
			}
			// An instant has up to a thousandth of a piece's rows, a tile ten.
			if slack := int64(len(pieces)) * 4 * ChunkRows / 40; r.Chunk == 0 && rows > ChunkRows+slack {
				t.Fatalf("chunk %d, %v, has %d rows", i, c, rows)
			}
		}
		if next != whole.To+1 {
			t.Fatalf("the chunks of %v end at %v", whole, next-1)
		}
		all, _ := amount(pieces, whole)
		if diff := total - all; diff > int64(len(chunks)*len(pieces)) || -diff > int64(len(chunks)*len(pieces)) {
			t.Fatalf("the chunks have %d rows, all together %d", total, all)
		}
		if wanted := (all + ChunkRows - 1) / ChunkRows; r.Chunk == 0 && int64(len(chunks)) > max(1, wanted) {
			t.Fatalf("%d rows make %d chunks", all, len(chunks))
		}
	})
}
