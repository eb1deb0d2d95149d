package materialize

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/pointintime"
)

// Scheduler runs views when their schedules say so. A view is due when a tick of its schedule lies after the time that it is
// materialized to: however many were missed, one run catches up. A view's runs follow each other; what fails in a way that may pass is tried
// again, ever later, and other failures wait for the next tick. Of the schedulers of a warehouse one leads; the others stand by.
type Scheduler struct {
	// Views returns the views as they are applied now; it is asked at least every minute.
	Views func() ([]*definitions.View, error)
	// Watermarks returns the times that a view is materialized and published to, as [Engine.Watermarks] does.
	Watermarks func(ctx context.Context, view *definitions.View) (offline, online feature.Time, err error)
	// Run brings a view up to now; attempt counts the runs of the view in a row, from 1, that failed in a way that may pass.
	Run func(ctx context.Context, view *definitions.View, attempt int) error
	// Lead takes the place of the leader and fails while another scheduler has it, as [Lead] does; nil: there is no other.
	Lead func() (release func() error, err error)
	// Follow is called every few seconds while another scheduler leads; nil: there is nothing to do meanwhile.
	Follow func(ctx context.Context)
	// Now is the clock that ticks are told by; default: time.Now.
	Now func() time.Time
	// Parallel is how many views run at once; default: 1.
	Parallel int
	// Jitter is how long after its tick a run begins at most, so that not all views begin at once; default: 0.
	Jitter time.Duration
	// Timeout is how long a run may take before it is stopped and tried again; default: as long as it takes.
	Timeout time.Duration
	Log     *slog.Logger

	leads atomic.Bool
}

const (
	schedulePoll = time.Minute     // how often the definitions are looked at
	retryFirst   = time.Second     // after a failure that may pass; then twice as long each time,
	retryLongest = 5 * time.Minute // up to this
	leadPoll     = time.Second     // how often a scheduler that stands by looks whether the leader is gone,
	followPolls  = 5               // and how many times until it follows what the leader has done
)

// Leads reports whether this scheduler is the one that starts runs.
func (s *Scheduler) Leads() bool { return s.leads.Load() }

// Serve runs views until ctx ends; it returns when the last run has, with nil.
func (s *Scheduler) Serve(ctx context.Context) error {
	release := s.standBy(ctx)
	if ctx.Err() != nil {
		return release()
	}
	s.leads.Store(true)
	w := &watch{Scheduler: s, jobs: map[string]*job{}, ends: make(chan ended)}
	for ctx.Err() == nil {
		timer := time.NewTimer(w.start(ctx))
		select {
		case <-ctx.Done():
		case e := <-w.ends:
			w.end(ctx, e)
		case <-timer.C:
		}
		timer.Stop()
	}
	_ = w.runs.Wait() // runs tell of their errors themselves
	s.leads.Store(false)
	return release()
}

// standBy waits until this scheduler leads, and returns how it gives that up; or until ctx ends.
func (s *Scheduler) standBy(ctx context.Context) (release func() error) {
	if s.Lead == nil {
		return func() error { return nil }
	}
	why := "" // what was logged last
	for polls := 0; ; polls++ {
		release, err := s.Lead()
		if err == nil {
			s.Log.Info("this scheduler leads: it runs the views on their schedules")
			return release
		}
		if err.Error() != why {
			why = err.Error()
			s.Log.Info("this scheduler stands by", "because", err)
		}
		if s.Follow != nil && polls%followPolls == 0 {
			s.Follow(ctx)
		}
		select {
		case <-ctx.Done():
			return func() error { return nil }
		case <-time.After(leadPoll):
		}
	}
}

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
		case ctx.Err() != nil:
			return wait
		case err != nil:
			w.Log.Error("scheduling: the watermark cannot be read", "view", view.Name, "error", err)
		case due.After(now):
			wait = min(wait, due.Sub(now))
		case w.running < max(1, w.Parallel): // else when another run ends
			j.running, j.next = true, next
			w.running++
			attempt := j.failures + 1
			w.runs.Go(func() error {
				err := w.run(ctx, view, attempt)
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

// due returns when the view is to run next, from what it is materialized to, and the first tick after now.
func (w *watch) due(ctx context.Context, view *definitions.View, now time.Time) (due, next time.Time, err error) {
	offline, online, err := w.Watermarks(ctx, view)
	if err != nil {
		return due, next, err
	}
	last, following := pointintime.LastTick(view.Schedule, feature.TimeOf(now))
	if last > min(offline, online) {
		return last.Std().Add(w.jitter(view.Name, last, following)), following.Std(), nil
	}
	return following.Std(), following.Std(), nil
}

// jitter returns how long after a tick a view's run begins: always the same for one view and tick, spread over Jitter, and over
// before the next tick.
func (s *Scheduler) jitter(view string, tick, next feature.Time) time.Duration {
	most := min(s.Jitter, next.Std().Sub(tick.Std()))
	if most <= 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", tick, view)
	return time.Duration(h.Sum64() % uint64(most))
}

// run runs a view, for so long as it may take.
func (w *watch) run(ctx context.Context, view *definitions.View, attempt int) error {
	if w.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.Timeout, errTimeout)
		defer cancel()
	}
	err := w.Run(ctx, view, attempt)
	if outcomeOf(ctx, err, ByScheduler) == RunTimeout {
		return feature.Errorf(feature.ErrUnavailable, "view %s: its run was stopped after %s, the longest that the setting run_timeout allows: %w", view.Name, w.Timeout, err)
	}
	return err
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
	if mayPass(e.err) {
		pause := min(retryLongest, retryFirst<<min(j.failures, 16))
		j.failures++
		j.notBefore = w.now().Add(pause)
		w.Log.Warn("a scheduled run failed and is tried again", "view", e.view.Name, "attempt", j.failures, "in", pause, "error", e.err)
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
