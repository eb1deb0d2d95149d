package materialize

import (
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
)

// Request says what part of a view's history to bring up to date. The zero value is an incremental run: from the
// watermark to now.
type Request struct {
	From *feature.Time // first event time, inclusive; default: just after the watermark, or the beginning of time
	To   *feature.Time // last event time, inclusive; default: now

	runID string // [Engine.Run] gives each view its own
}

// plan is what one run does to a view's history.
type plan struct {
	events    feature.Range // replaced
	rows      feature.Range // read from the source: events, less the tile at their end that is not complete yet
	rebuild   bool          // the definition changed: all stored rows go
	start     feature.Time  // the history's first event time after the run
	watermark feature.Time  // the history's last event time after the run
}

// planRun decides what a run does, from the progress of the view's history (nil: never materialized) and the current time.
// It returns an empty range when there is nothing to do, and ErrInvalid for a request that would leave a hole in the history,
// reach into the future, or be backwards. Tiles are computed whole: a range begins with the tile that it begins in, and the
// tile that it ends in belongs to it unless rows of that lie after the watermark. That one waits for the run that completes it.
func planRun(view *feature.View, done *offline.Progress, r Request, now feature.Time) (plan, error) {
	p, err := planEvents(view, done, r, now)
	if err != nil || p.events.Empty() {
		return p, err
	}
	if p.events.From != feature.MinTime {
		p.events.From = view.TileOf(p.events.From).From
		p.start = min(p.start, p.events.From)
	}
	last := view.TileOf(p.events.To)
	if last.To <= p.watermark {
		p.events.To = last.To
	}
	p.rows = p.events
	if p.rows.To != last.To {
		p.rows.To = last.From - 1
	}
	return p, nil
}

// planEvents is planRun without regard to tiles.
func planEvents(view *feature.View, done *offline.Progress, r Request, now feature.Time) (plan, error) {
	invalid := func(format string, args ...any) (plan, error) {
		return plan{}, feature.Errorf(feature.ErrInvalid, "view "+view.Name+": "+format, args...)
	}
	to := now
	if r.To != nil {
		to = *r.To
	}
	if to > now {
		return invalid("--to %s lies in the future: rows that are yet to come would count as materialized; give a time up to now (%s)", to, now)
	}
	if r.From != nil && *r.From > to {
		return invalid("--from %s is after --to %s", *r.From, to)
	}
	if done == nil {
		p := plan{events: feature.Range{From: feature.MinTime, To: to}, start: feature.MinTime, watermark: to}
		if r.From != nil {
			p.events.From, p.start = *r.From, *r.From
		}
		return p, nil
	}
	if done.Hash != view.Hash {
		if r.From != nil || r.To != nil {
			return invalid("its definition has changed since it was materialized, so all of its history has to be computed again: run without --from and --to")
		}
		end := max(to, done.Watermark)
		return plan{events: feature.Range{From: done.Start, To: end}, rebuild: true, start: done.Start, watermark: end}, nil
	}
	p := plan{events: feature.Range{From: done.Watermark + 1, To: to}, start: done.Start, watermark: max(done.Watermark, to)}
	if r.From == nil {
		if r.To != nil && to <= done.Watermark {
			return invalid("it is already materialized to %s: give --from to compute an earlier range again", done.Watermark)
		}
		return p, nil
	}
	p.events.From, p.start = *r.From, min(done.Start, *r.From)
	if *r.From > done.Watermark+1 {
		return invalid("--from %s would leave a hole after %s, where its history ends: start there or earlier, or leave --from out", *r.From, done.Watermark)
	}
	if done.Start != feature.MinTime && to < done.Start-1 {
		return invalid("--to %s would leave a hole before %s, where its history starts: end there or later", to, done.Start)
	}
	return p, nil
}
