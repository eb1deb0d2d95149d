package offline

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// CompactOptions change what [Store.Compact] does. The zero value works.
type CompactOptions struct {
	Files  int   // as many files of one size are merged; default 8
	Share  int   // a merged file has at most one in so many of the history's rows; default 8
	Memory int64 // bytes of rows that are held, beside the row group that is written; default 64 MiB
}

func (o CompactOptions) withDefaults() CompactOptions {
	if o.Files <= 1 {
		o.Files = 8
	}
	if o.Share <= 0 {
		o.Share = 8
	}
	if o.Memory <= 0 {
		o.Memory = 64 << 20
	}
	return o
}

// Compacted tells what [Store.Compact] did.
type Compacted struct {
	Commits       int
	Files, Merged int   // how many files became how many
	Rows          int64 // that were written again
}

// compactPrefix begins the names of files that a compaction writes, in place of a run's id.
const compactPrefix = "compacted"

// Compact merges data files that lie next to each other in time, so that the number of files stays small whatever the number of
// runs: of each size, by powers of eight, fewer than o.Files stay, save for the largest ones. The rows, their order and what is recorded
// of runs stay what they are; older snapshots keep their files. It does nothing where there is nothing to merge.
//
// What other engines have written stays as it is, and nothing is merged across it: it may tie with the rows of other files, and then
// the order of files decides.
//
// While it writes no other writer gets to the view, in any process: they fail with ErrUnavailable. It fails so itself where another is
// at work, with ErrConflict where another engine has changed the table meanwhile, and with ErrNotFound for a view that was never
// materialized. What it had committed before it failed stays.
func (s *Store) Compact(ctx context.Context, view string, o CompactOptions) (done Compacted, err error) {
	o = o.withDefaults()
	for {
		some, err := s.hasMerges(ctx, view, o)
		if err != nil || !some {
			return done, err
		}
		commits := done.Commits
		if err := s.compact(ctx, view, o, &done); err != nil || done.Commits == commits {
			return done, err
		}
	}
}

// hasMerges looks, without the lock, whether there is anything to merge.
func (s *Store) hasMerges(ctx context.Context, view string, o CompactOptions) (some bool, err error) {
	snapshot, err := s.Snapshot(ctx, view)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	groups, err := snapshot.merges(o)
	return len(groups) > 0, err
}

// compaction is a commit of [Store.Compact] on its way. Its view is made of what the table says of itself.
type compaction struct {
	replacement
	memory int64
}

// compact merges some files in one commit, and adds what it has done to done. It looks for them again: now nobody else changes them.
func (s *Store) compact(ctx context.Context, view string, o CompactOptions, done *Compacted) (err error) {
	r, err := s.startRun(ctx, view, compactPrefix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.end(err != nil)) }()
	c := &compaction{replacement: replacement{run: r}, memory: o.Memory}
	defer func() { err = errors.Join(err, c.close()) }()
	groups, err := c.look(ctx, view, o)
	if err != nil || len(groups) == 0 {
		return err
	}
	now := Compacted{Commits: 1}
	var removed, added []iceberg.DataFile
	for _, group := range groups {
		merged, err := c.merge(ctx, group)
		if err != nil {
			return err
		}
		added = append(added, merged...)
		for _, f := range group {
			removed, now.Rows = append(removed, f.iceberg), now.Rows+f.Rows
		}
	}
	now.Files, now.Merged = len(removed), len(added)
	if err := s.opts.Disk.SyncDir(filepath.Join(r.dir, "data")); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "view %s: making its data files durable: %w", view, err)
	}
	if err := c.replaceFiles(ctx, removed, added); err != nil {
		return err
	}
	done.add(now)
	return nil
}

func (c *Compacted) add(more Compacted) {
	c.Commits, c.Files, c.Merged, c.Rows = c.Commits+more.Commits, c.Files+more.Files, c.Merged+more.Merged, c.Rows+more.Rows
}

