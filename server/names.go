package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/ondemand"
)

// naming makes up a service of named features: one ref for each view, and on-demand features bound to the views that they take.
type naming struct {
	model *Model
	views map[string]*feature.View
	svc   *feature.Service
	refs  map[string]int // by view
	// bindings are of the groups of on-demand features, in order of first use.
	bindings []ondemand.Binding
	places   []place
}

// place is where a named feature is: in a ref of the service, or in a binding.
type place struct {
	computed bool
	of, at   int
}

// queryOfNames finds features by name.
func queryOfNames(model *Model, names []FeatureName) (*Query, error) {
	n := &naming{model: model, views: model.Views, svc: &feature.Service{Name: "of named features"}, refs: map[string]int{}}
	if model.defined != nil && slices.ContainsFunc(names, func(name FeatureName) bool { return model.OnDemand[name.View] != nil }) {
		n.views = model.defined // those that on-demand features know
	}
	q := &Query{asked: Asked{Features: names}, model: model, subject: "the request"}
	seen := map[FeatureName]int{}
	var f faults
	for i, name := range names {
		if first, twice := seen[name]; twice {
			f.add(fmt.Sprintf("features[%d]", i), "%s is features[%d] already", name, first)
			continue
		}
		seen[name] = i
		if err := n.add(name); err != nil {
			return nil, err
		}
		q.names = append(q.names, name.String())
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	var err error
	if q.order, err = n.bind(); err != nil {
		return nil, err
	}
	if q.service = rebind(n.svc, model.Views); q.service == nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "the definitions of %s have changed, and what they need is not published yet: run asof materialize", strings.Join(q.names, ", "))
	}
	q.columns = q.service.Columns(false)
	for _, from := range q.order {
		q.origins = append(q.origins, originOf(q.service, q.columns[from]))
	}
	q.keys, q.fields = q.service.KeyFields(), q.service.RequestFields()
	return q, nil
}

// add finds a feature.
func (n *naming) add(name FeatureName) error {
	if group := n.model.OnDemand[name.View]; group != nil {
		index := group.Feature(name.Feature)
		if index < 0 {
			return noFeature("on_demand "+name.View, name.Feature, len(group.Features), func(i int) string { return group.Features[i].Name })
		}
		at := slices.IndexFunc(n.bindings, func(b ondemand.Binding) bool { return b.OnDemand == group })
		if at < 0 {
			at = len(n.bindings)
			n.bindings = append(n.bindings, ondemand.Binding{OnDemand: group})
		}
		b := &n.bindings[at]
		n.places = append(n.places, place{true, at, len(b.Features)})
		b.Features = append(b.Features, index)
		return nil
	}
	view, ok := n.views[name.View]
	if !ok {
		return notFound("view", name.View, n.views)
	}
	index := view.Feature(name.Feature)
	if index < 0 {
		return noFeature("view "+name.View, name.Feature, len(view.Features), func(i int) string { return view.Features[i].Name })
	}
	at, ok := n.refs[name.View]
	if !ok {
		at = len(n.svc.Refs)
		n.refs[name.View] = at
		n.svc.Refs = append(n.svc.Refs, feature.Ref{View: view, KeyColumns: keyNames(view)})
	}
	ref := &n.svc.Refs[at]
	n.places = append(n.places, place{false, at, len(ref.Features)})
	ref.Features = append(ref.Features, index)
	return nil
}

// bind adds the on-demand features to the service, and returns where its columns are that were asked for, in the order of the names.
func (n *naming) bind() (order []int, err error) {
	refs, next := make([]int, len(n.svc.Refs)), 0 // the first column of each
	for i := range refs {
		refs[i] = next
		next += len(n.svc.Refs[i].Features)
	}
	for i := range n.bindings {
		n.bindings[i].Place = next
		next += len(n.bindings[i].Features)
		if err := ondemand.Bind(n.svc, n.bindings[i]); err != nil {
			return nil, err
		}
	}
	for _, p := range n.places {
		if p.computed {
			order = append(order, n.bindings[p.of].Place+p.at)
		} else {
			order = append(order, refs[p.of]+p.at)
		}
	}
	return order, nil
}

func keyNames(v *feature.View) []string {
	names := make([]string, len(v.Keys))
	for i := range names {
		names[i] = v.Keys[i].Name
	}
	return names
}

func noFeature(of, name string, n int, nameOf func(int) string) error {
	return feature.Errorf(feature.ErrNotFound, "%s has no feature %s%s", of, name, nearest.Hint(name, each(n, nameOf)))
}

func notFound[T any](what, name string, have map[string]T) error {
	candidates := slices.Sorted(maps.Keys(have))
	hint := nearest.Hint(name, candidates)
	if hint == "" && len(candidates) > 0 && len(candidates) <= 10 {
		hint = ": there are " + strings.Join(candidates, ", ")
	}
	return feature.Errorf(feature.ErrNotFound, "there is no %s %q%s", what, name, hint)
}
