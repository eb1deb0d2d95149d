package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/asof-store/asof/feature"
)

// text returns the explanation for a person to read: a block for each view, and below it one for each feature.
func (e *explained) text() string {
	var b strings.Builder
	b.WriteString(e.Service)
	for i, text := range e.given {
		join := ", "
		if i == 0 {
			join = " of "
		}
		b.WriteString(join + text)
	}
	fmt.Fprintf(&b, " as of %s\n", e.At)
	for _, note := range e.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	for _, v := range e.Views {
		fmt.Fprintf(&b, "\nview %s", v.View)
		if v.Alias != "" {
			fmt.Fprintf(&b, " as %s", v.Alias)
		}
		fmt.Fprintf(&b, ", %s\n", v.Key)
		v.lines().print(&b, "  ")
		for i := range v.Features {
			f := &v.Features[i]
			fmt.Fprintf(&b, "\n  %s = %s\n", f.Name, f.answered())
			v.featureLines(f).print(&b, "    ")
		}
	}
	for i := range e.OnDemand {
		o := &e.OnDemand[i]
		fmt.Fprintf(&b, "\non_demand %s\n", o.title())
		o.lines().print(&b, "  ")
	}
	return b.String()
}

// lines are lines of text behind labels; a label that is empty goes on with the one above.
type lines [][2]string

func (l *lines) add(label, format string, args ...any) {
	*l = append(*l, [2]string{label, fmt.Sprintf(format, args...)})
}

// labelWidth is that of the longest label, and two blanks.
const labelWidth = 10

func (l lines) print(b *strings.Builder, indent string) {
	for _, line := range l {
		fmt.Fprintf(b, "%s%-*s%s\n", indent, labelWidth, line[0], line[1])
	}
}

// lines says what is common to a view's features.
func (v *explainedView) lines() (l lines) {
	l.add("visible", "%s", v.Visible)
	l.add("history", "complete up to %s", v.Watermark)
	v.rowLines(&l)
	for i := range v.Hidden {
		row := &v.Hidden[i]
		l.add(labelOf("hidden", i), "%s: later than the horizon %s, visible from %s", row.times(feature.MinTime), v.Horizon, row.VisibleFrom)
		if row.Source != nil {
			l.add("", "  from %s", row.Source.place())
		}
	}
	if more := v.HiddenCount - int64(len(v.Hidden)); more > 0 {
		l.add("", "and %s", counted(int(more), "later one"))
	}
	for _, note := range v.Notes {
		l.add("note", "%s", note)
	}
	return l
}

// rowLines says which rows, or tiles, and which source rows, the values come from.
func (v *explainedView) rowLines(l *lines) {
	switch {
	case v.tile && v.RowCount > 0:
		l.add("tiles", "%d in the longest window; the last %d:", v.RowCount, len(v.Rows))
	case len(v.Rows) > 1:
		l.add("rows", "%d tie; the last %d, of which the last answers:", v.RowCount, len(v.Rows))
	}
	for i := range v.Rows {
		row, label := &v.Rows[i], ""
		if !v.tile && len(v.Rows) == 1 {
			label = "row"
		}
		l.add(label, "%s", row.times(v.at))
		if row.Source != nil {
			l.add("", "  from %s", row.Source.place())
		} else if !v.tile {
			l.add("", "  from a row that its source does not have now")
		}
		if i == len(v.Rows)-1 || v.Rows[i+1].File != row.File {
			l.add("", "  in %s", nearPath(row.File))
		}
	}
	if len(v.SourceRows) > 0 {
		l.add("source", "%s in these tiles; the last %d:", counted(int(v.SourceRowCount), "row"), len(v.SourceRows))
	}
	for i := range v.SourceRows {
		s := &v.SourceRows[i]
		l.add("", "%s: event %s%s", s.place(), s.Event, createdText(s.Created))
		if len(s.names) > 0 {
			l.add("", "  %s", namedText(s.Values, s.names))
		}
	}
}

// labelOf is the label of the first of several lines.
func labelOf(label string, i int) string {
	if i > 0 {
		return ""
	}
	return label
}

// featureLines says how a feature got its value, and what is served beside it.
func (v *explainedView) featureLines(f *explainedFeature) (l lines) {
	l.add("rule", "%s", f.Rule)
	if w := f.Window; w != nil {
		text := w.Ends + ", " + counted(int(w.Tiles), "tile")
		switch {
		case w.Tiles == 1:
			text += ", " + *w.First
		case w.Tiles > 1:
			text += ", from " + *w.First + " to " + *w.Last
		}
		if w.Left != nil {
			text += "; the one before, " + *w.Left + ", has left it"
		}
		l.add("window", "%s", text)
		for i := range v.Rows {
			if row := &v.Rows[i]; row.event >= w.from {
				l.add("", "%s: %s", row.name(), namedText(row.Values, f.States))
			}
		}
	}
	if f.Online == nil {
		return l
	}
	equal := "equal"
	if !*f.Equal {
		equal = "NOT equal"
	}
	l.add("online", "%s", f.Online.answered())
	l.add("training", "%s as of the online watermark %s: %s", f.Training.answered(), *v.Online, equal)
	return l
}

// nearPath writes a path as seen from the working directory where it lies below that.
func nearPath(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if near, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(near) {
		return near
	}
	return path
}

// times are a row's times, with its age at an as-of time that comes after it.
func (r *explainedRow) times(at feature.Time) string {
	text := r.name() + createdText(r.Created)
	if r.Tile == "" {
		text = "event " + text
	}
	if at >= r.event {
		text += ", " + ageText(float64(at-r.event)/1e6) + " old"
	}
	return text
}

// name is what tells a row from others: the time that it covers.
func (r *explainedRow) name() string {
	if r.Tile != "" {
		return r.Tile
	}
	return r.Event
}

func createdText(created *string) string {
	if created == nil {
		return ""
	}
	return ", created " + *created
}

// place is where a source row stands.
func (s *explainedSource) place() string {
	text := fmt.Sprintf("%s, row %d", s.File, s.Row)
	if s.Changed != "" {
		text += " (" + s.Changed + ")"
	}
	return text
}

// namedText writes named values, NULL ones left out unless all are.
func namedText(values map[string]any, names []string) string {
	var texts []string
	for _, name := range names {
		if values[name] != nil {
			texts = append(texts, name+"="+valueText(values[name]))
		}
	}
	if len(texts) == 0 {
		return "all NULL"
	}
	return strings.Join(texts, " ")
}

// answered is a value with its status and event time.
func (v *gotValue) answered() string {
	text := valueText(v.Value) + " " + v.Status
	if v.EventTime != nil {
		text += ", event " + *v.EventTime
	}
	return text
}

// valueText writes a value as JSON does, NULL for none.
func valueText(value any) string {
	if value == nil {
		return "NULL"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}
