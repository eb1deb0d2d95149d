// Package tabular reads and writes whole tables, whatever their columns, as Arrow record batches. A file's ending names
// its format: Parquet, CSV or Arrow IPC.
//
// Columns pass through untouched: Parquet and Arrow columns keep their Arrow type, nested ones and decimals
// included; a CSV column is text, byte for byte. Three types have no place in a format and become the nearest: seconds
// in Parquet milliseconds, fixed-size lists in Parquet lists, dictionaries in Arrow IPC their values.
// [Convert] makes keys and times of columns where that is wanted.
package tabular

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// Format is a file format that tables are kept in.
type Format string

// The formats.
const (
	Parquet  Format = "Parquet"
	CSV      Format = "CSV"
	ArrowIPC Format = "Arrow IPC"
)

// Endings lists the file endings that name a format, as messages and help texts give them.
const Endings = ".parquet, .csv, .arrow, .ipc, .feather"

// FormatOf returns the format that path's ending names, in any case, and an ErrInvalid that lists the endings where it names none.
func FormatOf(path string) (Format, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".parquet":
		return Parquet, nil
	case ".csv":
		return CSV, nil
	case ".arrow", ".ipc", ".feather":
		return ArrowIPC, nil
	}
	return "", feature.Errorf(feature.ErrInvalid, "%s: the file's ending names no table format: use one of %s", path, Endings)
}

// Reader reads a table from its first row to its last. One goroutine uses it at a time.
type Reader interface {
	// Schema returns the table's columns. Those of a CSV are all utf8.
	Schema() *arrow.Schema
	// Next returns the next rows, at least one and at most ReaderOptions.BatchRows, and io.EOF after the last. Batches
	// stay valid after later calls. Damaged content is ErrCorrupt (a CSV's: ErrInvalid, with its line), and a file
	// with fewer rows than it promises is damaged.
	Next(ctx context.Context) (arrow.RecordBatch, error)
	// Rest returns the next n rows of the columns that Next leaves out (ReaderOptions.Wanted), in the order of the schema, and without columns where there are none.
	// n is at most ReaderOptions.BatchRows. A batch that is released gives its memory to later ones.
	Rest(ctx context.Context, n int64) (arrow.RecordBatch, error)
	// Rows returns the number of rows of the whole table where the format tells it beforehand.
	Rows() (rows int64, known bool)
	// Where names the place of a row of the batch that Next returned last, for messages:
	// "spine.csv:17" or "spine.parquet: row 15".
	Where(row int) string
	// Close closes the file.
	Close() error
}

// ReaderOptions are the options of [OpenReader]; the zero value works.
type ReaderOptions struct {
	// BatchRows bounds the rows of a batch; 0 means [BatchRowsDefault]. A batch has fewer where rows are large or
	// the file's own batches are smaller.
	BatchRows int
	// BatchRowsOf, where it is set, bounds instead the rows of a batch in a table with the given schema, whose texts take so many bytes a row, to go by the
	// first of them, in a format that can be read in batches of any size: where many rows are wanted at once, one batch of them needs no copy.
	BatchRowsOf func(schema *arrow.Schema, textBytes int64) int
	// Wanted, where it is set, tells of which columns whole batches are wanted. Others may be left to [Reader.Rest] in a format that can read them later, so that they
	// need not lie in memory meanwhile; what is said above of a batch's schema and texts then is of those that Next returns.
	Wanted func(column string) bool

	// ReadOnce, where it is set, gets the bytes of a file that can be read only once, such as a pipe, as they are read. Only CSV can come so.
	ReadOnce io.Writer

	textMax int // tests lower columnTextMax with it
}

// BatchRowsDefault is the BatchRows of a reader of which nothing else is asked.
const BatchRowsDefault = 65_536

// whole is what readers have in common that leave no column out.
type whole struct{}

// Rest returns n rows of no columns.
func (whole) Rest(ctx context.Context, n int64) (arrow.RecordBatch, error) {
	return array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, n), ctx.Err()
}

// OpenReader opens the table in the file at path. The error is ErrInvalid for an unknown ending, ErrNotFound for a missing file,
// ErrUnavailable where it cannot be read and ErrCorrupt where it is not what its ending says.
func OpenReader(path string, opts ReaderOptions) (Reader, error) {
	format, err := FormatOf(path)
	if err != nil {
		return nil, err
	}
	if opts.BatchRows < 0 {
		return nil, feature.Errorf(feature.ErrInvalid, "read %s: a batch of %d rows is wanted; it has at least 1", path, opts.BatchRows)
	}
	if opts.BatchRows == 0 {
		opts.BatchRows = BatchRowsDefault
	}
	f, err := openInput(path)
	if err != nil {
		return nil, err
	}
	if !rereadable(f.info) {
		f.once = opts.ReadOnce
	}
	var r Reader
	switch format {
	case Parquet:
		r, err = newParquetReader(f, opts)
	case CSV:
		r, err = newCSVReader(f, opts)
	case ArrowIPC:
		r, err = newIPCReader(f, opts)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// input is an open file that remembers how reading it failed first, so that a disk's failure is not called damage. Several goroutines may read it at once.
type input struct {
	*os.File
	info   os.FileInfo
	once   io.Writer // gets what is read; nil: nobody
	failed atomic.Pointer[error]
}

// rereadable reports whether a file can be read again, beside a reader of it.
func rereadable(info os.FileInfo) bool { return info.Mode().IsRegular() }

func openInput(path string) (*input, error) {
	f, err := os.Open(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, feature.Errorf(feature.ErrNotFound, "read %s: there is no such file", path)
		}
		return nil, feature.Errorf(feature.ErrUnavailable, "read %s: %w", path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		f.Close()
		return nil, feature.Errorf(feature.ErrInvalid, "read %s: it is a directory: name a file", path)
	}
	if err != nil {
		f.Close()
		return nil, feature.Errorf(feature.ErrUnavailable, "read %s: %w", path, err)
	}
	return &input{File: f, info: info}, nil
}

// Read implements io.Reader.
func (f *input) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	if f.once != nil && n > 0 {
		if _, err := f.once.Write(b[:n]); err != nil {
			return n, err
		}
	}
	return n, f.note(err)
}

// ReadAt implements io.ReaderAt.
func (f *input) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	return n, f.note(err)
}

func (f *input) note(err error) error {
	if err != nil && !isEOF(err) {
		f.failed.CompareAndSwap(nil, &err)
	}
	return err
}

// damaged returns err, met while decoding f, as ErrCorrupt, or as ErrUnavailable where the file could not be read.
func (f *input) damaged(err error) error {
	if failed := f.failed.Load(); failed != nil {
		return feature.Errorf(feature.ErrUnavailable, "read %s: %w", f.Name(), *failed)
	}
	return feature.Errorf(feature.ErrCorrupt, "read %s: the file is damaged, or of a kind that asof does not read: %w", f.Name(), err)
}

// guard runs call, in which a library meets outside bytes and may panic on them, and returns a panic as an error.
func guard(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the library stopped: %v", p)
		}
	}()
	return call()
}
