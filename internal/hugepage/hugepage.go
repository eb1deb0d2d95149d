// Package hugepage makes large slices of which the system is asked to give the memory in few large pages: a column of an answer is filled in random
// order, and each page of 4 KiB costs a fault when it is first touched and a place among the translations that the processor remembers.
package hugepage

import (
	"strings"
	"unsafe"
)

const (
	size  = 2 << 20      // of a huge page
	least = size * 3 / 2 // of a slice for which asking pays
)

// Make returns n values of any content. What T is must hold no pointers.
func Make[T any](n int) []T {
	bytes := n * int(unsafe.Sizeof(*new(T)))
	if bytes < least {
		return make([]T, n)
	}
	pages := (bytes + size/2) / size // of which the last is to be full by half
	// make would touch memory that has been used before to fill it with zeros, a small page at a time since the system has not been asked yet. The slice begins with a
	// huge page, which takes address space and no memory.
	var memory strings.Builder
	memory.Grow(size + max(bytes, pages*size))
	memory.WriteByte(0)
	begin := unsafe.Pointer(unsafe.StringData(memory.String()))
	begin = unsafe.Add(begin, (size-uintptr(begin)%size)%size)
	advise(unsafe.Slice((*byte)(begin), pages*size))
	return unsafe.Slice((*T)(begin), n)
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
