package ondemand

import (
	"errors"
	"maps"
	"slices"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
)

// Binding says which on-demand features a service takes, and how.
type Binding struct {
	OnDemand *feature.OnDemand
	Features []int // indices into OnDemand.Features, in output order
	Alias    string
	// Views says, by the name that an expression calls a view by, which of the service's refs is meant; without an entry it is the ref of that name.
	Views map[string]string
	// Place is that of the first feature's column among those of the service's answers.
	Place int
}

// Bind adds on-demand features to svc, which has all its views, and what they take: features of views that svc does not list are looked
// up by the keys of their entity, and not answered. It fails with ErrInvalid, errors.Join of one error for each fault, where a view that is meant
// cannot be told or a column would have two types; svc is of no use then.
func Bind(svc *feature.Service, b Binding) error {
	w := &binder{svc: svc, Binding: b, known: map[*feature.OnDemandFeature]int{}, types: map[string]feature.Type{}, unused: maps.Clone(b.Views)}
	for _, f := range slices.Concat(svc.KeyFields(), svc.RequestFields()) {
		w.types[f.Name] = f.Type
	}
	for i, f := range b.Features {
		w.answer(w.feature(b.OnDemand, f), b.Place+i)
	}
	for _, name := range slices.Sorted(maps.Keys(w.unused)) {
		w.fault("it takes nothing of a view that it calls %s%s", name, nearest.Hint(name, w.called))
	}
	return errors.Join(w.faults...)
}

// binder is one Bind at work.
type binder struct {
	Binding
	svc    *feature.Service
	known  map[*feature.OnDemandFeature]int // those that are in svc.Computed, with this binding's views
	types  map[string]feature.Type          // of key columns and request fields
	called []string                         // what expressions call views
	unused map[string]string                // entries of Views that nothing has asked for yet
	faults []error
}

func (b *binder) fault(format string, args ...any) {
	err := feature.Errorf(feature.ErrInvalid, "on_demand "+b.OnDemand.Name+": "+format, args...)
	if !slices.ContainsFunc(b.faults, func(e error) bool { return e.Error() == err.Error() }) {
		b.faults = append(b.faults, err)
	}
}

// feature returns the index in svc.Computed of feature f of o, which it adds after what it takes unless the same is there.
func (b *binder) feature(o *feature.OnDemand, f int) int {
	definition := &o.Features[f]
	if at, known := b.known[definition]; known {
		return at
	}
	c := feature.Computed{OnDemand: o, Feature: f, Place: -1}
	for _, in := range definition.Inputs {
		c.Sources = append(c.Sources, b.source(o, in))
	}
	at := slices.IndexFunc(b.svc.Computed, func(other feature.Computed) bool {
		return other.Definition() == definition && slices.Equal(other.Sources, c.Sources)
	})
	if at < 0 {
		at = len(b.svc.Computed)
		b.svc.Computed = append(b.svc.Computed, c)
	}
	b.known[definition] = at
	return at
}

// answer gives the feature at an index of svc.Computed its place in answers.
func (b *binder) answer(at, place int) {
	c := b.svc.Computed[at]
	again := c.Place >= 0 // under another alias
	c.Alias, c.Place = b.Alias, place
	if again {
		b.svc.Computed = append(b.svc.Computed, c)
		return
	}
	b.svc.Computed[at] = c
}

// source returns where an input of a feature of o comes from.
func (b *binder) source(o *feature.OnDemand, in feature.Input) feature.Source {
	switch {
	case in.OnDemand != nil:
		return feature.Source{Ref: -1, Feature: b.feature(in.OnDemand, in.Feature)}
	case in.View == nil:
		i := slices.IndexFunc(o.Request, func(f feature.Field) bool { return f.Name == in.Column })
		b.column(o.Request[i], "its request field")
		return feature.Source{Column: in.Column, Ref: -1}
	}
	ref := b.ref(in)
	if ref < 0 {
		return feature.Source{}
	}
	r := &b.svc.Refs[ref]
	at := slices.Index(r.Lookups(), in.Feature)
	if at < 0 {
		at = len(r.Lookups())
		r.Inputs = append(r.Inputs, in.Feature)
	}
	return feature.Source{Ref: ref, Feature: at}
}

// column takes a key column or request field into the service; two of one name have one type.
func (b *binder) column(f feature.Field, what string) {
	if t, known := b.types[f.Name]; known && t != f.Type {
		b.fault("%s %s is %s, and the service has a column of that name that is %s: give one of them another name", what, f.Name, f.Type, t)
		return
	}
	b.types[f.Name] = f.Type
}

// ref returns which of the service's refs an input is a feature of, or -1 after a fault. A view that the service does not list is added.
func (b *binder) ref(in feature.Input) int {
	name, mapped := b.Views[in.ViewName]
	if !mapped {
		name = in.ViewName
	}
	b.called = append(b.called, in.ViewName)
	delete(b.unused, in.ViewName)
	names, alias := make([]string, len(b.svc.Refs)), ""
	for i := range b.svc.Refs {
		r := &b.svc.Refs[i]
		names[i] = r.Name()
		switch {
		case r.Name() == name && r.View == in.View:
			return i
		case r.Name() == name:
			b.fault("what it calls %s is view %s, and %s of the service is view %s: say which is meant with views: {%s: NAME}", in.ViewName, in.View.Name, name, r.View.Name, in.ViewName)
			return -1
		case r.View == in.View:
			alias = r.Alias
		}
	}
	switch {
	case mapped:
		b.fault("the service has no view or alias %s for %s%s", name, in.ViewName, nearest.Hint(name, names))
	case alias != "":
		b.fault("it takes features of %s, which the service has as %s: say which is meant with views: {%s: %s}", in.ViewName, alias, in.ViewName, alias)
	case in.ViewName != in.View.Name:
		b.fault("what it calls %s the service does not have: list view %s with as: %s", in.ViewName, in.View.Name, in.ViewName)
	default:
		return b.hidden(in.View)
	}
	return -1
}

// hidden adds a view of which nothing is answered.
func (b *binder) hidden(v *feature.View) int {
	r := feature.Ref{View: v}
	for _, k := range v.Keys {
		b.column(k, "it takes features of view "+v.Name+", whose key")
		r.KeyColumns = append(r.KeyColumns, k.Name)
	}
	b.svc.Refs = append(b.svc.Refs, r)
	return len(b.svc.Refs) - 1
}
