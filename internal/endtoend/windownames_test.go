package endtoend

import (
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/pointintime"
)

// TestInputNames aggregates columns that are called like the columns of stored rows: a key, and times.
func TestInputNames(t *testing.T) {
	w := newWorld(t, memoryDir(t), worldOptions{})
	defer func() { w.close() }()
	rows, err := parseTable(`
k:int64  at:timestamp  created_time:timestamp  event_time:int64
1        10:00         08:00                   5
1        10:01         07:00                   6
2        10:02         -                       7`)
	w.must(err)
	w.write("src/a.parquet", rows)
	w.must(w.define(`
entities:
  - {name: e, keys: {k: int64}}
  - {name: all}
sources:
  - {name: src, parquet: 'src/*.parquet', event_time: at}
views:
  - name: v
    entity: e
    source: src
    aggregations:
      - {function: max, column: created_time, windows: [1h]}
      - {function: sum, column: event_time, windows: [1h]}
  - name: u
    entity: all
    source: src
    aggregations:
      - {function: approx_count_distinct, column: k, windows: [unbounded]}
services:
  - {name: svc, features: [{view: v}, {view: u}]}
`))
	w.now = w.now.Add(12 * 3600e9)
	_, err = w.materialize(materialize.Request{})
	w.must(err)
	spine, err := parseTable(`
k:int64  q:timestamp
1        10:30
2        10:30`)
	w.must(err)
	got, err := w.exportText("svc", spine, pointintime.ExportOptions{TimeColumn: "q"})
	w.must(err)
	want := `k  q      created_time_max_1h  event_time_sum_1h  k_approx_count_distinct_unbounded
1  10:30  08:00                11                 2
2  10:30  -                    7                  2
`
	if got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if v := w.model.Views[0]; v.HasCreatedTime || v.States[0].Type != feature.Scalar(feature.Timestamp) {
		t.Errorf("the states are %v", v.States)
	}
}
