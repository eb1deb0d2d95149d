package keysort

import (
	"math/bits"
	"runtime"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/hugepage"
)

// Packing writes keys as numbers of the same order, in as many bits as the keys that it was made for need to differ: at each place of a text as many as tell
// apart the bytes that are there, so that 36 characters of a UUID take 128 bits, and of an integer as many as its span. Numbers of those keys
// are odd. Another key gets an even number, which lies between theirs as it does between them; several may get the same.
type Packing struct {
	fields []feature.Field
	parts  []packedPart
	flag   spot // of the bit that makes a number odd
}

// packedPart is how a key part is written: a text place by place, an integer as what it is more than the least.
type packedPart struct {
	stretches []stretch // of a text
	least     int64
	span      uint64
	at        spot // of an integer
	end       spot // of no bits, behind the part
}

// spot is where some bits of a number are: the lowest is bit low of a word.
type spot struct{ word, low, bits uint8 }

// stretch is some places of a text, neighbours, which are written to the same word.
type stretch struct {
	word   uint8
	places []place
}

// place is how the bytes at a place of a text are written. Each has a code, with 1 the end of the text, which goes before all bytes, as the first: twice the
// number of lesser ones that were seen there, and one more if it was seen itself.
type place struct {
	low, bits uint8
	codes     [257]uint16
}

const (
	firstWordBits = 62  // of the first word: with a carry, it still is no less than 0 as an int64
	placesMax     = 128 // of a text
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
	p := &Packing{fields: fields, parts: make([]packedPart, len(columns))}
	left := room{spot{low: firstWordBits}}
	for i, c := range columns {
		if text, ok := textOf(c); ok {
			places, ok := seenIn(text, rows)
			if !ok || !left.text(&p.parts[i], places) {
				return nil
			}
		} else if !left.integer(&p.parts[i], c, rows) {
			return nil
		}
	}
	var ok bool
	p.flag, ok = left.take(1)
	if !ok {
		return nil
	}
	return p
}

// OneWord reports whether numbers fit an int64, as [Packing.Ints] has them.
func (p *Packing) OneWord() bool { return p.flag.word == 0 }

// room is what is left of a number: the bits below a spot.
type room struct{ spot }

// take takes so many bits, which are of one word.
func (r *room) take(bits uint8) (_ spot, ok bool) {
	if bits > r.low {
		r.word, r.low = r.word+1, 64
	}
	r.low -= bits
	return spot{r.word, r.low, bits}, int(r.word) < len(Words{})
}

// text takes what a text takes of which these bytes were seen at its places.
func (r *room) text(part *packedPart, places []seen) (ok bool) {
	for i := range places {
		codes, size := places[i].codes()
		at, ok := r.take(uint8(bits.Len(uint(max(0, size-1)))))
		if !ok {
			return false
		}
		if n := len(part.stretches); n == 0 || part.stretches[n-1].word != at.word {
			part.stretches = append(part.stretches, stretch{word: at.word})
		}
		last := &part.stretches[len(part.stretches)-1]
		last.places = append(last.places, place{at.low, at.bits, codes})
	}
	part.end, ok = r.take(0)
	return ok
}

// integer takes what the integers of a column take.
func (r *room) integer(part *packedPart, column arrow.Array, rows int) (ok bool) {
	var greatest int64
	for i, v := range IntKeys([]arrow.Array{array.NewSlice(column, 0, int64(rows))}, rows) {
		if column.NullN() > 0 && column.IsNull(i) {
			continue
		}
		if !ok {
			part.least, greatest, ok = v, v, true
		}
		part.least, greatest = min(part.least, v), max(greatest, v)
	}
	part.span = uint64(greatest) - uint64(part.least)
	if part.at, ok = r.take(uint8(bits.Len64(part.span))); !ok {
		return false
	}
	part.end, ok = r.take(0)
	return ok
}

// seen tells which bytes are at a place of some texts; 0 stands for the end of one, and 1 more than itself for a byte.
type seen [257]bool

// seenIn returns what is seen at each place of the first rows of a column, up to the end of the longest; ok is false where that is too long.
func seenIn(text texts, rows int) (_ []seen, ok bool) {
	deals := dealsOf(rows)
	of := make([][]seen, len(deals))
	each(len(deals), func(w int) {
		for i := deals[w].from; i < deals[w].to && len(of[w]) <= placesMax; i++ {
			if text.nulls == nil || text.nulls.IsValid(i) {
				of[w] = note(of[w], text.at(i))
			}
		}
	})
	all := make([]seen, 1) // a text ends somewhere
	for _, places := range of {
		for len(all) < len(places) {
			all = append(all, seen{})
		}
		for p := range places {
			for b, was := range places[p] {
				all[p][b] = all[p][b] || was
			}
		}
	}
	return all, len(all) <= placesMax
}

