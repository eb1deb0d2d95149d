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
services:
  - {name: svc, features: [{view: v}]}
`

// newSpineWorld is a world with a view v of one feature, which is the key, at the keys 0 to 99.
func newSpineWorld(t *testing.T, chunk int) *world {
	w := newWorld(t, memoryDir(t), worldOptions{chunk: chunk})
	keys, times := array.NewInt64Builder(memory.DefaultAllocator), array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	for k := range 100 {
		keys.Append(int64(k))
		times.Append(arrow.Timestamp(second))
	}
	k := keys.NewArray()
	w.write("src/a.parquet", tableOf([]string{"k", "at", "f"}, []arrow.Array{k, times.NewArray(), k}))
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
		for _, out := range []string{"out.parquet", "out.arrow"} {
			w.must(w.export("svc", "spine.parquet", out, pointintime.ExportOptions{TimeColumn: "at"}))
			got := readTable(t, w.path(out))
			for i, name := range append(names, "f") {
				all, err := array.Concatenate(got[name], memory.DefaultAllocator)
				w.must(err)
				if i < len(names) {
					if !array.Equal(all, columns[i]) {
						t.Errorf("%s, %d rows at a time: column %s is another", out, chunk, name)
					}
					continue
				}
				k, at := got["k"][0].(*array.Int64), got["at"][0].(*array.Timestamp)
				for row := range k.Len() {
					there := k.Value(row) < 100 && feature.Time(at.Value(row)) >= second
					if all.IsValid(row) != there || there && all.(*array.Int64).Value(row) != k.Value(row) {
						t.Fatalf("%s, row %d: %s of key %d at %d", out, row, all.ValueStr(row), k.Value(row), at.Value(row))
					}
				}
			}
		}
		w.close()
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
