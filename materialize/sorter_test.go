package materialize

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
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
		{Field: feature.Field{Name: "words", Type: feature.ListOf(feature.String)}},
	}
	return v
}

type sortRow struct {
	key            feature.Key
	event, created int64
	n              int64
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
		at := 0
		whole := func(rows arrow.RecordBatch) ([]arrow.RecordBatch, error) { return []arrow.RecordBatch{rows}, nil }
		err := s.sorted(context.Background(), rapid.IntRange(1, 3).Draw(t, "workers"), whole, func(b arrow.RecordBatch) error {
			numbers := b.Column(int(b.NumCols()) - 2).(*array.Int64)
			words := b.Column(int(b.NumCols()) - 1).(*array.List)
			for i := range int(b.NumRows()) {
				if at >= len(want) || numbers.Value(i) != want[at].n {
					t.Fatalf("row %d: got number %d", at, numbers.Value(i))
				}
				if got, expect := words.ValueStr(i), fmt.Sprintf("[\"w%d\"]", want[at].n); got != expect {
					t.Fatalf("row %d: got list %s, want %s", at, got, expect)
				}
				at++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if at != len(want) {
			t.Fatalf("got %d rows, want %d", at, len(want))
		}
	})
}

func randomSortBatch(t *rapid.T, view *feature.View, first int64) (arrow.RecordBatch, []sortRow) {
	n := rapid.IntRange(1, 8).Draw(t, "rows")
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(view))
	rows := make([]sortRow, n)
	small := rapid.Int64Range(-2, 2)
	for i := range n {
		for k, f := range view.Keys {
			v := small.Draw(t, "key")
			value := map[feature.Kind]any{feature.Int64: v, feature.Int32: int32(v), feature.Bool: v > 0, feature.Timestamp: feature.Time(v),
				feature.String: "s" + string(rune('c'+v)), feature.Bytes: []byte{byte(v + 2), 0}}[f.Type.Kind]
			if err := feature.AppendValue(b.Field(k), value); err != nil {
				t.Fatal(err)
			}
		}
		row := sortRow{event: small.Draw(t, "event"), created: int64(feature.MinTime), n: first + int64(i)}
		b.Field(len(view.Keys)).(*array.TimestampBuilder).Append(arrow.Timestamp(row.event))
		created := b.Field(len(view.Keys) + 1).(*array.TimestampBuilder)
		if rapid.Bool().Draw(t, "known") {
			row.created = small.Draw(t, "created")
			created.Append(arrow.Timestamp(row.created))
		} else {
			created.AppendNull()
		}
		b.Field(len(view.Keys) + 2).(*array.Int64Builder).Append(row.n)
		if err := feature.AppendValue(b.Field(len(view.Keys)+3), []string{fmt.Sprintf("w%d", row.n)}); err != nil {
			t.Fatal(err)
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
