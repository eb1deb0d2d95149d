package tabular

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TestBatchesOfText reads a table of texts, many of them equal in one column, in batches as large as is wanted, which are not as large where texts are long.
func TestBatchesOfText(t *testing.T) {
	const rows, small = 300_000, 40_000
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}, {Name: "few", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "many", Type: arrow.BinaryTypes.Binary, Nullable: true}}, nil)
	few := func(i int) (string, bool) { return strings.Repeat("x", i%7), i%5 != 1 || i > rows/2 }
	many := func(i int) (string, bool) { return fmt.Sprint(strings.Repeat("long", i/(rows/3)*30), i), i%1000 != 1 }
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if text, ok := few(i); ok {
			b.Field(1).(*array.StringBuilder).Append(text)
		} else {
			b.Field(1).AppendNull()
		}
		if text, ok := many(i); ok {
			b.Field(2).(*array.BinaryBuilder).AppendString(text)
		} else {
			b.Field(2).AppendNull()
		}
	}
	path := filepath.Join(t.TempDir(), "table.parquet")
	if err := WriteFile(path, schema, b.NewRecordBatch()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		wanted  int
		textMax int
		sizes   []int // of batches
	}{
		{"all at once", rows, 0, []int{rows}},
		{"by quarters", rows / 4, 0, []int{rows / 4, rows / 4, rows / 4, rows / 4}},
		{"few at once", 150_000, 0, []int{150_000, 150_000}},
		{"long from the first", rows, 1, []int{small, small, small, small, small, small, small, rows - 7*small}},
		{"long from the second third", 110_000, 12_000_000, []int{110_000, small, small, small, small, 30_000}},
	} {
		var asked int64
		r, err := OpenReader(path, ReaderOptions{BatchRows: small, textMax: c.textMax, BatchRowsOf: func(_ *arrow.Schema, textBytes int64) int {
			asked = textBytes
			return c.wanted
		}})
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int
		for i := 0; ; {
			batch, err := r.Next(t.Context())
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			sizes = append(sizes, int(batch.NumRows()))
			for row := range int(batch.NumRows()) {
				checkText(t, batch.Column(1), row, few, i)
				checkText(t, batch.Column(2), row, many, i)
				if batch.Column(0).(*array.Int64).Value(row) != int64(i) {
					t.Fatalf("%s: row %d is another", c.name, i)
				}
				i++
			}
		}
		if !slices.Equal(sizes, c.sizes) || asked != 6+7 {
			t.Errorf("%s: batches of %v rows, for texts of %d bytes a row", c.name, sizes, asked)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func checkText(t *testing.T, column arrow.Array, row int, of func(int) (string, bool), i int) {
	t.Helper()
	want, ok := of(i)
	got := ""
	switch c := column.(type) {
	case *array.String:
		got = c.Value(row)
	case *array.Binary:
		got = string(c.Value(row))
	}
	if column.IsValid(row) != ok || ok && got != want {
		t.Fatalf("row %d: %q (%v), want %q (%v)", i, got, column.IsValid(row), want, ok)
	}
}
