package offline

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// tester is a *testing.T, *testing.B or *rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// row is a row of a view: its values in the order of feature.View.Columns, nil for NULL. Values are bool, int32, int64,
// float32, float64, string, []byte, feature.Time, and []any of them.
type row []any

// purchases is a view with one int64 key and a created time.
func purchases() *feature.View {
	return &feature.View{Name: "purchases", Keys: []feature.Field{{Name: "customer_id", Type: feature.Scalar(feature.Int64)}},
		HasCreatedTime: true, Hash: "h1", Features: features("amount", feature.Scalar(feature.Float64), "shop", feature.Scalar(feature.String))}
}

func features(namesAndTypes ...any) (list []feature.Feature) {
	for i := 0; i < len(namesAndTypes); i += 2 {
		list = append(list, feature.Feature{Field: feature.Field{Name: namesAndTypes[i].(string), Type: namesAndTypes[i+1].(feature.Type)}})
	}
	return list
}

// batchOf makes a record batch of rows.
func batchOf(view *feature.View, rows []row) arrow.RecordBatch {
	var columns []arrow.Array
	var fields []arrow.Field
	for c, f := range view.Columns() {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
		for _, r := range rows {
			appendValue(b, r[c])
		}
		columns = append(columns, b.NewArray())
		fields = append(fields, arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true})
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(len(rows)))
}

func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float32Builder:
		b.Append(v.(float32))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(feature.Time)))
	case *array.ListBuilder:
		b.Append(true)
		for _, e := range v.([]any) {
			appendValue(b.ValueBuilder(), e)
		}
	}
}

func valueOf(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i)
	case *array.Int32:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Float32:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return append([]byte{}, a.Value(i)...)
	case *array.Timestamp:
		return feature.Time(a.Value(i))
	case *array.List:
		from, to := a.ValueOffsets(i)
		list := []any{}
		for j := from; j < to; j++ {
			list = append(list, valueOf(a.ListValues(), int(j)))
		}
		return list
	}
	panic(a.DataType().String())
}

// compareRows orders rows by the first n columns, NULL first.
func compareRows(a, b row, n int) int {
	for i := range n {
		if c := compareValues(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

func compareValues(a, b any) int {
	if a == nil || b == nil {
		switch {
		case a == nil && b == nil:
			return 0
		case a == nil:
			return -1
		}
		return 1
	}
	switch a := a.(type) {
	case bool:
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	case int32:
		return cmp.Compare(a, b.(int32))
	case int64:
		return cmp.Compare(a, b.(int64))
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	return cmp.Compare(a.(feature.Time), b.(feature.Time))
}

// sortColumns is how many leading columns a view's rows are sorted by.
func sortColumns(v *feature.View) int {
	if v.HasCreatedTime {
		return len(v.Keys) + 2
	}
	return len(v.Keys) + 1
}

// sorted returns rows in the order in which a run writes them.
func sorted(v *feature.View, rows []row) []row {
	rows = append([]row{}, rows...)
	slices.SortStableFunc(rows, func(a, b row) int { return compareRows(a, b, sortColumns(v)) })
	return rows
}

// memoryDir is a directory where syncing costs nothing, if there is one.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(memoryDir(), "offline")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func openStore(t tester, dir string, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// commitFor is what a run over a range that starts and ends with the history would record.
func commitFor(r feature.Range) Commit {
	return Commit{Range: r, Progress: Progress{Watermark: r.To, Start: r.From, RunID: "run", Hash: "h1", Version: "test"}}
}

// replace writes rows, unsorted, in batches of batchRows.
func replace(s *Store, v *feature.View, c Commit, rows []row, batchRows int) (*Snapshot, error) {
	return s.Replace(context.Background(), v, c, func(w *Writer) error {
		for batch := range slices.Chunk(sorted(v, rows), batchRows) {
			if err := w.Write(batchOf(v, batch)); err != nil {
				return err
			}
		}
		return nil
	})
}

// readAll returns all rows of a snapshot, run by run, and checks that each run is sorted and that its bounds hold.
func readAll(t tester, s *Snapshot, v *feature.View) []row {
	t.Helper()
	rows := []row{}
	for _, r := range mustRuns(t, s) {
		got := readRun(t, r, v, nil)
		if len(got) != r.Rows() {
			t.Fatalf("a run of %d rows gives %d", r.Rows(), len(got))
		}
		checkRun(t, r, v, got)
		rows = append(rows, got...)
	}
	if int64(len(rows)) != s.Rows() {
		t.Fatalf("Rows says %d, there are %d", s.Rows(), len(rows))
	}
	return rows
}

func mustRuns(t tester, s *Snapshot) []*Run {
	t.Helper()
	runs, err := s.Runs(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func readRun(t tester, r *Run, v *feature.View, spans []Span) []row {
	t.Helper()
	var names []string
	for _, f := range v.Columns() {
		names = append(names, f.Name)
	}
	columns, err := r.Read(context.Background(), names, spans)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]row, columns[0].Len())
	for i := range rows {
		for _, c := range columns {
			rows[i] = append(rows[i], valueOf(c, i))
		}
	}
	return rows
}

func checkRun(t tester, r *Run, v *feature.View, rows []row) {
	t.Helper()
	n := len(v.Keys)
	for i, row := range rows {
		if i > 0 && compareRows(rows[i-1], row, sortColumns(v)) > 0 {
			t.Fatalf("row %d of a run is not in order: %v after %v", i, row, rows[i-1])
		}
		if !r.Events().Contains(row[n].(feature.Time)) {
			t.Fatalf("event time %v is outside of the run's %v", row[n], r.Events())
		}
	}
	next := 0
	for _, p := range r.Pages() {
		if p.From != next || p.To <= p.From {
			t.Fatalf("page [%d, %d) follows row %d", p.From, p.To, next)
		}
		next = p.To
		columns := batchOf(v, rows[p.From:p.To])
		for i := range p.To - p.From {
			key, _ := feature.AppendKeyPart(nil, columns.Column(0), i)
			if p.Min != nil && bytes.Compare(key, p.Min) < 0 || p.Max != nil && bytes.Compare(key, p.Max) > 0 {
				t.Fatalf("key %x is outside of its page's bounds %x and %x", key, p.Min, p.Max)
			}
		}
	}
	if len(r.Pages()) > 0 && next != len(rows) {
		t.Fatalf("pages end at %d of %d rows", next, len(rows))
	}
}

// sameRows fails unless two histories hold the same rows, and those that tie in their sort columns stand in the same order.
func sameRows(t tester, v *feature.View, got, want []row) {
	t.Helper()
	got, want = sorted(v, got), sorted(v, want)
	if len(got) != len(want) {
		t.Fatalf("got %d rows, want %d", len(got), len(want))
	}
	for i := range got {
		if g, w := fmt.Sprintf("%#v", got[i]), fmt.Sprintf("%#v", want[i]); g != w {
			t.Fatalf("row %d of %d is %s\nwant %s", i, len(got), g, w)
		}
	}
}
