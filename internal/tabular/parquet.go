package tabular

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/asof-store/asof/feature"
)

type parquetReader struct {
	whole
	file    *input
	opts    ReaderOptions
	schema  *arrow.Schema
	records pqarrow.RecordReader // nil for a table without columns or rows
	rows    int64                // as the metadata promises
	first   int64                // the row at which the last batch starts
	next    int64                // the row after it
}

func newParquetReader(f *input, opts ReaderOptions) (Reader, error) {
	r := &parquetReader{file: f, opts: opts}
	if err := guard(r.open); err != nil {
		return nil, f.damaged(err)
	}
	if stored, err := newStoredReader(f, r.schema, r.rows, opts); stored != nil || err != nil {
		return stored, err
	}
	return r, nil
}

func (r *parquetReader) open() error {
	props := parquet.NewReaderProperties(newAllocator())
	// Pages are read as they are needed: otherwise every column chunk of a row group lies in memory at once.
	props.BufferedStreamEnabled = true
	pf, err := file.NewParquetReader(r.file, file.WithReadProps(props))
	if err != nil {
		return err
	}
	if stored := pf.MetaData().KeyValueMetadata().FindValue(storedSchemaKey); stored != nil {
		if err := checkStoredSchema(*stored); err != nil {
			return err
		}
	}
	// Not Parallel: a panic in one of its goroutines could not be recovered.
	fr, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{BatchSize: int64(r.opts.BatchRows)}, newAllocator())
	if err != nil {
		return err
	}
	if r.schema, err = fr.Schema(); err != nil {
		return err
	}
	r.schema = withoutStoredSchema(r.schema)
	for i := range pf.NumRowGroups() {
		r.rows += pf.MetaData().RowGroup(i).NumRows()
	}
	if r.rows < pf.NumRows() || r.rows < 0 { // more is a writer's carelessness, and loses nothing
		return fmt.Errorf("its metadata promises %d rows and its row groups hold %d", pf.NumRows(), r.rows)
	}
	if r.rows == 0 || r.schema.NumFields() == 0 {
		return nil
	}
	r.records, err = fr.GetRecordReader(context.Background(), nil, nil)
	return err
}

func (r *parquetReader) Schema() *arrow.Schema { return r.schema }
func (r *parquetReader) Rows() (int64, bool)   { return r.rows, true }
func (r *parquetReader) Close() error          { return r.file.Close() }

func (r *parquetReader) Where(row int) string {
	return fmt.Sprintf("%s: row %d", r.file.Name(), r.first+int64(row))
}

func (r *parquetReader) Next(ctx context.Context) (arrow.RecordBatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	batch, err := r.read()
	switch {
	case isEOF(err) && r.next == r.rows, isEOF(err) && r.records == nil:
		return nil, io.EOF
	case isEOF(err):
		return nil, r.file.damaged(fmt.Errorf("it ends after %d rows of the %d that its metadata promises", r.next, r.rows))
	case err != nil:
		return nil, r.file.damaged(err)
	}
	r.first, r.next = r.next, r.next+batch.NumRows()
	if r.next > r.rows {
		return nil, r.file.damaged(fmt.Errorf("it has more rows than the %d that its metadata promises", r.rows))
	}
	return batch, nil
}

// read returns the next rows.
func (r *parquetReader) read() (batch arrow.RecordBatch, err error) {
	if r.records == nil {
		return nil, io.EOF
	}
	err = guard(func() (err error) {
		if batch, err = r.records.Read(); err == nil {
			batch.Retain() // the record reader drops its own reference at the next Read
		}
		return err
	})
	return batch, err
}

// isEOF reports whether err is the end of a file in one of the forms that libraries give it.
func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// withoutStoredSchema drops what pqarrow stores beside the schema: it writes its own anew.
func withoutStoredSchema(s *arrow.Schema) *arrow.Schema {
	md := s.Metadata()
	if md.FindKey(storedSchemaKey) < 0 {
		return s
	}
	var keys, values []string
	for i, k := range md.Keys() {
		if k != storedSchemaKey {
			keys, values = append(keys, k), append(values, md.Values()[i])
		}
	}
	kept := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(s.Fields(), &kept)
}

// rowsPerGroupMax bounds the rows that lie in memory until a row group is written: 128 Ki rows of 20 columns are about 20 MB.
const rowsPerGroupMax = 128 << 10

// pageBytes is the size at which a page is compressed, which larger ones of a row group would be only at its end.
const pageBytes = 256 << 10

// storedSchemaKey is where pqarrow and others keep the Arrow schema of a table.
const storedSchemaKey = "ARROW:schema"

type parquetEncoder struct {
	out    io.Writer
	w      *pqarrow.FileWriter // nil before the first batch, which decides what is compressed
	schema *arrow.Schema
}

func newParquetEncoder(w io.Writer, schema *arrow.Schema, parts []int) (encoder, error) {
	schema = withoutFixedLists(withoutStoredSchema(schema))
	if _, err := pqarrow.ToParquet(schema, writerProperties(schema, nil), arrowProperties()); err != nil {
		return nil, feature.Errorf(feature.ErrInvalid, "the table cannot be written as Parquet: %w", err)
	}
	if e := newColumnsEncoder(w, schema, parts); e != nil {
		return e, nil
	}
	return &parquetEncoder{out: w, schema: schema}, nil
}

