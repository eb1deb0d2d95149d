package offline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog/hadoop"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// foreignTable loads the table as another engine would: through iceberg-go's own Hadoop catalog.
func foreignTable(t *testing.T, s *Store) *table.Table {
	t.Helper()
	c, err := hadoop.NewCatalog("foreign", "file://"+s.root, nil)
	if err != nil {
		t.Fatal(err)
	}
	tbl, err := c.LoadTable(context.Background(), table.Identifier{namespace, "purchases"})
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

// foreignFile writes a data file that says nothing of its order.
func foreignFile(t *testing.T, s *Store, name string, ids bool, rows []row) iceberg.DataFile {
	t.Helper()
	tbl := foreignTable(t, s)
	columns, err := columnsOf("purchases", tbl.Schema())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.tableDir("purchases"), "data", name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	specs := parquetColumns(columns, nil)
	for i := range specs {
		if !ids {
			specs[i].FieldID = 0
		}
	}
	w := parquetio.NewWriter(f, specs, parquetio.WriterOptions{RowGroupRows: 16, PageRows: 5})
	if err := w.Write(batchOf(purchases(), rows)); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	df, err := dataFileOf("file:"+path, stats, columns, tbl.Spec(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return df
}

func commitForeign(t *testing.T, s *Store, change func(tx *table.Transaction) error) int64 {
	t.Helper()
	tx := foreignTable(t, s).NewTransaction()
	if err := change(tx); err != nil {
		t.Fatal(err)
	}
	tbl, err := tx.Commit(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return tbl.CurrentSnapshot().SnapshotID
}

// backwards returns rows with event times in [from, to), newest first.
func backwards(from, to int) []row {
	rows := numbered(from, to, 7)
	for i, j := 0, len(rows)-1; i < j; i, j = i+1, j-1 {
		rows[i], rows[j] = rows[j], rows[i]
	}
	return rows
}

// TestForeignFiles appends unsorted files with another engine's means, with field ids and without, and goes on from there.
func TestForeignFiles(t *testing.T) {
	for _, ids := range []bool{true, false} {
		t.Run(fmt.Sprintf("field ids %v", ids), func(t *testing.T) {
			ctx, dir := context.Background(), tempDir(t)
			s := openStore(t, dir, smallFiles)
			one, err := first(s)
			if err != nil {
				t.Fatal(err)
			}
			id := commitForeign(t, s, func(tx *table.Transaction) error {
				return tx.AddDataFiles(ctx, []iceberg.DataFile{foreignFile(t, s, "foreign.parquet", ids, backwards(60, 200))}, nil)
			})
			snapshot, err := s.Snapshot(ctx, "purchases")
			if err != nil {
				t.Fatal(err)
			}
			rows := append(rowsAfter(1), numbered(60, 200, 7)...)
			sameRows(t, purchases(), readAll(t, snapshot, purchases()), rows)
			if g, w := fmt.Sprint(snapshot.Progress()), fmt.Sprint(one.Progress()); snapshot.ID() != id || g != w {
				t.Errorf("the progress of another engine's commit is %s, want that of the last own one, %s", g, w)
			}
			checkSpansOf(t, snapshot)
			all := feature.Range{From: feature.MinTime, To: feature.MaxTime}
			if commits, err := s.Since(ctx, "purchases", one.ID()); err != nil || len(commits) != 1 || commits[0].Range != all {
				t.Errorf("since the own commit: %+v, %v", commits, err)
			}
			if _, err := second(s); err != nil {
				t.Fatal(err)
			}
			after, err := s.Snapshot(ctx, "purchases")
			if err != nil {
				t.Fatal(err)
			}
			rows = append(numbered(0, 40, 1), append(numbered(50, 120, 2), numbered(151, 200, 7)...)...)
			sameRows(t, purchases(), readAll(t, after, purchases()), rows)
			sound(t, s, purchases())
		})
	}
}

// checkSpansOf compares reading single rows of each run with reading all.
func checkSpansOf(t *testing.T, s *Snapshot) {
	t.Helper()
	for _, r := range mustRuns(t, s) {
		all := readRun(t, r, purchases(), nil)
		some := readRun(t, r, purchases(), []Span{{From: 0, To: 1}, {From: r.Rows() - 1, To: r.Rows()}})
		if fmt.Sprint(some) != fmt.Sprint([]row{all[0], all[len(all)-1]}) {
			t.Errorf("rows of spans are %v, of all %v", some, all)
		}
	}
}

// TestForeignDeletes adds a delete file: nobody may see the deleted rows, so that reading must fail until a rebuild.
func TestForeignDeletes(t *testing.T) {
	ctx, dir := context.Background(), tempDir(t)
	prepareRuns(t, dir, 1)
	s := openStore(t, dir, smallFiles)
	commitForeign(t, s, func(tx *table.Transaction) error {
		path := filepath.Join(s.tableDir("purchases"), "data", "deletes.parquet")
		b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentPosDeletes, path, iceberg.ParquetFile, nil, nil, nil, 1, 100)
		if err != nil {
			return err
		}
		return tx.NewRowDelta(nil).AddDeletes(b.Build()).Commit(ctx)
	})
	_, err1 := s.Snapshot(ctx, "purchases")
	_, err2 := second(s)
	for _, err := range []error{err1, err2} {
		if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "deletes.parquet") || !strings.Contains(err.Error(), "rewrite") {
			t.Errorf("a table with deletes: %v", err)
		}
	}
	c := commitFor(feature.Range{From: 0, To: 9})
	c.Rebuild = true
	snapshot, err := replace(s, purchases(), c, numbered(0, 5, 3), 5)
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, purchases(), readAll(t, snapshot, purchases()), numbered(0, 5, 3))
}

// TestForeignCommitWhileWriting lets another engine append while a run writes: what the run replaces may have changed.
func TestForeignCommitWhileWriting(t *testing.T) {
	ctx, dir := context.Background(), tempDir(t)
	prepareRuns(t, dir, 1)
	s := openStore(t, dir, smallFiles)
	c := commitFor(feature.Range{From: 40, To: 150})
	c.Progress.Start = 0
	_, err := s.Replace(ctx, purchases(), c, func(w *Writer) error {
		commitForeign(t, s, func(tx *table.Transaction) error {
			return tx.AddDataFiles(ctx, []iceberg.DataFile{foreignFile(t, s, "foreign.parquet", true, backwards(300, 310))}, nil)
		})
		return w.Write(batchOf(purchases(), sorted(purchases(), numbered(50, 60, 2))))
	})
	if !errors.Is(err, feature.ErrConflict) {
		t.Errorf("got %v", err)
	}
	snapshot, err := s.Snapshot(ctx, "purchases")
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, purchases(), readAll(t, snapshot, purchases()), append(rowsAfter(1), numbered(300, 310, 7)...))
	checkOrphans(t, dir)
}

