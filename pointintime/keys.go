package pointintime

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/offline"
)

// Keys yields the distinct keys that have a row with an event time in one of ranges, in key order, in chunks of at most
// chunk keys: one array for each key part, and their number (a global entity has one key and no parts). Memory is a page of each run and the chunk, whatever the number of keys.
func Keys(ctx context.Context, view *feature.View, runs []Run, ranges []feature.Range, chunk int, yield func(keys []arrow.Array, rows int) error) error {
	if keysort.UsesInts(view.Keys) {
		return distinct(ctx, view, runs, ranges, chunk, keysort.IntKeys, yield)
	}
	return distinct(ctx, view, runs, ranges, chunk, keysort.TextKeys, yield)
}

func distinct[K keysort.Ordered](ctx context.Context, view *feature.View, runs []Run, ranges []feature.Range, chunk int,
	keysOf func([]arrow.Array, int) []K, yield func(keys []arrow.Array, rows int) error) error {
	var heap []*keyCursor[K]
	for _, run := range runs {
		if !overlaps(run.Events(), ranges) {
			continue
		}
		c := &keyCursor[K]{view: view, run: run, ranges: ranges, keysOf: keysOf}
		more, err := c.next(ctx)
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
	out := newKeyBuilder[K](view.Keys)
	for len(heap) > 0 {
		c := heap[0]
		if out.add(c.key) == chunk {
			if err := yield(out.arrays(), chunk); err != nil {
				return err
			}
		}
		more, err := c.next(ctx)
		if err != nil {
			return err
		}
		if !more {
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		siftDown(heap, 0)
	}
	if rows := out.rows; rows > 0 {
		return yield(out.arrays(), rows)
	}
	return nil
}

func overlaps(events feature.Range, ranges []feature.Range) bool {
	for _, r := range ranges {
		if r.Overlaps(events) {
			return true
		}
	}
	return false
}

// keyCursor steps through the distinct keys of one run.
type keyCursor[K keysort.Ordered] struct {
	view   *feature.View
	run    Run
	ranges []feature.Range
	keysOf func([]arrow.Array, int) []K

	key    K
	moved  bool // key has been set
	page   int
	row    int // rows of the run that have been read
	keys   []K // of the current page
	events []int64
	at     int
}

// next moves to the next key that has a row in the ranges; false at the run's end.
func (c *keyCursor[K]) next(ctx context.Context) (bool, error) {
	for {
		for ; c.at < len(c.keys); c.at++ {
			if c.moved && c.keys[c.at] == c.key {
				continue
			}
			if event := feature.Time(c.events[c.at]); overlaps(feature.Range{From: event, To: event}, c.ranges) {
				c.key, c.moved = c.keys[c.at], true
				return true, nil
			}
		}
		if c.row >= c.run.Rows() {
			return false, nil
		}
		if err := c.read(ctx); err != nil {
			return false, err
		}
	}
}

// read decodes the run's next page.
func (c *keyCursor[K]) read(ctx context.Context) error {
	const rowsMax = 1 << 16 // of a read where pages are unknown
	span := offline.Span{From: c.row, To: min(c.row+rowsMax, c.run.Rows())}
	if pages := c.run.Pages(); len(pages) > 0 {
		span = offline.Span{From: pages[c.page].From, To: pages[c.page].To}
		c.page++
	}
	columns := make([]string, 0, len(c.view.Keys)+1)
	for _, k := range c.view.Keys {
		columns = append(columns, k.Name)
	}
	arrays, err := c.run.Read(ctx, append(columns, feature.EventTimeColumn), []offline.Span{span})
	if err != nil {
		return err
	}
	events, ok := arrays[len(columns)].(*array.Timestamp)
	if !ok {
		return feature.Errorf(feature.ErrCorrupt, "view %s: stored event times are no timestamps", c.view.Name)
	}
	c.keys, c.events, c.at, c.row = c.keysOf(arrays[:len(columns)], events.Len()), keysort.Timestamps(events), 0, span.To
	return nil
}

// siftDown restores the heap order below i.
func siftDown[K keysort.Ordered](heap []*keyCursor[K], i int) {
	for {
		child := 2*i + 1
		if child >= len(heap) {
			return
		}
		if child+1 < len(heap) && keysort.Less(heap[child+1].key, heap[child].key) {
			child++
		}
		if !keysort.Less(heap[child].key, heap[i].key) {
			return
		}
		heap[i], heap[child] = heap[child], heap[i]
		i = child
	}
}

// keyBuilder makes key columns of keys that come in order, dropping repeats.
type keyBuilder[K keysort.Ordered] struct {
	parts    []feature.Field
	builders []array.Builder
	rows     int
	last     K
	any      bool
}

func newKeyBuilder[K keysort.Ordered](parts []feature.Field) *keyBuilder[K] {
	b := &keyBuilder[K]{parts: parts}
	for _, p := range parts {
		b.builders = append(b.builders, array.NewBuilder(memory.DefaultAllocator, p.Type.Arrow()))
	}
	return b
}

// add appends key unless it is the last one again, and returns the number of keys since the last call of arrays.
func (b *keyBuilder[K]) add(key K) int {
	if b.any && key == b.last {
		return 0
	}
	b.last, b.any = key, true
	b.rows++
	switch key := any(key).(type) {
	case int64:
		if len(b.parts) == 1 {
			appendInt(b.builders[0], key)
		}
	case string:
		b.appendText(key)
	}
	return b.rows
}

func appendInt(b array.Builder, v int64) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v != 0)
	case *array.Int32Builder:
		b.Append(int32(v))
	case *array.Int64Builder:
		b.Append(v)
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v))
	}
}

func (b *keyBuilder[K]) appendText(key string) {
	parts := []any{key}
	if len(b.parts) > 1 {
		decoded, err := feature.DecodeKey(feature.Key(key), b.parts)
		if err != nil {
			panic("pointintime: a key of its own making does not decode: " + err.Error())
		}
		parts = decoded
	}
	for i, p := range parts {
		if err := feature.AppendValue(b.builders[i], p); err != nil {
			panic("pointintime: a key part does not fit its column: " + err.Error())
		}
	}
}

// arrays returns the keys since the last call. The keys of a global entity have no columns.
func (b *keyBuilder[K]) arrays() []arrow.Array {
	b.rows = 0
	arrays := make([]arrow.Array, len(b.builders))
	for i, builder := range b.builders {
		arrays[i] = builder.NewArray()
	}
	return arrays
}
