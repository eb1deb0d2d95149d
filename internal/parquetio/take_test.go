package parquetio

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
)

// TestPartsOfColumns reads single rows, runs, and pieces of all row groups, and compares them with whole columns.
func TestPartsOfColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		specs := drawSpecs(t)
		for i := range specs {
			specs[i].PageRows = rapid.SampledFrom([]int{0, 1, 7, 500}).Draw(t, "page rows")
		}
		rows, distinct := rapid.SampledFrom([]int{1, 40, 6000}).Draw(t, "rows"), rapid.SampledFrom([]int{2, 1 << 30}).Draw(t, "distinct")
		var batches []arrow.RecordBatch
		for range rapid.IntRange(1, 2).Draw(t, "row groups") {
			batches = append(batches, randomBatch(rand.New(rand.NewPCG(2, rapid.Uint64().Draw(t, "seed"))), specs, rows, distinct))
		}
		f := writtenFile(t, specs, batches...)
		var m Memory
		if rapid.Bool().Draw(t, "memory") {
			f.UseMemory(&m)
		}
		for _, spec := range specs {
			var whole []arrow.Array
			for g := range f.RowGroups() {
				column, err := f.Read(g, spec.Name, spec.Type, nil)
				if err != nil {
					t.Fatal(err)
				}
				whole = append(whole, column)
				checkTake(t, f, g, spec, column)
				checkRuns(t, f, g, spec, column)
			}
			checkStored(t, f, spec, whole)
		}
	})
}

// alike compares floats by their bits, and anything else as Arrow does.
func alike(a, b arrow.Array) bool {
	if k := a.DataType().ID(); k == arrow.FLOAT32 || k == arrow.FLOAT64 {
		return a.Len() == b.Len() && SameBits(a, b)
	}
	if _, isList := a.(*array.List); isList {
		return fmt.Sprint(a) == fmt.Sprint(b)
	}
	return array.Equal(a, b)
}

func checkTake(t *rapid.T, f *File, group int, spec ColumnSpec, whole arrow.Array) {
	var rows []int32
	for at := rapid.IntRange(0, whole.Len()).Draw(t, "first"); at < whole.Len() && len(rows) < 50; at += rapid.SampledFrom([]int{1, 2, 9, 700}).Draw(t, "step") {
		rows = append(rows, int32(at))
	}
	got, err := f.Take(group, spec.Name, spec.Type, rows)
	if err != nil || got.Len() != len(rows) {
		t.Fatalf("%d rows of %d, %v", got.Len(), len(rows), err)
	}
	if want := interleave.Rows([]arrow.Array{whole}, make([]int32, len(rows)), rows); !alike(got, want) {
		t.Fatalf("rows %v of column %+v: got %v, want %v", rows, spec, got, want)
	}
	if len(rows) > 0 {
		if _, err := f.Take(group, spec.Name, spec.Type, append(rows, rows[0])); feature.KindOf(err) != feature.ErrInternal {
			t.Fatalf("rows that do not ascend: %v", err)
		}
	}
}

func checkRuns(t *rapid.T, f *File, group int, spec ColumnSpec, whole arrow.Array) {
	from := rapid.IntRange(0, whole.Len()).Draw(t, "from")
	to := rapid.IntRange(from, whole.Len()).Draw(t, "to")
	spans := []Span{{from, to}}
	runs, err := f.ReadRuns(group, spec.Name, spec.Type, spans)
	want := array.NewSlice(whole, int64(from), int64(to))
	switch isFloat := spec.Type.Kind == feature.Float32 || spec.Type.Kind == feature.Float64; {
	case spec.Type.List || isFloat:
		if feature.KindOf(err) != feature.ErrInternal {
			t.Fatalf("runs of %v: %v", spec.Type, err)
		}
		return
	case want.NullN() > 0:
		if feature.KindOf(err) != feature.ErrCorrupt {
			t.Fatalf("runs with a NULL: %v", err)
		}
		return
	case err != nil:
		t.Fatal(err)
	}
	var each []int32
	begin := int32(0)
	for i, end := range runs.Ends {
		if end <= begin || i > 0 && runs.Values.ValueStr(i) == runs.Values.ValueStr(i-1) {
			t.Fatalf("run %d ends at %d, the one before it at %d: %v", i, end, begin, runs.Values)
		}
		for ; begin < end; begin++ {
			each = append(each, int32(i))
		}
	}
	if got := interleave.Rows([]arrow.Array{runs.Values}, make([]int32, len(each)), each); !alike(got, want) {
		t.Fatalf("runs of column %+v: got %v, want %v", spec, got, want)
	}
}

