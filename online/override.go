package online

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/ondemand"
)

// Override has values that take the place of what a lookup has found for a column of its answer, before on-demand features are computed from it.
// The feature's default takes that of a NULL among them, as it does with what is stored.
type Override struct {
	Column string      // the name of a column of the answer
	Values arrow.Array // of the feature's type, a value for each row
	Sent   []bool      // the rows whose values count; nil: all
}

// overriding are the overrides of a lookup, by what they override.
type overriding map[feature.ServiceColumn]*Override

// newOverriding finds what overrides are for.
func newOverriding(svc *feature.Service, overrides []Override, fullNames bool) (overriding, error) {
	if len(overrides) == 0 {
		return nil, nil
	}
	found, columns := overriding{}, svc.Columns(fullNames)
	for i := range overrides {
		o := &overrides[i]
		at := slices.IndexFunc(columns, func(c feature.ServiceColumn) bool { return c.Name == o.Column })
		if at < 0 {
			return nil, feature.Errorf(feature.ErrInvalid, "service %s has no column %s to override", svc.Name, o.Column)
		}
		columns[at].Name = ""
		found[columns[at]] = o
	}
	return found, nil
}

// apply puts values in place of those of a column, if there are any for it; at has no name.
func (o overriding) apply(at feature.ServiceColumn, values *arrow.Array, statuses *[]feature.Status, of *feature.Feature) error {
	by := o[at]
	if by == nil {
		return nil
	}
	if !arrow.TypeEqual(by.Values.DataType(), of.Type.Arrow()) || by.Values.Len() != (*values).Len() {
		return feature.Errorf(feature.ErrInvalid, "column %s is overridden by %d values of %s, it has %d of %s",
			by.Column, by.Values.Len(), by.Values.DataType(), (*values).Len(), of.Type)
	}
	b := array.NewBuilder(memory.DefaultAllocator, of.Type.Arrow())
	if err := feature.AppendValue(b, of.Default); err != nil {
		return feature.Errorf(feature.ErrInternal, "default of feature %s: %w", of.Name, err)
	}
	const looked, sent, byDefault = 0, 1, 2
	n := by.Values.Len()
	from, row, all := make([]int32, n), make([]int32, n), make([]feature.Status, n)
	for i := range from {
		from[i], row[i], all[i] = sent, int32(i), feature.Present
		switch {
		case by.Sent != nil && !by.Sent[i]:
			from[i], all[i] = looked, (*statuses)[i]
		case by.Values.IsNull(i):
			from[i], row[i], all[i] = byDefault, 0, feature.Null
		}
	}
	*values, *statuses = interleave.Rows([]arrow.Array{*values, by.Values, b.NewArray()}, from, row), all
	return nil
}

// looked applies o to the columns of the service's refs.
func (o overriding) looked(svc *feature.Service, columns [][]*Column) error {
	for at := range o {
		if at.Ref < 0 {
			continue
		}
		c, ref := columns[at.Ref][at.Feature], &svc.Refs[at.Ref]
		values, statuses := c.Values(), c.Statuses
		if err := o.apply(at, &values, &statuses, &ref.View.Features[ref.Features[at.Feature]]); err != nil {
			return err
		}
		c.Replace(values, statuses)
	}
	return nil
}

// computed applies o to the column of svc.Computed[i].
func (o overriding) computed(svc *feature.Service, i int, c *ondemand.Column) error {
	return o.apply(feature.ServiceColumn{Ref: -1, Feature: i}, &c.Values, &c.Statuses, &svc.Computed[i].Definition().Feature)
}
