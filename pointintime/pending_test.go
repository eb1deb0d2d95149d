package pointintime

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
)

// askedRun notes the rows that a run was asked for.
type askedRun struct {
	*memoryRun
	mu    sync.Mutex
	spans []offline.Span
}

func (r *askedRun) Keys(ctx context.Context, spans []offline.Span) ([]offline.Runs, error) {
	r.mu.Lock()
	r.spans = append(r.spans, spans...)
	r.mu.Unlock()
	return r.memoryRun.Keys(ctx, spans)
}

// TestRunsOfAnsweredRows joins runs of which each begins where the one before it ends: what one of them answers is not read in those before it, nor what
// lies after all that is asked for.
func TestRunsOfAnsweredRows(t *testing.T) {
	const keys, pageRows = 100, 10
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}},
		Features: []feature.Feature{{Field: feature.Field{Name: "f", Type: feature.Scalar(feature.Int64)}}}}
	missing := []int64{41, 77} // in the last run
	make3 := func() (runs [3]*askedRun) {
		for r := range runs {
			var rows []testRow
			for key := range int64(keys) {
				if r < 2 || !slices.Contains(missing, key) {
					rows = append(rows, testRow{key: []any{key}, encoded: feature.AppendKeyInt64(nil, key), event: feature.Time(10 * r), created: feature.MinTime, features: []any{10*key + int64(r)}})
				}
			}
			runs[r] = &askedRun{memoryRun: newMemoryRun(view, rows, pageRows)}
		}
		return runs
	}
	all := []offline.Span{{From: 0, To: keys}}
	for _, c := range []struct {
		name string
		at   func(key int64) feature.Time
		run  func(key int64) int64 // that has the answer
		want [3][]offline.Span
	}{
		{"at the end", func(int64) feature.Time { return 100 }, func(key int64) int64 {
			if slices.Contains(missing, key) {
				return 1
			}
			return 2
		}, [3][]offline.Span{nil, {{From: 40, To: 50}, {From: 70, To: 80}}, {{From: 0, To: keys - 2}}}},
		{"before the last run", func(int64) feature.Time { return 19 }, func(int64) int64 { return 1 }, [3][]offline.Span{nil, all, nil}},
		{"one key early", func(key int64) feature.Time {
			if key == 3 {
				return 5
			}
			return 15
		}, func(key int64) int64 {
			if key == 3 {
				return 0
			}
			return 1
		}, [3][]offline.Span{{{From: 0, To: 10}}, all, nil}},
	} {
		runs := make3()
		var asked, times []any
		for key := range int64(keys) {
			asked, times = append(asked, key), append(times, c.at(key))
		}
		q := Question{View: view, Features: []int{0}, Keys: []arrow.Array{arrayOf(view.Keys[0].Type, asked)}, Times: arrayOf(feature.Scalar(feature.Timestamp), times).(*array.Timestamp)}
		answer, err := Join(context.Background(), q, []Run{runs[0], runs[1], runs[2]}, Options{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		for key := range int64(keys) {
			if got := answer.Columns[0].Values.(*array.Int64).Value(int(key)); got != 10*key+c.run(key) {
				t.Errorf("%s: key %d has %d, want %d", c.name, key, got, 10*key+c.run(key))
			}
		}
		for r, want := range c.want {
			if !slices.Equal(runs[r].spans, want) {
				t.Errorf("%s: rows %v of run %d were read, want %v", c.name, runs[r].spans, r, want)
			}
		}
	}
}
