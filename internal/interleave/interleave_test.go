package interleave

import (
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// TestRows holds every feature type's gather against asking the sources for their rows one by one.
func TestRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := feature.Kind(rapid.IntRange(int(feature.Bool), int(feature.Timestamp)).Draw(t, "kind"))
		typ := feature.Type{Kind: kind, List: rapid.Bool().Draw(t, "list")}
		var sources []arrow.Array
		for range rapid.IntRange(1, 4).Draw(t, "sources") {
			whole := randomArray(t, typ, 10)
			from := rapid.Int64Range(0, 5).Draw(t, "slice from")
			sources = append(sources, array.NewSlice(whole, from, 10))
		}
		n := rapid.IntRange(0, 30).Draw(t, "rows")
		from, row := make([]int32, n), make([]int32, n)
		for i := range n {
			from[i] = int32(rapid.IntRange(0, len(sources)-1).Draw(t, "from"))
			row[i] = int32(rapid.IntRange(0, sources[from[i]].Len()-1).Draw(t, "row"))
		}
		got := Rows(sources, from, row)
		if got.Len() != n || !arrow.TypeEqual(got.DataType(), typ.Arrow()) {
			t.Fatalf("got %d rows of %s, want %d of %s", got.Len(), got.DataType(), n, typ)
		}
		for i := range n {
			want := sources[from[i]]
			if got.IsNull(i) != want.IsNull(int(row[i])) || got.ValueStr(i) != want.ValueStr(int(row[i])) {
				t.Fatalf("row %d: got %s, want %s", i, got.ValueStr(i), want.ValueStr(int(row[i])))
			}
		}
		checkTake(t, sources[0])
	})
}

// checkTake holds the gather from one source against asking it for its rows.
func checkTake(t *rapid.T, source arrow.Array) {
	rows := rapid.SliceOf(rapid.Uint32Range(0, uint32(source.Len()-1))).Draw(t, "rows of one")
	got := Take(memory.DefaultAllocator, source, rows)
	if got.Len() != len(rows) || !arrow.TypeEqual(got.DataType(), source.DataType()) {
		t.Fatalf("%d rows of %s, want %d of %s", got.Len(), got.DataType(), len(rows), source.DataType())
	}
	for i, r := range rows {
		if got.IsNull(i) != source.IsNull(int(r)) || got.ValueStr(i) != source.ValueStr(int(r)) {
			t.Fatalf("row %d: got %s, want %s", i, got.ValueStr(i), source.ValueStr(int(r)))
		}
	}
}

// TestJoin joins parts of arrays that have no NULLs, some, or nothing else, in memory that is filled with garbage when the parts have been joined and each result
// looked at again: what is all NULL has to have its own.
func TestJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, parts := randomParts(t)
		m := &forgetful{}
		got, err := Join(m, parts)
		if err != nil {
			t.Fatal(err)
		}
		all := allNull(got)
		for range 2 {
			at := 0
			for _, p := range parts {
				n := p.To - p.From
				if at+n > got.Len() || !array.SliceApproxEqual(got, int64(at), int64(at+n), p.Array, int64(p.From), int64(p.To), array.WithNaNsEqual(true)) {
					t.Fatalf("from row %d: got %s, want %s", at, got, p.slice())
				}
				at += n
			}
			if at != got.Len() || !arrow.TypeEqual(got.DataType(), typ.Arrow()) {
				t.Fatalf("%d rows of %s, want %d of %s", got.Len(), got.DataType(), at, typ)
			}
			if !all {
				break
			}
			m.forget()
		}
	})
}

