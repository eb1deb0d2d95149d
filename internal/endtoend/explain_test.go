package endtoend

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// explain explains all features of a view for a key.
func (w *world) explain(view *definitions.View, key []any, at feature.Time) (materialize.Explanation, error) {
	r := materialize.ExplainRequest{At: at, Served: w.engine.Serves()}
	for i, k := range view.Keys {
		r.Key = append(r.Key, arrayOf(k.Type, key[i]))
	}
	for i := range view.Features {
		r.Features = append(r.Features, i)
	}
	return w.engine.Explain(context.Background(), view, r)
}

// runExplain executes the command explain of a script: SERVICE at=TIME, and a table of one row of keys.
func (w *world) runExplain(d *datadriven.TestData) (string, error) {
	keys, err := parseTable(d.Input)
	if err != nil {
		return "", err
	}
	at, err := parseTime(d.CmdArgs[1].Vals[0])
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, ref := range w.service(d.CmdArgs[0].Key).Refs {
		view, err := w.model.View(ref.View.Name)
		w.must(err)
		r := materialize.ExplainRequest{Features: ref.Features, At: at, Served: w.engine.Serves()}
		for _, name := range ref.KeyColumns {
			r.Key = append(r.Key, keys.columns()[name])
		}
		x, err := w.engine.Explain(context.Background(), view, r)
		if err != nil {
			return "", err
		}
		printExplanation(&out, ref.Name(), &x)
	}
	short := regexp.MustCompile(`2026-01-01T[0-9:.]+Z`).ReplaceAllStringFunc(out.String(), func(text string) string {
		t, err := parseTime(text)
		w.must(err)
		return timeText(t)
	})
	return regexp.MustCompile(`(snapshot|at) [0-9]{6,}`).ReplaceAllString(short, "$1 N"), nil
}

func printExplanation(out *strings.Builder, name string, x *materialize.Explanation) {
	fmt.Fprintf(out, "%s, %s\n  visible: %s\n", name, x.Key, x.Visible)
	for _, list := range []struct {
		name string
		rows []materialize.ExplainedRow
		more int64
	}{{"row", x.Rows, x.Count}, {"hidden", x.Hidden, x.HiddenCount}} {
		for _, r := range list.rows {
			fmt.Fprintf(out, "  %s of %s%s, visible from %s", list.name, r.TileText, namedText(r.Values), r.VisibleFrom)
			if r.Source != nil {
				fmt.Fprintf(out, ", made of %s row %d%s", r.Source.File, r.Source.Row, changedText(r.Source))
			}
			out.WriteString("\n")
		}
		if more := list.more - int64(len(list.rows)); more > 0 {
			fmt.Fprintf(out, "  and %d more\n", more)
		}
	}
	for _, s := range x.SourceRows {
		fmt.Fprintf(out, "  source %s row %d of %s%s%s\n", s.File, s.Row, s.Event, namedText(s.Values), changedText(&s))
	}
	for _, f := range x.Features {
		fmt.Fprintf(out, "  %s=%s: %s\n", f.Name, answeredText(&f.Answered), f.Rule)
		if f.Window != nil {
			fmt.Fprintf(out, "    window %s, %d tiles\n", f.Window.Text, f.Window.Tiles)
		}
		if f.Online != nil {
			fmt.Fprintf(out, "    online %s, training at %s %s: equal %v\n", answeredText(f.Online), x.Online.Watermark, answeredText(f.Training), f.Equal)
		}
	}
	for _, note := range x.Notes {
		fmt.Fprintf(out, "  note: %s\n", note)
	}
}

func namedText(values []materialize.NamedValue) string {
	var text strings.Builder
	for _, v := range values {
		if !v.Value.IsNull(0) {
			fmt.Fprintf(&text, " %s=%s", v.Name, valueText(v.Value, 0))
		}
	}
	return text.String()
}

func changedText(s *materialize.SourceRow) string {
	if s.Changed == "" {
		return ""
	}
	return " (" + s.Changed + ")"
}

