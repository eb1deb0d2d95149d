package keysort

import (
	"cmp"
	"math/bits"
	"slices"
)

// sortedWords sorts by some bits from the first on in which keys differ, and those that agree in these, which are few, by key and time.
func sortedWords(p Part[Words], m *Memory[Words]) Part[Words] {
	entries, scratch, out := m.forRows(len(p.Rows))
	for i := range entries {
		entries[i].row = uint32(i)
	}
	s := wordsSorter{p: p, out: out}
	s.sort(entries, scratch)
	return out
}

// wordsSorter hands sorted rows of p to out.
type wordsSorter struct {
	p, out Part[Words]
	n      int // of rows in out
}

// sort sorts entries, which are in the order of their rows, and hands them over. scratch has the length of entries.
func (s *wordsSorter) sort(entries, scratch []entry) {
	const (
		digits     = 2 * radixBitsMax // by so many bits, keys of a shard that are spread evenly differ nearly all
		radixLeast = 64               // rows for which counting digits pays
	)
	if len(entries) < radixLeast {
		if len(entries) > 1 {
			slices.SortStableFunc(entries, s.compare)
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

func (s *wordsSorter) compare(a, b entry) int {
	if order := Compare(s.p.Keys[a.row], s.p.Keys[b.row]); order != 0 {
		return order
	}
	return cmp.Compare(s.p.Times[a.row], s.p.Times[b.row])
}

// hand hands over entries, which are sorted.
func (s *wordsSorter) hand(entries []entry) {
	for _, e := range entries {
		s.out.Rows[s.n], s.out.Keys[s.n], s.out.Times[s.n] = s.p.Rows[e.row], s.p.Keys[e.row], s.p.Times[e.row]
		s.n++
	}
}
