package aggregate

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// twinRow is a row with a value of the type under test; nil is NULL.
type twinRow struct {
	event, created int64
	value          any
}

// parametersOf are parameters that every function is content with.
func parametersOf(function string) feature.Parameters {
	return map[string]feature.Parameters{"first_n": {N: 3}, "last_n": {N: 2}, "approx_count_distinct": {Precision: 4},
		"approx_percentile": {P: []float64{0, 0.3, 1}, PList: true, Accuracy: 0.02}}[function]
}

func randomTyped(t *rapid.T, kind feature.Kind) any {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return nil
	}
	switch kind {
	case feature.Bool:
		return rapid.Bool().Draw(t, "v")
	case feature.Int32:
		return rapid.OneOf(rapid.Int32Range(-3, 3), rapid.Int32()).Draw(t, "v")
	case feature.Int64:
		return rapid.OneOf(rapid.Int64Range(-3, 3), rapid.Int64Range(-1<<58, 1<<58)).Draw(t, "v")
	case feature.Float32:
		return float32(numbers(true).Draw(t, "v"))
	case feature.Float64:
		return numbers(true).Draw(t, "v")
	case feature.Timestamp:
		return feature.Time(rapid.Int64Range(-5, 5).Draw(t, "v"))
	}
	text := rapid.SampledFrom([]string{"", "a", "b", "a\x00", "ab"}).Draw(t, "v")
	if kind == feature.Bytes {
		return []byte(text)
	}
	return text
}

func twinColumn(t feature.Type, rows []twinRow) (arrow.Array, Times) {
	b := array.NewBuilder(memory.DefaultAllocator, t.Arrow())
	var times Times
	for _, r := range rows {
		if err := feature.AppendValue(b, r.value); err != nil {
			panic(err)
		}
		times.Events, times.Created = append(times.Events, r.event), append(times.Created, r.created)
	}
	return b.NewArray(), times
}

// TestOrderDoesNotMatter holds, for every function and type, the result and the stored columns of all rows added in one go against those
// of the same rows in another order, dealt to tiles that are stored, folded into groups in any order, and merged in any order.
func TestOrderDoesNotMatter(t *testing.T) {
	for _, name := range Names() {
		for kind := feature.Bool; kind <= feature.Timestamp; kind++ {
			a := feature.Aggregation{Function: name, Input: feature.Field{Name: "x", Type: feature.Scalar(kind)}, Parameters: parametersOf(name)}
			call, err := New(a)
			if err != nil {
				if a.Input.Type.IsNumeric() {
					t.Errorf("%s of %s: %v", name, kind, err)
				}
				continue
			}
			t.Run(fmt.Sprint(name, " of ", kind), func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) { checkOrder(t, call, a.Input.Type) })
			})
		}
	}
}

func checkOrder(t *rapid.T, call *Call, input feature.Type) {
	rows := make([]twinRow, rapid.IntRange(0, 12).Draw(t, "rows"))
	for i := range rows {
		rows[i] = twinRow{event: rapid.Int64Range(0, 20).Draw(t, "event"), created: rapid.Int64Range(0, 2).Draw(t, "created"), value: randomTyped(t, input.Kind)}
	}
	length := rapid.Int64Range(1, 6).Draw(t, "tile")
	var direct, merged []States
	for i := range call.Specs {
		spec := &call.Specs[i]
		all := spec.New()
		all.Reset(1)
		column, times := twinColumn(input, rows)
		all.Add(column, times, []Span{{To: int32(len(rows))}})
		direct = append(direct, all)
		merged = append(merged, throughGroups(t, spec, input, rows, length))
		wantColumns, err := all.Store()
		if err != nil {
			t.Fatal(err)
		}
		gotColumns, err := merged[i].Store()
		if err != nil {
			t.Fatal(err)
		}
		for c := range wantColumns {
			if got, want := bitsOf(gotColumns[c]), bitsOf(wantColumns[c]); got != want {
				t.Fatalf("column %s of %v: got %s through tiles of %d, %s in one go", spec.Columns[c].Name, rows, got, length, want)
			}
		}
	}
	want, err := call.Finish(direct)
	if err != nil {
		t.Fatal(err)
	}
	got, err := call.Finish(merged)
	if err != nil {
		t.Fatal(err)
	}
	if bitsOf(got) != bitsOf(want) || !arrow.TypeEqual(got.DataType(), call.Type.Arrow()) {
		t.Fatalf("%v gives %s (%s) through tiles of %d, %s in one go", rows, bitsOf(got), got.DataType(), length, bitsOf(want))
	}
}

