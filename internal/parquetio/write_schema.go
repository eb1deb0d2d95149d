package parquetio

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/klauspost/compress/s2"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
)

// defaultCodec is Snappy: every reader has it. Six columns of a view (two delta-encoded, three random floats, one
// dictionary) read at 24 M rows a CPU second with it, 17 M with Zstandard, 19 M with LZ4 and 17 M plain; on amounts of money
// at 37, 42, 40 and 29 M, in files within 2 % of each other (plain: 8 %) (BenchmarkWriter, BenchmarkWrittenRead): the encodings have
// done the work already.
func defaultCodec() compress.Codec { return &fastSnappy{} }

// fastSnappy compresses with the faster of the library's encoders of the format: parquet-go takes the one that looks twice as long for
// matches.
type fastSnappy struct{ snappy.Codec }

// Encode compresses src into dst, where that is large enough.
func (*fastSnappy) Encode(dst, src []byte) ([]byte, error) { return s2.EncodeSnappy(dst, src), nil }

// schemaElements describes columns, below a root. Lists have the three levels that the Parquet format prescribes, with optional elements.
func schemaElements(columns []ColumnSpec) []format.SchemaElement {
	root := format.SchemaElement{Name: "table"}
	root.NumChildren.Set(int32(len(columns)))
	elements := []format.SchemaElement{root}
	group := func(name string, repetition format.FieldRepetitionType) format.SchemaElement {
		e := format.SchemaElement{Name: name}
		e.RepetitionType.Set(repetition)
		e.NumChildren.Set(1)
		return e
	}
	for _, c := range columns {
		repetition := format.Optional
		if c.Required {
			repetition = format.Required
		}
		if !c.Type.List {
			leaf := leafElement(c.Name, c.Type.Kind, repetition, c.FieldID)
			if c.Meaning != (Meaning{}) {
				c.Meaning.annotate(&leaf)
			}
			elements = append(elements, leaf)
			continue
		}
		list := group(c.Name, repetition)
		list.LogicalType.Value, list.FieldID = &format.ListType{}, int32(c.FieldID)
		list.ConvertedType.Set(deprecated.List)
		elements = append(elements, list, group("list", format.Repeated), leafElement("element", c.Type.Kind, format.Optional, c.ElementID))
	}
	return elements
}

func leafElement(name string, kind feature.Kind, repetition format.FieldRepetitionType, id int) format.SchemaElement {
	e := format.SchemaElement{Name: name, FieldID: int32(id)}
	e.Type.Set(physicalOf(kind))
	e.RepetitionType.Set(repetition)
	switch kind {
	case feature.Int32:
		e.LogicalType.Value = &format.IntType{BitWidth: 32, IsSigned: true}
		e.ConvertedType.Set(deprecated.Int32)
	case feature.Int64:
		e.LogicalType.Value = &format.IntType{BitWidth: 64, IsSigned: true}
		e.ConvertedType.Set(deprecated.Int64)
	case feature.String:
		e.LogicalType.Value = &format.StringType{}
		e.ConvertedType.Set(deprecated.UTF8)
	case feature.Timestamp:
		e.LogicalType.Value = &format.TimestampType{IsAdjustedToUTC: true, Unit: format.TimeUnit{Value: &format.MicroSeconds{}}}
		e.ConvertedType.Set(deprecated.TimestampMicros)
	}
	return e
}

// annotate gives a leaf of integers another meaning than that of their type. The older annotation, which not all of these have, goes.
func (m Meaning) annotate(e *format.SchemaElement) {
	e.ConvertedType = thrift.Null[deprecated.ConvertedType]{}
	unit := format.TimeUnit{Value: &format.MicroSeconds{}}
	switch m.UnitsPerSecond {
	case 1e3:
		unit.Value = &format.MilliSeconds{}
	case 1e9:
		unit.Value = &format.NanoSeconds{}
	}
	switch {
	case m.Date:
		e.LogicalType.Value = &format.DateType{}
		e.ConvertedType.Set(deprecated.Date)
	case m.UnitsPerSecond > 0:
		e.LogicalType.Value = &format.TimestampType{IsAdjustedToUTC: !m.Local, Unit: unit}
	case m.Unsigned:
		e.LogicalType.Value = &format.IntType{BitWidth: 32, IsSigned: false}
		e.ConvertedType.Set(deprecated.Uint32)
		if e.Type.V == format.Int64 {
			e.LogicalType.Value = &format.IntType{BitWidth: 64, IsSigned: false}
			e.ConvertedType.Set(deprecated.Uint64)
		}
	}
}

