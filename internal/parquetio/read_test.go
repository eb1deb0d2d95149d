package parquetio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/asof-store/asof/feature"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding"
	"pgregory.net/rapid"
)

// twinColumn is a column of a random file: how it is written, how values are drawn, and what a plain reading of
// one parquet.Value makes of it.
type twinColumn struct {
	name      string
	node      parquet.Node
	encodings []encoding.Encoding
	draw      func(t *rapid.T) parquet.Value
	as        feature.Type
	plain     func(parquet.Value) any
}

var ints = []encoding.Encoding{&parquet.Plain, &parquet.DeltaBinaryPacked, &parquet.RLEDictionary}
var floats = []encoding.Encoding{&parquet.Plain, &parquet.ByteStreamSplit, &parquet.RLEDictionary}
var texts = []encoding.Encoding{&parquet.Plain, &parquet.DeltaLengthByteArray, &parquet.DeltaByteArray, &parquet.RLEDictionary}

func twinColumns() []twinColumn {
	int32Of := func(lo, hi int32) func(*rapid.T) parquet.Value {
		return func(t *rapid.T) parquet.Value { return parquet.Int32Value(rapid.Int32Range(lo, hi).Draw(t, "v")) }
	}
	int64Of := func(lo, hi int64) func(*rapid.T) parquet.Value {
		return func(t *rapid.T) parquet.Value { return parquet.Int64Value(rapid.Int64Range(lo, hi).Draw(t, "v")) }
	}
	text := func(t *rapid.T) parquet.Value {
		return parquet.ByteArrayValue([]byte(rapid.SampledFrom([]string{"", "a", "ab", "abc", "zürich", strings.Repeat("long ", 30)}).Draw(t, "v")))
	}
	raw := func(n int) func(*rapid.T) parquet.Value {
		return func(t *rapid.T) parquet.Value {
			return parquet.FixedLenByteArrayValue(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "v"))
		}
	}
	float := func(t *rapid.T) parquet.Value { return parquet.DoubleValue(rapid.Float64().Draw(t, "v")) }
	i64 := func(f func(int64) int64) func(parquet.Value) any {
		return func(v parquet.Value) any { return f(v.Int64()) }
	}
	same := func(v int64) int64 { return v }
	kind := feature.Scalar
	return []twinColumn{
		{"bool", parquet.Leaf(parquet.BooleanType), []encoding.Encoding{&parquet.Plain, &parquet.RLE},
			func(t *rapid.T) parquet.Value { return parquet.BooleanValue(rapid.Bool().Draw(t, "v")) }, kind(feature.Bool), func(v parquet.Value) any { return v.Boolean() }},
		{"int8", parquet.Int(8), ints, int32Of(-128, 127), kind(feature.Int32), func(v parquet.Value) any { return v.Int32() }},
		{"int32", parquet.Int(32), ints, int32Of(math.MinInt32, math.MaxInt32), kind(feature.Int64), func(v parquet.Value) any { return int64(v.Int32()) }},
		{"uint32", parquet.Uint(32), ints, int32Of(math.MinInt32, math.MaxInt32), kind(feature.Int64), func(v parquet.Value) any { return int64(uint32(v.Int32())) }},
		{"int64", parquet.Int(64), ints, int64Of(math.MinInt64, math.MaxInt64), kind(feature.Int64), i64(same)},
		{"int64as32", parquet.Int(64), ints, int64Of(-1000, 1000), kind(feature.Int32), func(v parquet.Value) any { return int32(v.Int64()) }},
		{"int64asfloat", parquet.Int(64), ints, int64Of(-1<<60, 1<<60), kind(feature.Float64), func(v parquet.Value) any { return float64(v.Int64()) }},
		{"uint64", parquet.Uint(64), ints, int64Of(0, math.MaxInt64), kind(feature.Int64), i64(same)},
		{"millis", parquet.Timestamp(parquet.Millisecond), ints, int64Of(-1e15, 1e15), kind(feature.Timestamp), i64(func(v int64) int64 { return v * 1000 })},
		{"micros", parquet.Timestamp(parquet.Microsecond), ints, int64Of(math.MinInt64, math.MaxInt64), kind(feature.Timestamp), i64(same)},
		{"nanos", parquet.Timestamp(parquet.Nanosecond), ints, int64Of(math.MinInt64, math.MaxInt64), kind(feature.Timestamp),
			i64(func(v int64) int64 { return int64(math.Floor(float64(v%1000)/1000+0.9995)) + v/1000 })},
		{"date", parquet.Date(), ints, int32Of(-1e6, 1e6), kind(feature.Timestamp), func(v parquet.Value) any { return int64(v.Int32()) * 86400e6 }},
		{"float", parquet.Leaf(parquet.FloatType), floats, func(t *rapid.T) parquet.Value { return parquet.FloatValue(rapid.Float32().Draw(t, "v")) },
			kind(feature.Float64), func(v parquet.Value) any { return float64(v.Float()) }},
		{"double", parquet.Leaf(parquet.DoubleType), floats, float, kind(feature.Float64), func(v parquet.Value) any { return v.Double() }},
		{"decimal", parquet.Decimal(2, 18, parquet.Int64Type), ints, int64Of(-1e15, 1e15), kind(feature.Float64), func(v parquet.Value) any { return float64(v.Int64()) / 100 }},
		{"int96", parquet.Leaf(parquet.Int96Type), []encoding.Encoding{&parquet.Plain}, func(t *rapid.T) parquet.Value {
			return parquet.Int96Value(deprecated.Int96{rapid.Uint32().Draw(t, "nanos") % 1e9, 3, 2440589})
		}, kind(feature.Timestamp), func(v parquet.Value) any {
			nanos := uint64(v.Int96()[1])<<32 | uint64(v.Int96()[0])
			return int64(86400e6) + int64(nanos+999)/1000
		}},
		{"text", parquet.String(), texts, text, kind(feature.String), func(v parquet.Value) any { return string(v.ByteArray()) }},
		{"bytes", parquet.Leaf(parquet.ByteArrayType), texts, text, kind(feature.Bytes), func(v parquet.Value) any { return string(v.ByteArray()) }},
		{"fixed", parquet.Leaf(parquet.FixedLenByteArrayType(3)), []encoding.Encoding{&parquet.Plain, &parquet.ByteStreamSplit, &parquet.RLEDictionary}, raw(3), kind(feature.Bytes), func(v parquet.Value) any { return string(v.ByteArray()) }},
		{"uuid", parquet.UUID(), []encoding.Encoding{&parquet.Plain}, raw(16), kind(feature.String), func(v parquet.Value) any {
			b := v.ByteArray()
			return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}},
	}
}

