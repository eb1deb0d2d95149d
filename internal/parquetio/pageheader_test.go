package parquetio

import (
	"math"
	"reflect"
	"testing"

	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"
)

// randomPageHeader draws the header of a page of any kind.
func randomPageHeader(t *rapid.T) format.PageHeader {
	n := func(name string) int32 { return rapid.OneOf(rapid.Int32(), rapid.Int32Range(-2, 300)).Draw(t, name) }
	statistics := format.Statistics{NullCount: 3, MinValue: []byte("least"), MaxValue: []byte{}}
	h := format.PageHeader{Type: format.PageType(rapid.Int32Range(0, 3).Draw(t, "type")), UncompressedPageSize: n("full"), CompressedPageSize: n("stored"), CRC: n("crc")}
	if rapid.Bool().Draw(t, "data") {
		h.DataPageHeader.Set(format.DataPageHeader{NumValues: n("values"), Encoding: format.Encoding(n("encoding")), DefinitionLevelEncoding: format.RLE,
			RepetitionLevelEncoding: format.Encoding(n("repetition levels")), Statistics: statistics})
	}
	if rapid.Bool().Draw(t, "dictionary") {
		h.DictionaryPageHeader.Set(format.DictionaryPageHeader{NumValues: n("values"), Encoding: format.Encoding(n("encoding")), IsSorted: rapid.Bool().Draw(t, "sorted")})
	}
	if rapid.Bool().Draw(t, "data of version 2") {
		d := format.DataPageHeaderV2{NumValues: n("values"), NumNulls: n("nulls"), NumRows: n("rows"), Encoding: format.Encoding(n("encoding")),
			DefinitionLevelsByteLength: n("definition levels"), RepetitionLevelsByteLength: n("repetition levels"), Statistics: statistics}
		if rapid.Bool().Draw(t, "says whether") {
			d.IsCompressed.Set(rapid.Bool().Draw(t, "compressed"))
		}
		h.DataPageHeaderV2.Set(d)
	}
	return h
}

// TestPageHeader decodes headers as the decoder of any Thrift does, in bytes that may be damaged, cut short or followed by others. Where that one finds a header, this
// one finds the same, and takes as much of the bytes.
func TestPageHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		header := randomPageHeader(t)
		b, err := marshal(&header)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "damaged") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		}
		b = append(b, make([]byte, rapid.IntRange(0, 3).Draw(t, "more"))...)
		b = b[:rapid.OneOf(rapid.Just(len(b)), rapid.IntRange(0, len(b))).Draw(t, "length")]
		var got, want format.PageHeader
		n, err := decodePageHeader(b, &got)
		wantN, wantErr := decodeThrift(b, &want)
		if wantErr != nil {
			return
		}
		want.DataPageHeader.V.Statistics, want.DataPageHeaderV2.V.Statistics, want.DictionaryPageHeader.V.IsSorted = format.Statistics{}, format.Statistics{}, false
		want.IndexPageHeader.Reset()
		if err == nil && (n != wantN || !reflect.DeepEqual(got, want)) {
			t.Fatalf("%x is %+v of %d bytes, want %+v of %d", b, got, n, want, wantN)
		}
		if err != nil && len(b) == wantN && !damagedWithin(b, &header) {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

// damagedWithin reports whether b is not the header that it was made of.
func damagedWithin(b []byte, header *format.PageHeader) bool {
	whole, err := marshal(header)
	return err != nil || string(whole) != string(b)
}

// TestPageHeaderRefuses are headers that lack what they have to have, or have numbers of more than 32 bits.
func TestPageHeaderRefuses(t *testing.T) {
	whole := append([]byte{0x15}, uvarints(0)...) // fields 1, 2 and 3: numbers
	whole = append(append(append(whole, 0x15), uvarints(8)...), append([]byte{0x15}, uvarints(8)...)...)
	var h format.PageHeader
	if n, err := decodePageHeader(append(whole, 0), &h); err != nil || n != len(whole)+1 || h.CompressedPageSize != 4 {
		t.Fatalf("%+v of %d bytes, %v", h, n, err)
	}
	for name, b := range map[string][]byte{
		"no size":      append(whole[:4:4], 0),
		"64 bits":      {0x16, 0, 0x15, 8, 0x15, 8, 0},
		"a large size": append(append(append(whole[:4:4], 0x15), uvarints(2*(math.MaxInt32+1))...), 0),
		"no values":    append(append(whole[:len(whole):len(whole)], 0x2c), 0, 0), // field 5: a struct of nothing
		"no rows":      append(append(whole[:len(whole):len(whole)], 0x5c), 0x15, 2, 0, 0),
		"no encoding":  append(append(whole[:len(whole):len(whole)], 0x4c), 0x15, 2, 0, 0),
		"no end":       whole,
		"nothing":      nil,
	} {
		if n, err := decodePageHeader(b, &format.PageHeader{}); err == nil {
			t.Errorf("%s: a header of %d bytes", name, n)
		}
	}
}
