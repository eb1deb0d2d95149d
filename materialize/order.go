package materialize

import (
	"cmp"
	"slices"

	"github.com/asof-store/asof/internal/keysort"
)

// orderScratch is memory for orders.
type orderScratch struct {
	keysort.Scratch
	order []uint32
}

// sized returns a slice of n values, of any content, in the memory of s if that suffices.
func sized[T any](s []T, n int) []T {
	if n > cap(s) {
		return make([]T, n, n+n/8) // the next may be a little more
	}
	return s[:n]
}

// sortedOrder returns the rows of a head in their order. They are sorted by key first: most often the rows of a key are then in the order of their
// times, as they were in the source, or there are few of them.
// It is good until the next call with the same scratch.
func sortedOrder[K keysort.Ordered](h keysort.Head[K], s *orderScratch) []uint32 {
	s.order = sized(s.order, len(h.Keys))
	for i := range s.order {
		s.order[i] = uint32(i)
	}
	order := keysort.RowsWith(&s.Scratch, s.order, h.Keys)
	for from, to := 0, 0; from < len(order); from = to {
		key := h.Keys[order[from]]
		for to = from + 1; to < len(order) && h.Keys[order[to]] == key; {
			to++
		}
		sortTimes(&h, order[from:to])
	}
	return order
}

// So many rows are sorted by insertion, which takes little time where most are in order already, and so many by comparing them: for more, counting
// digits takes less time.
const (
	insertedMax = 1 << 5
	comparedMax = 1 << 10
)

// sortTimes sorts rows of one key, which are in the order of the source, by their times.
func sortTimes[K keysort.Ordered](h *keysort.Head[K], rows []uint32) {
	sorted := 1
	for sorted < len(rows) && !later(h, rows[sorted-1], rows[sorted]) {
		sorted++
	}
	switch {
	case sorted == len(rows):
	case len(rows) <= insertedMax:
		for ; sorted < len(rows); sorted++ {
			row, at := rows[sorted], sorted
			for ; at > 0 && later(h, rows[at-1], row); at-- {
				rows[at] = rows[at-1]
			}
			rows[at] = row
		}
	case len(rows) <= comparedMax:
		slices.SortFunc(rows, func(a, b uint32) int {
			switch {
			case later(h, a, b):
				return 1
			case later(h, b, a):
				return -1
			}
			return cmp.Compare(a, b)
		})
	case h.Created != nil:
		keysort.Rows(rows, h.Keys, h.Events, h.Created)
	default:
		keysort.Rows(rows, h.Keys, h.Events)
	}
}

// later reports whether a row is later than another one.
func later[K keysort.Ordered](h *keysort.Head[K], a, b uint32) bool {
	if h.Events[a] != h.Events[b] || h.Created == nil {
		return h.Events[a] > h.Events[b]
	}
	return h.Created[a] > h.Created[b]
}
