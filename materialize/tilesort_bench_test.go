package materialize

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// BenchmarkTileFeeder adds batches of events of 2,000 keys in the order of their times, some five in each tile, up to partial tiles:
//
//	go test -run - -bench TileFeeder ./materialize
func BenchmarkTileFeeder(b *testing.B) {
	const batchRows, batches = 1 << 16, 8
	view, rowsView := tileViews(b, time.Hour, feature.Int64, feature.Float64, "count", "sum", "max")
	random := rand.New(rand.NewPCG(1, 2))
	var rows []arrow.RecordBatch
	for n := range batches {
		r := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(rowsView))
		for i := range batchRows {
			r.Field(0).(*array.Int64Builder).Append(random.Int64N(2000) * 1000)
			r.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(n*batchRows+i) * arrow.Timestamp(time.Hour.Microseconds()) / 10_000)
			r.Field(2).(*array.Float64Builder).Append(float64(random.IntN(1<<20)) / 64)
		}
		rows = append(rows, r.NewRecordBatch())
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := newTileSorter(view, rowsView, sortOptions{dir: b.TempDir(), budget: 1 << 30, rows: batches * batchRows})
		if err != nil {
			b.Fatal(err)
		}
		feedAll(b, s, rows)
		if err := s.close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*batches*batchRows/b.Elapsed().Seconds(), "rows/s")
}
