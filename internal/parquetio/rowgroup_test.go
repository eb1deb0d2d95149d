package parquetio

import (
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// drawParts cuts so many columns into parts.
func drawParts(t *rapid.T, columns int) (parts []int) {
	for columns > 0 {
		n := rapid.IntRange(1, columns).Draw(t, "columns of a part")
		parts, columns = append(parts, n), columns-n
	}
	return parts
}

// writeParts writes batches part by part, in any order save that each part has its own in theirs, and has each of its row groups end where the others do.
func writeParts(t *rapid.T, w *Writer, batches []arrow.RecordBatch, flushes []bool) error {
	var turns []int
	for range batches {
		for index := range w.parts {
			turns = append(turns, index)
		}
	}
	next := make([]int, len(w.parts)) // batch of each part
	for _, index := range rapid.Permutation(turns).Draw(t, "turns") {
		batch, flush := batches[next[index]], flushes[next[index]]
		next[index]++
		first, n := w.parts[index].first, len(w.parts[index].columns)
		schema := arrow.NewSchema(batch.Schema().Fields()[first:first+n], nil)
		if err := w.WritePart(index, array.NewRecordBatch(schema, batch.Columns()[first:first+n], batch.NumRows())); err != nil {
			return err
		}
		if flush {
			if err := w.FlushPart(index); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestPartsOfOtherRows: a file whose parts have not the same row groups is refused.
func TestPartsOfOtherRows(t *testing.T) {
	for name, rows := range map[string][2]int{"one is wanting": {3, 0}, "one is shorter": {3, 2}, "one has a row group more": {3, 5}} {
		t.Run(name, func(t *testing.T) {
			specs := []ColumnSpec{{Name: "a", Type: feature.Scalar(feature.Int64)}, {Name: "b", Type: feature.Scalar(feature.Int64)}}
			w := NewWriter(io.Discard, specs, WriterOptions{RowGroupRows: 3, Parts: []int{1, 1}})
			var err error
			for index, n := range rows {
				b := array.NewInt64Builder(memory.DefaultAllocator)
				b.AppendValues(make([]int64, n), nil)
				schema := arrow.NewSchema([]arrow.Field{{Name: specs[index].Name, Type: arrow.PrimitiveTypes.Int64}}, nil)
				err = errors.Join(err, w.WritePart(index, array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, int64(n))))
			}
			_, closing := w.Close()
			if err := errors.Join(err, closing); err == nil || feature.KindOf(err) != feature.ErrInternal {
				t.Errorf("%v", err)
			}
		})
	}
}
