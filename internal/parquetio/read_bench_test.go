package parquetio

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"
)

const benchRows = 5_000_000

type benchRow struct {
	Key    int64   `parquet:"key"`
	Time   int64   `parquet:"time,timestamp(microsecond)"`
	A      float64 `parquet:"a"`
	B      float64 `parquet:"b"`
	Count  int32   `parquet:"count"`
	Amount float64 `parquet:"amount,optional"`
}

type benchRowPacked struct {
	Key    int64   `parquet:"key,delta"`
	Time   int64   `parquet:"time,timestamp(microsecond),delta"`
	A      float64 `parquet:"a,dict"`
	B      float64 `parquet:"b,dict"`
	Count  int32   `parquet:"count,dict"`
	Amount float64 `parquet:"amount,optional,dict"`
}

// BenchmarkRead reads 5 M rows of 6 columns on one core:
//
//	go test ./internal/parquetio -run - -bench BenchmarkRead -cpu 1
func BenchmarkRead(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		benchRead(b, func(r benchRow) benchRow { return r }, parquet.Compression(&parquet.Uncompressed))
	})
	b.Run("plain+snappy", func(b *testing.B) {
		benchRead(b, func(r benchRow) benchRow { return r }, parquet.Compression(&parquet.Snappy))
	})
	b.Run("dict,delta+zstd", func(b *testing.B) {
		benchRead(b, func(r benchRow) benchRowPacked { return benchRowPacked(r) }, parquet.Compression(&parquet.Zstd))
	})
}

func benchRead[T any](b *testing.B, as func(benchRow) T, opts ...parquet.WriterOption) {
	path := filepath.Join(b.TempDir(), "bench.parquet")
	out, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := parquet.NewGenericWriter[T](out, append(opts, parquet.MaxRowsPerRowGroup(1<<20), parquet.PageBufferSize(1<<20))...)
	r := rand.New(rand.NewPCG(1, 2))
	batch := make([]T, 10000)
	for i := 0; i < benchRows; i += len(batch) {
		for j := range batch {
			n := i + j
			amount := float64(r.IntN(5000)) / 100
			if n%20 == 0 {
				amount = 0
			}
			batch[j] = as(benchRow{int64(n / 20), 1.6e15 + int64(n%20)*3600e6 + r.Int64N(3600e6), float64(r.IntN(1000)), float64(r.IntN(100000)) / 8, r.Int32N(500), amount})
		}
		if _, err := w.Write(batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := out.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		for g, group := range f.RowGroups() {
			for _, c := range f.Columns() {
				s, err := f.Scan(g, c.Path, c.Type)
				if err != nil {
					b.Fatal(err)
				}
				for s.Row() < group.Rows {
					if _, err := s.Next(min(65536, group.Rows-s.Row())); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
