package disk

import (
	"io"
	"os"
)

// writebackBytes is how much is written before the system is asked to bring it to the disk: so much is left, at most, for the sync of a large
// file to wait for.
const writebackBytes = 8 << 20

// Writeback has what is written to a file brought to its disk while more is written, so that the sync at the end has little to wait for. The zero value is that of
// a file of which nothing has been written.
type Writeback struct {
	written int64
	started int64 // of written, on its way to the disk
}

// Wrote takes note of n bytes more at the end of the file. Where to is no file of the operating system's, nothing is asked for.
func (w *Writeback) Wrote(to io.Writer, n int) {
	w.written += int64(n)
	if file, ok := to.(*os.File); ok && w.written-w.started >= writebackBytes {
		startWriteback(file.Fd(), w.started, w.written-w.started)
		w.started = w.written
	}
}
