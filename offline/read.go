package offline

import (
	"context"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/parquetio"
)

// Span is a half-open interval of a run's rows, [From, To).
type Span = parquetio.Span

// Runs is a column in which a value that repeats stands once.
type Runs = parquetio.Runs

// Page is a piece of a run that is decoded as a whole.
type Page struct {
	From, To int
	// Min and Max bound the first key part of the page's rows, encoded as a feature.Key of that part alone; nil where
	// they are not known.
	Min, Max feature.Key
}

// Run is a row group of a snapshot: rows sorted by key, event time and created time (NULL first), whatever the order in
// the file. Its methods may be used by several goroutines.
type Run struct {
	snapshot *Snapshot
	file     *dataFile
	group    int
	rows     int
	events   feature.Range
	min, max feature.Key // bounds of the first key part
	pages    func() []Page
	sorted   bool // as it lies in the file

	mu      sync.Mutex
	checked bool    // whether sorted and order hold, for a file that is not ours
	order   []int32 // the file's rows in sorted order; nil when they lie so
}

// Runs returns the runs of the snapshot: files in the order of [Snapshot.Files], row groups in the order of the file. It reads the files'
// footers.
func (s *Snapshot) Runs(ctx context.Context) ([]*Run, error) {
	var runs []*Run
	for i := range s.files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		of, err := s.runsOf(&s.files[i])
		if err != nil {
			return nil, err
		}
		runs = append(runs, of...)
	}
	return runs, nil
}

