package materialize

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// errRedefined tells that a history is of another definition than the one that it is to be published by.
var errRedefined = feature.Errorf(feature.ErrInvalid, "its definition has changed since it was materialized")

// errMuch ends a publication in place that is better made anew.
var errMuch = errors.New("much has changed")

// publishKeys is the number of keys that are answered and written at a time, and restKeys where publications rest in between.
const (
	publishKeys = 1 << 17
	restKeys    = 1 << 6
)

// Published tells what a publication did.
type Published struct {
	Keys    int64 // written or deleted; those whose values are what they were do not count
	Rebuilt bool  // everything was written anew
}

// change is what has to be written online to bring it from the state it is in to a snapshot.
type change struct {
	rebuild bool
	// moved are event times of rows that have come into sight, or out of it, and of tiles that have entered a window or left one.
	moved []feature.Range
	// rewritten are event times whose history has been replaced since: what was published of them may be gone.
	rewritten []feature.Range
}

// Publish brings the online values of view to what the offline history says as of its watermark: the value that
// training would see for (key, watermark). It writes the keys whose value can have changed since the last publication, all
// of them if that is not known. It does nothing when online is up to date, and the view's history must exist.
//
// A crash leaves the old state record, or the old values under a rebuild; the next call publishes the difference again, which
// changes nothing where it had been written already.
func (e *Engine) Publish(ctx context.Context, view *feature.View) (Published, error) {
	return e.publishView(ctx, view, false)
}

// Republish is Publish with all values written anew, whatever is there.
func (e *Engine) Republish(ctx context.Context, view *feature.View) (Published, error) {
	return e.publishView(ctx, view, true)
}

func (e *Engine) publishView(ctx context.Context, view *feature.View, rebuild bool) (done Published, err error) {
	snapshot, err := e.Offline.Snapshot(ctx, view.Name)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	if snapshot.Progress().Hash != view.Hash {
		return done, fmt.Errorf("view %s: %w: run asof materialize %s", view.Name, errRedefined, view.Name)
	}
	state, known, err := e.Online.State(view.Name)
	if err != nil {
		return done, err
	}
	next := online.State{Hash: view.ServedHash(), Watermark: snapshot.Progress().Watermark, Snapshot: snapshot.ID()}
	next.Horizon = view.Horizon(next.Watermark)
	// After a publication that died, nobody knows which values are newer than the state says: all are written anew.
	rebuild = rebuild || !known || state.Unfinished || state.Hash != next.Hash
	if !rebuild && state.Snapshot == next.Snapshot && state.Horizon == next.Horizon {
		return done, nil
	}
	what := change{rebuild: true}
	var before *offline.Snapshot
	if !rebuild {
		if what, before, err = e.changeSince(ctx, view, state, next); err != nil {
			return done, err
		}
		if before != nil {
			defer func() { err = errors.Join(err, before.Close()) }()
		}
	}
	return e.publish(ctx, view, what, before, snapshot, state.Horizon, next)
}

// Sync publishes every view whose online values are behind its history, as after a crash, or after another process has
// materialized. Views without history, or whose definition has changed since, wait for their next run. An error in one view does not stop
// the others; all errors are returned, joined.
func (e *Engine) Sync(ctx context.Context, views []*definitions.View) (map[string]Published, error) {
	return e.sync(ctx, views, e.Publish)
}

// SyncFull is Sync with all values written anew, whatever is there.
func (e *Engine) SyncFull(ctx context.Context, views []*definitions.View) (map[string]Published, error) {
	return e.sync(ctx, views, e.Republish)
}

func (e *Engine) sync(ctx context.Context, views []*definitions.View, publish func(context.Context, *feature.View) (Published, error)) (map[string]Published, error) {
	done := map[string]Published{}
	var errs []error
	for _, view := range views {
		if !view.Online || ctx.Err() != nil {
			continue
		}
		progress, _, err := e.progress(ctx, view.Name)
		if err != nil || progress == nil {
			errs = append(errs, err)
			continue
		}
		switch published, err := publish(ctx, view.View); {
		case err == nil:
			done[view.Name] = published
		case !errors.Is(err, errRedefined):
			errs = append(errs, err)
		}
	}
	return done, errors.Join(append(errs, ctx.Err())...)
}

// changeSince compares the published state with the next one. The snapshot that was published is returned when its rows are
// needed to find keys that have lost theirs.
func (e *Engine) changeSince(ctx context.Context, view *feature.View, state, next online.State) (change, *offline.Snapshot, error) {
	commits, err := e.Offline.Since(ctx, view.Name, state.Snapshot)
	if errors.Is(err, feature.ErrNotFound) {
		return change{rebuild: true}, nil, nil
	}
	if err != nil {
		return change{}, nil, err
	}
	c := change{moved: moved(view, state.Horizon, next.Horizon)}
	for _, commit := range commits {
		if commit.Rebuild {
			return change{rebuild: true}, nil, nil
		}
		seen := feature.Range{From: commit.Range.From, To: min(commit.Range.To, state.Horizon)}
		if !seen.Empty() {
			c.rewritten = append(c.rewritten, seen)
		}
	}
	if len(c.rewritten) == 0 {
		return c, nil, nil
	}
	before, err := e.Offline.SnapshotAt(ctx, view.Name, state.Snapshot)
	return c, before, err
}

// moved returns the event times between two horizons, and between the left ends that each of the view's windows has with them:
// where something must lie for a value to change as the horizon moves. A horizon moves back when the delay becomes longer.
func moved(view *feature.View, from, to feature.Time) []feature.Range {
	if to < from {
		from, to = to, from
	}
	ranges := []feature.Range{{From: from + 1, To: to}}
	for _, length := range view.Windows() {
		ranges = append(ranges, feature.Range{From: from.Add(-length) + 1, To: to.Add(-length)})
	}
	return slices.DeleteFunc(ranges, feature.Range.Empty)
}

