package offline

import (
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// fileChecker checks one data file.
type fileChecker struct {
	*checker
	open   *Snapshot // that the file is part of
	f      *dataFile
	h      *handle
	rng    feature.Range // what the commit replaced that added the file
	ranged bool          // whether that is known
	inside int64         // rows in rng
	order  order
	stats  []parquetio.ColumnStats // of the open snapshot's columns
	ends   []ends
}

// file checks a data file of a snapshot, which the snapshot with the id `added` has added.
func (c *checker) file(snapshot *table.Snapshot, open *Snapshot, f *dataFile, added int64) error {
	c.done.Files, c.done.Rows, c.done.Bytes = c.done.Files+1, c.done.Rows+f.Rows, c.done.Bytes+f.Bytes
	h, err := open.handles.acquire(f)
	if err != nil {
		c.faultUnlessGone(snapshot, c.name(f.Path), "%s", c.text(err))
		return nil
	}
	defer open.handles.release(h)
	damaged := false
	err = h.file.Verify(c.ctx, nil, func(damage string) {
		damaged = true
		c.fault(c.name(f.Path), "%s", damage)
	})
	switch {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case err != nil:
		c.fault(c.name(f.Path), "%v", err)
		return nil
	case damaged:
		return nil // there is no more to learn of a file that has to be replaced
	}
	fc := &fileChecker{checker: c, open: open, f: f, h: h, order: order{keys: len(open.keys)},
		stats: make([]parquetio.ColumnStats, len(open.columns)), ends: make([]ends, len(open.columns))}
	if commit, is := c.made[added]; is {
		fc.rng, fc.ranged = commit.Range, true
	}
	whole, err := fc.groups()
	if err != nil || !whole {
		return err
	}
	c.rows[added] += fc.inside
	if fc.ranged && fc.inside > 0 && fc.inside < f.Rows {
		c.fault(c.name(f.Path), "%d of its %d rows have event times in %s, which snapshot %d has replaced: all or none should", fc.inside, f.Rows, fc.rng, added)
	}
	if h.file.Checksummed() { // of other writers' statistics nothing is promised
		fc.manifest()
	}
	return nil
}

// groups checks the row groups; whole is false where one could not be decoded.
func (c *fileChecker) groups() (whole bool, err error) {
	whole = true
	runs, err := c.open.runsOf(c.f)
	if err != nil {
		c.fault(c.name(c.f.Path), "%v", err)
		return false, nil
	}
	for _, r := range runs {
		if err := c.ctx.Err(); err != nil {
			return false, err
		}
		where := fmt.Sprintf("%s, row group %d", c.name(c.f.Path), r.group)
		columns, ok := c.decode(where, r)
		if !ok {
			whole = false
			continue
		}
		c.times(where, columns)
		if r.sorted {
			c.sorted(where, columns)
		}
		c.hand(where, columns)
		if c.o.Progress != nil {
			c.o.Progress(int64(r.rows))
		}
	}
	return whole, nil
}

// decode returns the columns of a row group, each held against what footer and index say of it.
func (c *fileChecker) decode(where string, r *Run) ([]arrow.Array, bool) {
	columns := make([]arrow.Array, len(c.open.columns))
	byPath := map[string]arrow.Array{}
	ok := true
	for i, column := range c.open.columns {
		path, there := c.h.path(column)
		if !there && !column.required {
			columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, column.Type.Arrow(), r.rows)
			continue
		}
		where := fmt.Sprintf("%s, column %s", where, column.Name)
		a, err := c.h.file.Read(r.group, path, column.Type, nil)
		if err != nil {
			c.fault(where, "%v", err)
			ok = false
			continue
		}
		columns[i], byPath[path] = a, a
		if column.required && a.NullN() > 0 {
			c.fault(where, "%d values are NULL and none may be", a.NullN())
		}
		if same := c.h.file.Same(r.group, path); same != path && (byPath[same] == nil || !parquetio.SameBits(a, byPath[same])) {
			c.fault(where, "the footer says that it is the same as the column %s, and it is not", same)
		}
		if list, is := a.(*array.List); is {
			if c.h.file.Checksummed() && hasNullElement(list) {
				c.fault(where, "a list has a NULL element and none may have")
			}
			continue
		}
		c.chunk(where, r, path, i, a)
	}
	return columns, ok
}

// chunk holds a column's values against the bounds and counts of the row group and of its pages.
func (c *fileChecker) chunk(where string, r *Run, path string, i int, a arrow.Array) {
	c.stats[i].Values += int64(a.Len())
	c.stats[i].Nulls += int64(a.NullN())
	is := endsOf(a)
	c.ends[i].widen(is)
	if low, high, known := c.h.file.Bounds(r.group, path); known && !is.within(low, high) {
		c.fault(where, "its values are %v and the footer says %v", is, ends{low, high})
	}
	if nulls, known := c.h.file.NullCount(r.group, path); known && nulls != int64(a.NullN()) {
		c.fault(where, "%d values are NULL and the footer says %d", a.NullN(), nulls)
	}
	pages := c.h.file.Pages(r.group, path)
	if pages == nil && c.h.file.Checksummed() {
		c.fault(where, "its page index cannot be read")
	}
	for n, p := range pages {
		page := array.NewSlice(a, int64(p.FirstRow), int64(p.FirstRow+p.Rows))
		where := fmt.Sprintf("%s, page %d", where, n)
		if p.Nulls >= 0 && p.Nulls != int64(page.NullN()) || p.AllNull && page.NullN() < page.Len() {
			c.fault(where, "%d of %d values are NULL and the index says %d (all: %v)", page.NullN(), page.Len(), p.Nulls, p.AllNull)
		}
		if is := endsOf(page); p.Min != nil && p.Max != nil && !is.within(p.Min, p.Max) {
			c.fault(where, "its values are %v and the index says %v", is, ends{p.Min, p.Max})
		}
	}
}

