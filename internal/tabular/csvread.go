package tabular

import (
	"context"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// batchBytesMax bounds the text of a batch; a column's text stays far below the 2 GiB that utf8 offsets can count.
const batchBytesMax = 64 << 20

type csvReader struct {
	whole
	file   *input
	opts   ReaderOptions
	scan   *csvScanner
	schema *arrow.Schema
	lines  []int64 // on which each row of the last batch begins
}

func newCSVReader(f *input, opts ReaderOptions) (*csvReader, error) {
	r := &csvReader{file: f, opts: opts, scan: newCSVScanner(f.Name(), f)}
	if err := r.scan.next(); err == io.EOF {
		return nil, feature.Errorf(feature.ErrInvalid, "%s: the file is empty: a CSV begins with a line of column names", f.Name())
	} else if err != nil {
		return nil, r.fault(err)
	}
	fields := make([]arrow.Field, len(r.scan.fields))
	seen := map[string]int{}
	for i, f := range r.scan.fields {
		if !utf8.Valid(f.text) {
			return nil, r.scan.fault("column name %d is not UTF-8: save the file as UTF-8", i+1)
		}
		name := string(f.text)
		if j, ok := seen[name]; ok {
			return nil, r.scan.fault("columns %d and %d have one name, %q", j+1, i+1, name)
		}
		seen[name] = i
		fields[i] = arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true}
	}
	r.schema = arrow.NewSchema(fields, nil)
	return r, nil
}

func (r *csvReader) Schema() *arrow.Schema { return r.schema }
func (r *csvReader) Rows() (int64, bool)   { return 0, false }
func (r *csvReader) Close() error          { return r.file.Close() }

func (r *csvReader) Where(row int) string {
	if row < 0 || row >= len(r.lines) {
		return r.file.Name()
	}
	return fmt.Sprintf("%s:%d", r.file.Name(), r.lines[row])
}

// fault gives a failure to read its kind; what the scanner found wrong has one.
func (r *csvReader) fault(err error) error {
	if r.file.failed.Load() != nil {
		return r.file.damaged(err)
	}
	return err
}

func (r *csvReader) Next(ctx context.Context) (arrow.RecordBatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	columns := make([]*array.StringBuilder, r.schema.NumFields())
	for i := range columns {
		columns[i] = array.NewStringBuilder(memory.DefaultAllocator)
	}
	r.lines = r.lines[:0]
	size := 0
	for len(r.lines) < r.opts.BatchRows && size < batchBytesMax {
		err := r.scan.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, r.fault(err)
		}
		if r.isBlank() {
			continue
		}
		n, err := r.append(columns)
		if err != nil {
			return nil, err
		}
		size += n
		r.lines = append(r.lines, r.scan.line)
	}
	if len(r.lines) == 0 {
		return nil, io.EOF
	}
	arrays := make([]arrow.Array, len(columns))
	for i, c := range columns {
		arrays[i] = c.NewArray()
	}
	return array.NewRecordBatch(r.schema, arrays, int64(len(r.lines))), nil
}

// isBlank reports whether the scanner's record is an empty line, which is no row, save in a table of one column, where it is a NULL.
func (r *csvReader) isBlank() bool {
	f := r.scan.fields
	return len(f) == 1 && len(f[0].text) == 0 && !f[0].quoted && r.schema.NumFields() > 1
}

// append adds the scanner's record to columns and returns its length in bytes.
func (r *csvReader) append(columns []*array.StringBuilder) (int, error) {
	fields := r.scan.fields
	if len(fields) != len(columns) {
		return 0, r.scan.fault("%d fields, where the header has %d", len(fields), len(columns))
	}
	size := 0
	for i, f := range fields {
		if len(f.text) == 0 && !f.quoted {
			columns[i].AppendNull()
			continue
		}
		if !utf8.Valid(f.text) {
			return 0, r.scan.fault("column %s is not UTF-8: save the file as UTF-8", r.schema.Field(i).Name)
		}
		columns[i].BinaryBuilder.Append(f.text)
		size += len(f.text)
	}
	return size, nil
}
