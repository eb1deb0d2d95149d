package parquetio

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	pqfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
)

// Another reader, arrow-go's, must see the same values wherever it sees any.
func TestConformanceValues(t *testing.T) {
	dir := material.Path(t, "conformance/parquet-testing/data")
	paths, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, path := range paths {
		f, err := Open(path)
		if err != nil {
			continue // TestConformance of package source says which and why
		}
		table := readByArrow(path)
		for _, c := range f.Columns() {
			if c.Convertible && c.Type.Kind != 0 && table != nil {
				compared += compareColumn(t, f, c, table)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d columns compared", compared)
	if compared < 300 {
		t.Errorf("only %d columns could be compared", compared)
	}
}

// readByArrow returns nil where arrow-go cannot read the file.
func readByArrow(path string) (table arrow.Table) {
	if filepath.Base(path) == "large_string_map.brotli.parquet" { // takes gigabytes
		return nil
	}
	defer func() {
		if recover() != nil {
			table = nil
		}
	}()
	r, err := pqfile.OpenParquetFile(path, false)
	if err != nil {
		return nil
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil
	}
	if table, err = fr.ReadTable(context.Background()); err != nil {
		return nil
	}
	return table
}

func compareColumn(t *testing.T, f *File, c ColumnInfo, table arrow.Table) int {
	names := strings.Split(c.Path, ".")
	indices := table.Schema().FieldIndices(names[0])
	if len(indices) != 1 {
		return 0
	}
	var want []string
	for _, chunk := range table.Column(indices[0]).Data().Chunks() {
		for i := range chunk.Len() {
			want = append(want, show(chunk, i, names[1:]))
		}
	}
	var got []string
	for g := range f.RowGroups() {
		a, err := f.Read(g, c.Path, c.Type, nil)
		if err != nil {
			if feature.KindOf(err) == feature.ErrCorrupt && !strings.Contains(f.Path(), "corrupt-checksum") {
				t.Errorf("arrow-go reads it: %v", err)
			}
			return 0
		}
		for i := range a.Len() {
			got = append(got, show(a, i, nil))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s %s: %d rows, want %d", f.Path(), c.Path, len(got), len(want))
		return 1
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s %s: row %d is %s, want %s", f.Path(), c.Path, i, got[i], want[i])
			break
		}
	}
	return 1
}

// show writes a value in a form in which the two readers' types agree: numbers in full, times in microseconds.
func show(a arrow.Array, i int, path []string) string {
	if a.IsNull(i) {
		return "NULL"
	}
	switch a := a.(type) {
	case *array.Struct:
		k, _ := a.DataType().(*arrow.StructType).FieldIdx(path[0])
		return show(a.Field(k), i, path[1:])
	case array.ListLike:
		from, to := a.ValueOffsets(i)
		parts := []string{}
		for j := from; j < to; j++ {
			parts = append(parts, show(a.ListValues(), int(j), path))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case *array.Timestamp:
		v, unit := int64(a.Value(i)), a.DataType().(*arrow.TimestampType).Unit
		switch unit {
		case arrow.Second:
			v *= 1e6
		case arrow.Millisecond:
			v *= 1e3
		case arrow.Nanosecond:
			v = int64(math.Ceil(float64(v%1000)/1000)) + v/1000
		}
		return fmt.Sprint("t", v)
	case *array.Date32:
		return fmt.Sprint("t", int64(a.Value(i))*86400e6)
	case *array.Decimal128, *array.Decimal256: // their float64 is not the nearest, their digits are right
		v, err := strconv.ParseFloat(a.ValueStr(i), 64)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint(v)
	case *array.Float16:
		return fmt.Sprint(a.Value(i).Float32())
	case *array.Binary:
		return string(a.Value(i))
	case *array.FixedSizeBinary:
		return string(a.Value(i))
	case *array.Float64:
		return fmt.Sprint(a.Value(i))
	}
	return strings.Trim(a.ValueStr(i), `"`)
}
