package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/online"
)

// Asked is what a request asks for, whatever protocol it came by: a service, or features by name.
type Asked struct {
	Service   string        // its features, in its order
	Features  []FeatureName // for want of a service: these, in this order
	FullNames bool          // name each column of a service view__feature, also where the feature's own name would do
}

// FeatureName names a feature of a view.
type FeatureName struct{ View, Feature string }

// String returns view.feature.
func (n FeatureName) String() string { return n.View + "." + n.Feature }

// Query is what a request asks for, found in the definitions of its moment.
type Query struct {
	service   *feature.Service
	subject   string // how messages call it
	fullNames bool
	names     []string
	// order is for features by name: where column i stands in the service's answer. nil: the order is the service's.
	order []int
}

// Input is a column of a request: a part of each row's key, or a request field of each row.
type Input struct {
	Name   string
	Values arrow.Array // of exactly the field's type
	Place  string      // where it stands in the request, as the protocol calls it: keys[0]
}

// Answer has the columns that a query asks for, in its order.
type Answer struct {
	Rows    int
	Columns []online.Column
	// Views names, for each Ref of the columns, the view that it is, or the alias that the service gives it.
	Views []string
}

// Query finds what is asked for. What is not there is ErrNotFound; a request that asks for nothing, or twice, is a [*RequestError].
func (s *Server) Query(asked Asked) (*Query, error) {
	var f faults
	switch model := s.model(); {
	case asked.Service != "" && len(asked.Features) > 0:
		f.add("features", "ask for the service %s or for features by name, not for both", asked.Service)
	case asked.Service != "":
		svc, ok := model.Services[asked.Service]
		if !ok {
			return nil, notFound("service", asked.Service, model.Services)
		}
		return &Query{service: svc, subject: "service " + svc.Name, fullNames: asked.FullNames, names: columnNames(svc, asked.FullNames)}, nil
	case len(asked.Features) == 0:
		f.add("service", "nothing is asked for: give a service, or features by name")
	case asked.FullNames:
		f.add("full_names", "features by name are answered under the names they were asked by: leave full names out")
	default:
		return queryOf(model, asked.Features)
	}
	return nil, f.err()
}

func columnNames(svc *feature.Service, fullNames bool) []string {
	var names []string
	for i := range svc.Refs {
		for j := range svc.Refs[i].Features {
			names = append(names, svc.Refs[i].ColumnName(j, fullNames))
		}
	}
	return names
}

