package materialize

import (
	"cmp"
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
)

// sortedBatchRows is the number of rows in a batch that is handed on: large enough that the fixed cost of a batch vanishes, small
// enough that the states of as many tiles fit the processor's cache.
const sortedBatchRows = 1 << 15

func (s *externalSort[K]) sorted(ctx context.Context, workers int, through func(rows arrow.RecordBatch) ([]arrow.RecordBatch, error), yield func(arrow.RecordBatch) error) error {
	if s.buckets == nil { // all that there is waits
		b, pieces := s.settle(s.total)
		m := &dealing{dealt: &arena{}}
		for _, p := range pieces {
			p, err := s.deal(p, b, m)
			if err != nil {
				return err
			}
			s.kept = append(s.kept, p)
		}
	}
	units, err := s.units(ctx, 0)
	if err != nil {
		return err
	}
	return inOrder(ctx, workers, len(units), func(i int) ([]arrow.RecordBatch, error) {
		rows, err := units[i].rows()
		if rows == nil || err != nil {
			return nil, err
		}
		defer rows.Release()
		return through(rows)
	}, func(batches []arrow.RecordBatch) error {
		for _, b := range batches {
			if err := yield(b); err != nil {
				return err
			}
			b.Release()
		}
		return nil
	})
}

// countNulls has the columns of a batch, and the elements of lists, count their NULLs, which they do when they are first asked: those who sort units will ask at once.
func countNulls(batch arrow.RecordBatch) {
	for _, c := range batch.Columns() {
		c.NullN()
		if list, ok := c.(*array.List); ok {
			list.ListValues().NullN()
		}
	}
}

// unit is a bucket or some that follow each other, which are sorted as a whole.
type unit[K keysort.Ordered] struct {
	sort     *externalSort[K]
	from, to int // buckets
}

// splitsMax bounds how often a bucket is split again that has turned out far too large, because what the buckets were chosen by was
// not like the rest.
const splitsMax = 3

// units returns stretches of the order of about bucketBytes each, in which buckets that are far larger have been split. Rows that are
// equal in all that they are sorted by stay together, whatever their number.
func (s *externalSort[K]) units(ctx context.Context, splits int) (units []unit[K], err error) {
	byPlace(s.kept)
	rows := s.rowsOfBuckets()
	perRow := float64(s.bytes) / float64(max(1, s.total))
	limit := max(1, int64(float64(s.bucketBytes)/max(1, perRow)))
	from, sum := 0, int64(0)
	end := func(to int) {
		if from < to {
			units = append(units, unit[K]{s, from, to})
		}
		from, sum = to, 0
	}
	for b, n := range rows {
		if sum+n > limit {
			end(b)
		}
		sum += n
		if n > 4*limit && splits < splitsMax {
			inner, err := s.split(ctx, b, int(n/limit))
			if err != nil {
				return nil, err
			}
			if inner != nil {
				of, err := inner.units(ctx, splits+1)
				if err != nil {
					return nil, err
				}
				units, from, sum = append(units, of...), b+1, 0
			}
		}
	}
	end(len(rows))
	return units, nil
}

// rowsOfBuckets returns how many rows each bucket has.
func (s *externalSort[K]) rowsOfBuckets() []int64 {
	rows := make([]int64, s.buckets.count())
	count := func(pieces []piece) {
		for i := range pieces {
			for b := range rows {
				first, end := pieces[i].rows(b, b+1)
				rows[b] += end - first
			}
		}
	}
	count(s.kept)
	for _, f := range s.spills {
		count(f.pieces)
	}
	return rows
}

// splitSample is how many blocks of a bucket are looked at before it is split.
const splitSample = 16

// split deals the rows of a bucket to about n of its own, all of them spilled: memory holds the rest. It returns nil where they are all
// alike.
func (s *externalSort[K]) split(ctx context.Context, bucket, n int) (*externalSort[K], error) {
	inner := newExternalSort(s.view, s.sortOptions, s.keysOf)
	inner.budget = 0
	kept := stretches(nil, s.kept, bucket, bucket+1)
	var spilled []*spill
	for _, file := range s.spills {
		if file.has(bucket) {
			spilled = append(spilled, file)
		}
	}
	var some []arrow.RecordBatch
	for i := 0; i < len(kept); i += 1 + len(kept)/splitSample {
		some = append(some, kept[i].slice())
	}
	for i := 0; i < len(spilled); i += 1 + len(spilled)/splitSample {
		of, err := spilled[i].read(nil, bucket, bucket+1, memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		for i := range of {
			some = append(some, of[i].slice())
		}
	}
	if inner.buckets = s.choose(some, min(n, bucketsMax)); inner.buckets.count() == 1 {
		return nil, nil
	}
	s.inner = append(s.inner, inner)
	f := inner.feeder()
	add := func(of []stretch) error {
		for _, s := range of {
			if err := f.add(ctx, s.place, s.slice()); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(kept); err != nil {
		return nil, err
	}
	for _, file := range spilled {
		of, err := file.read(nil, bucket, bucket+1, memory.DefaultAllocator)
		if err == nil {
			err = add(of)
		}
		if err != nil {
			return nil, err
		}
	}
	return inner, f.close(ctx)
}

// unitSpace is memory for sorting a unit.
type unitSpace struct {
	arena // of its rows as they were
	orderScratch
	places []uint32
}

// rows returns the unit's rows in order; nil where it has none.
func (u unit[K]) rows() (arrow.RecordBatch, error) {
	space, ok := u.sort.spaces.Get().(*unitSpace)
	if !ok {
		space = &unitSpace{arena: newArena(u.sort.bucketBytes * 3 / 2)} // for what is read back, most of it at times, and what rows are sorted by
	}
	m := u.sort.memoryOf(&space.arena)
	of := stretches(nil, u.sort.kept, u.from, u.to)
	for _, f := range u.sort.spills {
		clock := u.sort.stats.Start(stages.Spill)
		var err error
		if of, err = f.read(of, u.from, u.to, m); err != nil {
			return nil, err
		}
		clock.Stop(0, 0)
	}
	if len(of) == 0 {
		return nil, nil
	}
	clock := u.sort.stats.Start(stages.Sort)
	slices.SortStableFunc(of, func(a, b stretch) int { return cmp.Compare(a.place, b.place) })
	head, err := joined(u.sort.head, of, m)
	if err != nil {
		return nil, err
	}
	order := sortedOrder(u.sort.headOf(head), &space.orderScratch)
	var batch arrow.RecordBatch
	if slices.IsSorted(order) {
		batch, err = joined(u.sort.schema, of, m)
	} else {
		batch, err = placed(u.sort.schema, of, space.placesOf(order), u.sort.batches.get(), m)
		space.forget()
		u.sort.spaces.Put(space)
	}
	if err != nil {
		return nil, err
	}
	clock.Stop(batch.NumRows(), recordBytes(batch))
	return batch, nil
}

// placesOf returns the place of each row in their order.
func (u *unitSpace) placesOf(order []uint32) []uint32 {
	u.places = sized(u.places, len(order))
	for i, row := range order {
		u.places[row] = uint32(i)
	}
	return u.places
}
