package materialize

import (
	"fmt"
	"slices"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
)

// Request says what part of a view's history to bring up to date. The zero value is an incremental run: from the
// watermark to now, and whatever is stale before.
type Request struct {
	From *feature.Time // first event time, inclusive; default: just after the watermark, or the beginning of time
	To   *feature.Time // last event time, inclusive; default: now
	// Chunk is the longest stretch of event time that one commit computes; 0: so much as has some [ChunkRows] rows.
	Chunk time.Duration
	// NewestFirst computes later event times before earlier ones, where that leaves no hole.
	NewestFirst bool

	runID string // [Engine.Run] gives each view its own
}

// ranged reports whether r asks for a range of event times rather than for what is missing.
func (r *Request) ranged() bool { return r.From != nil || r.To != nil }

// plan is what one run does to a view's history, commit by commit.
type plan struct {
	rebuild bool // the definition changed: all stored rows go, in one step
	steps   []step
	stale   []offline.Stale // before the run
	why     string          // of what is left of a range that was asked for, should the run end early
}

// step is what one commit does.
type step struct {
	events    feature.Range   // replaced
	rows      feature.Range   // read from the source: events, less the tile at their end that is not complete yet
	start     feature.Time    // the history's first event time after the step
	watermark feature.Time    // the history's last event time after the step
	left      []offline.Stale // what is stale after the step
}

// stepsMax bounds the commits of a run that was not asked for chunks.
const stepsMax = 16

// planRun decides what a run does, from the progress of the view's history (nil: never materialized), the files of its source and the current
// time. The plan has no steps when there is nothing to do. planRun fails with ErrInvalid for a request that would leave a hole in the history,
// reach into the future, or be backwards. cut, if it is not nil, cuts ranges into chunks.
//
// Tiles are computed whole: a range begins with the tile that it begins in, and the tile that it ends in belongs to it unless rows of
// that lie after the watermark. That one waits for the run that completes it.
func planRun(view *feature.View, done *offline.Progress, files []offline.SourceFile, r Request, now feature.Time, cut func(feature.Range) []feature.Range) (plan, error) {
	asked, err := askedFor(view, done, r, now)
	if err != nil {
		return plan{}, err
	}
	p := plan{rebuild: done != nil && done.Hash != view.Hash}
	covered := feature.Range{From: 1, To: 0} // what is materialized
	ranges := []feature.Range{asked}
	if done == nil || r.From != nil {
		p.why = fmt.Sprintf("a backfill of %s has not got so far", asked)
	}
	switch {
	case p.rebuild:
		cut = nil
	case done != nil:
		covered = feature.Range{From: done.Start, To: done.Watermark}
		p.stale = staleParts(view, done, files)
		if r.From != nil {
			ranges = unfinished(p.stale, p.why, asked)
			break
		}
		for _, s := range p.stale {
			ranges = append(ranges, s.Range())
		}
	}
	ranges = slices.DeleteFunc(ranges, feature.Range.Empty)
	for i := range ranges {
		ranges[i] = wholeTiles(view, ranges[i], max(asked.To, covered.To))
	}
	ranges = slices.DeleteFunc(ranges, feature.Range.Empty)
	chunks := closest(union(ranges), stepsMax)
	if cut != nil {
		chunks = inChunks(chunks, cut)
	}
	// What is missing at the end goes before what is stale, so that a late file that cannot be read does not stop the rest.
	p.addSteps(view, covered, arranged(chunks, covered, r.NewestFirst || r.From == nil && done != nil))
	return p, nil
}

