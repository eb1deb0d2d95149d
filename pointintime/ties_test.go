package pointintime

import (
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// TestTiesAcrossRuns gives a key rows of one event time in several runs: the greatest created time decides, then the last run.
func TestTiesAcrossRuns(t *testing.T) {
	view := &feature.View{Name: "v", HasCreatedTime: true, Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}},
		Features: []feature.Feature{{Field: feature.Field{Name: "n", Type: feature.Scalar(feature.Int64)}}}}
	for _, c := range []struct {
		created []feature.Time // of a row in each run
		want    int64          // the run of the answer
	}{
		{[]feature.Time{7, 7, 7}, 2},
		{[]feature.Time{7, 7, 6}, 1},
		{[]feature.Time{8, 7, feature.MinTime}, 0},
		{[]feature.Time{feature.MinTime, feature.MinTime}, 1},
	} {
		var runs []Run
		for i, created := range c.created {
			row := testRow{key: []any{int64(1)}, encoded: feature.AppendKeyInt64(nil, 1), event: 5, created: created, features: []any{int64(i)}}
			runs = append(runs, newMemoryRun(view, []testRow{row}, 1))
		}
		q := Question{View: view, Features: []int{0}, Keys: []arrow.Array{arrayOf(view.Keys[0].Type, []any{int64(1)})},
			Times: arrayOf(feature.Scalar(feature.Timestamp), []any{feature.Time(9)}).(*array.Timestamp)}
		answer, err := Join(context.Background(), q, runs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Columns[0].Values.(*array.Int64).Value(0); got != c.want {
			t.Errorf("created at %v: got the row of run %d, want %d", c.created, got, c.want)
		}
	}
}