// throughGroups takes the long way: rows in another order to tiles of a length, those to groups, and those to one.
func throughGroups(t *rapid.T, spec *Spec, input feature.Type, rows []twinRow, length int64) States {
	rows = rapid.Permutation(rows).Draw(t, "order")
	// Rows that follow each other in a tile may come in several batches.
	tiles := map[int64][]twinRow{}
	var ends []int64
	for _, r := range rows {
		end := (r.event + length - 1) / length * length
		if tiles[end] == nil {
			ends = append(ends, end)
		}
		tiles[end] = append(tiles[end], r)
	}
	built := spec.New()
	built.Reset(len(ends))
	for i, end := range ends {
		for batch := range slices.Chunk(tiles[end], rapid.IntRange(1, 4).Draw(t, "batch")) {
			column, times := twinColumn(input, batch)
			built.Add(column, times, []Span{{Group: int32(i), To: int32(len(batch))}})
		}
	}
	stored, err := built.Store()
	if err != nil {
		t.Fatal(err)
	}
	groups := rapid.IntRange(1, 3).Draw(t, "groups")
	folded, out := spec.New(), spec.New()
	folded.Reset(groups)
	times := Times{Events: ends, Created: make([]int64, len(ends))}
	for i := range ends {
		group := rapid.IntRange(0, groups-1).Draw(t, "group")
		if err := folded.Fold(stored, times, []Span{{Group: int32(group), From: int32(i), To: int32(i + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset(1)
	for _, g := range rapid.Permutation([]int{0, 1, 2}[:groups]).Draw(t, "merges") {
		out.Merge(0, folded, g)
	}
	if remover, ok := out.(Remover); ok { // once more in and out
		remover.Merge(0, folded, 0)
		remover.Remove(0, folded, 0)
	}
	return out
}

// bitsOf shows a column of one row so that two look alike only if they are the same to the bit.
func bitsOf(a arrow.Array) string {
	if list, ok := a.(*array.List); ok && a.Len() == 1 && a.IsValid(0) {
		text := "["
		for i := range list.ListValues().Len() {
			text += bitsOf(array.NewSlice(list.ListValues(), int64(i), int64(i)+1)) + " "
		}
		return text + "]"
	}
	switch c := a.(type) {
	case *array.Float64:
		if c.IsValid(0) {
			return fmt.Sprintf("%v(%x)", c.Value(0), math.Float64bits(c.Value(0)))
		}
	case *array.Float32:
		if c.IsValid(0) {
			return fmt.Sprintf("%v(%x)", c.Value(0), math.Float32bits(c.Value(0)))
		}
	}
	return fmt.Sprint(a)
}

// TestSketchErrors holds the sketches against the exact answers.
func TestSketchErrors(t *testing.T) {
	const n = 20_000
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Exp(float64(i%5000) / 500)
	}
	call, err := New(feature.Aggregation{Function: "approx_percentile", Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)},
		Parameters: feature.Parameters{P: []float64{0, 0.01, 0.5, 0.99, 1}, PList: true, Accuracy: 0.01}})
	if err != nil {
		t.Fatal(err)
	}
	result := resultOf(t, call, columnOf(values)).(*array.List).ListValues().(*array.Float64)
	sorted := slices.Sorted(slices.Values(values))
	for i, p := range []float64{0, 0.01, 0.5, 0.99, 1} {
		exact := sorted[int(p*(n-1))]
		if got := result.Value(i); math.Abs(got-exact) > 0.0100001*exact {
			t.Errorf("percentile %v is %v, exactly %v", p, got, exact)
		}
	}
	for _, precision := range []int{4, 10, 12, 16} {
		call, err := New(feature.Aggregation{Function: "approx_count_distinct", Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)}, Parameters: feature.Parameters{Precision: precision}})
		if err != nil {
			t.Fatal(err)
		}
		got := float64(resultOf(t, call, columnOf(values)).(*array.Int64).Value(0))
		if bound := 4 * 1.04 / math.Pow(2, float64(precision)/2); math.Abs(got-5000) > bound*5000 {
			t.Errorf("with precision %d there are %v distinct values, exactly 5000", precision, got)
		}
	}
}

func resultOf(t *testing.T, call *Call, column arrow.Array) arrow.Array {
	s := call.Specs[0].New()
	s.Reset(1)
	s.Add(column, Times{}, []Span{{To: int32(column.Len())}})
	result, err := call.Finish([]States{s})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// BenchmarkFold folds a million tiles into groups of 13: go test -run '^$' -bench Fold ./aggregate
func BenchmarkFold(b *testing.B) {
	const tiles, run = 1_000_000, 13
	values := make([]float64, tiles)
	for i := range values {
		values[i] = float64(i*2654435761%1_000_000) / 64
	}
	nulls := func(t feature.Type) arrow.Array {
		return array.MakeArrayOfNull(memory.DefaultAllocator, t.Arrow(), tiles)
	}
	var spans []Span
	for from := 0; from < tiles; from += run {
		spans = append(spans, Span{Group: int32(len(spans)), From: int32(from), To: int32(min(tiles, from+run))})
	}
	for _, name := range []string{"sum", "max"} {
		b.Run(name, func(b *testing.B) {
			call, err := New(feature.Aggregation{Function: name, Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)}})
			if err != nil {
				b.Fatal(err)
			}
			columns := []arrow.Array{columnOf(values), nulls(feature.Scalar(feature.Float64)), nulls(feature.Scalar(feature.Bytes))}
			s := call.Specs[0].New()
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(len(spans))
				if err := s.Fold(columns, Times{}, spans); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(tiles*float64(b.N)/b.Elapsed().Seconds(), "tiles/s")
		})
	}
}
