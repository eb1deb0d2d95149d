package parquetio

import (
	"encoding/binary"
	"io"
	"maps"
	"runtime"
	"slices"

	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
)

// ColumnSpec describes a column to be written.
type ColumnSpec struct {
	Name string
	Type feature.Type
	// Required columns refuse NULL.
	Required bool
	// Ordered says that values grow from row to row, or nearly, as keys and times of sorted rows do.
	Ordered bool
	// Meaning, where it is set, is what the file says of integers, in place of what Type says.
	Meaning Meaning
	// PageRows, where it is less than that of all columns, bounds the rows of a page.
	PageRows int
	// FieldID is the column's Iceberg field id; 0 writes none. ElementID is that of a list's elements.
	FieldID, ElementID int
}

// Meaning is what a file says that integers are. The zero value is what they are by their type.
type Meaning struct {
	Date           bool  // int32: days since 1970
	Unsigned       bool  // of the type's width
	UnitsPerSecond int64 // int64: a timestamp
	Local          bool  // of a timestamp: of no zone
}

// bounded reports whether the file gets bounds of the column's values. A NaN is in no bounds, so that those of floats would say little;
// bounds of lists and of bytes that are no key are of no use.
func (c ColumnSpec) bounded() bool {
	if c.Meaning.Unsigned {
		return false // they are compared as they lie here, with a sign
	}
	switch c.Type.Kind {
	case feature.Float32, feature.Float64:
		return false
	case feature.Bytes:
		return c.Ordered
	}
	return !c.Type.List
}

// leaf returns the path of the column's values.
func (c ColumnSpec) leaf() []string {
	if c.Type.List {
		return []string{c.Name, "list", "element"}
	}
	return []string{c.Name}
}

// WriterOptions change how a file is laid out. The zero value works.
type WriterOptions struct {
	RowGroupRows int               // rows in a row group; default 524288
	PageRows     int               // rows in a page; default 16384
	KeyValues    map[string]string // written into the footer
	Codec        compress.Codec    // default: Snappy, see defaultCodec
	Workers      int               // columns that are encoded at once; default: the number of processors
	Stats        *stages.Stats     // is told of encoding and writing; nil: nobody is
	// Parts are the numbers of columns that are written on their own by [Writer.WritePart], in order; default: one part of all.
	Parts []int
}

// The defaults of [WriterOptions].
//
// RowGroupRows: 4 to 8 MB a column, few enough row groups that a large table's footers stay small. PageRows: a
// lookup decodes whole pages, a scan pays about 1 us for each.
const (
	rowGroupRowsDefault = 1 << 19
	pageRowsDefault     = 1 << 14
)

// writtenPageBytesMax is where a page of wide values ends, and how large a dictionary may get, save for one of keys.
const writtenPageBytesMax = 1 << 20

// dictionaryBytesMax is how large a dictionary of the column may get. That of keys is worth twice as much: it has each of them once, and a row costs next to nothing.
func (c ColumnSpec) dictionaryBytesMax() int {
	if c.Ordered {
		return 2 * writtenPageBytesMax
	}
	return writtenPageBytesMax
}

// Stats tells what a [Writer] has written.
type Stats struct {
	Rows, Bytes int64
	// Offsets are the byte offsets of the row groups.
	Offsets []int64
	// Columns has an entry for each ColumnSpec.
	Columns []ColumnStats
}

// ColumnStats tells what a column holds.
type ColumnStats struct {
	Bytes  int64 // in the file
	Values int64 // values, NULL included; those of a list's elements
	Nulls  int64 // NULLs among them
	// Min and Max bound the values, in Parquet's plain encoding without length (a bool: one byte); nil where there are none but
	// NULLs, for floats and lists, and for bytes that are not Ordered.
	Min, Max []byte
}

// Writer writes Arrow record batches as a Parquet file that parquet-mr, Arrow and DuckDB read: data pages of version 2, page
// index, dictionary encoding where few values repeat. The encodings are those of parquet-go; its writer takes every value on its own,
// through an interface, and columns one after the other. The error of a call makes the writer useless; the caller then
// throws the bytes away.
type Writer struct {
	out      *checksummer
	columns  []ColumnSpec
	opts     WriterOptions
	encoders []*chunkEncoder // of each column

	parts  []*part
	groups []*rowGroup
	spare  [][]byte // memory of chunks that have been written
}

