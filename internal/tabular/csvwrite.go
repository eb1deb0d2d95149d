package tabular

import (
	"bytes"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// csvEncoder writes RFC 4180 text with \n line ends. NULL is an empty field, an empty text a quoted empty one.
type csvEncoder struct {
	out     io.Writer
	line    []byte
	columns []csvColumn // of the batch being written
}

type csvColumn struct {
	array arrow.Array
	text  func(b []byte, row int) []byte // appends the value; set where it needs no quotes
}

func newCSVEncoder(out io.Writer, schema *arrow.Schema) (encoder, error) {
	if schema.NumFields() == 0 {
		return nil, feature.Errorf(feature.ErrInvalid, "a table without columns cannot be written as CSV")
	}
	e := &csvEncoder{out: out}
	for i, f := range schema.Fields() {
		if i > 0 {
			e.line = append(e.line, ',')
		}
		e.line = appendField(e.line, []byte(f.Name), schema.NumFields() == 1)
	}
	_, err := out.Write(append(e.line, '\n'))
	return e, err
}

func (e *csvEncoder) write(batch arrow.RecordBatch) error {
	e.columns = e.columns[:0]
	for _, c := range batch.Columns() {
		e.columns = append(e.columns, csvColumn{c, plainText(c)})
	}
	var scratch []byte
	for row := range int(batch.NumRows()) {
		e.line = e.line[:0]
		for i, c := range e.columns {
			if i > 0 {
				e.line = append(e.line, ',')
			}
			switch {
			case isNull(c.array, row): // an empty field
			case c.text != nil:
				e.line = c.text(e.line, row)
			default:
				scratch = appendValue(scratch[:0], c.array, row)
				e.line = appendField(e.line, scratch, true)
			}
		}
		if _, err := e.out.Write(append(e.line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (e *csvEncoder) finish() error { return nil }

// plainText returns a function that appends the values of c where their text never needs quotes, else nil.
func plainText(c arrow.Array) func(b []byte, row int) []byte {
	switch c := c.(type) {
	case *array.Boolean, *array.Int32, *array.Int64, *array.Float32, *array.Float64, *array.Timestamp, *array.Date32:
		return func(b []byte, row int) []byte { return appendValue(b, c, row) }
	}
	return nil
}

// appendField appends text as a CSV field, in quotes where it needs them, and where it is empty if quoteEmpty.
func appendField(b, text []byte, quoteEmpty bool) []byte {
	if len(text) == 0 && quoteEmpty {
		return append(b, '"', '"')
	}
	// A carriage return is quoted too: before a line end it would be taken for a part of it. So is a byte order mark at the file's start.
	if bytes.IndexByte(text, '"') < 0 && bytes.IndexByte(text, ',') < 0 && bytes.IndexByte(text, '\n') < 0 &&
		bytes.IndexByte(text, '\r') < 0 && !bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		return append(b, text...)
	}
	b = append(b, '"')
	for _, c := range text {
		if c == '"' {
			b = append(b, '"')
		}
		b = append(b, c)
	}
	return append(b, '"')
}
