package offline

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// Writer takes the rows of a run. It belongs to one goroutine and to the call of [Store.Replace] that made it.
type Writer struct {
	ctx    context.Context
	view   *feature.View
	fields []feature.Field
	rng    feature.Range
	order  order
	newKey []bool
	out    *output
}

// Write adds the rows of a batch. They have the view's columns (feature.View.Columns), in that order, and event times in
// the run's range, and are sorted by key, event time and created time (NULL first), within the batch and from batch to
// batch; rows that are equal in all of these stand in the order of their source. What is not so is refused with
// ErrInternal, as keys and event times that are NULL are. The batch is retained as long as it is read; its arrays must not change until then.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if batch.NumRows() == 0 {
		return nil
	}
	if err := w.check(batch); err != nil {
		return err
	}
	n := len(w.view.Keys) + 1
	if w.view.HasCreatedTime {
		n++
	}
	bad, newKey := w.order.next(batch.Columns()[:n], w.newKey)
	if bad >= 0 {
		return feature.Errorf(feature.ErrInternal, "view %s: row %d of a batch is less than the one before it", w.view.Name, bad)
	}
	w.newKey = newKey
	return w.out.write(batch, newKey, w.order.tied)
}

// check looks at everything but the order.
func (w *Writer) check(batch arrow.RecordBatch) error {
	if int(batch.NumCols()) != len(w.fields) {
		return feature.Errorf(feature.ErrInternal, "view %s: a batch has %d columns, not %d", w.view.Name, batch.NumCols(), len(w.fields))
	}
	for i, f := range w.fields {
		column := batch.Column(i)
		if !arrow.TypeEqual(column.DataType(), f.Type.Arrow()) {
			return feature.Errorf(feature.ErrInternal, "view %s: column %s of a batch is %s, not %s", w.view.Name, f.Name, column.DataType(), f.Type)
		}
		if i <= len(w.view.Keys) && column.NullN() > 0 {
			return feature.Errorf(feature.ErrInternal, "view %s: column %s of a batch has a NULL", w.view.Name, f.Name)
		}
		if list, ok := column.(*array.List); ok && hasNullElement(list) {
			return feature.Errorf(feature.ErrInvalid, "view %s: a list of feature %s has a NULL element, which lists may not have: leave such elements out", w.view.Name, f.Name)
		}
	}
	events := batch.Column(len(w.view.Keys)).(*array.Timestamp)
	for i, v := range events.TimestampValues() {
		if !w.rng.Contains(feature.Time(v)) {
			return feature.Errorf(feature.ErrInternal, "view %s: row %d of a batch happened at %s, outside of %s", w.view.Name, i, feature.Time(v), w.rng)
		}
	}
	return nil
}

func hasNullElement(list *array.List) bool {
	elements := list.ListValues()
	if elements.NullN() == 0 {
		return false
	}
	for i := range list.Len() {
		from, to := list.ValueOffsets(i)
		for j := from; j < to && list.IsValid(i); j++ {
			if elements.IsNull(int(j)) {
				return true
			}
		}
	}
	return false
}