func physicalOf(k feature.Kind) format.Type {
	switch k {
	case feature.Bool:
		return format.Boolean
	case feature.Int32:
		return format.Int32
	case feature.Int64, feature.Timestamp:
		return format.Int64
	case feature.Float32:
		return format.Float
	case feature.Float64:
		return format.Double
	case feature.String, feature.Bytes:
		return format.ByteArray
	}
	panic("parquetio: " + k.String() + " is no kind of column")
}

// sampleRows is how many values decide whether a chunk gets a dictionary.
const sampleRows = 1 << 14

// encodingFor chooses the encoding of a column in a row group from its first rows: deltas for integers that grow from row to row, a
// dictionary where at most half of a sample's values are distinct, else what undictionaried says. Sorted int64 keys with 20 rows each take
// 0.03 B a row as deltas and decode at 340 M rows a CPU second; with a dictionary 0.72 B and 153 M.
func encodingFor(c ColumnSpec, values pageValues, arrays []arrow.Array) format.Encoding {
	encoding := undictionaried(c)
	if c.Ordered && encoding == format.DeltaBinaryPacked || !values.repeat(arrays) {
		return encoding
	}
	return format.RLEDictionary
}

// undictionaried is the encoding of a column without a dictionary: integers are deltas, and of texts come the lengths first, so that they are read and written all
// at once. Sorted texts are plain, and readers see how often each repeats without looking at any other.
func undictionaried(c ColumnSpec) format.Encoding {
	switch k := c.Type.Kind; {
	case (k == feature.Int32 || k == feature.Int64 || k == feature.Timestamp) && !c.Type.List:
		return format.DeltaBinaryPacked
	case (k == feature.String || k == feature.Bytes) && !c.Ordered:
		return format.DeltaLengthByteArray
	}
	return format.Plain
}

// stats sums up the footer of a file of the given size.
func (w *Writer) stats(size int64) Stats {
	s := Stats{Bytes: size, Columns: make([]ColumnStats, len(w.columns))}
	for _, g := range w.groups {
		group := &g.meta
		s.Rows, s.Offsets = s.Rows+group.NumRows, append(s.Offsets, group.FileOffset)
		for i, spec := range w.columns {
			chunk, c := &group.Columns[i].MetaData, &s.Columns[i]
			c.Bytes += chunk.TotalCompressedSize
			c.Values += chunk.NumValues
			c.Nulls += chunk.Statistics.NullCount
			if spec.bounded() {
				c.widen(spec.Type.Kind, chunk.Statistics.MinValue, chunk.Statistics.MaxValue)
			}
		}
	}
	return s
}

// widen takes a row group's bounds into the column's.
func (c *ColumnStats) widen(k feature.Kind, low, high []byte) {
	if low == nil || high == nil {
		return
	}
	if c.Min == nil || comparePlain(k, low, c.Min) < 0 {
		c.Min = bytes.Clone(low)
	}
	if c.Max == nil || comparePlain(k, high, c.Max) > 0 {
		c.Max = bytes.Clone(high)
	}
}

// comparePlain compares bounds of numbers and text.
func comparePlain(k feature.Kind, a, b []byte) int {
	switch k {
	case feature.Int32:
		return cmp.Compare(int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b)))
	case feature.Int64, feature.Timestamp:
		return cmp.Compare(int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
	}
	return bytes.Compare(a, b)
}
