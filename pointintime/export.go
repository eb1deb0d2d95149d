package pointintime

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/internal/uncleared"
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
	begun := time.Now()
	e := newExport(svc, snapshots, spinePath, outPath, o)
	readOnce := sha256.New()
	reader, err := tabular.OpenReader(spinePath, tabular.ReaderOptions{BatchRowsOf: e.chunkRows, Wanted: e.joins, ReadOnce: readOnce})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if err := e.prepare(ctx, reader); err != nil {
		return nil, err
	}
	writer, err := tabular.Create(outPath, e.schema, tabular.WriterOptions{Step: o.Step, Parts: e.partSizes()})
	if err != nil {
		return nil, err
	}
	defer writer.Abort()
	if writer.Parts() == 1 {
		e.parts = nil
	}
	var hash string
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		hash, err = tabular.FileHash(ctx, spinePath)
		return err
	})
	group.Go(func() error { return e.stream(ctx, reader, writer) })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if hash == "" { // of a pipe
		hash = hex.EncodeToString(readOnce.Sum(nil))
	}
	committing := e.o.Stats.Start(stages.Commit)
	if err := writer.Finish(); err != nil { // a full disk must not leave a manifest alone
		return nil, err
	}
	committing.Stop(e.report.rows, 0)
	e.countBytes(writer.Size())
	m = e.manifest(hash, time.Since(begun))
	if err := m.write(outPath + ManifestSuffix); err != nil {
		return nil, err
	}
	return m, writer.Commit()
}

// export is one Export at work.
type export struct {
	readBefore int64 // bytes of snapshots, by whoever used them before
	o          ExportOptions
	svc        *feature.Service
	snapshots  map[string]*offline.Snapshot
	runs       [][]Run // for each ref
	spinePath  string
	taken      []feature.Field // of the spine: key columns, then request fields
	spine      *arrow.Schema
	schema     *arrow.Schema // of the output
	parts      []part        // of its columns that are written on their own; nil: all are written at once
	report     *report
	spare      spareMemory
	total      int64
}

func newExport(svc *feature.Service, snapshots map[string]*offline.Snapshot, spinePath, outPath string, o ExportOptions) *export {
	o.TimeColumn, o.Memory = cmp.Or(o.TimeColumn, TimeColumnDefault), cmp.Or(max(0, o.Memory), MemoryDefault)
	if o.Stats == nil {
		o.Stats = &stages.Stats{}
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	e := &export{o: o, svc: svc, snapshots: snapshots, spinePath: spinePath, taken: slices.Concat(svc.KeyFields(), svc.RequestFields()),
		report: newReport(svc, o.FullNames), total: -1}
	e.parts = e.partsIn(outPath)
	return e
}

// prepare checks that everything is there and fits together, before any work.
func (e *export) prepare(ctx context.Context, reader tabular.Reader) error {
	if rows, known := reader.Rows(); known {
		e.total = rows
	}
	if err := e.checkSpine(reader.Schema()); err != nil {
		return err
	}
	e.readBefore = e.bytesRead()
	for _, ref := range e.svc.Refs {
		snapshot, ok := e.snapshots[ref.View.Name]
		if !ok {
			return feature.Errorf(feature.ErrNotFound, "view %s has never been materialized: run asof materialize %s", ref.View.Name, ref.View.Name)
		}
		if snapshot.Progress().Hash != ref.View.Hash {
			return feature.Errorf(feature.ErrInvalid, "view %s: its definition has changed since it was materialized: run asof materialize %s", ref.View.Name, ref.View.Name)
		}
		stored, err := snapshot.Runs(ctx)
		if err != nil {
			return err
		}
		runs := make([]Run, len(stored))
		for i, r := range stored {
			runs[i] = r
		}
		e.runs = append(e.runs, runs)
	}
	return nil
}

// bytesRead returns how many bytes have been read of the history.
func (e *export) bytesRead() (bytes int64) {
	for _, s := range e.snapshots {
		bytes += s.BytesRead()
	}
	return bytes
}

// countBytes tells the stages of the bytes that have gone through them; written are those of the output.
func (e *export) countBytes(written int64) {
	if info, err := os.Stat(e.spinePath); err == nil {
		e.o.Stats.Add(stages.Read, 0, 0, info.Size())
	}
	e.o.Stats.Add(stages.Decode, 0, 0, e.bytesRead()-e.readBefore)
	e.o.Stats.Add(stages.Write, 0, 0, written)
}

// checkSpine finds the spine's columns and builds the schema of the output.
func (e *export) checkSpine(spine *arrow.Schema) error {
	e.spine = spine
	var taken []string
	for _, f := range spine.Fields() {
		if slices.Contains(taken, f.Name) {
			return feature.Errorf(feature.ErrInvalid, "spine %s has two columns %q: rename one", e.spinePath, f.Name)
		}
		taken = append(taken, f.Name)
	}
	missing := func(what, name, hint string) error {
		return feature.Errorf(feature.ErrInvalid, "spine %s has no %s %q; its columns are %s: %s", e.spinePath, what, name, strings.Join(taken, ", "), hint)
	}
	if !spine.HasField(e.o.TimeColumn) {
		return missing("time column", e.o.TimeColumn, "name the column of the as-of times with --time-column"+nearest.Hint(e.o.TimeColumn, taken))
	}
	for i, f := range e.taken {
		if spine.HasField(f.Name) {
			continue
		}
		if i < len(e.svc.KeyFields()) {
			return missing("key column", f.Name, "rename a column of the spine, or map the key to another name in service "+e.svc.Name+" (keys: {...})")
		}
		return missing("column", f.Name, "it is the request field ("+f.Type.String()+") of on-demand features of service "+e.svc.Name+", which training takes from the spine: add it, or rename a column")
	}
	fields := append([]arrow.Field(nil), spine.Fields()...)
	for _, c := range e.columns() {
		if c.times && spine.HasField(c.Name) {
			return feature.Errorf(feature.ErrInvalid, "spine %s has a column %q, which --with-feature-times would write: rename it, or give the view an alias in service %s", e.spinePath, c.Name, e.svc.Name)
		}
		fields = append(fields, arrow.Field{Name: c.Name, Type: e.typeOf(c).Arrow(), Nullable: true})
	}
	e.schema = arrow.NewSchema(fields, nil)
	return e.svc.CheckNames(e.o.FullNames, taken...)
}

// joins reports whether the join needs a column of the spine. Others are only written.
func (e *export) joins(column string) bool {
	return column == e.o.TimeColumn || slices.ContainsFunc(e.taken, func(f feature.Field) bool { return f.Name == column })
}

// columnOf returns the first column of that name.
func columnOf(batch arrow.RecordBatch, name string) arrow.Array {
	return batch.Column(batch.Schema().FieldIndices(name)[0])
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
		if err := e.joinChunk(ctx, c, reader, writer); err != nil {
			return err
		}
		e.report.end()
	}
}