// TestForeignSchema changes the schema and the sort order with another engine's means.
func TestForeignSchema(t *testing.T) {
	ctx, dir := context.Background(), tempDir(t)
	prepareRuns(t, dir, 1)
	s := openStore(t, dir, smallFiles)
	commitForeign(t, s, func(tx *table.Transaction) error { return tx.ReplaceSortOrder(table.UnsortedSortOrder) })
	if _, err := second(s); err != nil {
		t.Fatal(err)
	}
	checkHistory(t, dir, 2)
	snapshot, err := s.Snapshot(ctx, "purchases")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range snapshot.Files() {
		if !f.Sorted {
			t.Errorf("%s is not said to be sorted", f.Path)
		}
	}
	commitForeign(t, s, func(tx *table.Transaction) error {
		return tx.UpdateSchema(true, false).AddColumn([]string{"note"}, iceberg.PrimitiveTypes.Date, "", false, nil).Commit()
	})
	if _, err := second(s); !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "note") {
		t.Errorf("writing beside another engine's column: %v", err)
	}
	checkHistory(t, dir, 2)
}

// TestCorrupt damages each file of a table in turn.
func TestCorrupt(t *testing.T) {
	for _, damage := range []struct {
		name, pattern string
		apply         func(path string, content []byte) error
		kind          error
	}{
		{"data file cut", "data/*.parquet", func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o644) }, feature.ErrCorrupt},
		{"data file longer", "data/*.parquet", func(path string, b []byte) error { return os.WriteFile(path, append([]byte("PAR1"), b...), 0o644) }, feature.ErrCorrupt},
		{"data file missing", "data/*.parquet", func(path string, _ []byte) error { return os.Remove(path) }, feature.ErrCorrupt},
		{"data file of zeros", "data/*.parquet", func(path string, b []byte) error { return os.WriteFile(path, make([]byte, len(b)), 0o644) }, feature.ErrCorrupt},
		{"data file unreadable", "data/*.parquet", func(path string, _ []byte) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
		}, feature.ErrUnavailable},
		{"manifest cut", "metadata/*-m*.avro", func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o644) }, feature.ErrCorrupt},
		{"manifest missing", "metadata/*-m*.avro", func(path string, _ []byte) error { return os.Remove(path) }, feature.ErrCorrupt},
		{"manifest list empty", "metadata/snap-*.avro", func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o644) }, feature.ErrCorrupt},
		{"metadata cut", "metadata/v*.metadata.json", func(path string, b []byte) error { return os.WriteFile(path, b[:len(b)/2], 0o644) }, feature.ErrCorrupt},
		{"metadata empty", "metadata/v*.metadata.json", func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o644) }, feature.ErrCorrupt},
	} {
		t.Run(damage.name, func(t *testing.T) {
			dir := tempDir(t)
			prepareRuns(t, dir, 1)
			s := openStore(t, dir, smallFiles)
			paths, err := filepath.Glob(filepath.Join(s.tableDir("purchases"), damage.pattern))
			if err != nil || len(paths) == 0 {
				t.Fatal(paths, err)
			}
			content, err := os.ReadFile(paths[0])
			if err == nil {
				err = damage.apply(paths[0], content)
			}
			if err != nil {
				t.Fatal(err)
			}
			where := filepath.Base(paths[0])
			if strings.HasPrefix(damage.name, "metadata") {
				where = "metadata"
			}
			if err := readSome(s); feature.KindOf(err) != damage.kind || !strings.Contains(err.Error(), where) || !strings.Contains(err.Error(), "purchases") {
				t.Errorf("reading: %v (%v), want %v that names %s", err, feature.KindOf(err), damage.kind, where)
			}
		})
	}
}