// queryOf makes up a service of the named features, one ref for each view.
func queryOf(model *Model, names []FeatureName) (*Query, error) {
	var f faults
	q := &Query{service: &feature.Service{Name: "of named features"}, subject: "the request"}
	refs, seen := map[string]int{}, map[FeatureName]int{}
	places := make([][2]int, len(names)) // ref, and which of its features
	for i, name := range names {
		if first, twice := seen[name]; twice {
			f.add(fmt.Sprintf("features[%d]", i), "%s is features[%d] already", name, first)
			continue
		}
		seen[name] = i
		view, ok := model.Views[name.View]
		if !ok {
			return nil, notFound("view", name.View, model.Views)
		}
		index := view.Feature(name.Feature)
		if index < 0 {
			var have []string
			for j := range view.Features {
				have = append(have, view.Features[j].Name)
			}
			return nil, feature.Errorf(feature.ErrNotFound, "view %s has no feature %s%s", name.View, name.Feature, nearest.Hint(name.Feature, have))
		}
		at, ok := refs[name.View]
		if !ok {
			at = len(q.service.Refs)
			refs[name.View] = at
			q.service.Refs = append(q.service.Refs, feature.Ref{View: view, KeyColumns: keyNames(view)})
		}
		ref := &q.service.Refs[at]
		places[i] = [2]int{at, len(ref.Features)}
		ref.Features = append(ref.Features, index)
		q.names = append(q.names, name.String())
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	starts, start := make([]int, len(q.service.Refs)), 0
	for i := range q.service.Refs {
		starts[i] = start
		start += len(q.service.Refs[i].Features)
	}
	for _, p := range places {
		q.order = append(q.order, starts[p[0]]+p[1])
	}
	return q, nil
}

func keyNames(v *feature.View) []string {
	names := make([]string, len(v.Keys))
	for i := range names {
		names[i] = v.Keys[i].Name
	}
	return names
}

func notFound[T any](what, name string, have map[string]T) error {
	candidates := slices.Sorted(maps.Keys(have))
	hint := nearest.Hint(name, candidates)
	if hint == "" && len(candidates) > 0 && len(candidates) <= 10 {
		hint = ": there are " + strings.Join(candidates, ", ")
	}
	return feature.Errorf(feature.ErrNotFound, "there is no %s %q%s", what, name, hint)
}

// Names returns the names of the answer's columns, in order.
func (q *Query) Names() []string { return q.names }

// Keys returns the key columns that a request has to give, in order of first use.
func (q *Query) Keys() []feature.Field { return q.service.KeyFields() }

// input returns the type of the named column that the query takes.
func (q *Query) input(name string) (feature.Type, bool) {
	for _, field := range q.Keys() {
		if field.Name == name {
			return field.Type, true
		}
	}
	return feature.Type{}, false
}

// Answer looks up what q asks for, for each row of inputs: the keys, in any order. It reports all that is wrong with them
// at once as a [*RequestError], each fault with its place.
func (s *Server) Answer(ctx context.Context, q *Query, inputs []Input) (*Answer, error) {
	columns, rows, err := q.columns(inputs)
	if err != nil {
		return nil, err
	}
	if n := len(q.names); n > 0 && rows > s.options.MaxValues/n {
		var f faults
		f.add("keys", "%d rows of %d features are more than the %d values of one request: ask for %d rows at a time", rows, n, s.options.MaxValues, s.options.MaxValues/n)
		return nil, f.err()
	}
	found, err := s.store.Lookup(ctx, q.service, columns, feature.TimeOf(s.options.Now()), q.fullNames)
	if err != nil {
		return nil, err
	}
	a := &Answer{Rows: found.Rows, Columns: found.Columns}
	for i := range q.service.Refs {
		a.Views = append(a.Views, q.service.Refs[i].Name())
	}
	if q.order != nil {
		a.Columns = make([]online.Column, len(q.order))
		for i, from := range q.order {
			a.Columns[i] = found.Columns[from]
			a.Columns[i].Name = q.names[i]
		}
	}
	return a, nil
}

// columns turns inputs into the columns that the store takes, and returns their number of rows.
func (q *Query) columns(inputs []Input) (map[string]arrow.Array, int, error) {
	var f faults
	keys := q.Keys()
	columns, rows, places := make(map[string]arrow.Array, len(inputs)), -1, make(map[string]string, len(inputs))
	for _, in := range inputs {
		t, known := q.input(in.Name)
		if first, twice := places[in.Name]; twice {
			f.add(in.Place, "column %s is %s already", in.Name, first)
			continue
		}
		places[in.Name] = in.Place
		switch {
		case !known:
			f.add(in.Place, "%s", q.unknown(in.Name))
			continue
		case !arrow.TypeEqual(in.Values.DataType(), t.Arrow()):
			f.add(in.Place, "column %s has %d values of type %s, %s needs %s", in.Name, in.Values.Len(), typeName(in.Values), q.subject, t)
			continue
		case rows < 0:
			rows = in.Values.Len()
		case in.Values.Len() != rows:
			f.add(in.Place, "column %s has %d rows, the columns before it have %d: all need the same number", in.Name, in.Values.Len(), rows)
		}
		columns[in.Name] = in.Values
	}
	for _, field := range keys {
		if _, given := places[field.Name]; !given {
			f.add("keys", "%s needs the key column %s (%s)", q.subject, field.Name, field.Type)
		}
	}
	if len(keys) == 0 {
		rows = 1
	}
	return columns, rows, f.err()
}

// unknown says that q takes no column of a name.
func (q *Query) unknown(name string) string {
	var needed []string
	for _, field := range q.Keys() {
		needed = append(needed, field.Name)
	}
	hint := nearest.Hint(name, needed)
	switch {
	case len(needed) == 0:
		hint = ": it takes no keys"
	case hint == "":
		hint = ": it needs " + strings.Join(needed, ", ")
	}
	return fmt.Sprintf("%s has no key column %q%s", q.subject, name, hint)
}

func typeName(column arrow.Array) string {
	if t, ok := feature.TypeOfArrow(column.DataType()); ok {
		return t.String()
	}
	return column.DataType().String()
}
