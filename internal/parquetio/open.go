// Package parquetio reads columns of Parquet files as Arrow arrays of feature types.
//
// The reader walks pages itself, over parquet-go's Thrift and format definitions, instead of going through
// parquet.File: bytes come from outside, and here every size is checked before memory is taken for it, every count
// against the metadata, and pages that are not asked for are never decompressed. Of eight broken files of
// apache/parquet-testing the generic reader passed four in silence.
package parquetio

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	magic          = "PAR1"
	magicBytes     = 4
	trailerBytes   = 8         // footer length and magic
	footerBytesMax = 256 << 20 // 100,000 column chunks take some 20 MB
)

// File is an open Parquet file whose metadata has been checked. Its methods may be used by several goroutines at
// once; Close only after the last of them has returned.
type File struct {
	path     string
	bytes    io.ReaderAt
	size     int64
	close    func() error
	meta     format.FileMetaData
	groups   []RowGroup
	columns  []*column // in file order
	byPath   map[string]*column
	inflater inflater
	sums     *checksums // nil where there are none
	memory   *Memory    // of the numbers read; nil: the collector's
	counter  *atomic.Int64

	placesMu sync.Mutex
	places   map[[2]int][]format.PageLocation // of chunks by row group and column, as far as they were asked for

	sameOnce sync.Once
	same     []map[string]string // by row group, see sameColumns
}

// RowGroup tells where a row group lies among the rows of its file.
type RowGroup struct {
	Rows     int
	FirstRow int64
	Bytes    int64 // of the stored columns
}

// Span is a half-open interval of rows, [From, To).
type Span struct{ From, To int }

// Open opens the Parquet file at path and checks its metadata. It fails with ErrNotFound when there is no such
// file, ErrUnavailable when it cannot be read, ErrInvalid when it is encrypted, and ErrCorrupt otherwise; the
// message names the file.
func Open(path string) (*File, error) { return OpenOn(disk.OS{}, path) }

// OpenOn is Open on another file system than the operating system's.
func OpenOn(d disk.FS, path string) (*File, error) {
	f, err := d.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, feature.Errorf(feature.ErrNotFound, "%s: no such file", path)
	} else if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "opening Parquet file: %w", err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, feature.Errorf(feature.ErrUnavailable, "%s: not a regular file (%v)", path, err)
	}
	file, err := NewFile(path, f, info.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	file.close = f.Close
	return file, nil
}

// NewFile is Open on bytes that the caller holds; name stands for the path in messages. Close does nothing.
func NewFile(name string, r io.ReaderAt, size int64) (file *File, err error) {
	f := &File{path: name, bytes: r, size: size, close: func() error { return nil }}
	defer f.guard(&err, "metadata")
	if err := f.readFooter(); err != nil {
		return nil, err
	}
	if err := f.buildColumns(); err != nil {
		return nil, err
	}
	if err := f.checkRowGroups(); err != nil {
		return nil, err
	}
	return f, nil
}

// UseMemory has reads take the memory of numbers from m. It comes before the first of them.
func (f *File) UseMemory(m *Memory) { f.memory = m }

// CountReads has reads of pages and indexes add their bytes to counter. It comes before the first of them.
func (f *File) CountReads(counter *atomic.Int64) { f.counter = counter }

// Close closes the file.
func (f *File) Close() error { return f.close() }

// Path returns the path that the file was opened with.
func (f *File) Path() string { return f.path }

// Rows returns the number of rows of all row groups.
func (f *File) Rows() int64 { return f.meta.NumRows }

// Bytes returns the size of the file.
func (f *File) Bytes() int64 { return f.size }

// KeyValue returns the value of a key of the file's own key-value metadata.
func (f *File) KeyValue(key string) (string, bool) {
	for _, kv := range f.meta.KeyValueMetadata {
		if kv.Key == key {
			return kv.Value, true
		}
	}
	return "", false
}

// RowGroups returns the row groups in file order; the slice belongs to the file.
func (f *File) RowGroups() []RowGroup { return f.groups }

func (f *File) corrupt(format string, args ...any) error {
	return feature.Errorf(feature.ErrCorrupt, "%s: corrupt Parquet file: "+format, append([]any{f.path}, args...)...)
}

// guard turns a panic over outside bytes into ErrCorrupt. The checks below leave no such panic that we know of;
// this is what remains true when they are wrong.
func (f *File) guard(err *error, doing string) {
	if r := recover(); r != nil {
		*err = f.corrupt("reading %s: %v", doing, r)
	}
}

