package hugepage

import (
	"runtime"
	"testing"
	"unsafe"
)

// TestMake fills slices around the sizes at which pages are asked for, to their last value, several at once and in memory that has been used before.
func TestMake(t *testing.T) {
	for range 3 {
		var all [][]int64
		for _, bytes := range []int{0, 8, least - 8, least, least + 8, 3*size - 8, 5*size + 16} {
			values := Make[int64](bytes / 8)
			if len(values) != bytes/8 || cap(values) < len(values) {
				t.Fatalf("%d values of %d", len(values), bytes/8)
			}
			if begin := uintptr(unsafe.Pointer(unsafe.SliceData(values))); bytes >= least && begin%size != 0 {
				t.Errorf("%d bytes begin within a large page", bytes)
			}
			for i := range values {
				values[i] = int64(i ^ bytes)
			}
			all = append(all, values)
		}
		runtime.GC()
		for _, values := range all {
			for i, v := range values {
				if v != int64(i^8*len(values)) {
					t.Fatalf("value %d of %d is %d", i, len(values), v)
				}
			}
		}
	}
}