// readChunk reads as many spine rows as are joined at a time; none at the spine's end.
func (e *export) readChunk(ctx context.Context, reader tabular.Reader) (*chunk, error) {
	c := &chunk{taken: make([][]arrow.Array, len(e.taken))}
	rowsMax := e.o.ChunkRows
	reading := e.o.Stats.Start(stages.Read)
	defer func() { reading.Stop(int64(c.rows), 0) }()
	for read := 0; rowsMax == 0 || c.rows+read/2 < rowsMax; { // batches may be as large as chunks
		batch, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		times, err := tabular.Convert(columnOf(batch, e.o.TimeColumn), e.o.TimeColumn, feature.Scalar(feature.Timestamp), reader.Where)
		if err != nil {
			return nil, err
		}
		for i, f := range e.taken {
			column, err := tabular.Convert(columnOf(batch, f.Name), f.Name, f.Type, reader.Where)
			if err != nil {
				return nil, err
			}
			c.taken[i] = append(c.taken[i], column)
		}
		c.batches, c.times, c.rows = append(c.batches, batch), append(c.times, times), c.rows+int(batch.NumRows())
		read = int(batch.NumRows())
		if rowsMax == 0 {
			rowsMax = e.chunkRows(batch.Schema(), textBytes(batch)/max(1, batch.NumRows()))
		}
	}
	return c, nil
}

// joinBytesPerRow is what a join takes for each spine row beside columns: key, time and number in order; a place in the answer; and of what a view has found there row, place
// and age, and, where it is asked for, the time. What shards take while they look for it is the same for any spine.
const joinBytesPerRow = 48

// chunkRows returns how many rows the memory allows for of a spine whose texts and lists take so many bytes a row. Half of it is left to the
// history, the writer and the collector. A chunk less is a pass over the history less.
func (e *export) chunkRows(spine *arrow.Schema, textBytes int64) int {
	const rowsMin, rowsMax = 1 << 16, 1 << 22
	if e.o.ChunkRows > 0 {
		return e.o.ChunkRows
	}
	perRow := joinBytesPerRow + 2*textBytes + int64(len(e.svc.Refs)) // a status of each view
	for _, f := range spine.Fields() {
		perRow += widthOf(f.Type, 0)
	}
	types := []arrow.DataType{feature.Scalar(feature.Timestamp).Arrow()} // as-of times, and what else is taken of the spine, may be copied
	for _, f := range e.taken {
		types = append(types, f.Type.Arrow())
	}
	widths := func(types []arrow.DataType) (width int64) {
		for _, t := range types {
			width += widthOf(t, 48) + 1 // text and lists: a guess; validity
		}
		return width
	}
	perRow += widths(types)
	if e.parts == nil {
		perRow += widths(e.typesOf(e.columns())) + widths(e.hidden())
	}
	widest := int64(0) // of two parts, of which one is written while the other is gathered
	for i, p := range e.parts {
		if i > 0 {
			widest = max(widest, widths(e.typesOf(e.parts[i-1].columns))+widths(e.typesOf(p.columns)))
		}
	}
	perRow += widest
	return int(max(rowsMin, min(rowsMax, e.o.Memory/2/perRow)))
}

