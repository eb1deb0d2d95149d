package materialize

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// TestTileGroupsAgreeWithSorting gives random rows to groups that have had others before, and expects those that a stable sort by key and tile makes: in that order
// where places are counted, and else in that of their first rows.
func TestTileGroupsAgreeWithSorting(t *testing.T) {
	view := &feature.View{Granularity: 10 * time.Microsecond}
	seen := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		view.StrictlyBefore = rapid.Bool().Draw(t, "strictly before")
		g := newTileGroups[int64](view)
		for range 2 {
			h := randomTileHead(t)
			g.number(h)
			tile := func(row uint32) int64 { return int64(view.TileOf(feature.Time(h.Events[row])).To) }
			checkGroups(t, g, h, tile)
			keys := slices.Compact(slices.Sorted(slices.Values(h.Keys)))
			if len(g.keys.values) != len(keys) {
				t.Fatalf("%d keys are numbered, want %d", len(g.keys.values), len(keys))
			}
			sorted := slices.IsSortedFunc(g.spans, func(a, b aggregate.Span) int {
				x, y := g.order[a.From], g.order[b.From]
				return cmp.Or(cmp.Compare(h.Keys[x], h.Keys[y]), cmp.Compare(tile(x), tile(y)))
			})
			came := slices.IsSortedFunc(g.spans, func(a, b aggregate.Span) int { return cmp.Compare(g.order[a.From], g.order[b.From]) })
			if !sorted && !came {
				t.Fatalf("groups come neither in the order of keys and tiles nor in that of their first rows: %v", g.order)
			}
			if dense := len(g.next) > len(g.pairs.values); dense && !sorted {
				t.Fatalf("groups of %d places are not in the order of keys and tiles", len(g.next))
			}
			seen[sorted]++
			g.apart(h)
			for i, s := range g.spans {
				if s.Group != int32(i) || s.From != int32(i) || s.To != int32(i+1) || g.order[i] != uint32(i) || g.labels[i] != tile(uint32(i)) {
					t.Fatalf("apart, row %d is in group %d, rows %d to %d of %v, of the tile %d", i, s.Group, s.From, s.To, g.order, g.labels[i])
				}
			}
			if len(g.spans) != len(h.Keys) {
				t.Fatalf("apart, %d rows make %d groups", len(h.Keys), len(g.spans))
			}
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("groups were sorted %d times, and not %d times", seen[true], seen[false])
	}
}

// randomTileHead returns rows, at times close to each other or from all of time.
func randomTileHead(t *rapid.T) (h keysort.Head[int64]) {
	event := rapid.Int64Range(-60, 60)
	if rapid.Bool().Draw(t, "all of time") {
		event = rapid.OneOf(event, rapid.Int64Range(math.MinInt64+100, math.MaxInt64))
	}
	key := rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 7, 8, math.MaxInt64})
	for range rapid.IntRange(1, 60).Draw(t, "rows") {
		h.Keys, h.Events = append(h.Keys, key.Draw(t, "key")), append(h.Events, event.Draw(t, "event"))
	}
	return h
}

// checkGroups fails unless each group has all rows of one key and tile, in the order in which they came, and the label of the tile.
func checkGroups(t *rapid.T, g *tileGroups[int64], h keysort.Head[int64], tile func(row uint32) int64) {
	groups := map[[2]int64][]uint32{}
	for row, key := range h.Keys {
		id := [2]int64{key, tile(uint32(row))}
		groups[id] = append(groups[id], uint32(row))
	}
	if len(g.spans) != len(groups) || len(g.labels) != len(groups) || len(g.order) != len(h.Keys) {
		t.Fatalf("%d groups with %d labels of %d rows, want %d of %d", len(g.spans), len(g.labels), len(g.order), len(groups), len(h.Keys))
	}
	end := int32(0)
	for i, s := range g.spans {
		if s.Group != int32(i) || s.From != end || s.To <= s.From {
			t.Fatalf("group %d is called %d and has rows %d to %d, behind %d", i, s.Group, s.From, s.To, end)
		}
		end = s.To
		rows := g.order[s.From:s.To]
		if want := groups[[2]int64{h.Keys[rows[0]], tile(rows[0])}]; !slices.Equal(rows, want) || g.labels[i] != tile(rows[0]) {
			t.Fatalf("group %d has rows %v of the tile %d, want %v of %d", i, rows, g.labels[i], want, tile(rows[0]))
		}
	}
}
