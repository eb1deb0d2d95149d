package offline

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// benchView has four float features.
func benchView() *feature.View {
	float := feature.Scalar(feature.Float64)
	return &feature.View{Name: "bench", Hash: "h", Keys: []feature.Field{{Name: "id", Type: feature.Scalar(feature.Int64)}},
		Features: features("f1", float, "f2", float, "f3", float, "f4", float)}
}

const (
	benchRows  = 1 << 21
	benchBatch = 1 << 16
)

// benchBatches are sorted rows, 20 for each key.
func benchBatches() []arrow.RecordBatch {
	random := rand.New(rand.NewPCG(1, 2))
	var fields []arrow.Field
	for _, f := range benchView().Columns() {
		fields = append(fields, arrow.Field{Name: f.Name, Type: f.Type.Arrow()})
	}
	schema := arrow.NewSchema(fields, nil)
	var batches []arrow.RecordBatch
	for from := 0; from < benchRows; from += benchBatch {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := from; i < from+benchBatch; i++ {
			b.Field(0).(*array.Int64Builder).Append(int64(i / 20))
			b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(i%20)*1_000_000 + arrow.Timestamp(random.IntN(1_000_000)))
			for c := 2; c < 6; c++ {
				b.Field(c).(*array.Float64Builder).Append(random.NormFloat64())
			}
		}
		batches = append(batches, b.NewRecordBatch())
	}
	return batches
}

func benchReplace(b *testing.B, s *Store, batches []arrow.RecordBatch) *Snapshot {
	b.Helper()
	c := commitFor(feature.Range{From: 0, To: 20_000_000})
	snapshot, err := s.Replace(context.Background(), benchView(), c, func(w *Writer) error {
		for _, batch := range batches {
			if err := w.Write(batch); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return snapshot
}

// BenchmarkReplace writes 2 M rows of 6 columns, checks their order and commits; from the second on it replaces the run before:
//
//	go test -run - -bench Replace -benchtime 5x ./offline
func BenchmarkReplace(b *testing.B) {
	batches := benchBatches()
	s := openStore(b, tempDir(b), Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := benchReplace(b, s, batches).Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRead reads all columns of 2 M rows, one run after the other:
//
//	go test -run - -bench Read -benchtime 20x ./offline
func BenchmarkRead(b *testing.B) {
	ctx := context.Background()
	snapshot := benchReplace(b, openStore(b, tempDir(b), Options{}), benchBatches())
	defer snapshot.Close()
	runs, err := snapshot.Runs(ctx)
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for _, f := range snapshot.Fields() {
		names = append(names, f.Name)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range runs {
			if _, err := r.Read(ctx, names, nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}
