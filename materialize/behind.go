package materialize

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/source"
)

// SourceRow is a row of a view's source as it is now, with what is computed of it.
type SourceRow struct {
	File           string // as the source names it
	Row            int64  // its number in the file, from 0
	Event, Created feature.Time
	Changed        string       // "" where the file is the one that the history was made of, else how it differs, in words
	Values         []NamedValue // of the features, or the inputs of a windowed view's aggregations
}

// behind finds the source rows behind the rows of the explanation: of each row the one that it was made of, and of tiles the latest ones.
func (ex *explainer) behind(ctx context.Context) error {
	if ex.key == nil {
		return nil
	}
	find := ex.behindRows
	if ex.view.Windowed() {
		find = ex.behindTiles
	}
	lost, err := find(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && lost:
		err = ex.noteLost(ctx)
	}
	if err != nil {
		ex.x.note("the source cannot be read: %v", err)
	}
	return nil
}

// behindRows finds the source rows of a latest-value view's rows, and reports whether some are not there any more.
func (ex *explainer) behindRows(ctx context.Context) (lost bool, err error) {
	at := map[feature.Time]*foundRows{}
	for _, rows := range [][]ExplainedRow{ex.x.Rows, ex.x.Hidden} {
		for i := len(rows) - 1; i >= 0; i-- {
			row := &rows[i]
			if at[row.Event] == nil {
				if at[row.Event], err = ex.readSource(ctx, row.Tile, sourceRowsMax); err != nil {
					return lost, err
				}
			}
			row.Source = at[row.Event].match(row)
			lost = lost || row.Source == nil
		}
	}
	return lost, nil
}

// behindTiles finds the latest source rows of a windowed view's tiles, and reports whether none are there any more.
func (ex *explainer) behindTiles(ctx context.Context) (lost bool, err error) {
	if len(ex.x.Rows) == 0 {
		return false, nil
	}
	found, err := ex.readSource(ctx, feature.Range{From: ex.x.Rows[0].Tile.From, To: ex.x.Rows[len(ex.x.Rows)-1].Tile.To}, ex.r.Rows)
	if err != nil {
		return false, err
	}
	ex.x.SourceRows, ex.x.SourceCount = found.rows, found.count
	return found.count == 0, nil
}

// sourceRowsMax is how many rows of one event time are looked at to find those that stored rows were made of.
const sourceRowsMax = 1 << 10

// foundRows are the rows of the key in a range of the source: the last of them, in the order of the history.
type foundRows struct {
	rows  []SourceRow
	count int64 // how many there are
}