func readSome(s *Store) error {
	ctx := context.Background()
	snapshot, err := s.Snapshot(ctx, "purchases")
	if err != nil {
		return err
	}
	defer snapshot.Close()
	runs, err := snapshot.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if _, err := r.Read(ctx, []string{"customer_id", "amount"}, nil); err != nil {
			return err
		}
	}
	return nil
}

// TestCheckWhileSnapshotsExpire lets another engine expire all snapshots but the last, with their files, while a check is under way, and
// checks again afterwards.
func TestCheckWhileSnapshotsExpire(t *testing.T) {
	ctx, dir := context.Background(), tempDir(t)
	prepareRuns(t, dir, 2)
	s := openStore(t, dir, smallFiles)
	expired := false
	o := CheckOptions{Rows: func(arrow.RecordBatch) error {
		if !expired {
			expired = true
			commitForeign(t, s, func(tx *table.Transaction) error {
				return tx.ExpireSnapshots(table.WithRetainLast(1), table.WithOlderThan(0))
			})
			if v, err := s.load(ctx, "purchases"); err != nil || len(v.meta.Snapshots()) != 1 {
				t.Fatalf("%v: there are still %d snapshots", err, len(v.meta.Snapshots()))
			}
		}
		return nil
	}}
	report := func(f Finding) { t.Errorf("expired: %v: %s: %s", expired, f.Where, f.What) }
	for range 2 {
		if done, err := s.Check(ctx, purchases(), o, report); err != nil || !expired || done.Rows == 0 {
			t.Errorf("%+v, %v", done, err)
		}
	}
}
