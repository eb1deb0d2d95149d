package materialize

import (
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/internal/uncleared"
)

// arena is memory for columns that are made together and forgotten together, and then serves the next ones: memory of the collector is cleared
// whenever it is handed out. It is an Arrow allocator, for one goroutine.
type arena struct {
	memory []byte
	used   int
	asked  int // since the columns before were forgotten
}

var _ memory.Allocator = (*arena)(nil)

// newArena returns one with memory for so many bytes at once.
func newArena(size int64) arena { return arena{memory: uncleared.Make[byte](int(size))} }

// Allocate returns n bytes, of any content.
func (a *arena) Allocate(n int) []byte {
	size := (n + 63) &^ 63 // Arrow wants columns to begin at multiples of 64 bytes
	a.asked += size
	if size > len(a.memory)-a.used {
		return uncleared.Make[byte](n)
	}
	a.used += size
	return a.memory[a.used-size:][:n:size]
}

// Reallocate returns n bytes that begin as b does.
func (a *arena) Reallocate(n int, b []byte) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	grown := a.Allocate(n)
	copy(grown, b)
	return grown
}

// Free leaves b to the next call of forget.
func (a *arena) Free([]byte) {}

// forget gives all memory to what is allocated from now on, and has as much of it as was asked for.
func (a *arena) forget() {
	if a.asked > len(a.memory) {
		a.memory = uncleared.Make[byte](a.asked + a.asked/8) // the next ones may be a little larger
	}
	a.used, a.asked = 0, 0
}

// batchMemory is memory of one batch at a time: when the last of its columns is released, it serves another one.
type batchMemory struct {
	arena
	columns atomic.Int32
	back    *batchMemories
}

// Allocate returns n bytes for a column, of any content.
func (m *batchMemory) Allocate(n int) []byte {
	m.columns.Add(1)
	return m.arena.Allocate(n)
}

// Free takes a column's memory back.
func (m *batchMemory) Free([]byte) {
	if m.columns.Add(-1) == 0 {
		m.forget()
		m.back.put(m)
	}
}

// batchMemories are memories of batches that have been released; there are no more than have been in use at once.
type batchMemories struct {
	size int64 // of a new one
	mu   sync.Mutex
	free []*batchMemory
}

// get returns memory for a batch.
func (m *batchMemories) get() *batchMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := len(m.free) - 1
	if last < 0 {
		return &batchMemory{arena: newArena(m.size), back: m}
	}
	b := m.free[last]
	m.free = m.free[:last]
	return b
}

func (m *batchMemories) put(b *batchMemory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, b)
}
