package pointintime

import (
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/offline"
)

// TestBlocks puts sorted rows of a key of two parts, of which some come in runs, into blocks, and looks for the rows of some keys.
func TestBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pair struct{ region, id int64 }
		var rows []pair
		for range rapid.IntRange(0, 60).Draw(t, "rows") {
			rows = append(rows, pair{rapid.Int64Range(0, 3).Draw(t, "region"), rapid.Int64Range(0, 5).Draw(t, "id")})
		}
		slices.SortFunc(rows, func(a, b pair) int { return int(a.region-b.region)*10 + int(a.id-b.id) })
		part := func(of func(pair) int64) offline.Runs {
			inRuns, values := rapid.Bool().Draw(t, "in runs"), array.NewInt64Builder(memory.DefaultAllocator)
			var ends []int32
			for i, r := range rows {
				if !inRuns || i == 0 || of(r) != of(rows[i-1]) {
					values.Append(of(r))
					if i > 0 {
						ends = append(ends, int32(i))
					}
				}
			}
			if !inRuns {
				return offline.Runs{Values: values.NewArray()}
			}
			return offline.Runs{Values: values.NewArray(), Ends: append(ends, int32(len(rows)))}
		}
		parts := []offline.Runs{part(func(p pair) int64 { return p.region }), part(func(p pair) int64 { return p.id })}
		b := blocksOf(parts, len(rows), keysort.TextKeys)
		column := func(of func(pair) int64) arrow.Array {
			values := array.NewInt64Builder(memory.DefaultAllocator)
			for _, r := range rows {
				values.Append(of(r))
			}
			return values.NewArray()
		}
		want := keysort.TextKeys([]arrow.Array{column(func(p pair) int64 { return p.region }), column(func(p pair) int64 { return p.id })}, len(rows))
		if got := unfold(b); !slices.Equal(got, want) || !slices.IsSorted(b.keys) || len(slices.Compact(slices.Clone(b.keys))) != len(b.keys) {
			t.Fatalf("keys %q in blocks to %v, want rows of %q", b.keys, b.ends, want)
		}
		checkNear(t, b, want)
	})
}

func unfold(b blocks[string]) (keys []string) {
	for i, key := range b.keys {
		for range int(b.ends[i]) - b.begin(i) {
			keys = append(keys, key)
		}
	}
	return keys
}

// checkNear looks for some of the keys of rows, which were read from spans that lie apart between keys.
func checkNear(t *rapid.T, b blocks[string], rows []string) {
	var spans []offline.Span
	at := 0 // in the run
	place := make([]int, len(rows))
	for i, key := range rows {
		if i == 0 || key != rows[i-1] && rapid.Bool().Draw(t, "apart") {
			at += rapid.IntRange(1, 5).Draw(t, "gap")
			spans = append(spans, offline.Span{From: at, To: at})
		}
		place[i] = at
		at++
		spans[len(spans)-1].To = at
	}
	var asked []string
	var want []int
	for i, key := range rows {
		if i == 0 || key != rows[i-1] {
			for range rapid.IntRange(0, 2).Draw(t, "asked") {
				asked = append(asked, key)
			}
		}
		if slices.Contains(asked, key) {
			want = append(want, place[i])
		}
	}
	near, read := b.near(asked, spans)
	var got []int
	for i, s := range read {
		if i > 0 && s.From <= read[i-1].To {
			t.Fatalf("spans %v do not lie apart", read)
		}
		for row := s.From; row < s.To; row++ {
			got = append(got, row)
		}
	}
	if !slices.Equal(got, want) || !slices.Equal(near.keys, slices.Compact(asked)) || len(unfold(near)) != len(got) {
		t.Fatalf("of %q in %v, rows %v of %q are near %q, want %v", rows, spans, got, near.keys, asked, want)
	}
}
