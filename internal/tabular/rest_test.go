package tabular

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestRest leaves columns of a table to Rest and copies the table piece by piece: columns that have been written leave their memory to those that are read.
func TestRest(t *testing.T) {
	const rows, batchRows = 700_000, 300_000
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}, {Name: "n", Type: arrow.PrimitiveTypes.Int64},
		{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	text := func(i int) (string, bool) { return fmt.Sprint(i), i%3 > 0 }
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range rows {
		b.Field(0).(*array.Float64Builder).Append(float64(i) / 3)
		b.Field(1).(*array.Int64Builder).Append(int64(i))
		if v, ok := text(i); ok {
			b.Field(2).(*array.StringBuilder).Append(v)
		} else {
			b.Field(2).AppendNull()
		}
	}
	table := b.NewRecordBatch()
	path, copied := filepath.Join(t.TempDir(), "table.parquet"), filepath.Join(t.TempDir(), "copy.parquet")
	must(t, WriteFile(path, schema, table))
	var told []string // columns of the batches that are asked for
	r, err := OpenReader(path, ReaderOptions{Wanted: func(column string) bool { return column == "n" }, BatchRowsOf: func(s *arrow.Schema, textBytes int64) int {
		told = append(told, s.Field(0).Name, fmt.Sprint(s.NumFields(), textBytes))
		return batchRows
	}})
	must(t, err)
	w, err := Create(copied, schema, WriterOptions{})
	must(t, err)
	memories, pieces := map[*float64]bool{}, 0
	for {
		batch, err := r.Next(t.Context())
		if err == io.EOF {
			break
		}
		must(t, err)
		if batch.NumCols() != 1 || batch.NumRows() > batchRows {
			t.Fatalf("a batch of %d rows and %d columns", batch.NumRows(), batch.NumCols())
		}
		for from := int64(0); from < batch.NumRows(); from += BatchRowsDefault {
			to := min(from+BatchRowsDefault, batch.NumRows())
			rest, err := r.Rest(t.Context(), to-from)
			must(t, err)
			memories[unsafe.SliceData(rest.Column(0).(*array.Float64).Float64Values())] = true
			pieces++
			n := array.NewSlice(batch.Column(0), from, to)
			piece := array.NewRecordBatch(schema, []arrow.Array{rest.Column(0), n, rest.Column(1)}, to-from)
			rest.Release()
			must(t, w.Write(piece))
			piece.Release()
		}
	}
	must(t, w.Commit())
	must(t, r.Close())
	if len(memories) > pieces/2 {
		t.Errorf("%d pieces took memory in %d places", pieces, len(memories))
	}
	if fmt.Sprint(told) != "[n 1 0]" {
		t.Errorf("the size of batches was asked for of %s", told)
	}
	got, err := OpenReader(copied, ReaderOptions{BatchRows: rows, BatchRowsOf: func(*arrow.Schema, int64) int { return rows }})
	must(t, err)
	batch, err := got.Next(t.Context())
	must(t, err)
	if !array.RecordEqual(batch, table) {
		t.Error("the copy is another table")
	}
	none, err := got.Rest(t.Context(), batch.NumRows())
	must(t, err)
	if none.NumCols() != 0 || none.NumRows() != rows {
		t.Errorf("%d columns were left out", none.NumCols())
	}
	must(t, got.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
