package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// events is the data of suites about windows: events of so many keys over 90 days.
func (b *bench) events(rows, keys int) shape {
	return shape{Kind: intKeys, Keys: max(1, min(keys, keys*10/b.scale)), Rows: b.rows(rows), Days: 90, Views: 1}
}

// windowDays are the windows that tasks ask for, the first t.Windows of them.
func windowDays() []int { return []int{7, 30, 1, 14, 3, 60, 21, 45} }

// windowsYAML defines count, sum and max over the first n windows, hourly or exact.
func windowsYAML(n int, hourly bool) string {
	var windows []string
	for _, d := range windowDays()[:n] {
		windows = append(windows, fmt.Sprintf("%dd", d))
	}
	list, granularity := strings.Join(windows, ", "), ""
	if hourly {
		granularity = "\n    granularity: 1h"
	}
	return `entities:
  - {name: customer, keys: {customer_id: int64}}
sources:
  - {name: events, parquet: "source/*.parquet", event_time: event_time}
views:
  - name: view0
    entity: customer
    source: events
    online: false` + granularity + `
    aggregations:
      - {function: count, windows: [` + list + `]}
      - {function: sum, column: amount, windows: [` + list + `]}
      - {function: max, column: amount, windows: [` + list + `]}
services:
  - name: bench
    features: [{view: view0}]
`
}

// windowsTask is the task of exporting windows over events, which it has made.
func (b *bench) windowsTask(ctx context.Context, spine, events, keys, windows int) (task, error) {
	t := task{Do: "export-windows", Shape: b.events(events, keys), Spine: b.rows(spine), Windows: windows}
	var err error
	if t.Data, err = b.made(ctx, "events-"+t.Shape.name(), task{Do: "make-events", Shape: t.Shape}); err != nil {
		return t, err
	}
	spines, err := b.made(ctx, fmt.Sprintf("events-spine-%d-of-%d", t.Spine, t.Shape.Keys), task{Do: "make-spine", Spine: t.Spine, Shape: t.Shape})
	t.Out = filepath.Join(spines, trainingName)
	return t, err
}

// benchWindowsDense exports 500 k rows with windows over 20 M events of 20 k keys, exact to the microsecond, beside the peer; then it shows
// how time grows with events and windows, and one key that has all events.
func benchWindowsDense(ctx context.Context, b *bench, r *report) error {
	var byEvents []standing
	for _, events := range []int{2, 5, 10, 20} {
		t, err := b.windowsTask(ctx, million/2, events*million, 20_000, 2)
		if err != nil {
			return err
		}
		f, err := b.alone(ctx, r, fmt.Sprintf("windows of 7 d and 30 d, %d M events", events), "events", t)
		if err != nil {
			return err
		}
		byEvents = append(byEvents, standing{names: []string{"asof"}, figures: []figure{f}, x: events * million})
	}
	r.plotStandings("windows-dense", "500 k spine rows, two windows: export against events", byEvents)
	for _, windows := range []int{1, 2, 4, 8} {
		t, err := b.windowsTask(ctx, million/2, 20*million, 20_000, windows)
		if err != nil {
			return err
		}
		if _, err := b.alone(ctx, r, fmt.Sprintf("%d windows, 20 M events", windows), "events", t); err != nil {
			return err
		}
	}
	one, err := b.windowsTask(ctx, million/2, 20*million, 1, 2)
	if err != nil {
		return err
	}
	one.Memory = 256 << 20
	if _, err = b.alone(ctx, r, "one key has all events, --memory 256MiB", "events", one); err != nil {
		return err
	}
	t, err := b.windowsTask(ctx, million/2, 20*million, 20_000, 2)
	if err != nil {
		return err
	}
	return b.besideWindows(ctx, r, t)
}

// alone measures t without a peer.
func (b *bench) alone(ctx context.Context, r *report, what, unit string, t task) (figure, error) {
	figures, err := b.inTurn(ctx, []contender{{name: what, once: doing(t)}})
	if err != nil {
		return figure{}, err
	}
	figures[0].Count = int64(t.Shape.Rows)
	r.show(what, figures[0], unit)
	return figures[0], nil
}

