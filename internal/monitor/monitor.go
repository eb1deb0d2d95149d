// Package monitor watches a running server and tells of it: metrics to who asks for them, changes to a webhook.
package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// Options say what is watched, and who is told. The functions are required.
type Options struct {
	// Views returns the views as they are applied now.
	Views func() ([]*definitions.View, error)
	// Watermarks returns the times that a view is materialized and published to, as [materialize.Engine.Watermarks] does.
	Watermarks func(ctx context.Context, view *definitions.View) (offline, online feature.Time, err error)
	// Verify compares the online values of a view with what training would see.
	Verify func(ctx context.Context, view *feature.View, r materialize.VerifyRequest) (materialize.Verification, error)
	// Leads reports whether this server's scheduler starts the runs.
	Leads func() bool

	Host, Listen string        // the server's machine and address, by which events name it
	Version      string        // of asof
	Webhook      *url.URL      // where events are posted; nil: nowhere
	StaleAfter   time.Duration // how old a tick must be that a view has not reached, for the view to count as stale
	VerifyEvery  time.Duration // how often a sample of each view is verified; 0: never
	VerifySample int           // keys of each view
	Now          func() time.Time
	Log          *slog.Logger
}

// Monitor watches a server.
type Monitor struct {
	Options
	metrics *metrics
	hook    *webhook // nil: nobody is told

	mu     sync.Mutex
	views  map[string]*watched
	failed map[string]bool // views whose failure was told
	faults map[string]string
}

const (
	watchPoll = 15 * time.Second // how often the watermarks are read
	// toldAttempt is the run in a row, without success, that is told although the next one may succeed: with the scheduler's pauses it
	// begins two minutes after the first, at least.
	toldAttempt = 8
)

// New returns a monitor that has not begun to watch.
func New(o Options) *Monitor {
	m := &Monitor{Options: o, views: map[string]*watched{}, failed: map[string]bool{}, faults: map[string]string{}}
	m.metrics = newMetrics(m)
	if o.Webhook != nil {
		m.hook = newWebhook(o, m.metrics.posts)
	}
	return m
}

// Run watches until ctx ends, and then returns nil.
func (m *Monitor) Run(ctx context.Context) error {
	var group errgroup.Group
	group.Go(func() error { return every(ctx, watchPoll, m.watch) })
	if m.VerifyEvery > 0 {
		v := &verifier{m, map[string]publication{}}
		group.Go(func() error { return every(ctx, m.VerifyEvery, v.verify) })
	}
	if m.hook != nil {
		group.Go(func() error { return m.hook.run(ctx) })
	}
	return group.Wait()
}

// every does something at once and then after each pause, until ctx ends.
func every(ctx context.Context, pause time.Duration, do func(context.Context)) error {
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Ran hears of a run of this process that is over. A failure is told when nothing tries again before the next tick, or at the eighth run in
// a row; further ones are not, until a run succeeds, which is told too.
func (m *Monitor) Ran(r materialize.RunRecord) {
	m.metrics.ran(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch told := m.failed[r.View]; {
	case r.Outcome == materialize.RunOK && told:
		delete(m.failed, r.View)
		m.tell(Event{Kind: RunRecovered, View: r.View, Message: fmt.Sprintf("view %s runs again", r.View), Run: &r})
	case !told && (r.Outcome == materialize.RunFailed || r.Outcome.Bad() && r.Attempt >= toldAttempt):
		m.failed[r.View] = true
		m.tell(Event{Kind: RunFailed, View: r.View, Message: fmt.Sprintf("a run of view %s failed: %s", r.View, r.Error), Run: &r})
	}
}

// Published hears of a publication that belongs to no run.
func (m *Monitor) Published(view string, keys int64) {
	m.metrics.keys.WithLabelValues(view).Add(float64(keys))
}

// tell posts an event, in its own time.
func (m *Monitor) tell(e Event) {
	if m.hook != nil {
		e.At, e.Host, e.Listen = m.Now().UTC(), m.Host, m.Listen
		m.hook.tell(e)
	}
}

// Fault logs what went wrong with a view, once for as long as it is the same; a nil error takes it back.
func (m *Monitor) Fault(what, view string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, text := what+" "+view, ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != m.faults[key] {
		m.Log.Warn(what, "view", view, "error", err)
	}
	m.faults[key] = text
}
