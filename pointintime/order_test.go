package pointintime

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
)

// askBefore gives q an order that it shares with questions to another view, which it asks: once as served, once as of the spine's own times.
func askBefore(t *rapid.T, q *Question, runs []Run) {
	q.Order = &Order{}
	other := *q
	other.View, other.Features = &feature.View{Name: "other", Keys: q.View.Keys, Delay: time.Microsecond, Schedule: oneTick{feature.Time(2).Std()}}, nil
	first := rapid.Bool().Draw(t, "as served first")
	for _, served := range []bool{first, !first} {
		some := runs[:rapid.IntRange(0, len(runs)).Draw(t, "runs")]
		if _, err := Join(context.Background(), other, some, Options{AsServed: served}); err != nil {
			t.Fatal(err)
		}
	}
	q.spare = &spareMemory{}
	for range 3 { // memory of any content
		leave(q.spare, slices.Repeat([]int64{7}, q.Times.Len()))
		leave(q.spare, slices.Repeat([]int32{7}, q.Times.Len()))
	}
}

// TestOrderOfServedTimes asks as served after a question that has left its order, and after one to a view of another schedule.
func TestOrderOfServedTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := randomView(t)
		view.Schedule = oneTick{feature.Time(rapid.Int64Range(0, 5).Draw(t, "tick")).Std()}
		runs, question := randomRuns(t, view, randomRows(t, view)), randomQuestion(t, view)
		want, err := Join(context.Background(), question, runs, Options{AsServed: true})
		if err != nil {
			t.Fatal(err)
		}
		askBefore(t, &question, runs)
		got, err := Join(context.Background(), question, runs, Options{AsServed: true})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Rows, want.Rows) || !reflect.DeepEqual(got.EventTimes, want.EventTimes) {
			t.Fatalf("after other questions rows are %v at %v, want %v at %v", got.Rows, got.EventTimes, want.Rows, want.EventTimes)
		}
		checkTally(t, question, runs, Options{AsServed: true}, want)
	})
}

// TestOrderIsFoundOnce asks twice with one order: the second question finds its rows sorted.
func TestOrderIsFoundOnce(t *testing.T) {
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}}
	question := Question{View: view, Order: &Order{}, Keys: []arrow.Array{arrayOf(view.Keys[0].Type, []any{int64(2), nil, int64(1)})},
		Times: arrayOf(feature.Scalar(feature.Timestamp), []any{feature.Time(1), feature.Time(2), feature.Time(3)}).(*array.Timestamp)}
	stats := &stages.Stats{}
	for range 2 {
		if _, err := Join(context.Background(), question, nil, Options{Stats: stats}); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range stats.Work() {
		if w.Stage == stages.Sort && w.Rows != 2 {
			t.Errorf("%d rows were sorted, want 2", w.Rows)
		}
	}
}

// TestLastShardsAreSmall cuts a spine that takes several shards of each worker: all rows are in one, in order, and what the last worker still has to do when the
// others have ended is little.
func TestLastShardsAreSmall(t *testing.T) {
	const rows, workers = 600_000, 2
	keys, times := make([]int64, rows), make([]arrow.Timestamp, rows)
	for i := range keys {
		keys[i] = int64(i*7919) % 100_003
	}
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}}
	j := &joiner[int64]{q: Question{View: view, Keys: []arrow.Array{array.NewInt64Data(fixed(arrow.PrimitiveTypes.Int64, arrow.Int64Traits.CastToBytes(keys), rows))},
		Times: array.NewTimestampData(fixed(feature.Scalar(feature.Timestamp).Arrow(), arrow.TimestampTraits.CastToBytes(times), rows)), Order: &Order{}}, form: keysort.Ints(view.Keys)}
	shards := j.shards(workers)
	sum, last := 0, int64(-1)
	for i, s := range shards {
		if sum += s.Len(); s.Keys[0] < last || !slices.IsSorted(s.Keys) {
			t.Fatalf("shard %d begins at %d after %d, or is not in order", i, s.Keys[0], last)
		}
		last = s.Keys[s.Len()-1]
	}
	if largest := shards[0].Len(); sum != rows || shards[len(shards)-1].Len() > largest/2 {
		t.Errorf("%d rows of %d in %d shards, from %d to %d rows", sum, rows, len(shards), largest, shards[len(shards)-1].Len())
	}
}

func fixed(t arrow.DataType, values []byte, rows int) arrow.ArrayData {
	return array.NewData(t, rows, []*memory.Buffer{nil, memory.NewBufferBytes(values)}, nil, 0, 0)
}
