package keysort

import (
	"math/bits"
	"slices"
)

// sortedWords sorts by time, then by some bits from the first on in which keys differ, and those that agree in these by the next.
func sortedWords(p Part[Words], m *Memory[Words]) Part[Words] {
	times := spanOf(p.Times)
	entries, scratch, out := m.forRows(len(p.Rows))
	for i, t := range p.Times {
		entries[i] = entry{uint64(t) - times.least, uint32(i)}
	}
	entries, scratch = sortEntries(entries, scratch)
	n := 0
	sortWords(entries, scratch, p.Keys, func(alike []entry, key Words) {
		for _, e := range alike {
			out.Rows[n], out.Keys[n], out.Times[n] = p.Rows[e.row], key, p.Times[e.row]
			n++
		}
	})
	return out
}

// sortWords sorts entries by key, stably, and hands over those of each key. scratch has the length of entries.
func sortWords(entries, scratch []entry, keys []Words, each func(alike []entry, key Words)) {
	const (
		digits     = 2 * radixBitsMax // by so many bits, keys of a shard that are spread evenly differ nearly all
		radixLeast = 64               // rows for which counting digits pays
	)
	if len(entries) == 0 {
		return
	}
	least, most := keys[entries[0].row], keys[entries[0].row]
	for _, e := range entries[1:] {
		if key := keys[e.row]; lessWords(key, least) {
			least = key
		} else if lessWords(most, key) {
			most = key
		}
	}
	if least == most {
		each(entries, least)
		return
	}
	if len(entries) < radixLeast {
		slices.SortStableFunc(entries, func(a, b entry) int { return Compare(keys[a.row], keys[b.row]) })
		for from := 0; from < len(entries); {
			to, key := from+1, keys[entries[from].row]
			for to < len(entries) && keys[entries[to].row] == key {
				to++
			}
			each(entries[from:to], key)
			from = to
		}
		return
	}
	word := 0
	for least[word] == most[word] {
		word++
	}
	shift := max(0, bits.Len64(most[word]-least[word])-digits)
	for i := range entries {
		entries[i].value = (keys[entries[i].row][word] - least[word]) >> shift
	}
	entries, scratch = sortEntries(entries, scratch)
	for from := 0; from < len(entries); {
		to := from + 1
		for to < len(entries) && entries[to].value == entries[from].value {
			to++
		}
		sortWords(entries[from:to], scratch[from:to], keys, each)
		from = to
	}
}
