package feature

import "slices"

// Service is a named list of features that a model takes, in order.
type Service struct {
	Name string
	// Refs are the parts of views, in order. One without Features is there for the on-demand features that take some of its view.
	Refs []Ref
	// Computed are the on-demand features, each after those that it takes. Package ondemand adds and computes them.
	Computed []Computed
}

// Ref is a view's part in a service.
type Ref struct {
	View *View
	// Alias takes the view's place in column names; "" when the ref has none.
	Alias string
	// KeyColumns names, for each of View.Keys, the spine column or request key that holds it.
	KeyColumns []string
	// Features are indices into View.Features in output order.
	Features []int
	// Inputs are further indices into View.Features: those that on-demand features take and answers leave out.
	Inputs []int
}

// Name returns the name under which the ref's features appear: its alias, or the view's name.
func (r *Ref) Name() string {
	if r.Alias != "" {
		return r.Alias
	}
	return r.View.Name
}

// ColumnName returns the output name of the i-th of r.Features: the feature's own name, or name__feature when the
// ref has an alias or full names are wanted.
func (r *Ref) ColumnName(i int, fullNames bool) string {
	name := r.View.Features[r.Features[i]].Name
	if fullNames || r.Alias != "" {
		return r.Name() + "__" + name
	}
	return name
}

// Lookups returns what has to be looked up of the view: Features, then Inputs.
func (r *Ref) Lookups() []int {
	if len(r.Inputs) == 0 {
		return r.Features
	}
	return slices.Concat(r.Features, r.Inputs)
}

// KeyFields returns the distinct key columns that a request or spine for s must have, in order of first use.
func (s *Service) KeyFields() []Field {
	var fields []Field
	seen := map[string]bool{}
	for _, r := range s.Refs {
		for i, name := range r.KeyColumns {
			if !seen[name] {
				seen[name] = true
				fields = append(fields, Field{name, r.View.Keys[i].Type})
			}
		}
	}
	return fields
}

// RequestFields returns the columns that a request or spine for s must have beside KeyFields, in order of first use: the fields that
// its on-demand features take. A field that is a key column too is among KeyFields alone.
func (s *Service) RequestFields() []Field {
	if len(s.Computed) == 0 {
		return nil
	}
	var fields []Field
	seen := map[string]bool{}
	for _, k := range s.KeyFields() {
		seen[k.Name] = true
	}
	for i := range s.Computed {
		for _, source := range s.Computed[i].Sources {
			if source.Column == "" || seen[source.Column] {
				continue
			}
			seen[source.Column] = true
			for _, f := range s.Computed[i].OnDemand.Request {
				if f.Name == source.Column {
					fields = append(fields, f)
				}
			}
		}
	}
	return fields
}

// ServiceColumn is a column of a service's answers.
type ServiceColumn struct {
	Name    string
	Ref     int // index into Service.Refs; -1 for an on-demand feature
	Feature int // index into the ref's Features, or into Service.Computed
}

// Columns returns the columns of the answers of s, in order.
func (s *Service) Columns(fullNames bool) []ServiceColumn {
	n := 0
	for i := range s.Refs {
		n += len(s.Refs[i].Features)
	}
	for i := range s.Computed {
		if s.Computed[i].Place >= 0 {
			n++
		}
	}
	columns := make([]ServiceColumn, n)
	for i := range s.Computed {
		if c := &s.Computed[i]; c.Place >= 0 {
			columns[c.Place] = ServiceColumn{c.ColumnName(fullNames), -1, i}
		}
	}
	at := 0
	for i := range s.Refs {
		for j := range s.Refs[i].Features {
			for columns[at].Ref < 0 {
				at++
			}
			columns[at] = ServiceColumn{s.Refs[i].ColumnName(j, fullNames), i, j}
			at++
		}
	}
	return columns
}

// CheckNames returns an ErrInvalid that says how to tell them apart when two columns of s would have one name,
// or when a column would have the name of one of the taken columns (those of a spine).
func (s *Service) CheckNames(fullNames bool, taken ...string) error {
	from := map[string]string{}
	for _, t := range taken {
		from[t] = "a column of the spine"
	}
	for _, c := range s.Columns(fullNames) {
		here := s.Origin(c)
		if other, ok := from[c.Name]; ok {
			hint := "give one of them an alias (as: NAME) in the service, or export with --full-names (view__feature)"
			if fullNames {
				hint = "give one of them an alias (as: NAME) in the service"
			}
			return Errorf(ErrInvalid, "service %s: the name %q is taken twice, by %s and by %s: %s", s.Name, c.Name, other, here, hint)
		}
		from[c.Name] = here
	}
	return nil
}

// Definition returns the feature that a column of s holds.
func (s *Service) Definition(c ServiceColumn) *Feature {
	if c.Ref < 0 {
		return &s.Computed[c.Feature].Definition().Feature
	}
	r := &s.Refs[c.Ref]
	return &r.View.Features[r.Features[c.Feature]]
}

// SourceName returns what an input of an on-demand feature is in s: a key column or request field, view.feature with the view's alias where it
// has one, or on_demand.feature.
func (s *Service) SourceName(from Source) string {
	switch {
	case from.Column != "":
		return from.Column
	case from.Ref < 0:
		c := &s.Computed[from.Feature]
		return c.OnDemand.Name + "." + c.Definition().Name
	}
	r := &s.Refs[from.Ref]
	return r.Name() + "." + r.View.Features[r.Lookups()[from.Feature]].Name
}

// PartName returns the alias or name of the part of s that a column belongs to.
func (s *Service) PartName(c ServiceColumn) string {
	if c.Ref < 0 {
		return s.Computed[c.Feature].Name()
	}
	return s.Refs[c.Ref].Name()
}

// Origin returns what a column of s is a feature of, for messages: "view spend".
func (s *Service) Origin(c ServiceColumn) string {
	if c.Ref < 0 {
		return "on_demand " + s.PartName(c)
	}
	return "view " + s.PartName(c)
}
