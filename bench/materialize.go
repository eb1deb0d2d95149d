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
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/definitions"
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

// benchMaterialize measures how 20 M rows in the order of their time become sorted history.
func benchMaterialize(ctx context.Context, b *bench) error {
	fmt.Println("materialize: 20 M rows of 20 Parquet files, in order of time -> history sorted by key")
	data, err := b.made(ctx, "source-20M", task{Do: "make-source", History: 20 * million})
	if err != nil {
		return err
	}
	for _, memory := range []int64{1 << 30, 256 << 20} {
		t := task{Do: "materialize", Data: data, Out: b.path("materialized"), Memory: memory}
		if _, err := b.measured(ctx, fmt.Sprintf("materialize --memory %dMiB", memory>>20), "rows", t); err != nil {
			return err
		}
	}
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
		if err := sourceFile(filepath.Join(t.Out, "source", fmt.Sprintf("%03d.parquet", f)), f, files); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Seconds: 1, Count: int64(t.History)}, nil
}

// sourceFile writes a million rows of random keys, in the order of their times, which lie in the n-th part of the year.
func sourceFile(path string, n, parts int) error {
	v := view(4)
	w, err := tabular.Create(path, schemaOf(v.Columns()), tabular.WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Abort()
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(v.Columns()))
	step := yearMicros / int64(parts) / million
	at := int64(yearStart()) + int64(n)*(yearMicros/int64(parts))
	for i := range million {
		b.Field(0).(*array.Int64Builder).Append(keyOf(random.IntN(keysMade)))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(at + int64(i)*step))
		for f := range v.Features {
			b.Field(2 + f).(*array.Float64Builder).Append(random.Float64())
		}
		if i%batchRows == batchRows-1 || i == million-1 {
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
