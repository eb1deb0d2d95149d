package offline

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// wide is a view with every kind of column.
func wide() *feature.View {
	v := &feature.View{Name: "wide", HasCreatedTime: true, Hash: "a hash", Keys: []feature.Field{
		{Name: "country", Type: feature.Scalar(feature.String)}, {Name: "day", Type: feature.Scalar(feature.Timestamp)}, {Name: "code", Type: feature.Scalar(feature.Bytes)},
		{Name: "id", Type: feature.Scalar(feature.Int64)}, {Name: "lane", Type: feature.Scalar(feature.Int32)}, {Name: "left", Type: feature.Scalar(feature.Bool)}}}
	for k := feature.Bool; k <= feature.Timestamp; k++ {
		v.Features = append(v.Features, features("a_"+k.String(), feature.Scalar(k), "list_"+k.String(), feature.ListOf(k))...)
	}
	return v
}

func wideRows() []row {
	values := []any{true, int32(-3), int64(1) << 40, float32(0.5), 2.25, "żółty ser z dziurami", []byte{0, 255}, feature.Time(1_700_000_000_000_000)}
	var rows []row
	for i := range 3 {
		r := row{"PL", feature.Time(86_400_000_000), []byte{1}, int64(7), int32(i), i == 1, feature.Time(1000 + i), feature.Time(2000 + i)}
		for _, v := range values {
			switch i {
			case 0:
				r = append(r, v, []any{v, v})
			case 1:
				r = append(r, v, []any{})
			default:
				r = append(r, nil, nil)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// TestGolden pins what is stored: the table's metadata, a commit's properties, data files and names. Other engines and older
// versions rely on it, and docs/format/offline.md describes it.
func TestGolden(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	c := commitFor(feature.Range{From: 1000, To: 1999})
	c.Progress.RunID = "0b7c/1"
	c.Progress.Sources = []SourceFile{{Path: "data/a.parquet", Size: 12, ModTime: 5, Rows: 3, From: 1000, To: 1999}}
	c.Progress.Stale = []Stale{{From: 100, To: 200, Why: "data/b.parquet is new"}}
	c.Progress.RowsRead = 7
	c.Took = func() time.Duration { return 3 * time.Millisecond }
	snapshot, err := replace(s, wide(), c, wideRows(), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	sameRows(t, wide(), readAll(t, snapshot, wide()), wideRows())
	var out strings.Builder
	describeTable(t, s, &out)
	describeFile(t, snapshot, &out)
	describeNames(t, s, &out)
	got := generalize(out.String(), dir)
	path := filepath.Join("testdata", "table.golden")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("what is stored differs from %s; if that is right, and docs/format/offline.md says so: go test ./offline -run Golden -rewrite\n%s", path, d)
	}
}

// generalize replaces what differs from run to run.
func generalize(s, dir string) string {
	s = strings.ReplaceAll(s, dir, "WAREHOUSE")
	for _, r := range [][2]string{
		{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "UUID"},
		{`\b[0-9a-f]{8} (UUID|snap)`, "SUM $1"},
		{`0b7c_1-[0-9a-f]{8}`, "0b7c_1-RANDOM"},
		{`snap-\d+-`, "snap-ID-"},
		{`(files-size|total-files-size|added-files-size): \d+`, "$1: BYTES"},
	} {
		s = regexp.MustCompile(r[0]).ReplaceAllString(s, r[1])
	}
	return s
}

func describeTable(t *testing.T, s *Store, out *strings.Builder) {
	v, err := s.load(context.Background(), "wide")
	if err != nil {
		t.Fatal(err)
	}
	schema, err1 := json.MarshalIndent(v.meta.CurrentSchema(), "", " ")
	order, err2 := json.MarshalIndent(v.meta.SortOrder(), "", " ")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	fmt.Fprintf(out, "format version %d\nlocation %s\nschema %s\nsort order %s\n", v.meta.Version(), v.meta.Location(), schema, order)
	spec := v.meta.PartitionSpec()
	fmt.Fprintf(out, "partition fields %d\n\ntable properties\n", spec.NumFields())
	describeMap(out, v.meta.Properties())
	current := v.meta.CurrentSnapshot()
	fmt.Fprintf(out, "\nsnapshot: %s\n", current.Summary.Operation)
	describeMap(out, current.Summary.Properties)
}

func describeMap(out *strings.Builder, m map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k == "iceberg-version" { // of the build
			continue
		}
		fmt.Fprintf(out, "  %s: %s\n", k, m[k])
	}
}

func describeFile(t *testing.T, s *Snapshot, out *strings.Builder) {
	df := s.files[0].iceberg
	fmt.Fprintf(out, "\ndata file: format %s, %d rows, sort order %d, split offsets %v\n", df.FileFormat(), df.Count(), *df.SortOrderID(), df.SplitOffsets())
	for _, c := range s.columns {
		fmt.Fprintf(out, "  %s: values %d, nulls %d, bounds %s %s\n", c.Name, df.ValueCounts()[c.id], df.NullValueCounts()[c.id],
			hex.EncodeToString(df.LowerBoundValues()[c.id]), hex.EncodeToString(df.UpperBoundValues()[c.id]))
	}
	file, err := parquetio.Open(s.files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	value, _ := file.KeyValue(sortedBy)
	fmt.Fprintf(out, "\nParquet: %s=%s\n", sortedBy, value)
	for _, c := range file.Columns() {
		fmt.Fprintf(out, "  %s: %s, %s, field id %d\n", c.Path, c.Type, c.Physical, c.FieldID)
	}
}

func describeNames(t *testing.T, s *Store, out *strings.Builder) {
	var names []string
	err := filepath.WalkDir(s.root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, "  "+generalize(path, s.root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	fmt.Fprintf(out, "\nfiles\n%s\n", strings.Join(names, "\n"))
}

// TestTruncatedBounds checks that the bounds of long values still bound them, and are characters for text.
func TestTruncatedBounds(t *testing.T) {
	long := strings.Repeat("\U0010ffff", 40)
	for value, want := range map[string]string{
		"short":                         "short",
		"0123456789abcdefg":             "0123456789abcdeg",
		"0123456789abcdéfg":             "0123456789abcdê",
		"0123456789abcde\u00e9":         "0123456789abcdf",
		strings.Repeat("x", 12) + long:  strings.Repeat("x", 11) + "y",
		long:                            "",
		"0123456789abc\ud7ff and more":  "0123456789abc\ue000",
		"0123456789abcdef\U0010ffff...": "0123456789abcdeg",
	} {
		low, high := truncate([]byte(value), feature.String), truncateUp([]byte(value), feature.String)
		if string(high) != want || string(low) > value || len(low) > boundBytes {
			t.Errorf("%q has the bounds %q and %q, want the upper %q", value, low, high, want)
		}
	}
	for value, want := range map[string]string{
		strings.Repeat("\xff", 40):                          "",
		strings.Repeat("a", 3) + strings.Repeat("\xff", 40): "aab",
	} {
		if high := truncateUp([]byte(value), feature.Bytes); string(high) != want {
			t.Errorf("%q has the upper bound %q, want %q", value, high, want)
		}
	}
}
