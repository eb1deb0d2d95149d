package aggregate

import (
	"slices"
	"strings"

	"github.com/asof-store/asof/feature"
)

// functions lists all functions in the order in which documentation gives them.
func functions() []functionEntry {
	return []functionEntry{
		countFunction(), sumFunction(), avgFunction(), minFunction(), maxFunction(),
		varianceFunction("var_pop", variance{}), varianceFunction("var_samp", variance{sample: true}),
		varianceFunction("stddev_pop", variance{root: true}), varianceFunction("stddev_samp", variance{sample: true, root: true}),
		firstFunction(), lastFunction(), firstNFunction(), lastNFunction(), distinctFunction(), percentileFunction(),
	}
}

// Names returns the names of all functions.
func Names() []string {
	var names []string
	for _, f := range functions() {
		names = append(names, f.name)
	}
	return names
}

// TakesRows reports whether the named function counts rows where it is given no input.
func TakesRows(name string) bool {
	f, ok := function(name)
	return ok && f.rows
}

// Parameters returns the names of the parameters that the named function takes: of n, p, precision and accuracy.
func Parameters(name string) []string {
	f, _ := function(name)
	return f.parameters
}

func function(name string) (functionEntry, bool) {
	all := functions()
	i := slices.IndexFunc(all, func(f functionEntry) bool { return f.name == name })
	if i < 0 {
		return functionEntry{}, false
	}
	return all[i], true
}

// New makes an aggregation ready. It fails with feature.ErrInvalid for an unknown function, an input of a type that the function does
// not take, and parameters out of bounds.
func New(a feature.Aggregation) (*Call, error) {
	f, ok := function(a.Function)
	if !ok {
		return nil, feature.Errorf(feature.ErrInvalid, "there is no function %q", a.Function)
	}
	if a.Input.Type.Kind == 0 && !f.rows {
		return nil, feature.Errorf(feature.ErrInvalid, "function %s needs a column or an expression", a.Function)
	}
	call, err := f.call(a)
	if err != nil {
		return nil, feature.Errorf(feature.ErrInvalid, "function %s %w", a.Function, err)
	}
	for i := range call.Specs {
		call.Specs[i].Input = a.Input.Name
	}
	return call, nil
}

// Specs returns the states of a view's windowed features, each once, by name: their order does not depend on that of the features.
func Specs(features []feature.Feature) ([]Spec, error) {
	var specs []Spec
	for i := range features {
		call, err := New(*features[i].Aggregation)
		if err != nil {
			return nil, err
		}
		for _, s := range call.Specs {
			if !slices.ContainsFunc(specs, func(known Spec) bool { return known.Name() == s.Name() }) {
				specs = append(specs, s)
			}
		}
	}
	slices.SortFunc(specs, func(a, b Spec) int { return strings.Compare(a.Name(), b.Name()) })
	return specs, nil
}