// twinFile is a file of one column under one of several nestings, in row groups and pages of odd sizes.
type twinFile struct {
	column twinColumn
	path   string
	bytes  []byte
	simple []byte // the same rows in plain, uncompressed pages, for the twin
	list   bool
}

var codecs = []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Zstd, &parquet.Gzip, &parquet.Brotli, &parquet.Lz4Raw}

func drawTwinFile(t *rapid.T) twinFile {
	c := rapid.SampledFrom(twinColumns()).Draw(t, "column")
	node := parquet.Compressed(parquet.Encoded(c.node, rapid.SampledFrom(c.encodings).Draw(t, "encoding")), rapid.SampledFrom(codecs).Draw(t, "codec"))
	shape := rapid.SampledFrom([]string{"required", "optional", "struct", "list", "bare"}).Draw(t, "shape")
	f := twinFile{column: c, path: "c", list: shape == "list" || shape == "bare"}
	if shape == "struct" {
		f.path = "s.c"
	}
	maxDef := map[string]int{"required": 0, "optional": 1, "struct": 2, "list": 2, "bare": 1}[shape]
	var out, simple bytes.Buffer
	naive := parquet.NewWriter(&simple, nested(shape, parquet.Encoded(c.node, &parquet.Plain)))
	w := parquet.NewWriter(&out, nested(shape, node), parquet.PageBufferSize(rapid.SampledFrom([]int{16, 100, 1000, 100000}).Draw(t, "page")),
		parquet.DataPageVersion(rapid.IntRange(1, 2).Draw(t, "version")), parquet.MaxRowsPerRowGroup(int64(rapid.SampledFrom([]int{7, 100, 100000}).Draw(t, "group"))))
	nulls := rapid.SampledFrom([]int{0, 0, 3, 10}).Draw(t, "nulls of 10")
	for range rapid.SampledFrom([]int{0, 1, 10, 300}).Draw(t, "rows") {
		var row parquet.Row
		absent := rapid.IntRange(0, 9).Draw(t, "absent") < nulls
		count := 1
		if f.list && rapid.IntRange(0, 2).Draw(t, "single") > 0 {
			count = rapid.IntRange(0, 4).Draw(t, "count")
		}
		if maxDef > 0 && (absent || count == 0) {
			row = append(row, parquet.NullValue().Level(0, rapid.IntRange(0, maxDef-1).Draw(t, "def"), 0))
		} else {
			for i := range count {
				row = append(row, c.draw(t).Level(min(i, 1), maxDef, 0))
			}
		}
		for _, w := range []interface {
			WriteRows([]parquet.Row) (int, error)
		}{w, naive} {
			if _, err := w.WriteRows([]parquet.Row{row.Clone()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), naive.Close()); err != nil {
		t.Fatal(err)
	}
	f.bytes, f.simple = out.Bytes(), simple.Bytes()
	return f
}

func nested(shape string, node parquet.Node) *parquet.Schema {
	group := parquet.Group{"c": node}
	switch shape {
	case "optional":
		group = parquet.Group{"c": parquet.Optional(node)}
	case "struct":
		group = parquet.Group{"s": parquet.Optional(parquet.Group{"c": parquet.Optional(node)})}
	case "list":
		group = parquet.Group{"c": parquet.Optional(parquet.List(node))}
	case "bare":
		group = parquet.Group{"c": parquet.Repeated(node)}
	}
	return parquet.NewSchema("twin", group)
}

// naive reads the rows through parquet-go's row reader: a row is nil, a value, or a []any. (Not from the file itself:
// of LZ4 pages that did not shrink the row reader of v0.32.0 makes an error.)
func (f *twinFile) naive(t *rapid.T) []any {
	file, err := parquet.OpenFile(bytes.NewReader(f.simple), int64(len(f.simple)))
	if err != nil {
		t.Fatal(err)
	}
	r := parquet.NewReader(file)
	buf, rows := make([]parquet.Row, 1), []any{}
	for {
		n, err := r.ReadRows(buf)
		for _, row := range buf[:n] {
			switch {
			case !f.list && row[0].IsNull():
				rows = append(rows, nil)
			case !f.list:
				rows = append(rows, f.column.plain(row[0]))
			case row[0].IsNull() && row[0].DefinitionLevel() == 0 && f.path == "c" && strings.Contains(file.Schema().String(), "LIST"):
				rows = append(rows, nil)
			default:
				list := []any{}
				for _, v := range row {
					if !v.IsNull() {
						list = append(list, f.column.plain(v))
					}
				}
				rows = append(rows, list)
			}
		}
		if errors.Is(err, io.EOF) {
			return rows
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// values turns an array into what naive returns.
func values(a arrow.Array) []any {
	out := make([]any, a.Len())
	for i := range out {
		if a.IsNull(i) {
			continue
		}
		switch a := a.(type) {
		case *array.Boolean:
			out[i] = a.Value(i)
		case *array.Int32:
			out[i] = a.Value(i)
		case *array.Int64:
			out[i] = a.Value(i)
		case *array.Timestamp:
			out[i] = int64(a.Value(i))
		case *array.Float32:
			out[i] = a.Value(i)
		case *array.Float64:
			out[i] = a.Value(i)
		case *array.String:
			out[i] = a.Value(i)
		case *array.Binary:
			out[i] = string(a.Value(i))
		case *array.List:
			from, to := a.ValueOffsets(i)
			out[i] = values(array.NewSlice(a.ListValues(), from, to))
		}
	}
	return out
}

func drawSpans(t *rapid.T, rows int) (spans []Span) {
	for at := 0; ; {
		from := at + rapid.IntRange(0, 40).Draw(t, "gap")
		to := from + rapid.IntRange(0, 40).Draw(t, "length")
		if to > rows {
			return spans
		}
		spans, at = append(spans, Span{from, to}), to
	}
}

func TestReadEqualsRowReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawTwinFile(t)
		want := f.naive(t)
		file, err := NewFile("twin", bytes.NewReader(f.bytes), int64(len(f.bytes)))
		if err != nil {
			t.Fatal(err)
		}
		as := f.column.as
		as.List = f.list
		if file.Rows() != int64(len(want)) {
			t.Fatalf("%d rows, want %d", file.Rows(), len(want))
		}
		for g, group := range file.RowGroups() {
			rows := want[group.FirstRow:][:group.Rows]
			all, err := file.Read(g, f.path, as, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !arrow.TypeEqual(all.DataType(), as.Arrow()) {
				t.Fatalf("type %s, want %s", all.DataType(), as.Arrow())
			}
			if diff := cmp.Diff(rows, values(all)); diff != "" {
				t.Fatalf("row group %d:\n%s", g, diff)
			}
			spans := drawSpans(t, group.Rows)
			some := []any{}
			for _, s := range spans {
				some = append(some, rows[s.From:s.To]...)
			}
			got, err := file.Read(g, f.path, as, append([]Span{}, spans...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(some, values(got)); diff != "" {
				t.Fatalf("row group %d, spans %v:\n%s", g, spans, diff)
			}
			checkBounds(t, file, g, f.path, rows, f.list)
		}
	})
}

// checkBounds holds statistics against the values of natural type int64 and timestamp.
func checkBounds(t *rapid.T, file *File, g int, path string, rows []any, list bool) {
	inside := func(min, max any, rows []any) {
		for _, v := range rows {
			lo, isTime := min.(feature.Time)
			if hi, _ := max.(feature.Time); v != nil && isTime && (v.(int64) < int64(lo) || v.(int64) > int64(hi)) {
				t.Fatalf("%v is not in [%v, %v]", v, min, max)
			}
		}
	}
	if min, max, ok := file.Bounds(g, path); ok && list {
		t.Fatalf("a list has bounds [%v, %v]", min, max)
	} else if ok {
		inside(min, max, rows)
	}
	next := 0
	for _, p := range file.Pages(g, path) {
		if p.FirstRow != next {
			t.Fatalf("a page begins with row %d, want %d", p.FirstRow, next)
		}
		next += p.Rows
		if p.Min != nil {
			inside(p.Min, p.Max, rows[p.FirstRow:next])
		}
	}
	if next != 0 && next != len(rows) {
		t.Fatalf("pages of %d rows, want %d", next, len(rows))
	}
}