func answeredText(a *materialize.Answered) string {
	text := valueText(a.Value, 0) + " " + a.Status.String()
	if a.Event != feature.MinTime {
		text += " @" + timeText(a.Event)
	}
	return text
}

// checkExplain explains a random key at a random time, and holds the explanation against the twin: values, statuses, times, ties, what
// is hidden and from when on it is visible, and the source row; and what it says of online values against what is there.
func (w *lawWorld) checkExplain(t *rapid.T) {
	v := w.def.views[rapid.IntRange(0, 1).Draw(t, "explained view")]
	key := make([]any, len(v.keys))
	for i, k := range v.keys {
		key[i] = randomLawKey(t, w.def.keys[k:k+1], true)[0]
	}
	q := randomTime(t, "explained at", 0, 80)
	view, err := w.model.View(v.name)
	w.must(err)
	x, err := w.explain(view, key, q)
	if !v.matches() {
		if !errors.Is(err, feature.ErrInvalid) {
			t.Fatalf("explaining a view whose definition has changed: %v", err)
		}
		return
	}
	w.must(err)
	a := v.answer(key, q, false)
	y, s := x.Features[0], x.Features[1]
	event := feature.MinTime
	if a.row != nil {
		event = a.row.event
	}
	if cell(y.Value, 0) != a.y || cell(s.Value, 0) != a.s || y.Status != a.yStatus || s.Status != a.sStatus || y.Event != event || s.Event != event {
		t.Fatalf("explaining %v of %s at %s: %v %s, %v %s of %s, the twin says %+v of %s", key, v.name, q, cell(y.Value, 0), y.Status, cell(s.Value, 0), s.Status, y.Event, a, event)
	}
	ties, hidden := int64(0), []feature.Time{}
	for _, r := range v.history {
		same := !slices.Contains(key, nil)
		for i, k := range v.keys {
			same = same && r.key[k] == key[i]
		}
		if same && a.row != nil && r.event == a.row.event {
			ties++
		}
		if same && (r.event > q-feature.Time(v.delay)*second || v.strict && r.event == q-feature.Time(v.delay)*second) {
			hidden = append(hidden, r.event)
		}
	}
	if x.Count != ties || x.HiddenCount != int64(len(hidden)) {
		t.Fatalf("explaining %v of %s at %s: %d rows tie and %d are hidden, the twin says %d and %d", key, v.name, q, x.Count, x.HiddenCount, ties, len(hidden))
	}
	slices.Sort(hidden)
	for i, h := range x.Hidden {
		if from := v.answer(key, h.VisibleFrom, false).row; h.Event != hidden[i] || from == nil || from.event < h.Event {
			t.Fatalf("explaining %v of %s at %s: %+v is hidden, the twin has %v, and %+v from then on", key, v.name, q, h, hidden, from)
		}
		if before := v.answer(key, h.VisibleFrom-1, false).row; before != nil && before.event >= h.Event {
			t.Fatalf("explaining %v of %s at %s: %+v is hidden and visible earlier", key, v.name, q, h)
		}
	}
	if a.row != nil {
		w.checkSourceRow(t, v, a, x.Rows[len(x.Rows)-1].Source)
	}
	w.checkExplainedOnline(t, v, &x)
}

// checkSourceRow looks for the answer's row where it is said to come from. Where no file holds it any more, none is named, or another that
// looks the same.
func (w *lawWorld) checkSourceRow(t *rapid.T, v *lawView, a lawAnswer, source *materialize.SourceRow) {
	like := func(r lawRow) bool {
		same := r.event == a.row.event && (!w.def.created || r.created == a.row.created) && r.s == a.row.s && fmt.Sprint(r.x) == fmt.Sprint(a.row.x)
		for _, k := range v.keys {
			same = same && r.key[k] == a.row.key[k]
		}
		return same
	}
	if source != nil {
		if r := w.files[path.Base(source.File)][source.Row]; !like(r) {
			t.Fatalf("%+v is said to come from row %d of %s, which is %+v", a.row, source.Row, source.File, r)
		}
		return
	}
	for name, rows := range w.files {
		if i := slices.IndexFunc(rows, like); i >= 0 {
			t.Fatalf("%+v is not found in the source; it is row %d of %s", a.row, i, name)
		}
	}
}

