package tabular

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// ipcReader reads the Arrow IPC file format, and the stream format, which differs by its first bytes.
type ipcReader struct {
	whole
	file   *input
	opts   ReaderOptions
	schema *arrow.Schema
	read   func() (arrow.RecordBatch, error) // the file's own next batch, io.EOF at the end
	rest   arrow.RecordBatch                 // what has not been handed out of it
	first  int64                             // the row at which the last batch starts
	next   int64                             // the row after it
}

const (
	magicIPC      = "ARROW1"
	magicFeather1 = "FEA1"
)

func newIPCReader(f *input, opts ReaderOptions) (*ipcReader, error) {
	r := &ipcReader{file: f, opts: opts}
	if err := guard(r.open); err != nil {
		return nil, f.damaged(err)
	}
	return r, nil
}

func (r *ipcReader) open() error {
	head := make([]byte, len(magicIPC))
	n, err := r.file.ReadAt(head, 0)
	if err != nil && !isEOF(err) {
		return err
	}
	switch head := string(head[:n]); {
	case head == magicIPC:
		return r.openFile()
	case strings.HasPrefix(head, magicFeather1):
		return errors.New("it is in the first Feather format: write it again as Feather version 2")
	}
	return r.openStream(0)
}

// openFile opens the file format: a stream between two magic words, with a footer that repeats what the stream says.
func (r *ipcReader) openFile() error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	tail := make([]byte, len(magicIPC))
	if _, err := r.file.ReadAt(tail, max(0, info.Size()-int64(len(tail)))); err != nil && !isEOF(err) {
		return err
	}
	if string(tail) != magicIPC {
		return errors.New("it is cut short")
	}
	return r.openStream(8) // the first magic word is padded
}

func (r *ipcReader) openStream(at int64) error {
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	section := io.NewSectionReader(r.file, at, max(0, info.Size()-at))
	messages := &ipcMessages{r: bufio.NewReaderSize(section, 1<<20), left: section.Size()}
	stream, err := ipc.NewReaderFromMessageReader(messages, ipc.WithAllocator(newAllocator()))
	if err != nil {
		return fmt.Errorf("it is neither an Arrow IPC file nor a stream: %w", err)
	}
	r.schema = stream.Schema()
	r.read = func() (arrow.RecordBatch, error) {
		batch, err := stream.Read()
		if err != nil {
			return nil, err
		}
		batch.Retain() // the stream reader drops its own reference at the next Read
		return batch, array.ValidateRecordFull(batch)
	}
	return nil
}

func (r *ipcReader) Schema() *arrow.Schema { return r.schema }
func (r *ipcReader) Rows() (int64, bool)   { return 0, false }
func (r *ipcReader) Close() error          { return r.file.Close() }

func (r *ipcReader) Where(row int) string {
	return fmt.Sprintf("%s: row %d", r.file.Name(), r.first+int64(row))
}

func (r *ipcReader) Next(ctx context.Context) (arrow.RecordBatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for r.rest == nil || r.rest.NumRows() == 0 {
		err := guard(func() (err error) {
			r.rest, err = r.read()
			return err
		})
		if err == io.EOF {
			return nil, io.EOF
		}
		if err != nil {
			return nil, r.file.damaged(err)
		}
	}
	n := min(int64(r.opts.BatchRows), r.rest.NumRows())
	batch := r.rest.NewSlice(0, n)
	r.rest = r.rest.NewSlice(n, r.rest.NumRows())
	r.first, r.next = r.next, r.next+n
	return batch, nil
}

type ipcEncoder struct {
	w      *ipc.FileWriter
	schema *arrow.Schema
}

func newIPCEncoder(w io.Writer, schema *arrow.Schema) (encoder, error) {
	schema = withoutDictionaries(schema)
	fw, err := ipc.NewFileWriter(w, ipc.WithSchema(schema), ipc.WithAllocator(memory.DefaultAllocator))
	return &ipcEncoder{fw, schema}, err
}

func (e *ipcEncoder) write(batch arrow.RecordBatch) error {
	columns := append([]arrow.Array(nil), batch.Columns()...)
	for i, c := range columns {
		if d, ok := c.(*array.Dictionary); ok {
			values, err := compute.TakeArray(context.Background(), d.Dictionary(), d.Indices())
			if err != nil {
				return err
			}
			columns[i] = values
		}
	}
	return e.w.Write(array.NewRecordBatch(e.schema, columns, batch.NumRows()))
}

func (e *ipcEncoder) finish() error { return e.w.Close() }

// withoutDictionaries gives dictionary-encoded columns the type of their values: an IPC file has room for one dictionary
// of a column, while every Parquet row group brings its own.
func withoutDictionaries(s *arrow.Schema) *arrow.Schema {
	fields := append([]arrow.Field(nil), s.Fields()...)
	for i, f := range fields {
		if d, ok := f.Type.(*arrow.DictionaryType); ok {
			fields[i].Type = d.ValueType
		}
	}
	md := s.Metadata()
	return arrow.NewSchema(fields, &md)
}
