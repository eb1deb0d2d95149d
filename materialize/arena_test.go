package materialize

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestArena fills what it allocates with numbers of its own, and expects each to be there until all are forgotten; what has been asked for once has room then.
func TestArena(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &arena{}
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			sizes := rapid.SliceOfN(rapid.IntRange(0, 300), 0, 12).Draw(t, "sizes")
			for range 2 {
				var all [][]byte
				for i, n := range sizes {
					b := a.Allocate(n)
					if grown := rapid.IntRange(0, 1).Draw(t, "grown"); grown > 0 && n > 0 {
						b[0] = byte(i)
						if b = a.Reallocate(n+grown, b); b[0] != byte(i) {
							t.Fatalf("allocation %d begins with %d once it has grown", i, b[0])
						}
						n += grown
					}
					if len(b) != n {
						t.Fatalf("%d bytes, not %d", len(b), n)
					}
					copy(b, bytes.Repeat([]byte{byte(i)}, n))
					all = append(all, b)
				}
				for i, b := range all {
					if !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, len(b))) {
						t.Fatalf("allocation %d of %v holds %v", i, sizes, b)
					}
				}
				a.forget()
			}
			if memory := len(a.memory); memory > 0 { // all but what does not fill 64 bytes
				b := a.Allocate(memory &^ 63)
				if &b[0] != &a.memory[0] {
					t.Fatal("memory that was forgotten does not serve again")
				}
				a.forget()
			}
		}
	})
}

// TestBatchMemory: memory of a batch serves another one when the last of its columns has been given back, and not before.
func TestBatchMemory(t *testing.T) {
	all := batchMemories{size: 1 << 10}
	m := all.get()
	a, b := m.Allocate(100), m.Allocate(100)
	m.Free(a)
	if all.get() == m {
		t.Error("memory serves another batch while a column lies in it")
	}
	m.Free(b)
	if all.get() != m {
		t.Error("memory that has been given back does not serve again")
	}
	if all.get() == m {
		t.Error("memory serves two batches")
	}
}
