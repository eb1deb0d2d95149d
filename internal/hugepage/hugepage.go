// Package hugepage makes large slices of which the system is asked to give the memory in few large pages: a column of an answer is filled in random
// order, and each page of 4 KiB costs a fault when it is first touched and a place among the translations that the processor remembers.
package hugepage

import "unsafe"

const (
	size  = 2 << 20  // of a huge page
	least = 2 * size // of a slice for which asking pays
)

// Make returns n zeros. What T is must hold no pointers.
func Make[T any](n int) []T {
	s := make([]T, n)
	bytes := uintptr(n) * unsafe.Sizeof(*new(T))
	if bytes < least {
		return s
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	skip := (size - begin%size) % size
	advise(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s)), skip)), (bytes-skip)/size*size))
	return s
}

// Allocator is an Arrow allocator of such memory, which is the collector's.
type Allocator struct{}

// Allocate returns n bytes.
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
