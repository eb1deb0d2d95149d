package materialize

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/internal/interleave"
)

// spill is pieces in a temporary file: of each bucket the rows of all pieces, as a message of an Arrow IPC stream, which is read alone. The
// file has no name once it is open, so that a crash leaves nothing behind. Rows are not compressed: most of their numbers do not shrink, and
// a file that is read again within the minute is read from memory.
type spill struct {
	file   *os.File
	head   []byte  // of the stream: the schema
	ends   []int64 // of each bucket in the file, the head before the first
	size   int64
	pieces []piece // their batches are in the file
}

// spillPieces writes pieces to a new file, sorted by their places.
func spillPieces(dir string, schema *arrow.Schema, pieces []piece, buckets int) (_ *spill, err error) {
	file, err := os.CreateTemp(dir, "asof-sort-*")
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "sorting: cannot create a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(feature.Errorf(feature.ErrUnavailable, "sorting: cannot unlink a temporary file: %w", err), file.Close())
	}
	byPlace(pieces)
	s := &spill{file: file, pieces: pieces}
	if err := s.write(schema, buckets); err != nil {
		return nil, errors.Join(feature.Errorf(feature.ErrUnavailable, "sorting: cannot write a temporary file %s: %w", file.Name(), err), file.Close())
	}
	for i := range pieces {
		pieces[i].batch.Release()
		pieces[i].batch = nil
	}
	return s, nil
}

func (s *spill) write(schema *arrow.Schema, buckets int) error {
	out := &counting{out: bufio.NewWriterSize(disk.InPieces{To: s.file}, 64<<10)}
	w := ipc.NewWriter(out, ipc.WithSchema(schema))
	if err := w.Write(s.pieces[0].batch.NewSlice(0, 0)); err != nil { // writes the schema before it
		return err
	}
	s.ends = append(s.ends, out.size)
	scratch, of := &arena{}, []stretch(nil)
	for b := range buckets {
		scratch.forget()
		if of = stretches(of[:0], s.pieces, b, b+1); len(of) > 0 {
			rows, err := joined(schema, of, scratch)
			if err != nil {
				return err
			}
			if err := w.Write(rows); err != nil {
				return err
			}
		}
		s.ends = append(s.ends, out.size)
	}
	if err := errors.Join(w.Close(), out.out.Flush()); err != nil {
		return err
	}
	s.size, s.head = out.size, make([]byte, s.ends[0])
	_, err := s.file.ReadAt(s.head, 0)
	return err
}

// counting counts what is written.
type counting struct {
	out  *bufio.Writer
	size int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.out.Write(b)
	c.size += int64(n)
	return n, err
}

// stretch is rows [from, to) of a batch, which are of some buckets.
type stretch struct {
	place    int64
	batch    arrow.RecordBatch
	from, to int64
}

// stretches appends the rows of buckets [from, to) of pieces to some.
func stretches(some []stretch, pieces []piece, from, to int) []stretch {
	for i := range pieces {
		if first, end := pieces[i].rows(from, to); end > first {
			some = append(some, stretch{pieces[i].place, pieces[i].batch, first, end})
		}
	}
	return some
}

// slice returns the rows as a batch.
func (s *stretch) slice() arrow.RecordBatch { return s.batch.NewSlice(s.from, s.to) }

// joined returns the rows of stretches, one at least, as one batch in memory of m: the columns that schema begins with.
func joined(schema *arrow.Schema, of []stretch, m memory.Allocator) (arrow.RecordBatch, error) {
	return eachColumn(schema, of, func(parts []interleave.Part) (arrow.Array, error) { return interleave.Join(m, parts) })
}

// placed is joined, with each row at its place, counted from the first row to the last. What has to be joined first lies in scratch meanwhile.
func placed(schema *arrow.Schema, of []stretch, places []uint32, m, scratch memory.Allocator) (arrow.RecordBatch, error) {
	return eachColumn(schema, of, func(parts []interleave.Part) (arrow.Array, error) { return interleave.Put(m, scratch, parts, places) })
}

// eachColumn returns a batch of what one makes of the parts of each column.
func eachColumn(schema *arrow.Schema, of []stretch, one func([]interleave.Part) (arrow.Array, error)) (arrow.RecordBatch, error) {
	rows := int64(0)
	for i := range of {
		rows += of[i].to - of[i].from
	}
	columns, parts := make([]arrow.Array, schema.NumFields()), make([]interleave.Part, len(of))
	for c := range columns {
		for i := range of {
			parts[i] = interleave.Part{Array: of[i].batch.Column(c), From: int(of[i].from), To: int(of[i].to)}
		}
		var err error
		if columns[c], err = one(parts); err != nil {
			return nil, feature.Errorf(feature.ErrInvalid, "sorting: joining rows of column %s: %w", schema.Field(c).Name, err)
		}
	}
	defer func() {
		for _, c := range columns {
			c.Release() // which the batch holds
		}
	}()
	return array.NewRecordBatch(schema, columns, rows), nil
}

// has reports whether any row of a bucket is in the file.
func (s *spill) has(bucket int) bool { return s.ends[bucket] < s.ends[bucket+1] }

// read appends the rows of buckets [from, to), which it reads to memory of m, to some. It may be called by several goroutines at once.
func (s *spill) read(some []stretch, from, to int, m memory.Allocator) ([]stretch, error) {
	body := io.NewSectionReader(s.file, s.ends[from], s.ends[to]-s.ends[from])
	r, err := ipc.NewReader(io.MultiReader(bytes.NewReader(s.head), body), ipc.WithAllocator(m))
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "sorting: cannot read back a temporary file: %w", err)
	}
	defer r.Release()
	for bucket := from; bucket < to; bucket++ {
		if !s.has(bucket) {
			continue
		}
		batch, err := r.Read()
		for err == nil && batch.NumRows() == 0 { // that of the head
			batch, err = r.Read()
		}
		if err != nil {
			return nil, feature.Errorf(feature.ErrUnavailable, "sorting: cannot read back a temporary file: %w", err)
		}
		batch.Retain() // the reader lets go of a batch when it reads the next
		at := int64(0)
		for i := range s.pieces {
			first, end := s.pieces[i].rows(bucket, bucket+1)
			if end > first {
				some = append(some, stretch{s.pieces[i].place, batch, at, at + end - first})
				at += end - first
			}
		}
	}
	return some, nil
}

func (s *spill) close() error { return s.file.Close() }
