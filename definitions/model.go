package definitions

import (
	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
)

// Model is a set of definitions without fault. It is not changed after Load and may be shared.
type Model struct {
	// Root is the absolute path of the directory that the sources' relative globs start from.
	Root string
	// The constructs in the order of the files (by name) and of each file.
	Entities []*Entity
	Sources  []*Source
	Views    []*View
	OnDemand []*OnDemand
	Services []*Service
	// Hash identifies what the definitions mean. It does not change with the layout of the files, comments, the
	// order of constructs, or Root.
	Hash string

	files []textFile
}

// View returns the named view; feature.ErrNotFound, with the nearest name, when there is none.
func (m *Model) View(name string) (*View, error) {
	return find(m.Views, "view", name, func(v *View) string { return v.Name })
}

// Service returns the named service; feature.ErrNotFound, with the nearest name, when there is none.
func (m *Model) Service(name string) (*Service, error) {
	return find(m.Services, "service", name, func(s *Service) string { return s.Name })
}

func find[T any](list []T, noun, name string, nameOf func(T) string) (found T, err error) {
	names := make([]string, 0, len(list))
	for _, x := range list {
		if nameOf(x) == name {
			return x, nil
		}
		names = append(names, nameOf(x))
	}
	hint := didYouMean(name, noun+"s", names)
	if hint == "" {
		hint = "none is defined"
	}
	return found, feature.Errorf(feature.ErrNotFound, "no %s %q: %s", noun, name, hint)
}

// Notes is what a construct says to people.
type Notes struct {
	Description, Owner string
	Tags               map[string]string
}

// Entity is what features describe.
type Entity struct {
	Name string
	Keys []feature.Field // in key order; empty for a global entity
	Notes
}

// Source is a table in Parquet.
type Source struct {
	source.Spec
	// Schema holds the columns as they were when the definitions were checked.
	Schema *source.Schema
	Notes
}

// View is a view with where its rows come from.
type View struct {
	*feature.View
	Notes
	Entity *Entity
	Source *Source
	// KeyColumns names the source column of each of Keys.
	KeyColumns []string
	// Where tells which rows belong to the view; nil for all.
	Where *expr.Program
	// Programs gives, for each of Features, the program whose value it is, of exactly the feature's type. nil for a windowed view.
	Programs []*expr.Program
	// Inputs are the different values that go into the aggregations of a windowed view, and InputPrograms what they are
	// computed with, of exactly their types: NULL for rows that an aggregation leaves out.
	Inputs        []feature.Field
	InputPrograms []*expr.Program
	// ScheduleText is the schedule as written; "" for none.
	ScheduleText string
	// File and Line are where the view is defined.
	File string
	Line int

	columns []feature.Field
}

// SourceKeys returns what to ask of source.Read as Request.Keys: the source column of each key part, with the type of
// the entity's key.
func (v *View) SourceKeys() []feature.Field {
	fields := make([]feature.Field, len(v.Keys))
	for i, k := range v.Keys {
		fields[i] = feature.Field{Name: v.KeyColumns[i], Type: k.Type}
	}
	return fields
}

// SourceColumns returns what to ask of source.Read as Request.Columns: every column that Where, or one of Programs or
// InputPrograms, refers to, once, sorted by name, with the type that they were compiled for. A column may be a key or time column too.
func (v *View) SourceColumns() []feature.Field {
	return append([]feature.Field(nil), v.columns...)
}

// Service is a named list of features that a model takes.
type Service struct {
	*feature.Service
	Notes
	// views are, by on_demand or alias, the views that an item says are meant.
	views map[string]map[string]string
}
