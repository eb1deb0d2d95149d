package keysort

import (
	"maps"
	"slices"
)

// entry is a row with the value that it is being sorted by.
type entry struct {
	value uint64
	row   uint32
}

// radixBits is the width of a digit: 2048 counters fit the first-level cache.
const radixBits = 11

// sortEntries sorts entries by value, stably, in time linear in their number: least significant digit first, skipping the
// digits in which all values agree. scratch has the length of entries; the sorted slice is one of the two.
func sortEntries(entries, scratch []entry) (sorted, other []entry) {
	var differ uint64
	for i := range entries {
		differ |= entries[i].value ^ entries[0].value
	}
	for shift := uint(0); shift < 64 && differ>>shift != 0; shift += radixBits {
		const mask = 1<<radixBits - 1
		if differ>>shift&mask == 0 {
			continue
		}
		var next [1 << radixBits]uint32
		for i := range entries {
			next[entries[i].value>>shift&mask]++
		}
		sum := uint32(0)
		for d, n := range next {
			next[d] = sum
			sum += n
		}
		for _, e := range entries {
			d := e.value >> shift & mask
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
	case []string:
		rank := ranks(rows, keys)
		for i := range entries {
			entries[i].value = rank[keys[entries[i].row]]
		}
	}
	entries, _ = sortEntries(entries, scratch)
	for i := range entries {
		rows[i] = entries[i].row
	}
	return rows
}

// ByTime sorts rows, which index into times, by time and returns them; the slice is reused.
func ByTime(rows []uint32, times []int64) []uint32 { return Rows(rows, times) }

// ranks returns the place of each distinct key in their order, so that text is compared once per distinct key.
func ranks(rows []uint32, keys []string) map[string]uint64 {
	rank := make(map[string]uint64)
	for _, r := range rows {
		rank[keys[r]] = 0
	}
	for i, key := range slices.Sorted(maps.Keys(rank)) {
		rank[key] = uint64(i)
	}
	return rank
}
