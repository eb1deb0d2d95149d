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

// write writes the chunk's rows: the columns of the spine, of which the reader reads now those that it has left out, a piece ahead of the writer, and columns, which are
// those of the features.
func (e *export) write(ctx context.Context, c *chunk, reader tabular.Reader, columns []arrow.Array, writer *tabular.Writer) error {
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
				if err := e.writePiece(p, rest, columns, writer); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return group.Wait()
}

// writePiece writes a piece, of whose columns rest has those that its batch has not, and releases rest.
func (e *export) writePiece(p piece, rest arrow.RecordBatch, columns []arrow.Array, writer *tabular.Writer) error {
	writing := e.o.Stats.Start(stages.Write)
	var all []arrow.Array
	early, late := p.batch.Columns(), rest.Columns()
	for _, f := range e.spine.Fields() {
		if len(late) > 0 && !e.joins(f.Name) {
			all, late = append(all, array.NewSlice(late[0], 0, rest.NumRows())), late[1:]
		} else {
			all, early = append(all, array.NewSlice(early[0], p.from, p.to)), early[1:]
		}
	}
	for _, column := range columns {
		all = append(all, array.NewSlice(column, p.begin, p.begin+p.to-p.from))
	}
	rest.Release()
	rows := array.NewRecordBatch(e.schema, all, p.to-p.from)
	release(all)
	defer rows.Release()
	if err := writer.Write(rows); err != nil {
		return err
	}
	writing.Stop(rows.NumRows(), 0)
	if e.o.Progress != nil {
		e.o.Progress(rows.NumRows(), e.total)
	}
	return nil
}
