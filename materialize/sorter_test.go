package materialize

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// sortView returns a view with keys of the given kinds, a created time, and a feature that numbers the rows.
func sortView(kinds ...feature.Kind) *feature.View {
	v := &feature.View{Name: "v", HasCreatedTime: true}
	for i, k := range kinds {
		v.Keys = append(v.Keys, feature.Field{Name: fmt.Sprintf("k%d", i), Type: feature.Scalar(k)})
	}
	v.Features = []feature.Feature{
		{Field: feature.Field{Name: "n", Type: feature.Scalar(feature.Int64)}},
		{Field: feature.Field{Name: "half", Type: feature.Scalar(feature.Float64)}},
		{Field: feature.Field{Name: "words", Type: feature.ListOf(feature.Int64)}},
		{Field: feature.Field{Name: "none", Type: feature.Scalar(feature.Float32)}},
	}
	return v
}

type sortRow struct {
	key            feature.Key
	event, created int64
	n              int64
	sparse         bool // its batch has NULLs, where others have none, and nothing but NULLs in its lists
}

// half is the value of the feature of that name, as Arrow prints it.
func (r *sortRow) half() string {
	if r.sparse && r.n%2 == 0 {
		return "NULL"
	}
	return strconv.FormatFloat(float64(r.n)/2, 'g', -1, 64)
}

// list is the list of the feature words.
func (r *sortRow) list() string {
	if r.sparse {
		return "[null]"
	}
	return fmt.Sprintf("[%d]", r.n)
}

// TestSorterAgreesWithStableSort sorts random rows in random batches, which several feeders add in any order, under budgets that force many
// spills and buckets that have to be split again, and expects the order of a stable sort in memory.
func TestSorterAgreesWithStableSort(t *testing.T) {
	kinds := [][]feature.Kind{nil, {feature.Int64}, {feature.Int32}, {feature.Bool}, {feature.String}, {feature.Bytes}, {feature.Timestamp},
		{feature.String, feature.Int64}}
	rapid.Check(t, func(t *rapid.T) {
		view := sortView(rapid.SampledFrom(kinds).Draw(t, "kinds")...)
		s := newSorter(view, sortOptions{budget: rapid.Int64Range(1000, 40_000).Draw(t, "budget"), rows: rapid.Int64Range(0, 1000).Draw(t, "expected")})
		defer func() { _ = s.close() }()
		feeders := []feeder{s.feeder(), s.feeder(), s.feeder()}
		var want []sortRow
		var batches []arrow.RecordBatch
		for range rapid.IntRange(0, 40).Draw(t, "batches") {
			batch, rows := randomSortBatch(t, view, int64(len(want)))
			want, batches = append(want, rows...), append(batches, batch)
		}
		var order []int
		for i := range batches {
			order = append(order, i)
		}
		for _, i := range rapid.Permutation(order).Draw(t, "order") {
			if err := rapid.SampledFrom(feeders).Draw(t, "feeder").add(context.Background(), int64(i), batches[i]); err != nil {
				t.Fatal(err)
			}
			batches[i].Release()
		}
		for _, f := range feeders {
			if err := f.close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortStableFunc(want, func(a, b sortRow) int {
			return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(a.event, b.event), cmp.Compare(a.created, b.created))
		})
		var got []arrow.RecordBatch // looked at when all memory that may serve again has done so
		keep := rapid.IntRange(1, 3).Draw(t, "one kept of so many")
		err := s.sorted(context.Background(), rapid.IntRange(1, 3).Draw(t, "workers"), whole, func(b arrow.RecordBatch) error {
			got = append(got, b)
			if len(got)%keep == 0 {
				b.Retain()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range got {
			n := int(b.NumRows())
			if (i+1)%keep == 0 {
				checkSorted(t, b, want[:n])
			}
			want = want[n:]
		}
		if len(want) > 0 {
			t.Fatalf("%d rows are missing", len(want))
		}
	})
}

// checkSorted fails unless a batch has the given rows, whose lists and numbers follow from n.
func checkSorted(t *rapid.T, b arrow.RecordBatch, want []sortRow) {
	columns := b.Columns()[int(b.NumCols())-4:]
	for i, row := range want {
		text := func(column int) string {
			if columns[column].IsNull(i) {
				return "NULL"
			}
			return columns[column].ValueStr(i)
		}
		for c, expect := range []string{strconv.Itoa(int(row.n)), row.half(), row.list(), "NULL"} {
			if got := text(c); got != expect {
				t.Fatalf("number %d: got %s in column %d, want %s", row.n, got, c, expect)
			}
		}
	}
}

func randomSortBatch(t *rapid.T, view *feature.View, first int64) (arrow.RecordBatch, []sortRow) {
	n := rapid.IntRange(1, 8).Draw(t, "rows")
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(view))
	rows := make([]sortRow, n)
	small, sparse := rapid.Int64Range(-2, 2), rapid.Bool().Draw(t, "sparse")
	for i := range n {
		for k, f := range view.Keys {
			v := small.Draw(t, "key")
			value := map[feature.Kind]any{feature.Int64: v, feature.Int32: int32(v), feature.Bool: v > 0, feature.Timestamp: feature.Time(v),
				feature.String: "s" + string(rune('c'+v)), feature.Bytes: []byte{byte(v + 2), 0}}[f.Type.Kind]
			if err := feature.AppendValue(b.Field(k), value); err != nil {
				t.Fatal(err)
			}
		}
		row := sortRow{event: small.Draw(t, "event"), created: int64(feature.MinTime), n: first + int64(i), sparse: sparse}
		b.Field(len(view.Keys)).(*array.TimestampBuilder).Append(arrow.Timestamp(row.event))
		created := b.Field(len(view.Keys) + 1).(*array.TimestampBuilder)
		if rapid.Bool().Draw(t, "known") {
			row.created = small.Draw(t, "created")
			created.Append(arrow.Timestamp(row.created))
		} else {
			created.AppendNull()
		}
		for f, text := range []string{strconv.Itoa(int(row.n)), row.half(), row.list(), "NULL"} {
			field := b.Field(len(view.Keys) + 2 + f)
			if text == "NULL" {
				field.AppendNull()
			} else if err := field.AppendValueFromString(text); err != nil {
				t.Fatal(err)
			}
		}
		rows[i] = row
	}
	batch := b.NewRecordBatch()
	for i := range rows {
		for k := range view.Keys {
			rows[i].key, _ = feature.AppendKeyPart(rows[i].key, batch.Column(k), i)
		}
	}
	return batch, rows
}
