package keysort

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// TestPacking packs some keys and holds their numbers, those of other keys and those of bounds against comparing keys part by part.
func TestPacking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) feature.Field {
			kind := rapid.SampledFrom([]feature.Kind{feature.String, feature.Bytes, feature.Int64, feature.Int32, feature.Timestamp, feature.Bool}).Draw(t, "kind")
			return feature.Field{Name: "k", Type: feature.Scalar(kind)}
		}), 1, 3).Draw(t, "fields")
		var own, others [][]any
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			own = append(own, drawKey(t, fields, "own"))
		}
		for range rapid.IntRange(0, 20).Draw(t, "others") {
			others = append(others, drawKey(t, fields, "other"))
		}
		packing := PackingOf(fields, columnsOf(fields, own), len(own))
		switch {
		case packing == nil:
			return
		case packing.OneWord():
			checkPacking(t, fields, packing.Ints(), own, others)
		}
		checkPacking(t, fields, packing.Words(), own, others)
	})
}

func drawKey(t *rapid.T, fields []feature.Field, label string) (key []any) {
	for _, f := range fields {
		switch f.Type.Kind {
		case feature.String, feature.Bytes:
			head := rapid.SampledFrom([]string{"", "a", "user-0", "\xff\xff", "the same for 20 bytes"}).Draw(t, label)
			key = append(key, head+string(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b', 'f', '0', '9', 'A', 0xff}), 0, 5).Draw(t, label)))
		case feature.Bool:
			key = append(key, rapid.Int64Range(0, 1).Draw(t, label))
		case feature.Int32:
			key = append(key, rapid.SampledFrom([]int64{math.MinInt32, -1, 0, 1, 5, math.MaxInt32}).Draw(t, label))
		default:
			key = append(key, rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, 5, math.MaxInt64}).Draw(t, label))
		}
	}
	return key
}

func columnsOf(fields []feature.Field, keys [][]any) (columns []arrow.Array) {
	for i, f := range fields {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
		for _, key := range keys {
			switch b := b.(type) {
			case *array.StringBuilder:
				b.Append(key[i].(string))
			case *array.BinaryBuilder:
				b.Append([]byte(key[i].(string)))
			case *array.BooleanBuilder:
				b.Append(key[i].(int64) == 1)
			case *array.Int32Builder:
				b.Append(int32(key[i].(int64)))
			case *array.Int64Builder:
				b.Append(key[i].(int64))
			case *array.TimestampBuilder:
				b.Append(arrow.Timestamp(key[i].(int64)))
			}
		}
		columns = append(columns, b.NewArray())
	}
	return columns
}

func comparePart(a, b any) int {
	if text, ok := a.(string); ok {
		return strings.Compare(text, b.(string))
	}
	return cmp.Compare(a.(int64), b.(int64))
}

func compareParts(a, b []any) int {
	for i := range a {
		if order := comparePart(a[i], b[i]); order != 0 {
			return order
		}
	}
	return 0
}

// checkPacking compares each of the packing's own keys with all keys, and with all of their first parts as bounds.
func checkPacking[K Ordered](t *rapid.T, fields []feature.Field, form Form[K], own, others [][]any) {
	all := append(append([][]any{}, own...), others...)
	columns := columnsOf(fields, all)
	numbers := form.Of(columns, len(all))
	for i, a := range own {
		for j, b := range all {
			if got, want := Compare(numbers[i], numbers[j]), compareParts(a, b); got != want {
				t.Fatalf("%q and %q compare as %d, as %v and %v: want %d", a, b, got, numbers[i], numbers[j], want)
			}
			first, _ := feature.AppendKeyPart(nil, columns[0], j)
			low, high := form.Low(first), form.High(first)
			if got, want := Less(numbers[i], low.Value), comparePart(a[0], b[0]) < 0; !low.Known || got != want {
				t.Fatalf("%q before the bound %q: %v (%v), want %v", a, b[0], got, low, want)
			}
			if got, want := high.Above(numbers[i], len(fields)), comparePart(a[0], b[0]) > 0; got != want {
				t.Fatalf("%q above the bound %q: %v (%v), want %v", a, b[0], got, high, want)
			}
		}
	}
	for i, a := range all {
		for j, b := range all {
			if compareParts(a, b) < 0 && Less(numbers[j], numbers[i]) {
				t.Fatalf("%q goes before %q, but %v does not before %v", a, b, numbers[i], numbers[j])
			}
		}
	}
}

