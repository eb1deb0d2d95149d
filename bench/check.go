package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

// errUnequal tells that two results differ which must not.
var errUnequal = errors.New("the results differ")

// taskCheckExport compares a training set, row by row, with what the generator of its data knows.
func taskCheckExport(ctx context.Context, t task) (o outcome, err error) {
	r, err := tabular.OpenReader(t.Out, tabular.ReaderOptions{})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c := &exportCheck{t: t}
	for i, row := range t.spineRows() {
		for c.at == c.rows {
			if err := c.load(ctx, r); err != nil {
				return o, fmt.Errorf("after %d rows of %d: %w", i, t.Spine, err)
			}
		}
		if column := c.differs(i, row); column != "" {
			return outcome{Unequal: fmt.Sprintf("%s of row %d", column, i)}, nil
		}
		c.at++
	}
	if _, err := r.Next(ctx); !errors.Is(err, io.EOF) || c.at < c.rows {
		return outcome{Unequal: "there are more rows than the spine has"}, nil
	}
	return outcome{Count: int64(t.Spine)}, nil
}

// exportCheck holds a batch of a training set.
type exportCheck struct {
	t        task
	at, rows int
	number   *array.Int64
	key      []arrow.Array
	time     *array.Timestamp
	label    *array.Float64
	features []*array.Float64
}

// load takes the next batch.
func (c *exportCheck) load(ctx context.Context, r tabular.Reader) error {
	batch, err := r.Next(ctx)
	if err != nil {
		return err
	}
	n := 1 + len(c.t.Shape.keyFields())
	at, err := tabular.Convert(batch.Column(n), timeColumn, feature.Scalar(feature.Timestamp), r.Where)
	if err != nil {
		return err
	}
	c.at, c.rows, c.key, c.features = 0, int(batch.NumRows()), batch.Columns()[1:n], nil
	number, isNumber := batch.Column(0).(*array.Int64)
	label, isLabel := batch.Column(n + 1).(*array.Float64)
	if !isNumber || !isLabel {
		return fmt.Errorf("the training set has another schema than its spine: %s", batch.Schema())
	}
	c.number, c.time, c.label = number, at.(*array.Timestamp), label
	for i, column := range batch.Columns()[n+2:] {
		values, ok := column.(*array.Float64)
		if !ok {
			return fmt.Errorf("feature %d of the training set is %s", i, column.DataType())
		}
		c.features = append(c.features, values)
	}
	if want := c.t.Shape.Views * c.t.Shape.Features; len(c.features) != want {
		return fmt.Errorf("the training set has %d features instead of %d", len(c.features), want)
	}
	return nil
}

// differs returns the column of the current row that is not what row says; "" if all are.
func (c *exportCheck) differs(i int, row spineRow) string {
	s := c.t.Shape
	if c.number.Value(c.at) != int64(i) {
		return rowColumn
	}
	for p, part := range s.key(row.key, row.known) {
		if keyPart(c.key[p], c.at) != part {
			return "key"
		}
	}
	if feature.Time(c.time.Value(c.at)) != row.time {
		return timeColumn
	}
	if c.label.Value(c.at) != row.label {
		return labelColumn
	}
	for v := range s.Views {
		newest := -1
		if row.known {
			newest = s.newest(v, row.key, row.time)
		}
		for f := range s.Features {
			column := c.features[v*s.Features+f]
			if column.IsNull(c.at) != (newest < 0) || newest >= 0 && column.Value(c.at) != s.value(v, row.key, newest, f) {
				return fmt.Sprintf("feature %d of view %d", f, v)
			}
		}
	}
	return ""
}

func keyPart(column arrow.Array, i int) any {
	switch c := column.(type) {
	case *array.Int64:
		return c.Value(i)
	case *array.String:
		return c.Value(i)
	}
	return nil
}
