package materialize

import (
	"hash/maphash"
	"math/bits"

	"github.com/asof-store/asof/internal/keysort"
)

// numbering numbers values, from 0 on, in the order in which they are seen first.
type numbering[T comparable] struct {
	values []T                           // by their numbers
	places []int32                       // a hash table: a number lies at its value's hash or behind, one more, and 0 where none does
	fill   func(hashes []uint64, of []T) // with hashes
	hashes [hashedRows]uint64            // of the values at hand
}

// hashedRows is how many rows are hashed at a time: their hashes fit the first-level cache.
const hashedRows = 1 << 10

func newNumbering[T comparable](fill func(hashes []uint64, of []T)) *numbering[T] {
	return &numbering[T]{fill: fill, places: make([]int32, hashedRows)}
}

// forget begins anew.
func (n *numbering[T]) forget() {
	n.values = n.values[:0]
	clear(n.places)
}

// number fills in the numbers of the first of values, hashedRows of them at most.
func (n *numbering[T]) number(values []T, numbers []int32) {
	values = values[:len(numbers)]
	n.fill(n.hashes[:], values)
	for i, v := range values {
		p := n.place(v, n.hashes[i])
		if *p == 0 {
			if 4*len(n.values) >= len(n.places) {
				n.grow()
				p = n.place(v, n.hashes[i])
			}
			n.values = append(n.values, v)
			*p = int32(len(n.values))
		}
		numbers[i] = *p - 1
	}
}

// place returns the place of a value, or the one that it is to have.
func (n *numbering[T]) place(v T, hash uint64) *int32 {
	for mask := uint64(len(n.places) - 1); ; hash++ {
		if p := &n.places[hash&mask]; *p == 0 || n.values[*p-1] == v {
			return p
		}
	}
}

// grow doubles the table.
func (n *numbering[T]) grow() {
	n.places = make([]int32, 2*len(n.places))
	var hashes [hashedRows]uint64
	for from := 0; from < len(n.values); from += hashedRows {
		values := n.values[from:min(from+hashedRows, len(n.values))]
		n.fill(hashes[:], values)
		for i, v := range values {
			*n.place(v, hashes[i]) = int32(from + i + 1)
		}
	}
}

// keyHashes returns what hashes keys.
func keyHashes[K keysort.Ordered]() func(hashes []uint64, of []K) {
	seed := maphash.MakeSeed()
	return func(hashes []uint64, of []K) {
		switch keys := any(of).(type) {
		case []int64:
			for i, key := range keys {
				hashes[i] = mixed(uint64(key), 0)
			}
		case []string:
			for i, key := range keys {
				hashes[i] = maphash.String(seed, key)
			}
		}
	}
}

// pairHashes hashes pairs of key and tile.
func pairHashes(hashes []uint64, of []keyTile) {
	for i, p := range of {
		hashes[i] = mixed(uint64(p.key), uint64(p.tile))
	}
}

// mixed returns a hash of two numbers, as wyhash (Wang Yi) makes it.
func mixed(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return high ^ low
}