// widthOf returns how many bytes a value takes, which is otherwise where its type does not say.
func widthOf(t arrow.DataType, otherwise int64) int64 {
	if fixed, ok := t.(arrow.FixedWidthDataType); ok {
		return int64(fixed.BitWidth()+7) / 8
	}
	return otherwise
}

// textBytes returns how much memory the columns of a batch take whose types do not say.
func textBytes(batch arrow.RecordBatch) (size int64) {
	for _, c := range batch.Columns() {
		if widthOf(c.DataType(), 0) > 0 {
			continue
		}
		for _, b := range c.Data().Buffers() {
			if b != nil {
				size += int64(b.Len())
			}
		}
	}
	return size
}

// joinChunk joins one chunk with every view of the service and writes it, with what the reader has left out of it.
func (e *export) joinChunk(ctx context.Context, c *chunk, reader tabular.Reader, writer *tabular.Writer) error {
	times, err := concatenate(c.times)
	if err != nil {
		return fmt.Errorf("joining the spine's times: %w", err)
	}
	taken := map[string]arrow.Array{}
	for i, f := range e.taken {
		if taken[f.Name], err = concatenate(c.taken[i]); err != nil {
			return fmt.Errorf("joining the spine's column %s: %w", f.Name, err)
		}
	}
	e.report.begin(times.(*array.Timestamp))
	questions := e.questions(times.(*array.Timestamp), taken)
	if e.parts != nil {
		err = e.joinParts(ctx, c, questions, reader, writer)
	} else {
		err = e.joinWhole(ctx, c, questions, taken, reader, writer)
	}
	if err != nil {
		return err
	}
	for i, q := range questions {
		e.report.add(i, q.tally, e.snapshots[q.View.Name].Progress().Watermark)
	}
	return nil
}

// questions returns what a chunk asks of each ref.
func (e *export) questions(times *array.Timestamp, taken map[string]arrow.Array) (all []Question) {
	orders := map[string]*Order{}
	for i := range e.svc.Refs {
		ref := &e.svc.Refs[i]
		q := Question{View: ref.View, Features: ref.Lookups(), Times: times, spare: &e.spare, tally: e.report.tallyFor(i, e.o.WithFeatureTimes)}
		for _, name := range ref.KeyColumns {
			q.Keys = append(q.Keys, taken[name])
		}
		columns := strings.Join(ref.KeyColumns, "\x00")
		if q.Order = orders[columns]; q.Order == nil {
			q.Order = &Order{}
			orders[columns] = q.Order
		}
		all = append(all, q)
	}
	return all
}

// joinParts joins a chunk and writes it part by part: the spine beside the join of the first view, and other parts beside the work for the next one.
func (e *export) joinParts(ctx context.Context, c *chunk, questions []Question, reader tabular.Reader, writer *tabular.Writer) (err error) {
	writing := new(errgroup.Group)
	defer func() { err = cmp.Or(err, writing.Wait()) }()
	writing.Go(func() error { return e.write(ctx, c, reader, 0, nil, writer) })
	number := 1
	for i, q := range questions {
		out, err := find(ctx, q, e.runs[i], e.o.Options)
		if err != nil {
			return err
		}
		for ; number < len(e.parts) && e.parts[number].ref == i; number++ {
			p := e.parts[number]
			if err := out.gather(ctx, p.features()...); err != nil {
				return err
			}
			if err := writing.Wait(); err != nil {
				return err
			}
			begun := number
			writing = new(errgroup.Group)
			writing.Go(func() error { return e.writePart(ctx, c, begun, out, writer) })
		}
	}
	return nil
}

// joinWhole joins a chunk and writes it row by row, when all views have been joined.
func (e *export) joinWhole(ctx context.Context, c *chunk, questions []Question, taken map[string]arrow.Array, reader tabular.Reader, writer *tabular.Writer) (err error) {
	answers := make([]*Answer, len(questions))
	for i, q := range questions {
		if answers[i], err = Join(ctx, q, e.runs[i], e.o.Options); err != nil {
			return err
		}
	}
	computed, err := e.compute(taken, answers, c.rows)
	if err != nil {
		return err
	}
	return e.write(ctx, c, reader, 0, e.arrange(answers, computed), writer)
}

// concatenate returns the values of pieces, of which there is at least one.
func concatenate(pieces []arrow.Array) (arrow.Array, error) {
	if len(pieces) == 1 {
		return pieces[0], nil
	}
	return array.Concatenate(pieces, uncleared.Allocator{})
}
