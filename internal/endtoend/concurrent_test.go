package endtoend

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
)

// TestConcurrentRuns lets two engines, one of which serves online, materialize one view at the same time, again and again: one may be
// told to come later, and in the end every row is there once, in training and online.
func TestConcurrentRuns(t *testing.T) {
	w := newWorld(t, memoryDir(t), killOptions)
	defer func() { w.close() }()
	store, err := offline.Open(context.Background(), w.path("warehouse"), killOptions.offline)
	w.must(err)
	w.must(killOperations[0](w))
	other := &materialize.Engine{Offline: store, Now: w.engine.Now}
	for range 5 {
		w.now += 3 * second
		w.write("src/b.parquet", killRows(8, int(w.now/second)+2, 2))
		var group errgroup.Group
		for _, e := range []*materialize.Engine{w.engine, other} {
			group.Go(func() error {
				_, err := e.Run(context.Background(), w.model.Views, materialize.Request{})
				if errors.Is(err, feature.ErrUnavailable) || errors.Is(err, feature.ErrConflict) {
					return nil
				}
				return err
			})
		}
		w.must(group.Wait())
	}
	_, err = w.materialize(materialize.Request{})
	w.must(err)
	got := w.killState() // which compares online with offline

	alone := newWorld(t, memoryDir(t), killOptions)
	defer func() { alone.close() }()
	w.must(killOperations[0](alone))
	alone.now = w.now
	alone.write("src/b.parquet", killRows(8, int(w.now/second)+2, 2))
	_, err = alone.materialize(materialize.Request{})
	w.must(err)
	if want := alone.killState(); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	snapshot, err := w.offline.Snapshot(context.Background(), "v")
	w.must(err)
	defer func() { w.must(snapshot.Close()) }()
	once, err := alone.offline.Snapshot(context.Background(), "v")
	w.must(err)
	defer func() { w.must(once.Close()) }()
	if snapshot.Rows() != once.Rows() {
		t.Fatalf("the history has %d rows, want %d", snapshot.Rows(), once.Rows())
	}
}
