package materialize

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// ExplainRequest says what to explain.
type ExplainRequest struct {
	Key      []arrow.Array // the key's parts, columns of one row
	Features []int         // indices into the view's features
	At       feature.Time  // the as-of time
	// Served is what to put beside it; nil: nothing.
	Served Served
	// Snapshot of the view's history; 0 is the current one.
	Snapshot int64
	// Rows is how many rows, tiles and source rows are shown at most, of each; 0 is [ExplainRows].
	Rows int
}

// ExplainRows is the default of ExplainRequest.Rows.
const ExplainRows = 5

// Explanation tells where the values of a view's features for one key come from.
type Explanation struct {
	View      string
	Key       string       // as feature.KeyText gives it
	At        feature.Time // the as-of time
	Snapshot  int64        // of the history, which is complete up to the watermark
	Watermark feature.Time
	Horizon   feature.Time // the last event time that is visible at the as-of time
	Visible   string       // the rule of visibility, in words
	// Rows are the latest visible rows of the key, oldest first, at most as many as were asked for; Count is how many there are. Of a
	// latest-value view they are those that have the latest event time, and the last of them is the answer. Of a windowed view they are
	// the tiles in the longest window that is asked for.
	Rows  []ExplainedRow
	Count int64
	// Hidden are the first rows that are not visible yet; HiddenCount is how many there are.
	Hidden      []ExplainedRow
	HiddenCount int64
	// SourceRows are the latest rows that the tiles in Rows were made of; SourceCount is how many there are.
	SourceRows  []SourceRow
	SourceCount int64
	Features    []ExplainedFeature
	// Online is how far the view is published; nil where nothing is to be put beside it, or where there is nothing, as Notes say.
	Online *online.State
	Notes  []string // what else is to be known
}

// ExplainedRow is a row of the history, or a tile.
type ExplainedRow struct {
	Event, Created feature.Time  // Created is feature.MinTime where NULL, and where the view has none
	Tile           feature.Range // the event times that a tile covers, and the same in words
	TileText       string
	VisibleFrom    feature.Time // the first as-of time at which it is visible
	File           string       // data file of the history
	Values         []NamedValue // of the features, or the partial states that they are computed from
	Source         *SourceRow   // what the row was made of; nil for tiles, and where that is not in the source any more
}

// NamedValue is a value of a named column.
type NamedValue struct {
	Name  string
	Value arrow.Array // of one row
}

// ExplainedFeature is one feature's value and the rule that gave it.
type ExplainedFeature struct {
	Name string
	Answered
	Rule   string   // in words
	Window *Window  // of a windowed view
	States []string // the partial states that it is computed from, columns of tiles
	// Online is what is served, and Training what an export gives at the online watermark; nil where Explanation.Online is.
	Online, Training *Answered
	Equal            bool // whether these two agree
}

// Answered is a value with what comes with it.
type Answered struct {
	Value  arrow.Array // of one row
	Status feature.Status
	Event  feature.Time // feature.MinTime where nothing was found
}

// Window tells what lies in a window.
type Window struct {
	Text        string // its ends
	From, To    feature.Time
	Tiles       int64
	First, Last feature.Time // event times of the first tile in it, and of the last
	Left        feature.Time // event time of the last tile that has left it; feature.MinTime where none has
}

