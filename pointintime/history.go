package pointintime

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/offline"
)

// Stored is a row of a key's history, or a tile of a windowed view's.
type Stored struct {
	Run, Row int // which of the runs, and which of its rows
	Event    feature.Time
	Created  feature.Time // feature.MinTime where NULL, and where the view has none
}

// Stretch is what a key's history has in a range of event times.
type Stretch struct {
	Count int64
	// First and Last are its first and its last rows, at most as many as were asked for, in the order of the history: of two
	// visible rows [Join] prefers the later one.
	First, Last []Stored
}

// History returns what the history of one key, given as columns of one row, has in each of ranges, with up to keep rows from either
// end. It reads the key columns and times of the pages that can hold the key, once for all ranges; a key with a NULL part has no history.
func History(ctx context.Context, view *feature.View, key []arrow.Array, runs []Run, ranges []feature.Range, keep int) ([]Stretch, error) {
	if keysort.UsesInts(view.Keys) {
		return historyOf(ctx, view, key, runs, ranges, keep, keysort.Ints(view.Keys))
	}
	return historyOf(ctx, view, key, runs, ranges, keep, keysort.Texts(view.Keys))
}

// historyOf is History of keys that are compared as K.
func historyOf[K keysort.Ordered](ctx context.Context, view *feature.View, key []arrow.Array, runs []Run, ranges []feature.Range, keep int,
	form keysort.Form[K]) ([]Stretch, error) {
	found := make([]Stretch, len(ranges))
	end := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	end.Append(math.MaxInt64)
	j := &joiner[K]{q: Question{View: view, Keys: key, Times: end.NewTimestampArray(), Order: &Order{}}, runs: runs, form: form}
	if err := j.prepare(); err != nil {
		return found, err
	}
	shards := j.shards(1)
	if len(shards) == 0 {
		return found, nil
	}
	sp := j.spineOf(shards[0], &shardMemory[K]{})
	for r, run := range runs {
		spans := j.spans(run, sp)
		if len(spans) == 0 || !overlaps(run.Events(), ranges) {
			continue
		}
		h, spans, err := j.readNear(ctx, run, sp, spans, few(sp, spans))
		if err != nil {
			return nil, err
		}
		eachKey(sp.keys, h.blocks, func(_, _, from, to int) {
			for i, events := range ranges {
				found[i].take(h.events[:to], h.created, r, from, events, keep, spans)
			}
		})
	}
	for i := range found {
		found[i].First, found[i].Last = inOrder(found[i].First), inOrder(found[i].Last)
		found[i].First = found[i].First[:min(keep, len(found[i].First))]
		found[i].Last = found[i].Last[max(0, len(found[i].Last)-keep):]
	}
	return found, nil
}

// take takes in rows of a run from the given one on whose events are in a range. Spans are those of the run that were read.
func (s *Stretch) take(events, created []int64, run, from int, within feature.Range, keep int, spans []offline.Span) {
	if within.Empty() {
		return
	}
	low := from + sort.Search(len(events)-from, func(i int) bool { return events[from+i] >= int64(within.From) })
	high := from + sort.Search(len(events)-from, func(i int) bool { return events[from+i] > int64(within.To) })
	s.Count += int64(high - low)
	row := func(i int) Stored {
		stored := Stored{Run: run, Row: rowOf(spans, i), Event: feature.Time(events[i]), Created: feature.MinTime}
		if created != nil {
			stored.Created = feature.Time(created[i])
		}
		return stored
	}
	for i := low; i < min(high, low+keep); i++ {
		s.First = append(s.First, row(i))
	}
	for i := max(low, high-keep); i < high; i++ {
		s.Last = append(s.Last, row(i))
	}
}

// rowOf returns which row of a run is the i-th of those in spans.
func rowOf(spans []offline.Span, i int) int {
	for _, s := range spans {
		if n := s.To - s.From; i >= n {
			i -= n
			continue
		}
		return s.From + i
	}
	panic("pointintime: no such row was read")
}

// inOrder sorts rows that are in the order of their runs: by event time, then created time, NULL first, then as they were.
func inOrder(rows []Stored) []Stored {
	slices.SortStableFunc(rows, func(a, b Stored) int {
		return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Created, b.Created))
	})
	return rows
}
