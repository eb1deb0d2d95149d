package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
)

// benchMaterializeSort makes sorted history of 20 M rows that come in no order, in 1 GiB.
func benchMaterializeSort(ctx context.Context, b *bench, r *report) error {
	t, err := b.sourceTask(ctx)
	if err != nil {
		return err
	}
	for _, memory := range []int64{256 << 20, 1 << 30} {
		t.Memory = memory
		name := map[int64]string{1 << 30: "materialize-sort"}[memory]
		if err := b.besideMaterialize(ctx, r, name, fmt.Sprintf("--memory %dMiB", memory>>20), t, question{Do: "sort", Keys: []string{"customer_id"}}); err != nil {
			return err
		}
	}
	return nil
}

// sourceTask is the task of materializing 20 M rows, which it has made.
func (b *bench) sourceTask(ctx context.Context) (t task, err error) {
	t = task{Do: "materialize", Shape: b.usual(), Out: b.output("materialized")}
	t.Data, err = b.made(ctx, "source-"+t.Shape.name(), task{Do: "make-source", Shape: t.Shape})
	return t, err
}

// benchMaterializeTiles makes tiles of an hour of 20 M events, some five of which fall into each.
func benchMaterializeTiles(ctx context.Context, b *bench, r *report) error {
	t := task{Do: "materialize", Shape: b.events(20*million, 2000), Out: b.output("materialized")}
	var err error
	if t.Data, err = b.made(ctx, "hours-"+t.Shape.name(), task{Do: "make-events", Shape: t.Shape, Hourly: true}); err != nil {
		return err
	}
	return b.besideMaterialize(ctx, r, "materialize-tiles", "1 h tiles", t, question{Do: "tiles", Columns: []string{"amount__max", "amount__sum", "rows__count"}})
}

// besideMaterialize measures a materialization in turn with the peers that can do it, and compares all rows, in their order.
func (b *bench) besideMaterialize(ctx context.Context, r *report, name, what string, t task, q question) error {
	contenders := []contender{{name: "asof", once: doing(t)}}
	if b.python != "" {
		q.Source, q.Warehouse = filepath.Join(t.Data, "source", "*.parquet"), t.Out
		names := []string{peerDuckDB}
		if q.Do == "sort" {
			names = append(names, peerPolars)
			for _, f := range t.Shape.views()[0].Features {
				q.Columns = append(q.Columns, f.Name)
			}
		}
		q.Columns = append(q.Columns, "customer_id", "event_time")
		contenders = append(contenders, b.peers(q, names...)...)
	}
	_, err := b.stand(ctx, r, name, what, "rows", int64(t.Shape.Rows), contenders)
	return err
}

// benchIncremental measures runs that find 0.1 % of new rows, and publish what has changed, in turn with runs over all rows, which publish all; and runs to
// which the same rows come late, as they have gone beyond their times before. In the end all histories must hold the same.
func benchIncremental(ctx context.Context, b *bench, r *report) error {
	source, err := b.sourceTask(ctx)
	if err != nil {
		return err
	}
	// The files of the source by other names, so that more can be put beside them.
	full := source
	full.Data, full.Out, full.Publish = b.output("source"), b.output("full"), true
	if err := linkProject(source.Data, full.Data); err != nil {
		return err
	}
	fresh, late := full, full
	fresh.Out, fresh.Keep, fresh.Until = b.output("fresh"), true, sourceFiles
	late.Out, late.Keep = b.output("late"), true
	for _, t := range []task{fresh, late} {
		if err := os.RemoveAll(t.Out); err != nil {
			return err
		}
		if _, err := measure(ctx, t); err != nil {
			return err
		}
	}
	figures, err := b.inTurn(ctx, []contender{
		{name: "full run", once: doing(full)},
		{name: "run with new rows", once: func(ctx context.Context) (figure, error) {
			name := filepath.Join(full.Data, "source", fmt.Sprintf("%03d.parquet", fresh.Until))
			if err := full.Shape.sourceFile(name, fresh.Until, full.Shape.Rows/1000); err != nil {
				return figure{}, err
			}
			fresh.Until++
			return measure(ctx, fresh)
		}},
		{name: "run with late rows", once: doing(late)},
	})
	if err != nil {
		return err
	}
	figures[0].Count = int64(full.Shape.Rows)
	r.show("full run", figures[0], "rows")
	r.show("run with 0.1 % of new rows", figures[1], "rows")
	r.show("run with as many late rows", figures[2], "rows")
	if err := sameHistory(ctx, full, fresh, late); err != nil {
		r.unequal("incremental")
		return err
	}
	r.close("incremental", figures[1], figures[0])
	return nil
}

// sameHistory fails unless the warehouses of all tasks hold the same rows, once the first of them has been made anew.
func sameHistory(ctx context.Context, tasks ...task) error {
	if _, err := measure(ctx, tasks[0]); err != nil {
		return err
	}
	var first figure
	for i, t := range tasks {
		t.Do = "digest"
		sum, err := measure(ctx, t)
		if err != nil {
			return err
		}
		if i == 0 {
			first = sum
		}
		if sum.outcome != first.outcome {
			return fmt.Errorf("%w: %d rows with the digest %s, and %d with %s", errUnequal, first.Count, first.Digest, sum.Count, sum.Digest)
		}
	}
	return nil
}

