package materialize

import (
	"bufio"
	"errors"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/asof-store/asof/feature"
)

// spill is a sorted run in a temporary file, as an Arrow IPC stream. The file has no name once it is open, so that a crash
// leaves nothing behind.
type spill struct {
	file   *os.File
	buffer *bufio.Writer
	writer *ipc.Writer
}

func newSpill(dir string, schema *arrow.Schema) (*spill, error) {
	file, err := os.CreateTemp(dir, "asof-sort-*")
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "sorting: cannot create a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(feature.Errorf(feature.ErrUnavailable, "sorting: cannot unlink a temporary file: %w", err), file.Close())
	}
	s := &spill{file: file, buffer: bufio.NewWriterSize(file, 1<<20)}
	s.writer = ipc.NewWriter(s.buffer, ipc.WithSchema(schema), ipc.WithLZ4())
	return s, nil
}

func (s *spill) write(batch arrow.RecordBatch) error {
	if err := s.writer.Write(batch); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "sorting: cannot write a temporary file %s: %w", s.file.Name(), err)
	}
	return nil
}

func (s *spill) finish() error {
	if err := errors.Join(s.writer.Close(), s.buffer.Flush()); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "sorting: cannot write a temporary file %s: %w", s.file.Name(), err)
	}
	return nil
}

// read returns a reader from the first row on.
func (s *spill) read() (*ipc.Reader, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "sorting: cannot read back a temporary file: %w", err)
	}
	r, err := ipc.NewReader(bufio.NewReaderSize(s.file, 1<<18))
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "sorting: cannot read back a temporary file: %w", err)
	}
	return r, nil
}

func (s *spill) close() error { return s.file.Close() }
