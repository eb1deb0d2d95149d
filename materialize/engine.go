package materialize

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/source"
)

// Engine materializes views. Its stores are shared by all its runs.
type Engine struct {
	Offline *offline.Store
	Online  *online.Store    // nil: nothing is published by this process
	Now     func() time.Time // default: time.Now
	Memory  int64            // bytes for sorting, over all views at once; default: 1 GiB
	Workers int              // goroutines, and views at once; default: the number of processors
	TempDir string           // for what does not fit in memory; default: the system's
	Version string           // of asof, kept with what is written
	// Compact says how data files are merged after a run. Its Memory is a part of the run's.
	Compact offline.CompactOptions
	// Runs is told of every run; nil: nobody is.
	Runs Recorder
	// Report is told of progress; nil: nobody is. Its methods are called from several goroutines.
	Report Reporter
}

// Reporter is told of the progress of runs.
type Reporter interface {
	// Start is called when a task of a run begins, such as "customer_profile: reading"; rows is how many rows it has, 0 where
	// that is unknown.
	Start(task string, rows int64) Progress
}

// Progress is told of the progress of one task.
type Progress interface {
	// Add notes that rows more rows are done.
	Add(rows int64)
	// Done is called at the end, with a line about the result.
	Done(summary string)
	// Fail is called instead where the task fails. After Done it does nothing.
	Fail()
}

// Result tells what a run did.
type Result struct {
	View      string
	RunID     string          // also of the snapshots that it made
	Range     feature.Range   // of event times, from the first to the last computed; empty when there was nothing to do
	Commits   int             // that computed it; there may be ranges between them that were up to date
	Stale     []offline.Stale // what of the history was stale before
	Rebuilt   bool
	Rows      int64 // stored
	Filtered  int64 // read, and left out by the view's where
	Skipped   int64 // bad rows left out
	Snapshot  int64
	Watermark feature.Time
	Published Published
	Compacted offline.Compacted
	// Uncompacted is why data files that should have been merged after the run were not, nil otherwise. It fails no run.
	Uncompacted error
	Duration    time.Duration
	// Stages tells where the time went. Several goroutines work at once, so that it is more than Duration.
	Stages []stages.Work
}

// MemoryDefault is the sorting memory of an Engine that names none.
const MemoryDefault = 1 << 30

// Run materializes views, several at a time, and returns a result for each that succeeded, in their order. An error in one
// does not stop the others; all errors are returned, joined.
func (e *Engine) Run(ctx context.Context, views []*definitions.View, r Request) ([]Result, error) {
	results, errs := make([]*Result, len(views)), make([]error, len(views))
	parallel := max(1, min(e.workers(), len(views)))
	var group errgroup.Group
	group.SetLimit(parallel)
	memory := e.Memory
	if memory <= 0 {
		memory = MemoryDefault
	}
	for i, view := range views {
		group.Go(func() error {
			result, err := e.recorded(ctx, view, r, memory/int64(parallel))
			if err != nil {
				errs[i] = err
				return nil
			}
			results[i] = &result
			return nil
		})
	}
	_ = group.Wait() // errors are in errs
	var done []Result
	for _, r := range results {
		if r != nil {
			done = append(done, *r)
		}
	}
	return done, errors.Join(errs...)
}

// run brings one view's offline history up to date, then its online values.
func (e *Engine) run(ctx context.Context, view *definitions.View, r Request, memory int64) (result Result, err error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	start := e.now()
	result = Result{View: view.Name, RunID: r.runID, Range: feature.Range{From: feature.MaxTime, To: feature.MinTime}}
	p, err := e.plan(ctx, view, r)
	if err != nil {
		return result, err
	}
	p.stats = &stages.Stats{}
	defer func() { result.Stages = p.stats.Work() }()
	result.Rebuilt, result.Stale, result.Watermark = p.rebuild, p.stale, p.until
	for _, s := range p.steps {
		result.Range = feature.Range{From: min(result.Range.From, s.events.From), To: max(result.Range.To, s.events.To)}
	}
	watermark := feature.MinTime
	if p.done != nil {
		watermark = p.done.Watermark
	}
	for i, s := range p.steps {
		if len(p.steps) > 1 {
			p.label = fmt.Sprintf("%s (%d of %d)", view.Name, i+1, len(p.steps))
		}
		if err := e.materialize(ctx, p, s, memory, &result); err != nil {
			return result, fmt.Errorf("view %s: %w", view.Name, err)
		}
		// The latest values do not wait for history to be filled in behind them.
		if i < len(p.steps)-1 && watermark < p.until && s.watermark == p.until {
			if err := e.publishResult(ctx, view, &result, p.stats); err != nil {
				return result, err
			}
		}
		watermark = s.watermark
	}
	if len(p.steps) == 0 { // no commit clears up
		if err := e.Offline.ClearUp(ctx, view.Name); err != nil {
			return result, err
		}
	}
	if err := e.publishResult(ctx, view, &result, p.stats); err != nil {
		return result, err
	}
	if result.Commits > 0 {
		e.compact(ctx, view, memory, &result)
	}
	result.Duration = e.now().Sub(start)
	return result, nil
}

