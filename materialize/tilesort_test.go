package materialize

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
)

// tileViews returns a view of tiles, with states of x by the given functions, and that of its rows.
func tileViews(t testing.TB, granularity time.Duration, key feature.Kind, x feature.Kind, functions ...string) (view, rows *feature.View) {
	k := feature.Field{Name: "k", Type: feature.Scalar(key)}
	input := feature.Field{Name: "x", Type: feature.Scalar(x)}
	view = &feature.View{Name: "v", Keys: []feature.Field{k}, Granularity: granularity}
	for _, f := range functions {
		a := feature.Aggregation{Function: f, Input: input, Parameters: feature.Parameters{Precision: 10, P: []float64{0.5}, Accuracy: 0.01}}
		view.Features = append(view.Features, feature.Feature{Field: feature.Field{Name: f}, Aggregation: &a})
	}
	specs, err := aggregate.Specs(view.Features)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		view.States = append(view.States, s.Columns...)
	}
	return view, &feature.View{Name: "v", Keys: view.Keys, Features: []feature.Feature{{Field: input}}}
}

// tileRow is a row of a view of [tileViews]; x is nil for NULL.
type tileRow struct {
	key   any
	event int64
	x     any
}

func tileRows(t testing.TB, view *feature.View, rows []tileRow) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(view))
	for _, r := range rows {
		for i, v := range []any{r.key, feature.Time(r.event), r.x} {
			if err := feature.AppendValue(b.Field(i), v); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.NewRecordBatch()
}

// sortedTiles gives batches to a sorter of tiles, with several feeders, and returns its tiles, a text each, and whether partial tiles were sorted.
func sortedTiles(t testing.TB, view, rowsView *feature.View, budget int64, batches [][]tileRow) (tiles []string, partial bool, err error) {
	s, err := newTileSorter(view, rowsView, sortOptions{budget: budget, rows: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	feeders := []feeder{s.feeder(), s.feeder(), s.feeder()}
	for i, rows := range batches {
		batch := tileRows(t, rowsView, rows)
		if err := feeders[i%2].add(t.Context(), int64(i), batch); err != nil {
			t.Fatal(err)
		}
		batch.Release()
	}
	for _, f := range feeders {
		if err := f.close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	err = s.sorted(t.Context(), 2, s.tilesOf, func(b arrow.RecordBatch) error {
		for row := range int(b.NumRows()) {
			tiles = append(tiles, rowText(b.Columns(), row))
		}
		return nil
	})
	return tiles, s.partial, err
}

func rowText(columns []arrow.Array, row int) string {
	var text []string
	for _, c := range columns {
		text = append(text, valueText(c, row))
	}
	return strings.Join(text, " ")
}

// naiveTiles returns the tiles of rows by adding each tile up on its own.
func naiveTiles(t testing.TB, view, rowsView *feature.View, rows []tileRow) (tiles []string) {
	groups := map[string][]tileRow{}
	for _, r := range rows {
		id := fmt.Sprintf("%09v %020d", r.key, uint64(view.TileOf(feature.Time(r.event)).To)^1<<63)
		groups[id] = append(groups[id], r)
	}
	specs, err := aggregate.Specs(view.Features)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		batch := tileRows(t, rowsView, groups[id])
		events := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
		events.Append(arrow.Timestamp(view.TileOf(feature.Time(groups[id][0].event)).To))
		columns := []arrow.Array{array.NewSlice(batch.Column(0), 0, 1), events.NewArray()}
		for _, spec := range specs {
			states := spec.New()
			states.Reset(1)
			states.Add(batch.Column(2), aggregate.Times{Events: make([]int64, len(groups[id]))}, []aggregate.Span{{To: int32(len(groups[id]))}})
			stored, err := states.Store()
			if err != nil {
				t.Fatal(err)
			}
			columns = append(columns, stored...)
		}
		tiles = append(tiles, rowText(columns, 0))
	}
	return tiles
}

// TestTileSorterAgreesWithAddingUp gives random rows in random batches to a sorter of tiles, whether it sorts partial tiles or rows, in whatever
// memory, and expects the tiles that adding each of them up on its own makes.
func TestTileSorterAgreesWithAddingUp(t *testing.T) {
	functions := []string{"count", "sum", "avg", "min", "max", "var_pop", "approx_count_distinct", "approx_percentile"}
	seen := map[bool]int{}
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.SampledFrom([]feature.Kind{feature.Int64, feature.String}).Draw(r, "keys")
		view, rowsView := tileViews(t, 10*time.Microsecond, kind, feature.Float64, functions...)
		view.StrictlyBefore = rapid.Bool().Draw(r, "strictly before")
		keys, span := rapid.IntRange(1, 4).Draw(r, "keys that there are"), rapid.Int64Range(1, 60).Draw(r, "span")
		row := rapid.Custom(func(r *rapid.T) tileRow {
			n := rapid.IntRange(0, keys-1).Draw(r, "key")
			row := tileRow{key: int64(n), event: rapid.Int64Range(-span, span).Draw(r, "event")}
			if kind == feature.String {
				row.key = fmt.Sprint("k", n)
			}
			if rapid.IntRange(0, 3).Draw(r, "NULL") > 0 {
				row.x = rapid.SampledFrom([]float64{1, 0.1, -7, 1e16, 1e-300, math.Inf(1), math.NaN()}).Draw(r, "x")
			}
			return row
		})
		batches := rapid.SliceOfN(rapid.SliceOfN(row, 1, 40), 0, 8).Draw(r, "batches")
		got, partial, err := sortedTiles(t, view, rowsView, rapid.Int64Range(1, 20_000).Draw(r, "budget"), batches)
		if err != nil {
			r.Fatal(err)
		}
		seen[partial]++
		if want := naiveTiles(t, view, rowsView, slices.Concat(batches...)); !slices.Equal(got, want) {
			r.Fatalf("partial %v: got\n%s\nwant\n%s", partial, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	if seen[true] == 0 || seen[false] == 0 {
		t.Errorf("partial tiles were sorted %d times, rows %d times", seen[true], seen[false])
	}
}

// TestSumsThatOverflowInParts: integers whose sum fits, though that of some of a tile's rows does not, and some whose sum does not.
func TestSumsThatOverflowInParts(t *testing.T) {
	view, rowsView := tileViews(t, 10*time.Microsecond, feature.Int64, feature.Int64, "sum", "count")
	most := tileRow{key: int64(7), event: 5, x: int64(math.MaxInt64)}
	least := tileRow{key: int64(7), event: 5, x: int64(-math.MaxInt64)}
	batches := [][]tileRow{{most, most, most, {key: int64(8), event: 5, x: int64(1)}, {key: int64(8), event: 5, x: int64(2)}, {key: int64(8), event: 5, x: int64(3)}}, {least, least}}
	got, partial, err := sortedTiles(t, view, rowsView, 1<<20, batches)
	if want := naiveTiles(t, view, rowsView, slices.Concat(batches...)); err != nil || !partial || !slices.Equal(got, want) {
		t.Errorf("partial %v: got %q, %v, want %q", partial, got, err, want)
	}
	_, _, err = sortedTiles(t, view, rowsView, 1<<20, batches[:1])
	if want := "column x__sum, key k=7, window"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error of a sum that does not fit is %v, not %q", err, want)
	}
}

// TestWhenPartialTilesAreSorted: where the first batch has three rows or more in a tile, however it is ordered, and partial tiles can be merged.
func TestWhenPartialTilesAreSorted(t *testing.T) {
	rows := func(perTile int, first ...tileRow) []tileRow {
		rows := first
		for i := range 40 * perTile {
			rows = append(rows, tileRow{key: int64(i % 40), event: 5, x: float64(i)})
		}
		return rows
	}
	for _, c := range []struct {
		name        string
		granularity time.Duration
		function    string
		batches     [][]tileRow
		partial     bool
	}{
		{"three rows in a tile", 10 * time.Microsecond, "sum", [][]tileRow{rows(3)}, true},
		{"nearly three", 10 * time.Microsecond, "sum", [][]tileRow{rows(3, tileRow{key: int64(50), event: 5, x: 1.0})}, false},
		{"three from the second batch on", 10 * time.Microsecond, "sum", [][]tileRow{rows(2), rows(3)}, false},
		{"three in the first alone", 10 * time.Microsecond, "sum", [][]tileRow{rows(3), rows(1)}, true},
		{"states that look at times", 10 * time.Microsecond, "last", [][]tileRow{rows(3)}, false},
		{"an exact view", 0, "sum", [][]tileRow{rows(3)}, false},
		{"no rows", 10 * time.Microsecond, "sum", nil, false},
	} {
		view, rowsView := tileViews(t, c.granularity, feature.Int64, feature.Float64, c.function)
		got, partial, err := sortedTiles(t, view, rowsView, 1<<20, c.batches)
		if err != nil || partial != c.partial {
			t.Errorf("%s: partial tiles were sorted: %v, %v", c.name, partial, err)
		}
		if c.function == "sum" && !slices.Equal(got, naiveTiles(t, view, rowsView, slices.Concat(c.batches...))) {
			t.Errorf("%s: the tiles are %q", c.name, got)
		}
	}
}

// TestNumbering: values are numbered in the order in which they come first, whether or not all of them have one hash, and anew once they are forgotten.
func TestNumbering(t *testing.T) {
	alike := func(hashes []uint64, of []int64) {
		for i := range of {
			hashes[i] = math.MaxUint64
		}
	}
	for name, fill := range map[string]func([]uint64, []int64){"keys": keyHashes[int64](), "of one hash": alike} {
		n := newNumbering(fill)
		for range 2 {
			n.forget()
			for from := range int64(3) { // of which the second half is known from the second time on
				var values []int64
				for i := range int64(hashedRows / 2) {
					values = append(values, -7*(from*hashedRows/2+i), -7*(from*hashedRows/2+i+hashedRows/2))
				}
				numbers := make([]int32, len(values))
				n.number(values, numbers)
				for i, v := range values {
					if n.values[numbers[i]] != v || from == 0 && int(numbers[i]) != i {
						t.Fatalf("%s: value %d, the %d-th, has the number %d, which is that of %d", name, v, i, numbers[i], n.values[numbers[i]])
					}
				}
			}
			if want := 2 * hashedRows; len(n.values) != want {
				t.Errorf("%s: %d values are numbered, want %d", name, len(n.values), want)
			}
		}
	}
}

// TestMoreTilesThanAreMadeAtOnce: of two rows each, so that rows are sorted, and of four in each of two batches, so that partial tiles are.
func TestMoreTilesThanAreMadeAtOnce(t *testing.T) {
	view, rowsView := tileViews(t, 10*time.Microsecond, feature.Int64, feature.Float64, "sum")
	const keys = 2*sortedBatchRows + 10
	for _, perTile := range []int{2, 4} {
		var rows []tileRow
		for i := range keys * perTile {
			rows = append(rows, tileRow{key: int64(i % keys), event: 5, x: float64(i % keys)})
		}
		for _, budget := range []int64{1 << 30, 1 << 22} { // one bucket, and several, of which the memory serves again
			got, partial, err := sortedTiles(t, view, rowsView, budget, [][]tileRow{rows, rows})
			if err != nil || partial != (perTile == 4) || len(got) != keys {
				t.Fatalf("%d tiles, partial %v, %v", len(got), partial, err)
			}
			for i, text := range got {
				if want := fmt.Sprintf("%d 1970-01-01T00:00:00.00001Z %v NULL NULL", i, 2*perTile*i); text != want {
					t.Fatalf("tile %d is %q, not %q", i, text, want)
				}
			}
		}
	}
}
