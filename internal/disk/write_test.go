package disk

import (
	"bytes"
	"errors"
	"testing"
)

// shortWriter takes so many bytes, and then fails.
type shortWriter struct {
	bytes.Buffer
	room, largest int
}

var errFull = errors.New("full")

func (w *shortWriter) Write(b []byte) (int, error) {
	w.largest = max(w.largest, len(b))
	if len(b) > w.room {
		n, _ := w.Buffer.Write(b[:w.room])
		w.room = 0
		return n, errFull
	}
	w.room -= len(b)
	return w.Buffer.Write(b)
}

// TestInPieces writes texts of sizes about those of pieces, to files that have room for them and to one that has not.
func TestInPieces(t *testing.T) {
	for _, size := range []int{0, 1, writeBytes - 1, writeBytes, writeBytes + 1, 2 * writeBytes, 3*writeBytes + 7} {
		for _, room := range []int{size, size / 2, size - 1} {
			text := make([]byte, size)
			for i := range text {
				text[i] = byte(i * 31 >> 3)
			}
			room = max(0, room)
			to := &shortWriter{room: room}
			n, err := InPieces{to}.Write(text)
			if want := min(size, room); n != want || !bytes.Equal(to.Bytes(), text[:want]) || to.largest > writeBytes {
				t.Errorf("%d bytes where %d find room: %d written, want %d; the largest piece has %d", size, room, n, want, to.largest)
			}
			if full := size > room; errors.Is(err, errFull) != full {
				t.Errorf("%d bytes where %d find room: %v", size, room, err)
			}
		}
	}
}
