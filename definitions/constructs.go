package definitions

import (
	"context"
	"errors"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
	"go.yaml.in/yaml/v4"
)

// entity builds an entity of the model.
func (l *loader) entity(o object) {
	name := l.entities.define(o)
	e := &Entity{Name: name, Notes: o.notes()}
	taken := map[string]string{}
	given := 0
	if n := o.get("keys"); n != nil {
		given = len(n.Content) / 2
	}
	for _, p := range o.pairs("keys") {
		t, err := feature.ParseType(p.value.Value)
		if err != nil || !o.columnName(p.key, "key", taken) {
			continue // a type that is none is a fault of shape
		}
		e.Keys = append(e.Keys, feature.Field{Name: p.key.Value, Type: t})
	}
	if len(e.Keys) == given { // else what refers to its keys would be faulty for no fault of its own
		define(l.entityOf, name, e)
	}
	l.model.Entities = append(l.model.Entities, e)
}

// define notes a construct under its name; the first of that name stays.
func define[T any](known map[string]T, name string, construct T) {
	if _, taken := known[name]; !taken && name != "" {
		known[name] = construct
	}
}

// columnName checks that the name at n can be a column of stored history beside those taken, and takes it.
func (o object) columnName(n *yaml.Node, noun string, taken map[string]string) bool {
	lower := strings.ToLower(n.Value)
	if lower == feature.EventTimeColumn || lower == feature.CreatedTimeColumn {
		o.c.fault(n, "choose another name; a feature takes the column of that name with column: "+n.Value,
			"%s: a %s cannot be called %s, which stored rows use for their times", o.label, noun, n.Value)
		return false
	}
	return o.free(n, noun, taken)
}

// free checks that the name at n is none of those taken, and takes it.
func (o object) free(n *yaml.Node, noun string, taken map[string]string) bool {
	lower := strings.ToLower(n.Value)
	if taken[lower] != "" {
		o.c.fault(n, "choose another name; upper and lower case count as one", "%s: the name %s is taken by %s", o.label, n.Value, taken[lower])
		return false
	}
	taken[lower] = noun + " " + n.Value
	return true
}

// separable checks that the name of a view or alias can stand before __ in a column view__feature.
func (o object) separable(n *yaml.Node, noun string) {
	if n == nil || !strings.Contains(n.Value, "__") && !strings.HasSuffix(n.Value, "_") {
		return
	}
	o.c.fault(n, "use single underscores, inside the name", "%s: the %s %s contains __ or ends with _, which separates view and feature in column names",
		o.label, noun, n.Value)
}

// source builds a source of the model and looks at its columns.
func (l *loader) source(o object) {
	name := l.sources.define(o)
	s := &Source{Notes: o.notes()}
	s.Name, s.Root = name, l.model.Root
	var glob *yaml.Node
	s.Glob, glob = o.text("parquet")
	if rows, _ := o.text("bad_rows"); rows == "skip" {
		s.BadRows = source.BadRowsSkip
	}
	s.EventTime, _ = o.text("event_time")
	s.CreatedTime, _ = o.text("created_time")
	define(l.sourceOf, name, s)
	l.model.Sources = append(l.model.Sources, s)
	if glob == nil {
		return
	}
	schema, err := l.opts.SchemaOf(s.Spec)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		l.ended = err
		return
	case err != nil:
		o.c.fault(glob, "", "%s: %s", o.label, strings.TrimPrefix(err.Error(), o.label+": "))
		return
	}
	s.Schema = schema
	o.timeColumn("event_time", schema)
	o.timeColumn("created_time", schema)
}

// timeColumn checks that the column that a field of a source names is there and holds instants.
func (o object) timeColumn(field string, schema *source.Schema) {
	column, n := o.text(field)
	if n == nil {
		return
	}
	timestamp := feature.Scalar(feature.Timestamp)
	switch t, ok := schema.Type(column); {
	case !ok:
		if problem := unreadable(schema, column); problem != nil {
			o.c.fault(n, "", "%s: the %s: %s", o.label, field, problem)
			return
		}
		o.c.fault(n, didYouMean(column, "its columns", schema.Names()), "%s has no column %s for its %s", o.label, column, field)
	case !readsAs(t, timestamp):
		o.c.fault(n, "take a column of timestamps or dates", "%s: the %s column %s is %s, not a timestamp", o.label, field, column, typeName(t))
	}
}

// unreadable returns why a column cannot be read that files have all the same, such as one of clashing types. For one that is not
// there definitions have hints of their own.
func unreadable(schema *source.Schema, column string) error {
	if problem := schema.Problem(column); feature.KindOf(problem) != feature.ErrNotFound {
		return problem
	}
	return nil
}

// problemOf is unreadable as a message that names the source, "" for none.
func problemOf(s *Source, column string) string {
	if problem := unreadable(s.Schema, column); problem != nil {
		return "source " + s.Name + ": " + problem.Error()
	}
	return ""
}

// readsAs reports whether a column of type t is read as the wanted type without being asked to: as itself or a wider
// type, bytes as the text that they are, and a column of NULLs (the zero Type) as anything.
func readsAs(t, wanted feature.Type) bool {
	return t.Kind == 0 || widens(t, wanted) || t.List == wanted.List && t.Kind == feature.Bytes && wanted.Kind == feature.String
}

// widens reports whether wanted is t, or a type that holds t's every value (for int64 in float64, nearly).
func widens(t, wanted feature.Type) bool {
	if t == wanted {
		return true
	}
	if t.List != wanted.List {
		return false
	}
	switch wanted.Kind {
	case feature.Int64:
		return t.Kind == feature.Int32
	case feature.Float64:
		return t.Kind == feature.Int32 || t.Kind == feature.Int64 || t.Kind == feature.Float32
	}
	return false
}

// typeName returns t for messages.
func typeName(t feature.Type) string {
	if t.Kind == 0 {
		return "NULL in every row"
	}
	return t.String()
}
