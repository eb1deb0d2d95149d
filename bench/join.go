package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

const million = 1_000_000

// joinTask returns the task of joining a spine with a history, both in rows, having made them.
func (b *bench) joinTask(ctx context.Context, do string, spine, history, commits int) (task, error) {
	t := task{Do: do, History: history, Commits: commits, Spine: spine}
	warehouse, err := b.made(ctx, fmt.Sprintf("history-%dM-in-%d", history/million, commits), task{Do: "make-history", History: history, Commits: commits})
	if err != nil {
		return t, err
	}
	spines, err := b.made(ctx, fmt.Sprintf("spine-%dk", spine/1000), task{Do: "make-spine", Spine: spine})
	if err != nil {
		return t, err
	}
	t.Data, t.Out = warehouse, filepath.Join(spines, spineName)
	return t, nil
}

// benchJoin measures the join of 2 M rows with 20 M rows of history, beside the peer.
func benchJoin(ctx context.Context, b *bench) error {
	fmt.Println("join: 2 M spine rows with 20 M rows of history, 1 M int64 keys, 4 float64 features, Parquet to Parquet")
	for _, commits := range []int{1, 8} {
		t, err := b.joinTask(ctx, "export", 2*million, 20*million, commits)
		if err != nil {
			return err
		}
		ours, err := b.measured(ctx, fmt.Sprintf("export, history in %d commits", commits), "spine rows", t)
		if err != nil {
			return err
		}
		alone := t
		alone.Do = "join"
		if _, err := b.measured(ctx, "  the join alone, spine in memory", "spine rows", alone); err != nil {
			return err
		}
		if err := b.benchPeer(ctx, t, ours); err != nil {
			return err
		}
	}
	return nil
}

// benchLinear measures joins of other sizes: time must grow as they do.
func benchLinear(ctx context.Context, b *bench) error {
	fmt.Println("linear: export of other sizes")
	for _, size := range [][2]int{{2 * million, 5 * million}, {2 * million, 10 * million}, {2 * million, 20 * million}, {million / 2, 20 * million}, {million, 20 * million}} {
		t, err := b.joinTask(ctx, "export", size[0], size[1], 1)
		if err != nil {
			return err
		}
		if _, err := b.measured(ctx, fmt.Sprintf("export, %.1f M spine rows, %d M of history", float64(size[0])/million, size[1]/million), "spine rows", t); err != nil {
			return err
		}
	}
	return nil
}

// benchMemory measures what the export's memory option does, and a spine that is larger than memory allows for.
func benchMemory(ctx context.Context, b *bench) error {
	fmt.Println("memory: export under a smaller --memory, 20 M rows of history in 8 commits")
	for _, c := range []struct {
		spine  int
		memory int64
	}{{2 * million, 0}, {2 * million, 512 << 20}, {2 * million, 256 << 20}, {10 * million, 0}, {10 * million, 256 << 20}} {
		t, err := b.joinTask(ctx, "export", c.spine, 20*million, 8)
		if err != nil {
			return err
		}
		t.Memory = c.memory
		what := fmt.Sprintf("export, %d M spine rows, default memory", c.spine/million)
		if c.memory > 0 {
			what = fmt.Sprintf("export, %d M spine rows, --memory %dMiB", c.spine/million, c.memory>>20)
		}
		if _, err := b.measured(ctx, what, "spine rows", t); err != nil {
			return err
		}
	}
	return nil
}

// outputOf is where the export of a spine goes.
func outputOf(t task) string {
	return filepath.Join(filepath.Dir(t.Out), "training.parquet")
}

// taskExport exports the training set of the spine t.Out.
func taskExport(ctx context.Context, t task) (o outcome, err error) {
	v := view(4)
	snapshot, err := openHistory(ctx, t.Data, v.Name)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	start := time.Now()
	m, err := pointintime.Export(ctx, service(v), map[string]*offline.Snapshot{v.Name: snapshot}, t.Out, outputOf(t), pointintime.ExportOptions{Memory: t.Memory})
	if err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(start).Seconds(), Count: m.Rows}, nil
}

func openHistory(ctx context.Context, warehouse, view string) (*offline.Snapshot, error) {
	store, err := offline.Open(ctx, warehouse, offline.Options{})
	if err != nil {
		return nil, err
	}
	return store.Snapshot(ctx, view)
}

// taskJoin answers one question with all rows of the spine, and writes nothing.
func taskJoin(ctx context.Context, t task) (o outcome, err error) {
	v := view(4)
	snapshot, err := openHistory(ctx, t.Data, v.Name)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	q := pointintime.Question{View: v, Features: service(v).Refs[0].Features}
	if err := readSpine(ctx, t.Out, &q); err != nil {
		return o, err
	}
	start := time.Now()
	stored, err := snapshot.Runs(ctx)
	if err != nil {
		return o, err
	}
	runs := make([]pointintime.Run, len(stored))
	for i, r := range stored {
		runs[i] = r
	}
	a, err := pointintime.Join(ctx, q, runs, pointintime.Options{})
	if err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(start).Seconds(), Count: int64(len(a.Rows))}, nil
}

// readSpine reads the keys and times of a spine.
func readSpine(ctx context.Context, path string, q *pointintime.Question) (err error) {
	r, err := tabular.OpenReader(path, tabular.ReaderOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var keys, times []arrow.Array
	for {
		batch, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		at, err := tabular.Convert(batch.Column(2), "event_timestamp", feature.Scalar(feature.Timestamp), r.Where)
		if err != nil {
			return err
		}
		keys, times = append(keys, batch.Column(1)), append(times, at)
	}
	key, err := array.Concatenate(keys, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	at, err := array.Concatenate(times, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	q.Keys, q.Times = []arrow.Array{key}, at.(*array.Timestamp)
	return nil
}
