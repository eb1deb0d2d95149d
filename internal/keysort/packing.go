package keysort

import (
	"encoding/binary"
	"math/bits"
	"runtime"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/hugepage"
)

// Packing writes keys as numbers of the same order, in as many bits as the keys that it was made for need to differ: bits that are the same in all of them are
// left out, so that a UUID takes 160 bits of its 36 bytes, and a number that counts as many as it needs. Those keys have different numbers. Another
// key gets a number that lies between theirs as it does between them, and is none of theirs; several may get the same.
type Packing struct {
	fields []feature.Field
	parts  [][]chunk // a text's are eight bytes each, with zeros behind its end, then its length; an integer is one
	flag   spot      // of the last bit, which is 1 unless a key could not be written
}

// chunk is eight bytes of keys, of which some bits are kept. The others are known from those: they are always those of base, or they differ from a more
// significant one, their leader, always or never, as they do in base.
type chunk struct {
	base  uint64
	vary  uint64    // bits that are not always those of base
	led   [2]uint64 // of these, those of which the bit that is by 1, or by 2, more significant is the leader: as hexadecimal digits have them
	keep  uint64    // the rest of these
	moves [6]uint64 // see movesOf
	at    spot      // of the bits that are kept
}

// spot is a place in a number: the bits above bit low of a word.
type spot struct{ word, low uint8 }

const (
	firstWordBits = 62  // of the first word that are used: it is no less than 0 as an int64 even after a carry
	textMax       = 128 // bytes
	sampleRows    = 256 // which show that most long texts do not fit
)

// PackingOf returns a packing made for rows keys, of which columns hold the parts; nil where it would take more bits than [Words] have. NULLs count for nothing.
func PackingOf(fields []feature.Field, columns []arrow.Array, rows int) *Packing {
	if sample := min(rows, sampleRows); sample < rows && newPacking(fields, columns, sample) == nil {
		return nil
	}
	return newPacking(fields, columns, rows)
}

func newPacking(fields []feature.Field, columns []arrow.Array, rows int) *Packing {
	p, used := &Packing{fields: fields}, 0
	for _, part := range partsOf(columns) {
		if part.longest(rows) > textMax {
			return nil
		}
		chunks := part.seen(rows)
		for i := range chunks {
			used += chunks[i].keepBits()
			chunks[i].at = spotAfter(used)
		}
		p.parts = append(p.parts, chunks)
	}
	p.flag = spotAfter(used + 1)
	if int(p.flag.word) >= len(Words{}) {
		return nil
	}
	return p
}

// spotAfter is the spot after so many bits.
func spotAfter(bits int) spot {
	at := bits + 64 - firstWordBits
	return spot{uint8((at - 1) / 64), uint8(-at & 63)}
}

// OneWord reports whether numbers fit an int64, as [Packing.Ints] has them.
func (p *Packing) OneWord() bool { return p.flag.word == 0 }

// keepBits finds out which bits are to be kept, and returns how many.
func (c *chunk) keepBits() int {
	c.keep = c.vary
	for d := range c.led {
		c.led[d] = c.keep &^ c.led[d] // where it was noted which bits do differ from their leader otherwise than in base
		c.keep &^= c.led[d]
	}
	c.moves = movesOf(c.keep)
	return bits.OnesCount64(c.keep)
}

// note takes in what is seen. Until keepBits, led has the bits that are not led.
func (c *chunk) note(x uint64) {
	different := x ^ c.base
	c.vary |= different
	c.led[0] |= different ^ different>>1
	c.led[1] |= different ^ different>>2
}

// join takes in what another chunk has noted.
func (c *chunk) join(other *chunk) {
	c.note(other.base)
	c.vary |= other.vary
	for d := range c.led {
		c.led[d] |= other.led[d]
	}
}

// put writes x, and reports whether it can be written: otherwise it writes the least number that follows those of all lesser keys.
func (c *chunk) put(w *Words, x uint64) bool {
	different := x ^ c.base
	wrong := different&^c.vary | (different^different>>1)&c.led[0] | (different^different>>2)&c.led[1]
	kept := c.gather(x)
	if wrong == 0 {
		w.or(kept, c.at)
		return true
	}
	// Of those that agree with x in what is before its first wrong bit, none has that bit as x has it.
	first := bits.Len64(wrong) - 1
	below := bits.OnesCount64(c.keep & (1<<first - 1))
	w.or(kept>>below<<below, c.at)
	if x>>first&1 == 1 {
		w.add(c.at, below)
	}
	return false
}