// publish writes the change from a horizon, and then the next state.
func (e *Engine) publish(ctx context.Context, view *feature.View, what change, before, snapshot *offline.Snapshot, from feature.Time, next online.State) (done Published, err error) {
	runs, err := runsOf(ctx, snapshot)
	if err != nil {
		return done, err
	}
	all := feature.Range{From: feature.MinTime, To: next.Horizon}
	ranges, searched, answering := []feature.Range{all}, runs, runs
	// Where a latest-value view has only moved on, all that is written is newer than what is there.
	newest := !what.rebuild && len(what.rewritten) == 0 && !view.Windowed() && next.Horizon >= from
	if !what.rebuild {
		ranges = slices.Concat(what.moved, what.rewritten)
		if newest { // the newest visible row of a key with a row that has come into sight is such a row
			answering = overlapping(runs, what.moved)
		}
		if before != nil {
			old, err := runsOf(ctx, before)
			if err != nil {
				return done, err
			}
			searched = append(old, runs...)
		}
	}
	p, err := e.Online.Begin(view, what.rebuild)
	if err != nil {
		return done, err
	}
	w := publication{p: p, view: rawView(view), runs: answering, next: next, newest: newest}
	w.options = pointintime.Options{Workers: e.Workers}
	keysAtOnce := publishKeys
	if w.rests = e.Online.Rests(); w.rests {
		w.options.Workers, keysAtOnce = 1, restKeys
	}
	done.Rebuilt = what.rebuild
	bar := e.start(view.Name+": publishing", 0)
	defer bar.Fail()
	err = pointintime.Keys(ctx, view, searched, ranges, keysAtOnce, func(keys []arrow.Array, rows int) error {
		bar.Add(int64(rows))
		if p.Much() {
			return errMuch
		}
		return w.answer(ctx, keys, rows)
	})
	err = errors.Join(err, w.wait())
	if errors.Is(err, errMuch) { // what has been written is as the rebuild will write it
		p.Abort()
		return e.publish(ctx, view, change{rebuild: true}, nil, snapshot, from, next)
	}
	if err != nil {
		p.Abort()
		return done, err
	}
	done.Keys = p.Changed()
	if err := p.Commit(next); err != nil {
		return done, err
	}
	if done.Keys > 0 {
		bar.Done("")
	}
	return done, nil
}

// rawView is view as it is stored online: ttl and defaults act when a value is read.
func rawView(view *feature.View) *feature.View {
	raw := *view
	raw.TTL = 0
	raw.Features = append([]feature.Feature(nil), view.Features...)
	for i := range raw.Features {
		raw.Features[i].Default = nil
	}
	return &raw
}

func runsOf(ctx context.Context, s *offline.Snapshot) ([]pointintime.Run, error) {
	stored, err := s.Runs(ctx)
	if err != nil {
		return nil, err
	}
	runs := make([]pointintime.Run, len(stored))
	for i, r := range stored {
		runs[i] = r
	}
	return runs, nil
}

func overlapping(runs []pointintime.Run, ranges []feature.Range) []pointintime.Run {
	var kept []pointintime.Run
	for _, run := range runs {
		if slices.ContainsFunc(ranges, run.Events().Overlaps) {
			kept = append(kept, run)
		}
	}
	return kept
}

// publication writes the values of keys, and answers the next keys meanwhile.
type publication struct {
	p       *online.Publish
	view    *feature.View
	runs    []pointintime.Run
	options pointintime.Options
	next    online.State
	rests   bool            // it rests between pieces, so nothing is made ahead
	newest  bool            // every value is newer than what is there, so newest-wins may decide
	writing *errgroup.Group // nil: nothing is being written
}

// answer finds the values of keys, and has them written once those before them are.
func (w *publication) answer(ctx context.Context, keys []arrow.Array, rows int) error {
	features := make([]int, len(w.view.Features))
	for i := range features {
		features[i] = i
	}
	answer, err := pointintime.Join(ctx, pointintime.Question{View: w.view, Features: features, Keys: keys, Times: timesOf(w.next.Watermark, rows)}, w.runs, w.options)
	if err = errors.Join(err, w.wait()); err != nil {
		return err
	}
	if w.rests {
		return errors.Join(w.write(keys, answer, rows), w.p.Rest(ctx))
	}
	w.writing = new(errgroup.Group)
	w.writing.Go(func() error { return w.write(keys, answer, rows) })
	return nil
}

// wait waits until nothing is being written.
func (w *publication) wait() error {
	if w.writing == nil {
		return nil
	}
	writing := w.writing
	w.writing = nil
	return writing.Wait()
}

func (w *publication) write(keys []arrow.Array, answer *pointintime.Answer, rows int) error {
	columns := make([]arrow.Array, len(answer.Columns))
	for i, c := range answer.Columns {
		columns[i] = c.Values
	}
	var key feature.Key
	for i := range rows {
		key = key[:0]
		for _, part := range keys {
			key, _ = feature.AppendKeyPart(key, part, i)
		}
		if err := w.writeKey(key, answer, columns, i); err != nil {
			return err
		}
	}
	return nil
}

func (w *publication) writeKey(key feature.Key, a *pointintime.Answer, columns []arrow.Array, i int) error {
	if !a.Found(i) {
		return w.p.Delete(key)
	}
	row := online.Row{Event: a.EventTimes[i], AsOf: w.next.Watermark, Values: columns, Index: i}
	if a.CreatedTimes != nil {
		row.Created = a.CreatedTimes[i]
	}
	if w.newest {
		return w.p.Put(key, row)
	}
	return w.p.Replace(key, row)
}