// publishResult publishes what a run has computed, and adds it to the run's result.
func (e *Engine) publishResult(ctx context.Context, view *definitions.View, result *Result, stats *stages.Stats) error {
	if e.Online == nil || !view.Online {
		return nil
	}
	clock := stats.Start(stages.Publish)
	published, err := e.Publish(ctx, view.View)
	if errors.Is(err, errRedefined) { // it was not when this run began
		err = feature.Errorf(feature.ErrConflict, "another process has materialized it by another definition meanwhile: run again with the definitions that are applied now")
	}
	if err != nil {
		return fmt.Errorf("publishing view %s: %w", view.Name, err)
	}
	clock.Stop(published.Keys, 0)
	result.Published.Keys += published.Keys
	result.Published.Rebuilt = result.Published.Rebuilt || published.Rebuilt
	return nil
}

// planned is a plan with what it was made from.
type planned struct {
	plan
	view  *definitions.View
	done  *offline.Progress // nil: never materialized
	base  int64             // snapshot; that of the last step that has been taken
	files []source.FileStat
	until feature.Time // the watermark after the run
	label string       // names the tasks of a step to the reporter
	stats *stages.Stats
}

// plan decides what a run with a request does.
func (e *Engine) plan(ctx context.Context, view *definitions.View, r Request) (*planned, error) {
	p := &planned{view: view, label: view.Name}
	var err error
	if p.done, p.base, err = e.progress(ctx, view.Name); err != nil {
		return nil, err
	}
	now := feature.TimeOf(e.now())
	if _, err := askedFor(view.View, p.done, r, now); err != nil { // what is asked for in vain need not wait for the files
		return nil, err
	}
	if p.files, err = survey(ctx, view, p.done); err != nil {
		return nil, err
	}
	var cut func(feature.Range) []feature.Range
	if r.ranged() || r.Chunk > 0 {
		pieces, err := source.Pieces(ctx, view.Source.Spec, p.files, feature.Range{From: feature.MinTime, To: feature.MaxTime})
		if err != nil {
			return nil, fmt.Errorf("view %s: %w", view.Name, err)
		}
		if cut, err = cutter(view.View, pieces, r); err != nil {
			return nil, err
		}
	}
	if p.plan, err = planRun(view.View, p.done, sourceFiles(p.files), r, now, cut); err != nil {
		return nil, err
	}
	if p.done != nil {
		p.until = p.done.Watermark
	}
	for _, s := range p.steps {
		p.until = s.watermark // it never falls
	}
	return p, nil
}

func (e *Engine) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// progress returns how far the view's history is, and the snapshot that says so; nil and [offline.NoSnapshot] when it has none.
func (e *Engine) progress(ctx context.Context, view string) (*offline.Progress, int64, error) {
	snapshot, err := e.Offline.Snapshot(ctx, view)
	if errors.Is(err, feature.ErrNotFound) {
		return nil, offline.NoSnapshot, nil
	}
	if err != nil {
		return nil, 0, err
	}
	p := snapshot.Progress()
	return &p, snapshot.ID(), snapshot.Close()
}

// Watermarks returns the times that a view is materialized to and, if it is online, published to; feature.MinTime where that was never,
// or by another definition. A view that nobody publishes is as far online as offline.
func (e *Engine) Watermarks(ctx context.Context, view *definitions.View) (offline, online feature.Time, err error) {
	offline, online = feature.MinTime, feature.MinTime
	done, _, err := e.progress(ctx, view.Name)
	if err != nil {
		return offline, online, err
	}
	if done != nil && done.Hash == view.Hash {
		offline = done.Watermark
	}
	if e.Online == nil || !view.Online {
		return offline, offline, nil
	}
	state, known, err := e.Online.State(view.Name)
	if err == nil && known && !state.Unfinished && state.Hash == view.ServedHash() {
		online = state.Watermark
	}
	return offline, online, err
}