// checkExplainedOnline compares what an explanation says of online values with the store.
func (w *lawWorld) checkExplainedOnline(t *rapid.T, v *lawView, x *materialize.Explanation) {
	if v.current && v.online != (x.Online != nil) {
		t.Fatalf("view %s is published: %v, and the explanation says %+v, %q", v.name, v.online, x.Online, x.Notes)
	}
	if x.Online == nil {
		return
	}
	for _, f := range x.Features {
		if v.current && !f.Equal {
			t.Fatalf("view %s, %s of %s: online %+v, training %+v", v.name, f.Name, x.Key, f.Online, f.Training)
		}
		if f.Online.Status != feature.Expired && f.Equal != (fmt.Sprint(f.Online.Value, f.Online.Event) == fmt.Sprint(f.Training.Value, f.Training.Event)) {
			t.Fatalf("view %s, %s of %s: equal is %v; online %+v, training %+v", v.name, f.Name, x.Key, f.Equal, f.Online, f.Training)
		}
	}
}

// checkExplain explains a random key of a windowed view, mostly at an edge of a window, and holds the explanation against the twin: each
// value to the bit, what its window is, and how many tiles lie in it.
func (w *windowWorld) checkExplain(t *rapid.T) {
	key, q := randomLawKey(t, w.view.keys, true), w.edge(t)
	x, err := w.explain(w.model.Views[0], key, q)
	w.must(err)
	features := map[string]materialize.ExplainedFeature{}
	for _, f := range x.Features {
		features[f.Name] = f
		if w.view.current && !f.Equal {
			t.Fatalf("%s of %s: online %+v, training %+v\n%s", f.Name, x.Key, f.Online, f.Training, w.view.yaml())
		}
	}
	latest := feature.MinTime
	for _, r := range w.view.window(key, q, 0, false) {
		latest = max(latest, w.view.label(r.event))
	}
	for c, call := range w.view.calls {
		for _, length := range call.windows {
			f, rows := features[fmt.Sprintf("c%d_%s", c, windowText(length))], w.view.window(key, q, length, false)
			if got, want := bitsAt(f.Value, 0), call.value(rows); got != want || f.Event != latest {
				t.Fatalf("explaining %s of %v at %s: got %s of %s, the twin says %s of %s\n%s", f.Name, key, q, got, f.Event, want, latest, w.view.yaml())
			}
			w.checkWindow(t, f, rows, length)
		}
	}
	if n := int64(len(x.Rows)); n != min(x.Count, materialize.ExplainRows) || int64(len(x.SourceRows)) != min(x.SourceCount, materialize.ExplainRows) {
		t.Fatalf("%d rows of %d are shown, and %d source rows of %d", n, x.Count, len(x.SourceRows), x.SourceCount)
	}
}

// checkWindow compares a window with the rows that the twin finds in it.
func (w *windowWorld) checkWindow(t *rapid.T, f materialize.ExplainedFeature, rows []windowRow, length time.Duration) {
	type tile struct{ label, created feature.Time }
	tiles := map[tile]bool{}
	first, last := feature.Time(0), feature.Time(0)
	for i, r := range rows {
		id := tile{label: w.view.label(r.event)}
		if w.view.created && w.view.granularity == 0 {
			id.created = r.created
		}
		tiles[id] = true
		if i == 0 {
			first, last = id.label, id.label
		}
		first, last = min(first, id.label), max(last, id.label)
	}
	if f.Window.Tiles != int64(len(tiles)) || f.Window.First != first || f.Window.Last != last {
		t.Fatalf("%s, window %+v: the twin has %d tiles from %s to %s\n%s", f.Name, f.Window, len(tiles), first, last, w.view.yaml())
	}
	if length != 0 && f.Window.Left != feature.MinTime && f.Window.Left >= f.Window.From {
		t.Fatalf("%s: %s has left the window %+v", f.Name, f.Window.Left, f.Window)
	}
}