func (s *Snapshot) runsOf(f *dataFile) ([]*Run, error) {
	h, err := s.handles.acquire(f)
	if err != nil {
		return nil, err
	}
	defer s.handles.release(h)
	value, _ := h.file.KeyValue(sortedBy)
	trusted := f.Sorted && value == sortedByASOF
	var runs []*Run
	for g, group := range h.file.RowGroups() {
		if group.Rows == 0 {
			continue
		}
		r := &Run{snapshot: s, file: f, group: g, rows: group.Rows, events: f.Events, sorted: trusted, checked: trusted}
		r.pages = sync.OnceValue(r.readPages)
		event, _ := find(s.columns, feature.EventTimeColumn)
		if path, ok := h.path(event); ok {
			if low, high, ok := h.file.Bounds(g, path); ok {
				r.events = eventBounds(low, high, r.events)
			}
		}
		if first, path, ok := r.firstKey(h); ok {
			if low, high, ok := h.file.Bounds(g, path); ok {
				r.min, r.max = keyOf(low, first.Type.Kind), keyOf(high, first.Type.Kind)
			}
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func eventBounds(low, high any, otherwise feature.Range) feature.Range {
	from, ok1 := low.(feature.Time)
	to, ok2 := high.(feature.Time)
	if !ok1 || !ok2 {
		return otherwise
	}
	return feature.Range{From: from, To: to}
}

// firstKey returns the column of the first key part, and where it lies in the run's file; ok is false where there is none.
func (r *Run) firstKey(h *handle) (c column, path string, ok bool) {
	if len(r.snapshot.keys) == 0 {
		return column{}, "", false
	}
	c, _ = find(r.snapshot.columns, r.snapshot.keys[0].Name)
	path, ok = h.path(c)
	return c, path, ok
}

// readPages returns what the page index of the first key part says.
func (r *Run) readPages() (pages []Page) {
	if !r.sorted {
		return nil // the file's pages are not those of the sorted rows
	}
	h, err := r.snapshot.handles.acquire(r.file)
	if err != nil {
		return nil // whoever reads the rows is told
	}
	defer r.snapshot.handles.release(h)
	first, path, ok := r.firstKey(h)
	if !ok {
		return nil
	}
	for _, p := range h.file.Pages(r.group, path) {
		pages = append(pages, Page{From: p.FirstRow, To: p.FirstRow + p.Rows, Min: keyOf(p.Min, first.Type.Kind), Max: keyOf(p.Max, first.Type.Kind)})
	}
	return pages
}

// keyOf encodes a bound of a key part; nil where its type is another than the column's, in a file of another engine.
func keyOf(v any, k feature.Kind) feature.Key {
	switch v := v.(type) {
	case bool:
		if k == feature.Bool {
			return feature.AppendKeyBool(nil, v)
		}
	case int32:
		return intKey(int64(v), k)
	case int64:
		return intKey(v, k)
	case feature.Time:
		if k == feature.Timestamp {
			return feature.AppendKeyInt64(nil, int64(v))
		}
	case string:
		if k == feature.String || k == feature.Bytes {
			return feature.AppendKeyString(nil, v)
		}
	case []byte:
		if v != nil && (k == feature.String || k == feature.Bytes) {
			return feature.AppendKeyString(nil, v)
		}
	}
	return nil
}

func intKey(v int64, k feature.Kind) feature.Key {
	switch {
	case k == feature.Int64:
		return feature.AppendKeyInt64(nil, v)
	case k == feature.Int32 && v == int64(int32(v)):
		return feature.AppendKeyInt32(nil, int32(v))
	}
	return nil
}

// Rows returns the number of rows, at least one.
func (r *Run) Rows() int { return r.rows }

// File returns the path of the data file that the run is a row group of, as [Snapshot.Files] has it.
func (r *Run) File() string { return r.file.Path }

// Events returns bounds of the event times.
func (r *Run) Events() feature.Range { return r.events }

// FirstKeyBounds returns bounds of the first key part, encoded as a feature.Key of that part alone; ok is false where they are
// not known.
func (r *Run) FirstKeyBounds() (min, max feature.Key, ok bool) {
	return r.min, r.max, r.min != nil && r.max != nil
}

// Pages returns the pages of the first key column, which cover the run; nil when they are not known. Those of other columns have other numbers of rows. The
// first call reads the file's page index.
func (r *Run) Pages() []Page { return r.pages() }

// Read returns the named columns of the rows in spans, which are ascending and disjoint; nil spans are all rows. A column
// that was added to the table after the run was written is NULL. Memory of columns that the caller releases serves later reads.
func (r *Run) Read(ctx context.Context, columns []string, spans []Span) ([]arrow.Array, error) {
	return r.columns(ctx, columns, selection{spans: spans, rows: rowsIn(spans, r.rows)})
}

// Take is [Run.Read] of single rows, which ascend strictly. It decodes no page without one of them, and of others little else.
func (r *Run) Take(ctx context.Context, columns []string, rows []int32) ([]arrow.Array, error) {
	return r.columns(ctx, columns, selection{single: rows, rows: len(rows)})
}

// Keys returns the key parts of the rows in spans, which are as those of [Run.Read]. Those of sorted rows come in runs.
func (r *Run) Keys(ctx context.Context, spans []Span) ([]Runs, error) {
	names := make([]string, len(r.snapshot.keys))
	for i, k := range r.snapshot.keys {
		names[i] = k.Name
	}
	h, order, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.snapshot.handles.release(h)
	all := make([]Runs, len(names))
	if order != nil {
		arrays, err := r.columns(ctx, names, selection{spans: spans, rows: rowsIn(spans, r.rows)})
		for i := range arrays {
			all[i].Values = arrays[i]
		}
		return all, err
	}
	for i, name := range names {
		c, _ := find(r.snapshot.columns, name)
		path, ok := h.path(c)
		if !ok {
			return nil, r.lacks(c)
		}
		if all[i], err = h.file.ReadRuns(r.group, path, c.Type, spans); err != nil {
			return nil, r.snapshot.store.failed(r.snapshot.view, err)
		}
	}
	return all, nil
}

// lacks says that the run's file does not have a column that it has to have.
func (r *Run) lacks(c column) error {
	return r.snapshot.store.failed(r.snapshot.view, feature.Errorf(feature.ErrCorrupt, "the data file %s has no column %s (field id %d)", r.file.Path, c.Name, c.id))
}

// selection is some rows of a run: those in spans, all where these are nil, or single ones.
type selection struct {
	spans  []Span
	single []int32 // nil: spans count
	rows   int
}

// open returns the run's file, which the caller releases, and the sorted order of its rows.
func (r *Run) open(ctx context.Context) (_ *handle, order []int32, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	h, err := r.snapshot.handles.acquire(r.file)
	if err != nil {
		return nil, nil, err
	}
	if order, err = r.sortedOrder(h); err != nil {
		r.snapshot.handles.release(h)
		return nil, nil, err
	}
	return h, order, nil
}

// columns reads the named columns of some rows.
func (r *Run) columns(ctx context.Context, columns []string, of selection) ([]arrow.Array, error) {
	h, order, err := r.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.snapshot.handles.release(h)
	arrays := make([]arrow.Array, len(columns))
	decoded := map[decodedAs]arrow.Array{}
	for i, name := range columns {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, ok := find(r.snapshot.columns, name)
		if !ok {
			return nil, feature.Errorf(feature.ErrInternal, "view %s: its stored history has no column %s", r.snapshot.view, name)
		}
		path, _ := h.path(c)
		as := decodedAs{path: h.file.Same(r.group, path), required: c.required, t: c.Type}
		if arrays[i] = decoded[as]; arrays[i] != nil {
			arrays[i].Retain()
			continue
		}
		if order == nil {
			arrays[i], err = r.read(h, c, of)
		} else if arrays[i], err = r.read(h, c, selection{rows: r.rows}); err == nil {
			rows := of.pick(order)
			arrays[i] = interleave.Rows(arrays[i:i+1], make([]int32, len(rows)), rows)
		}
		if err != nil {
			return nil, err
		}
		decoded[as] = arrays[i]
	}
	return arrays, nil
}

// decodedAs tells which columns of a file are decoded to the same array; the path is empty for those that it does not have.
type decodedAs struct {
	path     string
	required bool
	t        feature.Type
}

// read decodes a column as it lies in the file.
func (r *Run) read(h *handle, c column, of selection) (arrow.Array, error) {
	path, ok := h.path(c)
	if !ok {
		if c.required {
			return nil, r.lacks(c)
		}
		return array.MakeArrayOfNull(memory.DefaultAllocator, c.Type.Arrow(), of.rows), nil
	}
	// Empty lists count as NULLs there.
	if nulls, ok := h.file.NullCount(r.group, path); ok && r.sorted && nulls == int64(r.rows) && !c.required && !c.Type.List {
		return r.snapshot.nulls.take(c.Type, of.rows), nil // as rare states are in nearly all tiles
	}
	var a arrow.Array
	var err error
	if of.single != nil {
		a, err = h.file.Take(r.group, path, c.Type, of.single)
	} else {
		a, err = h.file.Read(r.group, path, c.Type, of.spans)
	}
	if err != nil {
		return nil, r.snapshot.store.failed(r.snapshot.view, err)
	}
	if c.required && a.NullN() > 0 {
		return nil, r.snapshot.store.failed(r.snapshot.view, feature.Errorf(feature.ErrCorrupt, "the data file %s has a NULL in the column %s", r.file.Path, c.Name))
	}
	return a, nil
}

// nullColumns hands out columns of nothing but NULLs, which share their memory.
type nullColumns struct {
	mu      sync.Mutex
	longest map[feature.Type]arrow.Array
}

func (n *nullColumns) take(t feature.Type, rows int) arrow.Array {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.longest == nil {
		n.longest = map[feature.Type]arrow.Array{}
	}
	if a := n.longest[t]; a == nil || a.Len() < rows {
		n.longest[t] = array.MakeArrayOfNull(memory.DefaultAllocator, t.Arrow(), rows)
	}
	return array.NewSlice(n.longest[t], 0, int64(rows))
}

func rowsIn(spans []Span, all int) int {
	if spans == nil {
		return all
	}
	n := 0
	for _, s := range spans {
		n += s.To - s.From
	}
	return n
}

// pick returns the rows of a file that are those of s in sorted order.
func (s selection) pick(order []int32) []int32 {
	if s.spans == nil && s.single == nil {
		return order
	}
	rows := make([]int32, 0, s.rows)
	for _, r := range s.single {
		rows = append(rows, order[r])
	}
	for _, span := range s.spans {
		rows = append(rows, order[span.From:span.To]...)
	}
	return rows
}

// sortedOrder returns the sorted order of a run that does not lie in it, and nil of one that does. A file of another engine
// is looked at when it is first read.
func (r *Run) sortedOrder(h *handle) ([]int32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.checked {
		return r.order, nil
	}
	var by []arrow.Array
	for _, name := range r.snapshot.order {
		c, _ := find(r.snapshot.columns, name)
		a, err := r.read(h, c, selection{rows: r.rows})
		if err != nil {
			return nil, err
		}
		by = append(by, a)
	}
	n := len(r.snapshot.keys)
	if bad, _ := (&order{keys: n}).next(by, nil); bad >= 0 {
		r.order = sortRows(by[:n], by[n:], r.snapshot.keys, r.rows)
	}
	r.checked = true
	return r.order, nil
}

// sortRows returns the rows in the order of keys, then times; equal ones stay as they are.
func sortRows(keys, times []arrow.Array, fields []feature.Field, n int) []int32 {
	rows := make([]uint32, n)
	for i := range rows {
		rows[i] = uint32(i)
	}
	var by [][]int64
	for _, t := range times {
		by = append(by, timesNullFirst(t))
	}
	if keysort.UsesInts(fields) {
		rows = keysort.Rows(rows, keysort.IntKeys(keys, n), by...)
	} else {
		rows = keysort.Rows(rows, keysort.TextKeys(keys, n), by...)
	}
	order := make([]int32, n)
	for i, r := range rows {
		order[i] = int32(r)
	}
	return order
}
