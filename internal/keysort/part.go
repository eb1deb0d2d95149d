package keysort

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/internal/uncleared"
)

// Part is some rows beside what they are ordered by: row Rows[i] has the key Keys[i] and the time Times[i]. Without Rows these are the rows from 0 on.
type Part[K Ordered] struct {
	Rows  []uint32
	Keys  []K
	Times []int64
}

func newPart[K Ordered](rows int) Part[K] {
	return Part[K]{uncleared.Make[uint32](rows), makeKeys[K](rows), uncleared.Make[int64](rows)}
}

// Len returns the number of rows.
func (p Part[K]) Len() int { return len(p.Keys) }

// makeKeys returns memory for keys.
func makeKeys[K Ordered](rows int) []K {
	var keys []K
	switch keys := any(&keys).(type) {
	case *[]int64:
		*keys = uncleared.Make[int64](rows)
	case *[]Words:
		*keys = uncleared.Make[Words](rows)
	case *[]string:
		*keys = make([]string, rows)
	}
	return keys
}

// slice returns the rows [from, to) of p.
func (p Part[K]) slice(from, to int) Part[K] {
	return Part[K]{p.Rows[from:to], p.Keys[from:to], p.Times[from:to]}
}

// Adjacent returns the rows of parts that follow each other in what [Part.Split] has returned as one part: they lie beside each other.
func Adjacent[K Ordered](parts []Part[K]) Part[K] {
	n := 0
	for _, p := range parts {
		n += p.Len()
	}
	return parts[0].slice(0, n)
}

// dealMin is the number of rows for which another worker is worth while.
const dealMin = 1 << 14

// samplesPerPart are taken to cut rows into parts: with 64, sizes of parts deviate by about an eighth.
const samplesPerPart = 64

