package pointintime

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/uncleared"
)

// spareMemory is memory that answers leave to those of later questions, which the system then need not give once more. The zero value has none.
type spareMemory struct {
	mu   sync.Mutex
	free [][]byte
}

// leaveColumns takes the memory of arrays of fixed width, at which nobody may look any more.
func (s *spareMemory) leaveColumns(columns []arrow.Array) {
	for _, c := range columns {
		if t, ok := c.DataType().(arrow.FixedWidthDataType); ok && t.BitWidth() >= 8 {
			leave(s, c.Data().Buffers()[1].Bytes())
		}
	}
}

func leave[T fixedWidth | byte](s *spareMemory, values []T) {
	if len(values) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), len(values)*int(unsafe.Sizeof(values[0]))))
}

// fixedWidth is the values of fixed width of which answers hold many.
type fixedWidth interface {
	feature.Time | arrow.Timestamp | uint16 | int32 | int64 | float32 | float64
}

// valuesOf returns n values of any content, in memory of s where it has a piece that suffices.
func valuesOf[T fixedWidth](s *spareMemory, n int) []T {
	if s == nil || n == 0 {
		return uncleared.Make[T](n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := n * int(unsafe.Sizeof(*new(T)))
	least := -1
	for i, b := range s.free {
		if len(b) >= size && (least < 0 || len(b) < len(s.free[least])) {
			least = i
		}
	}
	if least < 0 {
		return uncleared.Make[T](n)
	}
	memory := s.free[least]
	s.free = slices.Delete(s.free, least, least+1)
	return unsafe.Slice((*T)(unsafe.Pointer(&memory[0])), n)
}