// TestPut holds rows that were put where they belong against those of the parts, when the memory is filled with garbage in which the parts lay and some were joined first.
func TestPut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, parts := randomParts(t)
		var places []uint32
		for _, p := range parts {
			for range p.To - p.From {
				places = append(places, uint32(len(places)))
			}
		}
		places = rapid.Permutation(places).Draw(t, "places")
		m, scratch := &forgetful{}, &forgetful{}
		read := slices.Clone(parts)
		for i, p := range parts {
			var err error
			if read[i].Array, err = array.Concatenate([]arrow.Array{p.Array}, scratch); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Put(m, scratch, read, places)
		if err != nil {
			t.Fatal(err)
		}
		if !typ.List { // of which what is taken shares the elements
			scratch.forget()
		}
		if got.Len() != len(places) || !arrow.TypeEqual(got.DataType(), typ.Arrow()) {
			t.Fatalf("%d rows of %s, want %d of %s", got.Len(), got.DataType(), len(places), typ)
		}
		for _, p := range parts {
			for row := p.From; row < p.To; row++ {
				at := int(places[0])
				places = places[1:]
				if !array.SliceApproxEqual(got, int64(at), int64(at+1), p.Array, int64(row), int64(row+1), array.WithNaNsEqual(true)) {
					t.Fatalf("row %d: got %s, want %s", at, got.ValueStr(at), p.Array.ValueStr(row))
				}
			}
		}
		if got.NullN() == 0 && len(m.given) == 0 && got.Len() > 0 && numeric(typ) {
			t.Error("numbers do not have memory of the allocator")
		}
	})
}

func numeric(t feature.Type) bool {
	return !t.List && t.Kind != feature.Bool && t.Kind != feature.String && t.Kind != feature.Bytes
}

// randomParts draws parts of arrays that have no NULLs, some, or nothing else.
func randomParts(t *rapid.T) (typ feature.Type, parts []Part) {
	typ = feature.Type{Kind: feature.Kind(rapid.IntRange(int(feature.Bool), int(feature.Timestamp)).Draw(t, "kind")), List: rapid.Bool().Draw(t, "list")}
	for range rapid.IntRange(1, 4).Draw(t, "parts") {
		whole := randomArray(t, typ, 10)
		switch rapid.IntRange(0, 2).Draw(t, "nulls") {
		case 0:
			whole = array.MakeArrayOfNull(memory.DefaultAllocator, typ.Arrow(), 10)
		case 1:
			whole = withoutNulls(whole)
		}
		from := rapid.IntRange(0, whole.Len()).Draw(t, "from")
		parts = append(parts, Part{whole, from, rapid.IntRange(from, whole.Len()).Draw(t, "to")})
	}
	return typ, parts
}

// withoutNulls returns the rows of an array that are not NULL.
func withoutNulls(a arrow.Array) arrow.Array {
	var rows []uint32
	for i := range a.Len() {
		if a.IsValid(i) {
			rows = append(rows, uint32(i))
		}
	}
	return Take(memory.DefaultAllocator, a, rows)
}

// forgetful is an allocator that fills all it has handed out with garbage.
type forgetful struct {
	memory.GoAllocator
	given [][]byte
}

func (f *forgetful) Allocate(n int) []byte {
	b := f.GoAllocator.Allocate(n)
	f.given = append(f.given, b)
	return b
}

func (f *forgetful) Reallocate(n int, b []byte) []byte {
	b = f.GoAllocator.Reallocate(n, b)
	f.given = append(f.given, b)
	return b
}

func (f *forgetful) forget() {
	for _, b := range f.given {
		for i := range b {
			b[i] = 0xa5
		}
	}
}

// randomArray draws an array of a feature type with NULLs, and NULLs in lists.
func randomArray(t *rapid.T, typ feature.Type, n int) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, typ.Arrow())
	for range n {
		if rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			b.AppendNull()
			continue
		}
		if list, ok := b.(*array.ListBuilder); ok {
			list.Append(true)
			for range rapid.IntRange(0, 3).Draw(t, "length") {
				appendRandom(t, list.ValueBuilder(), typ.Kind)
			}
			continue
		}
		appendRandom(t, b, typ.Kind)
	}
	return b.NewArray()
}

func appendRandom(t *rapid.T, b array.Builder, kind feature.Kind) {
	var v any
	switch kind {
	case feature.Bool:
		v = rapid.Bool().Draw(t, "v")
	case feature.Int32:
		v = rapid.Int32().Draw(t, "v")
	case feature.Int64:
		v = rapid.Int64().Draw(t, "v")
	case feature.Float32:
		v = rapid.Float32().Draw(t, "v")
	case feature.Float64:
		v = rapid.Float64().Draw(t, "v")
	case feature.String:
		v = rapid.String().Draw(t, "v")
	case feature.Bytes:
		v = rapid.SliceOf(rapid.Byte()).Draw(t, "v")
	case feature.Timestamp:
		v = feature.Time(rapid.Int64Range(0, 1<<50).Draw(t, "v"))
	}
	if err := feature.AppendValue(b, v); err != nil {
		t.Fatal(err)
	}
}
