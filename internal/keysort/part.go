package keysort

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/internal/hugepage"
)

// Part is some rows beside what they are ordered by: row Rows[i] has the key Keys[i] and the time Times[i].
type Part[K Ordered] struct {
	Rows  []uint32
	Keys  []K
	Times []int64
}

func newPart[K Ordered](rows int) Part[K] {
	return Part[K]{make([]uint32, rows), makeKeys[K](rows), hugepage.Make[int64](rows)}
}

// makeKeys returns memory for keys.
func makeKeys[K Ordered](rows int) []K {
	var keys []K
	switch keys := any(&keys).(type) {
	case *[]int64:
		*keys = hugepage.Make[int64](rows)
	case *[]Words:
		*keys = hugepage.Make[Words](rows)
	case *[]string:
		*keys = make([]string, rows)
	}
	return keys
}

// slice returns the rows [from, to) of p.
func (p Part[K]) slice(from, to int) Part[K] {
	return Part[K]{p.Rows[from:to:to], p.Keys[from:to:to], p.Times[from:to:to]}
}

// dealMin is the number of rows for which another worker is worth while.
const dealMin = 1 << 14

// samplesPerPart are taken to cut rows into parts: with 64, sizes of parts deviate by about an eighth.
const samplesPerPart = 64

// Split deals the rows to at most parts parts, none of them empty, of about equal size that ascend by (key, time):
// no row of a part goes before one of the part before it. Rows that are equal in both, and thus in one part, keep their
// order. With whole, no key is in two parts. It takes time linear in rows, and a logarithm of parts for each, of as many processors as workers.
func (p Part[K]) Split(parts int, whole bool, workers int) []Part[K] {
	if len(p.Rows) == 0 {
		return nil
	}
	if parts <= 1 {
		return []Part[K]{p}
	}
	first, deals := p.firsts(parts, whole), make([]deal, max(1, min(workers, len(p.Rows)/dealMin)))
	each(len(deals), func(w int) {
		d := &deals[w]
		d.from, d.to = w*len(p.Rows)/len(deals), (w+1)*len(p.Rows)/len(deals)
		d.part, d.next = p.slice(d.from, d.to).parts(first, whole)
	})
	out, all, begin := make([]Part[K], 0, parts), newPart[K](len(p.Rows)), 0
	for g := range parts {
		end := begin
		for w := range deals {
			size := deals[w].next[g]
			deals[w].next[g] = end
			end += size
		}
		if end > begin {
			out = append(out, all.slice(begin, end))
		}
		begin = end
	}
	each(len(deals), func(w int) {
		d := &deals[w]
		for i, g := range d.part {
			at := d.next[g]
			all.Rows[at], all.Keys[at], all.Times[at] = p.Rows[d.from+i], p.Keys[d.from+i], p.Times[d.from+i]
			d.next[g]++
		}
	})
	return out
}

// deal is one worker's share of dealing rows to parts: the rows [from, to), the part of each, and for each part where its next row goes; at first, how many
// it gets.
type deal struct {
	from, to int
	part     []uint16
	next     []int
}

// each calls do with 0 to n-1, all at once.
func each(n int, do func(i int)) {
	var group errgroup.Group
	group.SetLimit(n)
	for i := range n {
		group.Go(func() error {
			do(i)
			return nil
		})
	}
	_ = group.Wait() // there are no errors
}

// parts returns which part each row is in, of those that begin with first but for the least, and how many rows each part has.
func (p Part[K]) parts(first Part[K], whole bool) (part []uint16, sizes []int) {
	part, sizes = make([]uint16, len(p.Rows)), make([]int, len(first.Rows)+1)
	heads := make([]uint64, len(first.Keys))
	for i, key := range first.Keys {
		heads[i] = leading(key)
	}
	for i, key := range p.Keys {
		g, end := 0, len(heads) // the first of them that is greater than the row: a binary search without calls
		for head, time := leading(key), p.Times[i]; g < end; {
			mid := int(uint(g+end) / 2)
			if h := heads[mid]; h < head || h == head && !first.after(mid, key, time, whole) {
				g = mid + 1
			} else {
				end = mid
			}
		}
		part[i] = uint16(g)
		sizes[g]++
	}
	return part, sizes
}

// after reports whether row i goes after one with the given key and time, which with whole does not count.
func (p Part[K]) after(i int, key K, time int64, whole bool) bool {
	if p.Keys[i] == key {
		return !whole && p.Times[i] > time
	}
	return Less(key, p.Keys[i])
}

// firsts returns, of a sample, the least row of each of so many parts but the first.
func (p Part[K]) firsts(parts int, whole bool) Part[K] {
	var sample []int
	for i := 0; i < len(p.Rows); i += 1 + len(p.Rows)/(parts*samplesPerPart) {
		sample = append(sample, i)
	}
	slices.SortFunc(sample, func(a, b int) int {
		if order := Compare(p.Keys[a], p.Keys[b]); order != 0 || whole {
			return order
		}
		return cmp.Compare(p.Times[a], p.Times[b])
	})
	first := newPart[K](parts - 1)
	for i := range first.Rows {
		at := sample[(i+1)*len(sample)/parts]
		first.Keys[i], first.Times[i] = p.Keys[at], p.Times[at]
	}
	return first
}

// Memory is what sorting takes; each use of it takes back what the one before has returned.
type Memory[K Ordered] struct {
	entries, scratch []entry
	sorted           Part[K]
}

// forRows returns entries, scratch and room for the sorted rows, so many of each.
func (m *Memory[K]) forRows(n int) (entries, scratch []entry, out Part[K]) {
	if cap(m.entries) < n {
		*m = Memory[K]{hugepage.Make[entry](n), hugepage.Make[entry](n), newPart[K](n)}
	}
	return m.entries[:n], m.scratch[:n], m.sorted.slice(0, n)
}

