package behind

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// failing takes so many bytes, in writes of any size, and then fails.
type failing struct {
	bytes.Buffer
	left   int
	failed bool
}

var errFull = errors.New("full")

func (f *failing) Write(b []byte) (int, error) {
	if f.failed {
		panic("it is written to after an error")
	}
	if len(b) > f.left {
		f.failed = true
		return 0, errFull
	}
	f.left -= len(b)
	return f.Buffer.Write(b)
}

// TestWriter writes and passes pieces of all sizes, to a writer that may fail at any point: what arrives is the beginning of what was written, and all of it unless an
// error is told.
func TestWriter(t *testing.T) {
	content := make([]byte, 40*pieceBytes)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}
	rapid.Check(t, func(t *rapid.T) {
		content := content[:rapid.SampledFrom([]int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 3 * pieceBytes, len(content)}).Draw(t, "bytes")]
		out := &failing{left: rapid.SampledFrom([]int{0, pieceBytes, 20 * pieceBytes, 1 << 40}).Draw(t, "room")}
		w := NewWriter(out)
		var err error
		for rest := content; len(rest) > 0 && err == nil; {
			n := min(len(rest), rapid.SampledFrom([]int{1 << 10, pieceBytes, passedMax, 5*pieceBytes + 3}).Draw(t, "write"))
			if rapid.Bool().Draw(t, "passed") {
				var spare []byte
				spare, err = w.Pass(bytes.Clone(rest[:n]))
				clear(spare[:cap(spare)]) // what it returns is not on its way any more
			} else {
				_, err = w.Write(rest[:n])
			}
			rest = rest[n:]
		}
		finished := w.Finish()
		if again := w.Finish(); again != finished {
			t.Fatalf("it finishes with %v, then with %v", finished, again)
		}
		if err != nil && !errors.Is(finished, errFull) || finished != nil && !out.failed {
			t.Fatalf("a write says %v, the end %v", err, finished)
		}
		if finished == nil && out.Len() != len(content) || !bytes.HasPrefix(content, out.Bytes()) {
			t.Fatalf("%d bytes of %d arrived, and %v was told", out.Len(), len(content), finished)
		}
	})
}
