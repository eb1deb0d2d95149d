package tabular

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// storedReader reads Parquet tables whose columns have in Arrow the form in which the file has them, which are most spines: several columns
// at a time, and straight into the memory of the batch.
type storedReader struct {
	file    *input
	schema  *arrow.Schema
	stored  *parquetio.File
	wanted  storedColumns
	others  storedColumns // left to Rest
	rows    int64
	first   int64 // the row at which the last batch starts
	next    int64 // the row after it
	most    int   // rows of a batch
	least   int   // to which most may fall
	textMax int   // bytes of text that a column of a batch with more rows than least may have
}

// storedColumns are columns that are read together.
type storedColumns struct {
	schema   *arrow.Schema
	scanners []*parquetio.StoredScanner
}

// newStoredReader returns a reader of the table in f, which has the given schema and number of rows; nil where some column is not as it is stored.
func newStoredReader(f *input, schema *arrow.Schema, rows int64, opts ReaderOptions) (*storedReader, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "read %s: %w", f.Name(), err)
	}
	pf, err := parquetio.NewFile(f.Name(), f, info.Size())
	if err != nil || pf.Rows() != rows || len(pf.Columns()) != schema.NumFields() {
		return nil, nil // the other reader says what is wrong with it, or what it makes of it
	}
	var wanted, others []arrow.Field
	for _, field := range schema.Fields() {
		if stored, ok := pf.Stored(field.Name); !ok || !asStored(field.Type, stored) {
			return nil, nil
		}
		if opts.Wanted == nil || opts.Wanted(field.Name) {
			wanted = append(wanted, field)
		} else {
			others = append(others, field)
		}
	}
	r := &storedReader{file: f, schema: schema, stored: pf, rows: rows, most: opts.BatchRows, least: opts.BatchRows}
	r.wanted.schema, r.others.schema = arrow.NewSchema(wanted, nil), arrow.NewSchema(others, nil)
	memory := &parquetio.Memory{}
	for _, field := range others {
		r.others.scanners = append(r.others.scanners, pf.ScanStored(field.Name, memory))
	}
	if opts.BatchRowsOf != nil {
		if err := r.enlarge(opts); err != nil {
			return nil, f.damaged(err)
		}
	}
	return r, r.scan()
}

// enlarge has batches be as large as is wanted, and as texts allow.
func (r *storedReader) enlarge(opts ReaderOptions) error {
	most, all, err := r.textBytes()
	if err != nil {
		return err
	}
	r.most = max(1, opts.BatchRowsOf(r.wanted.schema, all))
	r.least = min(r.most, r.least)
	if most > 0 {
		r.textMax = cmp.Or(opts.textMax, columnTextMax)
		r.most = max(r.least, min(r.most, r.textMax/4/int(most)))
	}
	return nil
}

// scan begins with the rows that come next of the wanted columns.
func (r *storedReader) scan() error {
	r.wanted.scanners = nil
	for _, field := range r.wanted.schema.Fields() {
		s := r.stored.ScanStored(field.Name, nil)
		for row := int64(0); row < r.next; {
			n := min(int64(r.least), r.next-row)
			if _, err := s.Next(int(n)); err != nil {
				return err
			}
			row += n
		}
		if r.most > r.least {
			s.TextMax(r.textMax)
		}
		r.wanted.scanners = append(r.wanted.scanners, s)
	}
	return nil
}

// columnTextMax bounds the texts of a column in a batch that is larger than it has to be. It is as large as is a quarter of that by the first rows.
const columnTextMax = 1 << 30

// textBytes returns how much memory the texts of a row take, to go by the first rows, of the wanted column that takes the most, and of all wanted columns.
func (r *storedReader) textBytes() (most, all int64, err error) {
	n := min(r.rows, 1<<13)
	for _, field := range r.wanted.schema.Fields() {
		if !arrow.IsBaseBinary(field.Type.ID()) || n == 0 {
			continue
		}
		values, err := r.stored.ScanStored(field.Name, nil).Next(int(n))
		if err != nil {
			return 0, 0, err
		}
		size := int64(0)
		for _, b := range values.Data().Buffers()[1:] {
			size += int64(b.Len())
		}
		most, all = max(most, size/n), all+size/n
	}
	return most, all, nil
}

// asStored reports whether an Arrow column of type t has the values that a file stores so.
func asStored(t arrow.DataType, s parquetio.Stored) bool {
	switch t := t.(type) {
	case *arrow.TimestampType:
		return s.Kind == feature.Int64 && s.UnitsPerSecond == unitsPerSecond(t)
	case *arrow.BooleanType:
		return s.Kind == feature.Bool
	case *arrow.Int32Type, *arrow.Uint32Type, *arrow.Date32Type:
		return s.Kind == feature.Int32
	case *arrow.Int64Type, *arrow.Uint64Type:
		return s.Kind == feature.Int64 && s.UnitsPerSecond == 0
	case *arrow.Float32Type:
		return s.Kind == feature.Float32
	case *arrow.Float64Type:
		return s.Kind == feature.Float64
	case *arrow.StringType, *arrow.BinaryType:
		return s.Kind == feature.Bytes
	}
	return false
}

func (r *storedReader) Schema() *arrow.Schema { return r.schema }
func (r *storedReader) Rows() (int64, bool)   { return r.rows, true }
func (r *storedReader) Close() error          { return r.file.Close() }

func (r *storedReader) Where(row int) string {
	return fmt.Sprintf("%s: row %d", r.file.Name(), r.first+int64(row))
}

func (r *storedReader) Next(ctx context.Context) (arrow.RecordBatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.next == r.rows {
		return nil, io.EOF
	}
	batch, err := r.wanted.read(min(int64(r.most), r.rows-r.next))
	if errors.Is(err, parquetio.ErrTooMuch) && r.most > r.least { // its texts become longer than they have begun
		r.most = r.least
		if err = r.scan(); err == nil {
			batch, err = r.wanted.read(min(int64(r.most), r.rows-r.next))
		}
	}
	if err != nil {
		return nil, r.file.damaged(err)
	}
	r.first, r.next = r.next, r.next+batch.NumRows()
	return batch, nil
}

func (r *storedReader) Rest(ctx context.Context, n int64) (arrow.RecordBatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	batch, err := r.others.read(n)
	if err != nil {
		return nil, r.file.damaged(err)
	}
	return batch, nil
}

// read returns the next n rows.
func (c *storedColumns) read(n int64) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, len(c.scanners))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range c.scanners {
		group.Go(func() error {
			values, err := s.Next(int(n))
			if err != nil {
				return err
			}
			columns[i] = ofType(c.schema.Field(i).Type, values)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	batch := array.NewRecordBatch(c.schema, columns, n)
	release(columns)
	return batch, nil
}

// ofType returns the values of an array, which it releases, as those of type t.
func ofType(t arrow.DataType, values arrow.Array) arrow.Array {
	d := values.Data()
	data := array.NewData(t, d.Len(), d.Buffers(), nil, d.NullN(), d.Offset())
	values.Release()
	defer data.Release()
	return array.MakeFromData(data)
}

func release(columns []arrow.Array) {
	for _, c := range columns {
		c.Release()
	}
}
