package parquetio

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// TestWriterRoundTrip writes random batches and reads them back with this package's reader, which knows nothing of
// parquet-go's page encoders.
func TestWriterRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		specs := drawSpecs(t)
		opts := WriterOptions{RowGroupRows: rapid.IntRange(1, 50).Draw(t, "row group"), PageRows: rapid.IntRange(1, 20).Draw(t, "page")}
		opts.Parts = drawParts(t, len(specs))
		var buf bytes.Buffer
		w := NewWriter(&buf, specs, opts)
		var batches []arrow.RecordBatch
		var flushes []bool // after each batch
		for range rapid.IntRange(0, 4).Draw(t, "batches") {
			batches, flushes = append(batches, drawBatch(t, specs)), append(flushes, rapid.IntRange(0, 3).Draw(t, "flush") == 0)
		}
		if err := writeParts(t, w, batches, flushes); err != nil {
			t.Fatal(err)
		}
		stats, err := w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if stats.Bytes != int64(buf.Len()) {
			t.Fatalf("%d bytes are counted, %d written", stats.Bytes, buf.Len())
		}
		f, err := NewFile("round trip", bytes.NewReader(buf.Bytes()), int64(buf.Len()))
		if err != nil {
			t.Fatal(err)
		}
		checkRoundTrip(t, f, specs, batches, stats)
	})
}

func checkRoundTrip(t *rapid.T, f *File, specs []ColumnSpec, batches []arrow.RecordBatch, stats Stats) {
	groups := f.RowGroups()
	if len(stats.Offsets) != len(groups) || stats.Rows != f.Rows() {
		t.Fatalf("stats tell of %d row groups and %d rows, the file of %d and %d", len(stats.Offsets), stats.Rows, len(groups), f.Rows())
	}
	for i, spec := range specs {
		var want, got []string
		nulls := int64(0)
		for _, b := range batches {
			for r := range int(b.NumRows()) {
				want = append(want, textOf(b.Column(i), r))
			}
			nulls += int64(b.Column(i).NullN())
		}
		for g := range groups {
			a, err := f.Read(g, spec.Name, spec.Type, nil)
			if err != nil {
				t.Fatal(err)
			}
			low, high, bounded := f.Bounds(g, spec.Name)
			for r := range a.Len() {
				got = append(got, textOf(a, r))
				if bounded && a.IsValid(r) && !within(a, r, low, high) {
					t.Fatalf("%s is outside of the bounds %v and %v", a.ValueStr(r), low, high)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("column %s (%s) is %q, want %q", spec.Name, spec.Type, got, want)
		}
		if !spec.Type.List && (stats.Columns[i].Nulls != nulls || stats.Columns[i].Values != stats.Rows) {
			t.Fatalf("column %s: stats are %+v, want %d NULLs of %d", spec.Name, stats.Columns[i], nulls, stats.Rows)
		}
	}
}

// textOf tells NULL from an empty value, in lists too.
func textOf(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "NULL"
	}
	list, ok := a.(*array.List)
	if !ok {
		return "=" + a.ValueStr(i)
	}
	from, to := list.ValueOffsets(i)
	s := "["
	for j := from; j < to; j++ {
		s += textOf(list.ListValues(), int(j))
	}
	return s + "]"
}

func within(a arrow.Array, i int, low, high any) bool {
	switch a := a.(type) {
	case *array.Int64:
		return low.(int64) <= a.Value(i) && a.Value(i) <= high.(int64)
	case *array.Float64, *array.Float32:
		return false // they have none, see ColumnSpec.bounded
	case *array.String:
		return low.(string) <= a.Value(i) && a.Value(i) <= high.(string)
	}
	return true
}

func drawSpecs(t *rapid.T) []ColumnSpec {
	var specs []ColumnSpec
	for i := range rapid.IntRange(1, 4).Draw(t, "columns") {
		c := ColumnSpec{Name: fmt.Sprintf("c%d", 9-i), FieldID: 2*i + 1, ElementID: 2*i + 2} // not in the order of names
		c.Type = feature.Type{Kind: feature.Kind(rapid.IntRange(int(feature.Bool), int(feature.Timestamp)).Draw(t, "kind")), List: rapid.Bool().Draw(t, "list")}
		c.Required, c.Ordered = rapid.Bool().Draw(t, "required"), !c.Type.List && rapid.Bool().Draw(t, "ordered")
		specs = append(specs, c)
	}
	return specs
}

func drawBatch(t *rapid.T, specs []ColumnSpec) arrow.RecordBatch {
	n := rapid.IntRange(0, 60).Draw(t, "rows")
	distinct := rapid.SampledFrom([]int{2, 1000}).Draw(t, "distinct")
	seed := rapid.Uint64().Draw(t, "seed")
	return randomBatch(rand.New(rand.NewPCG(1, seed)), specs, n, distinct)
}

// randomBatch makes rows of values out of so many distinct ones, a fourth of them NULL where they may be.
func randomBatch(r *rand.Rand, specs []ColumnSpec, n, distinct int) arrow.RecordBatch {
	var columns []arrow.Array
	var fields []arrow.Field
	for _, c := range specs {
		b := array.NewBuilder(memory.DefaultAllocator, c.Type.Arrow())
		for range n {
			list, isList := b.(*array.ListBuilder)
			switch {
			case !c.Required && r.IntN(4) == 0:
				b.AppendNull()
			case isList:
				list.Append(true)
				for range r.IntN(4) {
					appendRandom(list.ValueBuilder(), r.IntN(distinct))
				}
			default:
				appendRandom(b, r.IntN(distinct))
			}
		}
		columns = append(columns, b.NewArray())
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.Arrow(), Nullable: true})
	}
	batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(n))
	if n > 10 { // arrays with an offset
		return batch.NewSlice(3, int64(n-2))
	}
	return batch
}

