package keysort

import (
	"cmp"
	"slices"
)

// samplesPerPart are taken to cut rows into parts: with 64, sizes of parts deviate by about an eighth.
const samplesPerPart = 64

// Split deals rows, which index into keys and times, to at most parts groups, none of them empty, of about equal size that ascend by (key, time):
// no row of a group goes before one of the group before it. Rows that are equal in both, and thus in one group, keep their
// order. Without times (nil) no key is in two groups. It takes time linear in rows, and a logarithm of parts for each.
func Split[K Ordered](rows []uint32, keys []K, times []int64, parts int) [][]uint32 {
	if len(rows) == 0 {
		return nil
	}
	if parts <= 1 {
		return [][]uint32{rows}
	}
	compare := func(a, b uint32) int {
		if order := cmp.Compare(keys[a], keys[b]); order != 0 || times == nil {
			return order
		}
		return cmp.Compare(times[a], times[b])
	}
	var sample []uint32
	for i := 0; i < len(rows); i += 1 + len(rows)/(parts*samplesPerPart) {
		sample = append(sample, rows[i])
	}
	slices.SortFunc(sample, compare)
	var first []uint32 // the least row of each group but the first
	for p := 1; p < parts; p++ {
		first = append(first, sample[p*len(sample)/parts])
	}
	group, sizes := make([]uint16, len(rows)), make([]int, parts)
	for i, r := range rows {
		g, end := 0, len(first) // the first of them that is greater than r: a binary search without calls
		for key := keys[r]; g < end; {
			mid := int(uint(g+end) / 2)
			if f := first[mid]; keys[f] < key || keys[f] == key && (times == nil || times[f] <= times[r]) {
				g = mid + 1
			} else {
				end = mid
			}
		}
		group[i] = uint16(g)
		sizes[g]++
	}
	out := make([][]uint32, parts)
	all := make([]uint32, len(rows))
	for g, size := range sizes {
		out[g], all = all[:0:size], all[size:]
	}
	for i, g := range group {
		out[g] = append(out[g], rows[i])
	}
	return slices.DeleteFunc(out, func(g []uint32) bool { return len(g) == 0 })
}
