package offline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
)

// tableProperties are those of new tables. Format version 2 is what every engine reads. Metadata versions hold all snapshots,
// so that old ones are of use to readers that are just opening one, not as history.
func tableProperties() iceberg.Properties {
	return iceberg.Properties{
		table.PropertyFormatVersion:               "2",
		table.MetadataDeleteAfterCommitEnabledKey: "true",
		table.MetadataPreviousVersionsMaxKey:      "50",
		table.ManifestMergeEnabledKey:             "true",
	}
}

// replacement is a call of Replace on its way.
type replacement struct {
	run     *run
	view    *feature.View
	commit  Commit
	base    *version // nil when the view has no table
	staged  []table.Update
	meta    table.Metadata // with staged applied: what the new files belong to
	columns []column
	order   []string
	live    []dataFile // of the base's current snapshot
	deletes []iceberg.DataFile
	// snapshot is the base's current one, to read files that are rewritten; nil in a rebuild.
	snapshot *Snapshot
}

// Replace replaces the rows of c.Range by those that write writes, in one commit, and returns the snapshot that it made,
// which the caller closes. Files that reach over an end of the range are rewritten without the rows inside. With c.Rebuild
// the view's whole table, its columns and keys are replaced. A range without rows makes a commit too: the progress in c is what
// it is about.
//
// While it runs no other writer gets to the view, in any process: they fail with ErrUnavailable, naming this one. Readers go on.
// When it fails the history is as it was, unless the error comes from a step after the commit. ErrConflict tells that another
// run or engine has changed the table since c.Base, or another definition rebuilt it; ErrInvalid that the view's columns are not those
// stored, and the table needs a rebuild. A repetition with the same input gives the same history.
func (s *Store) Replace(ctx context.Context, view *feature.View, c Commit, write func(w *Writer) error) (_ *Snapshot, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.Range.Empty() {
		return nil, feature.Errorf(feature.ErrInvalid, "view %s: the range to replace is empty", view.Name)
	}
	r, err := s.startRun(ctx, view.Name, c.Progress.RunID)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.end(err != nil)) }()
	p := &replacement{run: r, view: view, commit: c}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	added, err := p.write(ctx, write)
	if err != nil {
		return nil, err
	}
	removed, rewritten, err := p.rewrite(ctx)
	if err != nil {
		return nil, err
	}
	clock := c.Stats.Start(stages.Commit)
	if err := s.opts.Disk.SyncDir(filepath.Join(r.dir, "data")); err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "view %s: making its data files durable: %w", view.Name, err)
	}
	done, err := p.publish(ctx, removed, append(added, rewritten...))
	if err != nil {
		return nil, err
	}
	clock.Stop(p.commit.Progress.Rows, 0)
	return s.open(ctx, view.Name, done, done.meta.CurrentSnapshot())
}

