package keysort

import (
	"math/bits"
	"slices"

	"github.com/asof-store/asof/internal/uncleared"
)

// entry is a row with the value that it is being sorted by.
type entry struct {
	value uint64
	row   uint32
}

// A digit has radixBitsMax bits at most, since 4096 counters fit the first-level cache, and of few values no more than would give each a counter of its
// own, but radixBitsMin.
const radixBitsMin, radixBitsMax = 6, 12

// sortEntries sorts entries by value, stably, in time linear in their number: least significant digit first, of digits as narrow as the
// values' span allows. Values that ascend already, as times in a file often do, are looked at once. scratch has the length of entries; the
// sorted slice is one of the two.
func sortEntries(entries, scratch []entry) (sorted, other []entry) {
	if len(entries) == 0 {
		return entries, scratch
	}
	least, most, ascends := entries[0].value, entries[0].value, true
	for i := 1; i < len(entries); i++ {
		v := entries[i].value
		ascends = ascends && v >= entries[i-1].value
		least, most = min(least, v), max(most, v)
	}
	if ascends {
		return entries, scratch
	}
	width := uint(bits.Len64(most - least))
	digitMax := uint(max(radixBitsMin, min(bits.Len(uint(len(entries))), radixBitsMax)))
	passes := (width + digitMax - 1) / digitMax
	digit := (width + passes - 1) / passes
	var next [1 << radixBitsMax]uint32
	for shift := uint(0); shift < width; shift += digit {
		mask := uint64(1)<<digit - 1
		clear(next[:mask+1])
		for i := range entries {
			next[(entries[i].value-least)>>shift&mask]++
		}
		sum := uint32(0)
		for d, n := range next[:mask+1] {
			next[d] = sum
			sum += n
		}
		for _, e := range entries {
			d := (e.value - least) >> shift & mask
			scratch[next[d]] = e
			next[d]++
		}
		entries, scratch = scratch, entries
	}
	return entries, scratch
}

// orderOfInt maps an int64 to a uint64 of the same order.
func orderOfInt(v int64) uint64 { return uint64(v) ^ (1 << 63) }

// Rows sorts rows, which index into keys and times, by key, then by each of times, and returns them; the slice is reused. Rows
// that are equal in all keep the order in which they came.
func Rows[K Ordered](rows []uint32, keys []K, times ...[]int64) []uint32 {
	return RowsWith(&Scratch{}, rows, keys, times...)
}

// Scratch is memory for sorting numbers, which serves again.
type Scratch struct{ packed, other []uint64 }

// RowsWith is [Rows] with memory that it may use until it returns.
func RowsWith[K Ordered](s *Scratch, rows []uint32, keys []K, times ...[]int64) []uint32 {
	if keys, ok := any(keys).([]int64); ok && len(times) == 0 && s.rowsByInts(rows, keys) {
		return rows
	}
	entries, scratch := make([]entry, len(rows)), make([]entry, len(rows))
	for i, r := range rows {
		entries[i].row = r
	}
	for _, column := range slices.Backward(times) {
		for i := range entries {
			entries[i].value = orderOfInt(column[entries[i].row])
		}
		entries, scratch = sortEntries(entries, scratch)
	}
	switch keys := any(keys).(type) {
	case []int64:
		for i := range entries {
			entries[i].value = orderOfInt(keys[entries[i].row])
		}
		entries, _ = sortEntries(entries, scratch)
	case []Words:
		for word := len(Words{}) - 1; word >= 0; word-- {
			for i := range entries {
				entries[i].value = keys[entries[i].row][word]
			}
			entries, scratch = sortEntries(entries, scratch)
		}
	case []string:
		n := 0
		sortTexts(entries, scratch, keys, 0, func(alike []entry, _ string) {
			for _, e := range alike {
				rows[n] = e.row
				n++
			}
		})
		return rows
	}
	for i := range entries {
		rows[i] = entries[i].row
	}
	return rows
}

// rowsByInts sorts rows by keys that lie so near each other that one fits eight bytes with the number of its row, or returns false.
func (s *Scratch) rowsByInts(rows []uint32, keys []int64) bool {
	if len(rows) == 0 {
		return true
	}
	least, most := keys[rows[0]], keys[rows[0]]
	for _, r := range rows {
		least, most = min(least, keys[r]), max(most, keys[r])
	}
	width := bits.Len64(uint64(most) - uint64(least))
	if width+rowBits > 64 {
		return false
	}
	if len(rows) > len(s.packed) {
		n := len(rows) + len(rows)/8 // others may be a little more
		s.packed, s.other = uncleared.Make[uint64](n), uncleared.Make[uint64](n)
	}
	packed, ascends, last := s.packed[:len(rows)], true, uint64(0)
	for i, r := range rows {
		value := uint64(keys[r]) - uint64(least)
		packed[i] = value<<rowBits | uint64(r)
		ascends, last = ascends && value >= last, value
	}
	if ascends {
		return true
	}
	packed, _ = sortDigits(packed, s.other[:len(rows)], width)
	for i, v := range packed {
		rows[i] = uint32(v)
	}
	return true
}

// ByTime sorts rows, which index into times, by time and returns them; the slice is reused.
func ByTime(rows []uint32, times []int64) []uint32 { return Rows(rows, times) }
