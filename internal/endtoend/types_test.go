package endtoend

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// typeSample is a value and a default of a kind, as definitions write the default.
type typeSample struct {
	kind        feature.Kind
	value, dflt any
	text        string // of dflt in YAML
	csv         string // of value
}

var typeSamples = []typeSample{
	{feature.Bool, true, false, "false", "true"},
	{feature.Int32, int32(-7), int32(1 << 30), "1073741824", "-7"},
	{feature.Int64, int64(1)<<62 + 1, int64(-1) << 62, "-4611686018427387904", "4611686018427387905"},
	{feature.Float32, float32(0.1), float32(2.5), "2.5", "0.1"},
	{feature.Float64, 0.1, -1e300, "-1.0e+300", "0.1"},
	{feature.String, "a, \"b\"\n", "żółw", "żółw", "a, \"b\"\n"},
	{feature.Bytes, []byte("x\xff\x00"), []byte("text"), "text", ""},
	{feature.Timestamp, 3*second + 1, 9 * second, "1970-01-01T00:00:09Z", "1970-01-01T00:00:03.000001Z"},
}

// samplesOf returns three values of a type: one, a default, and, for lists, one without elements.
func samplesOf(t testing.TB, s typeSample, list bool) (typ feature.Type, value, dflt, empty arrow.Array, yaml string) {
	t.Helper()
	typ, yaml = feature.Type{Kind: s.kind, List: list}, s.text
	if !list {
		return typ, arrayOf(typ, s.value), arrayOf(typ, s.dflt), arrayOf(typ, s.value), yaml
	}
	listOf := func(values ...any) arrow.Array {
		b := array.NewListBuilder(memory.DefaultAllocator, feature.Scalar(s.kind).Arrow())
		b.Append(true)
		for _, v := range values {
			if err := feature.AppendValue(b.ValueBuilder(), v); err != nil {
				t.Fatal(err)
			}
		}
		return b.NewArray()
	}
	return typ, listOf(s.value, s.dflt, s.value), listOf(s.dflt, s.dflt), listOf(), "[" + s.text + ", " + s.text + "]"
}

// TestTypes takes a value, an empty list, a NULL and a missing key of every type the whole way: Parquet source, history, a range
// that is computed again, export in three formats, and the online store.
func TestTypes(t *testing.T) {
	w := newWorld(t, memoryDir(t), worldOptions{memory: 1, offline: offline.Options{RowGroupRows: 2, FileBytes: 1}})
	defer func() { w.close() }()
	names := []string{"k", "at"}
	rows := []arrow.Array{arrayOf(feature.Scalar(feature.Int64), int64(1), int64(2), int64(3)), arrayOf(feature.Scalar(feature.Timestamp), second, second, 2*second)}
	var features strings.Builder
	var want [][4]string // of each feature, for keys 1 to 4
	for _, list := range []bool{false, true} {
		for _, s := range typeSamples {
			typ, value, dflt, empty, yaml := samplesOf(t, s, list)
			name := fmt.Sprintf("f%d", len(want))
			column, err := array.Concatenate([]arrow.Array{value, empty, array.MakeArrayOfNull(memory.DefaultAllocator, typ.Arrow(), 1)}, memory.DefaultAllocator)
			if err != nil {
				t.Fatal(err)
			}
			names, rows = append(names, name), append(rows, column)
			fmt.Fprintf(&features, "      - {name: %s, type: %s, default: %s}\n", name, typ, yaml)
			want = append(want, [4]string{value.ValueStr(0), empty.ValueStr(0), dflt.ValueStr(0), dflt.ValueStr(0)})
		}
	}
	w.write("src/a.parquet", tableOf(names, rows))
	w.now = 10 * second
	w.must(w.define("entities:\n  - {name: e, keys: {k: int64}}\nsources:\n  - {name: src, parquet: 'src/*.parquet', event_time: at}\nviews:\n" +
		"  - name: v\n    entity: e\n    source: src\n    features:\n" + features.String() + "services:\n  - {name: svc, features: [{view: v}]}\n"))
	from := 2 * second
	for _, r := range []materialize.Request{{}, {From: &from}} {
		if _, err := w.materialize(r); err != nil {
			t.Fatal(err)
		}
	}
	keys := arrayOf(feature.Scalar(feature.Int64), int64(1), int64(2), int64(3), int64(4))
	answer, err := w.online.Lookup(context.Background(), w.service("svc"), map[string]arrow.Array{"k": keys}, w.now, false)
	w.must(err)
	w.write("spine.parquet", tableOf([]string{"k", "at"}, []arrow.Array{keys, arrayOf(feature.Scalar(feature.Timestamp), w.now, w.now, w.now, w.now)}))
	for _, ending := range []string{"parquet", "arrow", "csv"} {
		w.must(w.export("svc", "spine.parquet", "out."+ending, pointintime.ExportOptions{TimeColumn: "at"}))
	}
	parquet, ipc := readTable(t, w.path("out.parquet")), readTable(t, w.path("out.arrow"))
	for f, values := range want {
		name := answer.Columns[f].Name
		for i, v := range values {
			for from, column := range map[string]arrow.Array{"online": answer.Columns[f].Values(), "parquet": parquet[name][0], "arrow": ipc[name][0]} {
				if got := column.ValueStr(i); got != v {
					t.Errorf("%s %s of key %d, %s: got %s, want %s", name, column.DataType(), i+1, from, got, v)
				}
			}
			status := []feature.Status{feature.Present, feature.Present, feature.Null, feature.NotFound}[i]
			if got := answer.Columns[f].Statuses[i]; got != status {
				t.Errorf("%s of key %d: status %s, want %s", name, i+1, got, status)
			}
		}
	}
	text, err := os.ReadFile(w.path("out.csv"))
	w.must(err)
	for i, s := range typeSamples {
		if s.csv != "" && !strings.Contains(string(text), s.csv) && !strings.Contains(string(text), strings.ReplaceAll(s.csv, `"`, `""`)) {
			t.Errorf("f%d: %q is not in the CSV\n%s", i, s.csv, text)
		}
	}
}

func tableOf(names []string, columns []arrow.Array) table {
	fields := make([]arrow.Field, len(names))
	for i, name := range names {
		fields[i] = arrow.Field{Name: name, Type: columns[i].DataType(), Nullable: true}
	}
	schema := arrow.NewSchema(fields, nil)
	return table{schema, array.NewRecordBatch(schema, columns, int64(columns[0].Len()))}
}
