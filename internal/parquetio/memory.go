package parquetio

import (
	"math/bits"
	"sync"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/internal/uncleared"
)

// Memory keeps the memory of numbers that have been read for numbers to come: an array that is released gives its values back. One that is not
// released is left to the collector, as all memory is. It is an Arrow allocator, and may be used by several goroutines.
type Memory struct {
	mu   sync.Mutex
	free [][]byte
	kept int // bytes in free
}

var _ memory.Allocator = (*Memory)(nil)

const (
	// memoryLeast is the smallest piece that is kept: to the collector, less is no burden.
	memoryLeast = 32 << 10
	// memoryKeptMax bounds what lies about unused: a row group of four columns.
	memoryKeptMax = 16 << 20
)

// Allocate returns n bytes, of any content.
func (m *Memory) Allocate(n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := -1
	for i, b := range m.free {
		if cap(b) >= n && (best < 0 || cap(b) < cap(m.free[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]byte, n, 1<<bits.Len(uint(max(1, n)-1))) // pieces of few sizes fit more often
	}
	b := m.free[best]
	last := len(m.free) - 1
	m.free[best], m.free = m.free[last], m.free[:last]
	m.kept -= cap(b)
	return b[:n]
}

// Free takes the memory of b back.
func (m *Memory) Free(b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cap(b) >= memoryLeast && m.kept+cap(b) <= memoryKeptMax {
		m.free, m.kept = append(m.free, b), m.kept+cap(b)
	}
}

// Reallocate returns n bytes that begin as b does, which it takes back.
func (m *Memory) Reallocate(n int, b []byte) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	grown := m.Allocate(n)
	copy(grown, b)
	m.Free(b)
	return grown
}

// grown returns n bytes for pages, b itself where it has as many.
func (f *File) grown(b []byte, n int) []byte {
	if n <= cap(b) || f.memory == nil || n < memoryLeast {
		return sized(b, n)
	}
	return f.memory.Allocate(n)
}

// allocate returns an empty slice of m's memory with room for n values; of the collector's where m is nil.
func allocate[T fixedWidth](m *Memory, n int) []T {
	size := int(unsafe.Sizeof(*new(T)))
	if m == nil || n*size < memoryLeast {
		return uncleared.Make[T](n)[:0]
	}
	b := m.Allocate(n * size)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), cap(b)/size)[:0]
}

// bufferOf returns values as a buffer that gives them back to m when it is released.
func bufferOf[T fixedWidth](m *Memory, values []T) *memory.Buffer {
	size := int(unsafe.Sizeof(*new(T)))
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), cap(values)*size)[:len(values)*size]
	if m == nil {
		return memory.NewBufferBytes(b)
	}
	return memory.NewBufferWithAllocator(b, m)
}
