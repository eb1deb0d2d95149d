package materialize

import (
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
)

// sortedBatchRows is the number of rows in a batch that is handed on: large enough that the fixed cost of a batch vanishes, small
// enough that the states of as many tiles fit the processor's cache.
const sortedBatchRows = 1 << 15

func (s *externalSort[K]) sorted(ctx context.Context, workers int, through func(rows arrow.RecordBatch) ([]arrow.RecordBatch, error), yield func(arrow.RecordBatch) error) error {
	if s.buckets == nil { // all that there is waits
		b, pieces := s.settle(s.total)
		for _, p := range pieces {
			s.kept = append(s.kept, s.deal(p, b))
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
		return through(rows)
	}, func(batches []arrow.RecordBatch) error {
		for _, b := range batches {
			if err := yield(b); err != nil {
				return err
			}
		}
		return nil
	})
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
	kept := piecesOf(s.kept, bucket, bucket+1)
	var spilled []*spill
	for _, file := range s.spills {
		if file.has(bucket) {
			spilled = append(spilled, file)
		}
	}
	var sample []piece
	for i := 0; i < len(kept); i += 1 + len(kept)/splitSample {
		sample = append(sample, kept[i])
	}
	for i := 0; i < len(spilled); i += 1 + len(spilled)/splitSample {
		pieces, err := spilled[i].read(bucket, bucket+1)
		if err != nil {
			return nil, err
		}
		sample = append(sample, pieces...)
	}
	if inner.buckets = s.choose(sample, min(n, bucketsMax)); inner.buckets.count() == 1 {
		return nil, nil
	}
	s.inner = append(s.inner, inner)
	f := inner.feeder()
	add := func(pieces []piece) error {
		for _, p := range pieces {
			if err := f.add(ctx, p.place, p.batch); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(kept); err != nil {
		return nil, err
	}
	for _, file := range spilled {
		pieces, err := file.read(bucket, bucket+1)
		if err == nil {
			err = add(pieces)
		}
		if err != nil {
			return nil, err
		}
	}
	return inner, f.close(ctx)
}

// piecesOf returns the rows of buckets [from, to) as pieces of their own.
func piecesOf(pieces []piece, from, to int) (out []piece) {
	for i := range pieces {
		first, end := pieces[i].rows(from, to)
		if end > first {
			out = append(out, piece{place: pieces[i].place, batch: pieces[i].batch.NewSlice(first, end), ends: []int32{int32(end - first)}})
		}
	}
	return out
}

// rows returns the unit's rows in order; nil where it has none.
func (u unit[K]) rows() (arrow.RecordBatch, error) {
	pieces := piecesOf(u.sort.kept, u.from, u.to)
	for _, f := range u.sort.spills {
		clock := u.sort.stats.Start(stages.Spill)
		of, err := f.read(u.from, u.to)
		if err != nil {
			return nil, err
		}
		clock.Stop(0, 0)
		pieces = append(pieces, of...)
	}
	if len(pieces) == 0 {
		return nil, nil
	}
	clock := u.sort.stats.Start(stages.Sort)
	byPlace(pieces)
	a, ok := u.sort.arenas.Get().(*arena)
	if !ok {
		a = &arena{}
	}
	batch, err := joined(u.sort.schema, pieces, 0, 1, a)
	if err != nil {
		return nil, err
	}
	order := sortedOrder(u.sort.headOf(batch))
	if !slices.IsSorted(order) {
		batch = taken(batch, order)
		a.forget()
		u.sort.arenas.Put(a)
	}
	clock.Stop(batch.NumRows(), recordBytes(batch))
	return batch, nil
}
