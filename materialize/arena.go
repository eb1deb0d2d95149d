package materialize

import (
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/internal/hugepage"
)

// arena is memory for batches that are made together, and kept or forgotten together: in few large pieces, of which the system and the collector have
// little to do, and which serve the next batches when these are forgotten. It is an Arrow allocator, for one goroutine.
type arena struct {
	chunks [][]byte
	at     int // the chunk that is being filled
	used   int // bytes of it
	size   int // of the last chunk
}

var _ memory.Allocator = (*arena)(nil)

// A chunk has chunkBytes, so that little is lost at its end, where the next column does not fit; the first ones have less, each twice the one before,
// as most batches are small.
const chunkLeast, chunkBytes = 64 << 10, 8 << 20

// Allocate returns n bytes, of any content.
func (a *arena) Allocate(n int) []byte {
	n = (n + 63) &^ 63
	for ; a.at < len(a.chunks); a.at, a.used = a.at+1, 0 {
		if chunk := a.chunks[a.at]; n <= len(chunk)-a.used {
			a.used += n
			return chunk[a.used-n : a.used : a.used]
		}
	}
	a.size = max(chunkLeast, min(2*a.size, chunkBytes))
	a.chunks, a.used = append(a.chunks, hugepage.Make[byte](max(n, a.size))), n
	return a.chunks[a.at][:n:n]
}

// Reallocate returns n bytes that begin as b does.
func (a *arena) Reallocate(n int, b []byte) []byte {
	if n <= len(b) {
		return b[:n]
	}
	grown := a.Allocate(n)
	copy(grown, b)
	return grown
}

// Free leaves b to the next reset.
func (a *arena) Free([]byte) {}

// forget gives all memory to what is allocated from now on.
func (a *arena) forget() { a.at, a.used = 0, 0 }

// keep leaves what has been allocated to those who hold it.
func (a *arena) keep() {
	if len(a.chunks) > 0 {
		a.chunks = a.chunks[a.at:]
		a.chunks[0] = a.chunks[0][a.used:]
		a.forget()
	}
}
