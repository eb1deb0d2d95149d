package main

import (
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// explained is what asof explain prints, as JSON or as text. Times are RFC 3339, nil where there is none.
type explained struct {
	Service string            `json:"service"`
	Keys    map[string]string `json:"keys"`
	Fields  map[string]string `json:"fields,omitempty"` // of the request
	At      string            `json:"at"`
	Views   []*explainedView  `json:"views"`
	// OnDemand are the on-demand features, in the order in which they are computed.
	OnDemand []explainedOnDemand `json:"on_demand,omitempty"`
	Notes    []string            `json:"notes,omitempty"`

	given []string // keys and fields, as they were given
}

// explainedView is what is common to the features of a view.
type explainedView struct {
	View           string             `json:"view"`
	Alias          string             `json:"alias,omitempty"`
	Key            string             `json:"key"`
	Watermark      string             `json:"watermark"` // of the history
	Horizon        string             `json:"horizon"`   // the last event time that is visible
	Visible        string             `json:"visible"`   // the same in words
	Rows           []explainedRow     `json:"rows"`      // the last one is the latest
	RowCount       int64              `json:"row_count"`
	SourceRows     []explainedSource  `json:"source_rows,omitempty"` // behind tiles
	SourceRowCount int64              `json:"source_row_count,omitempty"`
	Hidden         []explainedRow     `json:"hidden"` // not visible yet
	HiddenCount    int64              `json:"hidden_count"`
	Online         *string            `json:"online_watermark"`
	Features       []explainedFeature `json:"features"`
	Notes          []string           `json:"notes,omitempty"`

	at   feature.Time
	tile bool // rows are tiles
}

// explainedRow is a row of the history, or a tile.
type explainedRow struct {
	Event       string           `json:"event_time"`
	Created     *string          `json:"created_time,omitempty"`
	Tile        string           `json:"tile,omitempty"`
	VisibleFrom string           `json:"visible_from"`
	File        string           `json:"history_file"`
	Values      map[string]any   `json:"values"` // of the features, or the partial states
	Source      *explainedSource `json:"source,omitempty"`

	event feature.Time
}

// explainedSource is a row of a source file.
type explainedSource struct {
	File    string         `json:"file"`
	Row     int64          `json:"row"` // from 0
	Event   string         `json:"event_time"`
	Created *string        `json:"created_time,omitempty"`
	Changed string         `json:"changed,omitempty"` // how the file differs from what was materialized
	Values  map[string]any `json:"values"`

	names []string // of the values, in order
}

// explainedFeature is one feature's value.
type explainedFeature struct {
	Name string `json:"name"`
	gotValue
	Rule     string           `json:"rule"`
	Window   *explainedWindow `json:"window,omitempty"`
	States   []string         `json:"states,omitempty"` // those of its tiles that it is computed from
	Online   *gotValue        `json:"online,omitempty"`
	Training *gotValue        `json:"training_at_online_watermark,omitempty"`
	Equal    *bool            `json:"equal,omitempty"` // whether these two are
}

// explainedWindow tells what lies in a window.
type explainedWindow struct {
	Ends  string  `json:"ends"`
	Tiles int64   `json:"tiles"`
	First *string `json:"first,omitempty"`
	Last  *string `json:"last,omitempty"`
	Left  *string `json:"last_before,omitempty"` // the last tile that has left the window

	from feature.Time
}

func newExplained(service string, keys, fields []string, at feature.Time) *explained {
	return &explained{Service: service, Keys: given(keys), Fields: given(fields), At: at.String(), Views: []*explainedView{}, given: slices.Concat(keys, fields)}
}

func newExplainedView(ref *feature.Ref, x *materialize.Explanation) *explainedView {
	v := &explainedView{View: x.View, Alias: ref.Alias, Key: strings.TrimPrefix(x.Key, "key "), Watermark: x.Watermark.String(), Horizon: x.Horizon.String(), Visible: x.Visible,
		RowCount: x.Count, SourceRowCount: x.SourceCount, HiddenCount: x.HiddenCount, Notes: x.Notes, at: x.At, tile: ref.View.Windowed()}
	v.Rows, v.Hidden = explainedRows(ref.View, x.Rows), explainedRows(ref.View, x.Hidden)
	for i := range x.SourceRows {
		v.SourceRows = append(v.SourceRows, *newExplainedSource(&x.SourceRows[i]))
	}
	if x.Online != nil {
		v.Online = timeOrNil(x.Online.Watermark)
	}
	for i := range x.Features {
		name := ref.Name() + "." + x.Features[i].Name // what on-demand features alone take is no column
		if i < len(ref.Features) {
			name = ref.ColumnName(i, false)
		}
		v.Features = append(v.Features, newExplainedFeature(name, &x.Features[i]))
	}
	return v
}

func newExplainedFeature(name string, x *materialize.ExplainedFeature) explainedFeature {
	got := func(x *materialize.Answered) gotValue {
		return newGotValue(name, x.Value, x.Status, x.Event != feature.MinTime, x.Event)
	}
	f := explainedFeature{Name: name, gotValue: got(&x.Answered), Rule: x.Rule, States: x.States}
	if w := x.Window; w != nil {
		f.Window = &explainedWindow{Ends: w.Text, Tiles: w.Tiles, Left: timeOrNil(w.Left), from: w.From}
		if w.Tiles > 0 {
			f.Window.First, f.Window.Last = timeOrNil(w.First), timeOrNil(w.Last)
		}
	}
	if x.Online != nil {
		online, training := got(x.Online), got(x.Training)
		f.Online, f.Training, f.Equal = &online, &training, &x.Equal
	}
	return f
}

func explainedRows(view *feature.View, rows []materialize.ExplainedRow) []explainedRow {
	shown := make([]explainedRow, len(rows))
	for i := range rows {
		row := &rows[i]
		shown[i] = explainedRow{Event: row.Event.String(), Created: timeOrNil(row.Created), VisibleFrom: row.VisibleFrom.String(), File: row.File, event: row.Event}
		shown[i].Values, _ = valuesByName(row.Values)
		if view.Granularity > 0 {
			shown[i].Tile = row.TileText
		}
		if row.Source != nil {
			shown[i].Source = newExplainedSource(row.Source)
		}
	}
	return shown
}

func newExplainedSource(x *materialize.SourceRow) *explainedSource {
	s := &explainedSource{File: x.File, Row: x.Row, Event: x.Event.String(), Created: timeOrNil(x.Created), Changed: x.Changed}
	s.Values, s.names = valuesByName(x.Values)
	return s
}

// valuesByName returns values as JSON has them, and their names in order.
func valuesByName(values []materialize.NamedValue) (byName map[string]any, names []string) {
	byName = map[string]any{}
	for _, v := range values {
		byName[v.Name], names = jsonValue(v.Value), append(names, v.Name)
	}
	return byName, names
}

// jsonValue returns the value of a column of one row as JSON has it.
func jsonValue(column arrow.Array) any {
	return newGotValue("", column, feature.Present, false, 0).Value
}

// timeOrNil returns a time as text, nil for the one that stands for none.
func timeOrNil(t feature.Time) *string {
	if t == feature.MinTime {
		return nil
	}
	text := t.String()
	return &text
}
