// Package uncleared makes large slices that are not filled with zeros first: a column of an answer is written in all its places anyway, and what is touched once more than
// needed, or sooner, is memory that the system may have to get from elsewhere.
package uncleared

import (
	"strings"
	"unsafe"
)

// least is the size of a slice for which leaving out the zeros pays: from here on the collector gives each slice pages of its own.
const least = 32<<10 + 1

// Make returns n values of any content. What T is must hold no pointers.
func Make[T any](n int) []T {
	bytes := n * int(unsafe.Sizeof(*new(T)))
	if bytes < least {
		return make([]T, n)
	}
	var memory strings.Builder // whose memory is not cleared
	memory.Grow(bytes)
	memory.WriteByte(0)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.StringData(memory.String()))), n)
}

// Allocator is an Arrow allocator of such memory, which is the collector's.
type Allocator struct{}

// Allocate returns n bytes, of any content.
func (Allocator) Allocate(n int) []byte { return Make[byte](n) }

// Reallocate returns n bytes that begin as b does.
func (a Allocator) Reallocate(n int, b []byte) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	grown := a.Allocate(n)
	copy(grown, b)
	return grown
}

// Free leaves b to the collector.
func (Allocator) Free([]byte) {}