func appendRandom(b array.Builder, v int) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v%2 == 0)
	case *array.Int32Builder:
		b.Append(int32(v) * 1_000_003)
	case *array.Int64Builder:
		b.Append(int64(v-500) << 54)
	case *array.Float32Builder:
		b.Append(float32(v) / 3)
	case *array.Float64Builder:
		b.Append([]float64{float64(v) / 3, math.NaN(), math.Inf(-1), math.Copysign(0, -1)}[max(0, v%13-9)])
	case *array.StringBuilder:
		b.Append(fmt.Sprintf("%.*s", v%40, "żółw żółwiowi żółw żółwiowi żółw żółwiowi"))
	case *array.BinaryBuilder:
		b.Append(bytes.Repeat([]byte{0xff}, v%40))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v) * 1_000_000)
	}
}

// TestWriterRefuses writes batches that do not fit.
func TestWriterRefuses(t *testing.T) {
	specs := []ColumnSpec{{Name: "a", Type: feature.Scalar(feature.Int64), Required: true}}
	random := rand.New(rand.NewPCG(1, 2))
	for name, batch := range map[string]arrow.RecordBatch{
		"another type":  randomBatch(random, []ColumnSpec{{Name: "a", Type: feature.Scalar(feature.Int32)}}, 5, 3),
		"more columns":  randomBatch(random, append(specs, specs...), 5, 3),
		"NULL required": randomBatch(random, []ColumnSpec{{Name: "a", Type: feature.Scalar(feature.Int64)}}, 100, 3),
	} {
		if err := NewWriter(io.Discard, specs, WriterOptions{}).Write(batch); feature.KindOf(err) != feature.ErrInternal || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWriterKeyBounds checks that the bounds of keys hold where a key is long and cannot be rounded up.
func TestWriterKeyBounds(t *testing.T) {
	specs := []ColumnSpec{{Name: "key", Type: feature.Scalar(feature.Bytes), Required: true, Ordered: true}}
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	key := bytes.Repeat([]byte{0xff}, 40)
	b.Append(key)
	var buf bytes.Buffer
	w := NewWriter(&buf, specs, WriterOptions{})
	schema := arrow.NewSchema([]arrow.Field{{Name: "key", Type: arrow.BinaryTypes.Binary}}, nil)
	if err := w.Write(array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := NewFile("keys", bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	pages := f.Pages(0, "key")
	if len(pages) != 1 || !bytes.Equal(pages[0].Max.([]byte), key) {
		t.Errorf("the pages are %+v, want one up to %x", pages, key)
	}
}

// history is a row group as views have them: keys with 20 rows each, times, and four floats of which one repeats.
func history(n int) ([]ColumnSpec, arrow.RecordBatch) {
	specs := []ColumnSpec{
		{Name: "key", Type: feature.Scalar(feature.Int64), Required: true, Ordered: true},
		{Name: "event_time", Type: feature.Scalar(feature.Timestamp), Required: true, Ordered: true},
		{Name: "f1", Type: feature.Scalar(feature.Float64)}, {Name: "f2", Type: feature.Scalar(feature.Float64)},
		{Name: "f3", Type: feature.Scalar(feature.Float64)}, {Name: "f4", Type: feature.Scalar(feature.Float64)},
	}
	random := rand.New(rand.NewPCG(1, 2))
	var columns []arrow.Array
	var fields []arrow.Field
	for _, c := range specs {
		b := array.NewBuilder(memory.DefaultAllocator, c.Type.Arrow())
		for i := range n {
			switch b := b.(type) {
			case *array.Int64Builder:
				b.Append(int64(i / 20 * 7))
			case *array.TimestampBuilder:
				b.Append(arrow.Timestamp(1.6e15 + int64(i%20)*3_600_000_000 + random.Int64N(3_600_000_000)))
			case *array.Float64Builder:
				switch {
				case i%50 == 0:
					b.AppendNull()
				case c.Name == "f4":
					b.Append(float64(random.IntN(100)))
				default:
					b.Append(random.NormFloat64())
				}
			}
		}
		columns = append(columns, b.NewArray())
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.Arrow(), Nullable: true})
	}
	return specs, array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(n))
}

func codecsByName() map[string]compress.Codec {
	return map[string]compress.Codec{"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "zstd": &parquet.Zstd, "lz4": &parquet.Lz4Raw}
}

// BenchmarkWriter writes a row group of 6 columns with each codec:
//
//	go test -run - -bench Writer ./internal/parquetio
func BenchmarkWriter(b *testing.B) {
	specs, batch := history(1 << 19)
	for name, codec := range codecsByName() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := NewWriter(io.Discard, specs, WriterOptions{Codec: codec})
				if err := w.Write(batch); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(batch.NumRows())/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkWrittenRead reads what BenchmarkWriter writes.
func BenchmarkWrittenRead(b *testing.B) {
	specs, batch := history(1 << 19)
	for name, codec := range codecsByName() {
		var buf bytes.Buffer
		w := NewWriter(&buf, specs, WriterOptions{Codec: codec})
		if err := w.Write(batch); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := NewFile(name, bytes.NewReader(buf.Bytes()), int64(buf.Len()))
				if err != nil {
					b.Fatal(err)
				}
				for _, c := range specs {
					if _, err := f.Read(0, c.Name, c.Type, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)*float64(batch.NumRows())/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(buf.Len())/float64(batch.NumRows()), "B/row")
		})
	}
}

// TestAnotherReaderReads holds what the writer writes against parquet-go's reader, which shares none of its code: values and levels.
func TestAnotherReaderReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		specs := drawSpecs(t)
		var buf bytes.Buffer
		opts := WriterOptions{RowGroupRows: rapid.IntRange(1, 50).Draw(t, "row group"), PageRows: rapid.IntRange(1, 20).Draw(t, "page"), Parts: drawParts(t, len(specs))}
		w := NewWriter(&buf, specs, opts)
		batch := drawBatch(t, specs)
		if err := writeParts(t, w, []arrow.RecordBatch{batch}, []bool{false}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, group := range f.RowGroups() {
			rows := group.Rows()
			read := make([]parquet.Row, group.NumRows())
			if n, err := rows.ReadRows(read); n != len(read) || err != nil && err != io.EOF {
				t.Fatalf("%d of %d rows, %v", n, len(read), err)
			}
			for _, row := range read {
				got = append(got, fmt.Sprintf("%+v", row))
			}
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var want []string
		for r := range int(batch.NumRows()) {
			var row parquet.Row
			for i, c := range specs {
				row = append(row, levelled(batch.Column(i), r, i, c.Required)...)
			}
			want = append(want, fmt.Sprintf("%+v", row))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v is read as\n%q, not\n%q", specs, got, want)
		}
	})
}

