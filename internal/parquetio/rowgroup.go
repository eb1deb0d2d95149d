package parquetio

import (
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go/format"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
)

// part is columns whose values come in the same batches. Of each row group a part has its own place in the file, so that one can be whole there when another has
// not begun.
type part struct {
	columns []ColumnSpec
	first   int // column of the file
	written int // row groups

	pending []arrow.RecordBatch // the rows of the row group to come
	rows    int
}

// Write adds the batch's rows to a file of one part. The batch is read until the row group that holds its last row is complete, so its
// arrays must not change; they are retained until then.
func (w *Writer) Write(batch arrow.RecordBatch) error { return w.WritePart(0, batch) }

// WritePart is Write of rows of one part's columns. The parts of a file get the same row groups, each at its own time.
func (w *Writer) WritePart(index int, batch arrow.RecordBatch) error {
	p := w.parts[index]
	if err := p.checkTypes(batch); err != nil {
		return err
	}
	for from := int64(0); from < batch.NumRows(); {
		n := min(batch.NumRows()-from, int64(w.opts.RowGroupRows-p.rows))
		slice := batch.NewSlice(from, from+n)
		for _, c := range slice.Columns() {
			c.NullN() // which an array counts when it is first asked, and several goroutines will ask
		}
		p.pending = append(p.pending, slice)
		p.rows += int(n)
		from += n
		if p.rows == w.opts.RowGroupRows {
			if err := w.FlushPart(index); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *part) checkTypes(batch arrow.RecordBatch) error {
	if int(batch.NumCols()) != len(p.columns) {
		return feature.Errorf(feature.ErrInternal, "writing Parquet: a batch has %d columns, and %d are to be written", batch.NumCols(), len(p.columns))
	}
	for i, c := range p.columns {
		if got := batch.Column(i).DataType(); !arrow.TypeEqual(got, c.Type.Arrow()) {
			return feature.Errorf(feature.ErrInternal, "writing Parquet: column %s is %s, the batch has %s", c.Name, c.Type, got)
		}
		if c.Required && batch.Column(i).NullN() > 0 {
			return feature.Errorf(feature.ErrInternal, "writing Parquet: column %s is required and the batch has a NULL in it", c.Name)
		}
	}
	return nil
}

// Flush ends the row group with the rows written so far; without any it does nothing.
func (w *Writer) Flush() error {
	for index := range w.parts {
		if err := w.FlushPart(index); err != nil {
			return err
		}
	}
	return nil
}

// FlushPart is Flush of one part. The batches of its rows are read no more.
func (w *Writer) FlushPart(index int) error {
	p := w.parts[index]
	if p.rows == 0 {
		return nil
	}
	if err := w.begin(); err != nil {
		return errRowGroup(err)
	}
	g, err := w.groupOf(p)
	if err != nil {
		return err
	}
	before, end := g.meta.TotalCompressedSize, p.first+len(p.columns)
	g.next, g.end = p.first, end
	var group errgroup.Group
	group.SetLimit(w.opts.Workers)
	for i := p.first; i < end; i++ {
		group.Go(func() error {
			clock := w.opts.Stats.Start(stages.Write)
			err := g.encode(i, p.column(i))
			clock.Stop(0, 0)
			return err
		})
	}
	p.noteSame(g.same)
	if err := group.Wait(); err != nil {
		return err
	}
	rows := int64(0)
	if p.written++; end == len(w.columns) {
		rows = g.meta.NumRows
	}
	w.opts.Stats.Start(stages.Write).Stop(rows, g.meta.TotalCompressedSize-before)
	for _, b := range p.pending {
		b.Release()
	}
	clear(p.pending)
	p.pending, p.rows = p.pending[:0], 0
	return nil
}

// groupOf returns the row group that p's pending rows belong to.
func (w *Writer) groupOf(p *part) (*rowGroup, error) {
	if p.written == len(w.groups) {
		n := len(w.columns)
		g := &rowGroup{w: w, same: map[string]string{}, chunks: make([]chunk, n), encoded: make([]bool, n)}
		g.meta = format.RowGroup{NumRows: int64(p.rows), Ordinal: int16(len(w.groups)), Columns: make([]format.ColumnChunk, n)}
		w.groups = append(w.groups, g)
	}
	g := w.groups[p.written]
	if g.meta.NumRows != int64(p.rows) {
		return nil, feature.Errorf(feature.ErrInternal, "writing Parquet: row group %d has %d rows, and %d of column %s", p.written, g.meta.NumRows, p.rows, p.columns[0].Name)
	}
	return g, nil
}

// column returns the pending arrays of column i of the file.
func (p *part) column(i int) []arrow.Array {
	arrays := make([]arrow.Array, len(p.pending))
	for j, b := range p.pending {
		arrays[j] = b.Column(i - p.first)
	}
	return arrays
}

func errRowGroup(err error) error {
	return feature.Errorf(feature.ErrUnavailable, "writing a Parquet row group: %w", err)
}

// rowGroup is a row group, of which a part is being written. Its columns are encoded at once, and each is written as soon as those before it are: so few lie in memory.
type rowGroup struct {
	w    *Writer
	same map[string]string // see sameColumns

	mu      sync.Mutex      // guards what follows, and of w the fields out and spare
	meta    format.RowGroup // of the columns that have been written
	chunks  []chunk         // without their pages, when they are written
	encoded []bool          // and perhaps written
	next    int             // the first column of the part that is not written,
	end     int             // and the one after its last
}

// encode encodes arrays, which are column i, and writes what can be written then.
func (g *rowGroup) encode(i int, arrays []arrow.Array) error {
	c, err := g.w.encoders[i].encode(arrays, g.memoryFor(plainSize(arrays)))
	if err != nil {
		return feature.Errorf(feature.ErrInternal, "writing Parquet column %s: %w", g.w.columns[i].Name, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.chunks[i], g.encoded[i] = c, true
	for ; g.next < g.end && g.encoded[g.next]; g.next++ {
		if err := g.write(g.next); err != nil {
			g.encoded[g.next] = false // so that nothing follows it
			return errRowGroup(err)
		}
	}
	return nil
}

// memoryFor returns memory for n bytes, of what there is to spare the least that suffices.
func (g *rowGroup) memoryFor(n int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	best := -1
	for i, b := range g.w.spare {
		if cap(b) >= n && (best < 0 || cap(b) < cap(g.w.spare[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]byte, 0, n)
	}
	b := g.w.spare[best]
	g.w.spare = slices.Delete(g.w.spare, best, best+1)
	return b[:0]
}

// write writes the pages of column i and takes note of where they are.
func (g *rowGroup) write(i int) error {
	c := &g.chunks[i]
	if i == 0 {
		g.meta.FileOffset = g.w.out.size
	}
	c.moveTo(g.w.out.size)
	spare, err := g.w.out.pass(c.pages)
	if err != nil {
		return err
	}
	if spare != nil {
		g.w.spare = append(g.w.spare, spare)
	}
	c.pages = nil
	g.meta.Columns[i].MetaData = c.meta
	g.meta.TotalByteSize += c.meta.TotalUncompressedSize
	g.meta.TotalCompressedSize += c.meta.TotalCompressedSize
	return nil
}
