package parquetio

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"github.com/asof-store/asof/feature"
)

// ColumnSpec describes a column to be written.
type ColumnSpec struct {
	Name string
	Type feature.Type
	// Required columns refuse NULL.
	Required bool
	// Ordered says that values grow from row to row, or nearly, as keys and times of sorted rows do.
	Ordered bool
	// FieldID is the column's Iceberg field id; 0 writes none. ElementID is that of a list's elements.
	FieldID, ElementID int
}

// bounded reports whether the file gets bounds of the column's values. parquet-go mixes NaN into those of floats with a
// dictionary, so that values lie outside; bounds of lists and of bytes that are no key are of no use.
func (c ColumnSpec) bounded() bool {
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
}

// The defaults of [WriterOptions].
//
// RowGroupRows: 4 to 8 MB a column, few enough row groups that a large table's footers stay small. PageRows: a
// lookup decodes whole pages, a scan pays about 1 us for each.
const (
	rowGroupRowsDefault = 1 << 19
	pageRowsDefault     = 1 << 14
)

// chunkValuesMax bounds the values that go to the encoder at once, so that they stay in the processor's cache; a
// page of wide values ends after the chunk that fills writtenPageBytesMax.
const (
	chunkValuesMax      = 1024
	writtenPageBytesMax = 1 << 20
)

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
// index, dictionary encoding where few values repeat. The error of a call makes the writer useless; the caller then
// throws the bytes away.
type Writer struct {
	out     *checksummer
	columns []ColumnSpec
	opts    WriterOptions

	pending []arrow.RecordBatch // the rows of the row group to come
	rows    int
	same    []map[string]string // of each row group, see sameColumns

	file    *parquet.GenericWriter[any] // nil before the first row group: its encodings depend on its values
	leaves  []*parquet.ColumnWriter
	scratch []parquet.Value
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
	return &Writer{out: &checksummer{out: w}, columns: columns, opts: opts}
}

// Write adds the batch's rows. The batch is read until the row group that holds its last row is complete, so its
// arrays must not change.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	if err := w.checkTypes(batch); err != nil {
		return err
	}
	for from := int64(0); from < batch.NumRows(); {
		n := min(batch.NumRows()-from, int64(w.opts.RowGroupRows-w.rows))
		w.pending = append(w.pending, batch.NewSlice(from, from+n))
		w.rows += int(n)
		from += n
		if w.rows == w.opts.RowGroupRows {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Writer) checkTypes(batch arrow.RecordBatch) error {
	if int(batch.NumCols()) != len(w.columns) {
		return feature.Errorf(feature.ErrInternal, "writing Parquet: a batch has %d columns, the file %d", batch.NumCols(), len(w.columns))
	}
	for i, c := range w.columns {
		if got := batch.Column(i).DataType(); !arrow.TypeEqual(got, c.Type.Arrow()) {
			return feature.Errorf(feature.ErrInternal, "writing Parquet: column %s is %s, the batch has %s", c.Name, c.Type, got)
		}
		if c.Required && batch.Column(i).NullN() > 0 {
			return feature.Errorf(feature.ErrInternal, "writing Parquet: column %s is required and the batch has a NULL in it", c.Name)
		}
	}
	return nil
}

// Flush ends the row group with the rows written so far; without any it does nothing.
func (w *Writer) Flush() error {
	if w.rows == 0 {
		return nil
	}
	if w.file == nil {
		w.open()
	}
	for i := range w.columns {
		if err := w.writeColumn(i); err != nil {
			return feature.Errorf(feature.ErrUnavailable, "writing Parquet column %s: %w", w.columns[i].Name, err)
		}
	}
	w.same = append(w.same, w.sameColumns())
	clear(w.pending)
	w.pending, w.rows = w.pending[:0], 0
	if err := w.file.Flush(); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "writing a Parquet row group: %w", err)
	}
	return nil
}

