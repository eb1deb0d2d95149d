package materialize

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
)

// rowsOf returns the view of the rows that are computed from the source: the view itself, or for a windowed view, of which tiles are
// stored, one whose features are the inputs of its aggregations.
func rowsOf(view *definitions.View) *feature.View {
	if !view.Windowed() {
		return view.View
	}
	rows := &feature.View{Name: view.Name, Keys: view.Keys, HasCreatedTime: view.Source.CreatedTime != ""}
	for _, input := range view.Inputs {
		rows.Features = append(rows.Features, feature.Feature{Field: input})
	}
	return rows
}

// computer turns batches of source rows into rows of a view.
type computer struct {
	view     *definitions.View
	rowsView *feature.View
	programs []*expr.Program
	schema   *arrow.Schema
	place    map[string]int // source column -> column of a batch
	times    int            // time columns at the head of a batch
}

func newComputer(view *definitions.View, rows *feature.View) *computer {
	c := &computer{view: view, rowsView: rows, programs: view.Programs, schema: schemaOf(rows), place: map[string]int{}, times: 1}
	if view.Windowed() {
		c.programs = view.InputPrograms
	}
	if rows.HasCreatedTime {
		c.times = 2
	}
	for i, f := range view.SourceColumns() {
		c.place[f.Name] = c.times + len(view.Keys) + i
	}
	return c
}

// rows returns the view's rows of batch, whose columns are event time, created time where there is one, keys, and the
// view's source columns: those for which the filter is true, with the features computed.
func (c *computer) rows(batch arrow.RecordBatch) (arrow.RecordBatch, error) {
	columns, rows := batch.Columns(), int(batch.NumRows())
	if c.view.Where != nil {
		kept, err := c.wanted(batch)
		if err != nil {
			return nil, err
		}
		columns, rows = take(batch, kept), len(kept)
	}
	out := make([]arrow.Array, 0, c.schema.NumFields())
	out = append(out, columns[c.times:c.times+len(c.view.Keys)]...)
	out = append(out, columns[:c.times]...)
	for i, program := range c.programs {
		values, err := program.Eval(c.column(columns), rows)
		if err != nil {
			return nil, feature.Errorf(feature.KindOf(err), "feature %s: %w", c.rowsView.Features[i].Name, err)
		}
		out = append(out, values)
	}
	return array.NewRecordBatch(c.schema, out, int64(rows)), nil
}

func (c *computer) column(columns []arrow.Array) func(string) arrow.Array {
	return func(name string) arrow.Array { return columns[c.place[name]] }
}

// wanted returns which rows of batch are the view's: those for which its filter is true, neither false nor NULL.
func (c *computer) wanted(batch arrow.RecordBatch) ([]int32, error) {
	rows := int(batch.NumRows())
	var keep *array.Boolean
	if c.view.Where != nil {
		values, err := c.view.Where.Eval(c.column(batch.Columns()), rows)
		if err != nil {
			return nil, err
		}
		keep = values.(*array.Boolean)
	}
	kept := make([]int32, 0, rows)
	for i := range rows {
		if keep == nil || keep.IsValid(i) && keep.Value(i) {
			kept = append(kept, int32(i))
		}
	}
	return kept, nil
}

// take returns the given rows of batch, which are ascending and none twice.
func take(batch arrow.RecordBatch, rows []int32) []arrow.Array {
	if len(rows) == int(batch.NumRows()) {
		return batch.Columns()
	}
	out := make([]arrow.Array, batch.NumCols())
	from := make([]int32, len(rows))
	for i, column := range batch.Columns() {
		out[i] = interleave.Rows([]arrow.Array{column}, from, rows)
	}
	return out
}
