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
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// The events of the windows' suite lie in so many days.
const (
	eventDays   = 90
	eventMicros = int64(eventDays) * 24 * 3600 * 1e6
)

// windowDays are the windows that tasks ask for, the first t.Windows of them.
func windowDays() []int { return []int{7, 30, 1, 14, 3, 60, 21, 45} }

// windowsYAML defines count, sum and max over the first n windows.
func windowsYAML(n int) string {
	var windows []string
	for _, d := range windowDays()[:n] {
		windows = append(windows, fmt.Sprintf("%dd", d))
	}
	list := strings.Join(windows, ", ")
	return `entities:
  - {name: customer, keys: {customer_id: int64}}
sources:
  - {name: events, parquet: "source/*.parquet", event_time: event_time}
views:
  - name: spend
    entity: customer
    source: events
    online: false
    aggregations:
      - {function: count, windows: [` + list + `]}
      - {function: sum, column: amount, windows: [` + list + `]}
      - {function: max, column: amount, windows: [` + list + `]}
services:
  - name: bench
    features: [{view: spend}]
`
}

// windowsTask returns the task of exporting windows over events of so many keys, having made them.
func (b *bench) windowsTask(ctx context.Context, spine, events, keys, windows int) (task, error) {
	t := task{Do: "export-windows", History: events, Keys: keys, Spine: spine, Windows: windows}
	var err error
	if t.Data, err = b.made(ctx, fmt.Sprintf("events-%dM-of-%d", events/million, keys), task{Do: "make-events", History: events, Keys: keys}); err != nil {
		return t, err
	}
	spines, err := b.made(ctx, fmt.Sprintf("events-spine-%dk-of-%d", spine/1000, keys), task{Do: "make-events-spine", Spine: spine, Keys: keys})
	t.Out = filepath.Join(spines, spineName)
	return t, err
}

// benchWindowsDense measures windows beside the peer's better way, then how time grows with events and windows, and one key that
// has all events.
func benchWindowsDense(ctx context.Context, b *bench) error {
	fmt.Println("windows-dense: 500 k spine rows, 20 M events of 20 k keys over 90 days, count, sum and max, exact, Parquet to Parquet")
	t, err := b.windowsTask(ctx, million/2, 20*million, 20_000, 2)
	if err != nil {
		return err
	}
	if err := b.besideWindows(ctx, t); err != nil {
		return err
	}
	for _, events := range []int{2, 5, 10, 20} {
		t, err := b.windowsTask(ctx, million/2, events*million, 20_000, 2)
		if err != nil {
			return err
		}
		if _, err := b.measured(ctx, fmt.Sprintf("windows of 7 d and 30 d, %d M events", events), "events", t); err != nil {
			return err
		}
	}
	for _, windows := range []int{1, 2, 4, 8} {
		t.Windows = windows
		if _, err := b.measured(ctx, fmt.Sprintf("%d windows, 20 M events", windows), "events", t); err != nil {
			return err
		}
	}
	one, err := b.windowsTask(ctx, million/2, 20*million, 1, 2)
	if err != nil {
		return err
	}
	one.Memory = 256 << 20
	_, err = b.measured(ctx, "one key has all 20 M events, --memory 256MiB", "events", one)
	return err
}

// peerWay is a way in which the peer makes windows.
type peerWay struct {
	what, do string
	events   bool
}

func peerWays() []peerWay {
	return []peerWay{
		{"one range join", "windows-join", true}, {"RANGE windows over the union", "windows-range", true},
		{"one range join over asof's files", "windows-join", false},
	}
}

// besideWindows measures t and the peer in turn, and compares their results: the peer's better way over the events as they are in the
// source, and its best one over the sorted files that materialization has made of them.
func (b *bench) besideWindows(ctx context.Context, t task) error {
	ways := peerWays()
	turns := make([][]figure, 1+len(ways))
	for range b.repeat {
		f, err := measure(ctx, t)
		if err != nil {
			return err
		}
		turns[0] = append(turns[0], f)
		for i := 0; b.peer != "" && i < len(ways); i++ {
			if f, err = b.windowsPeer(ctx, t, ways[i]); err != nil {
				return err
			}
			turns[1+i] = append(turns[1+i], f)
		}
	}
	ours := medianOf(turns[0])
	show("windows of 7 d and 30 d", ours, "events")
	if b.peer == "" {
		fmt.Println("  no peer beside it: run make bench-peers, which installs DuckDB below build/")
		return nil
	}
	best := map[bool]figure{} // over events, over our files
	for i, way := range ways {
		f := medianOf(turns[1+i])
		show("  DuckDB, "+way.what, f, "events")
		if known, ok := best[way.events]; !ok || f.Seconds < known.Seconds {
			best[way.events] = f
		}
	}
	for _, events := range []bool{false, true} {
		name := map[bool]string{true: "windows-dense", false: "windows-dense over asof's files"}[events]
		fmt.Printf("bench %s ratio_time=%.2f ratio_memory=%.2f equal=true\n", name, best[events].Seconds/ours.Seconds, float64(best[events].Peak)/float64(ours.Peak))
	}
	return nil
}

