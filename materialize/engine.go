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
	RunID     string        // also of the snapshot that it made
	Range     feature.Range // of event times; empty when there was nothing to do
	Rebuilt   bool
	Rows      int64 // stored
	Filtered  int64 // read, and left out by the view's where
	Skipped   int64 // bad rows left out
	Snapshot  int64
	Watermark feature.Time
	Published Published
	Duration  time.Duration
}

// MemoryDefault is the sorting memory of an Engine that names none.
const MemoryDefault = 1 << 30

// Run materializes views, several at a time, and returns a result for each that succeeded, in their order. An error in one
// does not stop the others; all errors are returned, joined.
func (e *Engine) Run(ctx context.Context, views []*definitions.View, r Request) ([]Result, error) {
	results, errs := make([]*Result, len(views)), make([]error, len(views))
	workers := e.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	parallel := max(1, min(workers, len(views)))
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
func (e *Engine) run(ctx context.Context, view *definitions.View, r Request, memory int64) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	start := e.now()
	result := Result{View: view.Name, RunID: r.runID}
	progress, err := e.progress(ctx, view.Name)
	if err != nil {
		return result, err
	}
	p, err := planRun(view.View, progress, r, feature.TimeOf(start))
	if err != nil {
		return result, err
	}
	result.Range, result.Rebuilt, result.Watermark = p.events, p.rebuild, p.watermark
	if !p.events.Empty() {
		if err := e.materialize(ctx, view, p, memory, &result); err != nil {
			return result, fmt.Errorf("view %s: %w", view.Name, err)
		}
	}
	if e.Online != nil && view.Online {
		if result.Published, err = e.Publish(ctx, view.View); err != nil {
			return result, fmt.Errorf("publishing view %s: %w", view.Name, err)
		}
	}
	result.Duration = e.now().Sub(start)
	return result, nil
}

func (e *Engine) now() time.Time {
	if e.Now != nil {
		return e.Now()
	}
	return time.Now()
}

// progress returns how far the view's history is; nil when it has none.
func (e *Engine) progress(ctx context.Context, view string) (*offline.Progress, error) {
	snapshot, err := e.Offline.Snapshot(ctx, view)
	if errors.Is(err, feature.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := snapshot.Progress()
	return &p, snapshot.Close()
}

// Watermarks returns the times that a view is materialized to and, if it is online, published to; feature.MinTime where that was never,
// or by another definition. A view that nobody publishes is as far online as offline.
func (e *Engine) Watermarks(ctx context.Context, view *definitions.View) (offline, online feature.Time, err error) {
	offline, online = feature.MinTime, feature.MinTime
	done, err := e.progress(ctx, view.Name)
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

// materialize replaces the plan's range of the view's history: read, filter, compute, sort, add up to tiles, commit.
func (e *Engine) materialize(ctx context.Context, view *definitions.View, p plan, memory int64, result *Result) error {
	rowsView := rowsOf(view)
	s := newSorter(rowsView, e.TempDir, memory/2) // the other half: a batch of each run in a merge, and a row group being written
	defer func() { _ = s.close() }()              // its files have no name any more
	rows, err := e.readInto(ctx, view, rowsView, p, s, result)
	if err != nil {
		return err
	}
	commit := offline.Commit{Range: p.events, Rebuild: p.rebuild, Progress: offline.Progress{
		Watermark: p.watermark, Start: p.start, Range: p.events, RunID: result.RunID, Hash: view.Hash, Version: e.Version, Sources: sourceFiles(rows.Files),
	}}
	bar := e.start(view.Name+": writing", rows.Rows-result.Filtered)
	defer bar.Fail()
	snapshot, err := e.Offline.Replace(ctx, view.View, commit, func(w *offline.Writer) error {
		write := func(batch arrow.RecordBatch) error {
			result.Rows += batch.NumRows()
			return w.Write(batch)
		}
		add, finish := write, func() error { return nil }
		if view.Windowed() {
			t, err := newTiler(view.View, rowsView, write)
			if err != nil {
				return err
			}
			add, finish = t.add, t.finish
		}
		err := s.merge(ctx, func(batch arrow.RecordBatch) error {
			bar.Add(batch.NumRows())
			return add(batch)
		})
		if err != nil {
			return err
		}
		return finish()
	})
	if err != nil {
		return err
	}
	bar.Done("")
	result.Snapshot, result.Skipped = snapshot.ID(), rows.Skipped
	return snapshot.Close()
}

// start tells the reporter of a task. Its Fail may be deferred: after Done it does nothing.
func (e *Engine) start(task string, rows int64) Progress {
	if e.Report == nil {
		return silent{}
	}
	return e.Report.Start(task, rows)
}

// readInto reads the plan's range of the view's source into the sorter.
func (e *Engine) readInto(ctx context.Context, view *definitions.View, rowsView *feature.View, p plan, s sorter, result *Result) (source.Stats, error) {
	total, err := source.Count(ctx, view.Source.Spec, p.rows)
	if err != nil {
		return source.Stats{}, err
	}
	bar := e.start(view.Name+": reading", total)
	defer bar.Fail()
	c := newComputer(view, rowsView)
	request := source.Request{Range: p.rows, Keys: view.SourceKeys(), Columns: view.SourceColumns()}
	stats, err := source.Read(ctx, view.Source.Spec, request, func(b source.Batch) error {
		bar.Add(b.Record.NumRows())
		rows, err := c.rows(b.Record)
		if err != nil {
			return fmt.Errorf("%s, rows from %d: %w", b.File, b.FirstRow, err)
		}
		result.Filtered += b.Record.NumRows() - rows.NumRows()
		if rows.NumRows() == 0 {
			return nil
		}
		return s.add(ctx, rows)
	})
	if err != nil {
		return stats, err
	}
	bar.Done("")
	return stats, nil
}

type silent struct{}

func (silent) Add(int64)   {}
func (silent) Done(string) {}
func (silent) Fail()       {}

// sourceFiles lists the files of a run as the commit keeps them.
func sourceFiles(files []source.FileStat) []offline.SourceFile {
	out := make([]offline.SourceFile, len(files))
	for i, f := range files {
		out[i] = offline.SourceFile{Path: f.Path, Size: f.Size, ModTime: feature.TimeOf(f.ModTime), Rows: f.Rows}
	}
	return out
}
