package pointintime

import (
	"math"
	"sort"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/offline"
)

// unbounded stands for the length of a window without a left end.
const unbounded = math.MaxInt64

// noEvent is the event time of no row.
const noEvent = math.MinInt64

// slicing cuts the time of each key of a shard's spine at every end of every window that is asked for. Between two neighbouring cuts,
// in a slice, all tiles are in the same windows, so that each tile is added once, to its slice, however many windows there are, and a
// window is a range of slices. (Stream slicing: Carbone et al., "Cutty", CIKM 2016; Traub et al., "Scotty", ICDE 2018.)
//
// Slices are numbered through the shard, key after key; slice i covers the event times (ends[i-1], ends[i]], the first of a key
// all up to its end.
type slicing[K keysort.Ordered] struct {
	sp      spine[K]
	windows []int64 // lengths in microseconds, ascending; unbounded last
	ends    []int64
	key     []int32   // first slice of the key of each spine row
	last    []int32   // slice that ends at the horizon of each spine row
	first   [][]int32 // for each window, the first slice that is in that of each spine row
	begins  []bool    // which slices are the first of their key
	wanted  []bool    // which slices are in any window

	pieces []aggregate.Span // which tiles lie in which slice, run after run
	ofRun  []offline.Span   // for each run, which of pieces are of its tiles
	// Of each slice's latest tile; createdMax is the latest created time of any of its tiles, MaxInt64 where one is NULL. The
	// latter two are nil for tiles without created times.
	newest, newestCreated, createdMax []int64
}

func newSlicing[K keysort.Ordered](sp spine[K], windows []int64, runs int, created bool) *slicing[K] {
	c := &slicing[K]{sp: sp, windows: windows, key: make([]int32, len(sp.keys)), last: make([]int32, len(sp.keys)), ofRun: make([]offline.Span, runs)}
	for range windows {
		c.first = append(c.first, make([]int32, len(sp.keys)))
	}
	ends := (1 + len(windows)) * len(sp.keys) // at most
	c.ends, c.begins = make([]int64, 0, ends), make([]bool, 0, ends)
	for s := 0; s < len(sp.keys); {
		end := blockEnd(sp.keys, s)
		c.cut(s, end)
		s = end
	}
	c.newest = filled(len(c.ends), noEvent)
	if created {
		c.newestCreated, c.createdMax = filled(len(c.ends), noEvent), filled(len(c.ends), noEvent)
	}
	c.findWanted()
	return c
}