// Split deals the rows to at most parts parts, none of them empty, of about equal size that ascend by (key, time):
// no row of a part goes before one of the part before it. Rows that are equal in both, and thus in one part, keep their
// order. With whole, no key is in two parts. Parts have memory of their own. It takes time linear in rows, and a logarithm of parts for each, of as many processors as workers.
func (p Part[K]) Split(parts int, whole bool, workers int) []Part[K] {
	if p.Len() == 0 {
		return nil
	}
	first, deals := p.firsts(max(1, parts), whole), make([]deal, max(1, min(workers, p.Len()/dealMin)))
	each(len(deals), func(w int) {
		d := &deals[w]
		d.from, d.to = w*p.Len()/len(deals), (w+1)*p.Len()/len(deals)
		d.part, d.next = p.parts(d.from, d.to, first, whole)
	})
	out, all, begin := make([]Part[K], 0, parts), newPart[K](p.Len()), 0
	for g := range first.Len() + 1 {
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
			at, row := d.next[g], uint32(d.from+i)
			if p.Rows != nil {
				row = p.Rows[row]
			}
			all.Rows[at], all.Keys[at], all.Times[at] = row, p.Keys[d.from+i], p.Times[d.from+i]
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

// parts returns which part each of rows [from, to) is in, of those that begin with first but for the least, and how many rows each part has.
func (p Part[K]) parts(from, to int, first Part[K], whole bool) (part []uint16, sizes []int) {
	part, sizes = make([]uint16, to-from), make([]int, first.Len()+1)
	cuts, heads := make([]uint64, first.Len()), make([]uint64, min(to-from, blockRows))
	leading(cuts, first.Keys)
	cells := cellsOf(cuts)
	for i := range part {
		if i%blockRows == 0 {
			leading(heads, p.Keys[from+i:min(from+i+blockRows, to)])
		}
		key, time, head := p.Keys[from+i], p.Times[from+i], heads[i%blockRows]
		g, end := cells.around(head) // the first of them that is greater than the row: a binary search without calls
		for g < end {
			mid := int(uint(g+end) / 2)
			if h := cuts[mid]; h < head || h == head && !first.after(mid, key, time, whole) {
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

// cells cut the numbers from the first of some sorted ones to the last into equal cells, most of which have none of these within: so that one look
// tells of most numbers between which two they lie.
type cells struct {
	least, most uint64
	shift       int
	below       []uint16 // how many of the sorted numbers lie in cells before each cell, and in all
}

// cellsPerCut makes one number in so many lie in a cell with a cut, where numbers are spread evenly.
const cellsPerCut = 64

// cellsOf returns the cells of sorted numbers.
func cellsOf(cuts []uint64) (c cells) {
	if len(cuts) > 0 {
		c.least, c.most = cuts[0], cuts[len(cuts)-1]
	}
	width := c.most - c.least
	c.shift = max(0, bits.Len64(width)-bits.Len(uint(len(cuts)*cellsPerCut)))
	c.below = make([]uint16, width>>c.shift+2)
	for _, cut := range cuts {
		c.below[c.cell(cut)+1]++
	}
	for i := range c.below[1:] {
		c.below[i+1] += c.below[i]
	}
	return c
}

func (c *cells) cell(v uint64) uint64 { return (v - c.least) >> c.shift }

// around returns how many of the numbers are surely less than v, and how many are not surely greater.
func (c *cells) around(v uint64) (from, to int) {
	switch {
	case v < c.least:
		return 0, 0
	case v > c.most:
		n := int(c.below[len(c.below)-1])
		return n, n
	}
	cell := c.cell(v)
	return int(c.below[cell]), int(c.below[cell+1])
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
	for i := 0; i < p.Len(); i += 1 + p.Len()/(parts*samplesPerPart) {
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
	rows    [2][]uint64 // of keys that are numbers
	entries [2][]entry  // of texts
	sorted  Part[K]
}

// forRows makes room for so many sorted rows, and for what they are sorted with.
func (m *Memory[K]) forRows(n int) {
	if m.sorted.Len() >= n {
		return
	}
	room := n + n/4 // for parts that are somewhat longer
	*m = Memory[K]{sorted: newPart[K](room)}
	if _, texts := any(m.sorted).(Part[string]); texts {
		m.entries = [2][]entry{make([]entry, room), make([]entry, room)}
	} else {
		m.rows = [2][]uint64{uncleared.Make[uint64](room), uncleared.Make[uint64](room)}
	}
}

// Sort sorts the rows by key, then by time, with the memory of m; rows that are equal in both keep their order. Time is linear in rows, but for texts that
// begin alike.
func (p Part[K]) Sort(m *Memory[K]) {
	n := p.Len()
	m.forRows(n)
	out := m.sorted.slice(0, n)
	switch p := any(p).(type) {
	case Part[int64]:
		sortRows(ints{}, p, rowsFrom0(m.rows[0][:n]), m.rows[1][:n], any(out).(Part[int64]))
	case Part[Words]:
		sortRows(words{}, p, rowsFrom0(m.rows[0][:n]), m.rows[1][:n], any(out).(Part[Words]))
	case Part[string]:
		sortedTexts(p, m.entries[0][:n], m.entries[1][:n], any(out).(Part[string]))
	}
	copy(p.Rows, out.Rows)
	copy(p.Keys, out.Keys)
	copy(p.Times, out.Times)
}

// sortedTexts sorts by the eight bytes that follow what all texts begin with, as by a number, and by the next eight those which agree in these and differ
// behind. Of equal keys out gets one, so that whoever compares them sees at once that they are equal.
func sortedTexts(p Part[string], entries, scratch []entry, out Part[string]) {
	for i, t := range p.Times {
		entries[i] = entry{orderOfInt(t), uint32(i)}
	}
	entries, scratch = sortEntries(entries, scratch)
	n := 0
	sortTexts(entries, scratch, p.Keys, 0, func(alike []entry, key string) {
		for _, e := range alike {
			out.Rows[n], out.Keys[n], out.Times[n] = p.Rows[e.row], key, p.Times[e.row]
			n++
		}
	})
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
