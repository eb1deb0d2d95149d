package tabular

import (
	"context"
	"encoding/base64"
	"io"
	"runtime"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"golang.org/x/sync/errgroup"
)

// columnsEncoder writes Parquet tables without nested columns, several columns at a time: writing is a third of what an
// export of numbers does, and pqarrow's own writer takes one column after the other.
type columnsEncoder struct {
	out    io.Writer
	schema *arrow.Schema
	file   *file.Writer // nil before the first batch, which decides what is compressed
	group  file.BufferedRowGroupWriter
	rows   int64     // in group
	levels [][]int16 // for each column, as scratch
}

// plain reports whether all columns of a schema are numbers, times, booleans or text.
func plain(schema *arrow.Schema) bool {
	for _, f := range schema.Fields() {
		switch id := f.Type.ID(); {
		case id == arrow.FLOAT16 || id == arrow.TIME32 || id == arrow.TIME64 || id == arrow.DURATION || id == arrow.NULL:
			return false
		case !arrow.IsPrimitive(id) && id != arrow.STRING && id != arrow.BINARY:
			return false
		}
	}
	return true
}

func (e *columnsEncoder) open(batch arrow.RecordBatch) error {
	properties := writerProperties(e.schema, batch)
	converted, err := pqarrow.ToParquet(e.schema, properties, arrowProperties())
	if err != nil {
		return err
	}
	var kept metadata.KeyValueMetadata
	md := e.schema.Metadata()
	for i, k := range append(append([]string(nil), md.Keys()...), storedSchemaKey) {
		value := base64.StdEncoding.EncodeToString(flight.SerializeSchema(e.schema, memory.DefaultAllocator))
		if k != storedSchemaKey {
			value = md.Values()[i]
		}
		if err := kept.Append(k, value); err != nil {
			return err
		}
	}
	e.file, err = file.NewParquetWriterWithError(e.out, converted.Root(), file.WithWriterProps(properties), file.WithWriteMetadata(kept))
	e.levels = make([][]int16, e.schema.NumFields())
	return err
}

func (e *columnsEncoder) write(batch arrow.RecordBatch) error {
	if e.file == nil {
		if err := e.open(batch); err != nil {
			return err
		}
	}
	for from := int64(0); from < batch.NumRows(); {
		if e.group != nil && e.rows == rowsPerGroupMax {
			if err := e.closeGroup(); err != nil {
				return err
			}
		}
		if e.group == nil {
			group, err := e.file.AppendBufferedRowGroupChecked()
			if err != nil {
				return err
			}
			e.group, e.rows = group, 0
		}
		n := min(batch.NumRows()-from, rowsPerGroupMax-e.rows)
		if err := e.writeRows(batch, from, from+n); err != nil {
			return err
		}
		from, e.rows = from+n, e.rows+n
	}
	return nil
}

// writeRows adds rows [from, to) to the row group.
func (e *columnsEncoder) writeRows(batch arrow.RecordBatch, from, to int64) error {
	var columns errgroup.Group
	columns.SetLimit(runtime.GOMAXPROCS(0))
	for i, f := range e.schema.Fields() {
		columns.Go(func() error {
			return guard(func() error { return e.writeColumn(i, f.Nullable, array.NewSlice(batch.Column(i), from, to)) })
		})
	}
	return columns.Wait()
}

func (e *columnsEncoder) writeColumn(i int, nullable bool, values arrow.Array) error {
	w, err := e.group.Column(i)
	if err != nil {
		return err
	}
	var levels []int16
	if nullable {
		levels = e.levels[i][:0]
		for row := range values.Len() {
			level := int16(1)
			if values.IsNull(row) {
				level = 0
			}
			levels = append(levels, level)
		}
		e.levels[i] = levels
	}
	properties := arrowProperties()
	return pqarrow.WriteArrowToColumn(pqarrow.NewArrowWriteContext(context.Background(), &properties), w, values, levels, nil, nullable)
}

func (e *columnsEncoder) closeGroup() error {
	group := e.group
	e.group = nil
	return group.Close()
}

func (e *columnsEncoder) finish() error {
	if e.file == nil {
		if err := e.open(nil); err != nil {
			return err
		}
	}
	if e.group != nil {
		if err := e.closeGroup(); err != nil {
			return err
		}
	}
	return e.file.Close()
}