// note notes what a text has at each place, of which there are more than placesMax where it is too long.
func note(places []seen, text []byte) []seen {
	for len(places) <= min(len(text), placesMax) {
		places = append(places, seen{})
	}
	if len(text) < placesMax {
		places[len(text)][0] = true
		for p, b := range text {
			places[p][int(b)+1] = true
		}
	}
	return places
}

// codes returns the codes of bytes at the place, and how many were seen.
func (s *seen) codes() (codes [257]uint16, size int) {
	for b, was := range s {
		codes[b] = uint16(2 * size)
		if was {
			codes[b]++
			size++
		}
	}
	return codes, size
}

// put writes a text, and reports whether it can be written: otherwise it writes the least number that follows those of all lesser keys.
func (part *packedPart) put(w *Words, text []byte) bool {
	for i := range part.stretches {
		s := &part.stretches[i]
		n := min(len(text), len(s.places))
		sum, seen := uint64(0), uint16(1)
		here := text[:n]
		for p := range s.places[:n] {
			place := &s.places[p]
			code := place.codes[1+int(here[p])]
			seen &= code
			sum |= uint64(code>>1) << (place.low & 63) // which spares a look at whether it is as many as 64
		}
		if n < len(s.places) {
			seen &= s.places[n].codes[0]
		}
		if seen == 0 {
			s.putUnseen(w, text)
			return false
		}
		if n < len(s.places) {
			w[s.word] |= sum // the end of a text is the first of all codes
			return true
		}
		w[s.word] |= sum
		text = text[len(s.places):]
	}
	panic("keysort: a text that is longer than all was taken for one of them")
}

// putUnseen is put of a text that has in the stretch what was not seen there.
func (s *stretch) putUnseen(w *Words, text []byte) {
	for p := range s.places {
		place := &s.places[p]
		code := place.codes[0]
		if p < len(text) {
			code = place.codes[1+int(text[p])]
		}
		if code&1 == 0 {
			w.addAt(spot{s.word, place.low, place.bits}, uint64(code>>1))
			return
		}
		w[s.word] |= uint64(code>>1) << place.low
	}
}

// putInt is put of an integer.
func (part *packedPart) putInt(w *Words, v int64) bool {
	more := uint64(v) - uint64(part.least)
	switch {
	case v < part.least:
		return false
	case more > part.span:
		w.addAt(part.at, part.span+1)
		return false
	}
	w[part.at.word] |= more << part.at.low
	return true
}

// addAt adds n, which may be one more than what fits there, to the bits at a spot.
func (w *Words) addAt(at spot, n uint64) {
	word := int(at.word)
	low := uint(at.low)
	if n>>at.bits > 0 { // the least number behind all that begin as this one does
		n, low = 1, uint(at.low+at.bits)
		if low == 64 {
			word, low = word-1, 0
		}
	}
	for carry := n << low; carry > 0; word-- {
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
	return packed(p, hugepage.Make[int64], func(key *int64, w *Words) { *key = int64(w[0]) })
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
		part, ok := &parts[i], false
		if part.ints != nil {
			ok = p.parts[i].putInt(w, part.ints[row])
		} else {
			ok = p.parts[i].put(w, part.at(row))
		}
		if !ok {
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
	part, there := &p.parts[0], false
	switch v := value.(type) {
	case int64:
		there = part.putInt(&w, v)
	case string:
		there = part.put(&w, []byte(v))
	}
	if there && high {
		w.fillBelow(part.end)
	}
	return w, true
}

// keyPart are the values of a key part in some rows.
type keyPart struct {
	ints []int64 // nil for texts
	texts
}

func partsOf(columns []arrow.Array) []keyPart {
	parts := make([]keyPart, len(columns))
	for i, c := range columns {
		if text, ok := textOf(c); ok {
			parts[i].texts = text
		} else {
			parts[i].ints = IntKeys(columns[i:i+1], c.Len())
		}
	}
	return parts
}

// texts are strings or bytes in the memory of a column.
type texts struct {
	offsets []int32
	data    []byte
	nulls   arrow.Array // nil where nothing is NULL
}

func textOf(c arrow.Array) (_ texts, ok bool) {
	of, ok := c.(interface{ ValueOffsets() []int32 })
	if !ok {
		return texts{}, false
	}
	t := texts{offsets: of.ValueOffsets()}
	if data := c.Data().Buffers()[2]; data != nil {
		t.data = data.Bytes()
	}
	if c.NullN() > 0 {
		t.nulls = c
	}
	return t, true
}

func (t *texts) at(i int) []byte { return t.data[t.offsets[i]:t.offsets[i+1]] }

// dealsOf deals rows to as many workers as there are processors, or fewer.
func dealsOf(rows int) []deal {
	deals := make([]deal, max(1, min(runtime.GOMAXPROCS(0), rows/dealMin)))
	for w := range deals {
		deals[w].from, deals[w].to = w*rows/len(deals), (w+1)*rows/len(deals)
	}
	return deals
}
