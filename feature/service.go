package feature

// Service is a named list of features that a model takes, in order.
type Service struct {
	Name string
	Refs []Ref
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

// CheckNames returns an ErrInvalid that says how to tell them apart when two columns of s would have one name,
// or when a column would have the name of one of the taken columns (those of a spine).
func (s *Service) CheckNames(fullNames bool, taken ...string) error {
	from := map[string]string{}
	for _, t := range taken {
		from[t] = "a column of the spine"
	}
	for i := range s.Refs {
		r := &s.Refs[i]
		for j := range r.Features {
			name := r.ColumnName(j, fullNames)
			here := "view " + r.Name()
			if other, ok := from[name]; ok {
				hint := "give one of the views an alias (as: NAME) in the service, or export with --full-names (view__feature)"
				if fullNames {
					hint = "give one of the views an alias (as: NAME) in the service"
				}
				return Errorf(ErrInvalid, "service %s: the name %q is taken twice, by %s and by %s: %s", s.Name, name, other, here, hint)
			}
			from[name] = here
		}
	}
	return nil
}
