package materialize

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/source"
)

// Stale returns the parts of a view's history that its next run will compute again, and why; none for a view without history.
// It fails as [source.Survey] does.
func (e *Engine) Stale(ctx context.Context, view *definitions.View) ([]offline.Stale, error) {
	done, _, err := e.progress(ctx, view.Name)
	if err != nil || done == nil {
		return nil, err
	}
	files, err := survey(ctx, view, done)
	if err != nil {
		return nil, err
	}
	return staleParts(view.View, done, sourceFiles(files)), nil
}

// survey returns the files of a view's source as they are now; done may be nil.
func survey(ctx context.Context, view *definitions.View, done *offline.Progress) ([]source.FileStat, error) {
	known := map[string]source.FileStat{}
	if done != nil {
		for _, f := range done.Sources {
			if f.From != feature.MinTime || f.To != feature.MaxTime { // else nobody has looked
				known[f.Path] = source.FileStat{Path: f.Path, Size: f.Size, ModTime: f.ModTime.Std(), Rows: f.Rows, MinEvent: f.From, MaxEvent: f.To}
			}
		}
	}
	files, err := source.Survey(ctx, view.Source.Spec, known)
	if err != nil {
		return nil, fmt.Errorf("view %s: %w", view.Name, err)
	}
	return files, nil
}

// sourceFiles lists files as commits keep them.
func sourceFiles(files []source.FileStat) []offline.SourceFile {
	out := make([]offline.SourceFile, len(files))
	for i, f := range files {
		out[i] = offline.SourceFile{Path: f.Path, Size: f.Size, ModTime: feature.TimeOf(f.ModTime), Rows: f.Rows, From: f.MinEvent, To: f.MaxEvent}
	}
	return out
}

// staleParts returns what of a history is stale: what was so after its last run, and the event times of files that have come, changed or gone
// since. Of the files, nothing counts that lies outside of what is stored. They are sorted, and may overlap.
func staleParts(view *feature.View, done *offline.Progress, files []offline.SourceFile) []offline.Stale {
	stale := slices.Clone(done.Stale)
	stored := feature.Range{From: done.Start, To: storedEnd(view, done.Watermark)}
	add := func(why string, f offline.SourceFile) {
		s := offline.Stale{From: max(f.From, stored.From), To: min(f.To, stored.To), Why: f.Path + " " + why}
		if !s.Range().Empty() {
			stale = append(stale, s)
		}
	}
	for _, c := range changedFiles(done.Sources, files) {
		switch {
		case c.before == nil:
			add("is new", *c.now)
		case c.now == nil:
			add("is gone", *c.before)
		default:
			add("has changed", *c.before)
			add("has changed", *c.now)
		}
	}
	slices.SortFunc(stale, func(a, b offline.Stale) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Why, b.Why))
	})
	return slices.Compact(stale)
}

// changedFile is a file of a source that is another one than a snapshot saw: before is nil where it is new, now where it is gone.
type changedFile struct{ before, now *offline.SourceFile }

// changedFiles returns what differs between the files that a snapshot saw and those that there are now, in no order.
func changedFiles(seen, now []offline.SourceFile) (changed []changedFile) {
	was := map[string]*offline.SourceFile{}
	for i := range seen {
		was[seen[i].Path] = &seen[i]
	}
	for i := range now {
		f := &now[i]
		if before := was[f.Path]; before == nil || before.Size != f.Size || before.ModTime != f.ModTime {
			changed = append(changed, changedFile{before, f})
		}
		delete(was, f.Path)
	}
	for _, f := range was {
		changed = append(changed, changedFile{before: f})
	}
	return changed
}

// storedEnd returns the last event time of which rows are stored at a watermark: the end of the last complete tile.
func storedEnd(view *feature.View, watermark feature.Time) feature.Time {
	tile := view.TileOf(watermark)
	if tile.To <= watermark {
		return tile.To
	}
	return tile.From - 1
}

// without returns what is left of parts of the history once a range of it has been computed.
func without(stale []offline.Stale, done feature.Range) []offline.Stale {
	var left []offline.Stale
	for _, s := range stale {
		if !s.Range().Overlaps(done) {
			left = append(left, s)
			continue
		}
		if s.From < done.From {
			left = append(left, offline.Stale{From: s.From, To: done.From - 1, Why: s.Why})
		}
		if s.To > done.To {
			left = append(left, offline.Stale{From: done.To + 1, To: s.To, Why: s.Why})
		}
	}
	return left
}

// union returns the ranges that cover the given ones, sorted and apart.
func union(ranges []feature.Range) []feature.Range {
	slices.SortFunc(ranges, func(a, b feature.Range) int { return cmp.Compare(a.From, b.From) })
	var out []feature.Range
	for _, r := range ranges {
		if last := len(out) - 1; last >= 0 && (out[last].To == feature.MaxTime || r.From <= out[last].To+1) {
			out[last].To = max(out[last].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// closest returns at most n ranges that cover the given ones, which are sorted and apart: where there are more, it closes the smallest gaps.
// A commit rewrites every file that it touches, so that many small ones cost more than computing what lies between them.
func closest(ranges []feature.Range, n int) []feature.Range {
	ranges = slices.Clone(ranges)
	for len(ranges) > n {
		at := 1
		for i := 2; i < len(ranges); i++ {
			if gap(ranges, i) < gap(ranges, at) {
				at = i
			}
		}
		ranges[at-1].To = ranges[at].To
		ranges = slices.Delete(ranges, at, at+1)
	}
	return ranges
}

// gap returns the length of time between ranges i-1 and i, in microseconds.
func gap(ranges []feature.Range, i int) uint64 {
	return uint64(ranges[i].From) - uint64(ranges[i-1].To)
}
