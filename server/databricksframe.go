package server

import (
	"fmt"
	"maps"
	"slices"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/online"
)

// frame is a table as pandas writes it, in one of two forms.
type frame struct {
	Records []map[string]any `json:"dataframe_records"` // an object for each row
	Split   *struct {
		Columns []string `json:"columns"`
		Data    [][]any  `json:"data"` // a list for each row
	} `json:"dataframe_split"`
}

// frameColumn is a column of a frame, with values as encoding/json decodes them.
type frameColumn struct {
	name, place string
	t           feature.Type
	answer      int // which column of the answer it overrides; -1: it is an input
	values      []any
	sent        []bool // which rows have a value, NULL or not; nil: all
}

// columns returns the columns of f, and its number of rows. Only those that q has a use for are there, so that their size is bounded by that of
// the answer.
func (f *frame) columns(q *Query, rowsMax int) ([]frameColumn, int, error) {
	var wrong faults
	switch {
	case f.Records != nil && f.Split != nil:
		wrong.add("dataframe_split", "the request has dataframe_records too: give one of them")
	case f.Records == nil && f.Split == nil:
		wrong.add("dataframe_records", "nothing is asked for: give dataframe_records, or dataframe_split")
	case len(f.Records) > rowsMax:
		wrong.add("dataframe_records", "%s", tooManyRows(q, len(f.Records), rowsMax))
	case f.Split != nil && len(f.Split.Data) > rowsMax:
		wrong.add("dataframe_split.data", "%s", tooManyRows(q, len(f.Split.Data), rowsMax))
	case f.Split != nil:
		return f.split(q, &wrong), len(f.Split.Data), wrong.err()
	default:
		return f.records(q, &wrong), len(f.Records), wrong.err()
	}
	return nil, 0, wrong.err()
}

// tooManyRows says that a request asks for more than it may.
func tooManyRows(q *Query, rows, rowsMax int) string {
	return fmt.Sprintf("%d rows of %d values are more than one request may ask for: ask for %d rows at a time", rows, q.values(), rowsMax)
}

// faultsMax is how many names of no use a request is told of.
const faultsMax = 10

// records returns the columns of the records, by name.
func (f *frame) records(q *Query, wrong *faults) []frameColumn {
	first := map[string]int{} // the row in which a name was met
	for row, record := range f.Records {
		for name := range record {
			if _, met := first[name]; !met {
				first[name] = row
			}
		}
		if len(first) > len(q.names)+len(q.needed()) {
			break // some are of no use
		}
	}
	var columns []frameColumn
	for _, name := range slices.Sorted(maps.Keys(first)) {
		c := frameColumn{name: name, place: fmt.Sprintf("dataframe_records[%d].%s", first[name], name)}
		if !c.find(q, wrong) {
			continue
		}
		c.values, c.sent = make([]any, len(f.Records)), make([]bool, len(f.Records))
		for row, record := range f.Records {
			c.values[row], c.sent[row] = record[name]
		}
		columns = append(columns, c)
	}
	return columns
}

// split returns the columns of the split form, in their order.
func (f *frame) split(q *Query, wrong *faults) []frameColumn {
	columns, places := make([]frameColumn, len(f.Split.Columns)), map[string]string{}
	for i, name := range f.Split.Columns {
		c := frameColumn{name: name, place: fmt.Sprintf("dataframe_split.columns[%d]", i), values: make([]any, 0, len(f.Split.Data))}
		if other, twice := places[name]; twice {
			wrong.add(c.place, "column %s is %s already", name, other)
		}
		if places[name] = c.place; !c.find(q, wrong) || len(wrong.all) > 0 {
			return nil
		}
		columns[i] = c
	}
	for row, values := range f.Split.Data {
		if len(values) != len(columns) {
			wrong.add(fmt.Sprintf("dataframe_split.data[%d]", row), "it has %d values, and there are %d columns", len(values), len(columns))
			return nil
		}
		for i := range columns {
			columns[i].values = append(columns[i].values, values[i])
		}
	}
	return columns
}

// find looks for what q has of the column's name: an input, or a column of its answer, which the column overrides.
func (c *frameColumn) find(q *Query, wrong *faults) (found bool) {
	c.answer = -1
	if c.t, found = q.inputType(c.name); found {
		return true
	}
	if c.answer = slices.Index(q.names, c.name); c.answer >= 0 {
		c.t = q.typeOf(c.answer)
		return true
	}
	if len(wrong.all) < faultsMax {
		hint := nearest.Hint(c.name, q.names)
		if hint == "" {
			hint = neededHint(c.name, q.needed())
		}
		wrong.add(c.place, "%s has no column and no feature %q%s", q.subject, c.name, hint)
	}
	return false
}

// takeFrame turns the columns of a frame into inputs and overrides. An input has a value in every row, be it NULL; a column that overrides is looked up
// where it has none.
func (q *Query) takeFrame(columns []frameColumn, rows int) (inputs []Input, overrides []online.Override, err error) {
	var wrong faults
	for _, c := range columns {
		if missing := slices.Index(c.sent, false); c.answer < 0 && missing >= 0 {
			wrong.add(fmt.Sprintf("dataframe_records[%d]", missing), "there is no %s, which other rows have", c.name)
			continue
		}
		values, err := ReadJSON(c.t, c.values)
		switch {
		case err != nil:
			wrong.add(c.place, "%v", err)
		case c.answer < 0:
			inputs = append(inputs, Input{Name: c.name, Place: c.place, Values: values})
		default:
			overrides = append(overrides, online.Override{Column: c.name, Values: values, Sent: c.sent})
		}
	}
	for _, field := range q.needed() {
		if rows > 0 || slices.ContainsFunc(inputs, func(in Input) bool { return in.Name == field.Name }) {
			continue
		}
		none, err := ReadJSON(field.Type, nil) // a table without rows may have no columns either
		if err != nil {
			return nil, nil, err
		}
		inputs = append(inputs, Input{Name: field.Name, Values: none})
	}
	return inputs, overrides, wrong.err()
}

// typeOf returns the type of column i of the answer of a service.
func (q *Query) typeOf(i int) feature.Type {
	at := q.columns[i]
	if at.Ref < 0 {
		return q.service.Computed[at.Feature].Definition().Type
	}
	ref := &q.service.Refs[at.Ref]
	return ref.View.Features[ref.Features[at.Feature]].Type
}