// askedFor returns the event times that a request is about, apart from what is stale: an empty range where it is up to date.
func askedFor(view *feature.View, done *offline.Progress, r Request, now feature.Time) (feature.Range, error) {
	invalid := func(format string, args ...any) (feature.Range, error) {
		return feature.Range{}, feature.Errorf(feature.ErrInvalid, "view "+view.Name+": "+format, args...)
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
		asked := feature.Range{From: feature.MinTime, To: to}
		if r.From != nil {
			asked.From = *r.From
		}
		return asked, nil
	}
	if done.Hash != view.Hash {
		if r.ranged() {
			return invalid("its definition has changed since it was materialized, so all of its history has to be computed again: run without --from and --to")
		}
		return feature.Range{From: done.Start, To: max(to, done.Watermark)}, nil
	}
	if r.From == nil {
		if r.To != nil && to <= done.Watermark {
			return invalid("it is already materialized to %s: give --from to compute an earlier range again", done.Watermark)
		}
		return feature.Range{From: done.Watermark + 1, To: to}, nil
	}
	if *r.From > done.Watermark+1 {
		return invalid("--from %s would leave a hole after %s, where its history ends: start there or earlier, or leave --from out", *r.From, done.Watermark)
	}
	if done.Start != feature.MinTime && to < done.Start-1 {
		return invalid("--to %s would leave a hole before %s, where its history starts: end there or later", to, done.Start)
	}
	return feature.Range{From: *r.From, To: to}, nil
}

// unfinished returns what an earlier backfill of the same range has left, or the whole range where there was none.
func unfinished(stale []offline.Stale, why string, asked feature.Range) []feature.Range {
	var left []feature.Range
	for _, s := range stale {
		if s.Why == why {
			left = append(left, s.Range())
		}
	}
	if left == nil {
		return []feature.Range{asked}
	}
	return left
}

// wholeTiles widens a range to the tiles that it touches, as far as they are complete at a watermark; what lies after that is left out.
func wholeTiles(view *feature.View, r feature.Range, watermark feature.Time) feature.Range {
	if r.From != feature.MinTime {
		r.From = view.TileOf(r.From).From
	}
	r.To = min(r.To, watermark)
	if last := view.TileOf(r.To); last.To <= watermark {
		r.To = last.To
	}
	return r
}

// inChunks cuts ranges that are sorted and apart.
func inChunks(ranges []feature.Range, cut func(feature.Range) []feature.Range) []feature.Range {
	var chunks []feature.Range
	for _, r := range ranges {
		chunks = append(chunks, cut(r)...)
	}
	return chunks
}

// arranged returns chunks, which are sorted and apart, in an order in which a history that covers a range grows without a hole: what reaches before
// it backwards, what reaches beyond it forwards, and the others, or all where there is no history yet, in the order asked for.
func arranged(chunks []feature.Range, covered feature.Range, newestFirst bool) []feature.Range {
	var around, before, inside, after []feature.Range
	for _, c := range chunks {
		earlier, later := c.From < covered.From, c.To > covered.To
		switch {
		case covered.Empty() || !earlier && !later:
			inside = append(inside, c)
		case earlier && later:
			around = append(around, c)
		case earlier:
			before = append(before, c)
		default:
			after = append(after, c)
		}
	}
	slices.Reverse(before)
	if newestFirst {
		slices.Reverse(inside)
		return slices.Concat(around, after, inside, before)
	}
	return slices.Concat(around, before, inside, after)
}

// addSteps makes a step of each chunk; covered is what is materialized before the first.
func (p *plan) addSteps(view *feature.View, covered feature.Range, chunks []feature.Range) {
	pending := p.stale
	if p.why != "" && len(chunks) > 1 {
		pending = slices.DeleteFunc(slices.Clone(pending), func(s offline.Stale) bool { return s.Why == p.why })
		for _, c := range union(slices.Clone(chunks)) {
			pending = append(pending, offline.Stale{From: c.From, To: c.To, Why: p.why})
		}
	}
	for _, c := range chunks {
		s := step{events: c, start: c.From, watermark: c.To}
		if !covered.Empty() {
			s.start, s.watermark = min(covered.From, c.From), max(covered.To, c.To)
		}
		covered = feature.Range{From: s.start, To: s.watermark}
		s.rows = s.events
		if last := view.TileOf(c.To); last.To != c.To {
			s.rows.To = last.From - 1
		}
		pending = without(pending, s.events)
		s.left = pending
		p.steps = append(p.steps, s)
	}
	if p.rebuild {
		for i := range p.steps {
			p.steps[i].left = nil
		}
	}
}
