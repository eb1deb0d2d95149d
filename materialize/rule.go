package materialize

import (
	"fmt"
	"strings"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/pointintime"
)

// upTo is all of time up to an instant, and after what comes later.
func upTo(t feature.Time) feature.Range { return feature.Range{From: feature.MinTime, To: t} }

func after(t feature.Time) feature.Range {
	return feature.Range{From: t.Add(time.Microsecond), To: feature.MaxTime}
}

// leftOf is the first event time in a window of a length that ends at a horizon.
func leftOf(horizon feature.Time, length time.Duration) feature.Time {
	if length == 0 {
		return feature.MinTime
	}
	return horizon.Add(-length).Add(time.Microsecond)
}

// windowOf describes a window: what lies in it, and what lies before it.
func windowOf(view *feature.View, horizon feature.Time, length time.Duration, in, left pointintime.Stretch) *Window {
	w := &Window{From: leftOf(horizon, length), To: horizon, Tiles: in.Count, Left: feature.MinTime}
	if in.Count > 0 {
		w.First, w.Last = in.First[0].Event, in.Last[len(in.Last)-1].Event
	}
	if length != 0 && left.Count > 0 {
		w.Left = left.Last[len(left.Last)-1].Event
	}
	w.Text = rangeText(view, feature.Range{From: w.From, To: w.To})
	return w
}

// rangeText writes event times as definitions think of them: with the end that windows and tiles include.
func rangeText(view *feature.View, r feature.Range) string {
	if view.StrictlyBefore {
		return "[" + r.From.String() + ", " + r.To.Add(time.Microsecond).String() + ")"
	}
	from := r.From
	if from != feature.MinTime {
		from--
	}
	return "(" + from.String() + ", " + r.To.String() + "]"
}

// eventsText is rangeText, or the one event time that there is.
func eventsText(view *feature.View, r feature.Range) string {
	if r.From == r.To {
		return r.From.String()
	}
	return rangeText(view, r)
}

// visibility says what is visible at an as-of time.
func visibility(view *feature.View, at feature.Time) string {
	word, edge, why := "at or before", view.Horizon(at), []string{"the as-of time"}
	if view.StrictlyBefore {
		word, edge = "before", edge.Add(time.Microsecond)
	}
	if view.Delay > 0 {
		why[0] += " less the delay of " + definitions.FormatDuration(view.Delay)
	}
	if view.Granularity > 0 {
		why = append(why, "moved down to a multiple of the granularity of "+definitions.FormatDuration(view.Granularity))
	}
	if view.StrictlyBefore {
		why = append(why, "which is left out by allow_exact_matches: false")
	}
	return fmt.Sprintf("what has an event time %s %s: %s", word, edge, strings.Join(why, ", "))
}

// rules says of each feature which rule gave its value.
func (ex *explainer) rules() {
	for i := range ex.x.Features {
		f, of := &ex.x.Features[i], &ex.view.Features[ex.r.Features[i]]
		f.Rule = ex.rule(f, of)
		if of.Default != nil && f.Status != feature.Present && (ex.calls == nil || ex.calls[i].Empty == nil) {
			f.Rule += "; its default stands in the place of NULL"
		}
	}
}

// rule says which rule gave a feature its value.
func (ex *explainer) rule(f *ExplainedFeature, of *feature.Feature) string {
	switch {
	case ex.key == nil:
		return "a part of the key is NULL, which matches nothing"
	case ex.view.Windowed():
		return ex.windowRule(f, of)
	case f.Status == feature.NotFound:
		return ex.nothing()
	case f.Status == feature.Expired:
		limit := ex.r.At.Add(-ex.view.Delay).Add(-ex.view.TTL)
		over := time.Duration(limit-f.Event) * time.Microsecond
		return fmt.Sprintf("the latest visible row has expired: the ttl of %s goes back to %s, and the row is older by %s",
			definitions.FormatDuration(ex.view.TTL), limit, definitions.FormatDuration(over))
	case f.Status == feature.Null:
		return ex.choice() + " holds NULL"
	}
	return ex.choice()
}

// nothing says why no row is visible.
func (ex *explainer) nothing() string {
	if ex.x.HiddenCount > 0 {
		return "no row of the key is visible yet"
	}
	return "the key has never been seen"
}

// choice says which row answers, and why it among those of one event time.
func (ex *explainer) choice() string {
	if ex.x.Count < 2 {
		return "the latest visible row"
	}
	rows := ex.x.Rows
	why := "the last of them in source order"
	if len(rows) > 1 && rows[len(rows)-1].Created != rows[len(rows)-2].Created {
		why = "the one with the greatest created time"
	} else if ex.view.HasCreatedTime {
		why += ", for their created times tie too"
	}
	return fmt.Sprintf("of %d visible rows that tie on the latest event time, %s", ex.x.Count, why)
}

// windowRule is rule for a windowed view.
func (ex *explainer) windowRule(f *ExplainedFeature, of *feature.Feature) string {
	function := of.Aggregation.Function + " of " + of.Aggregation.Input.Name
	switch {
	case ex.latest == nil:
		return ex.nothing() + ": the result of an empty window"
	case f.Window.Tiles == 0:
		return function + ": nothing lies in the window, the result of an empty one"
	case f.Status != feature.Present:
		return function + " in the window, whose inputs are all NULL"
	}
	return function + " in the window"
}

// note adds a note.
func (x *Explanation) note(format string, args ...any) {
	x.Notes = append(x.Notes, fmt.Sprintf(format, args...))
}
