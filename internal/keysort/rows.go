package keysort

import "math/bits"

const (
	// insertedMax is how many rows are put in order by insertion, which for so few takes less than counting digits does.
	insertedMax = 24
	// rowBits are the lower bits of a row that is being sorted: its number. What it is sorted by is above.
	rowBits = 32
)

// rowsFrom0 numbers rows.
func rowsFrom0(rows []uint64) []uint64 {
	for i := range rows {
		rows[i] = uint64(i)
	}
	return rows
}

// numbers are keys that are numbers of one kind.
type numbers[K Ordered] interface {
	// span returns what the keys of rows lie in, as far as they differ, and in which word they do.
	span(keys []K, rows []uint64) (s span, word int)
	// digits puts digits of key and time in place of what rows are sorted by, and reports whether they ascend already.
	digits(p Part[K], rows []uint64, d digits) (ascend bool)
	// insert puts the rows of p that rows names into out, in order: they are, but for those that agree from the given bit on, which are few.
	insert(p Part[K], rows []uint64, from int, out Part[K])
}

// span is what some numbers lie in: least and more, up to so many bits.
type span struct {
	least uint64
	width int
	rest  bool // they differ perhaps in what follows them
}

// digits are the first of what key and time are together.
type digits struct {
	key, time     span
	word          int // of the key
	ofKey, ofTime int // bits
}

// of returns the digits of a key, of which v is the word, and a time.
func (d *digits) of(v uint64, time int64) uint64 {
	return (v-d.key.least)>>(d.key.width-d.ofKey)<<d.ofTime | (orderOfInt(time)-d.time.least)>>(d.time.width-d.ofTime)
}

// sortRows puts the rows of p that rows names into out, in order; scratch has the length of rows. They are sorted by as many digits as two passes take, of which the key has
// no more than are likely to tell so many apart, and inserted where these leave them out of order. Rows that agree in these digits and are many are sorted by themselves.
func sortRows[K Ordered, N numbers[K]](of N, p Part[K], rows, scratch []uint64, out Part[K]) {
	const bitsMore = 3 // than the rows have numbers: then one in eight shares its digits with another key
	var d digits
	d.key, d.word = of.span(p.Keys, rows)
	d.time, _ = ints{}.span(p.Times, rows)
	n := bits.Len(uint(len(rows)))
	both := 2 * min(max(n, radixBitsMin), radixBitsMax)
	d.ofKey = min(d.key.width, n+bitsMore, both)
	d.ofTime = min(d.time.width, both-d.ofKey)
	if d.ofKey+d.ofTime > 0 && !of.digits(p, rows, d) {
		rows, scratch = sortDigits(rows, scratch, d.ofKey+d.ofTime)
	}
	bit := rowBits // from which on rows agree that may be out of order
	if d.ofKey < d.key.width || d.key.rest {
		bit += d.ofTime // whose digits tell nothing of different keys
	}
	inserted := 0
	for begin, end := 0, 0; begin < len(rows); begin = end {
		for end = begin + 1; end < len(rows) && rows[end]>>bit == rows[begin]>>bit; {
			end++
		}
		if end-begin > insertedMax && (d.ofKey+d.ofTime < d.key.width+d.time.width || d.key.rest) {
			of.insert(p, rows[inserted:begin], bit, out.slice(inserted, begin))
			sortRows(of, p, rows[begin:end], scratch[begin:end], out.slice(begin, end))
			inserted = end
		}
	}
	of.insert(p, rows[inserted:], bit, out.slice(inserted, len(rows)))
}

// sortDigits sorts rows by the width bits above those of the row, stably. scratch has the length of rows; the sorted slice is one of the two.
func sortDigits(rows, scratch []uint64, width int) (sorted, other []uint64) {
	passes := (width + radixBitsMax - 1) / radixBitsMax
	digit := (width + passes - 1) / passes
	var next [1 << radixBitsMax]uint32
	for shift := rowBits; shift < rowBits+width; shift += digit {
		mask := uint64(1)<<digit - 1
		clear(next[:mask+1])
		for _, r := range rows {
			next[r>>shift&mask]++
		}
		sum := uint32(0)
		for d, n := range next[:mask+1] {
			next[d] = sum
			sum += n
		}
		for _, r := range rows {
			d := r >> shift & mask
			scratch[next[d]] = r
			next[d]++
		}
		rows, scratch = scratch, rows
	}
	return rows, scratch
}

// ints are int64 keys.
type ints struct{}

func (ints) span(values []int64, rows []uint64) (s span, word int) {
	if len(rows) == 0 {
		return span{}, 0
	}
	low := values[uint32(rows[0])]
	high := low
	for _, r := range rows {
		low, high = min(low, values[uint32(r)]), max(high, values[uint32(r)])
	}
	return span{least: orderOfInt(low), width: bits.Len64(uint64(high) - uint64(low))}, 0
}

func (ints) digits(p Part[int64], rows []uint64, d digits) (ascend bool) {
	ascend, last := true, uint64(0)
	for i, r := range rows {
		row := uint32(r)
		value := d.of(orderOfInt(p.Keys[row]), p.Times[row])
		rows[i] = value<<rowBits | uint64(row)
		ascend, last = ascend && value >= last, value
	}
	return ascend
}

func (ints) insert(p Part[int64], rows []uint64, from int, out Part[int64]) {
	for i, r := range rows {
		row := uint32(r)
		key, time, at := p.Keys[row], p.Times[row], i
		if i > 0 && r>>from == rows[i-1]>>from {
			for ; at > 0 && (key < out.Keys[at-1] || key == out.Keys[at-1] && time < out.Times[at-1]); at-- {
				out.move(at-1, at)
			}
		}
		out.Rows[at], out.Keys[at], out.Times[at] = p.Rows[row], key, time
	}
}

// words are keys of [Words].
type words struct{}

func (words) span(keys []Words, rows []uint64) (s span, word int) {
	if len(rows) == 0 {
		return span{}, 0
	}
	for ; word < len(Words{}); word++ {
		low := keys[uint32(rows[0])][word]
		high := low
		for _, r := range rows {
			v := keys[uint32(r)][word]
			low, high = min(low, v), max(high, v)
		}
		if low < high {
			return span{low, bits.Len64(high - low), word+1 < len(Words{})}, word
		}
	}
	return span{least: keys[uint32(rows[0])][0]}, 0
}

func (words) digits(p Part[Words], rows []uint64, d digits) (ascend bool) {
	ascend, last := true, uint64(0)
	for i, r := range rows {
		row := uint32(r)
		value := d.of(p.Keys[row][d.word], p.Times[row])
		rows[i] = value<<rowBits | uint64(row)
		ascend, last = ascend && value >= last, value
	}
	return ascend
}

func (words) insert(p Part[Words], rows []uint64, from int, out Part[Words]) {
	for i, r := range rows {
		row := uint32(r)
		key, time, at := &p.Keys[row], p.Times[row], i
		if i > 0 && r>>from == rows[i-1]>>from {
			for ; at > 0 && (lessWords(*key, out.Keys[at-1]) || *key == out.Keys[at-1] && time < out.Times[at-1]); at-- {
				out.move(at-1, at)
			}
		}
		out.Rows[at], out.Keys[at], out.Times[at] = p.Rows[row], *key, time
	}
}

// move copies a row.
func (p *Part[K]) move(from, to int) {
	p.Rows[to], p.Keys[to], p.Times[to] = p.Rows[from], p.Keys[from], p.Times[from]
}