// Size returns the bytes of the row groups written so far.
func (w *Writer) Size() int64 {
	if w.file == nil {
		return 0
	}
	return w.file.Size()
}

// Close writes what is pending and the footer. It does not close the underlying writer.
func (w *Writer) Close() (Stats, error) {
	if err := w.Flush(); err != nil {
		return Stats{}, err
	}
	if w.file == nil {
		w.open()
	}
	if err := w.noteSame(); err != nil {
		return Stats{}, err
	}
	w.out.hold()
	err := w.file.Close()
	var size int64
	if err == nil {
		size, err = w.out.finish()
	}
	if err != nil {
		return Stats{}, feature.Errorf(feature.ErrUnavailable, "writing a Parquet footer: %w", err)
	}
	return w.stats(size), nil
}

// open fixes the schema, with the encodings that suit the pending rows.
func (w *Writer) open() {
	fields := make([]parquet.Node, len(w.columns))
	for i, c := range w.columns {
		fields[i] = node(c, encodingFor(c, w.column(i)))
	}
	options := []parquet.WriterOption{
		newSchema(w.columns, fields),
		parquet.Compression(w.opts.Codec),
		parquet.CreatedBy("asof", "", ""),
		parquet.DataPageStatistics(false), // the page index has them
		parquet.DictionaryMaxBytes(writtenPageBytesMax),
		parquet.PageBufferSize(writtenPageBytesMax),
		parquet.ColumnIndexSizeLimit(w.indexBytes),
		parquet.KeyValueMetadata(checksumsKey, checksumsKind),
	}
	for _, c := range w.columns {
		if !c.bounded() {
			options = append(options, parquet.SkipPageBounds(c.leaf()...))
		}
	}
	for k, v := range w.opts.KeyValues {
		options = append(options, parquet.KeyValueMetadata(k, v))
	}
	w.file = parquet.NewGenericWriter[any](w.out, options...)
	w.leaves = w.file.ColumnWriters()
}

// indexBytes is how long a bound in the page index may get; 0 is any length. Readers rely on the bounds of sorted columns, and
// parquet-go cuts a bound that is all 0xff to one that is too low. (No UTF-8 is, and other columns of bytes have no bounds.)
func (w *Writer) indexBytes(path []string) int {
	for _, c := range w.columns {
		if c.Ordered && c.Name == path[0] {
			return 0
		}
	}
	return parquet.DefaultColumnIndexSizeLimit
}

// column returns the pending arrays of column i.
func (w *Writer) column(i int) []arrow.Array {
	arrays := make([]arrow.Array, len(w.pending))
	for j, b := range w.pending {
		arrays[j] = b.Column(i)
	}
	return arrays
}

// writeColumn writes the pending rows of column i in pages of equal row counts, so that the pages of all columns
// without very wide values begin at the same rows.
func (w *Writer) writeColumn(i int) error {
	leaf, optional, pageRows := w.leaves[i], !w.columns[i].Required, 0
	for _, a := range w.column(i) {
		for from := 0; from < a.Len(); {
			n := min(a.Len()-from, w.opts.PageRows-pageRows, chunkValuesMax)
			if list, ok := a.(*array.List); ok {
				n = rowsOfChunk(list, from, n)
			}
			w.scratch = appendValues(w.scratch[:0], a, from, from+n, optional)
			if _, err := leaf.WriteRowValues(w.scratch); err != nil {
				return err
			}
			from, pageRows = from+n, pageRows+n
			if pageRows == w.opts.PageRows {
				if err := leaf.Flush(); err != nil {
					return err
				}
				pageRows = 0
			}
		}
	}
	return leaf.Flush()
}

// rowsOfChunk returns how many rows from the given one, at least one and at most n, hold chunkValuesMax elements.
func rowsOfChunk(list *array.List, from, n int) int {
	first, _ := list.ValueOffsets(from)
	for k := 1; k < n; k++ {
		if _, end := list.ValueOffsets(from + k); end-first > chunkValuesMax {
			return k
		}
	}
	return n
}
