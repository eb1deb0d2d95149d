package offline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// pairs merges whatever lies next to something of its size.
var pairs = CompactOptions{Files: 2, Share: 1}

// increment adds rows with event times [from, to) to the history, as a scheduled run does.
func increment(t tester, s *Store, from, to int) *Snapshot {
	t.Helper()
	c := commitFor(feature.Range{From: feature.Time(from), To: feature.Time(to - 1)})
	c.Progress.Start, c.Progress.RunID = 0, fmt.Sprint("run ", from)
	snapshot, err := replace(s, purchases(), c, numbered(from, to, float64(from)), 30)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func closed(t tester, s *Snapshot) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func current(t tester, s *Store, view string) *Snapshot {
	t.Helper()
	snapshot, err := s.Snapshot(context.Background(), view)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// TestCompactYear plays what becomes of the files of a view that runs every 15 minutes for a year, on a backfill and without one, with late
// data: there are never many, rows are rarely written again, and no merged file has more than an eighth of them.
func TestCompactYear(t *testing.T) {
	const runs = 35_000
	for _, c := range []struct {
		backfill, fileBytes int64
		filesMax            int
	}{{0, 256 << 20, 110}, {100_000_000, 256 << 20, 110}, {0, 8 << 20, 220}} {
		backfill, fileBytes := c.backfill, c.fileBytes
		t.Run(fmt.Sprintf("%d rows before, files of %d bytes", backfill, fileBytes), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(backfill)))
			var files []dataFile
			total, rewritten, most, name := int64(0), int64(0), 0, 0
			add := func(rows int64, events feature.Range) {
				name++
				files = append(files, dataFile{sequence: int64(name), FileInfo: FileInfo{Path: fmt.Sprint(name), Rows: rows, Bytes: 2000 + rows*20, Events: events, Sorted: true}})
				total += rows
			}
			for i := range backfill / 10_000_000 {
				add(10_000_000, feature.Range{From: feature.Time(i - 20), To: feature.Time(i - 20)})
			}
			for run := range feature.Time(runs) {
				add(1000+random.Int64N(100), feature.Range{From: run, To: run})
				if random.IntN(20) == 0 {
					late := feature.Time(random.Int64N(int64(run) + 1))
					add(1+random.Int64N(30), feature.Range{From: late, To: late})
				}
				for groups := [][]dataFile{nil}; len(groups) > 0; {
					groups = mergesOf(files, CompactOptions{}.withDefaults(), fileBytes)
					for _, group := range groups {
						rows, bytes := int64(0), int64(0)
						for _, f := range group {
							rows, bytes = rows+f.Rows, bytes+f.Bytes
						}
						if len(group) < 8 && bytes <= fileBytes/2 || rows > total/8 || bytes > fileBytes {
							t.Fatalf("after %d runs %d files of %d rows are merged, of %d", run, len(group), rows, total)
						}
						rewritten, total = rewritten+rows, total-rows
						files = slices.DeleteFunc(files, func(f dataFile) bool {
							return slices.ContainsFunc(group, func(g dataFile) bool { return f.Path == g.Path })
						})
						add(rows, spanOf(group))
					}
				}
				most = max(most, len(files))
			}
			if most > c.filesMax {
				t.Errorf("there were %d files, more than %d", most, c.filesMax)
			}
			if rewritten > 5*(total-backfill) || rewritten < total-backfill {
				t.Errorf("of %d rows %d were written again, which should be once for each power of eight that a file grows by", total, rewritten)
			}
		})
	}
}

// TestCompactBacklog has a year of runs that nobody has merged: a commit merges as many at once as fit into a file, or into memory.
func TestCompactBacklog(t *testing.T) {
	var files []dataFile
	for i := range feature.Time(5000) {
		files = append(files, dataFile{sequence: int64(i), FileInfo: FileInfo{Path: fmt.Sprint(i), Rows: 1000, Bytes: 20_000, Events: feature.Range{From: i, To: i}, Sorted: true}})
	}
	for fileBytes, want := range map[int64]int{1_000_000: 50, 256 << 20: mergedFilesMax} {
		groups := mergesOf(files, CompactOptions{}.withDefaults(), fileBytes)
		if len(groups) != (len(files)+want-1)/want || len(groups[0]) != want {
			t.Errorf("files of %d bytes: %d groups, the first of %d files", fileBytes, len(groups), len(groups[0]))
		}
	}
}

