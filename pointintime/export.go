package pointintime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/offline"
)

// TimeColumnDefault is the spine column that holds the as-of times where none is named.
const TimeColumnDefault = "event_timestamp"

// MemoryDefault is the memory of an export that names none.
const MemoryDefault = 1 << 30

// ExportOptions are the options of [Export]. The zero value is a plain export.
type ExportOptions struct {
	Options
	TimeColumn       string // of the spine; default: TimeColumnDefault
	FullNames        bool   // columns are called view__feature
	WithFeatureTimes bool   // a column view__event_time beside each view's features
	Memory           int64  // bytes, about; default: MemoryDefault
	ChunkRows        int    // spine rows joined at a time; default: what Memory allows
	DefinitionHash   string // kept in the manifest
	Version          string // of asof, kept in the manifest
	// Progress, where set, is called with the number of rows just written and of all spine rows (-1 where unknown).
	Progress func(rows, total int64)
	// Step is handed to the writer of the output; see tabular.WriterOptions.
	Step func(name string, done bool) error
}

// Export writes the training set of svc for the spine in the file at spinePath to outPath, and a manifest beside it
// (outPath + ".manifest.json"): one row for each spine row, in the spine's order, its columns untouched, then the features in the
// service's order. snapshots holds, by view name, the history to read, and stays the caller's. The formats are those of package
// tabular. The output appears whole or not at all; the manifest appears first.
//
// Errors are ErrInvalid for a spine that lacks the time or a key column or has one of another type, and for a name that would be
// taken twice; otherwise those of reading and writing.
func Export(ctx context.Context, svc *feature.Service, snapshots map[string]*offline.Snapshot, spinePath, outPath string, o ExportOptions) (m *Manifest, err error) {
	reader, err := tabular.OpenReader(spinePath, tabular.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	e, err := newExport(ctx, svc, snapshots, spinePath, reader, o)
	if err != nil {
		return nil, err
	}
	writer, err := tabular.Create(outPath, e.schema, tabular.WriterOptions{Step: o.Step})
	if err != nil {
		return nil, err
	}
	defer writer.Abort()
	if err := e.stream(ctx, reader, writer); err != nil {
		return nil, err
	}
	m, err = e.manifest(ctx, spinePath, outPath)
	if err != nil {
		return nil, err
	}
	if err := writer.Finish(); err != nil { // a full disk must not leave a manifest alone
		return nil, err
	}
	if err := m.write(outPath + ManifestSuffix); err != nil {
		return nil, err
	}
	return m, writer.Commit()
}

// export is one Export at work.
type export struct {
	o         ExportOptions
	svc       *feature.Service
	snapshots map[string]*offline.Snapshot
	runs      [][]Run // for each ref
	spinePath string
	taken     []feature.Field // of the spine: key columns, then request fields
	place     map[string]int  // spine column -> position
	schema    *arrow.Schema   // of the output
	report    *report
	total     int64
}

func newExport(ctx context.Context, svc *feature.Service, snapshots map[string]*offline.Snapshot, spinePath string, reader tabular.Reader, o ExportOptions) (*export, error) {
	if o.TimeColumn == "" {
		o.TimeColumn = TimeColumnDefault
	}
	if o.Memory <= 0 {
		o.Memory = MemoryDefault
	}
	e := &export{o: o, svc: svc, snapshots: snapshots, spinePath: spinePath, taken: slices.Concat(svc.KeyFields(), svc.RequestFields()), place: map[string]int{}, report: newReport(svc, o.FullNames), total: -1}
	if rows, known := reader.Rows(); known {
		e.total = rows
	}
	if err := e.checkSpine(reader.Schema()); err != nil {
		return nil, err
	}
	for _, ref := range svc.Refs {
		snapshot, ok := snapshots[ref.View.Name]
		if !ok {
			return nil, feature.Errorf(feature.ErrNotFound, "view %s has never been materialized: run asof materialize %s", ref.View.Name, ref.View.Name)
		}
		if snapshot.Progress().Hash != ref.View.Hash {
			return nil, feature.Errorf(feature.ErrInvalid, "view %s: its definition has changed since it was materialized: run asof materialize %s", ref.View.Name, ref.View.Name)
		}
		stored, err := snapshot.Runs(ctx)
		if err != nil {
			return nil, err
		}
		runs := make([]Run, len(stored))
		for i, r := range stored {
			runs[i] = r
		}
		e.runs = append(e.runs, runs)
	}
	return e, nil
}

// checkSpine finds the spine's columns and builds the schema of the output.
func (e *export) checkSpine(spine *arrow.Schema) error {
	var taken []string
	for i, f := range spine.Fields() {
		e.place[f.Name] = i
		taken = append(taken, f.Name)
	}
	missing := func(what, name, hint string) error {
		return feature.Errorf(feature.ErrInvalid, "spine %s has no %s %q; its columns are %s: %s", e.spinePath, what, name, strings.Join(taken, ", "), hint)
	}
	if _, ok := e.place[e.o.TimeColumn]; !ok {
		return missing("time column", e.o.TimeColumn, "name the column of the as-of times with --time-column"+nearest.Hint(e.o.TimeColumn, taken))
	}
	for i, f := range e.taken {
		if _, ok := e.place[f.Name]; ok {
			continue
		}
		if i < len(e.svc.KeyFields()) {
			return missing("key column", f.Name, "rename a column of the spine, or map the key to another name in service "+e.svc.Name+" (keys: {...})")
		}
		return missing("column", f.Name, "it is the request field ("+f.Type.String()+") of on-demand features of service "+e.svc.Name+", which training takes from the spine: add it, or rename a column")
	}
	fields := append([]arrow.Field(nil), spine.Fields()...)
	for _, c := range e.columns() {
		if _, ok := e.place[c.Name]; ok && c.times {
			return feature.Errorf(feature.ErrInvalid, "spine %s has a column %q, which --with-feature-times would write: rename it, or give the view an alias in service %s", e.spinePath, c.Name, e.svc.Name)
		}
		fields = append(fields, arrow.Field{Name: c.Name, Type: e.typeOf(c).Arrow(), Nullable: true})
	}
	e.schema = arrow.NewSchema(fields, nil)
	return e.svc.CheckNames(e.o.FullNames, taken...)
}

// chunk is a stretch of the spine: its batches as they were read, and what is taken of them, of the types that are wanted.
type chunk struct {
	batches []arrow.RecordBatch
	taken   [][]arrow.Array // for each of export.taken, a piece per batch
	times   []arrow.Array
	rows    int
}

// stream joins the spine chunk by chunk.
func (e *export) stream(ctx context.Context, reader tabular.Reader, writer *tabular.Writer) error {
	for {
		c, err := e.readChunk(ctx, reader)
		if err != nil {
			return err
		}
		if c.rows == 0 {
			return nil
		}
		if err := e.joinChunk(ctx, c, writer); err != nil {
			return err
		}
		e.report.end()
	}
}

// readChunk reads as many spine rows as are joined at a time; none at the spine's end.
func (e *export) readChunk(ctx context.Context, reader tabular.Reader) (*chunk, error) {
	c := &chunk{taken: make([][]arrow.Array, len(e.taken))}
	rowsMax := e.o.ChunkRows
	for rowsMax == 0 || c.rows < rowsMax {
		batch, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		times, err := tabular.Convert(batch.Column(e.place[e.o.TimeColumn]), e.o.TimeColumn, feature.Scalar(feature.Timestamp), reader.Where)
		if err != nil {
			return nil, err
		}
		for i, f := range e.taken {
			column, err := tabular.Convert(batch.Column(e.place[f.Name]), f.Name, f.Type, reader.Where)
			if err != nil {
				return nil, err
			}
			c.taken[i] = append(c.taken[i], column)
		}
		c.batches, c.times, c.rows = append(c.batches, batch), append(c.times, times), c.rows+int(batch.NumRows())
		if rowsMax == 0 {
			rowsMax = e.chunkRows(batch)
		}
	}
	return c, nil
}

// joinBytesPerRow is what joining one view takes for each spine row: keys, times, the radix sort's entries, the matches.
const joinBytesPerRow = 128

// chunkRows returns how many rows like those of batch the memory allows for. Half of it is left to the history and the writer.
func (e *export) chunkRows(batch arrow.RecordBatch) int {
	const rowsMin, rowsMax = 1 << 16, 1 << 22
	size := int64(0)
	for _, c := range batch.Columns() {
		for _, b := range c.Data().Buffers() {
			if b != nil {
				size += int64(b.Len())
			}
		}
	}
	perRow := joinBytesPerRow + 2*size/max(1, batch.NumRows())
	types := e.hidden()
	for _, f := range e.schema.Fields()[len(e.place):] {
		types = append(types, f.Type)
	}
	for _, t := range types {
		width := int64(48) // text and lists: a guess
		if fixed, ok := t.(arrow.FixedWidthDataType); ok {
			width = int64(fixed.BitWidth()+7) / 8
		}
		perRow += width + 2 // a status, and a share of validity
	}
	return int(max(rowsMin, min(rowsMax, e.o.Memory/2/perRow)))
}

// joinChunk joins one chunk with every view of the service and writes it.
func (e *export) joinChunk(ctx context.Context, c *chunk, writer *tabular.Writer) (err error) {
	times, err := array.Concatenate(c.times, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("joining the spine's times: %w", err)
	}
	taken := map[string]arrow.Array{}
	for i, f := range e.taken {
		if taken[f.Name], err = array.Concatenate(c.taken[i], memory.DefaultAllocator); err != nil {
			return fmt.Errorf("joining the spine's column %s: %w", f.Name, err)
		}
	}
	answers := make([]*Answer, len(e.svc.Refs))
	e.report.begin(times.(*array.Timestamp))
	// An answer is counted beside the join of the next view or the write.
	counting := new(errgroup.Group)
	defer func() { err = errors.Join(err, counting.Wait()) }()
	for i := range e.svc.Refs {
		ref := &e.svc.Refs[i]
		q := Question{View: ref.View, Features: ref.Lookups(), Times: times.(*array.Timestamp)}
		for _, name := range ref.KeyColumns {
			q.Keys = append(q.Keys, taken[name])
		}
		answer, err := Join(ctx, q, e.runs[i], e.o.Options)
		if err != nil {
			return err
		}
		if err := counting.Wait(); err != nil {
			return err
		}
		counting = new(errgroup.Group)
		counting.Go(func() error { return e.report.add(i, answer, e.snapshots[ref.View.Name].Progress().Watermark) })
		answers[i] = answer
	}
	computed, err := e.compute(taken, answers, c.rows)
	if err != nil {
		return err
	}
	return e.write(c, e.arrange(answers, computed), writer)
}

// write writes the chunk's batches with their stretches of the feature columns.
func (e *export) write(c *chunk, columns []arrow.Array, writer *tabular.Writer) error {
	from := int64(0)
	for _, batch := range c.batches {
		to := from + batch.NumRows()
		all := append([]arrow.Array(nil), batch.Columns()...)
		for _, column := range columns {
			all = append(all, array.NewSlice(column, from, to))
		}
		if err := writer.Write(array.NewRecordBatch(e.schema, all, batch.NumRows())); err != nil {
			return err
		}
		if e.o.Progress != nil {
			e.o.Progress(batch.NumRows(), e.total)
		}
		from = to
	}
	return nil
}
