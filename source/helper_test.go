package source

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go"
)

var always = feature.Range{From: feature.MinTime, To: feature.MaxTime}

// write writes rows as a Parquet file under root.
func write[T any](t testing.TB, root, file string, rows []T, opts ...parquet.WriterOption) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(path, rows, opts...); err != nil {
		t.Fatal(err)
	}
}

// rows reads a source to the end and writes each row as text: file:row and the values.
func rows(spec Spec, request Request) ([]string, Stats, error) {
	var out []string
	stats, err := Read(context.Background(), spec, request, func(b Batch) error {
		out = append(out, texts(b)...)
		return nil
	})
	return out, stats, err
}

// texts returns the rows of a batch as texts.
func texts(b Batch) (out []string) {
	for i := range int(b.Record.NumRows()) {
		line := b.File
		for _, c := range b.Record.Columns() {
			line += " " + c.ValueStr(i)
		}
		out = append(out, line)
	}
	return out
}

func field(name string, k feature.Kind) feature.Field {
	return feature.Field{Name: name, Type: feature.Scalar(k)}
}

// at is the instant of a minute, as parquet-go takes it.
func at(minute int) int64 { return int64(minute) * 60e6 }
