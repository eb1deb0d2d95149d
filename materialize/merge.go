package materialize

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// mergeFanIn is the greatest number of spilled runs that are merged at once; it bounds memory to that many batches. More are
// merged in several passes.
const mergeFanIn = 64

func (s *externalSort[K]) merge(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	if len(s.spilled) == 0 {
		return s.emit(ctx, yield)
	}
	if s.rows > 0 {
		if err := s.spill(ctx); err != nil {
			return err
		}
	}
	for len(s.spilled) > mergeFanIn {
		file, err := newSpill(s.dir, s.schema)
		if err != nil {
			return err
		}
		if err := errors.Join(s.mergeRuns(ctx, s.spilled[:mergeFanIn], file.write), file.finish()); err != nil {
			return errors.Join(err, file.close())
		}
		for _, f := range s.spilled[:mergeFanIn] {
			if err := f.close(); err != nil {
				return errors.Join(err, file.close())
			}
		}
		// The merged run takes the place of the runs that it came from, so that order among equals is kept.
		s.spilled = append([]*spill{file}, s.spilled[mergeFanIn:]...)
	}
	return s.mergeRuns(ctx, s.spilled, yield)
}

// cursor is the place in one run of a merge.
type cursor[K keysort.Ordered] struct {
	reader *ipc.Reader
	run    int
	batch  arrow.RecordBatch
	id     int // of batch, unique in the merge
	head   head[K]
	at     int
}

// before reports whether c's row goes before d's.
func (c *cursor[K]) before(d *cursor[K]) bool {
	order := cmp.Or(cmp.Compare(c.head.keys[c.at], d.head.keys[d.at]), cmp.Compare(c.head.events[c.at], d.head.events[d.at]))
	if order == 0 && c.head.created != nil {
		order = cmp.Compare(c.head.created[c.at], d.head.created[d.at])
	}
	return order < 0 || (order == 0 && c.run < d.run)
}

// mergeRuns yields the rows of runs, which are in source order, as one sorted sequence.
func (s *externalSort[K]) mergeRuns(ctx context.Context, runs []*spill, yield func(arrow.RecordBatch) error) error {
	var heap []*cursor[K]
	batches := 0
	advance := func(c *cursor[K]) (bool, error) {
		if c.at++; c.batch != nil && c.at < int(c.batch.NumRows()) {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		batch, err := c.reader.Read()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, feature.Errorf(feature.ErrUnavailable, "sorting: cannot read back a temporary file: %w", err)
		}
		batch.Retain() // the reader lets go of a batch when it reads the next
		batches++
		c.batch, c.id, c.head, c.at = batch, batches, s.head(batch), 0
		return true, nil
	}
	for i, run := range runs {
		reader, err := run.read()
		if err != nil {
			return err
		}
		c := &cursor[K]{reader: reader, run: i}
		more, err := advance(c)
		if err != nil {
			return err
		}
		if more {
			heap = append(heap, c)
		}
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i)
	}
	out := newInterleaver(s.schema)
	for len(heap) > 0 {
		c := heap[0]
		if out.add(c.batch, c.id, c.at) == sortedBatchRows {
			if err := out.flush(yield); err != nil {
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
	return out.flush(yield)
}

// siftDown restores the heap below i.
func siftDown[K keysort.Ordered](heap []*cursor[K], i int) {
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
