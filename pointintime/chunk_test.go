package pointintime

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
)

// TestChunkRows asks how many rows of a spine of numbers are joined at a time with some features: 2 M rows with 20 features of five views are to be one pass
// over the history, where columns are written part by part; whole rows take more memory.
func TestChunkRows(t *testing.T) {
	customer, number := feature.Field{Name: "customer", Type: feature.Scalar(feature.Int64)}, feature.Scalar(feature.Float64)
	serviceOf := func(features int) *feature.Service {
		svc := &feature.Service{Name: "s"}
		for v := range 5 {
			view := &feature.View{Name: fmt.Sprintf("v%d", v), Keys: []feature.Field{customer}}
			ref := feature.Ref{View: view, KeyColumns: []string{customer.Name}}
			for f := range features {
				view.Features = append(view.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprintf("v%d_f%d", v, f), Type: number}})
				ref.Features = append(ref.Features, f)
			}
			svc.Refs = append(svc.Refs, ref)
		}
		return svc
	}
	column := func(name string, t feature.Type) arrow.Field { return arrow.Field{Name: name, Type: t.Arrow()} }
	spine := arrow.NewSchema([]arrow.Field{column(customer.Name, customer.Type), column(TimeColumnDefault, feature.Scalar(feature.Timestamp)),
		column("row", feature.Scalar(feature.Int64)), column("label", number)}, nil)
	rowsIn := func(path string, o ExportOptions, textBytes int64) int {
		return newExport(serviceOf(4), nil, "", path, o).chunkRows(spine, textBytes)
	}
	rowsOf := func(o ExportOptions, textBytes int64) int { return rowsIn("out.parquet", o, textBytes) }
	if n := rowsOf(ExportOptions{Options: Options{Workers: 2}}, 0); n < 3_800_000 || n > 4_000_000 {
		t.Errorf("%d rows in %d bytes, want 3.9 M", n, MemoryDefault)
	}
	if n := newExport(serviceOf(400), nil, "", "out.parquet", ExportOptions{Options: Options{Workers: 2}}).chunkRows(spine, 0); n < 3_800_000 {
		t.Errorf("%d rows with a hundred times the features, want as many", n)
	}
	if n := rowsIn("out.csv", ExportOptions{}, 0); n < 1_800_000 || n > 2_000_000 {
		t.Errorf("%d whole rows in %d bytes, want 1.9 M", n, MemoryDefault)
	}
	if n, all := rowsOf(ExportOptions{Memory: MemoryDefault / 4}, 0), rowsOf(ExportOptions{}, 0); n < all/4-1 || n > all/4+1 {
		t.Errorf("%d rows in a quarter of the memory, want a quarter of %d", n, all)
	}
	if n, all := rowsOf(ExportOptions{}, 1000), rowsOf(ExportOptions{}, 0); n > all/5 {
		t.Errorf("%d rows with texts of 1,000 bytes, %d without", n, all)
	}
	if n := rowsOf(ExportOptions{ChunkRows: 7}, 0); n != 7 {
		t.Errorf("%d rows, want those that were asked for", n)
	}
}