// levelled returns row r of a column as parquet-go knows it: values with their levels.
func levelled(a arrow.Array, r, column int, required bool) []parquet.Value {
	level := 1
	if required {
		level = 0
	}
	value := func(a arrow.Array, i int) parquet.Value {
		switch a := a.(type) {
		case *array.Boolean:
			return parquet.ValueOf(a.Value(i))
		case *array.Int32:
			return parquet.ValueOf(a.Value(i))
		case *array.Int64:
			return parquet.ValueOf(a.Value(i))
		case *array.Timestamp:
			return parquet.ValueOf(int64(a.Value(i)))
		case *array.Float32:
			return parquet.ValueOf(a.Value(i))
		case *array.Float64:
			return parquet.ValueOf(a.Value(i))
		case *array.String:
			return parquet.ValueOf(a.Value(i))
		}
		return parquet.ValueOf(a.(*array.Binary).Value(i))
	}
	list, isList := a.(*array.List)
	switch {
	case a.IsNull(r):
		return []parquet.Value{parquet.NullValue().Level(0, level-1, column)}
	case !isList:
		return []parquet.Value{value(a, r).Level(0, level, column)}
	}
	from, to := list.ValueOffsets(r)
	if from == to {
		return []parquet.Value{parquet.NullValue().Level(0, level, column)}
	}
	var values []parquet.Value
	for i := from; i < to; i++ {
		repetition := min(1, int(i-from))
		if list.ListValues().IsNull(int(i)) {
			values = append(values, parquet.NullValue().Level(repetition, level+1, column))
		} else {
			values = append(values, value(list.ListValues(), int(i)).Level(repetition, level+2, column))
		}
	}
	return values
}

