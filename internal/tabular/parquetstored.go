package tabular

import (
	"context"
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
	file     *input
	schema   *arrow.Schema
	scanners []*parquetio.StoredScanner
	rows     int64
	first    int64 // the row at which the last batch starts
	next     int64 // the row after it
	most     int   // rows of a batch
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
	r := &storedReader{file: f, schema: schema, rows: rows, most: opts.BatchRows}
	if opts.BatchRowsOf != nil {
		r.most = max(1, opts.BatchRowsOf(schema))
	}
	for _, field := range schema.Fields() {
		stored, ok := pf.Stored(field.Name)
		if !ok || !asStored(field.Type, stored) {
			return nil, nil
		}
		if stored.Kind == feature.Bytes {
			r.most = min(r.most, opts.BatchRows) // an array holds at most 2 GiB of text
		}
		r.scanners = append(r.scanners, pf.ScanStored(field.Name))
	}
	return r, nil
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
	n := min(int64(r.most), r.rows-r.next)
	columns := make([]arrow.Array, len(r.scanners))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, s := range r.scanners {
		group.Go(func() error {
			values, err := s.Next(int(n))
			if err != nil {
				return err
			}
			d := values.Data()
			columns[i] = array.MakeFromData(array.NewData(r.schema.Field(i).Type, d.Len(), d.Buffers(), nil, d.NullN(), 0))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, r.file.damaged(err)
	}
	r.first, r.next = r.next, r.next+n
	return array.NewRecordBatch(r.schema, columns, n), nil
}
