package offline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
)

// TestWriterExclusion holds a run open while another writer, readers and a tag come by.
func TestWriterExclusion(t *testing.T) {
	dir, ctx := tempDir(t), context.Background()
	prepareRuns(t, dir, 1)
	writing, finish := make(chan struct{}), make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		s := openStore(t, dir, smallFiles)
		c := commitFor(feature.Range{From: 40, To: 150})
		c.Progress.Start = 0
		snapshot, err := s.Replace(ctx, purchases(), c, func(w *Writer) error {
			close(writing)
			<-finish
			return w.Write(batchOf(purchases(), sorted(purchases(), numbered(50, 120, 2))))
		})
		if err != nil {
			return err
		}
		return snapshot.Close()
	})
	<-writing
	if _, err := second(openStore(t, dir, smallFiles)); !errors.Is(err, feature.ErrUnavailable) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second writer gets %v", err)
	}
	checkHistory(t, dir, 1)
	snapshot, err := openStore(t, dir, smallFiles).Snapshot(ctx, "purchases")
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Tag(ctx, "training"); err != nil {
		t.Errorf("a tag while a run is going on: %v", err)
	}
	close(finish)
	if err := group.Wait(); err != nil {
		t.Fatalf("the run that a tag came between: %v", err)
	}
	checkHistory(t, dir, 2)
	sameRows(t, purchases(), readAll(t, snapshot, purchases()), rowsAfter(1))
	checkOrphans(t, dir)
}

// TestTag checks that a tag is kept by later runs, repeats and refuses.
func TestTag(t *testing.T) {
	dir, ctx := tempDir(t), context.Background()
	s := openStore(t, dir, smallFiles)
	one, err := first(s)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := one.Tag(ctx, "fraud/2024-01"); err != nil {
			t.Fatal(err)
		}
	}
	two, err := second(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Tag(ctx, "fraud/2024-01"); !errors.Is(err, feature.ErrConflict) {
		t.Errorf("a tag of another snapshot: %v", err)
	}
	for _, name := range []string{"", "main"} {
		if err := two.Tag(ctx, name); !errors.Is(err, feature.ErrInvalid) {
			t.Errorf("the tag %q: %v", name, err)
		}
	}
	v, err := s.load(ctx, "purchases")
	if err != nil {
		t.Fatal(err)
	}
	if tagged := v.meta.SnapshotByName("fraud/2024-01"); tagged == nil || tagged.SnapshotID != one.ID() {
		t.Errorf("the tag is at %v, want %d", tagged, one.ID())
	}
}

