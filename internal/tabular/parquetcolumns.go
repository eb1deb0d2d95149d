package tabular

import (
	"encoding/base64"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// columnsEncoder writes Parquet tables whose columns parquetio can write, as it writes the history of features: several columns at a time, from the
// memory that they lie in. Integers, as deltas, take less room than arrow-go gives them.
type columnsEncoder struct {
	out    *parquetio.Writer
	schema *arrow.Schema
	types  []arrow.DataType // in which the columns are written
	first  []int            // column of each part
}

// newColumnsEncoder returns nil where a column cannot be written so.
func newColumnsEncoder(w io.Writer, schema *arrow.Schema, parts []int) encoder {
	e := &columnsEncoder{schema: schema, first: []int{0}}
	for _, n := range parts {
		e.first = append(e.first, e.first[len(e.first)-1]+n)
	}
	var specs []parquetio.ColumnSpec
	for _, f := range schema.Fields() {
		spec, ok := specOf(f)
		if !ok {
			return nil
		}
		specs, e.types = append(specs, spec), append(e.types, spec.Type.Arrow())
	}
	kept := map[string]string{storedSchemaKey: base64.StdEncoding.EncodeToString(flight.SerializeSchema(schema, memory.DefaultAllocator))}
	md := schema.Metadata()
	for i, k := range md.Keys() {
		if _, twice := kept[k]; twice {
			return nil
		}
		kept[k] = md.Values()[i]
	}
	e.out = parquetio.NewWriter(w, specs, parquetio.WriterOptions{RowGroupRows: rowsPerGroupMax, KeyValues: kept, Parts: parts})
	return e
}

// specOf returns how a column is written; ok is false where parquetio has no such type.
func specOf(f arrow.Field) (spec parquetio.ColumnSpec, ok bool) {
	spec = parquetio.ColumnSpec{Name: f.Name, Required: !f.Nullable}
	kind := feature.Int64
	switch t := f.Type.(type) {
	case *arrow.TimestampType:
		spec.Meaning = parquetio.Meaning{UnitsPerSecond: unitsPerSecond(t), Local: t.TimeZone == ""}
		ok = t.Unit != arrow.Second // which Parquet does not have
	case *arrow.Date32Type:
		kind, ok, spec.Meaning.Date = feature.Int32, true, true
	case *arrow.Uint32Type:
		kind, ok, spec.Meaning.Unsigned = feature.Int32, true, true
	case *arrow.Uint64Type:
		ok, spec.Meaning.Unsigned = true, true
	case *arrow.Int64Type:
		ok = true
	case *arrow.Int32Type:
		kind, ok = feature.Int32, true
	case *arrow.BooleanType:
		kind, ok = feature.Bool, true
	case *arrow.Float32Type:
		kind, ok = feature.Float32, true
	case *arrow.Float64Type:
		kind, ok = feature.Float64, true
	case *arrow.StringType:
		kind, ok = feature.String, true
	case *arrow.BinaryType:
		kind, ok = feature.Bytes, true
	}
	spec.Type = feature.Scalar(kind)
	return spec, ok
}

func unitsPerSecond(t *arrow.TimestampType) int64 {
	return int64(arrow.Second.Multiplier() / t.Unit.Multiplier())
}

func (e *columnsEncoder) write(batch arrow.RecordBatch) error { return e.writePart(0, batch) }

func (e *columnsEncoder) writePart(index int, batch arrow.RecordBatch) error {
	columns, fields := make([]arrow.Array, batch.NumCols()), make([]arrow.Field, batch.NumCols())
	for i, column := range batch.Columns() {
		f := e.schema.Field(e.first[index] + i)
		f.Type = e.types[e.first[index]+i]
		column.Retain()
		fields[i] = arrow.Field{Name: f.Name, Type: f.Type, Nullable: f.Nullable}
		columns[i] = ofType(f.Type, column)
	}
	batch = array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
	defer batch.Release()
	release(columns)
	return e.out.WritePart(index, batch)
}

func (e *columnsEncoder) flushPart(index int) error { return e.out.FlushPart(index) }

func (e *columnsEncoder) finish() error {
	_, err := e.out.Close()
	return err
}
