package hugepage

import "testing"

// TestMake fills slices around the sizes at which pages are asked for, to their last value.
func TestMake(t *testing.T) {
	for _, bytes := range []int{0, 8, least - 8, least, least + 8, 3*size - 8, 5*size + 16} {
		values := Make[int64](bytes / 8)
		if len(values) != bytes/8 {
			t.Fatalf("%d values of %d", len(values), bytes/8)
		}
		for i := range values {
			if values[i] != 0 {
				t.Fatalf("value %d of %d is %d", i, len(values), values[i])
			}
			values[i] = int64(i)
		}
		for i, v := range values {
			if v != int64(i) {
				t.Fatalf("value %d of %d is %d", i, len(values), v)
			}
		}
	}
}
