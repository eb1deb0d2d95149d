package pointintime

import (
	"slices"
	"sync/atomic"
)

const (
	blockBits = 16
	// blockRows is how many rows of an answer are put in order at once: eight bytes of each fill half of a second-level cache.
	blockRows = 1 << blockBits
)

// places is where an answer's rows are collected. Shards find rows in the order of their keys, and a write to each row's own place would wait for memory,
// column by column. So what is found of a block of rows goes to the block's next place, whichever row it is, which is beside the last one; and at the end,
// settle puts each block in order, in the cache.
type places struct {
	taken []atomic.Uint32 // of each block
	row   []uint16        // in its block, of each place that is taken
}

func newPlaces(rows int, spare *spareMemory) *places {
	return &places{taken: make([]atomic.Uint32, (rows+blockRows-1)/blockRows), row: valuesOf[uint16](spare, rows)}
}

// take puts the places that rows get in their stead, each of which is there once in all calls. memory is what a call leaves to the one after it.
func (p *places) take(rows []uint32, memory *[]uint32) {
	*memory = slices.Grow((*memory)[:0], len(p.taken))[:len(p.taken)]
	next := *memory
	clear(next)
	for _, row := range rows {
		next[row>>blockBits]++
	}
	for b, n := range next {
		next[b] = uint32(b)<<blockBits + p.taken[b].Add(n) - n
	}
	for i, row := range rows {
		at := next[row>>blockBits]
		next[row>>blockBits]++
		rows[i], p.row[at] = at, uint16(row)
	}
}

// settle moves values from their places to their rows, when all places are taken. Rows that have none get the value of nothing.
func settle[T any](p *places, values []T, nothing T) {
	ordered := make([]T, min(len(values), blockRows))
	for b := range p.taken {
		begin := b << blockBits
		block := values[begin:min(len(values), begin+blockRows)]
		taken := p.row[begin:][:p.taken[b].Load()]
		if len(taken) < len(block) {
			for i := range ordered {
				ordered[i] = nothing
			}
		}
		for i, row := range taken {
			ordered[row] = block[i]
		}
		copy(block, ordered)
	}
}