// besideWindows measures t in turn with the peer, in three ways: two over the events as they are in the source, and the better of them over
// the sorted files that materialization has made, whose order is then a gift. Each closing line is that of the best way.
func (b *bench) besideWindows(ctx context.Context, r *report, t task) error {
	contenders := []contender{{name: "asof, windows of 7 d and 30 d", once: doing(t)}}
	if b.python != "" {
		files, err := historyFiles(ctx, t.Data, "view0")
		if err != nil {
			return err
		}
		events := question{Source: filepath.Join(t.Data, "source", "*.parquet"), Spine: t.spinePath(), Ours: t.Out, Days: windowDays()[:t.Windows]}
		events.Columns = []string{"customer_id", timeColumn, labelColumn}
		for _, d := range events.Days {
			events.Columns = append(events.Columns, fmt.Sprintf("count_%dd", d), fmt.Sprintf("amount_sum_%dd", d), fmt.Sprintf("amount_max_%dd", d))
		}
		ours := events
		ours.Source, ours.History = "", []peerHistory{{Files: files}}
		for _, way := range []struct {
			what, do string
			q        question
		}{{"one range join", "windows_join", events}, {"RANGE windows over the union", "windows_range", events}, {"one range join over asof's files", "windows_join", ours}} {
			way.q.Do = way.do
			c := b.peers(way.q, peerDuckDB)[0]
			c.name += ", " + way.what
			contenders = append(contenders, c)
		}
	}
	s, err := b.stand(ctx, r, "", "", "events", int64(t.Shape.Rows), contenders)
	if errors.Is(err, errUnequal) {
		r.unequal("windows-dense")
	}
	if err != nil || len(s.figures) < 2 {
		return err
	}
	r.close("windows-dense-over-asof-files", s.figures[0], s.figures[3])
	best := s.figures[1]
	if s.figures[2].Seconds < best.Seconds {
		best = s.figures[2]
	}
	r.close("windows-dense", s.figures[0], best)
	return nil
}

// makeEvents writes the events of t.Shape to files of up to a million, in order of time, and materializes them. Amounts are multiples of
// 1/64, so that every sum of them is a float64 in whatever order it is made.
func makeEvents(ctx context.Context, t task) (o outcome, err error) {
	if err := os.MkdirAll(filepath.Join(t.Out, "source"), 0o755); err != nil {
		return o, err
	}
	files := max(1, t.Shape.Rows/million)
	for f := range files {
		if err := t.Shape.eventFile(filepath.Join(t.Out, "source", fmt.Sprintf("%03d.parquet", f)), f, files); err != nil {
			return o, err
		}
	}
	if t.Hourly {
		return o, os.WriteFile(filepath.Join(t.Out, definitionsName), []byte(windowsYAML(1, true)), 0o644)
	}
	view, _, err := windowsView(t.Out, 1)
	if err != nil {
		return o, err
	}
	store, err := offline.Open(ctx, t.Out, offline.Options{})
	if err != nil {
		return o, err
	}
	engine := materialize.Engine{Offline: store, Version: "bench"}
	_, err = engine.Run(ctx, []*definitions.View{view}, materialize.Request{})
	return o, err
}

// eventFile writes the n-th of so many files, whose events have the n-th part of the time.
func (s shape) eventFile(path string, n, files int) error {
	fields := []feature.Field{{Name: "customer_id", Type: feature.Scalar(feature.Int64)}, {Name: "event_time", Type: feature.Scalar(feature.Timestamp)}, {Name: "amount", Type: feature.Scalar(feature.Float64)}}
	rows, random := s.Rows/files, rand.New(rand.NewPCG(seed, uint64(n)))
	length := int64(s.Days) * dayMicros / int64(files)
	step := length / int64(rows)
	return writeFile(path, fields, rows, func(b *array.RecordBuilder, emit func() error) error {
		for i := range rows {
			at := int64(start()) + int64(n)*length + int64(i)*step + random.Int64N(step)
			b.Field(0).(*array.Int64Builder).Append(keyOf(random.IntN(s.Keys)))
			b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(at))
			b.Field(2).(*array.Float64Builder).Append(float64(random.IntN(1<<20)) / 64)
			if err := emit(); err != nil {
				return err
			}
		}
		return nil
	})
}

// windowsView returns the view and service of so many windows over the events in a directory.
func windowsView(data string, windows int) (*definitions.View, *feature.Service, error) {
	path := filepath.Join(data, fmt.Sprintf("windows-%d.yaml", windows))
	if err := os.WriteFile(path, []byte(windowsYAML(windows, false)), 0o644); err != nil {
		return nil, nil, err
	}
	model, err := definitions.Load(path, definitions.LoadOptions{})
	if err != nil {
		return nil, nil, err
	}
	return model.Views[0], model.Services[0].Service, nil
}

// taskExportWindows exports the windows of t's spine.
func taskExportWindows(ctx context.Context, t task) (o outcome, err error) {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	view, svc, err := windowsView(t.Data, t.Windows)
	if err != nil {
		return o, err
	}
	store, err := offline.Open(ctx, t.Data, offline.Options{})
	if err != nil {
		return o, err
	}
	snapshot, err := store.Snapshot(ctx, view.Name)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	if err := makeWay(t.Out); err != nil {
		return o, err
	}
	begun := time.Now()
	if _, err = pointintime.Export(ctx, svc, map[string]*offline.Snapshot{view.Name: snapshot}, t.spinePath(), t.Out, pointintime.ExportOptions{Memory: t.Memory}); err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(begun).Seconds(), Count: int64(t.Shape.Rows)}, nil
}
