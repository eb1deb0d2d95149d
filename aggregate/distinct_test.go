package aggregate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// TestSketchesAroundTheirSwitch gives sketches from a few values to well beyond the size at which they become dense, in one go and
// through tiles of random sizes that are stored, shuffled, folded and merged: the same bytes, and the same estimate.
func TestSketchesAroundTheirSwitch(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	for _, precision := range []int{4, 8, 12, 16} {
		for values := 1; values <= 4<<precision && values <= 100_000; values = values*3/2 + 1 {
			t.Run(fmt.Sprint(precision, "/", values), func(t *testing.T) { checkSketch(t, random, precision, values) })
		}
	}
}

func checkSketch(t *testing.T, random *rand.Rand, precision, values int) {
	call, err := New(feature.Aggregation{Function: "approx_count_distinct", Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)}, Parameters: feature.Parameters{Precision: precision}})
	if err != nil {
		t.Fatal(err)
	}
	spec := call.Specs[0]
	rows := make([]float64, values)
	for i := range rows {
		rows[i] = float64(random.IntN(2 * values))
	}
	direct := spec.New()
	direct.Reset(1)
	direct.Add(columnOf(rows), Times{}, []Span{{To: int32(values)}})

	random.Shuffle(values, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	var spans []Span
	for from := 0; from < values; {
		to := min(values, from+1+random.IntN(1+values/(1+random.IntN(20))))
		spans = append(spans, Span{Group: int32(len(spans)), From: int32(from), To: int32(to)})
		from = to
	}
	tiles := spec.New()
	tiles.Reset(len(spans))
	tiles.Add(columnOf(rows), Times{}, spans)
	stored, err := tiles.Store()
	if err != nil {
		t.Fatal(err)
	}
	const groups = 3
	folded, merged := spec.New(), spec.New()
	folded.Reset(groups)
	for _, i := range random.Perm(len(spans)) {
		if err := folded.Fold(stored, Times{}, []Span{{Group: int32(random.IntN(groups)), From: int32(i), To: int32(i + 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	merged.Reset(1)
	for _, g := range random.Perm(groups) {
		merged.Merge(0, folded, g)
	}
	want, err := call.Finish([]States{direct})
	if err != nil {
		t.Fatal(err)
	}
	got, err := call.Finish([]States{merged})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := got.(*array.Int64).Value(0), want.(*array.Int64).Value(0); got != want {
		t.Errorf("%d values are estimated as %d through %d tiles, %d in one go", values, got, len(spans), want)
	}
	a, err := direct.Store()
	if err != nil {
		t.Fatal(err)
	}
	b, err := merged.Store()
	if err != nil {
		t.Fatal(err)
	}
	if bitsOf(a[0]) != bitsOf(b[0]) {
		t.Errorf("%d values are stored in %d bytes through %d tiles, in other %d bytes in one go", values, len(b[0].(*array.Binary).Value(0)), len(spans), len(a[0].(*array.Binary).Value(0)))
	}
}

// TestDistinctNumbers: numbers that are equal count once, as NaN does.
func TestDistinctNumbers(t *testing.T) {
	call, err := New(feature.Aggregation{Function: "approx_count_distinct", Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)}, Parameters: feature.Parameters{Precision: 12}})
	if err != nil {
		t.Fatal(err)
	}
	otherNaN := math.Float64frombits(math.Float64bits(math.NaN()) ^ 1<<63)
	if got := resultOf(t, call, columnOf([]float64{0, math.Copysign(0, -1), math.NaN(), otherNaN, 1})).(*array.Int64).Value(0); got != 3 {
		t.Errorf("0, -0, two NaNs and 1 are %d distinct values, want 3", got)
	}
}
