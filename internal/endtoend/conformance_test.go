package endtoend

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/pointintime"
)

// pitCase is a point-in-time case from another project's tests.
type pitCase struct {
	ID    string `json:"id"`
	Spine struct{ Timestamp string }
	Views []struct {
		Name      string
		File      string
		Keys      []string
		Timestamp string
		Created   *string
		TTLMicros *int64 `json:"ttl_us"`
		Features  []string
	}
	AllowExactMatches bool `json:"allow_exact_matches"`
	CreatedCutoff     bool `json:"created_cutoff"`
}

// TestConformancePIT runs the point-in-time cases of pandas' and Feast's own tests through the real path: Parquet files,
// definitions, materialization and export.
func TestConformancePIT(t *testing.T) {
	dir := material.Path(t, "conformance/pit")
	names, err := filepath.Glob(filepath.Join(dir, "*", "case.json"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) { runPIT(t, filepath.Dir(name)) })
	}
}

func runPIT(t *testing.T, dir string) {
	var c pitCase
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, t.TempDir(), worldOptions{})
	defer w.close()
	w.now = feature.TimeOf(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	types := map[string]feature.Type{}
	for _, v := range c.Views {
		header, rows := readCSV(t, filepath.Join(dir, v.File))
		if ord := slices.Index(header, "ord"); ord >= 0 { // the source order
			slices.SortStableFunc(rows, func(a, b []string) int { return int(number(t, a[ord]) - number(t, b[ord])) })
		}
		w.write("data/"+v.Name+"/a.parquet", typedTable(t, header, rows, types))
	}
	w.must(w.define(pitYAML(c, types)))
	if _, err := w.materialize(materialize.Request{}); err != nil {
		t.Fatal(err)
	}
	header, rows := readCSV(t, filepath.Join(dir, "spine.csv"))
	w.write("spine.parquet", typedTable(t, header, rows, types))
	options := pointintime.ExportOptions{TimeColumn: c.Spine.Timestamp, FullNames: true}
	options.AsKnown = c.CreatedCutoff
	w.must(w.export("svc", "spine.parquet", "out.csv", options))
	compareByRowID(t, filepath.Join(dir, "expected.csv"), w.path("out.csv"))
}

// pitYAML writes the definitions of a case.
func pitYAML(c pitCase, types map[string]feature.Type) string {
	var entities, sources, views, refs strings.Builder
	for i, v := range c.Views {
		var keys []string
		for _, k := range v.Keys {
			keys = append(keys, fmt.Sprintf("%s: %s", k, types[k]))
		}
		fmt.Fprintf(&entities, "  - {name: e%d, keys: {%s}}\n", i, strings.Join(keys, ", "))
		fmt.Fprintf(&sources, "  - {name: s%d, parquet: data/%s/*.parquet, event_time: %s", i, v.Name, v.Timestamp)
		if v.Created != nil {
			fmt.Fprintf(&sources, ", created_time: %s", *v.Created)
		}
		fmt.Fprintf(&sources, "}\n")
		fmt.Fprintf(&views, "  - name: %s\n    entity: e%d\n    source: s%d\n    allow_exact_matches: %v\n", v.Name, i, i, c.AllowExactMatches)
		if v.TTLMicros != nil {
			fmt.Fprintf(&views, "    ttl: %s\n", ttlText(*v.TTLMicros))
		}
		fmt.Fprintf(&views, "    features:\n")
		for _, f := range v.Features {
			fmt.Fprintf(&views, "      - {name: %s, type: %s}\n", f, types[f])
		}
		fmt.Fprintf(&refs, "      - {view: %s}\n", v.Name)
	}
	return fmt.Sprintf("entities:\n%ssources:\n%sviews:\n%sservices:\n  - name: svc\n    features:\n%s", &entities, &sources, &views, &refs)
}

func ttlText(micros int64) string {
	if micros%1000 == 0 {
		return fmt.Sprintf("%dms", micros/1000)
	}
	return fmt.Sprintf("%dus", micros)
}

func readCSV(t testing.TB, path string) (header []string, rows [][]string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	all, err := csv.NewReader(f).ReadAll()
	if err != nil || len(all) == 0 {
		t.Fatalf("%s: %v", path, err)
	}
	return all[0], all[1:]
}

func number(t testing.TB, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// typedTable gives each column the narrowest of int64, float64, timestamp and string that holds all of its values, or the type
// that types already has for its name, and notes the type there.
func typedTable(t testing.TB, header []string, rows [][]string, types map[string]feature.Type) table {
	t.Helper()
	var fields []arrow.Field
	var columns []arrow.Array
	for i, name := range header {
		typ, ok := types[name]
		if !ok {
			typ = narrowest(rows, i)
			types[name] = typ
		}
		b := array.NewBuilder(memory.DefaultAllocator, typ.Arrow())
		for _, row := range rows {
			if row[i] == "" {
				b.AppendNull()
			} else if err := b.AppendValueFromString(row[i]); err != nil {
				t.Fatal(err)
			}
		}
		fields = append(fields, arrow.Field{Name: name, Type: typ.Arrow(), Nullable: true})
		columns = append(columns, b.NewArray())
	}
	schema := arrow.NewSchema(fields, nil)
	return table{schema, array.NewRecordBatch(schema, columns, int64(len(rows)))}
}

func narrowest(rows [][]string, column int) feature.Type {
	for _, kind := range []feature.Kind{feature.Int64, feature.Float64, feature.Timestamp} {
		b := array.NewBuilder(memory.DefaultAllocator, feature.Scalar(kind).Arrow())
		fits := true
		for _, row := range rows {
			fits = fits && (row[column] == "" || b.AppendValueFromString(row[column]) == nil)
		}
		if fits {
			return feature.Scalar(kind)
		}
	}
	return feature.Scalar(feature.String)
}

// compareByRowID compares the columns of the expected CSV with those of the same name in the other, row by row_id.
func compareByRowID(t *testing.T, expected, got string) {
	t.Helper()
	header, rows := readCSV(t, expected)
	gotHeader, gotRows := readCSV(t, got)
	if len(gotRows) != len(rows) {
		t.Fatalf("got %d rows, want %d", len(gotRows), len(rows))
	}
	byID := map[string][]string{}
	for _, r := range gotRows {
		byID[r[slices.Index(gotHeader, "row_id")]] = r
	}
	for _, want := range rows {
		id := want[slices.Index(header, "row_id")]
		for i, name := range header {
			column := slices.Index(gotHeader, name)
			if column < 0 || byID[id] == nil {
				t.Fatalf("no row %s or no column %s in %v", id, name, gotHeader)
			}
			if !sameValue(want[i], byID[id][column]) {
				t.Errorf("row %s, %s: got %q, want %q", id, name, byID[id][column], want[i])
			}
		}
	}
}

// sameValue compares texts as numbers where both are.
func sameValue(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return x == y || math.IsNaN(x) && math.IsNaN(y)
	}
	return a == b
}
