package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
)

// sourceYAML defines the view over the generated source files.
const sourceYAML = `entities:
  - {name: customer, keys: {customer_id: int64}}
sources:
  - {name: rows, parquet: "source/*.parquet", event_time: event_time}
views:
  - name: spend
    entity: customer
    source: rows
    features:
      - {name: f0, type: float64}
      - {name: f1, type: float64}
      - {name: f2, type: float64}
      - {name: f3, type: float64}
`

// tilesYAML defines tiles of an hour over the events in a directory.
const tilesYAML = `entities:
  - {name: customer, keys: {customer_id: int64}}
sources:
  - {name: events, parquet: "%s/*.parquet", event_time: event_time}
views:
  - name: spend
    entity: customer
    source: events
    online: false
    granularity: 1h
    aggregations:
      - {function: count, windows: [7d]}
      - {function: sum, column: amount, windows: [7d]}
      - {function: max, column: amount, windows: [7d]}
`

// benchMaterialize measures how 20 M rows in the order of their time become sorted history, beside the peer that sorts them.
func benchMaterialize(ctx context.Context, b *bench) error {
	fmt.Println("materialize-sort: 20 M rows of 20 Parquet files, in order of time -> history sorted by key")
	data, err := b.made(ctx, "source-20M", task{Do: "make-source", History: 20 * million})
	if err != nil {
		return err
	}
	t := task{Do: "materialize", Data: data, Out: b.path("materialized"), Memory: 1 << 30}
	if err := b.besideSort(ctx, "materialize-sort", t, peerTask{Do: "sort", Spine: filepath.Join(data, "source", "*.parquet")}); err != nil {
		return err
	}
	t.Memory = 256 << 20
	_, err = b.measured(ctx, "materialize --memory 256MiB", "rows", t)
	return err
}

// benchTiles measures how 20 M events become tiles of an hour, beside the peer that groups and sorts them.
func benchTiles(ctx context.Context, b *bench) error {
	fmt.Println("materialize-tiles: 20 M events of 20 k keys over 90 days -> tiles of an hour: count, sum and max")
	events, err := b.made(ctx, "events-20M-of-20000", task{Do: "make-events", History: 20 * million, Keys: 20_000})
	if err != nil {
		return err
	}
	source, err := filepath.Abs(filepath.Join(events, "source"))
	if err != nil {
		return err
	}
	dir := b.path("tiles-20M")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "features.yaml"), fmt.Appendf(nil, tilesYAML, source), 0o644); err != nil {
		return err
	}
	t := task{Do: "materialize", Data: dir, Out: b.path("materialized-tiles"), Memory: 1 << 30}
	return b.besideSort(ctx, "materialize-tiles", t, peerTask{Do: "group", Spine: filepath.Join(source, "*.parquet")})
}

// besideSort measures t and the peer in turn, and compares their results row by row, as both are sorted.
func (b *bench) besideSort(ctx context.Context, name string, t task, p peerTask) error {
	p.Out = b.path("peer.parquet")
	var ours, theirs []figure
	for range b.repeat {
		f, err := measure(ctx, t)
		if err != nil {
			return err
		}
		ours = append(ours, f)
		if b.peer == "" {
			continue
		}
		if f, err = b.askPeer(ctx, p); err != nil {
			return err
		}
		theirs = append(theirs, f)
	}
	us := medianOf(ours)
	show("materialize --memory 1GiB", us, "rows")
	if b.peer == "" {
		fmt.Println("  no peer beside it: run make bench-peers, which installs DuckDB below build/")
		return nil
	}
	them := medianOf(theirs)
	show("  DuckDB, "+p.Do, them, "rows")
	t.Data = t.Out
	files, err := historyFiles(ctx, t)
	if err != nil {
		return err
	}
	slices.Sort(files)
	unequal, err := b.askPeer(ctx, peerTask{Do: "compare-" + p.Do, History: files, Out: p.Out})
	if err != nil {
		return err
	}
	fmt.Printf("bench %s ratio_time=%.2f ratio_memory=%.2f equal=%t\n", name, them.Seconds/us.Seconds, float64(them.Peak)/float64(us.Peak), unequal.Count == 0)
	if unequal.Count != 0 {
		return fmt.Errorf("%d rows of the peer's result are not ours", unequal.Count)
	}
	return nil
}

// benchIncremental measures a run that finds 0.1 % more rows, in a new file, than the run before it; both publish.
func benchIncremental(ctx context.Context, b *bench) error {
	fmt.Println("incremental: 20 k new rows after 20 M, computed and published")
	data, err := b.made(ctx, "source-20M", task{Do: "make-source", History: 20 * million})
	if err != nil {
		return err
	}
	t := task{Do: "materialize-all", Data: data, Out: b.path("incremental"), Memory: 1 << 30}
	full, err := b.measured(ctx, "all 20 M rows", "rows", t)
	if err != nil {
		return err
	}
	t.Do = "materialize-more" // it goes on from there
	more, err := b.measured(ctx, "20 k rows more", "rows", t)
	if err != nil {
		return err
	}
	fmt.Printf("bench incremental ratio_time=%.2f ratio_memory=%.2f equal=%t\n", full.Seconds/more.Seconds, float64(full.Peak)/float64(more.Peak), more.Count == moreRows)
	return nil
}