// TestPackingSizes tells how many words keys of some kinds take, which must neither grow nor fail to fit.
func TestPackingSizes(t *testing.T) {
	text, number := feature.Field{Name: "t", Type: feature.Scalar(feature.String)}, feature.Field{Name: "n", Type: feature.Scalar(feature.Int64)}
	rows := func(n int, of func(i int) []any) (keys [][]any) {
		for i := range n {
			keys = append(keys, of(i))
		}
		return keys
	}
	for _, c := range []struct {
		name   string
		fields []feature.Field
		keys   [][]any
		words  int // 0: it does not fit
	}{
		{"none", []feature.Field{text}, nil, 1},
		{"one", []feature.Field{text}, rows(1, func(int) []any { return []any{"customer"} }), 1},
		{"numbered", []feature.Field{text}, rows(2000, func(i int) []any { return []any{fmt.Sprintf("customer-%d", i)} }), 1},
		{"a region and a number", []feature.Field{text, number}, rows(2000, func(i int) []any { return []any{fmt.Sprintf("region-%04d", i%1000), int64(i) << 20} }), 1},
		{"all numbers", []feature.Field{number, number}, rows(2000, func(i int) []any { return []any{int64(i) * 0x1e3779b97f4a7c15, int64(i)} }), 2},
		{"UUIDs", []feature.Field{text}, rows(2000, uuidOf), 3},
		{"long", []feature.Field{text}, rows(2000, func(i int) []any { return []any{strings.Repeat(fmt.Sprint(i, uuidOf(i)), 3)} }), 0},
		{"too long", []feature.Field{text}, rows(2, func(i int) []any { return []any{strings.Repeat("a", textMax+1)} }), 0},
		{"as long as can be", []feature.Field{text}, rows(2, func(i int) []any { return []any{strings.Repeat("a", textMax)} }), 1},
		{"too many numbers", []feature.Field{number, number, number}, rows(2000, func(i int) []any {
			return []any{int64(i) * 0x1e3779b97f4a7c15, int64(i) * 0x3f58476d1ce4e5b9, int64(i) * 0x14d049bb133111eb}
		}), 0},
	} {
		got := 0
		if packing := PackingOf(c.fields, columnsOf(c.fields, c.keys), len(c.keys)); packing != nil {
			got = int(packing.flag.word) + 1
		}
		if got != c.words {
			t.Errorf("%s: %d words, want %d", c.name, got, c.words)
		}
	}
}

// TestPackingOfNulls leaves the values behind NULLs out of the count.
func TestPackingOfNulls(t *testing.T) {
	fields := []feature.Field{{Name: "n", Type: feature.Scalar(feature.Int64)}, {Name: "t", Type: feature.Scalar(feature.String)}}
	numbers := array.NewInt64Builder(memory.DefaultAllocator)
	numbers.AppendValues([]int64{math.MinInt64, 7, 8, math.MaxInt64}, []bool{false, true, true, false})
	words := array.NewStringBuilder(memory.DefaultAllocator)
	words.AppendValues([]string{"a", "b", "c", strings.Repeat("long", 40)}, []bool{true, true, false, false})
	packing := PackingOf(fields, []arrow.Array{numbers.NewArray(), words.NewArray()}, 4)
	if want := spotAfter(3); packing == nil || packing.flag != want { // a bit for 7 and 8, one for a and b, and the flag
		t.Fatalf("%+v, want %v", packing, want)
	}
}

