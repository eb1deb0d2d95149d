package tabular_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

// trainingSet returns rows of a key, a time, four floats and a short text.
func trainingSet(rows int) arrow.RecordBatch {
	rng := rand.New(rand.NewPCG(1, 2))
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "customer_id", Type: arrow.PrimitiveTypes.Int64}, {Name: "event_timestamp", Type: feature.Scalar(feature.Timestamp).Arrow()},
		{Name: "a", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "b", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "c", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "d", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "country", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(rng.Int64N(1_000_000))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + int64(i)*1_000_003))
		for c := 2; c < 6; c++ {
			b.Field(c).(*array.Float64Builder).Append(float64(rng.IntN(1_000_000)) / 100)
		}
		b.Field(6).(*array.StringBuilder).Append([]string{"FR", "DE", "NO"}[i%3])
	}
	return b.NewRecordBatch()
}

// BenchmarkWrite writes 500,000 rows of 7 columns:
//
//	go test -bench 'Read|Write|Convert' -benchmem ./internal/tabular
func BenchmarkWrite(b *testing.B) {
	batch := trainingSet(500_000)
	for _, ending := range []string{".parquet", ".csv", ".arrow"} {
		b.Run(ending[1:], func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "table"+ending)
			for b.Loop() {
				if err := tabular.WriteFile(path, batch.Schema(), batch); err != nil {
					b.Fatal(err)
				}
			}
			reportRows(b, batch.NumRows())
		})
	}
}

// BenchmarkRead reads 500,000 rows of 7 columns.
func BenchmarkRead(b *testing.B) {
	batch := trainingSet(500_000)
	for _, ending := range []string{".parquet", ".csv", ".arrow"} {
		b.Run(ending[1:], func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "table"+ending)
			if err := tabular.WriteFile(path, batch.Schema(), batch); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if rows, err := drain(path); rows != batch.NumRows() || err != nil {
					b.Fatal(rows, err)
				}
			}
			reportRows(b, batch.NumRows())
		})
	}
}

// BenchmarkConvert makes int64 keys and timestamps of a CSV's text.
func BenchmarkConvert(b *testing.B) {
	const rows = 100_000
	path := filepath.Join(b.TempDir(), "table.csv")
	batch := trainingSet(rows)
	if err := tabular.WriteFile(path, batch.Schema(), batch); err != nil {
		b.Fatal(err)
	}
	r, err := tabular.OpenReader(path, tabular.ReaderOptions{BatchRows: rows})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	text, err := r.Next(b.Context())
	if err != nil && err != io.EOF {
		b.Fatal(err)
	}
	for column, kind := range []feature.Kind{feature.Int64, feature.Timestamp, feature.Float64} {
		b.Run(fmt.Sprint(kind), func(b *testing.B) {
			for b.Loop() {
				if _, err := tabular.Convert(text.Column(column), "c", feature.Scalar(kind), r.Where); err != nil {
					b.Fatal(err)
				}
			}
			reportRows(b, rows)
		})
	}
}

func reportRows(b *testing.B, rows int64) {
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