// TestCompactRuns compacts after each of many runs, as runs do: the rows stay, and what the last run has recorded.
func TestCompactRuns(t *testing.T) {
	const runs, rowsOfRun = 80, 3
	ctx, s := context.Background(), openStore(t, tempDir(t), Options{})
	var want []row
	var all Compacted
	for run := range runs {
		from := run * rowsOfRun
		added := increment(t, s, from, from+rowsOfRun)
		want = append(want, numbered(from, from+rowsOfRun, float64(from))...)
		done, err := s.Compact(ctx, "purchases", CompactOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all.add(done)
		if done.Commits > 0 {
			after := current(t, s, "purchases")
			if g, w := fmt.Sprintf("%+v", after.Progress()), fmt.Sprintf("%+v", added.Progress()); g != w {
				t.Fatalf("after merging %+v the progress is %s, want %s", done, g, w)
			}
			if g, w := len(after.Files()), len(added.Files())-done.Files+done.Merged; g != w {
				t.Fatalf("it says %+v, and of %d files there are %d", done, w, g)
			}
			closed(t, after)
		}
		closed(t, added)
	}
	after := current(t, s, "purchases")
	defer after.Close()
	sameRows(t, purchases(), readAll(t, after, purchases()), want)
	if want := (Compacted{Commits: 3, Files: 80, Merged: 10, Rows: runs * rowsOfRun}); all != want || len(after.Files()) != want.Merged {
		t.Errorf("%+v leaves %d files, want %+v", all, len(after.Files()), want)
	}
	sound(t, s, purchases())
}

// TestCompactTwin compacts after random replacements of random tables, with ties, and holds the rows and their order against the twin.
func TestCompactTwin(t *testing.T) {
	merged := 0
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(memoryDir(), "offline")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		o := Options{FileBytes: rapid.SampledFrom([]int64{1, 4000, 1 << 20}).Draw(t, "file bytes"), OpenFilesMax: 2,
			RowGroupRows: rapid.IntRange(1, 12).Draw(t, "row group"), PageRows: rapid.IntRange(1, 5).Draw(t, "page")}
		s := openStore(t, dir, o)
		w := &twin{view: drawView(t), history: map[int64]twinSnapshot{}}
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			stepTwin(t, s, w)
			if rapid.Bool().Draw(t, "compact") {
				merged += compactTwin(t, s, w)
			}
		}
	})
	if merged == 0 {
		t.Error("nothing was ever merged")
	}
}

func compactTwin(t *rapid.T, s *Store, w *twin) int {
	ctx, last := context.Background(), w.commits[len(w.commits)-1]
	before := current(t, s, w.view.Name)
	done, err := s.Compact(ctx, w.view.Name, CompactOptions{Files: 2, Share: rapid.IntRange(1, 3).Draw(t, "share"), Memory: rapid.Int64Range(1, 5000).Draw(t, "memory")})
	if err != nil {
		t.Fatal(err)
	}
	after := current(t, s, w.view.Name)
	if files := len(before.Files()); len(after.Files()) != files-done.Files+done.Merged || done.Commits > 0 != (after.ID() != before.ID()) || done.Merged > done.Files {
		t.Fatalf("%+v makes %d files of %d", done, len(after.Files()), files)
	}
	if g, w := fmt.Sprintf("%+v", after.Progress()), fmt.Sprintf("%+v", before.Progress()); g != w {
		t.Fatalf("the progress is %s, want %s", g, w)
	}
	if p := after.snapshot.Summary.Properties; done.Commits > 0 && (p[propRebuild] != "" || !strings.HasPrefix(p[propFiles], compactPrefix)) {
		t.Fatalf("the commit records %v", p)
	}
	for _, snapshot := range []*Snapshot{before, after} {
		sameRows(t, w.view, readAll(t, snapshot, w.view), w.rows)
		for _, f := range snapshot.Files() {
			if !f.Sorted {
				t.Fatalf("%s is not sorted", f.Path)
			}
		}
		closed(t, snapshot)
	}
	if commits, err := s.Since(ctx, w.view.Name, last.SnapshotID); err != nil || len(commits) > 0 {
		t.Fatalf("compacting counts as the commits %+v, %v", commits, err)
	}
	sound(t, s, w.view)
	return done.Files
}