// TestWriterRefuses writes what a run may not write.
func TestWriterRefuses(t *testing.T) {
	view, other := purchases(), purchases()
	other.Features = other.Features[:1]
	lists := purchases()
	lists.Features = features("amount", feature.Scalar(feature.Float64), "shop", feature.ListOf(feature.String))
	good := row{int64(1), feature.Time(5), nil, 1.0, "a"}
	for name, c := range map[string]struct {
		kind    error
		view    *feature.View
		batches [][]row
	}{
		"key descends":              {feature.ErrInternal, view, [][]row{{{int64(2), feature.Time(5), nil, nil, nil}, good}}},
		"key descends over batches": {feature.ErrInternal, view, [][]row{{{int64(2), feature.Time(5), nil, nil, nil}}, {good}}},
		"event time descends":       {feature.ErrInternal, view, [][]row{{good}, {{int64(1), feature.Time(4), nil, nil, nil}}}},
		"NULL created time is last": {feature.ErrInternal, view, [][]row{{{int64(1), feature.Time(5), feature.Time(5), nil, nil}, good}}},
		"created time descends":     {feature.ErrInternal, view, [][]row{{{int64(1), feature.Time(5), feature.Time(5), nil, nil}}, {{int64(1), feature.Time(5), feature.Time(4), nil, nil}}}},
		"before the range":          {feature.ErrInternal, view, [][]row{{{int64(1), feature.Time(-1), nil, nil, nil}}}},
		"after the range":           {feature.ErrInternal, view, [][]row{{{int64(1), feature.Time(10), nil, nil, nil}}}},
		"NULL key":                  {feature.ErrInternal, view, [][]row{{{nil, feature.Time(5), nil, nil, nil}}}},
		"NULL event time":           {feature.ErrInternal, view, [][]row{{{int64(1), nil, nil, nil, nil}}}},
		"too few columns":           {feature.ErrInternal, other, [][]row{{good}}},
		"another type":              {feature.ErrInternal, lists, [][]row{{{int64(1), feature.Time(5), nil, 1.0, []any{"a"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			s := openStore(t, dir, smallFiles)
			_, err := s.Replace(context.Background(), view, commitFor(feature.Range{From: 0, To: 9}), func(w *Writer) error {
				for _, rows := range c.batches {
					if err := w.Write(batchOf(c.view, rows)); err != nil {
						return err
					}
				}
				return nil
			})
			if feature.KindOf(err) != c.kind || !strings.Contains(err.Error(), "purchases") {
				t.Errorf("got %v (%v), want %v that names the view", err, feature.KindOf(err), c.kind)
			}
			checkHistory(t, dir, 0)
			checkOrphans(t, dir)
		})
	}
	_, err := replace(openStore(t, tempDir(t), smallFiles), lists, commitFor(feature.Range{From: 0, To: 9}),
		[]row{{int64(1), feature.Time(5), nil, 1.0, []any{"a", nil}}}, 9)
	if feature.KindOf(err) != feature.ErrInvalid || !strings.Contains(err.Error(), "shop") {
		t.Errorf("a NULL in a list: %v", err)
	}
}

// TestReplaceRefuses asks for commits that cannot be.
func TestReplaceRefuses(t *testing.T) {
	dir := tempDir(t)
	prepareRuns(t, dir, 1)
	s := openStore(t, dir, smallFiles)
	wider, renamed, unkeyed, moved := purchases(), purchases(), purchases(), purchases()
	wider.Features[0].Type = feature.Scalar(feature.Int64)
	renamed.Name = "../purchases"
	unkeyed.Keys = nil
	moved.HasCreatedTime = false
	later := feature.Range{From: 0, To: 200}
	for name, c := range map[string]struct {
		view   *feature.View
		commit Commit
	}{
		"empty range":         {purchases(), commitFor(feature.Range{From: 1, To: 0})},
		"watermark decreases": {purchases(), commitFor(feature.Range{From: 0, To: 50})},
		"start increases":     {purchases(), commitFor(feature.Range{From: 1, To: 200})},
		"another type":        {wider, commitFor(later)},
		"a path for a name":   {renamed, commitFor(later)},
		"no key":              {unkeyed, commitFor(later)},
		"no created time":     {moved, commitFor(later)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := replace(s, c.view, c.commit, nil, 1); !errors.Is(err, feature.ErrInvalid) {
				t.Errorf("got %v", err)
			}
			checkHistory(t, dir, 1)
			checkOrphans(t, dir)
		})
	}
}

// TestReplaceBase: a run that was planned on another snapshot than the current one is to plan again, even where another definition has
// given the table other columns meanwhile.
func TestReplaceBase(t *testing.T) {
	dir := tempDir(t)
	prepareRuns(t, dir, 1)
	s := openStore(t, dir, smallFiles)
	snapshot, err := s.Snapshot(context.Background(), "purchases")
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	wider := purchases()
	wider.Features[0].Type = feature.Scalar(feature.Int64)
	c := commitFor(feature.Range{From: 0, To: 200})
	for _, c.Base = range []int64{NoSnapshot, snapshot.ID() + 1} {
		for _, view := range []*feature.View{purchases(), wider} {
			if _, err := replace(s, view, c, nil, 1); !errors.Is(err, feature.ErrConflict) {
				t.Errorf("planned on snapshot %d, the current one being %d: %v", c.Base, snapshot.ID(), err)
			}
		}
	}
	checkHistory(t, dir, 1)
	c.Base = snapshot.ID()
	after, err := replace(s, purchases(), c, numbered(0, 100, 1), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := after.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCancel ends a run's context while it writes.
func TestCancel(t *testing.T) {
	dir := tempDir(t)
	prepareRuns(t, dir, 1)
	for _, when := range []string{"before", "while writing", "after writing"} {
		t.Run(when, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if when == "before" {
				cancel()
			}
			c := commitFor(feature.Range{From: 40, To: 150})
			c.Progress.Start = 0
			_, err := openStore(t, dir, smallFiles).Replace(ctx, purchases(), c, func(w *Writer) error {
				batch := batchOf(purchases(), sorted(purchases(), numbered(50, 120, 2)))
				err := w.Write(batch.NewSlice(0, 40))
				cancel()
				if when == "while writing" {
					return errors.Join(err, w.Write(batch.NewSlice(40, batch.NumRows())))
				}
				return err
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			checkHistory(t, dir, 1)
			checkOrphans(t, dir)
		})
	}
}

// TestOpenRefuses opens what is no warehouse.
func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for warehouse, kind := range map[string]error{file: feature.ErrUnavailable, filepath.Join(file, "below"): feature.ErrUnavailable, "": feature.ErrInvalid, "100%": feature.ErrInvalid, "c#": feature.ErrInvalid} {
		if _, err := Open(context.Background(), warehouse, Options{}); !errors.Is(err, kind) {
			t.Errorf("opening %q: %v, want %v", warehouse, err, kind)
		}
	}
}

// TestWarehousePaths uses warehouses with names that are no plain URIs, and a relative one.
func TestWarehousePaths(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"relative", "with space", "ümlaut&", "a:b", "x+y"} {
		t.Run(name, func(t *testing.T) {
			snapshot, err := first(openStore(t, name, smallFiles))
			if err != nil {
				t.Fatal(err)
			}
			sameRows(t, purchases(), readAll(t, snapshot, purchases()), rowsAfter(1))
			checkHistory(t, name, 1)
			if !filepath.IsAbs(snapshot.Files()[0].Path) {
				t.Errorf("%s is not absolute", snapshot.Files()[0].Path)
			}
		})
	}
}

// TestFilesSplitByKey checks that files are about as long as asked for, and that no key is in two of them where its rows
// fit into one.
func TestFilesSplitByKey(t *testing.T) {
	s := openStore(t, tempDir(t), Options{FileBytes: 20_000, RowGroupRows: 500, PageRows: 100})
	var rows []row
	for i := range 20_000 {
		rows = append(rows, row{int64(i / 70), feature.Time(i), nil, float64(i) / 7, "shop"})
	}
	snapshot, err := replace(s, purchases(), commitFor(feature.Range{From: 0, To: 20_000}), rows, 777)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	var last feature.Key
	for _, r := range mustRuns(t, snapshot) {
		low, high, ok := r.FirstKeyBounds()
		if !ok {
			t.Fatal("a run has no bounds")
		}
		if !files[r.file.Path] && string(low) <= string(last) {
			t.Errorf("the key %x is in two files", low)
		}
		files[r.file.Path], last = true, high
	}
	infos := snapshot.Files()
	if len(infos) < 5 {
		t.Fatalf("%d bytes make %d files", snapshot.Bytes(), len(infos))
	}
	for _, f := range infos[:len(infos)-1] {
		if f.Bytes < 10_000 || f.Bytes > 30_000 || !f.Sorted {
			t.Errorf("file %+v", f)
		}
	}
}

// TestConcurrentReads reads many files at once with few of them open, and after Close.
func TestConcurrentReads(t *testing.T) {
	o := Options{FileBytes: 1, RowGroupRows: 10, PageRows: 5, OpenFilesMax: 3}
	s := openStore(t, tempDir(t), o)
	snapshot, err := replace(s, purchases(), commitFor(feature.Range{From: 0, To: 999}), numbered(0, 1000, 1), 100)
	if err != nil {
		t.Fatal(err)
	}
	runs := mustRuns(t, snapshot)
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(8)
	for round := range 3 {
		for _, r := range runs {
			group.Go(func() error {
				columns, err := r.Read(ctx, []string{"amount", "customer_id"}, []Span{{From: round, To: r.Rows()}})
				if err == nil && columns[0].Len() != r.Rows()-round {
					err = fmt.Errorf("%d rows", columns[0].Len())
				}
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if n := len(snapshot.handles.open); n > o.OpenFilesMax {
		t.Errorf("%d files of %d are open", n, len(snapshot.Files()))
	}
	if err := snapshot.Close(); err != nil {
		t.Error(err)
	}
	if _, err := runs[0].Read(context.Background(), nil, nil); err == nil {
		t.Error("a run can be read after Close")
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := runs[0].Read(canceled, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled read: %v", err)
	}
}
