package materialize

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/internal/keysort"
)

// sortedBatchRows is the number of rows in a sorted batch: large enough that the fixed cost of a batch vanishes, small
// enough that merging a hundred spilled runs holds tens of megabytes.
const sortedBatchRows = 1 << 15

// sorter is an external sort of a view's rows by (key, event time, created time), NULL created times first; rows equal in
// all three keep the order in which they were added. What does not fit the budget is spilled to temporary files that
// vanish with the process.
type sorter interface {
	// add takes a batch with the view's columns, in source order.
	add(ctx context.Context, batch arrow.RecordBatch) error
	// merge yields all rows, sorted, in batches of at most sortedBatchRows. It can be called once.
	merge(ctx context.Context, yield func(arrow.RecordBatch) error) error
	// close removes what was spilled.
	close() error
}

// newSorter returns a sorter for the view's rows that holds about budget bytes and spills into dir.
func newSorter(view *feature.View, dir string, budget int64) sorter {
	if keysort.UsesInts(view.Keys) {
		return &externalSort[int64]{view: view, schema: schemaOf(view), dir: dir, budget: budget, keysOf: keysort.IntKeys}
	}
	return &externalSort[string]{view: view, schema: schemaOf(view), dir: dir, budget: budget, keysOf: keysort.TextKeys}
}

// schemaOf returns the Arrow schema of the view's stored rows.
func schemaOf(view *feature.View) *arrow.Schema {
	var fields []arrow.Field
	for i, c := range view.Columns() {
		required := i <= len(view.Keys) // keys and event time
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.Arrow(), Nullable: !required})
	}
	return arrow.NewSchema(fields, nil)
}

type externalSort[K keysort.Ordered] struct {
	view   *feature.View
	schema *arrow.Schema
	dir    string
	budget int64
	keysOf func([]arrow.Array, int) []K

	batches []arrow.RecordBatch // not yet sorted
	rows    int
	bytes   int64
	spilled []*spill
}

// sortBytesPerRow is what sorting takes beside the rows themselves: key, two times, and two entries of the radix sort.
const sortBytesPerRow = 72

func (s *externalSort[K]) add(ctx context.Context, batch arrow.RecordBatch) error {
	s.batches = append(s.batches, batch)
	s.rows += int(batch.NumRows())
	s.bytes += recordBytes(batch) + sortBytesPerRow*batch.NumRows()
	if s.bytes < s.budget {
		return nil
	}
	return s.spill(ctx)
}

// spill sorts what is held and moves it to a file.
func (s *externalSort[K]) spill(ctx context.Context) error {
	file, err := newSpill(s.dir, s.schema)
	if err != nil {
		return err
	}
	s.spilled = append(s.spilled, file)
	if err := s.emit(ctx, file.write); err != nil {
		return err
	}
	return file.finish()
}

// emit sorts what is held, yields it, and lets go of it.
func (s *externalSort[K]) emit(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	keys, events := make([]K, 0, s.rows), make([]int64, 0, s.rows)
	var created []int64
	which, row := make([]int32, 0, s.rows), make([]int32, 0, s.rows)
	for b, batch := range s.batches {
		h := keysort.HeadOf(batch, len(s.view.Keys), s.view.HasCreatedTime, s.keysOf)
		keys, events, created = append(keys, h.Keys...), append(events, h.Events...), append(created, h.Created...)
		for r := range batch.NumRows() {
			which, row = append(which, int32(b)), append(row, int32(r))
		}
	}
	order := make([]uint32, len(keys))
	for i := range order {
		order[i] = uint32(i)
	}
	if created != nil {
		order = keysort.Rows(order, keys, events, created)
	} else {
		order = keysort.Rows(order, keys, events)
	}
	batches := s.batches
	s.batches, s.rows, s.bytes = nil, 0, 0
	out := interleave.NewBatches(s.schema)
	for len(order) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(order), sortedBatchRows)
		for _, o := range order[:n] {
			out.Add(batches[which[o]], int(which[o]), int(row[o]))
		}
		order = order[n:]
		if err := out.Flush(yield); err != nil {
			return err
		}
	}
	return nil
}

func (s *externalSort[K]) close() error {
	var first error
	for _, f := range s.spilled {
		if err := f.close(); err != nil && first == nil {
			first = err
		}
	}
	s.spilled = nil
	return first
}

// recordBytes returns the memory that a batch's columns take.
func recordBytes(batch arrow.RecordBatch) int64 {
	total := int64(0)
	for _, c := range batch.Columns() {
		total += dataBytes(c.Data())
	}
	return total
}

func dataBytes(data arrow.ArrayData) int64 {
	total := int64(0)
	for _, b := range data.Buffers() {
		if b != nil {
			total += int64(b.Len())
		}
	}
	for _, child := range data.Children() {
		total += dataBytes(child)
	}
	return total
}
