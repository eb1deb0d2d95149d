package offline

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/asof-store/asof/feature"
)

// TestTiesKeepTheirOrder gives one key so many rows of one event time that they fill a file's size several times, has files
// rewritten at either end by later commits, and expects the ties in the order of their source: files stand in the order of the
// commits that made them, so ties must not be parted between files.
func TestTiesKeepTheirOrder(t *testing.T) {
	v := &feature.View{Name: "v", Hash: "h1", Keys: []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}},
		Features: features("n", feature.Scalar(feature.Int64))}
	var all []row
	for i := range 40 {
		all = append(all, row{int64(1), feature.Time(i / 7), int64(i)})
	}
	for _, group := range []int{1, 3, 6} {
		dir, err := os.MkdirTemp(memoryDir(), "offline")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s := openStore(t, dir, Options{FileBytes: 1, RowGroupRows: group, PageRows: 2})
		for _, edge := range []feature.Range{{From: 0, To: 9}, {From: 0, To: 0}, {From: 5, To: 9}, {From: 3, To: 3}} {
			var rows []row
			for _, r := range all {
				if edge.Contains(r[1].(feature.Time)) {
					rows = append(rows, r)
				}
			}
			c := commitFor(edge)
			c.Progress.Start, c.Progress.Watermark = 0, 9
			snapshot, err := replace(s, v, c, rows, 3)
			if err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("row groups of %d, %d to %d", group, edge.From, edge.To), func(t *testing.T) {
				sameRows(t, v, readAll(t, snapshot, v), all)
				if files := len(snapshot.Files()); files < 4 {
					t.Errorf("%d files show nothing", files)
				}
			})
			if err := snapshot.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReplaceByAnotherDefinition lets a run whose definition has been replaced since it was planned come too late: its rows would
// stand among those of the new one.
func TestReplaceByAnotherDefinition(t *testing.T) {
	dir := t.TempDir()
	prepareRuns(t, dir, 1)
	late := commitFor(feature.Range{From: 0, To: 200})
	late.Progress.Hash = "the old one"
	if _, err := replace(openStore(t, dir, smallFiles), purchases(), late, nil, 1); !errors.Is(err, feature.ErrConflict) {
		t.Errorf("got %v", err)
	}
	checkHistory(t, dir, 1)
}