// NewWriter returns a writer of a file with the given columns to w. Batches have the Arrow types of the columns
// (see feature.Type.Arrow), in order.
func NewWriter(w io.Writer, columns []ColumnSpec, opts WriterOptions) *Writer {
	if opts.RowGroupRows <= 0 {
		opts.RowGroupRows = rowGroupRowsDefault
	}
	if opts.PageRows <= 0 {
		opts.PageRows = pageRowsDefault
	}
	if opts.Codec == nil {
		opts.Codec = defaultCodec()
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	writer := &Writer{out: &checksummer{out: w}, columns: columns, opts: opts}
	for _, c := range columns {
		writer.encoders = append(writer.encoders, newChunkEncoder(c, &writer.opts))
	}
	if len(opts.Parts) == 0 {
		opts.Parts = []int{len(columns)}
	}
	first := 0
	for _, n := range opts.Parts {
		writer.parts = append(writer.parts, &part{columns: columns[first : first+n], first: first})
		first += n
	}
	return writer
}

// begin writes the head of the file, once.
func (w *Writer) begin() error {
	if w.out.size > 0 {
		return nil
	}
	_, err := w.out.Write([]byte(magic))
	return err
}

// Size returns the bytes of the row groups written so far.
func (w *Writer) Size() int64 { return w.out.size }

// Close writes what is pending and the footer. It does not close the underlying writer.
func (w *Writer) Close() (Stats, error) {
	if err := w.Flush(); err != nil {
		return Stats{}, err
	}
	for _, p := range w.parts {
		if p.written < len(w.groups) {
			return Stats{}, feature.Errorf(feature.ErrInternal, "writing Parquet: column %s has %d row groups, the file %d", p.columns[0].Name, p.written, len(w.groups))
		}
	}
	size, err := w.finish()
	if err != nil {
		return Stats{}, feature.Errorf(feature.ErrUnavailable, "writing a Parquet footer: %w", err)
	}
	return w.stats(size), nil
}

// finish writes indexes and footer and returns the size of the file.
func (w *Writer) finish() (int64, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	if err := w.writeIndexes(); err != nil {
		return 0, err
	}
	meta := format.FileMetaData{Version: 2, Schema: schemaElements(w.columns), CreatedBy: "asof"}
	for _, g := range w.groups {
		meta.NumRows += g.meta.NumRows
		meta.RowGroups = append(meta.RowGroups, g.meta)
	}
	for range w.columns {
		meta.ColumnOrders = append(meta.ColumnOrders, format.ColumnOrder{Value: &format.TypeDefinedOrder{}})
	}
	meta.KeyValueMetadata = append(meta.KeyValueMetadata, format.KeyValue{Key: checksumsKey, Value: checksumsKind})
	for _, k := range slices.Sorted(maps.Keys(w.opts.KeyValues)) {
		meta.KeyValueMetadata = append(meta.KeyValueMetadata, format.KeyValue{Key: k, Value: w.opts.KeyValues[k]})
	}
	same, err := w.sameEntry()
	if err != nil {
		return 0, err
	}
	meta.KeyValueMetadata = append(meta.KeyValueMetadata, same...)
	footer, err := marshal(&meta)
	if err != nil {
		return 0, err
	}
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	return w.out.finish(append(footer, magic...))
}

// writeIndexes writes the page index: the bounds of the pages of all chunks, then where they are, each kind in one piece as readers expect.
func (w *Writer) writeIndexes() error {
	write := func(v any) (at int64, length int32, err error) {
		b, err := marshal(v)
		if err != nil {
			return 0, 0, err
		}
		at = w.out.size
		_, err = w.out.Write(b)
		return at, int32(len(b)), err
	}
	var err error
	for _, g := range w.groups {
		for i := range g.chunks {
			c := &g.meta.Columns[i]
			if c.ColumnIndexOffset, c.ColumnIndexLength, err = write(&g.chunks[i].bounds); err != nil {
				return err
			}
		}
	}
	for _, g := range w.groups {
		for i := range g.chunks {
			c := &g.meta.Columns[i]
			if c.OffsetIndexOffset, c.OffsetIndexLength, err = write(&format.OffsetIndex{PageLocations: g.chunks[i].places}); err != nil {
				return err
			}
		}
	}
	return nil
}

func marshal(v any) ([]byte, error) { return thrift.Marshal(&thrift.CompactProtocol{}, v) }
