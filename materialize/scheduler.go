package materialize

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/pointintime"
)

// Scheduler runs views when their schedules say so. A view is due when a tick of its schedule lies after the time that it is
// materialized to: however many were missed, one run catches up. A view's runs follow each other; what fails in a way that may pass is tried
// again, ever later, and other failures wait for the next tick.
type Scheduler struct {
	// Views returns the views as they are applied now; it is asked at least every minute.
	Views func() ([]*definitions.View, error)
	// Watermark returns the time that a view is materialized and published to; feature.MinTime for never.
	Watermark func(ctx context.Context, view *definitions.View) (feature.Time, error)
	// Run brings a view up to now.
	Run func(ctx context.Context, view *definitions.View) error
	// Now is the clock that ticks are told by; default: time.Now.
	Now func() time.Time
	// Parallel is how many views run at once; default: 1.
	Parallel int
	Log      *slog.Logger
}

const (
	schedulePoll = time.Minute     // how often the definitions are looked at
	retryFirst   = time.Second     // after a failure that may pass; then twice as long each time,
	retryLongest = 5 * time.Minute // up to this
)

// job is a scheduled view.
type job struct {
	running   bool
	next      time.Time // the first tick after the run began
	failures  int       // in a row, of those that may pass
	notBefore time.Time // zero: at once
}

// ended tells of a run.
type ended struct {
	view *definitions.View
	err  error
}

// Serve runs views until ctx ends; it returns when the last run has, with nil.
func (s *Scheduler) Serve(ctx context.Context) error {
	w := &watch{Scheduler: s, jobs: map[string]*job{}, ends: make(chan ended)}
	defer func() { _ = w.runs.Wait() }() // runs tell of their errors themselves
	for {
		timer := time.NewTimer(w.start(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case e := <-w.ends:
			timer.Stop()
			w.end(ctx, e)
		case <-timer.C:
		}
	}
}

// watch is a Scheduler at work.
type watch struct {
	*Scheduler
	jobs    map[string]*job // by view
	running int
	runs    errgroup.Group
	ends    chan ended
}

// start starts the runs that are due, and returns how long there is nothing else to do.
func (w *watch) start(ctx context.Context) time.Duration {
	wait := schedulePoll
	views, err := w.Views()
	if err != nil {
		w.Log.Error("scheduling: the definitions cannot be read", "error", err)
		return wait
	}
	for _, view := range views {
		if view.Schedule == nil {
			continue
		}
		j := w.jobs[view.Name]
		if j == nil {
			j = &job{}
			w.jobs[view.Name] = j
		}
		now := w.now()
		switch {
		case j.running:
			continue
		case now.Before(j.notBefore):
			wait = min(wait, j.notBefore.Sub(now))
			continue
		}
		due, next, err := w.due(ctx, view, now)
		switch {
		case err != nil:
			w.Log.Error("scheduling: the watermark cannot be read", "view", view.Name, "error", err)
		case !due:
			wait = min(wait, next.Sub(now))
		case w.running < max(1, w.Parallel): // else when another run ends
			j.running, j.next = true, next
			w.running++
			w.runs.Go(func() error {
				err := w.Run(ctx, view)
				select {
				case w.ends <- ended{view, err}:
				case <-ctx.Done():
				}
				return nil
			})
		}
	}
	return wait
}

// due reports whether a tick of the view's schedule lies after what it is materialized to, and when the next one comes.
func (w *watch) due(ctx context.Context, view *definitions.View, now time.Time) (due bool, next time.Time, err error) {
	watermark, err := w.Watermark(ctx, view)
	if err != nil {
		return false, next, err
	}
	last, following := pointintime.LastTick(view.Schedule, feature.TimeOf(now))
	return last > watermark, following.Std(), nil
}

// end notes how a run ended, and when the view may run again.
func (w *watch) end(ctx context.Context, e ended) {
	j := w.jobs[e.view.Name]
	j.running = false
	w.running--
	if e.err == nil {
		*j = job{notBefore: j.next}
		return
	}
	if ctx.Err() != nil {
		return
	}
	now := w.now()
	if kind := feature.KindOf(e.err); kind == feature.ErrUnavailable || kind == feature.ErrConflict {
		pause := min(retryLongest, retryFirst<<min(j.failures, 16))
		j.failures++
		j.notBefore = now.Add(pause)
		w.Log.Warn("a scheduled run failed and is tried again", "view", e.view.Name, "in", pause, "error", e.err)
		return
	}
	*j = job{notBefore: j.next}
	w.Log.Error("a scheduled run failed; the next tick tries again", "view", e.view.Name, "at", j.notBefore, "error", e.err)
}

func (s *Scheduler) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}
