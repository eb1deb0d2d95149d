package source

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go"
)

// BenchmarkSource reads 5 M rows of 6 columns on one core, all of them and a tenth:
//
//	go test ./source -run - -bench BenchmarkSource -cpu 1
func BenchmarkSource(b *testing.B) {
	type row struct {
		Key    int64   `parquet:"key"`
		Time   int64   `parquet:"t,timestamp(microsecond)"`
		A      float64 `parquet:"a"`
		B      float64 `parquet:"b"`
		Count  int32   `parquet:"count"`
		Amount float64 `parquet:"amount,optional"`
	}
	const total = 5_000_000
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]row, total)
	for i := range data {
		data[i] = row{r.Int64N(1e6), int64(i) * 1000, float64(r.IntN(1000)), float64(r.IntN(100000)) / 8, r.Int32N(500), float64(r.IntN(20))}
	}
	root := b.TempDir()
	write(b, root, "1.parquet", data, parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(1<<19), parquet.PageBufferSize(1<<20))
	data = nil
	spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t"}
	request := Request{Keys: []feature.Field{field("key", feature.Int64)}, Columns: []feature.Field{
		field("a", feature.Float64), field("b", feature.Float64), field("count", feature.Int32), field("amount", feature.Float64)}}
	for name, span := range map[string]feature.Range{"all": always, "a tenth": {From: 2_000_000_000, To: 2_499_999_999}} {
		b.Run(name, func(b *testing.B) {
			request.Range = span
			b.ReportAllocs()
			rows := int64(0)
			for b.Loop() {
				stats, err := Read(context.Background(), spec, request, func(Batch) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
				rows += stats.Rows
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
