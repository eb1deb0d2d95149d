package endtoend

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// errPower is what stands for a power cut in TestBackfill.
var errPower = errors.New("the power is cut")

// TestBackfill computes a history in chunks, oldest and newest first, of rows and of tiles, is cut off after each commit in turn, and goes on: nothing
// is computed twice, and in the end history and online values are those of one whole run.
func TestBackfill(t *testing.T) {
	for _, tiles := range []bool{false, true} {
		want := ""
		for _, newest := range []bool{false, true} {
			for stop := range 6 {
				state := backfill(t, tiles, newest, stop)
				if want == "" {
					want = wholeRun(t, tiles)
				}
				if state != want {
					t.Errorf("tiles %v, newest first %v, cut off after %d commits: the result is\n%s\nand that of one run\n%s", tiles, newest, stop, state, want)
				}
			}
		}
	}
}

func backfillWorld(t *testing.T, tiles bool, step func(string, bool) error) *world {
	options := killOptions
	options.tiles, options.step = tiles, step
	w := newWorld(t, memoryDir(t), options)
	w.write("src/a.parquet", killRows(0, 12, 1))
	w.write("src/b.parquet", killRows(8, 24, 2))
	w.must(w.define(w.killDefinition(false)))
	w.now = 24 * second
	return w
}

func wholeRun(t *testing.T, tiles bool) string {
	w := backfillWorld(t, tiles, nil)
	defer w.close()
	_, err := w.materialize(materialize.Request{})
	w.must(err)
	return w.killState()
}

// backfill computes everything in chunks of 4 s, with the power cut just before commit number stop, counted from 0.
func backfill(t *testing.T, tiles, newest bool, stop int) string {
	commits, cut := 0, true
	w := backfillWorld(t, tiles, func(name string, done bool) error {
		if name == "offline.commit" && !done && cut {
			if commits == stop {
				return errPower
			}
			commits++
		}
		return nil
	})
	defer w.close()
	from, to := feature.Time(0), w.now
	request := materialize.Request{From: &from, To: &to, Chunk: 4 * time.Second, NewestFirst: newest}
	w.checkEstimate(request, 6)
	if _, err := w.materialize(request); !errors.Is(err, errPower) {
		t.Fatalf("the run ends with %v", err)
	}
	cut = false
	w.checkEstimate(request, 6-stop)
	if stop > 0 && newest {
		verify, err := w.engine.Verify(context.Background(), w.model.Views[0].View, materialize.VerifyRequest{})
		if w.must(err); !verify.OK() || verify.Watermark != w.now || verify.Keys == 0 {
			t.Errorf("newest first, after %d chunks of 6: %+v; what is served is of the newest ones", stop, verify)
		}
	}
	next := request
	if stop%2 == 1 {
		next = materialize.Request{} // the next run goes on with it as well
	}
	results, err := w.materialize(next)
	w.must(err)
	if r := results[0]; stop%2 == 0 && r.Commits != 6-stop {
		t.Errorf("after %d chunks of 6, what is left takes %d commits", stop, r.Commits)
	}
	stale, err := w.engine.Stale(context.Background(), w.model.Views[0])
	if w.must(err); len(stale) > 0 {
		t.Errorf("in the end %v is stale", stale)
	}
	return w.killState()
}

// checkEstimate compares what is announced with what there is.
func (w *world) checkEstimate(r materialize.Request, commits int) {
	w.t.Helper()
	estimates, err := w.engine.Estimate(context.Background(), w.model.Views, r)
	w.must(err)
	e := estimates[0]
	if len(estimates) != 1 || e.View != "v" || len(e.Ranges) != commits {
		w.t.Fatalf("the estimate is %+v, want %d commits", estimates, commits)
	}
	whole := int64(killRows(0, 12, 1).batch.NumRows() + killRows(8, 24, 2).batch.NumRows())
	if share := float64(e.Rows) / float64(whole); e.Bytes <= 0 || share < float64(commits)/6-0.25 || share > float64(commits)/6+0.25 {
		w.t.Fatalf("the estimate is %d rows of %d, %d bytes, for %d chunks of 6", e.Rows, whole, e.Bytes, commits)
	}
	ordered := slices.IsSortedFunc(e.Ranges, func(a, b feature.Range) int { return int(a.From/second - b.From/second) })
	if ordered == r.NewestFirst && commits > 1 {
		w.t.Fatalf("newest first %v: the order is %v", r.NewestFirst, e.Ranges)
	}
}