// movesOf returns which bits have to move by 1, 2, 4 ... places for those of mask to come next to each other. (Compress, from Hacker's Delight, 7-4, by Henry S. Warren.)
func movesOf(mask uint64) (moves [6]uint64) {
	blank := ^mask << 1
	for i := range moves {
		odd := blank // bits with an odd number of blanks to their right
		for shift := 1; shift < 64; shift *= 2 {
			odd ^= odd << shift
		}
		moves[i] = odd & mask
		mask = mask ^ moves[i] | moves[i]>>(1<<i)
		blank &^= odd
	}
	return moves
}

// gather returns the bits of x that are kept, next to each other.
func (c *chunk) gather(x uint64) uint64 {
	if x &= c.keep; x == 0 {
		return 0
	}
	t := x & c.moves[0] // a loop takes twice the time
	x = x ^ t | t>>1
	t = x & c.moves[1]
	x = x ^ t | t>>2
	t = x & c.moves[2]
	x = x ^ t | t>>4
	t = x & c.moves[3]
	x = x ^ t | t>>8
	t = x & c.moves[4]
	x = x ^ t | t>>16
	t = x & c.moves[5]
	return x ^ t | t>>32
}

// or writes the bits of v, of which the last is at a spot.
func (w *Words) or(v uint64, at spot) {
	w[at.word] |= v << at.low
	if at.word > 0 {
		w[at.word-1] |= v >> (64 - at.low)
	}
}

// add adds 1 to the bit that is by so many more significant than the one at a spot.
func (w *Words) add(at spot, more int) {
	low := int(at.low) + more
	word := int(at.word) - low/64
	for carry := uint64(1) << (low % 64); carry > 0; word-- {
		w[word], carry = bits.Add64(w[word], carry, 0)
	}
}

// fillBelow sets all bits below a spot.
func (w *Words) fillBelow(at spot) {
	w[at.word] |= 1<<at.low - 1
	for i := int(at.word) + 1; i < len(w); i++ {
		w[i] = ^uint64(0)
	}
}

// Ints is the form of numbers of one word.
func (p *Packing) Ints() Form[int64] {
	return packed(p, hugepage.Make[int64], func(key *int64, w *Words) { *key = int64(w[0] >> p.flag.low) })
}

// Words is the form of all others.
func (p *Packing) Words() Form[Words] {
	return packed(p, hugepage.Make[Words], func(key, w *Words) { *key = *w })
}

func packed[K Ordered](p *Packing, makeKeys func(int) []K, set func(*K, *Words)) Form[K] {
	bound := func(first feature.Key, high bool) (b Bound[K]) {
		w, ok := p.bound(first, high)
		set(&b.Value, &w)
		b.Known = ok
		return b
	}
	return Form[K]{
		Of: func(columns []arrow.Array, rows int) []K {
			keys, parts, deals := makeKeys(rows), partsOf(columns), dealsOf(rows)
			each(len(deals), func(d int) {
				for i := deals[d].from; i < deals[d].to; i++ {
					var w Words
					p.write(&w, parts, i)
					set(&keys[i], &w)
				}
			})
			return keys
		},
		Low:  func(first feature.Key) Bound[K] { return bound(first, false) },
		High: func(first feature.Key) Bound[K] { return bound(first, true) },
	}
}

// write writes the number of the key in a row.
func (p *Packing) write(w *Words, parts []keyPart, row int) {
	for i := range parts {
		if !parts[i].put(w, p.parts[i], row) {
			return
		}
	}
	w[p.flag.word] |= 1 << p.flag.low
}

// bound returns the least or the greatest number of a key that begins with the given first part.
func (p *Packing) bound(first feature.Key, high bool) (w Words, ok bool) {
	if first == nil {
		return w, false
	}
	value, ok := firstPart(first, p.fields)
	if !ok {
		return w, false
	}
	part := keyPart{}
	switch v := value.(type) {
	case int64:
		part.ints = []int64{v}
	case string:
		part.offsets, part.data = []int32{0, int32(len(v))}, []byte(v)
	}
	chunks := p.parts[0]
	if part.put(&w, chunks, 0) && high {
		w.fillBelow(chunks[len(chunks)-1].at)
	}
	return w, true
}

