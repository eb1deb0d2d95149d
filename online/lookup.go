package online

import (
	"context"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
)

// Answer is what the store knows for the keys of a request.
type Answer struct {
	Rows    int
	Columns []*Column // in the service's order
}

// Lookup answers a request for the features of svc as of now. columns has one for each of svc.KeyFields() and svc.RequestFields(), all of one
// length, which is the number of rows of the answer; where svc has neither there is one row. A missing, unknown or unfit column is ErrInvalid, and so is
// an on-demand feature that cannot be computed, whose error names it and the row.
// All views are read in one snapshot, and each key of a view once, however often it is asked for. Overrides have as many rows as columns do; where svc
// takes no columns, it is they that give the number.
func (s *Store) Lookup(ctx context.Context, svc *feature.Service, columns map[string]arrow.Array, now feature.Time, fullNames bool, overrides ...Override) (*Answer, error) {
	rows, err := checkColumns(svc, columns)
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 && len(overrides) > 0 {
		rows = overrides[0].Values.Len()
	}
	looked, err := s.look(ctx, svc, columns, rows, now)
	if err != nil {
		return nil, err
	}
	given, err := newOverriding(svc, overrides, fullNames)
	if err != nil {
		return nil, err
	}
	if err := given.looked(svc, looked); err != nil {
		return nil, err
	}
	computed, err := compute(svc, columns, looked, rows, given)
	if err != nil {
		return nil, err
	}
	order := svc.Columns(fullNames)
	a := &Answer{Rows: rows, Columns: make([]*Column, 0, len(order))}
	for _, c := range order {
		from := computed
		if c.Ref >= 0 {
			from = looked[c.Ref]
		}
		column := from[c.Feature]
		column.Name, column.Ref = c.Name, c.Ref
		a.Columns = append(a.Columns, column)
	}
	return a, nil
}

// compute returns the columns of svc.Computed.
func compute(svc *feature.Service, columns map[string]arrow.Array, looked [][]*Column, rows int, given overriding) ([]*Column, error) {
	if len(svc.Computed) == 0 {
		return nil, nil
	}
	in := ondemand.Inputs{Rows: rows, Columns: columns, Looked: make([][]arrow.Array, len(looked)),
		Override: func(i int, c *ondemand.Column) error { return given.computed(svc, i, c) }}
	for i := range looked {
		for j := range looked[i] {
			in.Looked[i] = append(in.Looked[i], looked[i][j].Values())
		}
	}
	values, err := ondemand.Compute(svc, in)
	if err != nil {
		return nil, err
	}
	computed, found, events := make([]*Column, len(values)), make([]bool, rows), make([]feature.Time, rows)
	for i, v := range values {
		computed[i] = &Column{Type: svc.Computed[i].Definition().Type, values: v.Values, Statuses: v.Statuses, Found: found, EventTimes: events}
	}
	return computed, nil
}

// checkColumns returns the number of rows that columns ask for.
func checkColumns(svc *feature.Service, columns map[string]arrow.Array) (rows int, err error) {
	keys := svc.KeyFields()
	fields := append(keys, svc.RequestFields()...)
	for i, f := range fields {
		what := "key column"
		if i >= len(keys) {
			what = "request field"
		}
		column, ok := columns[f.Name]
		switch {
		case !ok:
			return 0, feature.Errorf(feature.ErrInvalid, "service %s needs the %s %s (%s)", svc.Name, what, f.Name, f.Type)
		case !arrow.TypeEqual(column.DataType(), f.Type.Arrow()):
			return 0, feature.Errorf(feature.ErrInvalid, "%s %s holds %s, service %s needs %s", what, f.Name, column.DataType(), svc.Name, f.Type)
		case i == 0:
			rows = column.Len()
		case column.Len() != rows:
			return 0, feature.Errorf(feature.ErrInvalid, "%s %s has %d values, %s has %d: all need the same number", what, f.Name, column.Len(), fields[0].Name, rows)
		}
	}
	for i := range svc.Refs {
		for j, key := range svc.Refs[i].View.Keys {
			// A column may serve several views, which then have to agree on its type.
			if name := svc.Refs[i].KeyColumns[j]; !arrow.TypeEqual(columns[name].DataType(), key.Type.Arrow()) {
				return 0, feature.Errorf(feature.ErrInvalid, "key column %s holds %s, view %s needs %s: ask for its features apart, or map its key to another column",
					name, columns[name].DataType(), svc.Refs[i].Name(), key.Type)
			}
		}
	}
	if len(fields) == 0 {
		rows = 1
	}
	if len(columns) == len(fields) {
		return rows, nil
	}
	for name := range columns {
		known := slices.ContainsFunc(fields, func(f feature.Field) bool { return f.Name == name })
		if !known && len(fields) == 0 {
			return 0, feature.Errorf(feature.ErrInvalid, "service %s takes no keys, %s is one", svc.Name, name)
		}
		if !known {
			var needed []string
			for _, f := range fields {
				needed = append(needed, f.Name+" ("+f.Type.String()+")")
			}
			return 0, feature.Errorf(feature.ErrInvalid, "service %s takes no column %s: it needs %s", svc.Name, name, strings.Join(needed, ", "))
		}
	}
	return rows, nil
}

// look returns the columns of the refs of svc.
func (s *Store) look(ctx context.Context, svc *feature.Service, columns map[string]arrow.Array, rows int, now feature.Time) ([][]*Column, error) {
	sc := s.takeScratch()
	defer s.giveBack(sc)
	for i := range svc.Refs {
		ref := &svc.Refs[i]
		q := question{view: ref.View}
		if i > 0 && slices.Equal(ref.KeyColumns, svc.Refs[i-1].KeyColumns) {
			q.keys = sc.questions[i-1].keys
		} else {
			q.keys = sc.encodeKeys(ref, columns, rows)
		}
		sc.questions = append(sc.questions, q)
	}
	if err := s.fetch(ctx, sc); err != nil {
		return nil, err
	}
	looked := make([][]*Column, len(svc.Refs))
	for i := range looked {
		var err error
		if looked[i], err = sc.questions[i].answer(svc.Refs[i].Lookups(), now); err != nil {
			return nil, err
		}
	}
	return looked, nil
}

// encodeKeys returns the entity keys of ref, nil where a part is NULL.
func (sc *scratch) encodeKeys(ref *feature.Ref, columns map[string]arrow.Array, rows int) []feature.Key {
	first := len(sc.keys)
	for i := range rows {
		from, ok := len(sc.encoded), len(ref.KeyColumns) > 0
		for _, name := range ref.KeyColumns {
			var part feature.Key
			if part, ok = feature.AppendKeyPart(sc.encoded, columns[name], i); !ok {
				break
			}
			sc.encoded = part
		}
		var key feature.Key
		if ok {
			key = feature.Key(sc.encoded[from:len(sc.encoded):len(sc.encoded)])
		} else {
			sc.encoded = sc.encoded[:from]
		}
		sc.keys = append(sc.keys, key)
	}
	return sc.keys[first:len(sc.keys):len(sc.keys)]
}
