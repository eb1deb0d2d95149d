package keysort

import (
	"encoding/binary"
	"math/bits"
	"runtime"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/uncleared"
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
func (c *chunk) note(xs []uint64) {
	base, vary, led1, led2 := c.base, c.vary, c.led[0], c.led[1]
	for _, x := range xs {
		x ^= base
		vary |= x
		led1 |= x ^ x>>1
		led2 |= x ^ x>>2
	}
	c.vary, c.led = vary, [2]uint64{led1, led2}
}

// join takes in what another chunk has noted.
func (c *chunk) join(other *chunk) {
	c.note([]uint64{other.base})
	c.vary |= other.vary
	for d := range c.led {
		c.led[d] |= other.led[d]
	}
}

// put writes x, and reports whether it can be written: otherwise it writes the least number that follows those of all lesser keys.
func (c *chunk) put(w *Words, x uint64) bool {
	wrong, kept := [1]uint64{}, [1]uint64{x}
	c.wrong(wrong[:], kept[:])
	c.gather(kept[:])
	if wrong[0] == 0 {
		w.or(kept[0], c.at)
		return true
	}
	// Of those that agree with x in what is before its first wrong bit, none has that bit as x has it.
	first := bits.Len64(wrong[0]) - 1
	below := bits.OnesCount64(c.keep & (1<<first - 1))
	w.or(kept[0]>>below<<below, c.at)
	if x>>first&1 == 1 {
		w.add(c.at, below)
	}
	return false
}

// wrong adds to bits those in which each of xs cannot be written.
func (c *chunk) wrong(bits, xs []uint64) {
	base, fixed, led1, led2 := c.base, ^c.vary, c.led[0], c.led[1]
	bits = bits[:len(xs)]
	for i, x := range xs {
		x ^= base
		bits[i] |= x&fixed | (x^x>>1)&led1 | (x^x>>2)&led2
	}
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

// gather moves the bits that are kept next to each other, in each of xs.
func (c *chunk) gather(xs []uint64) {
	keep, one, two, four, eight, sixteen, more := c.keep, c.moves[0], c.moves[1], c.moves[2], c.moves[3], c.moves[4], c.moves[5]
	for i, x := range xs {
		x &= keep
		t := x & one // a loop takes twice the time
		x = x ^ t | t>>1
		t = x & two
		x = x ^ t | t>>2
		t = x & four
		x = x ^ t | t>>4
		t = x & eight
		x = x ^ t | t>>8
		t = x & sixteen
		x = x ^ t | t>>16
		t = x & more
		xs[i] = x ^ t | t>>32
	}
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
	return packed(p, uncleared.Make[int64], func(keys []int64, words []Words) {
		for i := range words {
			keys[i] = int64(words[i][0] >> p.flag.low)
		}
	})
}

// Words is the form of all others.
func (p *Packing) Words() Form[Words] {
	return packed(p, uncleared.Make[Words], func(keys, words []Words) { copy(keys, words) })
}

func packed[K Ordered](p *Packing, makeKeys func(int) []K, set func([]K, []Words)) Form[K] {
	bound := func(first feature.Key, high bool) Bound[K] {
		w, ok := p.bound(first, high)
		b := [1]K{}
		set(b[:], []Words{w})
		return Bound[K]{b[0], ok}
	}
	return Form[K]{
		Of: func(columns []arrow.Array, rows int) []K {
			keys, parts, deals := makeKeys(rows), partsOf(columns), dealsOf(rows)
			each(len(deals), func(d int) {
				var b block
				for from := deals[d].from; from < deals[d].to; from += blockRows {
					keys := keys[from:min(from+blockRows, deals[d].to)]
					set(keys, p.writeBlock(&b, parts, from, len(keys)))
				}
			})
			return keys
		},
		Low:  func(first feature.Key) Bound[K] { return bound(first, false) },
		High: func(first feature.Key) Bound[K] { return bound(first, true) },
	}
}

// blockRows are how many rows are written at a time, eight bytes of all of them after the other: what it takes stays in the first-level cache.
const blockRows = 128

// block is what writing some rows takes.
type block struct {
	words     [blockRows]Words
	xs, wrong [blockRows]uint64
}

// writeBlock returns the numbers of the keys in n rows, in the memory of b.
func (p *Packing) writeBlock(b *block, parts []keyPart, from, n int) []Words {
	words, xs, wrong := b.words[:n], b.xs[:n], b.wrong[:n]
	clear(words)
	clear(wrong)
	for i := range parts {
		chunks := p.parts[i]
		for k := range chunks {
			c := &chunks[k]
			parts[i].eights(xs, from, k, len(chunks))
			c.wrong(wrong, xs)
			if c.keep == 0 {
				continue
			}
			c.gather(xs)
			for row, x := range xs {
				words[row].or(x, c.at)
			}
		}
	}
	for row := range words {
		if words[row][p.flag.word] |= 1 << p.flag.low; wrong[row] != 0 {
			words[row] = Words{}
			p.write(&words[row], parts, from+row)
		}
	}
	return words
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
	return chunks[last].put(w, uint64(lengthIn(len(chunks), len(text))))
}

// eights fills xs with what rows have for chunk k of so many.
func (p *keyPart) eights(xs []uint64, from, k, chunks int) {
	if p.ints != nil {
		for i, v := range p.ints[from:][:len(xs)] {
			xs[i] = orderOfInt(v)
		}
		return
	}
	offsets := p.offsets[from:][:len(xs)+1]
	if k == chunks-1 {
		for i := range xs {
			xs[i] = uint64(lengthIn(chunks, int(offsets[i+1]-offsets[i])))
		}
		return
	}
	for i := range xs {
		from, to := int(offsets[i]), int(offsets[i+1])
		if at := from + 8*k; at+8 <= to {
			xs[i] = binary.BigEndian.Uint64(p.data[at:])
		} else {
			xs[i] = eightFrom(p.data[from:to], 8*k)
		}
	}
}

// lengthIn returns what so many chunks have as the length of a text. Of texts that go on behind the chunks only that is told: which is the greater is not seen
// in their lengths.
func lengthIn(chunks, size int) int { return min(size, 8*(chunks-1)+1) }

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
	each(len(deals), func(d int) { of[d] = p.note(n, deals[d].from, deals[d].to) })
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

// note returns n chunks that have noted the rows [from, to), nil where all of them are NULL.
func (p *keyPart) note(n, from, to int) []chunk {
	for from < to && p.nulls != nil && p.nulls.IsNull(from) {
		from++
	}
	if from == to {
		return nil
	}
	chunks, xs := make([]chunk, n), make([]uint64, blockRows)
	for k := range chunks {
		p.eights(xs[:1], from, k, n)
		chunks[k].base = xs[0]
	}
	for ; from < to; from += blockRows {
		xs := xs[:min(blockRows, to-from)]
		for k := range chunks {
			c := &chunks[k]
			p.eights(xs, from, k, n)
			if p.nulls != nil {
				for i := range xs {
					if p.nulls.IsNull(from + i) {
						xs[i] = c.base
					}
				}
			}
			c.note(xs)
		}
	}
	return chunks
}

// dealsOf deals rows to as many workers as there are processors, or fewer.
func dealsOf(rows int) []deal {
	deals := make([]deal, max(1, min(runtime.GOMAXPROCS(0), rows/dealMin)))
	for w := range deals {
		deals[w].from, deals[w].to = w*rows/len(deals), (w+1)*rows/len(deals)
	}
	return deals
}
