package pointintime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
)

// TestShards joins a spine that is long enough to be parted among workers, keys and all, with history of which every value follows
// from key and event time.
func TestShards(t *testing.T) {
	const keys, events, step, spineRows = 50, 40, 10, 200_000
	types := []feature.Type{feature.Scalar(feature.Int64), feature.Scalar(feature.Bool), feature.Scalar(feature.String), feature.ListOf(feature.Int64)}
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}}
	question := Question{View: view}
	for i, typ := range types {
		view.Features = append(view.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprintf("f%d", i), Type: typ}})
		question.Features = append(question.Features, i)
	}
	valuesOf := func(key, event int64) []any {
		n := key*1000 + event
		if n%7 == 0 {
			return []any{nil, nil, nil, nil}
		}
		return []any{n, n%3 == 0, fmt.Sprint(n), make([]int64, n%4)}
	}
	var rows [3][]testRow // a run each; an event time is in one of them
	for key := range int64(keys) {
		for e := range int64(events) {
			encoded := feature.AppendKeyInt64(nil, key)
			rows[e%3] = append(rows[e%3], testRow{key: []any{key}, encoded: encoded, event: feature.Time(e * step), created: feature.MinTime, features: valuesOf(key, e*step)})
		}
	}
	runs := []Run{newMemoryRun(view, rows[0], 16), newMemoryRun(view, rows[1], 0), newMemoryRun(view, rows[2], 100)}
	random := rand.New(rand.NewPCG(1, 2))
	spineKeys, times := array.NewInt64Builder(memory.DefaultAllocator), array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	for range spineRows {
		spineKeys.Append(random.Int64N(keys + 5))
		times.Append(arrow.Timestamp(random.Int64N(events*step+50) - 5))
	}
	question.Keys, question.Times = []arrow.Array{spineKeys.NewArray()}, times.NewTimestampArray()
	answer, err := Join(context.Background(), question, runs, Options{Workers: 4})
	if err != nil {
		t.Fatal(err)
	}
	expected := map[[2]int64][]string{} // by key and event time
	for i := range spineRows {
		key, q := question.Keys[0].(*array.Int64).Value(i), int64(question.Times.Value(i))
		event := min(q/step, events-1) * step
		want, found := make([]any, len(types)), key < keys && q >= 0
		if found {
			want = valuesOf(key, event)
		}
		if answer.Found(i) != found || (found && int64(answer.EventTimes[i]) != event) {
			t.Fatalf("row %d: found %v at %d, want %v at %d", i, answer.Found(i), answer.EventTimes[i], found, event)
		}
		id := [2]int64{key, event}
		if !found {
			id = [2]int64{-1, -1}
		}
		if expected[id] == nil {
			for f, typ := range types {
				expected[id] = append(expected[id], arrayOf(typ, []any{want[f]}).ValueStr(0))
			}
		}
		for f := range types {
			if got := answer.Columns[f].Values.ValueStr(i); got != expected[id][f] {
				t.Fatalf("row %d, key %d at %d, feature %d: got %s, want %s", i, key, q, f, got, expected[id][f])
			}
		}
	}
}

// TestFewRows joins spines that are far shorter than the history of the pages that they touch, of which the rows of other keys are then left out.
func TestFewRows(t *testing.T) {
	const keys, events = 100, 40
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}},
		Features: []feature.Feature{{Field: feature.Field{Name: "f", Type: feature.Scalar(feature.Int64)}}}}
	var rows [2][]testRow // a run each; an event time is in one of them
	for key := range int64(keys) {
		for e := range int64(events) {
			rows[e%2] = append(rows[e%2], testRow{key: []any{key}, encoded: feature.AppendKeyInt64(nil, key), event: feature.Time(e), created: feature.MinTime, features: []any{key*events + e}})
		}
	}
	runs := []Run{newMemoryRun(view, rows[0], 500), newMemoryRun(view, rows[1], 0)}
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= 30; n++ {
		asked, times := array.NewInt64Builder(memory.DefaultAllocator), array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
		for range n {
			asked.Append(random.Int64N(keys + 3))
			times.Append(arrow.Timestamp(random.Int64N(events+5) - 2))
		}
		question := Question{View: view, Features: []int{0}, Keys: []arrow.Array{asked.NewArray()}, Times: times.NewTimestampArray()}
		answer, err := Join(context.Background(), question, runs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			key, q := question.Keys[0].(*array.Int64).Value(i), int64(question.Times.Value(i))
			found, want := key < keys && q >= 0, key*events+min(q, events-1)
			if answer.Found(i) != found || found && answer.Columns[0].Values.(*array.Int64).Value(i) != want {
				t.Fatalf("key %d at %d: found %v, %v, want %v, %d", key, q, answer.Found(i), answer.Columns[0].Values, found, want)
			}
		}
	}
}

// unaskedRun is a run that nobody may ask for its pages.
type unaskedRun struct {
	*memoryRun
	t *testing.T
}

func (r unaskedRun) Pages() []offline.Page {
	r.t.Error("a run without any of the keys is asked for its pages")
	return nil
}

// TestRunsWithoutKeys joins with runs whose keys are all below, all above, or around the one that is asked for.
func TestRunsWithoutKeys(t *testing.T) {
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}}
	run := func(keys ...int64) *memoryRun {
		var rows []testRow
		for _, k := range keys {
			rows = append(rows, testRow{key: []any{k}, encoded: feature.AppendKeyInt64(nil, k), event: 1, created: feature.MinTime})
		}
		return newMemoryRun(view, rows, 1)
	}
	runs := []Run{unaskedRun{run(1, 2), t}, unaskedRun{run(6, 8), t}, run(4, 6)}
	question := Question{View: view, Keys: []arrow.Array{arrayOf(view.Keys[0].Type, []any{int64(5), int64(4)})},
		Times: arrayOf(feature.Scalar(feature.Timestamp), []any{feature.Time(1), feature.Time(1)}).(*array.Timestamp)}
	answer, err := Join(context.Background(), question, runs, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if answer.Found(0) || !answer.Found(1) {
		t.Errorf("found %v, %v; want the second alone", answer.Found(0), answer.Found(1))
	}
}
