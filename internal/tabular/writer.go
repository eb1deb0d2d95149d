package tabular

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/behind"
	"github.com/asof-store/asof/internal/disk"
)

// WriterOptions are the options of [Create]; the zero value works.
type WriterOptions struct {
	// Step, where it is set, is called with done=false just before and done=true just after each durable effect:
	// "create", "sync" and "rename" of the file. An error that it returns ends the write.
	Step func(name string, done bool) error
	// Parts are the numbers of columns that [Writer.WritePart] shall write on their own, in order; default: one part of all. See [Writer.Parts].
	Parts []int

	wrap func(io.Writer) io.Writer // what tests put between the writer and its file
}

// Writer writes a table to a temporary file beside its final place; [Writer.Commit] moves it there. Until then, and
// after every failure, what was at that place before is untouched. One goroutine uses it at a time.
type Writer struct {
	path    string
	opts    WriterOptions
	file    *os.File // the temporary file; nil after Commit and Abort
	sink    *sink
	behind  *behind.Writer
	encoder encoder
	parts   []*arrow.Schema
	rows    int64 // of the last part
	whole   bool  // the temporary file is complete, on disk and closed
	failed  error // the first failure of Write; Commit repeats it
}

// encoder writes batches in one format.
type encoder interface {
	write(batch arrow.RecordBatch) error
	finish() error
}

// partEncoder is an encoder that takes columns part by part: rows of each part on their own, which it reads until the part is flushed.
type partEncoder interface {
	encoder
	writePart(index int, batch arrow.RecordBatch) error
	flushPart(index int) error
}

// Create starts the table that Commit will put at path, in the format that path's ending names. The error is ErrInvalid for
// an unknown ending, a schema that the format cannot hold or a path that is a directory, ErrNotFound where path's directory does not exist, and
// ErrUnavailable where it cannot be written to.
func Create(path string, schema *arrow.Schema, opts WriterOptions) (*Writer, error) {
	format, err := FormatOf(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, feature.Errorf(feature.ErrInvalid, "write %s: it is a directory: name a file", path)
	}
	w := &Writer{path: path, opts: opts}
	if err := w.create(); err != nil {
		return nil, err
	}
	var out io.Writer = w.file
	if opts.wrap != nil {
		out = opts.wrap(out)
	}
	w.sink = &sink{out: out}
	w.behind = behind.NewWriter(w.sink)
	err = guard(func() (err error) {
		w.encoder, err = newEncoder(format, w.behind, schema, opts.Parts)
		return err
	})
	if err != nil {
		w.Abort()
		return nil, w.encodeFault(err)
	}
	if _, ok := w.encoder.(partEncoder); !ok || len(opts.Parts) == 0 {
		w.parts = []*arrow.Schema{schema}
		return w, nil
	}
	fields := schema.Fields()
	for _, n := range opts.Parts {
		w.parts, fields = append(w.parts, arrow.NewSchema(fields[:n], nil)), fields[n:]
	}
	return w, nil
}

// newEncoder returns the encoder of format. out has no way to close the file: pqarrow closes what it can.
func newEncoder(format Format, out io.Writer, schema *arrow.Schema, parts []int) (encoder, error) {
	switch format {
	case Parquet:
		return newParquetEncoder(out, schema, parts)
	case CSV:
		return newCSVEncoder(out, schema)
	default:
		return newIPCEncoder(out, schema)
	}
}

// Parts returns how many parts the columns come in: those of [WriterOptions], or one where the format has rows whole.
func (w *Writer) Parts() int { return len(w.parts) }

// Write appends batch to a table of one part; its columns have the types of the schema in its order; names are not compared. Its arrays are retained as long as they are read, and must not change until then.
func (w *Writer) Write(batch arrow.RecordBatch) error { return w.WritePart(0, batch) }

// WritePart is Write of the columns of one part. Each part has all rows in the end, and each may be ahead of the others.
func (w *Writer) WritePart(index int, batch arrow.RecordBatch) error {
	schema := w.parts[index]
	switch {
	case w.failed != nil:
		return w.failed
	case w.file == nil:
		return feature.Errorf(feature.ErrInternal, "write %s: the writer is closed", w.path)
	case batch.NumCols() != int64(schema.NumFields()):
		return feature.Errorf(feature.ErrInternal, "write %s: a batch of %d columns where %d are to be written", w.path, batch.NumCols(), schema.NumFields())
	}
	for i, f := range schema.Fields() {
		if t := batch.Column(i).DataType(); !arrow.TypeEqual(t, f.Type) {
			return feature.Errorf(feature.ErrInternal, "write %s: a batch with %s in column %s, which is %s", w.path, t, f.Name, f.Type)
		}
	}
	if batch.NumRows() == 0 {
		return nil
	}
	// The batch may carry other metadata than the schema; encoders would refuse it.
	batch = array.NewRecordBatch(schema, batch.Columns(), batch.NumRows())
	defer batch.Release()
	err := w.encode(func() error {
		if len(w.parts) == 1 {
			return w.encoder.write(batch)
		}
		return w.encoder.(partEncoder).writePart(index, batch)
	})
	if err == nil && index == len(w.parts)-1 {
		w.rows += batch.NumRows()
	}
	return err
}