// times checks the event times.
func (c *fileChecker) times(where string, columns []arrow.Array) {
	p := c.open.progress
	covered := feature.Range{From: p.Start, To: p.Watermark}
	i := slices.IndexFunc(c.open.columns, func(column column) bool { return column.Name == feature.EventTimeColumn })
	events, where := columns[i].(*array.Timestamp), where+", column "+feature.EventTimeColumn
	beyond, out := 0, 0
	for row, v := range events.TimestampValues() {
		t := feature.Time(v)
		if events.IsNull(row) {
			continue
		}
		if !covered.Contains(t) {
			beyond++
		}
		if !c.f.Events.Contains(t) {
			out++
		}
		if c.ranged && c.rng.Contains(t) {
			c.inside++
		}
	}
	if beyond > 0 && !c.foreign { // another engine knows nothing of what is materialized
		c.fault(where, "%d event times are outside of %s, what is materialized", beyond, covered)
	}
	if out > 0 {
		c.fault(where, "%d event times are outside of %s, which the manifest says to bound them", out, c.f.Events)
	}
}

// sorted checks the order of rows, from one row group to the next.
func (c *fileChecker) sorted(where string, columns []arrow.Array) {
	var by []arrow.Array
	for _, name := range c.open.order {
		i := slices.IndexFunc(c.open.columns, func(column column) bool { return column.Name == name })
		by = append(by, columns[i])
	}
	bad, _ := c.order.next(by, nil)
	if bad >= 0 {
		c.fault(where, "row %d belongs before the one before it: rows should ascend by %v", bad, c.open.order)
		c.order = order{keys: len(c.open.keys)}
		return
	}
	if tie := slices.Index(c.order.tied, true); c.isCurrent() && c.view.Windowed() && tie >= 0 {
		c.fault(where, "row %d is of the same tile as the one before it: there should be one", tie)
	}
}

// isCurrent reports whether the file's rows are as the view is defined now.
func (c *fileChecker) isCurrent() bool {
	return c.open.progress.Hash == c.view.Hash && checkStored(c.view, c.open.columns, fieldNames(c.open.keys)) == nil
}

// hand gives the rows to the caller's check.
func (c *fileChecker) hand(where string, columns []arrow.Array) {
	if c.o.Rows == nil || !c.isCurrent() {
		return
	}
	var ordered []arrow.Array
	var fields []arrow.Field
	for _, f := range c.view.Columns() {
		i := slices.IndexFunc(c.open.columns, func(column column) bool { return column.Name == f.Name })
		ordered = append(ordered, columns[i])
		fields = append(fields, arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true})
	}
	if err := c.o.Rows(array.NewRecordBatch(arrow.NewSchema(fields, nil), ordered, int64(ordered[0].Len()))); err != nil {
		c.fault(where, "%v", err)
	}
}

// manifest holds what the manifest says of the columns' values against them.
func (c *fileChecker) manifest() {
	var columns []column
	var stats []parquetio.ColumnStats
	for i, column := range c.open.columns {
		if _, there := c.h.path(column); !there {
			continue
		}
		if s := &c.stats[i]; bounded(column, c.open.order) && c.ends[i].low != nil {
			s.Min, s.Max = c.ends[i].plain(column.Type.Kind)
		}
		columns, stats = append(columns, column), append(stats, c.stats[i])
	}
	want, err := dataFileOf(c.f.Path, parquetio.Stats{Rows: c.f.Rows, Bytes: c.f.Bytes, Columns: stats}, columns, *iceberg.UnpartitionedSpec, nil)
	if err != nil {
		c.fault(c.name(c.f.Path), "%v", err)
		return
	}
	is := c.f.iceberg
	for _, column := range columns {
		for _, of := range []struct {
			what     string
			is, want any
		}{
			{"values", is.ValueCounts()[column.id], want.ValueCounts()[column.id]},
			{"NULLs", is.NullValueCounts()[column.id], want.NullValueCounts()[column.id]},
			{"least value", fmt.Sprintf("%x", is.LowerBoundValues()[column.id]), fmt.Sprintf("%x", want.LowerBoundValues()[column.id])},
			{"greatest value", fmt.Sprintf("%x", is.UpperBoundValues()[column.id]), fmt.Sprintf("%x", want.UpperBoundValues()[column.id])},
		} {
			if of.is != of.want {
				c.fault(fmt.Sprintf("%s, column %s", c.name(c.f.Path), column.Name), "%s: the manifest says %v, and it is %v", of.what, of.is, of.want)
			}
		}
	}
	if known := slices.Sorted(maps.Keys(is.ValueCounts())); len(known) > len(columns) {
		c.fault(c.name(c.f.Path), "the manifest counts the values of %d columns, and it has %d", len(known), len(columns))
	}
}

// bounded reports whether manifests have bounds of a column that they have in the order.
func bounded(c column, order []string) bool {
	switch c.Type.Kind {
	case feature.Float32, feature.Float64:
		return false
	case feature.Bytes:
		return slices.Contains(order, c.Name)
	}
	return !c.Type.List
}
