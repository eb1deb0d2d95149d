package parquetio

import (
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// TestEncodingOfTexts writes texts of 36 bytes that repeat, so many that their dictionary is small or too large, as keys and as others, and reads them as they
// were, key by key and row by row.
func TestEncodingOfTexts(t *testing.T) {
	for _, c := range []struct {
		keys, rows int
		ordered    bool
		want       format.Encoding
	}{
		{25_000, 4, false, format.RLEDictionary},
		{30_000, 4, false, format.DeltaLengthByteArray}, // 1.2 MB
		{30_000, 4, true, format.RLEDictionary},
		{60_000, 4, true, format.Plain}, // 2.4 MB
		{20_000, 1, true, format.Plain},
		{20_000, 1, false, format.DeltaLengthByteArray},
	} {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		for i := range c.keys * c.rows {
			b.Append(fmt.Sprintf("%036d", i/c.rows))
		}
		f, chunk := writtenColumn(t, ColumnSpec{Name: "k", Type: feature.Scalar(feature.String), Required: true, Ordered: c.ordered, PageRows: 4096}, b.NewArray())
		if got := chunk.Encoding[0]; got != c.want {
			t.Errorf("%+v: written as %v", c, got)
		}
		if size := int64(40*c.keys + 4*c.keys + 100_000); c.want == format.RLEDictionary && chunk.TotalUncompressedSize > size {
			t.Errorf("%+v: %d bytes, more than %d", c, chunk.TotalUncompressedSize, size)
		}
		runs, err := f.ReadRuns(0, "k", feature.Scalar(feature.String), nil)
		if err != nil {
			t.Fatal(err)
		}
		all, err := f.Read(0, "k", feature.Scalar(feature.String), []Span{{10, 5_000}, {5_001, c.keys * c.rows}})
		if err != nil {
			t.Fatal(err)
		}
		if runs.Values.Len() != c.keys || all.Len() != c.keys*c.rows-11 {
			t.Fatalf("%+v: %d runs and %d rows", c, runs.Values.Len(), all.Len())
		}
		for i := range c.keys {
			if got := runs.Values.(*array.String).Value(i); got != fmt.Sprintf("%036d", i) || int(runs.Ends[i]) != (i+1)*c.rows {
				t.Fatalf("%+v: run %d is %s up to row %d", c, i, got, runs.Ends[i])
			}
		}
		for i, row := 0, 10; i < all.Len(); i, row = i+1, row+1 {
			if row == 5_000 {
				row++
			}
			if got := all.(*array.String).Value(i); got != fmt.Sprintf("%036d", row/c.rows) {
				t.Fatalf("%+v: row %d is %s", c, row, got)
			}
		}
	}
}

// TestEncodingOfManyIntegers begins with integers that repeat, and goes on with more than a dictionary holds: they are deltas then.
func TestEncodingOfManyIntegers(t *testing.T) {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range 200_000 {
		b.Append(int64(max(i%100, i-30_000) * 7))
	}
	want := b.NewArray()
	f, chunk := writtenColumn(t, ColumnSpec{Name: "k", Type: feature.Scalar(feature.Int64), Required: true}, want)
	if got := chunk.Encoding[0]; got != format.DeltaBinaryPacked {
		t.Errorf("written as %v", got)
	}
	got, err := f.Read(0, "k", feature.Scalar(feature.Int64), nil)
	if err != nil || !array.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for ordered, want := range map[bool]format.Encoding{false: format.RLEDictionary, true: format.DeltaBinaryPacked} {
		spec := ColumnSpec{Name: "k", Type: feature.Scalar(feature.Int64), Required: true, Ordered: ordered}
		if _, chunk := writtenColumn(t, spec, array.NewSlice(got, 0, 20_000)); chunk.Encoding[0] != want {
			t.Errorf("integers that repeat, ordered %v: written as %v", ordered, chunk.Encoding[0])
		}
	}
}

// writtenColumn returns a file with one column, and what the file says of it.
func writtenColumn(t *testing.T, spec ColumnSpec, values arrow.Array) (*File, format.ColumnMetaData) {
	schema := arrow.NewSchema([]arrow.Field{{Name: spec.Name, Type: spec.Type.Arrow()}}, nil)
	f := writtenFile(t, []ColumnSpec{spec}, array.NewRecordBatch(schema, []arrow.Array{values}, int64(values.Len())))
	return f, f.meta.RowGroups[0].Columns[0].MetaData
}

// TestRunsOfPlaces writes places in dictionaries of all sizes as runs, which the library and this package read as they were.
func TestRunsOfPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var places []int32
		most := rapid.SampledFrom([]int32{0, 1, 2, 127, 255, 256, 65535, 65536, 1 << 20, 1 << 28}).Draw(t, "most")
		for range rapid.IntRange(1, 20).Draw(t, "runs") {
			places = append(places, slices.Repeat([]int32{rapid.Int32Range(0, most).Draw(t, "place")}, rapid.IntRange(1, 300).Draw(t, "length"))...)
		}
		runs := appendRuns(nil, places)
		got := make([]int32, len(places))
		if err := decodeIndices(got, runs); err != nil || !slices.Equal(got, places) {
			t.Fatalf("%v is read as %v, %v", places, got, err)
		}
		coder := rle.DictionaryEncoding{}
		theirs, err := coder.DecodeInt32(nil, runs)
		if err != nil || !slices.Equal(theirs, places) {
			t.Fatalf("%v is read by the library as %v, %v", places, theirs, err)
		}
	})
}