func filled(n int, v int64) []int64 {
	s := make([]int64, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// cut makes the slices of one key, whose spine rows are [s, sEnd): it merges the sorted lists of the ends of windows.
func (c *slicing[K]) cut(s, sEnd int) {
	horizons, start := c.sp.horizon[s:sEnd], int32(len(c.ends))
	bounded := c.windows
	if bounded[len(bounded)-1] == unbounded {
		bounded = bounded[:len(bounded)-1]
	}
	lists := len(bounded) + 1 // the left ends of each window, and the right ends of all
	at := make([]int, lists)
	end := func(list, i int) int64 {
		if list == len(bounded) {
			return horizons[i]
		}
		return before(horizons[i], bounded[list])
	}
	for at[lists-1] < len(horizons) { // no left end lies after its right one
		next := int64(math.MaxInt64)
		for l := range lists {
			if at[l] < len(horizons) {
				next = min(next, end(l, at[l]))
			}
		}
		slice := int32(len(c.ends))
		c.ends, c.begins = append(c.ends, next), append(c.begins, slice == start)
		for l := range lists {
			for ; at[l] < len(horizons) && end(l, at[l]) == next; at[l]++ {
				if l == len(bounded) {
					c.last[s+at[l]], c.key[s+at[l]] = slice, start
				} else {
					c.first[l][s+at[l]] = slice + 1
				}
			}
		}
	}
	for l := len(bounded); l < len(c.windows); l++ { // unbounded
		for i := s; i < sEnd; i++ {
			c.first[l][i] = start
		}
	}
}

// before returns the left end of a window, which is not in it: MinInt64 where it lies at the beginning of time or before.
func before(horizon, window int64) int64 {
	if left := horizon - window; left < horizon {
		return left
	}
	return math.MinInt64
}

// findWanted marks the slices that are in the longest window of some spine row.
func (c *slicing[K]) findWanted() {
	c.wanted = make([]bool, len(c.ends))
	longest, next := c.first[len(c.first)-1], int32(0)
	for s, first := range longest {
		for i := max(first, next); i <= c.last[s]; i++ {
			c.wanted[i] = true
		}
		next = max(next, c.last[s]+1)
	}
}

// walk finds the slices of a run's tiles. Time is linear in the spine and the run, and logarithmic in stretches of either that
// the other lacks.
func (c *slicing[K]) walk(h history[K], run int) {
	if c.pieces == nil {
		c.pieces = make([]aggregate.Span, 0, len(c.ends)+len(c.ends)/8) // some slices have tiles of several runs
	}
	c.ofRun[run].From = len(c.pieces)
	eachKey(c.sp.keys, h.blocks, func(s, sEnd, i, iEnd int) {
		c.walkKey(int(c.key[s]), int(c.last[sEnd-1])+1, h, i, iEnd)
	})
	c.ofRun[run].To = len(c.pieces)
}

// walkKey is walk for one key: its slices [slice, sliceEnd), its tiles [i, iEnd).
func (c *slicing[K]) walkKey(slice, sliceEnd int, h history[K], i, iEnd int) {
	for i < iEnd {
		slice += sort.Search(sliceEnd-slice, func(k int) bool { return c.ends[slice+k] >= h.events[i] })
		if slice == sliceEnd {
			return
		}
		from := i
		i = after(h.events[:iEnd], i, c.ends[slice])
		c.note(slice, h, from, i)
		if c.wanted[slice] {
			c.pieces = append(c.pieces, aggregate.Span{Group: int32(slice), From: int32(from), To: int32(i)})
		}
		slice++
	}
}

// note keeps the latest times of tiles [from, to), which lie in a slice.
func (c *slicing[K]) note(slice int, h history[K], from, to int) {
	event := h.events[to-1]
	if h.created == nil {
		c.newest[slice] = max(c.newest[slice], event)
		return
	}
	created := h.created[to-1]
	if event > c.newest[slice] || event == c.newest[slice] && created > c.newestCreated[slice] {
		c.newest[slice], c.newestCreated[slice] = event, created
	}
	for _, t := range h.created[from:to] {
		if t == unknownCreated {
			t = math.MaxInt64
		}
		c.createdMax[slice] = max(c.createdMax[slice], t)
	}
}

// after returns the first index from i on whose event is after end; events are sorted, and that at i is not. It takes time logarithmic
// in the distance.
func after(events []int64, i int, end int64) int {
	step := 1
	low := i // events[low] <= end
	for low+step < len(events) && events[low+step] <= end {
		low += step
		step *= 2
	}
	high := min(low+step, len(events))
	for low+1 < high {
		if mid := int(uint(low+high) / 2); events[mid] <= end {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

func (c *slicing[K]) groups() int { return len(c.ends) }

func (c *slicing[K]) spans(_, run int, _ func() (history[K], error)) ([]aggregate.Span, error) {
	return c.pieces[c.ofRun[run].From:c.ofRun[run].To], nil
}

// layer is always 0: one set of groups serves all windows.
func (c *slicing[K]) layer(int) int { return 0 }

// latest returns each spine row's latest visible tile, and whether all tiles of its longest window were known at its as-of time.
func (c *slicing[K]) latest() latest {
	l := newLatest(len(c.sp.keys), c.newestCreated != nil)
	for s := 0; s < len(c.sp.keys); {
		sEnd := blockEnd(c.sp.keys, s)
		slice := c.key[s]
		event, created := int64(noEvent), int64(noEvent)
		for ; s < sEnd; s++ {
			for ; slice <= c.last[s]; slice++ {
				if c.newest[slice] <= event && event != noEvent {
					continue
				}
				if event = c.newest[slice]; c.newestCreated != nil {
					created = c.newestCreated[slice]
				}
			}
			l.events[s] = event
			if l.created != nil {
				l.created[s] = created
			}
		}
	}
	if c.createdMax != nil {
		c.known(l.known)
	}
	return l
}

// known finds the rows whose longest window has no tile of which it was not known, or not known when, at the as-of time: its latest
// created time, by a queue of the slices that are no less than all after them.
func (c *slicing[K]) known(known []bool) {
	longest := c.first[len(c.first)-1]
	var queue []int32
	next := int32(0)
	for s := range c.sp.keys {
		first, last := longest[s], c.last[s]
		for next = max(next, first); next <= last; next++ {
			for len(queue) > 0 && c.createdMax[queue[len(queue)-1]] <= c.createdMax[next] {
				queue = queue[:len(queue)-1]
			}
			queue = append(queue, next)
		}
		for len(queue) > 0 && queue[0] < first {
			queue = queue[1:]
		}
		known[s] = len(queue) == 0 || c.createdMax[queue[0]] <= c.sp.asOf[s]
	}
}

// answer merges the slices of each spine row's window. Where states can be taken out again, the slices of a key are first summed
// up from its first one on, so that a window is a difference; else a tree over all slices has their merges ready.
func (c *slicing[K]) answer(f *folded, window int, out aggregate.States) {
	f.prepare(func(prefix aggregate.Remover) {
		for i := 1; i < len(c.ends); i++ {
			if !c.begins[i] {
				prefix.Merge(i, prefix, i-1)
			}
		}
	}, len(c.ends))
	remover, _ := out.(aggregate.Remover)
	for s := range c.sp.keys {
		first, last := int(c.first[window][s]), int(c.last[s])
		switch {
		case first > last:
		case remover == nil:
			f.tree.merge(out, s, first, last+1)
		default:
			out.Merge(s, f.states, last)
			if first > int(c.key[s]) {
				remover.Remove(s, f.states, first-1)
			}
		}
	}
}