// prepare loads the table and stages what the commit does to its schema.
func (p *replacement) prepare(ctx context.Context) error {
	base, err := p.run.store.load(ctx, p.view.Name)
	switch {
	case errors.Is(err, feature.ErrNotFound):
		if err = p.checkBase(); err == nil {
			err = p.create()
		}
	case err == nil:
		p.base = base
		if err = p.checkBase(); err == nil {
			err = p.extend(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := p.checkUnpartitioned(); err != nil {
		return err
	}
	stored, err := columnsOf(p.view.Name, p.meta.CurrentSchema())
	if err != nil {
		return err
	}
	if err := checkStored(p.view, stored, keyNames(p.view)); err != nil {
		return err
	}
	for _, f := range p.view.Columns() { // another engine may have moved columns
		c, _ := find(stored, f.Name)
		p.columns = append(p.columns, c)
	}
	p.order = viewOrder(p.view)
	return nil
}

func (p *replacement) checkUnpartitioned() error {
	if spec := p.meta.PartitionSpec(); spec.NumFields() > 0 {
		return feature.Errorf(feature.ErrInvalid, "view %s: another engine has partitioned its table, which asof does not write: remove the partition fields there", p.view.Name)
	}
	return nil
}

// checkBase fails unless the table has the rows that it had when the run was planned; files may have been rewritten since.
func (p *replacement) checkBase() error {
	var current *table.Snapshot
	if p.base != nil {
		current = p.base.meta.CurrentSnapshot()
	}
	if p.commit.Base == 0 || p.commit.Base == NoSnapshot && current == nil {
		return nil
	}
	for at := current; at != nil; at = parent(p.base.meta, at) {
		if at.SnapshotID == p.commit.Base {
			return nil
		}
		if !replacesFiles(at) {
			break
		}
	}
	return feature.Errorf(feature.ErrConflict, "view %s: its history has changed since this run was planned, by another run or engine: run again", p.view.Name)
}

// close closes what reading the old files has opened.
func (p *replacement) close() error {
	if p.snapshot == nil {
		return nil
	}
	return p.snapshot.Close()
}

func keyNames(view *feature.View) []string {
	names := make([]string, len(view.Keys))
	for i, k := range view.Keys {
		names[i] = k.Name
	}
	return names
}

// create makes the metadata of a new table; it becomes a table with the first commit.
func (p *replacement) create() error {
	schema := schemaOf(p.view, nil, 0)
	order, err := sortOrderOf(schema, viewOrder(p.view))
	if err != nil {
		return err
	}
	p.meta, err = table.NewMetadata(schema, iceberg.UnpartitionedSpec, order, p.run.dir, tableProperties())
	if err != nil {
		return feature.Errorf(feature.ErrInternal, "view %s: making its table: %w", p.view.Name, err)
	}
	return nil
}

func viewOrder(view *feature.View) []string {
	names := append(keyNames(view), feature.EventTimeColumn)
	if view.HasCreatedTime {
		names = append(names, feature.CreatedTimeColumn)
	}
	return names
}

// extend looks at a table that is there. A rebuild brings its own schema and sort order.
func (p *replacement) extend(ctx context.Context) error {
	meta := p.base.meta
	current := meta.CurrentSnapshot()
	if current != nil {
		event, _ := meta.CurrentSchema().FindFieldByName(feature.EventTimeColumn)
		var err error
		if p.live, p.deletes, err = p.run.store.liveFiles(ctx, p.view.Name, meta, current, event.ID, func(*int) bool { return false }); err != nil {
			return err
		}
	}
	p.meta = meta
	if p.commit.Rebuild || current == nil {
		return p.stageSchema()
	}
	var err error
	if p.snapshot, err = p.run.store.open(ctx, p.view.Name, p.base, current); err != nil {
		return err
	}
	p.live = p.snapshot.files
	if err := checkStored(p.view, p.snapshot.columns, fieldNames(p.snapshot.keys)); err != nil {
		return err
	}
	if !isOrder(meta.SortOrder(), p.snapshot.columns, p.snapshot.order) {
		if err := p.stageOrder(meta.CurrentSchema()); err != nil {
			return err
		}
	}
	before, now := p.snapshot.Progress(), p.commit.Progress
	if now.Hash != before.Hash { // the run was planned before another one brought in another definition
		return feature.Errorf(feature.ErrConflict, "view %s: its history has been computed again by another definition meanwhile: run again with the definitions that are applied now", p.view.Name)
	}
	if now.Watermark < before.Watermark || now.Start > before.Start {
		return feature.Errorf(feature.ErrInvalid, "view %s: its history goes from %s to %s and the run would make it end at %s and begin at %s: only a rebuild may do that",
			p.view.Name, before.Start, before.Watermark, now.Watermark, now.Start)
	}
	return nil
}

func fieldNames(fields []feature.Field) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// stageSchema stages the view's columns and sort order, in the same commit as the new files: no reader sees one without
// the other.
func (p *replacement) stageSchema() error {
	schema := schemaOf(p.view, p.meta.CurrentSchema(), p.meta.LastColumnID())
	p.staged = []table.Update{table.NewAddSchemaUpdate(schema), table.NewSetCurrentSchemaUpdate(-1)}
	return p.stageOrder(schema)
}

func (p *replacement) stageOrder(schema *iceberg.Schema) error {
	order, err := sortOrderOf(schema, viewOrder(p.view))
	if err != nil {
		return err
	}
	p.staged = append(p.staged, table.NewAddSortOrderUpdate(&order), table.NewSetDefaultSortOrderUpdate(-1))
	if p.meta, err = stage(p.meta, "", p.staged); err != nil {
		return feature.Errorf(feature.ErrInternal, "view %s: changing the columns of its table: %w", p.view.Name, err)
	}
	return nil
}

// write runs the caller's function and returns the files that it has filled.
func (p *replacement) write(ctx context.Context, write func(*Writer) error) ([]iceberg.DataFile, error) {
	id := p.meta.DefaultSortOrder()
	out := &output{run: p.run, columns: p.columns, order: p.order, spec: p.meta.PartitionSpec(), orderID: &id, stats: p.commit.Stats}
	defer out.abandon()
	w := &Writer{ctx: ctx, view: p.view, fields: p.view.Columns(), rng: p.commit.Range, order: order{keys: len(p.view.Keys)}, out: out}
	if err := write(w); err != nil {
		return nil, err
	}
	if err := out.close(); err != nil {
		return nil, err
	}
	p.commit.Progress.Rows = out.total
	return out.done, ctx.Err()
}

// publish makes the commit.
func (p *replacement) publish(ctx context.Context, removed, added []iceberg.DataFile) (*version, error) {
	if p.commit.Took != nil {
		p.commit.Progress.Took = p.commit.Took()
	}
	var deletes []iceberg.DataFile
	if p.commit.Rebuild {
		deletes = p.deletes
	}
	return p.transact(ctx, func(tx *table.Transaction, props iceberg.Properties) error {
		switch {
		case len(deletes) > 0:
			return tx.ReplaceFiles(ctx, removed, added, deletes, props, table.WithoutAutoNameMapping())
		case len(removed) > 0:
			return tx.ReplaceDataFilesWithDataFiles(ctx, removed, added, props, table.WithoutAutoNameMapping())
		case len(added) > 0:
			// The names of the files are new, so nobody has to look for them in the table.
			return tx.AddDataFiles(ctx, added, props, table.WithoutAutoNameMapping(), table.WithoutDuplicateCheck())
		}
		return tx.Append(ctx, noRecords{arrow.NewSchema(nil, nil)}, props)
	})
}

// transact commits what change does, with what the commit records.
func (p *replacement) transact(ctx context.Context, change func(*table.Transaction, iceberg.Properties) error) (*version, error) {
	props, err := p.commit.properties(p.run.prefix, keyNames(p.view))
	if err != nil {
		return nil, err
	}
	c := &committer{run: p.run, base: p.base, staged: p.staged}
	location := ""
	if p.base == nil {
		c.created = p.meta
	} else {
		location = p.base.location
	}
	tx := c.table(p.meta, location).NewTransaction()
	if err = change(tx, props); err == nil {
		_, err = tx.Commit(ctx)
	}
	if err != nil {
		return nil, p.failed(err)
	}
	return c.done, nil
}

// failed gives errors of iceberg-go a place.
func (p *replacement) failed(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return feature.Errorf(faultOf(err, feature.KindOf(err)), "committing to the table of view %s: %w", p.view.Name, err)
}

// noRecords is an empty stream of records: what iceberg-go appends for a snapshot without new files.
type noRecords struct{ schema *arrow.Schema }

var _ array.RecordReader = noRecords{}

func (r noRecords) Schema() *arrow.Schema        { return r.schema }
func (noRecords) Retain()                        {}
func (noRecords) Release()                       {}
func (noRecords) Next() bool                     { return false }
func (noRecords) RecordBatch() arrow.RecordBatch { return nil }
func (noRecords) Record() arrow.RecordBatch      { return nil }
func (noRecords) Err() error                     { return nil }
func (r noRecords) String() string               { return fmt.Sprint(r.schema) }
