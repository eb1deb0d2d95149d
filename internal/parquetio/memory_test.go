package parquetio

import (
	"bytes"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// writtenFile returns a file of batches, a row group each.
func writtenFile(t rapid.TB, specs []ColumnSpec, batches ...arrow.RecordBatch) *File {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, specs, WriterOptions{})
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := NewFile("written", bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestMemory reads columns over and over, releases some of them and keeps others: what is kept stays as it was, and what is released
// serves later reads.
func TestMemory(t *testing.T) {
	specs, batch := history(3 * memoryLeast / 8)
	file := writtenFile(t, specs, batch)
	var m Memory
	file.UseMemory(&m)
	plain := map[string]arrow.Array{}
	for i, c := range specs {
		plain[c.Name] = batch.Column(i)
	}
	rapid.Check(t, func(t *rapid.T) {
		kept := map[arrow.Array]string{} // with the column
		for range rapid.IntRange(1, 12).Draw(t, "reads") {
			c := rapid.SampledFrom(specs).Draw(t, "column")
			a, err := file.Read(0, c.Name, c.Type, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !array.Equal(a, plain[c.Name]) {
				t.Fatalf("column %s is not what was written", c.Name)
			}
			if rapid.Bool().Draw(t, "release") {
				a.Release()
				if m.kept == 0 {
					t.Fatal("what was released is not kept for later reads")
				}
			} else {
				kept[a] = c.Name
			}
		}
		for a, name := range kept {
			if !array.Equal(a, plain[name]) {
				t.Fatalf("column %s has changed while it was held", name)
			}
			a.Release()
		}
		var after [2]int
		for i := range after {
			a, err := file.Read(0, "f1", feature.Scalar(feature.Float64), nil)
			if err != nil {
				t.Fatal(err)
			}
			a.Release()
			after[i] = m.kept
		}
		if after[1] != after[0] {
			t.Fatalf("%d bytes were kept after a read and %d after it was done again", after[0], after[1])
		}
	})
	if m.kept > memoryKeptMax {
		t.Errorf("%d bytes are kept, more than %d", m.kept, memoryKeptMax)
	}
}

// TestSame writes columns of few values, some copied from others, and compares what the file says of them with the values.
func TestSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		specs := drawSpecs(t)
		for i := range specs {
			specs[i].Required = false
			if i > 0 && rapid.Bool().Draw(t, "alike") {
				specs[i].Type = specs[0].Type
			}
		}
		var batches []arrow.RecordBatch
		for range rapid.IntRange(1, 3).Draw(t, "row groups") {
			batches = append(batches, withCopies(t, drawBatch(t, specs)))
		}
		batches = slices.DeleteFunc(batches, func(b arrow.RecordBatch) bool { return b.NumRows() == 0 })
		file := writtenFile(t, specs, batches...)
		for g, batch := range batches {
			for i, spec := range specs {
				want := spec.Name
				for j := range i {
					if specs[j].Type == spec.Type && spec.Type.Kind != feature.Bool && spec.Type.Kind != feature.String && spec.Type.Kind != feature.Bytes && !spec.Type.List && sameTexts(batch.Column(i), batch.Column(j)) {
						want = specs[j].Name
						break
					}
				}
				if got := file.Same(g, spec.Name); got != want {
					t.Fatalf("row group %d: column %s is the same as %s, want %s: %v", g, spec.Name, got, want, batch)
				}
			}
		}
		if got := file.Same(len(batches), specs[0].Name); got != specs[0].Name {
			t.Fatalf("in a row group that does not exist, %s is the same as %s", specs[0].Name, got)
		}
	})
}

// withCopies returns batch with some columns replaced by earlier ones of their type.
func withCopies(t *rapid.T, batch arrow.RecordBatch) arrow.RecordBatch {
	columns := slices.Clone(batch.Columns())
	for i := range columns {
		if j := rapid.IntRange(0, i).Draw(t, "copy of"); arrow.TypeEqual(columns[i].DataType(), columns[j].DataType()) {
			columns[i] = columns[j]
		}
	}
	return array.NewRecordBatch(batch.Schema(), columns, batch.NumRows())
}

// sameTexts compares columns value by value; zeros of either sign differ, and NaN is the same as NaN.
func sameTexts(a, b arrow.Array) bool {
	for i := range a.Len() {
		if textOf(a, i) != textOf(b, i) {
			return false
		}
	}
	return true
}

// TestSameOfOthers has a footer say what no writer of this package would: it is passed over.
func TestSameOfOthers(t *testing.T) {
	for name, value := range map[string]string{
		"no JSON":         "x",
		"another shape":   `{"a": "b"}`,
		"no such column":  `[{"b": "z"}]`,
		"another type":    `[{"b": "c"}]`,
		"no such subject": `[{"z": "a"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			specs := []ColumnSpec{{Name: "a", Type: feature.Scalar(feature.Int64)}, {Name: "b", Type: feature.Scalar(feature.Int64)}, {Name: "c", Type: feature.Scalar(feature.Int32)}}
			var buf bytes.Buffer
			w := NewWriter(&buf, specs, WriterOptions{KeyValues: map[string]string{sameColumns: value}})
			one := array.NewInt64Builder(memory.DefaultAllocator)
			one.Append(1)
			two := array.NewInt64Builder(memory.DefaultAllocator)
			two.Append(2)
			three := array.NewInt32Builder(memory.DefaultAllocator)
			three.Append(3)
			fields := []arrow.Field{{Name: "a", Type: arrow.PrimitiveTypes.Int64}, {Name: "b", Type: arrow.PrimitiveTypes.Int64}, {Name: "c", Type: arrow.PrimitiveTypes.Int32}}
			if err := w.Write(array.NewRecordBatch(arrow.NewSchema(fields, nil), []arrow.Array{one.NewArray(), two.NewArray(), three.NewArray()}, 1)); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
			f, err := NewFile(name, bytes.NewReader(buf.Bytes()), int64(buf.Len()))
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := f.KeyValue(sameColumns); !ok || got != value {
				t.Fatalf("the footer says %q", got)
			}
			for _, c := range []string{"a", "b", "c"} {
				if got := f.Same(0, c); got != c {
					t.Errorf("column %s is the same as %s", c, got)
				}
			}
		})
	}
}