// readAt fills p from offset off.
func (f *File) readAt(p []byte, off int64) error {
	if off < 0 || off > f.size-int64(len(p)) {
		return f.corrupt("bytes [%d, %d) lie outside its %d bytes", off, off+int64(len(p)), f.size)
	}
	n, err := f.bytes.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return f.corrupt("it was truncated while being read")
	}
	return feature.Errorf(feature.ErrUnavailable, "reading %s: %w", f.path, err)
}

func (f *File) readFooter() error {
	if f.size < magicBytes+trailerBytes {
		return f.corrupt("%d bytes are too few", f.size)
	}
	var head [magicBytes]byte
	var tail [trailerBytes]byte
	if err := f.readAt(head[:], 0); err != nil {
		return err
	}
	if err := f.readAt(tail[:], f.size-trailerBytes); err != nil {
		return err
	}
	if string(head[:]) == "PARE" || string(tail[4:]) == "PARE" {
		return f.encrypted()
	}
	if string(head[:]) != magic {
		return f.corrupt("it does not begin with PAR1")
	}
	if string(tail[4:]) != magic {
		return f.corrupt("it does not end with PAR1: it was truncated, or is still being written")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > f.size-magicBytes-trailerBytes || n > footerBytesMax {
		return f.corrupt("a footer of %d bytes does not fit", n)
	}
	b := make([]byte, n+trailerBytes)
	if err := f.readAt(b, f.size-trailerBytes-n); err != nil {
		return err
	}
	if err := f.readChecksums(b); err != nil {
		return err
	}
	b = b[:n]
	used, err := decodeThrift(b, &f.meta)
	if err != nil {
		return f.corrupt("footer: %v", err)
	}
	if f.meta.EncryptionAlgorithm.Value != nil {
		return f.encrypted()
	}
	if used != len(b) {
		return f.corrupt("footer: %d bytes follow the metadata", len(b)-used)
	}
	return f.checkPromised()
}

func (f *File) encrypted() error {
	return feature.Errorf(feature.ErrInvalid, "%s: the file is encrypted, which is not supported: write it without encryption", f.path)
}

// checkRowGroups holds the counts of the metadata against each other and every column chunk against the file's size.
func (f *File) checkRowGroups() error {
	var rows int64
	for i := range f.meta.RowGroups {
		g := &f.meta.RowGroups[i]
		if g.NumRows < 0 || g.NumRows > math.MaxInt64-rows {
			return f.corrupt("row group %d has %d rows", i, g.NumRows)
		}
		if len(g.Columns) != len(f.columns) {
			return f.corrupt("row group %d has %d columns, the schema %d", i, len(g.Columns), len(f.columns))
		}
		group := RowGroup{Rows: int(g.NumRows), FirstRow: rows}
		rows += g.NumRows
		for j := range g.Columns {
			group.Bytes += max(0, g.Columns[j].MetaData.TotalCompressedSize)
			if err := f.checkChunk(i, f.columns[j], &g.Columns[j], g.NumRows); err != nil {
				return err
			}
		}
		f.groups = append(f.groups, group)
	}
	if rows != f.meta.NumRows {
		return f.corrupt("the footer promises %d rows, the row groups have %d", f.meta.NumRows, rows)
	}
	return nil
}

func (f *File) checkChunk(group int, c *column, chunk *format.ColumnChunk, rows int64) error {
	m := &chunk.MetaData
	switch {
	case chunk.CryptoMetadata.Value != nil:
		return f.encrypted()
	case chunk.FilePath != "":
		return feature.Errorf(feature.ErrInvalid, "%s: column %s lies in another file (%s), which is not supported", f.path, c.info.Path, chunk.FilePath)
	case m.Type != c.physical:
		return f.corrupt("row group %d: column %s is %s in the schema and %s in its chunk", group, c.info.Path, c.physical, m.Type)
	case m.NumValues < rows || c.maxRep == 0 && m.NumValues != rows:
		return f.corrupt("row group %d: column %s has %d values for %d rows", group, c.info.Path, m.NumValues, rows)
	case m.NumValues > 0 && (m.DataPageOffset < magicBytes || m.DataPageOffset > f.pagesEnd()):
		return f.corrupt("row group %d: column %s begins at byte %d of %d", group, c.info.Path, m.DataPageOffset, f.size)
	}
	return nil
}

// decodeThrift decodes one compact Thrift struct from the head of b and returns its length, or errShort.
func decodeThrift(b []byte, v any) (int, error) {
	n, err := thriftLength(b)
	if err != nil {
		return 0, err
	}
	protocol := thrift.CompactProtocol{}
	return n, thrift.NewDecoder(protocol.NewReaderFromBytes(b[:n])).Decode(v)
}
