package offline

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// twin is a history as a naive store would keep it: a slice of rows per snapshot.
type twin struct {
	view    *feature.View
	rows    []row
	commits []Commit
	history map[int64]twinSnapshot
}

type twinSnapshot struct {
	view *feature.View
	rows []row
}

func (w *twin) replace(id int64, c Commit, view *feature.View, rows []row) {
	var kept []row
	for _, r := range w.rows {
		if !c.Rebuild && !c.Range.Contains(r[len(view.Keys)].(feature.Time)) {
			kept = append(kept, r)
		}
	}
	c.SnapshotID, c.Progress.Range, c.Progress.Rows = id, c.Range, int64(len(rows))
	w.view, w.rows, w.commits = view, append(kept, rows...), append(w.commits, c)
	w.history[id] = twinSnapshot{view, w.rows}
}

// drawView draws a view of up to three keys and all kinds of features.
func drawView(t *rapid.T) *feature.View {
	v := &feature.View{Name: "v", HasCreatedTime: rapid.Bool().Draw(t, "created time"), Hash: "h"}
	for i := range rapid.IntRange(0, 3).Draw(t, "keys") {
		kind := rapid.SampledFrom([]feature.Kind{feature.Bool, feature.Int32, feature.Int64, feature.String, feature.Bytes, feature.Timestamp}).Draw(t, "key kind")
		v.Keys = append(v.Keys, feature.Field{Name: fmt.Sprintf("k%d", i), Type: feature.Scalar(kind)})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "features") {
		typ := feature.Type{Kind: feature.Kind(rapid.IntRange(int(feature.Bool), int(feature.Timestamp)).Draw(t, "kind")), List: rapid.Bool().Draw(t, "list")}
		v.Features = append(v.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprintf("f%d", i), Type: typ}})
	}
	return v
}

// drawRows draws rows of a view with event times in a range.
func drawRows(t *rapid.T, v *feature.View, r feature.Range) []row {
	rows := make([]row, rapid.IntRange(0, 40).Draw(t, "rows"))
	for i := range rows {
		for c, f := range v.Columns() {
			switch {
			case f.Name == feature.EventTimeColumn:
				rows[i] = append(rows[i], feature.Time(rapid.Int64Range(int64(r.From), int64(r.To)).Draw(t, "event")))
			case c >= len(v.Keys) && rapid.IntRange(0, 3).Draw(t, "null") == 0:
				rows[i] = append(rows[i], nil)
			case f.Type.List:
				list := []any{}
				for range rapid.IntRange(0, 3).Draw(t, "length") {
					list = append(list, drawValue(t, f.Type.Kind))
				}
				rows[i] = append(rows[i], list)
			default:
				rows[i] = append(rows[i], drawValue(t, f.Type.Kind))
			}
		}
	}
	return rows
}

func drawValue(t *rapid.T, k feature.Kind) any {
	n := rapid.IntRange(-3, 3).Draw(t, "value")
	switch k {
	case feature.Bool:
		return n > 0
	case feature.Int32:
		return int32(n) << 28
	case feature.Int64:
		return int64(n) << 60
	case feature.Float32:
		return float32(n) / 3
	case feature.Float64:
		return float64(n) / 3
	case feature.String:
		return []string{"", "a", "a\x00", "ab", "żółw żółwiowi żółw", "\U0010ffff\U0010ffff\U0010ffff\U0010ffff\U0010ffff", "b"}[n+3]
	case feature.Bytes:
		return [][]byte{{}, {0}, {0, 0}, {0, 255}, {255}, slices.Repeat([]byte{255}, 40), {254}}[n+3]
	}
	return feature.Time(n) * 1e15
}

// TestTwin holds the store against the twin under random replacements, rebuilds and reopenings, with files and row groups so
// small that files straddle ranges and keys straddle files.
func TestTwin(t *testing.T) {
	// A check makes and reads several tables: 0.1 s. More: go test -run Twin -rapid.checks=1000
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("25"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(memoryDir(), "offline")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := Options{FileBytes: rapid.SampledFrom([]int64{1, 1500, 1 << 20}).Draw(t, "file bytes"), OpenFilesMax: 2,
			RowGroupRows: rapid.IntRange(1, 12).Draw(t, "row group"), PageRows: rapid.IntRange(1, 5).Draw(t, "page")}
		s := openStore(t, dir, o)
		w := &twin{view: drawView(t), history: map[int64]twinSnapshot{}}
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "reopen") == 0 {
				s = openStore(t, dir, o)
			}
			stepTwin(t, s, w)
			checkTwin(t, s, w)
		}
	})
}

