package server

import (
	"context"
	"errors"
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

// Query is what a request asks for, found in the definitions of its moment. It does not change, and serves all requests that ask for the same.
type Query struct {
	asked   Asked
	model   *Model // that it was found in
	service *feature.Service
	subject string          // how messages call it
	keys    []feature.Field // that the service takes
	fields  []feature.Field
	columns []feature.ServiceColumn // of the service
	names   []string                // of the answer's columns
	origins []string                // of them
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
	Columns []*online.Column
	// Origins name, for each of Columns, the view or the on-demand entry that it is a feature of, or the alias that the service gives that.
	Origins []string
}

// Query finds what is asked for. What is not there is ErrNotFound; a request that asks for nothing, or twice, is a [*RequestError].
func (s *Server) Query(asked Asked) (*Query, error) {
	var f faults
	model := s.model()
	switch {
	case asked.Service != "" && len(asked.Features) > 0:
		f.add("features", "ask for the service %s or for features by name, not for both", asked.Service)
	case asked.Service != "":
		svc, ok := model.Services[asked.Service]
		if !ok {
			return nil, notFound("service", asked.Service, model.Services)
		}
		return model.query(svc, asked.FullNames), nil
	case len(asked.Features) == 0:
		f.add("service", "nothing is asked for: give a service, or features by name")
	case asked.FullNames:
		f.add("full_names", "features by name are answered under the names they were asked by: leave full names out")
	default:
		return queryOfNames(model, asked.Features)
	}
	return nil, f.err()
}

// query returns the query of a service, which is made once.
func (m *Model) query(svc *feature.Service, fullNames bool) *Query {
	asked := serviceNamed{svc.Name, fullNames}
	if made, is := m.queries.Load(asked); is {
		return made.(*Query)
	}
	q := &Query{asked: Asked{Service: svc.Name, FullNames: fullNames}, model: m, service: svc, subject: "service " + svc.Name, columns: svc.Columns(fullNames)}
	for _, c := range q.columns {
		q.names, q.origins = append(q.names, c.Name), append(q.origins, originOf(svc, c))
	}
	q.keys, q.fields = svc.KeyFields(), svc.RequestFields()
	m.queries.Store(asked, q)
	return q
}

// serviceNamed is a service and how its columns are named.
type serviceNamed struct {
	service   string
	fullNames bool
}

// originOf returns what a column of svc is a feature of.
func originOf(svc *feature.Service, c feature.ServiceColumn) string {
	if c.Ref < 0 {
		return svc.Computed[c.Feature].Name()
	}
	return svc.Refs[c.Ref].Name()
}

// Names returns the names of the answer's columns, in order.
func (q *Query) Names() []string { return q.names }

// Keys returns the key columns that a request has to give, in order of first use.
func (q *Query) Keys() []feature.Field { return q.keys }

// Fields returns the request fields that a request has to give beside the keys, in order of first use.
func (q *Query) Fields() []feature.Field { return q.fields }

// Answer looks up what q asks for, for each row of inputs: the keys and request fields, in any order. It reports all that is wrong with them
// at once as a [*RequestError], each fault with its place.
func (s *Server) Answer(ctx context.Context, q *Query, inputs []Input, overrides ...online.Override) (*Answer, error) {
	columns, rows, err := q.take(inputs)
	if err != nil {
		return nil, err
	}
	if most := s.rowsMax(q); rows > most {
		var f faults
		f.add("keys", "%d rows of %d features are more than the %d values of one request: ask for %d rows at a time, or stream them", rows, q.values(), s.options.MaxValues, most)
		return nil, f.err()
	}
	return s.lookup(ctx, q, columns, overrides...)
}

// rowsMax returns how many rows of q one request may ask for.
func (s *Server) rowsMax(q *Query) int { return s.options.MaxValues / max(1, q.values()) }

// values returns how many values a row of q takes: those that are looked up, and those that are computed of them.
func (q *Query) values() int {
	n := len(q.service.Computed)
	for i := range q.service.Refs {
		n += len(q.service.Refs[i].Lookups())
	}
	return n
}

// lookupsMax bounds how often a request is looked up, since other definitions of its views may be published meanwhile.
const lookupsMax = 4

// lookup returns the answer for columns that take has taken.
func (s *Server) lookup(ctx context.Context, q *Query, columns map[string]arrow.Array, overrides ...online.Override) (*Answer, error) {
	for n := 1; ; n++ {
		answer, err := s.lookupBy(ctx, q, columns, overrides)
		var redefined *online.RedefinedError
		if n == lookupsMax || s.options.Refit == nil || !errors.As(err, &redefined) {
			return answer, err
		}
		if err := s.options.Refit(ctx); err != nil {
			return nil, err
		}
		if s.model() == q.model {
			return nil, redefined // there are no definitions by which the values were published
		}
		if q, err = s.Query(q.asked); err != nil {
			return nil, err
		}
	}
}

// lookupBy looks up by the definitions that q was found in.
func (s *Server) lookupBy(ctx context.Context, q *Query, columns map[string]arrow.Array, overrides []online.Override) (*Answer, error) {
	found, err := s.store.Lookup(ctx, q.service, columns, feature.TimeOf(s.options.Now()), q.asked.FullNames, overrides...)
	if err != nil {
		return nil, err
	}
	a := &Answer{Rows: found.Rows, Columns: found.Columns, Origins: q.origins}
	if q.order == nil {
		return a, nil
	}
	a.Columns = make([]*online.Column, len(q.order))
	for i, from := range q.order {
		a.Columns[i] = found.Columns[from]
		a.Columns[i].Name = q.names[i]
	}
	return a, nil
}

// inputsMax bounds the columns of a request, each of which may be a fault with a message: far above what services take.
const inputsMax = 1000

// take turns inputs into the columns that the store takes, and returns their number of rows.
func (q *Query) take(inputs []Input) (map[string]arrow.Array, int, error) {
	var f faults
	if len(inputs) > inputsMax {
		f.add(inputs[inputsMax].Place, "the request has %d columns, it may have %d", len(inputs), inputsMax)
		return nil, 0, f.err()
	}
	needed := slices.Concat(q.keys, q.fields)
	columns, rows, first, places := make(map[string]arrow.Array, len(inputs)), -1, "", make(map[string]string, len(inputs))
	for _, in := range inputs {
		at := slices.IndexFunc(needed, func(f feature.Field) bool { return f.Name == in.Name })
		if other, twice := places[in.Name]; twice {
			f.add(in.Place, "column %s is %s already", in.Name, other)
			continue
		}
		places[in.Name] = in.Place
		switch {
		case at < 0:
			f.add(in.Place, "%s has no column %q%s", q.subject, in.Name, neededHint(in.Name, needed))
			continue
		case !arrow.TypeEqual(in.Values.DataType(), needed[at].Type.Arrow()):
			f.add(in.Place, "column %s has %d values of type %s, %s needs %s", in.Name, in.Values.Len(), typeName(in.Values), q.subject, needed[at].Type)
			continue
		case rows < 0:
			rows, first = in.Values.Len(), in.Name
		case in.Values.Len() != rows:
			f.add(in.Place, "column %s has %d rows, %s has %d: all need the same number", in.Name, in.Values.Len(), first, rows)
		}
		columns[in.Name] = in.Values
	}
	for _, field := range q.keys {
		if _, given := places[field.Name]; !given {
			f.add("keys", "%s needs the key column %s (%s)", q.subject, field.Name, field.Type)
		}
	}
	for _, field := range q.fields {
		if _, given := places[field.Name]; !given {
			f.add("fields", "%s needs the request field %s (%s)", q.subject, field.Name, field.Type)
		}
	}
	if len(needed) == 0 {
		rows = 1
	}
	return columns, rows, f.err()
}

// neededHint tells which column may have been meant by a name that is not needed.
func neededHint(name string, needed []feature.Field) string {
	names := make([]string, len(needed))
	for i := range needed {
		names[i] = needed[i].Name
	}
	hint := nearest.Hint(name, names)
	switch {
	case len(needed) == 0:
		return ": it takes no keys"
	case hint == "":
		return ": it needs " + strings.Join(names, ", ")
	}
	return hint
}

func typeName(column arrow.Array) string {
	if t, ok := feature.TypeOfArrow(column.DataType()); ok {
		return t.String()
	}
	return column.DataType().String()
}