// makeSource writes t.History rows to files of a million, and the definitions beside them.
func makeSource(_ context.Context, t task) (outcome, error) {
	if err := os.MkdirAll(filepath.Join(t.Out, "source"), 0o755); err != nil {
		return outcome{}, err
	}
	if err := os.WriteFile(filepath.Join(t.Out, "features.yaml"), []byte(sourceYAML), 0o644); err != nil {
		return outcome{}, err
	}
	files := t.History / million
	for f := range files {
		if err := sourceFile(filepath.Join(t.Out, "source", fmt.Sprintf("%03d.parquet", f)), f, files, million); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Seconds: 1, Count: int64(t.History)}, nil
}

// sourceFile writes rows of random keys, in the order of their times, which lie in the n-th part of the year.
func sourceFile(path string, n, parts, rows int) error {
	v := view(4)
	w, err := tabular.Create(path, schemaOf(v.Columns()), tabular.WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Abort()
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(v.Columns()))
	step := yearMicros / int64(parts) / int64(rows)
	at := int64(yearStart()) + int64(n)*(yearMicros/int64(parts))
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(keyOf(random.IntN(keysMade)))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(at + int64(i)*step))
		for f := range v.Features {
			b.Field(2 + f).(*array.Float64Builder).Append(random.Float64())
		}
		if i%batchRows == batchRows-1 || i == rows-1 {
			if err := w.Write(b.NewRecordBatch()); err != nil {
				return err
			}
		}
	}
	return w.Commit()
}

// taskMaterialize materializes the definitions in t.Data into a new warehouse at t.Out.
func taskMaterialize(ctx context.Context, t task) (outcome, error) {
	if err := os.RemoveAll(t.Out); err != nil {
		return outcome{}, err
	}
	start := time.Now()
	model, err := definitions.Load(filepath.Join(t.Data, "features.yaml"), definitions.LoadOptions{})
	if err != nil {
		return outcome{}, err
	}
	store, err := offline.Open(ctx, t.Out, offline.Options{})
	if err != nil {
		return outcome{}, err
	}
	engine := &materialize.Engine{Offline: store, Memory: t.Memory, Version: "bench"}
	results, err := engine.Run(ctx, model.Views, materialize.Request{})
	if err != nil {
		return outcome{}, err
	}
	return outcome{Seconds: time.Since(start).Seconds(), Count: results[0].Rows}, nil
}

// moreRows are what an incremental run finds.
const moreRows = 20_000

// taskMaterializeAll materializes and publishes the source in t.Data, by way of links to its files, into a new project at t.Out.
func taskMaterializeAll(ctx context.Context, t task) (o outcome, err error) {
	if err := os.RemoveAll(t.Out); err != nil {
		return o, err
	}
	if err := os.MkdirAll(filepath.Join(t.Out, "source"), 0o755); err != nil {
		return o, err
	}
	files, err := filepath.Glob(filepath.Join(t.Data, "source", "*.parquet"))
	if err != nil {
		return o, err
	}
	for _, f := range files {
		if err := os.Link(f, filepath.Join(t.Out, "source", filepath.Base(f))); err != nil {
			return o, err
		}
	}
	if err := os.WriteFile(filepath.Join(t.Out, "features.yaml"), []byte(sourceYAML), 0o644); err != nil {
		return o, err
	}
	return runProject(ctx, t, yearStart()+feature.Time(yearMicros)-1)
}

// taskMaterializeMore writes one more file of rows to the project at t.Out, which happened after all others, and materializes and publishes them.
func taskMaterializeMore(ctx context.Context, t task) (o outcome, err error) {
	files, err := filepath.Glob(filepath.Join(t.Out, "source", "*.parquet"))
	if err != nil {
		return o, err
	}
	const parts = 360
	n := parts + len(files)
	if err := sourceFile(filepath.Join(t.Out, "source", fmt.Sprintf("%03d.parquet", len(files))), n, parts, moreRows); err != nil {
		return o, err
	}
	return runProject(ctx, t, yearStart()+feature.Time(int64(n+1)*yearMicros/parts)-1)
}

// runProject brings the project at t.Out up to a time, as asof materialize does.
func runProject(ctx context.Context, t task, to feature.Time) (o outcome, err error) {
	start := time.Now()
	model, err := definitions.Load(filepath.Join(t.Out, "features.yaml"), definitions.LoadOptions{})
	if err != nil {
		return o, err
	}
	store, err := offline.Open(ctx, filepath.Join(t.Out, "warehouse"), offline.Options{})
	if err != nil {
		return o, err
	}
	values, err := online.Open(filepath.Join(t.Out, "online"), online.Options{Logger: quiet()})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, values.Close()) }()
	engine := &materialize.Engine{Offline: store, Online: values, Memory: t.Memory, Version: "bench"}
	results, err := engine.Run(ctx, model.Views, materialize.Request{To: &to})
	if err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(start).Seconds(), Count: results[0].Rows}, nil
}

// taskPublish publishes the history in t.Data to a new online store at t.Out.
func taskPublish(ctx context.Context, t task) (o outcome, err error) {
	if err := os.RemoveAll(t.Out); err != nil {
		return o, err
	}
	store, err := offline.Open(ctx, t.Data, offline.Options{})
	if err != nil {
		return o, err
	}
	values, err := online.Open(t.Out, online.Options{Logger: quiet()})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, values.Close()) }()
	start := time.Now()
	engine := &materialize.Engine{Offline: store, Online: values, Version: "bench"}
	done, err := engine.Publish(ctx, view(4))
	return outcome{Seconds: time.Since(start).Seconds(), Count: done.Keys}, err
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