// TestEachStretch cuts arrays of random NULLs, sliced anywhere, into stretches.
func TestEachStretch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		for _, stretch := range rapid.SliceOfN(rapid.IntRange(0, 150), 1, 8).Draw(t, "stretches") {
			valid := rapid.Bool().Draw(t, "valid")
			for range stretch {
				if valid {
					b.Append(1)
				} else {
					b.AppendNull()
				}
			}
		}
		all := b.NewArray()
		skip := rapid.IntRange(0, all.Len()).Draw(t, "skip")
		a := array.NewSlice(all, int64(skip), int64(all.Len()))
		from := rapid.IntRange(0, a.Len()).Draw(t, "from")
		to := rapid.IntRange(from, a.Len()).Draw(t, "to")
		at := from
		eachStretch(a, from, to, func(first, end int, valid bool) {
			if first != at || end <= first && to > from {
				t.Fatalf("a stretch [%d, %d) at %d", first, end, at)
			}
			for ; at < end; at++ {
				if a.IsValid(at) != valid {
					t.Fatalf("row %d is said to be valid: %v", at, valid)
				}
			}
		})
		if at != to {
			t.Fatalf("stretches end at %d, not %d", at, to)
		}
	})
}

// TestDictionaryKeepsBits writes floats that repeat: both zeros, and NaNs, come back as they were, and a NaN is one value of the dictionary.
func TestDictionaryKeepsBits(t *testing.T) {
	specs := []ColumnSpec{{Name: "x", Type: feature.Scalar(feature.Float64), Required: true}}
	values := []float64{0, math.Copysign(0, -1), math.NaN(), math.Float64frombits(0x7ff8000000000002), 1}
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	for i := range 1000 {
		b.Append(values[i%5])
	}
	want := b.NewFloat64Array()
	if _, n, err := newValues(feature.Float64).dictionary([]arrow.Array{want}, 1<<20).plain(); err != nil || n != 5 {
		t.Errorf("%d values, %v", n, err)
	}
	var buf bytes.Buffer
	w := NewWriter(&buf, specs, WriterOptions{})
	schema := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	if err := w.Write(array.NewRecordBatch(schema, []arrow.Array{want}, 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := NewFile("bits", bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Read(0, "x", specs[0].Type, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !SameBits(got, want) {
		t.Errorf("read as %v", got)
	}
	if w.groups[0].meta.Columns[0].MetaData.Encoding[0] != format.RLEDictionary {
		t.Errorf("it was written as %v", w.groups[0].meta.Columns[0].MetaData.Encoding)
	}
}