// keyPart are the values of a key part: integers, or texts in the memory of a column.
type keyPart struct {
	ints    []int64 // nil for texts
	offsets []int32
	data    []byte
	nulls   arrow.Array // nil where nothing is NULL
}

func partsOf(columns []arrow.Array) []keyPart {
	parts := make([]keyPart, len(columns))
	for i, c := range columns {
		part := &parts[i]
		if c.NullN() > 0 {
			part.nulls = c
		}
		of, ok := c.(interface{ ValueOffsets() []int32 })
		if !ok {
			part.ints = IntKeys(columns[i:i+1], c.Len())
			continue
		}
		part.offsets = of.ValueOffsets()
		if data := c.Data().Buffers()[2]; data != nil {
			part.data = data.Bytes()
		}
	}
	return parts
}

func (p *keyPart) text(row int) []byte { return p.data[p.offsets[row]:p.offsets[row+1]] }

// put writes the value in a row, as far as it can be written, and reports whether it can.
func (p *keyPart) put(w *Words, chunks []chunk, row int) bool {
	if p.ints != nil {
		return chunks[0].put(w, orderOfInt(p.ints[row]))
	}
	text, last := p.text(row), len(chunks)-1
	for i := range chunks[:last] {
		if !chunks[i].put(w, eightFrom(text, 8*i)) {
			return false
		}
	}
	return chunks[last].put(w, uint64(len(text)))
}

// eightFrom returns eight bytes of a text as a number of the same order: those that it does not have are 0.
func eightFrom(text []byte, at int) uint64 {
	switch rest := len(text) - at; {
	case rest >= 8:
		return binary.BigEndian.Uint64(text[at:])
	case rest <= 0:
		return 0
	case len(text) >= 8:
		return binary.BigEndian.Uint64(text[len(text)-8:]) << (64 - 8*rest)
	}
	x := uint64(0)
	for i, b := range text[at:] {
		x |= uint64(b) << (56 - 8*i)
	}
	return x
}

// longest returns how long the longest text in the first rows is; 0 for integers.
func (p *keyPart) longest(rows int) (most int) {
	if p.ints != nil {
		return 0
	}
	for i := range rows {
		if size := int(p.offsets[i+1] - p.offsets[i]); size > most && (p.nulls == nil || p.nulls.IsValid(i)) {
			most = size
		}
	}
	return most
}

// seen returns chunks that have noted the first rows.
func (p *keyPart) seen(rows int) []chunk {
	n := 1
	if p.ints == nil {
		n = (p.longest(rows)+7)/8 + 1
	}
	deals := dealsOf(rows)
	of := make([][]chunk, len(deals))
	each(len(deals), func(d int) {
		for i := deals[d].from; i < deals[d].to; i++ {
			if p.nulls != nil && p.nulls.IsNull(i) {
				continue
			}
			first := of[d] == nil
			if first {
				of[d] = make([]chunk, n)
			}
			p.note(of[d], i, first)
		}
	})
	all := make([]chunk, n)
	first := true
	for _, chunks := range of {
		switch {
		case chunks == nil:
		case first:
			copy(all, chunks)
			first = false
		default:
			for i := range all {
				all[i].join(&chunks[i])
			}
		}
	}
	return all
}

// note has chunks note the value in a row, which is their base if it is the first one.
func (p *keyPart) note(chunks []chunk, row int, first bool) {
	var text []byte
	if p.ints == nil {
		text = p.text(row)
	}
	for i := range chunks {
		x := uint64(len(text))
		switch {
		case p.ints != nil:
			x = orderOfInt(p.ints[row])
		case i < len(chunks)-1:
			x = eightFrom(text, 8*i)
		}
		if first {
			chunks[i].base = x
		}
		chunks[i].note(x)
	}
}

// dealsOf deals rows to as many workers as there are processors, or fewer.
func dealsOf(rows int) []deal {
	deals := make([]deal, max(1, min(runtime.GOMAXPROCS(0), rows/dealMin)))
	for w := range deals {
		deals[w].from, deals[w].to = w*rows/len(deals), (w+1)*rows/len(deals)
	}
	return deals
}
