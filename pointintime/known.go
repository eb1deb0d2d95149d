package pointintime

import (
	"sort"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/internal/keysort"
)

// knownTiles finds, under --as-known, which tiles are in the windows of which spine rows. A tile enters the windows of its key's
// spine rows when its event time is reached and it is known, and leaves a window when that has moved on: it is in those of a stretch of
// spine rows, which does not depend on its event time alone, so that slices of time do not do. Each stretch is put together from nodes of a
// binary tree over the shard's spine rows, and a row's answer is what lies on its way up the tree: two logarithmic
// factors where slices have none, for what is asked of far less often.
type knownTiles[K keysort.Ordered] struct {
	sp      spine[K]
	windows []int64 // lengths in microseconds
	rows    latest
}

func newKnownTiles[K keysort.Ordered](sp spine[K], windows []int64) *knownTiles[K] {
	c := &knownTiles[K]{sp: sp, windows: windows, rows: newLatest(len(sp.keys), true)}
	for s := range c.rows.events {
		c.rows.events[s], c.rows.created[s], c.rows.known[s] = noEvent, noEvent, true
	}
	return c
}

// walk notes the latest tile that each spine row sees in a run.
func (c *knownTiles[K]) walk(h history[K], _ int) {
	c.each(h, func(i, enter, _ int) {
		event, created, r := h.events[i], h.created[i], c.rows
		if event > r.events[enter] || event == r.events[enter] && created > r.created[enter] {
			r.events[enter], r.created[enter] = event, created
		}
	})
}

// each calls visit for each tile of a run that some spine row sees: those from enter on, up to the end of the key.
func (c *knownTiles[K]) each(h history[K], visit func(tile, enter, sEnd int)) {
	eachKey(c.sp.keys, h.blocks, func(s, sEnd, i, iEnd int) {
		for ; i < iEnd; i++ {
			enter := max(lowerBound(c.sp.horizon, s, sEnd, h.events[i]), lowerBound(c.sp.asOf, s, sEnd, h.created[i]))
			if enter < sEnd && h.created[i] != unknownCreated {
				visit(i, enter, sEnd)
			}
		}
	})
}

// lowerBound returns the first index in [from, to) whose time is at or after t, or `to`.
func lowerBound(times []int64, from, to int, t int64) int {
	return from + sort.Search(to-from, func(k int) bool { return times[from+k] >= t })
}

func (c *knownTiles[K]) groups() int { return 2 * len(c.sp.keys) }

// spans finds the nodes of a run's tiles anew for each window and state: there are several for each tile, too many to keep.
func (c *knownTiles[K]) spans(window, _ int, read func() (history[K], error)) ([]aggregate.Span, error) {
	h, err := read()
	if err != nil {
		return nil, err
	}
	var spans []aggregate.Span
	add := func(node, tile int) {
		spans = append(spans, aggregate.Span{Group: int32(node), From: int32(tile), To: int32(tile + 1)})
	}
	c.each(h, func(i, enter, leave int) {
		if length := c.windows[window]; length != unbounded {
			leave = enter + sort.Search(leave-enter, func(k int) bool { return before(c.sp.horizon[enter+k], length) >= h.events[i] })
		}
		for l, r := enter+len(c.sp.keys), leave+len(c.sp.keys); l < r; l, r = l/2, r/2 {
			if l%2 == 1 {
				add(l, i)
				l++
			}
			if r%2 == 1 {
				r--
				add(r, i)
			}
		}
	})
	return spans, nil
}

// layer is the window: each has groups of its own.
func (c *knownTiles[K]) layer(window int) int { return window }

func (c *knownTiles[K]) latest() latest {
	r := c.rows
	for s := 1; s < len(c.sp.keys); s++ {
		if c.sp.keys[s] != c.sp.keys[s-1] {
			continue
		}
		if r.events[s-1] > r.events[s] || r.events[s-1] == r.events[s] && r.created[s-1] > r.created[s] {
			r.events[s], r.created[s] = r.events[s-1], r.created[s-1]
		}
	}
	return r
}

// answer merges the nodes above each spine row.
func (c *knownTiles[K]) answer(f *folded, _ int, out aggregate.States) {
	for s := range c.sp.keys {
		for node := s + len(c.sp.keys); node > 0; node /= 2 {
			out.Merge(s, f.states, node)
		}
	}
}
