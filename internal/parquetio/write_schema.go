package parquetio

import (
	"bytes"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/asof-store/asof/feature"
)

// defaultCodec is Snappy: every reader has it. Six columns of a view (two delta-encoded, three random floats, one
// dictionary) read at 24 M rows a CPU second with it, 17 M with Zstandard, 19 M with LZ4 and 17 M plain; on amounts of money
// at 37, 42, 40 and 29 M, in files within 2 % of each other (plain: 8 %) (BenchmarkWriter, BenchmarkWrittenRead): the encodings have
// done the work already.
func defaultCodec() compress.Codec { return &parquet.Snappy }

// record is a group whose fields keep their order; a parquet.Group sorts them by name.
type record struct {
	parquet.Group
	fields []parquet.Field
}

// Fields returns the columns in the order of their specs.
func (r record) Fields() []parquet.Field { return r.fields }

func newSchema(columns []ColumnSpec, nodes []parquet.Node) *parquet.Schema {
	r := record{Group: parquet.Group{}}
	for i, c := range columns {
		r.Group[c.Name] = nodes[i]
	}
	byName := map[string]parquet.Field{}
	for _, f := range r.Group.Fields() {
		byName[f.Name()] = f
	}
	for _, c := range columns {
		r.fields = append(r.fields, byName[c.Name])
	}
	return parquet.NewSchema("table", r)
}

// node returns the Parquet form of a column. Lists have the three levels that the Parquet format prescribes, with optional elements.
func node(c ColumnSpec, enc encoding.Encoding) parquet.Node {
	leaf := scalarNode(c.Type.Kind)
	if enc != nil {
		leaf = parquet.Encoded(leaf, enc)
	}
	if c.Type.List {
		leaf = parquet.List(identified(parquet.Optional(leaf), c.ElementID))
	}
	if !c.Required {
		leaf = parquet.Optional(leaf)
	}
	return identified(leaf, c.FieldID)
}

func identified(n parquet.Node, id int) parquet.Node {
	if id == 0 {
		return n
	}
	return parquet.FieldID(n, id)
}

func scalarNode(k feature.Kind) parquet.Node {
	switch k {
	case feature.Bool:
		return parquet.Leaf(parquet.BooleanType)
	case feature.Int32:
		return parquet.Leaf(parquet.Int32Type)
	case feature.Int64:
		return parquet.Leaf(parquet.Int64Type)
	case feature.Float32:
		return parquet.Leaf(parquet.FloatType)
	case feature.Float64:
		return parquet.Leaf(parquet.DoubleType)
	case feature.String:
		return parquet.String()
	case feature.Bytes:
		return parquet.Leaf(parquet.ByteArrayType)
	case feature.Timestamp:
		return parquet.Timestamp(parquet.Microsecond)
	}
	panic("parquetio: " + k.String() + " is no kind of column")
}

// sampleRows is how many rows decide whether a column gets a dictionary.
const sampleRows = 1 << 14

// encodingFor chooses a column's encoding from its first rows: deltas for integers that grow from row to row, a
// dictionary where at most half of a sample's values are distinct, else plain (nil). Sorted int64 keys with 20 rows each take
// 0.03 B a row as deltas and decode at 340 M rows a CPU second; with a dictionary 0.72 B and 153 M.
func encodingFor(c ColumnSpec, arrays []arrow.Array) encoding.Encoding {
	integer := c.Type.Kind == feature.Int32 || c.Type.Kind == feature.Int64 || c.Type.Kind == feature.Timestamp
	switch {
	case c.Type.Kind == feature.Bool:
		return nil
	case c.Ordered && integer && !c.Type.List:
		return &parquet.DeltaBinaryPacked
	case repeats(arrays):
		return &parquet.RLEDictionary
	case integer && !c.Type.List:
		return &parquet.DeltaBinaryPacked
	}
	return nil
}

// repeats reports whether at most half of the first non-NULL values are distinct.
func repeats(arrays []arrow.Array) bool {
	distinct, n := sample{}, 0
	for _, a := range arrays {
		if list, ok := a.(*array.List); ok {
			from, _ := list.ValueOffsets(0)
			_, to := list.ValueOffsets(list.Len() - 1)
			a = array.NewSlice(list.ListValues(), from, to)
		}
		for i := 0; i < a.Len() && n < sampleRows; i++ {
			if a.IsValid(i) {
				distinct.add(a, i)
				n++
			}
		}
	}
	return n > 0 && 2*(len(distinct.bits)+len(distinct.text)) <= n
}

// sample is a set of values of one type.
type sample struct {
	bits map[uint64]struct{}
	text map[string]struct{}
}

func (s *sample) add(a arrow.Array, i int) {
	var bits uint64
	switch a := a.(type) {
	case *array.String:
		s.addText(a.Value(i))
		return
	case *array.Binary:
		s.addText(string(a.Value(i)))
		return
	case *array.Int32:
		bits = uint64(a.Value(i))
	case *array.Int64:
		bits = uint64(a.Value(i))
	case *array.Timestamp:
		bits = uint64(a.Value(i))
	case *array.Float32:
		bits = uint64(math.Float32bits(a.Value(i)))
	case *array.Float64:
		bits = math.Float64bits(a.Value(i))
	case *array.Boolean:
		if a.Value(i) {
			bits = 1
		}
	}
	if s.bits == nil {
		s.bits = map[uint64]struct{}{}
	}
	s.bits[bits] = struct{}{}
}

func (s *sample) addText(v string) {
	if s.text == nil {
		s.text = map[string]struct{}{}
	}
	s.text[v] = struct{}{}
}

// stats sums up the footer of a file of the given size.
func (w *Writer) stats(size int64) Stats {
	meta := w.file.File().Metadata()
	s := Stats{Rows: meta.NumRows, Bytes: size, Columns: make([]ColumnStats, len(w.columns))}
	for g := range meta.RowGroups {
		group := &meta.RowGroups[g]
		s.Offsets = append(s.Offsets, group.FileOffset)
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

func comparePlain(k feature.Kind, a, b []byte) int {
	t := scalarNode(k).Type()
	return t.Compare(t.Kind().Value(a), t.Kind().Value(b))
}