// readSource finds the key's rows in a range of event times, at most rowsMax of them, computed as a run computes them.
func (ex *explainer) readSource(ctx context.Context, events feature.Range, rowsMax int) (*foundRows, error) {
	spec := ex.view.Source.Spec
	spec.BadRows = source.BadRowsSkip // they are not in the history
	rowsView := rowsOf(ex.view)
	c, found, leftOut := newComputer(ex.view, rowsView), &foundRows{}, int64(0)
	request := source.Request{Range: events, Keys: ex.view.SourceKeys(), Columns: ex.view.SourceColumns()}
	stats, err := source.Read(ctx, spec, request, func(b source.Batch) error {
		of := ex.rowsOfKey(c, b.Record)
		if len(of) == 0 {
			return nil
		}
		record := array.NewRecordBatch(b.Record.Schema(), take(b.Record, of), int64(len(of)))
		kept, err := c.wanted(record)
		if err != nil {
			return err
		}
		rows, err := c.rows(record)
		if err != nil {
			return err
		}
		found.count, leftOut = found.count+int64(len(kept)), leftOut+int64(len(of)-len(kept))
		for i, k := range kept {
			if found.rows = append(found.rows, sourceRow(rowsView, &b, int(of[k]), rows, i)); len(found.rows) >= 2*rowsMax {
				found.trim(rowsMax)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found.trim(rowsMax)
	changed := changesOf(ex.progress.Sources, stats.Files)
	for i := range found.rows {
		found.rows[i].Changed = changed[found.rows[i].File]
	}
	if leftOut > 0 {
		ex.x.note("source rows of the key at %s that where leaves out: %d", eventsText(ex.view.View, events), leftOut)
	}
	return found, nil
}

// rowsOfKey returns which rows of a batch of the source have the key.
func (ex *explainer) rowsOfKey(c *computer, batch arrow.RecordBatch) (rows []int32) {
	var key feature.Key
	for i := range int(batch.NumRows()) {
		key = key[:0]
		for _, part := range batch.Columns()[c.times : c.times+len(ex.view.Keys)] {
			key, _ = feature.AppendKeyPart(key, part, i) // a row with a NULL part is a bad one
		}
		if bytes.Equal(key, ex.key) {
			rows = append(rows, int32(i))
		}
	}
	return rows
}

// sourceRow describes row i of the computed rows, which was row `row` of a batch of the source.
func sourceRow(view *feature.View, b *source.Batch, row int, rows arrow.RecordBatch, i int) SourceRow {
	at := len(view.Keys)
	s := SourceRow{File: b.File, Row: b.Row(row), Event: feature.Time(rows.Column(at).(*array.Timestamp).Value(i)), Created: feature.MinTime}
	if at++; view.HasCreatedTime {
		if created := rows.Column(at).(*array.Timestamp); created.IsValid(i) {
			s.Created = feature.Time(created.Value(i))
		}
		at++
	}
	for f := range view.Features {
		s.Values = append(s.Values, NamedValue{view.Features[f].Name, one(rows.Column(at+f), i)})
	}
	return s
}

// trim puts the rows into the order of the history, which is that of the source where times tie, and keeps the last ones.
func (f *foundRows) trim(rowsMax int) {
	slices.SortStableFunc(f.rows, func(a, b SourceRow) int {
		return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Created, b.Created))
	})
	f.rows = slices.Delete(f.rows, 0, max(0, len(f.rows)-rowsMax))
}

// match takes out the last row of which a stored row can have been made: of its times and its values. Rows of equal times lie in the
// order of the source in both places, so that stored rows find theirs from the last one on.
func (f *foundRows) match(stored *ExplainedRow) *SourceRow {
	for i, s := range slices.Backward(f.rows) {
		if s.Event == stored.Event && s.Created == stored.Created && s.gives(stored.Values) {
			f.rows = slices.Delete(f.rows, i, i+1)
			return &s
		}
	}
	return nil
}

// gives reports whether the row is computed to the given values, some of those that are computed of it.
func (s *SourceRow) gives(values []NamedValue) bool {
	for _, want := range values {
		i := slices.IndexFunc(s.Values, func(v NamedValue) bool { return v.Name == want.Name })
		if i < 0 || !sameValue(s.Values[i].Value, 0, want.Value, 0, valueText) {
			return false
		}
	}
	return true
}

// changesOf says how files of a source differ from what a snapshot saw of them; those that are the same are left out.
func changesOf(seen []offline.SourceFile, now []source.FileStat) map[string]string {
	changed := map[string]string{}
	for _, c := range changedFiles(seen, sourceFiles(now)) {
		switch {
		case c.before == nil:
			changed[c.now.Path] = "new since"
		case c.now == nil:
			changed[c.before.Path] = "gone"
		default:
			changed[c.now.Path] = "changed since"
		}
	}
	return changed
}

// noteLost says that rows are not in the source any more, and which files are not what they were.
func (ex *explainer) noteLost(ctx context.Context) error {
	files, err := source.Files(ctx, ex.view.Source.Spec)
	if feature.KindOf(err) == feature.ErrNotFound {
		err = nil // all of them are gone
	}
	if err != nil {
		return err
	}
	changed := changesOf(ex.progress.Sources, files)
	var names []string
	for path, how := range changed {
		names = append(names, path+" ("+how+")")
	}
	slices.Sort(names)
	why := ""
	if shown := min(len(names), ex.r.Rows); shown > 0 {
		why = ": " + strings.Join(names[:shown], ", ")
		if more := len(names) - shown; more > 0 {
			why += fmt.Sprintf(" and %d more", more)
		}
	}
	ex.x.note("the source does not give every row of the history any more%s", why)
	return nil
}
