package materialize

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// BenchmarkSorter sorts a million rows of 48 bytes that come in the order of their times, all of them held, and half of them spilled:
//
//	go test -run - -bench Sorter ./materialize
func BenchmarkSorter(b *testing.B) {
	const batchRows, batches = 1 << 16, 16
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}}
	for i := range 4 {
		view.Features = append(view.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprintf("f%d", i), Type: feature.Scalar(feature.Float64)}})
	}
	random := rand.New(rand.NewPCG(1, 2))
	var rows []arrow.RecordBatch
	for n := range batches {
		r := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(view))
		for i := range batchRows {
			r.Field(0).(*array.Int64Builder).Append(random.Int64N(50_000) * 1000)
			r.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(n*batchRows+i) * 1_000_000)
			for f := range view.Features {
				r.Field(2 + f).(*array.Float64Builder).Append(random.Float64())
			}
		}
		rows = append(rows, r.NewRecordBatch())
	}
	for name, budget := range map[string]int64{"held": 1 << 30, "half spilled": 24 << 20} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := newSorter(view, sortOptions{dir: b.TempDir(), budget: budget, rows: batches * batchRows})
				feedAll(b, s, rows)
				if err := s.sorted(b.Context(), 2, whole, func(arrow.RecordBatch) error { return nil }); err != nil {
					b.Fatal(err)
				}
				if err := s.close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*batches*batchRows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// feedAll gives rows to a sorter.
func feedAll(b *testing.B, s sorter, rows []arrow.RecordBatch) {
	b.Helper()
	f := s.feeder()
	for i, batch := range rows {
		if err := f.add(b.Context(), int64(i), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