// look loads the table and returns what is to be merged. Where another engine has changed the columns since the last commit, nothing is
// until a run has decided what becomes of them.
func (c *compaction) look(ctx context.Context, view string, o CompactOptions) (groups [][]dataFile, err error) {
	store := c.run.store
	if c.base, err = store.load(ctx, view); err != nil {
		return nil, err
	}
	c.meta = c.base.meta
	current := c.meta.CurrentSnapshot()
	if current == nil || current.SchemaID != nil && *current.SchemaID != c.meta.CurrentSchema().ID {
		return nil, nil
	}
	if c.snapshot, err = store.open(ctx, view, c.base, current); err != nil {
		return nil, err
	}
	// What a run has recorded holds on: the commit repeats it, for other engines may expire older snapshots.
	if c.commit, _, err = provenance(view, c.meta, current); err != nil {
		return nil, err
	}
	c.commit.Rebuild = false
	c.order = c.snapshot.order
	for _, name := range c.order {
		column, _ := find(c.snapshot.columns, name)
		c.columns = append(c.columns, column)
	}
	for _, column := range c.snapshot.columns {
		if !slices.Contains(c.order, column.Name) {
			c.columns = append(c.columns, column)
		}
	}
	c.view = &feature.View{Name: view, Keys: c.snapshot.keys, HasCreatedTime: len(c.order) > len(c.snapshot.keys)+1}
	if err := c.checkUnpartitioned(); err != nil {
		return nil, err
	}
	return c.snapshot.merges(o)
}

// replaceFiles makes the commit. Its operation is Iceberg's replace, which says that no rows have changed.
func (c *compaction) replaceFiles(ctx context.Context, removed, added []iceberg.DataFile) error {
	_, err := c.transact(ctx, func(tx *table.Transaction, props iceberg.Properties) error {
		rewrite := tx.NewRewrite(props)
		for _, f := range removed {
			rewrite.DeleteFile(f)
		}
		for _, f := range added {
			rewrite.AddDataFile(f)
		}
		return rewrite.Commit(ctx)
	})
	return err
}

// merge writes the rows of files, in the order of [Snapshot.Files] where they tie, to as few files as they fit into.
func (c *compaction) merge(ctx context.Context, group []dataFile) ([]iceberg.DataFile, error) {
	out := &output{run: c.run, columns: c.columns, order: c.order, spec: c.meta.PartitionSpec(), orderID: group[0].iceberg.SortOrderID()}
	defer out.abandon()
	var sequences []keysort.Sequence
	rows := int64(0)
	for i := range group {
		runs, err := c.snapshot.runsOf(&group[i])
		if err != nil {
			return nil, err
		}
		sequences, rows = append(sequences, c.sequence(ctx, runs, c.memory/int64(len(group)))), rows+group[i].Rows
	}
	order, newKey := order{keys: len(c.view.Keys)}, []bool(nil)
	err := keysort.Merge(ctx, c.view.Keys, c.view.HasCreatedTime, sequences, mergedRows, func(batch arrow.RecordBatch) (err error) {
		var bad int
		if bad, newKey = order.next(batch.Columns()[:len(c.order)], newKey); bad >= 0 {
			return c.run.store.failed(c.view.Name, feature.Errorf(feature.ErrCorrupt, "the rows of one of %d data files, the first of which is %s, are not sorted, though it says so", len(group), group[0].Path))
		}
		return out.write(batch, newKey, order.tied)
	})
	if err == nil {
		err = out.close()
	}
	if err == nil && out.total != rows {
		err = feature.Errorf(feature.ErrInternal, "view %s: merging %d rows gives %d", c.view.Name, rows, out.total)
	}
	return out.done, err
}

// mergedRows is how many rows are read from a file, and written to a merged one, at once, where memory allows: those of a page.
const mergedRows = 1 << 14

// sequence reads a file in pieces that take about so many bytes of memory; of the first, which shows how large rows are, just a few rows.
func (c *compaction) sequence(ctx context.Context, runs []*Run, memory int64) keysort.Sequence {
	names, schema := namesAndSchema(c.columns)
	at, rows := 0, int64(1<<8)
	return func() (arrow.RecordBatch, error) {
		if len(runs) > 0 && at == runs[0].Rows() {
			runs, at = runs[1:], 0
		}
		if len(runs) == 0 {
			return nil, nil
		}
		part := Span{From: at, To: min(at+int(rows), runs[0].Rows())}
		columns, err := runs[0].Read(ctx, names, []Span{part})
		if err != nil {
			return nil, err
		}
		batch := array.NewRecordBatch(schema, columns, int64(part.To-part.From))
		at, rows = part.To, min(max(1, memory/rowBytesOf(batch)), mergedRows)
		return batch, nil
	}
}
