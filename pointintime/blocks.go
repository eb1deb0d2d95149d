package pointintime

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/offline"
)

// blocks are sorted rows by key: those of keys[i] are the rows from ends[i-1], or 0, to ends[i].
type blocks[K keysort.Ordered] struct {
	keys []K // each once, ascending
	ends []int32
}

// begin returns the first row of block i.
func (b blocks[K]) begin(i int) int {
	if i == 0 {
		return 0
	}
	return int(b.ends[i-1])
}

// near returns the blocks of the given keys, which ascend and may repeat, and the spans of their rows, of which the blocks' rows have been read from
// spans.
func (b blocks[K]) near(keys []K, spans []offline.Span) (blocks[K], []offline.Span) {
	var out blocks[K]
	var rows []offline.Span
	span, begin := 0, 0 // the first row of the span among those that were read
	eachKey(keys, b, func(s, _, from, to int) {
		last := int32(0)
		if n := len(out.ends); n > 0 {
			last = out.ends[n-1]
		}
		out.keys, out.ends = append(out.keys, keys[s]), append(out.ends, last+int32(to-from))
		for from < to {
			for from-begin >= spans[span].To-spans[span].From {
				begin += spans[span].To - spans[span].From
				span++
			}
			at := spans[span].From + from - begin
			n := min(to-from, spans[span].To-at)
			rows = appendSpan(rows, offline.Span{From: at, To: at + n})
			from += n
		}
	})
	return out, rows
}

// blocksOf returns so many rows by key, of which parts hold the parts.
func blocksOf[K keysort.Ordered](parts []offline.Runs, rows int, keysOf func([]arrow.Array, int) []K) blocks[K] {
	switch {
	case rows == 0:
		return blocks[K]{}
	case len(parts) == 0: // a global entity
		return blocks[K]{keysOf(nil, 1), []int32{int32(rows)}}
	case len(parts) == 1 && parts[0].Ends != nil:
		return blocks[K]{keysOf([]arrow.Array{parts[0].Values}, len(parts[0].Ends)), parts[0].Ends}
	}
	ends, columns := alike(parts, rows)
	keys := keysOf(columns, len(ends))
	n := 0
	for i, end := range ends { // rows of runs that are not known may have the same key as their neighbours
		if n > 0 && keys[n-1] == keys[i] {
			n--
		}
		keys[n], ends[n] = keys[i], end
		n++
	}
	return blocks[K]{keys[:n], ends[:n]}
}

// alike returns the ends of stretches of rows in which no part changes, and a row of each for each part.
func alike(parts []offline.Runs, rows int) (ends []int32, columns []arrow.Array) {
	at, values := make([]int32, len(parts)), make([][]int32, len(parts))
	for row := int32(0); int(row) < rows; {
		end := int32(rows)
		for p, part := range parts {
			values[p] = append(values[p], at[p])
			if part.Ends != nil {
				end = min(end, part.Ends[at[p]])
			} else {
				end = min(end, row+1)
			}
		}
		for p, part := range parts {
			if part.Ends == nil || part.Ends[at[p]] == end {
				at[p]++
			}
		}
		ends, row = append(ends, end), end
	}
	for p, part := range parts {
		columns = append(columns, interleave.Rows([]arrow.Array{part.Values}, make([]int32, len(ends)), values[p]))
	}
	return ends, slices.Clip(columns)
}