func checkStored(t *rapid.T, f *File, spec ColumnSpec, whole []arrow.Array) {
	stored, ok := f.Stored(spec.Name)
	if ok == spec.Type.List {
		t.Fatalf("column %+v is stored as %+v, %v", spec, stored, ok)
	}
	if !ok {
		return
	}
	if isTime := spec.Type.Kind == feature.Timestamp; isTime != (stored.UnitsPerSecond == 1e6) {
		t.Fatalf("column %+v has %d units a second", spec, stored.UnitsPerSecond)
	}
	scanner, left := f.ScanStored(spec.Name, nil), int(f.Rows())
	var pieces []arrow.Array
	for left > 0 {
		n := rapid.IntRange(1, left).Draw(t, "piece")
		piece, err := scanner.Next(n)
		if err != nil {
			t.Fatal(err)
		}
		d := piece.Data() // a time is stored as an int64, text as bytes
		pieces = append(pieces, array.MakeFromData(array.NewData(spec.Type.Arrow(), d.Len(), d.Buffers(), nil, d.NullN(), 0)))
		left -= n
	}
	if _, err := scanner.Next(1); feature.KindOf(err) != feature.ErrInternal {
		t.Fatalf("a row after the last: %v", err)
	}
	got, err1 := array.Concatenate(pieces, memory.DefaultAllocator)
	want, err2 := array.Concatenate(whole, memory.DefaultAllocator)
	if err1 != nil || err2 != nil || !alike(got, want) {
		t.Fatalf("column %+v as stored: got %v, want %v", spec, got, want)
	}
}

// TestTakeReadsLittle takes a few numbers of a long column: it reads the blocks that they lie in, and the index.
func TestTakeReadsLittle(t *testing.T) {
	specs := []ColumnSpec{{Name: "x", Type: feature.Scalar(feature.Float64)}}
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		b.Append(random.Float64())
	}
	values := b.NewFloat64Array()
	f := writtenFile(t, specs, array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "x", Type: specs[0].Type.Arrow(), Nullable: true}}, nil), []arrow.Array{values}, 100_000))
	var read atomic.Int64
	f.CountReads(&read)
	rows := []int32{3, 40_000, 40_001, 99_999}
	got, err := f.Take(0, "x", specs[0].Type, rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rows {
		if got.(*array.Float64).Value(i) != values.Value(int(r)) {
			t.Errorf("row %d: got %v, want %v", r, got.(*array.Float64).Value(i), values.Value(int(r)))
		}
	}
	if most := int64(6 * blockBytes); read.Load() > most {
		t.Errorf("%d bytes were read, more than %d", read.Load(), most)
	}
}

// TestTakeOfDamaged flips a bit in what a few numbers are read from.
func TestTakeOfDamaged(t *testing.T) {
	specs := []ColumnSpec{{Name: "x", Type: feature.Scalar(feature.Float64), Required: true}}
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	random := rand.New(rand.NewPCG(3, 4))
	for range 50_000 {
		b.Append(random.Float64())
	}
	var buf bytes.Buffer
	w := NewWriter(&buf, specs, WriterOptions{})
	if err := w.Write(array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "x", Type: specs[0].Type.Arrow()}}, nil), []arrow.Array{b.NewArray()}, 50_000)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content := buf.Bytes()
	content[200_000] ^= 1
	f, err := NewFile("damaged", bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Take(0, "x", specs[0].Type, []int32{10}); err != nil {
		t.Errorf("a row elsewhere: %v", err)
	}
	if _, err := f.Take(0, "x", specs[0].Type, []int32{200_000 / 8}); feature.KindOf(err) != feature.ErrCorrupt {
		t.Errorf("a row of the damaged block: %v", err)
	}
}