// FlushPart has the rows of a part written that are held back so far: its batches are read no more. A table of one part decides on its own.
func (w *Writer) FlushPart(index int) error {
	if w.failed != nil || len(w.parts) == 1 {
		return w.failed
	}
	return w.encode(func() error { return w.encoder.(partEncoder).flushPart(index) })
}

// encode has the encoder do something, and remembers that it failed.
func (w *Writer) encode(do func() error) error {
	if err := guard(do); err != nil {
		w.failed = w.encodeFault(err)
	}
	return w.failed
}

// Size returns the bytes that the file has so far.
func (w *Writer) Size() int64 { return w.sink.size }

// Rows returns the number of rows written so far.
func (w *Writer) Rows() int64 { return w.rows }

// Finish completes the file and syncs it to disk, so that nothing can be wanting for Commit to move it to its place. On an error
// nothing is left of it.
func (w *Writer) Finish() error {
	if w.failed != nil {
		w.Abort()
		return w.failed
	}
	if w.file == nil {
		return feature.Errorf(feature.ErrInternal, "write %s: the writer is closed", w.path)
	}
	if w.whole {
		return nil
	}
	err := guard(w.encoder.finish)
	if err != nil {
		err = w.encodeFault(err)
	} else if err = w.fault(w.behind.Finish()); err == nil {
		err = w.step("sync", func() error { return errors.Join(w.sink.syncer.Wait(), w.file.Sync()) })
	}
	if err == nil {
		err = w.fault(w.file.Close())
	}
	if err != nil {
		w.Abort()
		return err
	}
	w.whole = true
	return nil
}

// Commit moves the file to its place, after Finish if that was not called. On an error nothing is left of it.
func (w *Writer) Commit() error {
	if err := w.Finish(); err != nil {
		return err
	}
	defer w.Abort() // does nothing after success
	// A crash from here to the rename leaves a whole but hidden temporary file, and path as it was.
	temporary := w.file.Name()
	err := w.step("rename", func() error { return os.Rename(temporary, w.path) })
	if err != nil {
		return err
	}
	w.file = nil
	// Without this a power cut can undo the rename; path then is as it was, or whole.
	return w.fault(syncDirectory(filepath.Dir(w.path)))
}

// Abort removes what has been written. It does nothing after Commit, so that it can be deferred.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	if w.behind != nil {
		_ = w.behind.Finish() // an error concerns the same bytes
		_ = w.sink.syncer.Wait()
	}
	w.file.Close()           // an error here concerns bytes that nobody wants
	os.Remove(w.file.Name()) // what it leaves is a hidden file that nothing reads
	w.file = nil
}

func (w *Writer) create() error {
	dir, base := filepath.Split(w.path)
	return w.step("create", func() (err error) {
		// Hidden, so that no glob over the directory takes it for a table. A crash leaves it behind.
		name := filepath.Join(dir, "."+base+"."+rand.Text()[:8]+".tmp")
		w.file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrNotExist) {
			return feature.Errorf(feature.ErrNotFound, "write %s: there is no directory %s: create it first", w.path, filepath.Clean(dir))
		}
		return err
	})
}

// step runs a durable effect between the two calls of the hook.
func (w *Writer) step(name string, effect func() error) error {
	hook := w.opts.Step
	if hook == nil {
		return w.fault(effect())
	}
	if err := hook(name, false); err != nil {
		return err
	}
	if err := effect(); err != nil {
		return w.fault(err)
	}
	if err := hook(name, true); err != nil {
		w.Abort()
		return err
	}
	return nil
}

// fault gives err the path and, unless it has one, a kind.
func (w *Writer) fault(err error) error {
	if err == nil || feature.KindOf(err) != feature.ErrInternal {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EFBIG) {
		return feature.Errorf(feature.ErrUnavailable, "write %s: %w: nothing was left there; make room, or write to another disk", w.path, err)
	}
	return feature.Errorf(feature.ErrUnavailable, "write %s: %w: nothing was left there", w.path, err)
}

// encodeFault is fault for an error that an encoder returned: where the file took all bytes, the table is at fault.
func (w *Writer) encodeFault(err error) error {
	_ = w.behind.Finish() // the sink has its error
	switch {
	case w.sink.failed != nil:
		return w.fault(w.sink.failed)
	case feature.KindOf(err) != feature.ErrInternal:
		return fmt.Errorf("write %s: %w", w.path, err)
	}
	return feature.Errorf(feature.ErrInvalid, "write %s: the format cannot hold the table: %w: try another of %s", w.path, err, Endings)
}

// sink counts what is written, and remembers the first failure to write, which encoders may wrap beyond recognition.
type sink struct {
	out    io.Writer
	size   int64 // bytes written
	syncer disk.Syncer
	failed error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := disk.InPieces{To: s.out}.Write(b)
	s.size += int64(n)
	s.syncer.Wrote(s.out, n)
	if err != nil && s.failed == nil {
		s.failed = err
	}
	return n, err
}

// syncDirectory makes renames in dir last.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// WriteFile writes a whole table to path: Create, Write and Commit in one.
func WriteFile(path string, schema *arrow.Schema, batches ...arrow.RecordBatch) error {
	w, err := Create(path, schema, WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Abort()
	for i, b := range batches {
		if err := w.Write(b); err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
	}
	return w.Commit()
}
