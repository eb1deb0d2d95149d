package pointintime

import (
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
)

// outputColumn is a column that an export adds to its spine: a feature, or after the features of a view the event times of its rows.
type outputColumn struct {
	feature.ServiceColumn
	times bool
}

// columns returns what the export adds to its spine, in order.
func (e *export) columns() []outputColumn {
	var out []outputColumn
	columns := e.svc.Columns(e.o.FullNames)
	for i, c := range columns {
		out = append(out, outputColumn{c, false})
		last := i+1 == len(columns) || columns[i+1].Ref != c.Ref
		if e.o.WithFeatureTimes && c.Ref >= 0 && last {
			c.Name = e.svc.PartName(c) + "__" + feature.EventTimeColumn
			out = append(out, outputColumn{c, true})
		}
	}
	return out
}

func (e *export) typeOf(c outputColumn) feature.Type {
	if c.times {
		return feature.Scalar(feature.Timestamp)
	}
	return e.svc.Definition(c.ServiceColumn).Type
}

func (e *export) typesOf(columns []outputColumn) (types []arrow.DataType) {
	for _, c := range columns {
		types = append(types, e.typeOf(c).Arrow())
	}
	return types
}

// hidden returns the types of what is looked up and computed for on-demand features alone.
func (e *export) hidden() []arrow.DataType {
	var types []arrow.DataType
	for i := range e.svc.Refs {
		for _, f := range e.svc.Refs[i].Inputs {
			types = append(types, e.svc.Refs[i].View.Features[f].Type.Arrow())
		}
	}
	for i := range e.svc.Computed {
		if c := &e.svc.Computed[i]; c.Place < 0 {
			types = append(types, c.Definition().Type.Arrow())
		}
	}
	return types
}

// compute returns the on-demand features of a chunk's rows, from what is taken of the spine and the answers of all refs.
func (e *export) compute(taken map[string]arrow.Array, answers []*Answer, rows int) ([]ondemand.Column, error) {
	in := ondemand.Inputs{Rows: rows, Columns: taken, Looked: make([][]arrow.Array, len(answers))}
	for i, a := range answers {
		for _, c := range a.Columns {
			in.Looked[i] = append(in.Looked[i], c.Values)
		}
	}
	computed, err := ondemand.Compute(e.svc, in)
	if err != nil {
		var at *expr.RowError
		if errors.As(err, &at) {
			at.Row += int(e.report.rows) - rows // of the spine, not of the chunk
		}
		return nil, feature.Errorf(feature.KindOf(err), "spine %s: %w", e.spinePath, err)
	}
	e.report.addComputed(computed)
	return computed, nil
}

// arrange puts a chunk's columns in the order of the output.
func (e *export) arrange(answers []*Answer, computed []ondemand.Column) []arrow.Array {
	var columns []arrow.Array
	for _, c := range e.columns() {
		switch {
		case c.times:
			columns = append(columns, featureTimes(answers[c.Ref]))
		case c.Ref < 0:
			columns = append(columns, computed[c.Feature].Values)
		default:
			columns = append(columns, answers[c.Ref].Columns[c.Feature].Values)
		}
	}
	return columns
}

// featureTimes returns the event times of an answer's rows, NULL where nothing was found.
func featureTimes(a *Answer) arrow.Array {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	b.Reserve(len(a.Rows))
	for i := range a.Rows {
		if a.Found(i) {
			b.UnsafeAppend(arrow.Timestamp(a.EventTimes[i]))
		} else {
			b.AppendNull()
		}
	}
	return b.NewArray()
}