// linkProject makes a project directory that has the definitions and source files of another.
func linkProject(from, to string) error {
	if err := errors.Join(os.RemoveAll(to), os.MkdirAll(filepath.Join(to, "source"), 0o755)); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(from, "source", "*.parquet"))
	if err != nil {
		return err
	}
	for _, f := range append(files, filepath.Join(from, definitionsName)) {
		name, err := filepath.Rel(from, f)
		if err != nil {
			return err
		}
		if err := os.Link(f, filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// definitionsName is the file of a project's definitions.
const definitionsName = "features.yaml"

// sourceFiles is the number of files that a source has.
const sourceFiles = 20

// makeSource writes the rows of t.Shape to files that follow each other in time, and the definitions beside them.
func makeSource(_ context.Context, t task) (outcome, error) {
	if err := os.MkdirAll(filepath.Join(t.Out, "source"), 0o755); err != nil {
		return outcome{}, err
	}
	yaml := `entities:
  - {name: customer, keys: {customer_id: int64}}
sources:
  - {name: rows, parquet: "source/*.parquet", event_time: event_time}
views:
  - name: view0
    entity: customer
    source: rows
    features:
`
	for _, f := range t.Shape.views()[0].Features {
		yaml += "      - {name: " + f.Name + ", type: float64}\n"
	}
	if err := os.WriteFile(filepath.Join(t.Out, definitionsName), []byte(yaml), 0o644); err != nil {
		return outcome{}, err
	}
	for f := range sourceFiles {
		if err := t.Shape.sourceFile(filepath.Join(t.Out, "source", fmt.Sprintf("%03d.parquet", f)), f, t.Shape.Rows/sourceFiles); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Count: int64(t.Shape.Rows)}, nil
}

// stretch is the length of the event times of one file of a source, in microseconds.
func (s shape) stretch() int64 { return int64(s.Days) * dayMicros / sourceFiles }

// sourceFile writes so many rows of random keys and times, in no order, which lie in the n-th stretch of the source's time. No two have the
// same time.
func (s shape) sourceFile(path string, n, rows int) error {
	step := s.stretch() / int64(rows)
	return writeFile(path, s.views()[0].Columns(), rows, func(b *array.RecordBuilder, emit func() error) error {
		for i := range rows {
			// A prime that does not divide the number of rows leads to each of them once.
			at := int64(start()) + int64(n)*s.stretch() + int64(i)*15_485_863%int64(rows)*step
			b.Field(0).(*array.Int64Builder).Append(keyOf(int(mix(n, i) % uint64(s.Keys))))
			b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(at))
			for f := range s.Features {
				b.Field(2 + f).(*array.Float64Builder).Append(s.value(n, i, 0, f))
			}
			if err := emit(); err != nil {
				return err
			}
		}
		return nil
	})
}

// taskMaterialize materializes the definitions in t.Data into the warehouse t.Out, a new one unless it is to be kept.
func taskMaterialize(ctx context.Context, t task) (o outcome, err error) {
	if !t.Keep {
		if err := makeWay(t.Out); err != nil {
			return o, err
		}
	}
	begun := time.Now()
	model, err := definitions.Load(filepath.Join(t.Data, definitionsName), definitions.LoadOptions{})
	if err != nil {
		return o, err
	}
	store, err := offline.Open(ctx, t.Out, offline.Options{})
	if err != nil {
		return o, err
	}
	engine := &materialize.Engine{Offline: store, Memory: t.Memory, Version: "bench"}
	if t.Until > 0 {
		engine.Now = func() time.Time {
			return start().Add(time.Duration(int64(t.Until)*t.Shape.stretch()-1) * time.Microsecond).Std()
		}
	}
	if t.Publish {
		if engine.Online, err = online.Open(filepath.Join(t.Out, onlineName), online.Options{Logger: quiet()}); err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, engine.Online.Close()) }()
	}
	results, err := engine.Run(ctx, model.Views, materialize.Request{})
	if err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(begun).Seconds(), Count: results[0].Rows}, nil
}

// taskDigest adds up the rows of a history, each mixed into one number, so that their order does not matter.
func taskDigest(ctx context.Context, t task) (o outcome, err error) {
	store, err := offline.Open(ctx, t.Out, offline.Options{})
	if err != nil {
		return o, err
	}
	view := t.Shape.views()[0]
	snapshot, err := store.Snapshot(ctx, view.Name)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	runs, err := snapshot.Runs(ctx)
	if err != nil {
		return o, err
	}
	var names []string
	for _, c := range view.Columns() {
		names = append(names, c.Name)
	}
	sum := uint64(0)
	for _, run := range runs {
		columns, err := run.Read(ctx, names, nil)
		if err != nil {
			return o, err
		}
		for i := range run.Rows() {
			parts := make([]int, len(columns))
			for c, column := range columns {
				parts[c] = bitsOf(column, i)
			}
			sum += mix(parts...)
		}
		o.Count += int64(run.Rows())
	}
	o.Digest = fmt.Sprintf("%016x", sum)
	return o, nil
}

func bitsOf(column arrow.Array, i int) int {
	switch c := column.(type) {
	case *array.Int64:
		return int(c.Value(i))
	case *array.Timestamp:
		return int(c.Value(i))
	case *array.Float64:
		return int(math.Float64bits(c.Value(i)))
	}
	panic("bench: no digest of " + strings.TrimSpace(column.DataType().String()))
}