// TestCompactKeepsBases compacts between the planning of a run and its commit: the run goes on, and another run's commit still is in its way.
func TestCompactKeepsBases(t *testing.T) {
	ctx, s := context.Background(), openStore(t, tempDir(t), Options{})
	var base int64
	for i := range 4 {
		snapshot := increment(t, s, i*10, i*10+10)
		base = snapshot.ID()
		closed(t, snapshot)
	}
	if done, err := s.Compact(ctx, "purchases", pairs); err != nil || done.Commits < 1 {
		t.Fatal(done, err)
	}
	late := commitFor(feature.Range{From: 15, To: 50})
	late.Progress.Start, late.Base = 0, base
	snapshot, err := replace(s, purchases(), late, numbered(20, 30, -1), 7)
	if err != nil {
		t.Fatalf("a run that was planned before: %v", err)
	}
	want := append(append(numbered(0, 10, 0), numbered(10, 15, 10)...), numbered(20, 30, -1)...)
	sameRows(t, purchases(), readAll(t, snapshot, purchases()), want)
	closed(t, snapshot)
	for _, old := range []int64{base, NoSnapshot, 12345} {
		late.Base = old
		if _, err := replace(s, purchases(), late, nil, 7); !errors.Is(err, feature.ErrConflict) {
			t.Errorf("a run that was planned on %d: %v", old, err)
		}
	}
	sound(t, s, purchases())
}

// TestCompactBesideWriters compacts while another process writes the view, and the other way round.
func TestCompactBesideWriters(t *testing.T) {
	ctx, dir := context.Background(), tempDir(t)
	s, other := openStore(t, dir, Options{}), openStore(t, dir, Options{})
	if _, err := s.Compact(ctx, "purchases", pairs); !errors.Is(err, feature.ErrNotFound) {
		t.Fatalf("a view that was never materialized: %v", err)
	}
	if _, err := os.Stat(s.tableDir("purchases")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("compacting it leaves a directory: %v", err)
	}
	closed(t, increment(t, s, 0, 10))
	closed(t, increment(t, s, 10, 20))
	c := commitFor(feature.Range{From: 20, To: 30})
	c.Progress.Start = 0
	snapshot, err := s.Replace(ctx, purchases(), c, func(*Writer) error {
		if _, err := other.Compact(ctx, "purchases", pairs); !errors.Is(err, feature.ErrUnavailable) {
			t.Errorf("compacting while a run writes: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closed(t, snapshot)
	o := Options{Step: func(name string, done bool) error {
		if name == stepDataFile && done {
			if _, err := replace(other, purchases(), c, nil, 1); !errors.Is(err, feature.ErrUnavailable) || !strings.Contains(err.Error(), "is being written by process") {
				t.Errorf("a run while files are merged: %v", err)
			}
		}
		return nil
	}}
	if done, err := openStore(t, dir, o).Compact(ctx, "purchases", pairs); err != nil || done.Files != 2 || done.Merged != 1 {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestCompactForeign lets another engine add files, of which one claims to be sorted: neither they nor what shares event times with them is
// touched, and ties keep their order.
func TestCompactForeign(t *testing.T) {
	ctx, s := context.Background(), openStore(t, tempDir(t), Options{})
	for i := range 8 {
		closed(t, increment(t, s, i*10, i*10+10))
	}
	liar := sorted(purchases(), numbered(35, 36, 7))
	commitForeign(t, s, func(tx *table.Transaction) error {
		claims := foreignFile(t, s, "liar.parquet", true, liar)
		b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, claims.FilePath(), iceberg.ParquetFile, nil, nil, nil, claims.Count(), claims.FileSizeBytes())
		if err != nil {
			return err
		}
		order := foreignTable(t, s).Metadata().DefaultSortOrder()
		b.ValueCounts(claims.ValueCounts()).NullValueCounts(claims.NullValueCounts()).LowerBoundValues(claims.LowerBoundValues()).UpperBoundValues(claims.UpperBoundValues()).SortOrderID(order)
		return tx.AddDataFiles(ctx, []iceberg.DataFile{b.Build(), foreignFile(t, s, "foreign.parquet", false, backwards(12, 15))}, nil)
	})
	before := current(t, s, "purchases")
	rows := readAll(t, before, purchases())
	closed(t, before)
	if done, err := s.Compact(ctx, "purchases", pairs); err != nil || done.Files != 4 || done.Merged != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	after := current(t, s, "purchases")
	defer after.Close()
	sameRows(t, purchases(), readAll(t, after, purchases()), rows)
	kept := map[string]bool{}
	for _, f := range after.Files() {
		kept[fmt.Sprint(f.Events.From, " ", f.Rows)] = true
		if f.Rows > 10 && (f.Events.Overlaps(feature.Range{From: 12, To: 14}) || f.Events.Contains(35)) {
			t.Errorf("%+v was merged across files of another engine", f)
		}
	}
	for _, want := range []string{"10 10", "30 10", "12 3", "35 1"} {
		var from, n int
		fmt.Sscan(want, &from, &n)
		if !kept[fmt.Sprint(feature.Time(from), " ", n)] {
			t.Errorf("the file from %d with %d rows is gone: %v", from, n, kept)
		}
	}
	sound(t, s, purchases())
}
