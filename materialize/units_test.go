package materialize

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// TestBucketsAgreeWithCounting holds the search for a row's bucket against counting the beginnings that are not after it.
func TestBucketsAgreeWithCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.SampledFrom([]*rapid.Generator[int64]{rapid.Int64(), rapid.Int64Range(-3, 3), rapid.Int64Range(0, 1<<20)}).Draw(t, "numbers")
		small := rapid.Int64Range(0, 2)
		var all keysort.Head[int64]
		for range rapid.IntRange(1, 60).Draw(t, "rows") {
			all.Keys, all.Events, all.Created = append(all.Keys, number.Draw(t, "key")), append(all.Events, small.Draw(t, "event")), append(all.Created, small.Draw(t, "created"))
		}
		if rapid.Bool().Draw(t, "no created times") {
			all.Created = nil
		}
		less := func(h keysort.Head[int64], a, b int) int {
			if h.Created == nil {
				return slices.Compare([]int64{h.Keys[a], h.Events[a]}, []int64{h.Keys[b], h.Events[b]})
			}
			return slices.Compare([]int64{h.Keys[a], h.Events[a], h.Created[a]}, []int64{h.Keys[b], h.Events[b], h.Created[b]})
		}
		b, order := &buckets[int64]{}, sortedOrder(all, &orderScratch{})
		var begins []int
		for _, r := range order {
			if rapid.Bool().Draw(t, "begins") {
				begins = append(begins, int(r))
				b.keys, b.events = append(b.keys, all.Keys[r]), append(b.events, all.Events[r])
				if all.Created != nil {
					b.create = append(b.create, all.Created[r])
				}
			}
		}
		b.index()
		for row, key := range all.Keys {
			want := 0
			for _, begin := range begins {
				if less(all, begin, row) <= 0 {
					want++
				}
			}
			if got := b.of(key, &all, row); got != want {
				t.Fatalf("row %d of %+v is in bucket %d of %+v, not %d", row, all, got, b, want)
			}
		}
	})
}

// TestTileNumbers: two rows have one number where they are in one tile, and later tiles have greater ones.
func TestTileNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := &feature.View{Granularity: time.Duration(rapid.Int64Range(1, 50).Draw(t, "microseconds")) * time.Microsecond, StrictlyBefore: rapid.Bool().Draw(t, "strictly before")}
		events := rapid.SliceOfN(rapid.Int64Range(-200, 200), 2, 2).Draw(t, "events")
		slices.Sort(events)
		n := make([]int64, 2)
		numberTiles(view, events, n)
		a, b := view.TileOf(feature.Time(events[0])), view.TileOf(feature.Time(events[1]))
		if a == b != (n[0] == n[1]) || a.To < b.To != (n[0] < n[1]) {
			t.Fatalf("events %v are in tiles %v and %v, numbered %v", events, a, b, n)
		}
	})
}

// TestSkewedKeysAreSplitAgain sorts keys that grow with their place in the source, so that what the buckets are chosen by, which comes first, is less than
// all that follows: no unit may become much larger than a bucket.
func TestSkewedKeysAreSplitAgain(t *testing.T) {
	view := sortView(feature.Int64)
	s := newSorter(view, sortOptions{budget: 64 << 10, rows: 20_000})
	defer func() { _ = s.close() }()
	f := s.feeder()
	for i := range 200 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(view))
		for j := range 100 {
			n := int64(100*i + j)
			b.Field(0).(*array.Int64Builder).Append(n / 2)
			b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(-n))
			b.Field(2).AppendNull()
			b.Field(3).(*array.Int64Builder).Append(n)
			for _, f := range b.Fields()[4:] {
				f.AppendNull()
			}
		}
		if err := f.add(t.Context(), int64(i), b.NewRecordBatch()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var most atomic.Int64
	at := int64(0)
	err := s.sorted(t.Context(), 2, func(rows arrow.RecordBatch) ([]arrow.RecordBatch, error) {
		for n := most.Load(); rows.NumRows() > n && !most.CompareAndSwap(n, rows.NumRows()); n = most.Load() {
		}
		return whole(rows)
	}, func(rows arrow.RecordBatch) error {
		for _, n := range rows.Column(3).(*array.Int64).Int64Values() {
			if want := at ^ 1; n != want { // the later of two rows of a key has the earlier event time
				return fmt.Errorf("row %d is %d", at, n)
			}
			at++
		}
		return nil
	})
	if err != nil || at != 20_000 {
		t.Fatalf("%d rows, %v", at, err)
	}
	if most.Load() > 2000 {
		t.Errorf("a unit has %d of 20,000 rows", most.Load())
	}
}

// TestInOrder: results are taken in order, no more than a few are on their way, and an error on either side ends it.
func TestInOrder(t *testing.T) {
	var running, most, taken atomic.Int64
	do := func(i int) (int, error) {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		return i, nil
	}
	take := func(i int) error {
		running.Add(-1)
		if int64(i) != taken.Add(1)-1 {
			return fmt.Errorf("%d is out of order", i)
		}
		return nil
	}
	if err := inOrder(t.Context(), 3, 1000, do, take); err != nil || taken.Load() != 1000 || most.Load() > 4 {
		t.Errorf("%d taken, %d at once, %v", taken.Load(), most.Load(), err)
	}
	broken := errors.New("broken")
	failing := func(at int) func(int) (int, error) {
		return func(i int) (int, error) {
			if i == at {
				return 0, broken
			}
			return i, nil
		}
	}
	if err := inOrder(t.Context(), 2, 100, failing(50), func(int) error { return nil }); !errors.Is(err, broken) {
		t.Errorf("the error of do is %v", err)
	}
	if err := inOrder(t.Context(), 2, 100, failing(-1), func(i int) error {
		_, err := failing(50)(i)
		return err
	}); !errors.Is(err, broken) {
		t.Errorf("the error of take is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := inOrder(ctx, 2, 100, failing(-1), func(i int) error {
		if i == 50 {
			cancel()
		}
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := inOrder(t.Context(), 2, 0, do, take); err != nil {
		t.Error(err)
	}
}
