package pointintime

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
)

// windowFunctions are one function of states that can be taken out again, one of states that cannot, and one that asks for times.
func windowFunctions() []feature.Aggregation {
	x := feature.Field{Name: "x", Type: feature.Scalar(feature.Int64)}
	return []feature.Aggregation{{Function: "count", Input: feature.Field{Name: "rows"}}, {Function: "sum", Input: x}, {Function: "max", Input: x}, {Function: "last", Input: x}}
}

// randomWindows makes view a windowed one and returns the view of its tiles as rows.
func randomWindows(t *rapid.T, view *feature.View) (tiles *feature.View) {
	view.TTL, view.Features = 0, nil
	if rapid.Bool().Draw(t, "granular") {
		view.Granularity, view.HasCreatedTime = 3*time.Microsecond, false
	}
	for _, a := range windowFunctions() {
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 3, rapid.ID).Draw(t, "windows") {
			a.Window = time.Duration(n) * time.Microsecond
			if view.Granularity > 0 {
				a.Window *= 3
			}
			f := feature.Feature{Field: feature.Field{Name: fmt.Sprintf("%s_%s_%d", a.Input.Name, a.Function, n), Type: feature.Scalar(feature.Int64)}, Aggregation: &a}
			if a.Function == "count" {
				f.Default = int64(0)
			}
			view.Features = append(view.Features, f)
		}
	}
	tiles = &feature.View{Name: view.Name, Keys: view.Keys, HasCreatedTime: view.HasCreatedTime}
	specs, err := aggregate.Specs(view.Features)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		view.States = append(view.States, s.Columns...)
	}
	for _, s := range view.States {
		tiles.Features = append(tiles.Features, feature.Feature{Field: s})
	}
	return tiles
}

// randomTiles draws tiles of one row each: no two of one key have the same times.
func randomTiles(t *rapid.T, view, tiles *feature.View) []testRow {
	var kept []testRow
	for _, r := range randomRows(t, tiles) {
		r.event = view.TileOf(r.event).To
		if slices.ContainsFunc(kept, func(k testRow) bool {
			return string(k.encoded) == string(r.encoded) && k.event == r.event && k.created == r.created
		}) {
			continue
		}
		x := any(nil)
		if v := rapid.IntRange(-3, 9).Draw(t, "x"); v > 0 {
			x = int64(v)
		}
		for i, s := range view.States {
			if r.features[i] = x; s.Name == "rows__count" {
				r.features[i] = int64(1)
			}
		}
		kept = append(kept, r)
	}
	return kept
}

// naiveWindow is a function over a window by semantics sections 2 and 4, to the letter.
func naiveWindow(view *feature.View, rows []testRow, a *feature.Aggregation, key feature.Key, q feature.Time, asKnown bool) any {
	end := q.Add(-view.Delay)
	if g := feature.Time(view.Granularity.Microseconds()); g > 0 {
		end -= ((end % g) + g) % g
	}
	count, sum := int64(0), any(nil)
	var biggest, last any
	var at *testRow
	for i := range rows {
		r := &rows[i]
		begin := end.Add(-a.Window)
		inside := begin < r.event && r.event <= end
		if view.StrictlyBefore {
			inside = begin <= r.event && r.event < end
		}
		if a.Window == 0 {
			inside = r.event < end || r.event == end && !view.StrictlyBefore
		}
		known := r.created != feature.MinTime && r.created <= q
		if !inside || string(r.encoded) != string(key) || asKnown && view.HasCreatedTime && !known {
			continue
		}
		count++
		x, ok := r.features[len(r.features)-1].(int64)
		if !ok {
			continue
		}
		if before, ok := sum.(int64); ok {
			sum, biggest = before+x, max(biggest.(int64), x)
		} else {
			sum, biggest = x, x
		}
		if at == nil || r.event > at.event || r.event == at.event && r.created > at.created {
			at, last = r, x
		}
	}
	return map[string]any{"count": count, "sum": sum, "max": biggest, "last": last}[a.Function]
}

func TestWindowsAgreeWithNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := randomView(t)
		tiles := randomWindows(t, view)
		rows := randomTiles(t, view, tiles)
		runs := randomRuns(t, tiles, rows)
		options := Options{AsKnown: view.Granularity == 0 && rapid.Bool().Draw(t, "as known"), Workers: rapid.IntRange(1, 3).Draw(t, "workers")}
		question := randomQuestion(t, view)
		if rapid.Bool().Draw(t, "order shared") {
			askBefore(t, &question, runs)
		}
		answer, err := Join(context.Background(), question, runs, options)
		if err != nil {
			t.Fatal(err)
		}
		for i := range question.Times.Len() {
			checkWindows(t, view, rows, question, answer, i, options.AsKnown)
		}
		checkTally(t, question, runs, options, answer)
	})
}

func checkWindows(t *rapid.T, view *feature.View, rows []testRow, q Question, a *Answer, i int, asKnown bool) {
	key, whole := feature.Key(nil), q.Times.IsValid(i)
	for _, part := range q.Keys {
		ok := false
		key, ok = feature.AppendKeyPart(key, part, i)
		whole = whole && ok
	}
	if whole && view.Granularity == 0 {
		latest, _ := naive(view, rows, key, feature.Time(q.Times.Value(i)), asKnown)
		if a.Found(i) != (latest != nil) || latest != nil && (a.EventTimes[i] != latest.event || view.HasCreatedTime && a.CreatedTimes[i] != latest.created) {
			t.Fatalf("row %d: its latest tile is found: %v, of %v, created at %v, want %v", i, a.Found(i), a.EventTimes[i], a.CreatedTimes, latest)
		}
	}
	for c, f := range q.Features {
		var want any
		if whole {
			want = naiveWindow(view, rows, view.Features[f].Aggregation, key, feature.Time(q.Times.Value(i)), asKnown)
		} else if view.Features[f].Default != nil {
			want = view.Features[f].Default
		}
		got := any(nil)
		if column := a.Columns[c].Values.(*array.Int64); column.IsValid(i) {
			got = column.Value(i)
		}
		if got != want {
			t.Fatalf("row %d, key %x at %s: %s is %v, want %v", i, key, feature.Time(q.Times.Value(i)), view.Features[f].Name, got, want)
		}
	}
}
