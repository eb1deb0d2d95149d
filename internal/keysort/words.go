package keysort

import "math/bits"

// wordsSorter sorts by some bits from the first on in which keys differ, and those that agree in these, which are few, by key and time. It hands sorted rows of p
// to out.
type wordsSorter struct {
	p, out Part[Words]
	n      int // of rows in out
}

// sort sorts entries, which are in the order of their rows, and hands them over. scratch has the length of entries.
func (s *wordsSorter) sort(entries, scratch []entry) {
	const (
		digits     = 2 * radixBitsMax // by so many bits, keys of a shard that are spread evenly differ nearly all
		radixLeast = 32               // rows for which counting digits pays
	)
	if len(entries) < radixLeast {
		for i := range entries {
			for j := i; j > 0 && s.less(entries[j].row, entries[j-1].row); j-- {
				entries[j], entries[j-1] = entries[j-1], entries[j]
			}
		}
		s.hand(entries)
		return
	}
	keys := s.p.Keys
	least, most := keys[entries[0].row], keys[entries[0].row]
	for _, e := range entries[1:] {
		if key := keys[e.row]; lessWords(key, least) {
			least = key
		} else if lessWords(most, key) {
			most = key
		}
	}
	if least == most {
		for i := range entries {
			entries[i].value = orderOfInt(s.p.Times[entries[i].row])
		}
		entries, _ = sortEntries(entries, scratch)
		s.hand(entries)
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
		s.sort(entries[from:to], scratch[from:to])
		from = to
	}
}

// less reports whether row a goes before row b.
func (s *wordsSorter) less(a, b uint32) bool {
	ka, kb := &s.p.Keys[a], &s.p.Keys[b]
	if *ka == *kb {
		return s.p.Times[a] < s.p.Times[b]
	}
	return lessWords(*ka, *kb)
}

// hand hands over entries, which are sorted.
func (s *wordsSorter) hand(entries []entry) {
	for _, e := range entries {
		s.out.Rows[s.n], s.out.Keys[s.n], s.out.Times[s.n] = s.p.Rows[e.row], s.p.Keys[e.row], s.p.Times[e.row]
		s.n++
	}
}
