// Package behind writes behind its caller, who meanwhile makes what is to be written next.
package behind

import (
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	// pieceBytes is what is written at a time, but for the first pieces: a small file needs little memory, which the system would have to clear.
	pieceBytes      = 1 << 20
	pieceBytesFirst = 1 << 16
	// piecesMax bounds the pieces that there are: those that are filled, those that wait, and the one that is being written. It is about a row group of some columns, so that one is encoded while
	// the one before it is written.
	piecesMax = 24
)

// Writer hands what is written to it on to another writer, in order, from a goroutine of its own, which ends with [Writer.Finish]. It belongs to one
// goroutine. An error of the other writer comes with a later call, at the latest with that of Finish; nothing is written after it.
type Writer struct {
	out    io.Writer
	piece  []byte      // being filled; nil: none
	size   int         // of the next piece that is made
	made   int         // pieces that there are
	free   chan []byte // those that have been written
	full   chan []byte
	group  errgroup.Group
	failed atomic.Pointer[error]
	done   bool
}

// NewWriter returns a writer to out. Finish has to be called, also after an error.
func NewWriter(out io.Writer) *Writer {
	w := &Writer{out: out, size: pieceBytesFirst, free: make(chan []byte, piecesMax), full: make(chan []byte, piecesMax)}
	w.group.Go(w.run)
	return w
}

// run writes pieces until there are no more to come. There are as many as free has room for, so that it never waits to give one back.
func (w *Writer) run() error {
	for piece := range w.full {
		if w.failed.Load() == nil {
			if _, err := w.out.Write(piece); err != nil {
				w.failed.Store(&err)
			}
		}
		w.free <- piece
	}
	return w.err()
}

func (w *Writer) err() error {
	if err := w.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Write takes a copy of b.
func (w *Writer) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		if err := w.err(); err != nil {
			return 0, err
		}
		if w.piece == nil {
			if w.piece = w.next(); w.piece == nil {
				w.piece = make([]byte, 0, w.size)
				w.size = min(2*w.size, pieceBytes)
			}
			w.piece = w.piece[:0]
		}
		n := min(len(rest), cap(w.piece)-len(w.piece))
		w.piece, rest = append(w.piece, rest[:n]...), rest[n:]
		if len(w.piece) == cap(w.piece) {
			w.full <- w.piece
			w.piece = nil
		}
	}
	return len(b), nil
}

// next returns a piece that has been written. While none has, there may be another, for which it returns nil; and when there are all, it waits.
func (w *Writer) next() []byte {
	select {
	case piece := <-w.free:
		return piece
	default:
	}
	if w.made < piecesMax {
		w.made++
		return nil
	}
	return <-w.free
}

// passedMax is how long a piece may be of which no copy is taken.
const passedMax = 2 * pieceBytes

// Pass is Write of memory that the caller has no use for any more: no copy is taken of it unless it is large. It returns memory that has been written, or nil, for
// the caller to use in its stead.
func (w *Writer) Pass(b []byte) (spare []byte, err error) {
	if cap(b) > passedMax {
		_, err := w.Write(b)
		return b, err
	}
	if w.piece != nil {
		w.full <- w.piece
		w.piece = nil
	}
	spare = w.next()
	w.full <- b
	return spare, w.err()
}

// Finish writes what is left and returns when nothing is on its way any more. It may be called again, and says the same.
func (w *Writer) Finish() error {
	if !w.done {
		w.done = true
		if len(w.piece) > 0 {
			w.full <- w.piece
		}
		close(w.full)
	}
	return w.group.Wait()
}
