package monitor

import (
	"context"
	"fmt"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/pointintime"
)

// watched is how a view was when it was looked at last.
type watched struct {
	hash            string
	since           time.Time // when it was first seen under this hash
	scheduled       bool
	served          bool
	offline, online feature.Time // watermarks; feature.MinTime for none
	stale           bool
}

// watch looks at all views, and tells of those that have become stale or fresh.
func (m *Monitor) watch(ctx context.Context) {
	views, err := m.Views()
	m.Fault("watching: the definitions cannot be read", "", err)
	if err != nil {
		return
	}
	seen := map[string]*watched{}
	for _, view := range views {
		before := m.views[view.Name]
		now, err := m.look(ctx, view, before)
		if ctx.Err() != nil {
			return
		}
		m.Fault("watching: the watermark cannot be read", view.Name, err)
		if err != nil {
			now = before
		}
		if now != nil {
			seen[view.Name] = now
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.views = seen
}

// look returns how a view is, and tells of a change.
func (m *Monitor) look(ctx context.Context, view *definitions.View, before *watched) (*watched, error) {
	w := &watched{hash: view.Hash, since: m.Now(), scheduled: view.Schedule != nil, served: view.Online}
	if before != nil {
		w.stale = before.stale
		if before.hash == w.hash {
			w.since = before.since
		}
	}
	var err error
	if w.offline, w.online, err = m.Watermarks(ctx, view); err != nil {
		return nil, err
	}
	stale := m.isStale(view, w)
	if stale == w.stale {
		return w, nil
	}
	w.stale = stale
	watermark := min(w.offline, w.online)
	e := Event{Kind: ViewFresh, View: view.Name, Message: fmt.Sprintf("view %s is fresh again", view.Name)}
	if watermark != feature.MinTime {
		at := watermark.Std()
		e.Watermark = &at
	}
	if stale {
		e.Kind, e.Message = ViewStale, fmt.Sprintf("view %s is stale: it has never been materialized and published as it is defined now", view.Name)
		if e.Watermark != nil {
			e.Message = fmt.Sprintf("view %s is stale: it is materialized to %s and published to %s, and its schedule %s has ticked since, more than %s ago",
				view.Name, w.offline, w.online, view.ScheduleText, definitions.FormatDuration(m.StaleAfter))
		}
		m.Log.Warn("a view is stale", "view", view.Name, "offline", w.offline, "online", w.online)
	} else {
		m.Log.Info("a view is fresh again", "view", view.Name, "offline", w.offline, "online", w.online)
	}
	m.tell(e)
	return w, nil
}

// isStale reports whether a tick of the view's schedule that it has not reached is more than StaleAfter ago. One that has never been
// computed as it is defined now gets that time from when it was first seen.
func (m *Monitor) isStale(view *definitions.View, w *watched) bool {
	if view.Schedule == nil {
		return false
	}
	limit := m.Now().Add(-m.StaleAfter)
	watermark := min(w.offline, w.online)
	if watermark == feature.MinTime {
		return w.since.Before(limit)
	}
	last, _ := pointintime.LastTick(view.Schedule, feature.TimeOf(limit))
	return last > watermark
}
