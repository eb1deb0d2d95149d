package pointintime

import (
	"container/heap"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/internal/keysort"
)

// spine is the spine rows of one view in the order (key, as-of time): row i of the spine's chunk is at rows[j] = i.
// Rows that can match nothing (a NULL key part or time) are left out.
type spine[K keysort.Ordered] struct {
	keys    []K
	asOf    []int64 // the as-of time, after --as-served has moved it
	horizon []int64 // the greatest visible event time; never falls while asOf rises
	latest  int64   // of all horizons
	rows    []uint32
}

// history is a piece of a run: rows in the order (key, event time, created time).
type history[K keysort.Ordered] struct {
	blocks[K]
	events  []int64
	created []int64 // unknownCreated where NULL; nil for a view without created times

	before  int           // rows of the run that have been walked before these
	columns []arrow.Array // what these share memory with
}

// release gives the memory of the rows back, which nobody looks at any more.
func (h *history[K]) release() { release(h.columns) }

func release(columns []arrow.Array) {
	for _, c := range columns {
		c.Release()
	}
}

// unknownCreated stands for a NULL created time: the lowest of all in a tie, and never known.
const unknownCreated = -1 << 63

// matches is the best answer so far for each row of a spine.
type matches struct {
	run     []int32 // -1 where nothing matched
	row     []int32 // of the rows of the run that were walked
	events  []int64
	created []int64
}

// known reports whether the match of sorted position s was known at its as-of time.
func (m *matches) known(s int32, asOf []int64) bool {
	return m.created[s] != unknownCreated && m.created[s] <= asOf[s]
}

// newMatches returns matches of so many rows, none of which has one yet.
func (m *shardMemory[K]) newMatches(rows int, created bool) *matches {
	of := &m.matches
	of.run, of.row, of.events = slices.Grow(of.run[:0], rows)[:rows], slices.Grow(of.row[:0], rows)[:rows], slices.Grow(of.events[:0], rows)[:rows]
	for i := range of.run {
		of.run[i] = -1
	}
	if created {
		of.created = slices.Grow(of.created[:0], rows)[:rows]
	}
	return of
}

// offer makes row r of h, which is of a run, the answer of spine row s unless a better one is known: one of a greater event time, or of an
// equal event time and greater created time. Of equals the one of the last run stays: they are in source order.
func offer[K keysort.Ordered](m *matches, s int, run int32, h *history[K], r int) {
	if m.run[s] >= 0 {
		switch {
		case h.events[r] < m.events[s]:
			return
		case h.events[r] > m.events[s]:
		case h.created != nil && h.created[r] != m.created[s]:
			if h.created[r] < m.created[s] {
				return
			}
		case run < m.run[s]:
			return
		}
	}
	m.run[s], m.row[s], m.events[s] = run, int32(h.before+r), h.events[r]
	if h.created != nil {
		m.created[s] = h.created[r]
	}
}

// walk offers every spine row the latest visible row of its key in h. With asKnown, rows whose created time is after the
// as-of time or NULL are not visible. Time is linear in both sides, and logarithmic in stretches of
// keys that the other side lacks.
func walk[K keysort.Ordered](sp *spine[K], h *history[K], run int32, asKnown bool, m *matches) {
	eachKey(sp.keys, h.blocks, func(s, sEnd, i, iEnd int) {
		if asKnown {
			walkKnown(sp, s, sEnd, h, i, iEnd, run, m)
		} else {
			walkKey(sp, s, sEnd, h, i, iEnd, run, m)
		}
	})
}

// eachKey calls visit for each key that is in both of two sorted lists: rows [s, sEnd) of the spine, [i, iEnd) of the history.
func eachKey[K keysort.Ordered](spine []K, history blocks[K], visit func(s, sEnd, i, iEnd int)) {
	s, b := 0, 0
	for s < len(spine) && b < len(history.keys) {
		switch key := spine[s]; {
		case history.keys[b] == key:
			sEnd := blockEnd(spine, s)
			visit(s, sEnd, history.begin(b), int(history.ends[b]))
			s, b = sEnd, b+1
		case keysort.Less(key, history.keys[b]):
			s = gallop(spine, s, history.keys[b])
		default:
			b = gallop(history.keys, b, key)
		}
	}
}

// walkKey walks the block of one key: spine rows [s, sEnd), history rows [i, iEnd).
func walkKey[K keysort.Ordered](sp *spine[K], s, sEnd int, h *history[K], i, iEnd int, run int32, m *matches) {
	first, events := i, h.events[:iEnd]
	for k, horizon := range sp.horizon[s:sEnd] {
		for i < len(events) && events[i] <= horizon {
			i++
		}
		if i > first {
			offer(m, s+k, run, h, i-1)
		}
	}
}

// walkKnown is walkKey with rows that are visible only once they are known. Event horizon and as-of time rise together,
// so a row, once visible, stays so: rows wait in a heap from when their event time is reached until their created time
// is, and the last one that has left it is the answer.
func walkKnown[K keysort.Ordered](sp *spine[K], s, sEnd int, h *history[K], i, iEnd int, run int32, m *matches) {
	waiting := waitingRows{created: h.created}
	best := -1
	for ; s < sEnd; s++ {
		for ; i < iEnd && h.events[i] <= sp.horizon[s]; i++ {
			switch {
			case h.created[i] == unknownCreated:
			case h.created[i] <= sp.asOf[s]:
				best = max(best, i)
			default:
				heap.Push(&waiting, i)
			}
		}
		for len(waiting.rows) > 0 && h.created[waiting.rows[0]] <= sp.asOf[s] {
			best = max(best, heap.Pop(&waiting).(int))
		}
		if best >= 0 {
			offer(m, s, run, h, best)
		}
	}
}

// waitingRows is a heap of history rows by created time.
type waitingRows struct {
	rows    []int
	created []int64
}

func (w *waitingRows) Len() int           { return len(w.rows) }
func (w *waitingRows) Less(a, b int) bool { return w.created[w.rows[a]] < w.created[w.rows[b]] }
func (w *waitingRows) Swap(a, b int)      { w.rows[a], w.rows[b] = w.rows[b], w.rows[a] }
func (w *waitingRows) Push(x any)         { w.rows = append(w.rows, x.(int)) }
func (w *waitingRows) Pop() any {
	last := w.rows[len(w.rows)-1]
	w.rows = w.rows[:len(w.rows)-1]
	return last
}

// gallop returns the first index from i on whose key is at least key; keys are sorted and keys[i] < key. It takes time
// logarithmic in the distance.
func gallop[K keysort.Ordered](keys []K, i int, key K) int {
	step := 1
	low := i // keys[low] < key
	for low+step < len(keys) && keysort.Less(keys[low+step], key) {
		low += step
		step *= 2
	}
	high := min(low+step, len(keys)) // keys[high] >= key, or the end
	for low+1 < high {
		if mid := int(uint(low+high) / 2); keysort.Less(keys[mid], key) {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// blockEnd returns the index after the last key that equals keys[i].
func blockEnd[K keysort.Ordered](keys []K, i int) int {
	end := i + 1
	for end < len(keys) && keys[end] == keys[i] {
		end++
	}
	return end
}