func stepTwin(t *rapid.T, s *Store, w *twin) {
	from := feature.Time(rapid.IntRange(0, 100).Draw(t, "from"))
	c := commitFor(feature.Range{From: from, To: from + feature.Time(rapid.IntRange(0, 60).Draw(t, "span"))})
	c.Progress.RunID = rapid.SampledFrom([]string{"run", "a/b c", ""}).Draw(t, "run id")
	c.Rebuild = len(w.commits) > 0 && rapid.IntRange(0, 4).Draw(t, "rebuild") == 0
	view := w.view
	if c.Rebuild {
		view = drawView(t)
	} else if n := len(w.commits); n > 0 {
		c.Progress.Watermark = max(c.Progress.Watermark, w.commits[n-1].Progress.Watermark)
		c.Progress.Start = min(c.Progress.Start, w.commits[n-1].Progress.Start)
	}
	for range rapid.IntRange(0, 40).Draw(t, "sources") {
		c.Progress.Sources = append(c.Progress.Sources, SourceFile{Path: "data/a file.parquet", Size: 7, ModTime: from, Rows: 3})
	}
	rows := sorted(view, drawRows(t, view, c.Range))
	snapshot, err := replace(s, view, c, rows, rapid.IntRange(1, 20).Draw(t, "batch"))
	if err != nil {
		t.Fatal(err)
	}
	w.replace(snapshot.ID(), c, view, rows)
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkTwin(t *rapid.T, s *Store, w *twin) {
	ctx := context.Background()
	current, err := s.Snapshot(ctx, w.view.Name)
	if err != nil {
		t.Fatal(err)
	}
	want := w.commits[len(w.commits)-1]
	if g, w := fmt.Sprintf("%+v", current.Progress()), fmt.Sprintf("%+v", want.Progress); current.ID() != want.SnapshotID || g != w {
		t.Fatalf("the current snapshot is %d with %s, want %d with %s", current.ID(), g, want.SnapshotID, w)
	}
	if g, w := fmt.Sprint(current.Fields()), fmt.Sprint(w.view.Columns()); g != w {
		t.Fatalf("fields are %s, want %s", g, w)
	}
	id := rapid.SampledFrom(w.commits).Draw(t, "snapshot").SnapshotID
	at, err := s.SnapshotAt(ctx, w.view.Name, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, snapshot := range []*Snapshot{current, at} {
		then := w.history[snapshot.ID()]
		sameRows(t, then.view, readAll(t, snapshot, then.view), then.rows)
		checkSpans(t, snapshot, then.view)
		if err := snapshot.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkSince(t, s, w, id)
	sound(t, s, w.view)
}

// checkSpans reads some rows of each run and compares them with those of reading all.
func checkSpans(t *rapid.T, s *Snapshot, v *feature.View) {
	for _, r := range mustRuns(t, s) {
		all, want := readRun(t, r, v, nil), []row{}
		var spans []Span
		for at := 0; at < r.Rows(); {
			from := at + rapid.IntRange(0, 3).Draw(t, "skip")
			to := min(from+rapid.IntRange(1, 3).Draw(t, "take"), r.Rows())
			if from < to {
				spans, want = append(spans, Span{From: from, To: to}), append(want, all[from:to]...)
			}
			at = max(from, to) + 1
		}
		if spans == nil {
			spans = []Span{}
		}
		if g, w := fmt.Sprint(readRun(t, r, v, spans)), fmt.Sprint(want); g != w {
			t.Fatalf("spans %v of a run give %s, want %s", spans, g, w)
		}
	}
}

func checkSince(t *rapid.T, s *Store, w *twin, id int64) {
	got, err := s.Since(context.Background(), w.view.Name, id)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(w.commits, func(c Commit) bool { return c.SnapshotID == id })
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", w.commits[i+1:]); g != w {
		t.Fatalf("since the %d. commit: %s, want %s", i, g, w)
	}
	if _, err := s.Since(context.Background(), w.view.Name, 1); !errors.Is(err, feature.ErrNotFound) {
		t.Fatalf("since an unknown snapshot: %v", err)
	}
}