// Explain tells where the values of some of view's features for a key come from: the answer is that of [pointintime.Join], and the rows
// beside it are those of the same snapshot. It fails with ErrNotFound for a view without history and with ErrInvalid for one whose
// definition has changed since, as an export does. That the source has changed, or cannot be read, is no error but a note.
func (e *Engine) Explain(ctx context.Context, view *definitions.View, r ExplainRequest) (x Explanation, err error) {
	if r.Rows <= 0 {
		r.Rows = ExplainRows
	}
	x = Explanation{View: view.Name, Key: feature.KeyText(view.Keys, r.Key, 0), At: r.At, Horizon: view.Horizon(r.At), Visible: visibility(view.View, r.At)}
	ex := &explainer{e: e, view: view, r: r, x: &x, key: encodeKeys(r.Key, 1)[0]}
	if err := ex.fetch(ctx); err != nil { // before the history, so that this is no older
		return x, err
	}
	snapshot, err := e.history(ctx, view.View, r.Snapshot)
	if err != nil {
		return x, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	ex.progress, x.Snapshot, x.Watermark = snapshot.Progress(), snapshot.ID(), snapshot.Progress().Watermark
	if x.Horizon > x.Watermark {
		x.note("the history ends at %s: what has happened since is not in it, and would be visible", x.Watermark)
	}
	if x.Online != nil && x.Online.Snapshot != x.Snapshot && (r.Snapshot != 0 || e.changedSince(ctx, view.Name, x.Online.Snapshot)) {
		x.note("what is served was published from snapshot %d, and the history is at %d: asof sync publishes what differs", x.Online.Snapshot, x.Snapshot)
	}
	if ex.runs, err = runsOf(ctx, snapshot); err != nil {
		return x, err
	}
	if err := ex.answer(ctx); err != nil {
		return x, err
	}
	if err := ex.rows(ctx); err != nil {
		return x, err
	}
	if err := ex.check(); err != nil {
		return x, err
	}
	if err := ex.behind(ctx); err != nil {
		return x, err
	}
	ex.rules()
	return x, nil
}

// changedSince reports whether a view's history has other rows, and not just other files, than it had at a snapshot.
func (e *Engine) changedSince(ctx context.Context, view string, snapshot int64) bool {
	commits, err := e.Offline.Since(ctx, view, snapshot)
	return err != nil || len(commits) > 0
}

// history opens a snapshot of view that fits its definition, the current one for 0.
func (e *Engine) history(ctx context.Context, view *feature.View, id int64) (snapshot *offline.Snapshot, err error) {
	if id == 0 {
		snapshot, err = e.Offline.Snapshot(ctx, view.Name)
	} else {
		snapshot, err = e.Offline.SnapshotAt(ctx, view.Name, id)
	}
	switch {
	case id == 0 && errors.Is(err, feature.ErrNotFound):
		return nil, feature.Errorf(feature.ErrNotFound, "view %s has never been materialized: run asof materialize %s", view.Name, view.Name)
	case err != nil:
		return nil, err
	case snapshot.Progress().Hash != view.Hash:
		return nil, errors.Join(feature.Errorf(feature.ErrInvalid, "view %s: its definition has changed since it was materialized: run asof materialize %s", view.Name, view.Name), snapshot.Close())
	}
	return snapshot, nil
}

// explainer is one Explain at work.
type explainer struct {
	e        *Engine
	view     *definitions.View
	r        ExplainRequest
	x        *Explanation
	progress offline.Progress
	key      feature.Key // nil where a part is NULL
	runs     []pointintime.Run

	served []*online.Column
	joined *pointintime.Answer // at the as-of time, and at the online watermark
	latest *pointintime.Stored // the latest visible row; nil where there is none
	calls  []*aggregate.Call   // of the features of a windowed view
}

// The rows of an explainer's join.
const (
	atRequested = iota
	atWatermark
)

// fetch gets what is served, and the state that it is of.
func (ex *explainer) fetch(ctx context.Context) error {
	if ex.r.Served == nil {
		return nil
	}
	if !ex.view.Online {
		ex.x.note("the view is not served: it says online: false")
		return nil
	}
	state, known, err := ex.r.Served.State(ctx, ex.view.View)
	if err != nil {
		return err
	}
	if fault := checkServed(ex.view.View, state, known); fault != nil {
		ex.x.note("nothing to compare is served: %v", fault)
		return nil
	}
	state, columns, err := getPublished(ctx, ex.r.Served, ex.view.View, ex.r.Features, ex.r.Key, 1)
	if err != nil {
		return err
	}
	ex.x.Online, ex.served = &state, columns
	return nil
}

// answer asks the join, at the as-of time and at the online watermark.
func (ex *explainer) answer(ctx context.Context) (err error) {
	times, both := []arrow.Array{timesOf(ex.r.At, 1)}, []int32{atRequested}
	if ex.x.Online != nil {
		times, both = append(times, timesOf(ex.x.Online.Watermark, 1)), append(both, atWatermark)
	}
	same := make([]int32, len(both))
	q := pointintime.Question{View: ex.view.View, Features: ex.r.Features, Times: interleave.Rows(times, both, same).(*array.Timestamp)}
	for _, part := range ex.r.Key {
		q.Keys = append(q.Keys, interleave.Rows([]arrow.Array{part}, same, same))
	}
	if ex.joined, err = pointintime.Join(ctx, q, ex.runs, pointintime.Options{Workers: ex.e.Workers}); err != nil {
		return err
	}
	for i, f := range ex.r.Features {
		out := ExplainedFeature{Name: ex.view.Features[f].Name, Answered: ex.trained(i, atRequested)}
		if ex.x.Online != nil {
			training, column := ex.trained(i, atWatermark), ex.served[i]
			online := Answered{Value: one(column.Values(), 0), Status: column.Statuses[0], Event: eventOf(column.Found[0], column.EventTimes[0])}
			out.Online, out.Training = &online, &training
			out.Equal = agree(ex.view.View, column, 0, ex.joined, i, atWatermark, valueText)
		}
		ex.x.Features = append(ex.x.Features, out)
	}
	return nil
}

// trained is what an export gives of the i-th feature.
func (ex *explainer) trained(i, row int) Answered {
	column := ex.joined.Columns[i]
	return Answered{Value: one(column.Values, row), Status: column.Statuses[row], Event: eventOf(ex.joined.Found(row), ex.joined.EventTimes[row])}
}

func eventOf(found bool, event feature.Time) feature.Time {
	if !found {
		return feature.MinTime
	}
	return event
}

// one returns row i of a column as a column of its own.
func one(column arrow.Array, i int) arrow.Array { return array.NewSlice(column, int64(i), int64(i)+1) }

// rows finds the rows, or tiles, that the answer is made of, those that are hidden, and what lies in each window.
func (ex *explainer) rows(ctx context.Context) error {
	ranges := []feature.Range{upTo(ex.x.Horizon), after(ex.x.Horizon)}
	var lengths []time.Duration // of the windows, whose ranges, and what has left them, follow
	longest := -1
	for i := range ex.r.Features {
		if !ex.view.Windowed() {
			break
		}
		length := ex.view.Features[ex.r.Features[i]].Aggregation.Window
		window := feature.Range{From: leftOf(ex.x.Horizon, length), To: ex.x.Horizon}
		if longest < 0 || window.From < ranges[longest].From {
			longest = len(ranges)
		}
		lengths, ranges = append(lengths, length), append(ranges, window, upTo(window.From-1))
	}
	found, err := pointintime.History(ctx, ex.view.View, ex.r.Key, ex.runs, ranges, ex.r.Rows)
	if err != nil {
		return err
	}
	visible, hidden := found[0], found[1]
	if len(visible.Last) > 0 {
		ex.latest = &visible.Last[len(visible.Last)-1]
	}
	for i, length := range lengths {
		ex.x.Features[i].Window = windowOf(ex.view.View, ex.x.Horizon, length, found[2+2*i], found[3+2*i])
	}
	if longest >= 0 {
		visible = found[longest]
	} else if ex.latest != nil {
		ties, err := pointintime.History(ctx, ex.view.View, ex.r.Key, ex.runs, []feature.Range{{From: ex.latest.Event, To: ex.latest.Event}}, ex.r.Rows)
		if err != nil {
			return err
		}
		visible = ties[0]
	}
	columns, err := ex.columns()
	if err != nil {
		return err
	}
	ex.x.Count, ex.x.HiddenCount = visible.Count, hidden.Count
	if ex.x.Rows, err = ex.read(ctx, visible.Last, columns); err != nil {
		return err
	}
	ex.x.Hidden, err = ex.read(ctx, hidden.First, columns)
	return err
}

// columns returns which columns of stored rows are of interest.
func (ex *explainer) columns() (names []string, err error) {
	for i, f := range ex.r.Features {
		if !ex.view.Windowed() {
			names = append(names, ex.view.Features[f].Name)
			continue
		}
		call, err := aggregate.New(*ex.view.Features[f].Aggregation)
		if err != nil {
			return nil, err
		}
		ex.calls = append(ex.calls, call)
		for _, spec := range call.Specs {
			for _, c := range spec.Columns {
				ex.x.Features[i].States = append(ex.x.Features[i].States, c.Name)
			}
		}
		names = append(names, ex.x.Features[i].States...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// read reads stored rows.
func (ex *explainer) read(ctx context.Context, stored []pointintime.Stored, columns []string) ([]ExplainedRow, error) {
	var rows []ExplainedRow
	for _, s := range stored {
		row := ExplainedRow{Event: s.Event, Created: s.Created, Tile: ex.view.TileOf(s.Event), TileText: eventsText(ex.view.View, ex.view.TileOf(s.Event)), VisibleFrom: ex.view.VisibleFrom(s.Event)}
		if run, ok := ex.runs[s.Run].(*offline.Run); ok {
			row.File = run.File()
		}
		values, err := ex.runs[s.Run].Read(ctx, columns, []offline.Span{{From: s.Row, To: s.Row + 1}})
		if err != nil {
			return nil, err
		}
		for i, name := range columns {
			row.Values = append(row.Values, NamedValue{name, values[i]})
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// check makes sure that the rows found are those that the join has answered with.
func (ex *explainer) check() error {
	fault := func(what string) error {
		return feature.Errorf(feature.ErrInternal, "view %s, %s: the explanation does not fit the join's answer in %s", ex.view.Name, ex.x.Key, what)
	}
	if found := ex.latest != nil; found != ex.joined.Found(atRequested) {
		return fault("whether a row is visible")
	}
	if ex.latest == nil {
		return nil
	}
	if ex.latest.Event != ex.joined.EventTimes[atRequested] || ex.joined.CreatedTimes != nil && ex.latest.Created != ex.joined.CreatedTimes[atRequested] {
		return fault("its latest row's times")
	}
	if ex.view.Windowed() {
		return nil
	}
	for i := range ex.x.Features {
		f := &ex.x.Features[i]
		if row := ex.x.Rows[len(ex.x.Rows)-1]; f.Status == feature.Present && valueText(row.value(f.Name), 0) != valueText(f.Value, 0) {
			return fault("feature " + f.Name)
		}
	}
	return nil
}

// value returns a row's value of a column.
func (r *ExplainedRow) value(name string) arrow.Array {
	i := slices.IndexFunc(r.Values, func(v NamedValue) bool { return v.Name == name })
	return r.Values[i].Value
}