// windowsPeer has the peer answer t, and fails unless its result is that of the last export.
func (b *bench) windowsPeer(ctx context.Context, t task, way peerWay) (figure, error) {
	files, err := historyFiles(ctx, t)
	if err != nil {
		return figure{}, err
	}
	if way.events {
		files = []string{filepath.Join(t.Data, "source", "*.parquet")}
	}
	p := peerTask{Do: way.do, Events: way.events, Spine: t.Out, History: files, Out: filepath.Join(filepath.Dir(t.Out), "peer.parquet"), Ours: outputOf(t), Days: windowDays()[:t.Windows]}
	f, err := b.askPeer(ctx, p)
	if err != nil {
		return f, err
	}
	f.Count = int64(t.History)
	for _, d := range p.Days {
		p.Columns = append(p.Columns, fmt.Sprintf("count_%dd", d), fmt.Sprintf("amount_sum_%dd", d), fmt.Sprintf("amount_max_%dd", d))
	}
	p.Do = "compare"
	unequal, err := b.askPeer(ctx, p)
	if err == nil && unequal.Count != 0 {
		err = fmt.Errorf("%d rows of the peer's result (%s) are not ours", unequal.Count, way.what)
	}
	return f, err
}

// makeEvents writes t.History events of t.Keys keys to files of up to a million, in order of time, and materializes them. Amounts
// are multiples of 1/64, so that every sum of them is a float64 in whatever order it is made.
func makeEvents(ctx context.Context, t task) (o outcome, err error) {
	if err := os.MkdirAll(filepath.Join(t.Out, "source"), 0o755); err != nil {
		return o, err
	}
	const fileRows = million
	files := max(1, t.History/fileRows)
	for f := range files {
		rows := min(fileRows, t.History)
		from, length := eventMicros/int64(files)*int64(f), eventMicros/int64(files)
		times := sortedTimes(rand.New(rand.NewPCG(seed, uint64(f))), rows, length)
		if err := eventFile(filepath.Join(t.Out, "source", fmt.Sprintf("%03d.parquet", f)), t.Keys, from, times, rand.New(rand.NewPCG(seed+1, uint64(f)))); err != nil {
			return o, err
		}
	}
	view, _, err := windowsView(t.Out, 1)
	if err != nil {
		return o, err
	}
	store, err := offline.Open(ctx, t.Out, offline.Options{})
	if err != nil {
		return o, err
	}
	engine := materialize.Engine{Offline: store, Memory: t.Memory, Version: "bench"}
	results, err := engine.Run(ctx, []*definitions.View{view}, materialize.Request{})
	if err != nil {
		return o, err
	}
	return outcome{Seconds: results[0].Duration.Seconds(), Count: results[0].Rows}, nil
}

// sortedTimes returns n increasing times below length, by random steps.
func sortedTimes(random *rand.Rand, n int, length int64) []int64 {
	times := make([]int64, n)
	for i := range times {
		times[i] = length/int64(n)*int64(i) + random.Int64N(length/int64(n))
	}
	return times
}

func eventFile(path string, keys int, from int64, times []int64, random *rand.Rand) error {
	fields := []feature.Field{{Name: "customer_id", Type: feature.Scalar(feature.Int64)}, {Name: "event_time", Type: feature.Scalar(feature.Timestamp)}, {Name: "amount", Type: feature.Scalar(feature.Float64)}}
	w, err := tabular.Create(path, schemaOf(fields), tabular.WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Abort()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(fields))
	for i, at := range times {
		b.Field(0).(*array.Int64Builder).Append(keyOf(random.IntN(keys)))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(int64(yearStart()) + from + at))
		b.Field(2).(*array.Float64Builder).Append(float64(random.IntN(1<<20)) / 64)
		if i%batchRows == batchRows-1 || i == len(times)-1 {
			if err := w.Write(b.NewRecordBatch()); err != nil {
				return err
			}
		}
	}
	return w.Commit()
}

// makeEventsSpine writes t.Spine rows of random keys and times, in no order.
func makeEventsSpine(_ context.Context, t task) (outcome, error) {
	return writeSpine(t, t.Keys, eventMicros)
}

// windowsView returns the view and service of so many windows over the events in a directory.
func windowsView(data string, windows int) (*definitions.View, *feature.Service, error) {
	path := filepath.Join(data, fmt.Sprintf("windows-%d.yaml", windows))
	if err := os.WriteFile(path, []byte(windowsYAML(windows)), 0o644); err != nil {
		return nil, nil, err
	}
	model, err := definitions.Load(path, definitions.LoadOptions{})
	if err != nil {
		return nil, nil, err
	}
	return model.Views[0], model.Services[0].Service, nil
}

// taskExportWindows exports the windows of the spine t.Out.
func taskExportWindows(ctx context.Context, t task) (o outcome, err error) {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	view, svc, err := windowsView(t.Data, t.Windows)
	if err != nil {
		return o, err
	}
	snapshot, err := openHistory(ctx, t.Data, view.Name)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	start := time.Now()
	if _, err = pointintime.Export(ctx, svc, map[string]*offline.Snapshot{view.Name: snapshot}, t.Out, outputOf(t), pointintime.ExportOptions{Memory: t.Memory}); err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(start).Seconds(), Count: int64(t.History)}, nil
}
