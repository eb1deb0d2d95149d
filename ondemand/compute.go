package ondemand

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
)

// Column holds one feature's values with its default in place of NULL, and a status for each: PRESENT or NULL.
type Column struct {
	Values   arrow.Array
	Statuses []feature.Status
}

// Inputs are the columns that on-demand features of a service are computed from, all of as many rows.
type Inputs struct {
	Rows int
	// Columns are the key columns and the request fields by name.
	Columns map[string]arrow.Array
	// Looked has, for each of the service's Refs, the values of its Lookups with defaults in place of NULL.
	Looked [][]arrow.Array
	// Override may put other values into the column of svc.Computed[i], before others are computed from it; nil: nothing does.
	Override func(i int, computed *Column) error
}

// Error tells which feature could not be computed. It has the kind of Err.
type Error struct {
	Service, OnDemand, Feature string
	Err                        error // what the program said, which names the row
}

// Error names service, feature, row and fault.
func (e *Error) Error() string {
	return fmt.Sprintf("service %s, on-demand feature %s.%s: %v", e.Service, e.OnDemand, e.Feature, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Compute returns the columns of svc.Computed, in that order. A value that cannot be computed, an integer that overflows, is an *[Error] of kind
// ErrInvalid.
func Compute(svc *feature.Service, in Inputs) ([]Column, error) {
	columns := make([]Column, len(svc.Computed))
	for i := range svc.Computed {
		c := &svc.Computed[i]
		definition := c.Definition()
		read := func(name string) arrow.Array {
			for j := range definition.Inputs {
				if definition.Inputs[j].Column == name {
					return in.column(c.Sources[j], columns)
				}
			}
			return nil
		}
		values, err := definition.Program.Eval(read, in.Rows)
		if err != nil {
			return nil, &Error{Service: svc.Name, OnDemand: c.OnDemand.Name, Feature: definition.Name, Err: err}
		}
		if columns[i], err = complete(values, definition.Default); err != nil {
			return nil, feature.Errorf(feature.ErrInternal, "default of on-demand feature %s.%s: %w", c.OnDemand.Name, definition.Name, err)
		}
		if in.Override == nil {
			continue
		}
		if err := in.Override(i, &columns[i]); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// column returns what a source stands for; computed are the on-demand features so far.
func (in *Inputs) column(s feature.Source, computed []Column) arrow.Array {
	switch {
	case s.Column != "":
		return in.Columns[s.Column]
	case s.Ref < 0:
		return computed[s.Feature].Values
	}
	return in.Looked[s.Ref][s.Feature]
}

// complete puts the default in place of NULL and tells which values were there.
func complete(values arrow.Array, fallback any) (Column, error) {
	c := Column{Values: values, Statuses: make([]feature.Status, values.Len())}
	for i := range c.Statuses {
		c.Statuses[i] = feature.Present
		if values.IsNull(i) {
			c.Statuses[i] = feature.Null
		}
	}
	if fallback == nil || values.NullN() == 0 {
		return c, nil
	}
	b := array.NewBuilder(memory.DefaultAllocator, values.DataType())
	if err := feature.AppendValue(b, fallback); err != nil {
		return c, err
	}
	from, row := make([]int32, values.Len()), make([]int32, values.Len())
	for i := range from {
		row[i] = int32(i)
		if values.IsNull(i) {
			from[i], row[i] = 1, 0
		}
	}
	c.Values = interleave.Rows([]arrow.Array{values, b.NewArray()}, from, row)
	return c, nil
}