// TestPackingOfLongerTexts packs texts that go on where all of the packing's own end, of which the longer is not the greater.
func TestPackingOfLongerTexts(t *testing.T) {
	fields := []feature.Field{{Name: "t", Type: feature.Scalar(feature.String)}}
	own := [][]any{{""}, {"a"}, {"user-0\x00\x00"}}
	form := PackingOf(fields, columnsOf(fields, own), len(own)).Ints()
	n := form.Of(columnsOf(fields, [][]any{own[2], {"user-0\x00\x00\x00\x00"}, {"user-0\x00\x00a"}, {"user-0\x00\x01"}}), 4)
	if !(n[0] < n[1] && n[1] <= n[2] && n[2] <= n[3]) {
		t.Errorf("numbers are %v", n)
	}
}

// TestPackingByManyWorkers packs so many rows that several workers look at them, each of which sees the same key again and again.
func TestPackingByManyWorkers(t *testing.T) {
	const rows = 4 * dealMin
	fields := []feature.Field{{Name: "t", Type: feature.Scalar(feature.String)}}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range rows {
		b.Append([]string{"one", "three"}[2*i/rows])
	}
	columns := []arrow.Array{b.NewArray()}
	packing := PackingOf(fields, columns, rows)
	if packing == nil || !packing.OneWord() {
		t.Fatal("two keys do not fit a word")
	}
	for i, n := range packing.Ints().Of(columns, rows) {
		if want := packing.Ints().Of(columnsOf(fields, [][]any{{[]string{"one", "three"}[2*i/rows]}}), 1)[0]; n != want || n&1 == 0 {
			t.Fatalf("row %d is %d, want %d", i, n, want)
		}
	}
}

// TestPackingOfManyRows packs keys, and others between them, many at once, as each is packed alone.
func TestPackingOfManyRows(t *testing.T) {
	const rows = 5*blockRows + 7
	fields := []feature.Field{{Name: "t", Type: feature.Scalar(feature.String)}}
	var own, all [][]any
	for i := range rows {
		own = append(own, uuidOf(i))
		all = append(all, []any{uuidOf(i)[0].(string)[:36-i%3] + strings.Repeat("g", i%3)})
	}
	form := PackingOf(fields, columnsOf(fields, own), rows).Words()
	unknown := 0
	for i, number := range form.Of(columnsOf(fields, all), rows) {
		if alone := form.Of(columnsOf(fields, all[i:i+1]), 1)[0]; number != alone {
			t.Fatalf("%s is %x among others, and %x alone", all[i], number, alone)
		}
		if number != form.Of(columnsOf(fields, own[i:i+1]), 1)[0] {
			unknown++
		}
	}
	if unknown < rows/2 {
		t.Errorf("%d of %d rows are no key of the packing", unknown, rows)
	}
}

// BenchmarkPacking packs UUIDs, and numbers of a region.
func BenchmarkPacking(b *testing.B) {
	const rows = 1 << 14
	text, number := feature.Field{Name: "t", Type: feature.Scalar(feature.String)}, feature.Field{Name: "n", Type: feature.Scalar(feature.Int64)}
	for _, c := range []struct {
		name   string
		fields []feature.Field
		key    func(i int) []any
	}{
		{"uuid", []feature.Field{text}, uuidOf},
		{"region and number", []feature.Field{text, number}, func(i int) []any { return []any{fmt.Sprintf("region-%04d", i%1000), int64(i) << 16} }},
	} {
		var keys [][]any
		for i := range rows {
			keys = append(keys, c.key(i))
		}
		columns := columnsOf(c.fields, keys)
		packing := PackingOf(c.fields, columns, rows)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				packing.Words().Of(columns, rows)
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// uuidOf returns a key that is the i-th UUID.
func uuidOf(i int) []any {
	a, b := uint64(i+1)*0x9e3779b97f4a7c15, uint64(i+1)*0xbf58476d1ce4e5b9
	return []any{fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&(1<<48-1))}
}
