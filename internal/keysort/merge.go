package keysort

import (
	"cmp"
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
)

// Head is what the rows of a batch are ordered by. Created is nil where rows have no created times; NULL is the least.
type Head[K Ordered] struct {
	Keys            []K
	Events, Created []int64
}

// HeadOf returns the head of a batch whose columns begin with so many key parts, the event time and, if created is true, the created
// time; keysOf is [IntKeys] or [TextKeys]. It shares memory with the batch.
func HeadOf[K Ordered](batch arrow.RecordBatch, keys int, created bool, keysOf func([]arrow.Array, int) []K) Head[K] {
	h := Head[K]{Keys: keysOf(batch.Columns()[:keys], int(batch.NumRows())), Events: Timestamps(batch.Column(keys).(*array.Timestamp))}
	if !created {
		return h
	}
	column := batch.Column(keys + 1).(*array.Timestamp)
	h.Created = append([]int64(nil), Timestamps(column)...)
	for i := range h.Created {
		if column.IsNull(i) {
			h.Created[i] = int64(feature.MinTime)
		}
	}
	return h
}

// Sequence returns the next batch of sorted rows, none of which is empty, and nil after the last.
type Sequence func() (arrow.RecordBatch, error)

// Merge yields the rows of sorted sequences as one, in batches of at most rowsMax rows. Columns begin with the key parts, the event time and, if created
// is true, the created time, and are those of the first batch. Rows that are equal in all of these keep the order of the sequences.
// It holds a batch of each sequence, and those that rows of the batch to come are taken from. Batches must not change afterwards.
func Merge(ctx context.Context, keys []feature.Field, created bool, sequences []Sequence, rowsMax int, yield func(arrow.RecordBatch) error) error {
	if UsesInts(keys) {
		return merge(ctx, len(keys), created, IntKeys, sequences, rowsMax, yield)
	}
	return merge(ctx, len(keys), created, TextKeys, sequences, rowsMax, yield)
}

func merge[K Ordered](ctx context.Context, keys int, created bool, keysOf func([]arrow.Array, int) []K, sequences []Sequence, rowsMax int,
	yield func(arrow.RecordBatch) error) error {
	var heap []*cursor[K]
	batches := 0
	advance := func(c *cursor[K]) (more bool, err error) {
		if c.at++; c.batch != nil && c.at < int(c.batch.NumRows()) {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if c.batch, err = c.next(); c.batch == nil || err != nil {
			return false, err
		}
		batches++
		c.id, c.head, c.at = batches, HeadOf(c.batch, keys, created, keysOf), 0
		return true, nil
	}
	for i, next := range sequences {
		c := &cursor[K]{next: next, sequence: i}
		more, err := advance(c)
		if err != nil {
			return err
		}
		if more {
			heap = append(heap, c)
		}
	}
	if len(heap) == 0 {
		return nil
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i)
	}
	out := interleave.NewBatches(heap[0].batch.Schema())
	for len(heap) > 0 {
		c := heap[0]
		if out.Add(c.batch, c.id, c.at) == rowsMax {
			if err := out.Flush(yield); err != nil {
				return err
			}
		}
		more, err := advance(c)
		if err != nil {
			return err
		}
		if !more {
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		siftDown(heap, 0)
	}
	return out.Flush(yield)
}

// cursor is the place in one sequence of a merge.
type cursor[K Ordered] struct {
	next     Sequence
	sequence int
	batch    arrow.RecordBatch
	id       int // of batch, unique in the merge
	head     Head[K]
	at       int
}

// before reports whether c's row goes before d's.
func (c *cursor[K]) before(d *cursor[K]) bool {
	order := cmp.Or(Compare(c.head.Keys[c.at], d.head.Keys[d.at]), cmp.Compare(c.head.Events[c.at], d.head.Events[d.at]))
	if order == 0 && c.head.Created != nil {
		order = cmp.Compare(c.head.Created[c.at], d.head.Created[d.at])
	}
	return order < 0 || (order == 0 && c.sequence < d.sequence)
}

// siftDown restores the heap below i.
func siftDown[K Ordered](heap []*cursor[K], i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && heap[child+1].before(heap[child]) {
			child++
		}
		if !heap[child].before(heap[i]) {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}
