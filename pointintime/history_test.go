package pointintime

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
)

// TestHistoryAgreesWithNaive looks for random keys in random histories: how many rows lie in a range, and which are its first and its
// last, by their times and by what is read at their place.
func TestHistoryAgreesWithNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := randomView(t)
		rows := randomRows(t, view)
		runs := randomRuns(t, view, rows)
		key := randomKey(t, view)
		if len(key) > 0 && rapid.IntRange(0, 9).Draw(t, "null key") == 0 {
			key[0] = nil
		}
		var columns []arrow.Array
		var encoded feature.Key
		for i, k := range view.Keys {
			columns = append(columns, arrayOf(k.Type, []any{key[i]}))
			encoded, _ = feature.AppendKeyPart(encoded, columns[i], 0)
		}
		ranges := []feature.Range{{From: feature.MinTime, To: feature.MaxTime}, {From: 5, To: 4}}
		for range rapid.IntRange(0, 3).Draw(t, "ranges") {
			from := feature.Time(rapid.IntRange(-1, 12).Draw(t, "from"))
			ranges = append(ranges, feature.Range{From: from, To: from + feature.Time(rapid.IntRange(0, 12).Draw(t, "length"))})
		}
		keep := rapid.IntRange(1, 4).Draw(t, "keep")
		found, err := History(context.Background(), view, columns, runs, ranges, keep)
		if err != nil {
			t.Fatal(err)
		}
		for i, events := range ranges {
			want := slices.DeleteFunc(slices.Clone(rows), func(r testRow) bool {
				return slices.Contains(key, nil) || !bytes.Equal(r.encoded, encoded) || !events.Contains(r.event)
			})
			slices.SortStableFunc(want, func(a, b testRow) int {
				return cmp.Or(cmp.Compare(a.event, b.event), cmp.Compare(a.created, b.created))
			})
			n := min(keep, len(want))
			if found[i].Count != int64(len(want)) || len(found[i].First) != n || len(found[i].Last) != n {
				t.Fatalf("range %s of %v: %+v, want %d rows", events, key, found[i], len(want))
			}
			for k := range n {
				checkStored(t, view, runs, found[i].First[k], want[k])
				checkStored(t, view, runs, found[i].Last[k], want[len(want)-n+k])
			}
		}
	})
}

// checkStored reads a row at the place where it is said to be.
func checkStored(t *rapid.T, view *feature.View, runs []Run, s Stored, want testRow) {
	got := fmt.Sprint(s.Event, s.Created)
	expected := fmt.Sprint(want.event, want.created)
	for i, f := range view.Features {
		values, err := runs[s.Run].Read(context.Background(), []string{f.Name}, []offline.Span{{From: s.Row, To: s.Row + 1}})
		if err != nil {
			t.Fatal(err)
		}
		got += " " + values[0].ValueStr(0)
		expected += " " + arrayOf(f.Type, []any{want.features[i]}).ValueStr(0)
	}
	if got != expected {
		t.Fatalf("run %d, row %d: got %s, want %s", s.Run, s.Row, got, expected)
	}
}
