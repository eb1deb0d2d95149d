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
	const digits = 2 * radixBitsMax // by so many bits, keys of a shard that are spread evenly differ nearly all
	word, least, width := s.span(entries)
	if width == 0 {
		for i := range entries {
			entries[i].value = orderOfInt(s.p.Times[entries[i].row])
		}
		entries, _ = sortEntries(entries, scratch)
		s.hand(entries)
		return
	}
	shift := max(0, width-digits)
	for i := range entries {
		entries[i].value = (s.p.Keys[entries[i].row][word] - least) >> shift
	}
	entries, scratch = sortEntries(entries, scratch)
	from := 0 // of those that are still to be handed over
	for begin, end := 0, 0; begin < len(entries); begin = end {
		for end = begin + 1; end < len(entries) && entries[end].value == entries[begin].value; {
			end++
		}
		if end-begin > insertedMax {
			s.hand(entries[from:begin])
			s.sort(entries[begin:end], scratch[begin:end])
			from = end
			continue
		}
		for i := begin + 1; i < end; i++ {
			for j := i; j > begin && s.less(entries[j].row, entries[j-1].row); j-- {
				entries[j], entries[j-1] = entries[j-1], entries[j]
			}
		}
	}
	s.hand(entries[from:])
}

// span returns the first word in which the keys of entries differ, the least that it is, and how many bits it is greater at most: 0 if the keys are the same.
func (s *wordsSorter) span(entries []entry) (word int, least uint64, width int) {
	if len(entries) == 0 {
		return 0, 0, 0
	}
	for ; word < len(Words{}); word++ {
		least = s.p.Keys[entries[0].row][word]
		most := least
		for _, e := range entries {
			v := s.p.Keys[e.row][word]
			least, most = min(least, v), max(most, v)
		}
		if least < most {
			return word, least, bits.Len64(most - least)
		}
	}
	return 0, 0, 0
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