// arrowProperties has the schema stored, which keeps what Parquet alone forgets: dictionaries, time zones, large strings.
func arrowProperties() pqarrow.ArrowWriterProperties {
	return pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema())
}

// writerProperties returns how a table of which batch is the beginning, nil where that is not known, is written.
func writerProperties(schema *arrow.Schema, batch arrow.RecordBatch) *parquet.WriterProperties {
	options := []parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Snappy),
		parquet.WithMaxRowGroupLength(rowsPerGroupMax),
		parquet.WithDataPageSize(pageBytes),
		parquet.WithCreatedBy("asof"),
	}
	for i, f := range schema.Fields() {
		if !arrow.IsPrimitive(f.Type.ID()) {
			continue
		}
		// Dictionaries of numbers seldom repay their making: BenchmarkWrite takes three times as long with them.
		options = append(options, parquet.WithDictionaryPath(parquet.ColumnPath{f.Name}, false))
		if batch != nil && !compressible(batch.Column(i)) {
			options = append(options, parquet.WithCompressionPath(parquet.ColumnPath{f.Name}, compress.Codecs.Uncompressed))
		}
	}
	return parquet.NewWriterProperties(options...)
}

// compressible reports whether a sample of a column of numbers shrinks by a tenth. Where there is nothing
// to find, Snappy is half of what writing costs: a table of 8 such columns and 2 M rows took it 0.44 processor seconds of 0.9.
func compressible(column arrow.Array) bool {
	const sampleBytes = 32 << 10
	data := column.Data()
	width := data.DataType().(arrow.FixedWidthDataType).BitWidth()
	values := data.Buffers()[1]
	if values == nil || width < 8 {
		return true
	}
	sample := values.Bytes()[min(values.Len(), data.Offset()*width/8):]
	sample = sample[:min(sampleBytes, len(sample), data.Len()*width/8)]
	codec, err := compress.GetCodec(compress.Codecs.Snappy)
	return err != nil || len(codec.Encode(nil, sample)) < len(sample)-len(sample)/10
}

func (e *parquetEncoder) open(batch arrow.RecordBatch) (err error) {
	e.w, err = pqarrow.NewFileWriter(e.schema, e.out, writerProperties(e.schema, batch), arrowProperties())
	return err
}

func (e *parquetEncoder) write(batch arrow.RecordBatch) error {
	if e.w == nil {
		if err := e.open(batch); err != nil {
			return err
		}
	}
	columns := append([]arrow.Array(nil), batch.Columns()...)
	for i, c := range columns {
		if fixed, ok := c.(*array.FixedSizeList); ok {
			list, err := variableList(fixed, e.schema.Field(i).Type)
			if err != nil {
				return err
			}
			columns[i] = list
		}
	}
	return e.w.WriteBuffered(array.NewRecordBatch(e.schema, columns, batch.NumRows()))
}

func (e *parquetEncoder) finish() error {
	if e.w == nil {
		if err := e.open(nil); err != nil {
			return err
		}
	}
	return e.w.Close()
}

// withoutFixedLists makes plain lists of columns of fixed-size lists, which pqarrow cannot write when one is NULL. In
// Parquet both are the same.
func withoutFixedLists(s *arrow.Schema) *arrow.Schema {
	fields := append([]arrow.Field(nil), s.Fields()...)
	for i, f := range fields {
		if fixed, ok := f.Type.(*arrow.FixedSizeListType); ok {
			fields[i].Type = arrow.ListOfField(fixed.ElemField())
		}
	}
	md := s.Metadata()
	return arrow.NewSchema(fields, &md)
}

// variableList returns fixed as a list of type t; its NULLs hold no values.
func variableList(fixed *array.FixedSizeList, t arrow.DataType) (arrow.Array, error) {
	offsets := make([]int32, 1, fixed.Len()+1)
	validity := make([]byte, bitutil.BytesForBits(int64(fixed.Len())))
	var runs []arrow.Array // of values between NULLs
	runFrom, runTo := int64(0), int64(0)
	size := int64(fixed.DataType().(*arrow.FixedSizeListType).Len())
	for row := range fixed.Len() {
		if fixed.IsNull(row) {
			offsets = append(offsets, offsets[row])
			continue
		}
		bitutil.SetBit(validity, row)
		offsets = append(offsets, offsets[row]+int32(size))
		from, to := fixed.ValueOffsets(row)
		if from != runTo {
			runs = append(runs, array.NewSlice(fixed.ListValues(), runFrom, runTo))
			runFrom = from
		}
		runTo = to
	}
	values, err := array.Concatenate(append(runs, array.NewSlice(fixed.ListValues(), runFrom, runTo)), memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	buffers := []*memory.Buffer{memory.NewBufferBytes(validity), memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets))}
	return array.NewListData(array.NewData(t, fixed.Len(), buffers, []arrow.ArrayData{values.Data()}, fixed.NullN(), 0)), nil
}
