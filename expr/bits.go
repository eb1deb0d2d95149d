package expr

import (
	"encoding/binary"
	"math/bits"
)

// bitmap holds a bit for each row of a chunk, row 0 in the lowest bit of the first word. Bits beyond the rows of
// the chunk are zero in masks of active rows and anything elsewhere.
type bitmap []uint64

func newBitmap(rows int) bitmap { return make(bitmap, (rows+63)/64) }

// get returns bit i.
func (b bitmap) get(i int) bool { return b[i>>6]>>(i&63)&1 != 0 }

// set sets bit i.
func (b bitmap) set(i int) { b[i>>6] |= 1 << (i & 63) }

// clear clears bit i.
func (b bitmap) clear(i int) { b[i>>6] &^= 1 << (i & 63) }

// fill sets the first rows bits and clears the rest.
func (b bitmap) fill(rows int) {
	for w := range b {
		switch k := rows - w*64; {
		case k >= 64:
			b[w] = ^uint64(0)
		case k > 0:
			b[w] = 1<<k - 1
		default:
			b[w] = 0
		}
	}
}

// any reports whether a bit is set.
func (b bitmap) any() bool {
	for _, w := range b {
		if w != 0 {
			return true
		}
	}
	return false
}

// and makes b the intersection of x and y.
func (b bitmap) and(x, y bitmap) {
	for w := range b {
		b[w] = x[w] & y[w]
	}
}

// not makes b the complement of x.
func (b bitmap) not(x bitmap) {
	for w := range b {
		b[w] = ^x[w]
	}
}

// span64 returns word w with the bits outside [from, to) cleared.
func span64(word uint64, w, from, to int) uint64 {
	if lo := from - w<<6; lo > 0 {
		word &= ^uint64(0) << lo
	}
	if hi := to - w<<6; hi < 64 {
		word &= 1<<hi - 1
	}
	return word
}

// count returns the number of set bits in [from, to).
func (b bitmap) count(from, to int) int {
	n := 0
	for w := from >> 6; w<<6 < to; w++ {
		n += bits.OnesCount64(span64(b[w], w, from, to))
	}
	return n
}

// eachClear calls f with the index of every clear bit in [from, to).
func (b bitmap) eachClear(from, to int, f func(i int)) {
	for w := from >> 6; w<<6 < to; w++ {
		for word := span64(^b[w], w, from, to); word != 0; word &= word - 1 {
			f(w<<6 + bits.TrailingZeros64(word))
		}
	}
}

// each calls f with the index of every set bit.
func (b bitmap) each(f func(i int)) {
	for w, word := range b {
		for ; word != 0; word &= word - 1 {
			f(w<<6 + bits.TrailingZeros64(word))
		}
	}
}

// load copies the bits [from, from+rows) of an Arrow bitmap to the head of b.
func (b bitmap) load(arrowBits []byte, from, rows int) {
	at, shift := from>>3, uint(from&7)
	for w := 0; w*64 < rows; w, at = w+1, at+8 {
		if at+9 <= len(arrowBits) {
			b[w] = binary.LittleEndian.Uint64(arrowBits[at:])>>shift | uint64(arrowBits[at+8])<<(64-shift)
			continue
		}
		var tail [9]byte
		copy(tail[:], arrowBits[at:])
		b[w] = binary.LittleEndian.Uint64(tail[:])>>shift | uint64(tail[8])<<(64-shift)
	}
}
