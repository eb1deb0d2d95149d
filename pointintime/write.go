package pointintime

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/internal/tabular"
)

// piece is what is handed to the writer at a time: rows [from, to) of a batch of the spine, which are the chunk's rows from begin on.
type piece struct {
	batch    arrow.RecordBatch
	from, to int64
	begin    int64
}

func (c *chunk) pieces() (all []piece) {
	const rowsMax = tabular.BatchRowsDefault
	begin := int64(0)
	for _, batch := range c.batches {
		for from := int64(0); from < batch.NumRows(); from += rowsMax {
			to := min(from+rowsMax, batch.NumRows())
			all = append(all, piece{batch, from, to, begin})
			begin += to - from
		}
	}
	return all
}

// part is columns of the output that are written on their own: those of the spine, which are first, or some of one view's.
type part struct {
	ref     int            // -1: the spine
	columns []outputColumn // of a view
}

// features returns which columns of the ref's answer they are.
func (p part) features() (all []int) {
	for _, c := range p.columns {
		if !c.times {
			all = append(all, c.Feature)
		}
	}
	return all
}

// partsIn returns the parts of the output in a file at path: there is one for as many columns of a view as there are workers to encode them. It returns nil, for one part, where
// on-demand features need all views, and where the format has rows whole.
func (e *export) partsIn(path string) []part {
	if format, err := tabular.FormatOf(path); err != nil || format != tabular.Parquet || len(e.svc.Computed) > 0 {
		return nil
	}
	parts := []part{{ref: -1}}
	for _, c := range e.columns() {
		last := &parts[len(parts)-1]
		if last.ref != c.Ref || len(last.columns) == e.o.Workers {
			parts = append(parts, part{ref: c.Ref})
			last = &parts[len(parts)-1]
		}
		last.columns = append(last.columns, c)
	}
	return parts
}

// partSizes returns the numbers of columns of the parts.
func (e *export) partSizes() (sizes []int) {
	for _, p := range e.parts {
		sizes = append(sizes, len(p.columns))
	}
	if len(sizes) > 0 {
		sizes[0] = e.spine.NumFields()
	}
	return sizes
}

// writePart writes the part of that number, which out has gathered, and leaves its memory to those that follow, with its last part also that of out.
func (e *export) writePart(ctx context.Context, c *chunk, number int, out *output, writer *tabular.Writer) error {
	p := e.parts[number]
	columns := make([]arrow.Array, len(p.columns))
	var group errgroup.Group
	group.SetLimit(e.o.Workers)
	for i, of := range p.columns {
		group.Go(func() (err error) {
			if of.times {
				columns[i] = featureTimes(out.a)
				return nil
			}
			columns[i], err = out.values(of.Feature)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := e.write(ctx, c, nil, number, columns, writer); err != nil {
		return err
	}
	e.spare.leaveColumns(columns)
	if number+1 == len(e.parts) || e.parts[number+1].ref != p.ref {
		leave(&e.spare, out.places.row)
		leave(&e.spare, out.a.EventTimes)
	}
	return nil
}

// write writes a part of the chunk's rows: columns, which are those of features, and in the first part those of the spine, of which the reader reads now those that
// it has left out, a piece ahead of the writer. Nobody reads columns when it returns, unless there is one part.
func (e *export) write(ctx context.Context, c *chunk, reader tabular.Reader, part int, columns []arrow.Array, writer *tabular.Writer) error {
	if part > 0 {
		for _, p := range c.pieces() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := e.writePiece(p, part, nil, columns, writer); err != nil {
				return err
			}
		}
		return writer.FlushPart(part)
	}
	pieces := c.pieces()
	rests := make(chan arrow.RecordBatch, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		for _, p := range pieces {
			reading := e.o.Stats.Start(stages.Read)
			rest, err := reader.Rest(ctx, p.to-p.from)
			if err != nil {
				return err
			}
			reading.Stop(0, 0)
			select {
			case rests <- rest:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		for _, p := range pieces {
			select {
			case rest := <-rests:
				if err := e.writePiece(p, part, e.ofSpine(p, rest), columns, writer); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return writer.FlushPart(part)
	})
	return group.Wait()
}

// ofSpine returns the columns of the spine of a piece, of which rest, which it releases, has those that its batch has not.
func (e *export) ofSpine(p piece, rest arrow.RecordBatch) (all []arrow.Array) {
	early, late := p.batch.Columns(), rest.Columns()
	for _, f := range e.spine.Fields() {
		if len(late) > 0 && !e.joins(f.Name) {
			all, late = append(all, array.NewSlice(late[0], 0, rest.NumRows())), late[1:]
		} else {
			all, early = append(all, array.NewSlice(early[0], p.from, p.to)), early[1:]
		}
	}
	rest.Release()
	return all
}

// writePiece writes a piece of a part, whose columns are those of the spine, all of which it releases, and its rows of columns.
func (e *export) writePiece(p piece, part int, spine, columns []arrow.Array, writer *tabular.Writer) error {
	writing := e.o.Stats.Start(stages.Write)
	all := spine
	for _, column := range columns {
		all = append(all, array.NewSlice(column, p.begin, p.begin+p.to-p.from))
	}
	fields := e.schema.Fields()
	for _, n := range e.partSizes()[:part] {
		fields = fields[n:]
	}
	rows := array.NewRecordBatch(arrow.NewSchema(fields[:len(all)], nil), all, p.to-p.from)
	release(all)
	defer rows.Release()
	if err := writer.WritePart(part, rows); err != nil {
		return err
	}
	last := part == writer.Parts()-1 // with which the rows are whole
	if !last {
		writing.Stop(0, 0)
		return nil
	}
	writing.Stop(rows.NumRows(), 0)
	if e.o.Progress != nil {
		e.o.Progress(rows.NumRows(), e.total)
	}
	return nil
}
