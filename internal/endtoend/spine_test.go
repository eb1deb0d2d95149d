package endtoend

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/pointintime"
)

const spineDefinitions = `entities:
  - {name: e, keys: {k: int64}}
sources:
  - {name: src, parquet: 'src/*.parquet', event_time: at}
views:
  - {name: v, entity: e, source: src, features: [{name: f, type: int64}]}
  - {name: squares, entity: e, source: src, features: [{name: square, type: int64}, {name: name, type: string}]}
  - {name: late, entity: e, source: src, features: [{name: negative, type: int64}], delay: 1s}
services:
  - {name: svc, features: [{view: v}, {view: squares}, {view: late}]}
`

// spineFeatures are the features of svc by the key that they are of.
var spineFeatures = map[string]func(k int64) any{
	"f": func(k int64) any { return k }, "square": func(k int64) any { return k * k }, "negative": func(k int64) any { return -k },
	"name": func(k int64) any { return fmt.Sprint("no. ", k) },
}

// newSpineWorld is a world with three views, whose features say what the key is, at the keys 0 to 99.
func newSpineWorld(t *testing.T, chunk int) *world {
	w := newWorld(t, memoryDir(t), worldOptions{chunk: chunk})
	keys, times := array.NewInt64Builder(memory.DefaultAllocator), array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	for k := range 100 {
		keys.Append(int64(k))
		times.Append(arrow.Timestamp(second))
	}
	names, columns := []string{"k", "at"}, []arrow.Array{keys.NewArray(), times.NewArray()}
	for name, of := range spineFeatures {
		kind := feature.Int64
		if name == "name" {
			kind = feature.String
		}
		b := array.NewBuilder(memory.DefaultAllocator, feature.Scalar(kind).Arrow())
		for k := range int64(100) {
			if err := feature.AppendValue(b, of(k)); err != nil {
				t.Fatal(err)
			}
		}
		names, columns = append(names, name), append(columns, b.NewArray())
	}
	w.write("src/a.parquet", tableOf(names, columns))
	w.now = 10 * second
	w.must(w.define(spineDefinitions))
	_, err := w.materialize(materialize.Request{})
	w.must(err)
	return w
}

// TestSpineColumns exports spines with columns of all types that the join does not need, before, between and after those that it does: they come out as they are,
// row by row, however many rows are joined at a time.
func TestSpineColumns(t *testing.T) {
	const rows = 200_000
	random := rand.New(rand.NewPCG(1, 2))
	column := func(typ feature.Type, value func(i int) any) arrow.Array {
		b := array.NewBuilder(memory.DefaultAllocator, typ.Arrow())
		for i := range rows {
			if err := feature.AppendValue(b, value(i)); err != nil {
				t.Fatal(err)
			}
		}
		return b.NewArray()
	}
	names := []string{"k", "at"}
	columns := []arrow.Array{column(feature.Scalar(feature.Int64), func(int) any { return random.Int64N(120) }),
		column(feature.Scalar(feature.Timestamp), func(int) any { return feature.Time(random.Int64N(int64(5 * second))) })}
	for _, s := range typeSamples {
		names = append(names, "c_"+s.kind.String())
		columns = append(columns, column(feature.Scalar(s.kind), func(i int) any { return []any{s.value, s.dflt, nil}[i*i%7%3] }))
	}
	random.Shuffle(len(names), func(i, j int) {
		names[i], names[j], columns[i], columns[j] = names[j], names[i], columns[j], columns[i]
	})
	for _, chunk := range []int{0, 70_001} {
		w := newSpineWorld(t, chunk)
		w.write("spine.parquet", tableOf(names, columns))
		for _, out := range []string{"out.parquet", "one.parquet", "out.arrow"} {
			o := pointintime.ExportOptions{TimeColumn: "at"}
			if out == "one.parquet" { // whose columns are written one by one
				o.Workers = 1
			}
			w.must(w.export("svc", "spine.parquet", out, o))
			got := readTable(t, w.path(out))
			set := concatenated(t, got)
			for i, name := range names {
				if !array.Equal(set[name], columns[i]) {
					t.Errorf("%s, %d rows at a time: column %s is another", out, chunk, name)
				}
			}
			checkSpineFeatures(t, out, set)
		}
		w.close()
	}
}

// checkSpineFeatures holds the features of a training set against what its keys and times say.
func checkSpineFeatures(t *testing.T, out string, set map[string]arrow.Array) {
	k, at := set["k"].(*array.Int64), set["at"].(*array.Timestamp)
	for name, of := range spineFeatures {
		visible := second
		if name == "negative" {
			visible += second
		}
		for row := range k.Len() {
			want := "(null)"
			if k.Value(row) < 100 && feature.Time(at.Value(row)) >= visible {
				want = fmt.Sprint(of(k.Value(row)))
			}
			if got := set[name].ValueStr(row); got != want {
				t.Fatalf("%s, row %d: %s is %s of key %d at %d, want %s", out, row, name, got, k.Value(row), at.Value(row), want)
			}
		}
	}
}

// TestSpineWithAColumnTwice refuses a spine of which it would be a matter of luck what is meant.
func TestSpineWithAColumnTwice(t *testing.T) {
	w := newSpineWorld(t, 0)
	defer w.close()
	k, at := arrayOf(feature.Scalar(feature.Int64), int64(1)), arrayOf(feature.Scalar(feature.Timestamp), w.now)
	for _, name := range []string{"spine.parquet", "spine.arrow"} {
		w.write(name, tableOf([]string{"k", "at", "x", "x"}, []arrow.Array{k, at, k, k}))
		err := w.export("svc", name, "out.parquet", pointintime.ExportOptions{TimeColumn: "at"})
		if want := fmt.Sprintf(`spine %s has two columns "x": rename one`, w.path(name)); !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}