// materialize takes a step of a plan, one commit: read, filter, compute, sort, add up to tiles, replace.
func (e *Engine) materialize(ctx context.Context, p *planned, st step, memory int64, result *Result) error {
	begun := e.now()
	view, rowsView := p.view, rowsOf(p.view)
	// The other half of the memory: what is being read, the buckets being sorted, and a row group being written.
	options := sortOptions{dir: e.TempDir, budget: memory / 2, rows: rowsWithin(p.files, st.rows), stats: p.stats}
	s, stored := newSorter(rowsView, options), whole
	if view.Windowed() {
		t, err := newTileSorter(view.View, rowsView, options)
		if err != nil {
			return err
		}
		s, stored = t, t.tilesOf
	}
	defer func() { _ = s.close() }() // its files have no name any more
	rows, filtered, err := e.readInto(ctx, p, st.rows, rowsView, s)
	if err != nil {
		return err
	}
	commit := offline.Commit{Base: p.base, Range: st.events, Rebuild: p.rebuild, Progress: offline.Progress{
		Watermark: st.watermark, Start: st.start, Range: st.events, RunID: result.RunID, Hash: view.Hash, Version: e.Version,
		Sources: sourceFiles(p.files), Stale: st.left, RowsRead: rows.Rows,
	}, Took: func() time.Duration { return e.now().Sub(begun) }, Stats: p.stats}
	bar := e.start(p.label+": writing", s.count())
	defer bar.Fail()
	snapshot, err := e.Offline.Replace(ctx, view.View, commit, func(w *offline.Writer) error {
		return s.sorted(ctx, e.workers(), func(rows arrow.RecordBatch) ([]arrow.RecordBatch, error) {
			bar.Add(rows.NumRows())
			return stored(rows)
		}, func(batch arrow.RecordBatch) error {
			result.Rows += batch.NumRows()
			return w.Write(batch)
		})
	})
	if err != nil {
		return err
	}
	bar.Done("")
	p.base = snapshot.ID()
	result.note(rows, filtered, p.base)
	return snapshot.Close()
}

// whole returns rows that are stored as they are.
func whole(rows arrow.RecordBatch) ([]arrow.RecordBatch, error) {
	rows.Retain()
	return []arrow.RecordBatch{rows}, nil
}

// workers returns how many goroutines a run has for its work.
func (e *Engine) workers() int {
	if e.Workers > 0 {
		return e.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// note adds a step to the result of its run.
func (r *Result) note(rows source.Stats, filtered, snapshot int64) {
	r.Commits++
	r.Filtered, r.Skipped, r.Snapshot = r.Filtered+filtered, r.Skipped+rows.Skipped, snapshot
}

// start tells the reporter of a task. Its Fail may be deferred: after Done it does nothing.
func (e *Engine) start(task string, rows int64) Progress {
	if e.Report == nil {
		return silent{}
	}
	return e.Report.Start(task, rows)
}

// readInto reads a range of the view's source into the sorter, and returns how many of the rows the view's where has left out.
func (e *Engine) readInto(ctx context.Context, p *planned, events feature.Range, rowsView *feature.View, s sorter) (stats source.Stats, filtered int64, err error) {
	view := p.view
	bar := e.start(p.label+": reading", rowsWithin(p.files, events))
	defer bar.Fail()
	type worker struct {
		computer
		feeder
		filtered int64
		batches  int64 // of the part being read
		part     int
	}
	workers := make([]worker, e.workers())
	for i := range workers {
		workers[i] = worker{computer: *newComputer(view, rowsView), feeder: s.feeder(), part: -1}
	}
	request := source.Request{Range: events, Keys: view.SourceKeys(), Columns: view.SourceColumns(), Files: p.files, Stats: p.stats}
	stats, err = source.ReadParts(ctx, view.Source.Spec, request, len(workers), func(i, part int, b source.Batch) error {
		bar.Add(b.Record.NumRows())
		w := &workers[i]
		if part != w.part {
			w.part, w.batches = part, 0
		}
		w.batches++
		clock := p.stats.Start(stages.Compute)
		rows, err := w.rows(b.Record)
		if err != nil {
			return fmt.Errorf("%s, rows from %d: %w", b.File, b.FirstRow, err)
		}
		defer rows.Release()
		clock.Stop(rows.NumRows(), 0)
		w.filtered += b.Record.NumRows() - rows.NumRows()
		if rows.NumRows() == 0 {
			return nil
		}
		return w.add(ctx, int64(part)<<32|w.batches, rows)
	})
	for i := range workers {
		filtered += workers[i].filtered
		if err == nil {
			err = workers[i].close(ctx)
		}
	}
	if err != nil {
		return stats, filtered, err
	}
	bar.Done("")
	return stats, filtered, nil
}

// rowsWithin returns about how many rows of files lie in a range, taking those of a file to be spread evenly.
func rowsWithin(files []source.FileStat, events feature.Range) int64 {
	pieces := make([]source.Piece, len(files))
	for i, f := range files {
		pieces[i] = source.Piece{Events: f.Events(), Rows: f.Rows}
	}
	rows, _ := amount(pieces, events)
	return rows
}

type silent struct{}

func (silent) Add(int64)   {}
func (silent) Done(string) {}
func (silent) Fail()       {}
