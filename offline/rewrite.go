package offline

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/asof-store/asof/feature"
)

// rewriteRows is how many rows of a file are held at once while it is rewritten.
const rewriteRows = 1 << 17

// rewrite returns the files that the commit removes, and those that take the place of the ones that reach over an end of its
// range.
func (p *replacement) rewrite(ctx context.Context) (removed, added []iceberg.DataFile, err error) {
	for i := range p.live {
		f := &p.live[i]
		if !p.commit.Rebuild && !f.Events.Overlaps(p.commit.Range) {
			continue
		}
		removed = append(removed, f.iceberg)
		if p.commit.Rebuild || p.commit.Range.Contains(f.Events.From) && p.commit.Range.Contains(f.Events.To) {
			continue
		}
		kept, err := p.keepOutside(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		added = append(added, kept...)
	}
	return removed, added, nil
}

// keepOutside writes the rows of a file that lie outside of the commit's range to new files, in their order. A file that
// nobody has checked to be sorted is not said to be.
func (p *replacement) keepOutside(ctx context.Context, f *dataFile) ([]iceberg.DataFile, error) {
	runs, err := p.snapshot.runsOf(f)
	if err != nil {
		return nil, err
	}
	out := &output{run: p.run, columns: p.columns, order: p.order, spec: p.meta.PartitionSpec()}
	defer out.abandon()
	k := keeper{p: p, path: f.Path, out: out, order: order{keys: len(p.view.Keys)}}
	if len(runs) > 0 && runs[0].sorted {
		id := p.meta.DefaultSortOrder()
		out.orderID = &id
	}
	for _, r := range runs {
		if err := k.run(ctx, r); err != nil {
			return nil, err
		}
	}
	if err := out.close(); err != nil {
		return nil, err
	}
	return out.done, nil
}

// keeper copies the rows outside of a range from one file.
type keeper struct {
	p      *replacement
	path   string
	out    *output
	order  order
	newKey []bool
}

func (k *keeper) run(ctx context.Context, r *Run) error {
	names, schema := namesAndSchema(k.p.columns)
	for from := 0; from < r.Rows(); from += rewriteRows {
		part := Span{From: from, To: min(from+rewriteRows, r.Rows())}
		events, err := r.Read(ctx, []string{feature.EventTimeColumn}, []Span{part})
		if err != nil {
			return err
		}
		spans, rows := outside(events[0].(*array.Timestamp), part.From, k.p.commit.Range)
		if rows == 0 {
			continue
		}
		columns, err := r.Read(ctx, names, spans)
		if err != nil {
			return err
		}
		if err := k.write(array.NewRecordBatch(schema, columns, int64(rows))); err != nil {
			return err
		}
	}
	return nil
}

// namesAndSchema returns the names of columns, and the schema of their rows.
func namesAndSchema(columns []column) ([]string, *arrow.Schema) {
	names, fields := make([]string, len(columns)), make([]arrow.Field, len(columns))
	for i, c := range columns {
		names[i], fields[i] = c.Name, arrow.Field{Name: c.Name, Type: c.Type.Arrow(), Nullable: true}
	}
	return names, arrow.NewSchema(fields, nil)
}

func (k *keeper) write(batch arrow.RecordBatch) error {
	if k.out.orderID == nil {
		k.newKey = grow(k.newKey, int(batch.NumRows()))
		for i := range k.newKey {
			k.newKey[i] = true // it may be cut anywhere
		}
		return k.out.write(batch, k.newKey, make([]bool, len(k.newKey)))
	}
	bad, newKey := k.order.next(batch.Columns()[:len(k.p.order)], k.newKey)
	if bad >= 0 {
		return k.p.run.store.failed(k.p.view.Name, feature.Errorf(feature.ErrCorrupt, "the rows of %s are not sorted, though it says so", k.path))
	}
	k.newKey = newKey
	return k.out.write(batch, newKey, k.order.tied)
}

// outside returns the rows, counted from first, whose event times lie outside of a range.
func outside(events *array.Timestamp, first int, rng feature.Range) (spans []Span, rows int) {
	for i, v := range events.TimestampValues() {
		if rng.Contains(feature.Time(v)) {
			continue
		}
		rows++
		if n := len(spans); n > 0 && spans[n-1].To == first+i {
			spans[n-1].To++
		} else {
			spans = append(spans, Span{From: first + i, To: first + i + 1})
		}
	}
	return spans, rows
}
