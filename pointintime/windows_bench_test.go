package pointintime

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
)

// BenchmarkWindows answers 50,000 spine rows from 2 million tiles of 2,000 keys, count, sum and max over 1 to 4 windows:
// go test -run '^$' -bench Windows -benchmem ./pointintime
func BenchmarkWindows(b *testing.B) {
	for windows := 1; windows <= 4; windows *= 2 {
		b.Run(fmt.Sprint(windows), func(b *testing.B) { benchWindows(b, windows) })
	}
}

func benchWindows(b *testing.B, windows int) {
	const keys, perKey, spineRows = 2000, 1000, 50_000
	const hour = time.Hour
	x := feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)}
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}}
	for w := range windows {
		for _, a := range []feature.Aggregation{{Function: "count", Input: feature.Field{Name: "rows"}}, {Function: "sum", Input: x}, {Function: "max", Input: x}} {
			a.Window = time.Duration(1+w) * 100 * hour
			call, err := aggregate.New(a)
			if err != nil {
				b.Fatal(err)
			}
			view.Features = append(view.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprint(a.Function, w), Type: call.Type}, Aggregation: &a})
		}
	}
	specs, err := aggregate.Specs(view.Features)
	if err != nil {
		b.Fatal(err)
	}
	tiles := keys * perKey
	columns := map[string][]int64{"k": make([]int64, tiles), feature.EventTimeColumn: make([]int64, tiles), "rows__count": make([]int64, tiles)}
	values := make([]float64, tiles)
	for i := range tiles {
		columns["k"][i], columns[feature.EventTimeColumn][i] = int64(i/perKey), int64(i%perKey)*hour.Microseconds()
		columns["rows__count"][i], values[i] = 1, float64(i*2654435761%1000000)/100
	}
	run := &memoryRun{columns: map[string]arrow.Array{}, rows: tiles, events: feature.Range{To: feature.Time(perKey * hour.Microseconds())}, pageless: true}
	for name, c := range columns {
		ints := array.NewInt64Builder(memory.DefaultAllocator)
		ints.AppendValues(c, nil)
		run.columns[name] = ints.NewArray()
	}
	run.columns[feature.EventTimeColumn] = timestamps(columns[feature.EventTimeColumn])
	for _, s := range specs {
		view.States = append(view.States, s.Columns...)
		for i, c := range s.Columns {
			if run.columns[c.Name] == nil {
				run.columns[c.Name] = array.MakeArrayOfNull(memory.DefaultAllocator, c.Type.Arrow(), tiles)
				if i == 0 {
					floats := array.NewFloat64Builder(memory.DefaultAllocator)
					floats.AppendValues(values, nil)
					run.columns[c.Name] = floats.NewArray()
				}
			}
		}
	}
	q := Question{View: view}
	for i := range view.Features {
		q.Features = append(q.Features, i)
	}
	spineKeys, times := array.NewInt64Builder(memory.DefaultAllocator), make([]int64, spineRows)
	for i := range spineRows {
		spineKeys.Append(int64(i * 7919 % keys))
		times[i] = int64(i*104729%perKey) * hour.Microseconds()
	}
	q.Keys, q.Times = []arrow.Array{spineKeys.NewArray()}, timestamps(times)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Join(context.Background(), q, []Run{wholeRun{run}}, Options{Workers: 1}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(tiles)*float64(b.N)/b.Elapsed().Seconds(), "tiles/s")
}

func timestamps(values []int64) *array.Timestamp {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	for _, v := range values {
		b.Append(arrow.Timestamp(v))
	}
	return b.NewTimestampArray()
}

// wholeRun hands out its columns as they are.
type wholeRun struct{ *memoryRun }

func (r wholeRun) Read(_ context.Context, columns []string, _ []offline.Span) ([]arrow.Array, error) {
	out := make([]arrow.Array, len(columns))
	for i, name := range columns {
		out[i] = r.columns[name]
		out[i].Retain()
	}
	return out, nil
}
