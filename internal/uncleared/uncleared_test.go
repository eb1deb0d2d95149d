package uncleared

import (
	"runtime"
	"testing"
	"unsafe"
)

// TestMake fills slices around the size from which on they are not cleared, to their last value, several at once and in memory that has been used before.
func TestMake(t *testing.T) {
	for range 3 {
		var all [][]int64
		for _, bytes := range []int{0, 8, least &^ 7, least + 7, 3*least - 3, 5 << 20} {
			values := Make[int64](bytes / 8)
			if len(values) != bytes/8 || cap(values) < len(values) {
				t.Fatalf("%d values of %d", len(values), bytes/8)
			}
			if begin := uintptr(unsafe.Pointer(unsafe.SliceData(values))); begin%8 != 0 {
				t.Errorf("%d bytes begin within a word", bytes)
			}
			for i := range values {
				values[i] = int64(i ^ bytes)
			}
			all = append(all, values)
		}
		runtime.GC()
		for k, bytes := range []int{0, 8, least &^ 7, least + 7, 3*least - 3, 5 << 20} {
			for i, v := range all[k] {
				if v != int64(i^bytes) {
					t.Fatalf("value %d of %d is %d", i, len(all[k]), v)
				}
			}
		}
	}
}