// Sorted returns the rows by key, then by time, in the memory of m; rows that are equal in both keep their order. p stays as it is. Time is linear in
// rows, but for texts that begin alike.
func (p Part[K]) Sorted(m *Memory[K]) Part[K] {
	switch p := any(p).(type) {
	case Part[int64]:
		return any(sortedInts(p, any(m).(*Memory[int64]))).(Part[K])
	case Part[Words]:
		return any(sortedWords(p, any(m).(*Memory[Words]))).(Part[K])
	case Part[string]:
		return any(sortedTexts(p, any(m).(*Memory[string]))).(Part[K])
	}
	panic("keysort: keys are int64, Words or string")
}

// sortedInts sorts by both at once where, less their minima, key and time fit a word together: entries then hold all that the rows have, and
// nothing has to be looked up.
func sortedInts(p Part[int64], m *Memory[int64]) Part[int64] {
	keys, times := spanOf(p.Keys), spanOf(p.Times)
	entries, scratch, out := m.forRows(len(p.Rows))
	if keys.bits+times.bits > 64 {
		for i, t := range p.Times {
			entries[i] = entry{uint64(t) - times.least, uint32(i)}
		}
		entries, scratch = sortEntries(entries, scratch)
		for i := range entries {
			entries[i].value = uint64(p.Keys[entries[i].row]) - keys.least
		}
		entries, _ = sortEntries(entries, scratch)
		for i, e := range entries {
			out.Rows[i], out.Keys[i], out.Times[i] = p.Rows[e.row], p.Keys[e.row], p.Times[e.row]
		}
		return out
	}
	for i, key := range p.Keys {
		entries[i] = entry{(uint64(key)-keys.least)<<times.bits | (uint64(p.Times[i]) - times.least), p.Rows[i]}
	}
	entries, _ = sortEntries(entries, scratch)
	mask := uint64(1)<<times.bits - 1
	for i, e := range entries {
		out.Rows[i], out.Keys[i], out.Times[i] = e.row, int64(e.value>>times.bits+keys.least), int64(e.value&mask+times.least)
	}
	return out
}

// span is what values less their least one take.
type span struct {
	least uint64
	bits  int
}

func spanOf(values []int64) span {
	if len(values) == 0 {
		return span{}
	}
	least, greatest := values[0], values[0]
	for _, v := range values {
		least, greatest = min(least, v), max(greatest, v)
	}
	return span{uint64(least), bits.Len64(uint64(greatest) - uint64(least))}
}

// sortedTexts sorts by the eight bytes that follow what all texts begin with, as by a number, and by the next eight those which agree in these and differ
// behind. Of equal keys it returns one, so that whoever compares them sees at once that they are equal.
func sortedTexts(p Part[string], m *Memory[string]) Part[string] {
	times := spanOf(p.Times)
	entries, scratch, out := m.forRows(len(p.Rows))
	for i, t := range p.Times {
		entries[i] = entry{uint64(t) - times.least, uint32(i)}
	}
	entries, scratch = sortEntries(entries, scratch)
	n := 0
	sortTexts(entries, scratch, p.Keys, 0, func(alike []entry, key string) {
		for _, e := range alike {
			out.Rows[n], out.Keys[n], out.Times[n] = p.Rows[e.row], key, p.Times[e.row]
			n++
		}
	})
	return out
}

// sortTexts sorts entries, whose keys agree in the first so many bytes or more, by key, stably, and hands over those of each key. scratch has the
// length of entries.
func sortTexts(entries, scratch []entry, keys []string, agree int, each func(alike []entry, key string)) {
	agree = max(agree, sharedPrefix(entries, keys))
	for i := range entries {
		key := keys[entries[i].row]
		entries[i].value = firstEight(key[min(agree, len(key)):])
	}
	entries, scratch = sortEntries(entries, scratch)
	for from := 0; from < len(entries); {
		to, alike, longer, key := from+1, true, false, keys[entries[from].row]
		for ; to < len(entries) && entries[to].value == entries[from].value; to++ {
			other := keys[entries[to].row]
			alike, longer = alike && other == key, longer || len(other) > agree+8
		}
		part := entries[from:to]
		switch {
		case alike:
			each(part, key)
		case longer || len(key) > agree+8:
			sortTexts(part, scratch[from:to], keys, agree+8, each)
		default: // the same but for zeros at the end
			slices.SortStableFunc(part, func(a, b entry) int { return cmp.Compare(keys[a.row], keys[b.row]) })
			for len(part) > 0 {
				n := 1
				for n < len(part) && keys[part[n].row] == keys[part[0].row] {
					n++
				}
				each(part[:n], keys[part[0].row])
				part = part[n:]
			}
		}
		from = to
	}
}

// sharedPrefix returns how many bytes the keys of all entries begin with.
func sharedPrefix(entries []entry, keys []string) int {
	if len(entries) == 0 {
		return 0
	}
	shared := keys[entries[0].row]
	for _, e := range entries {
		for !strings.HasPrefix(keys[e.row], shared) {
			shared = shared[:len(shared)-1]
		}
	}
	return len(shared)
}

// firstEight returns the first eight bytes of s as a number of the same order: bytes that s does not have are 0.
func firstEight(s string) uint64 {
	if len(s) >= 8 {
		_ = s[7] // one load
		return uint64(s[7]) | uint64(s[6])<<8 | uint64(s[5])<<16 | uint64(s[4])<<24 | uint64(s[3])<<32 | uint64(s[2])<<40 | uint64(s[1])<<48 | uint64(s[0])<<56
	}
	v := uint64(0)
	for i := range len(s) {
		v |= uint64(s[i]) << (56 - 8*i)
	}
	return v
}
