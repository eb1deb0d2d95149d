package pointintime

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// BenchmarkJoin joins 200,000 spine rows with 2,000,000 rows of history in memory (100,000 int64 keys, 4 float64 features, 8 runs):
// the sort, the walk and the gather without files. Allocations are per run, column and shard; none is per row.
//
//	go test ./pointintime -run - -bench BenchmarkJoin
func BenchmarkJoin(b *testing.B) {
	const keys, runs, perKey, spineRows = 100_000, 8, 20, 200_000
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}}
	question := Question{View: view}
	for i, name := range []string{"a", "b", "c", "d"} {
		view.Features = append(view.Features, feature.Feature{Field: feature.Field{Name: name, Type: feature.Scalar(feature.Float64)}})
		question.Features = append(question.Features, i)
	}
	var history []Run
	for r := range runs {
		history = append(history, benchRun(view, keys/runs*r, keys/runs*(r+1), perKey))
	}
	random := rand.New(rand.NewPCG(1, 1))
	at := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	key := array.NewInt64Builder(memory.DefaultAllocator)
	for range spineRows {
		key.Append(random.Int64N(keys))
		at.Append(arrow.Timestamp(random.Int64N(perKey)))
	}
	question.Keys, question.Times = []arrow.Array{key.NewArray()}, at.NewTimestampArray()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Join(context.Background(), question, history, Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(spineRows)*float64(b.N)/b.Elapsed().Seconds(), "spine-rows/s")
}

// benchRun is a run of perKey rows for each key from from to to, at times 0, 1, 2, ...
func benchRun(view *feature.View, from, to, perKey int) *memoryRun {
	key := array.NewInt64Builder(memory.DefaultAllocator)
	at := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	value := array.NewFloat64Builder(memory.DefaultAllocator)
	for k := from; k < to; k++ {
		for t := range perKey {
			key.Append(int64(k))
			at.Append(arrow.Timestamp(t))
			value.Append(float64(k * t))
		}
	}
	run := &memoryRun{rows: (to - from) * perKey, events: feature.Range{From: 0, To: feature.Time(perKey - 1)}}
	values := value.NewArray()
	run.columns = map[string]arrow.Array{"k": key.NewArray(), feature.EventTimeColumn: at.NewArray()}
	for _, f := range view.Features {
		run.columns[f.Name] = values
	}
	return run
}
