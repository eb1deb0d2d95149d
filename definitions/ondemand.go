package definitions

import (
	"slices"
	"strings"

	"github.com/asof-store/asof/feature"
)

// OnDemand is a group of features that are computed when they are asked for.
type OnDemand struct {
	*feature.OnDemand
	Notes
	// Views names the views that expressions call otherwise, by what they call them.
	Views map[string]string
}

// onDemandBuilder compiles the features of one group. Each is compiled when it is asked for: by build, or by an expression that takes it.
type onDemandBuilder struct {
	*loader
	object
	group  *OnDemand
	views  map[string]*View // by what expressions call them, where that is not their name
	fields map[string]feature.Type
	items  []onDemandItem // of group.Features
}

// onDemandItem is the record of a feature and how far it is compiled.
type onDemandItem struct {
	featureItem
	begun, done bool
}

// onDemand reads a group: its name, its request fields and its features' names.
func (l *loader) onDemand(o object) {
	name := l.groups.define(o)
	_, nameNode := o.text("name")
	o.separable(nameNode, "name")
	if place, taken := l.views.place[strings.ToLower(name)]; taken && name != "" {
		o.c.fault(nameNode, "choose another name: expressions say view.feature and on_demand.feature alike", "%s: a view of that name is defined at %s", o.label, place)
	}
	b := &onDemandBuilder{loader: l, object: o, views: map[string]*View{}, fields: map[string]feature.Type{},
		group: &OnDemand{Notes: o.notes(), OnDemand: &feature.OnDemand{Name: name}, Views: map[string]string{}}}
	taken := map[string]string{}
	for _, p := range o.pairs("request") {
		t, err := feature.ParseType(p.value.Value)
		if err != nil || !o.free(p.key, "request field", taken) {
			continue // a type that is none is a fault of shape
		}
		b.fields[p.key.Value] = t
		b.group.Request = append(b.group.Request, feature.Field{Name: p.key.Value, Type: t})
	}
	for _, n := range o.records("features") {
		f := o.item(n)
		if f.nameAt == nil || !o.free(f.nameAt, "feature", taken) {
			continue
		}
		b.items = append(b.items, onDemandItem{featureItem: f})
		b.group.Features = append(b.group.Features, feature.OnDemandFeature{Feature: f.named()})
	}
	define(l.groupOf, name, b)
	l.building = append(l.building, b)
	l.model.OnDemand = append(l.model.OnDemand, b.group)
}

// compileOnDemand compiles the features of all groups, whose names are known by now.
func (l *loader) compileOnDemand() {
	for _, b := range l.building {
		b.nameViews()
	}
	for _, b := range l.building {
		for i := range b.items {
			b.feature(i)
		}
	}
}

// nameViews finds the views that the group gives names.
func (b *onDemandBuilder) nameViews() {
	for _, p := range b.pairs("views") {
		name, view := p.key.Value, p.value.Value
		b.separable(p.key, "name")
		for _, s := range []*namespace{b.loader.views, b.groups} {
			if place, taken := s.place[strings.ToLower(name)]; taken {
				b.c.fault(p.key, "choose another name; upper and lower case count as one", "%s: the name %s is that of a definition at %s", b.label, name, place)
				break
			}
		}
		if !b.c.bad[p.key] && b.loader.views.knows(b.object, p.value, b.partial) {
			b.views[name], b.group.Views[name] = b.viewOf[view], view
		}
	}
}

// feature compiles feature i, and those that it takes before it.
func (b *onDemandBuilder) feature(i int) {
	f, out := &b.items[i], &b.group.Features[i]
	if f.begun {
		return
	}
	f.begun = true
	b.underway = append(b.underway, b.group.Name+"."+f.name)
	defer func() { f.done, b.underway = true, b.underway[:len(b.underway)-1] }()
	text, at := f.text("expr")
	if at == nil {
		return
	}
	find := func(column string) (feature.Type, *misnamed) {
		in, wrong := b.input(i, column)
		return in.typ, wrong
	}
	typeOf := func(column string) (feature.Type, bool) {
		t, wrong := find(column)
		return t, wrong == nil
	}
	declared, _ := f.text("type")
	t, _ := feature.ParseType(declared) // the zero Type where there is none
	p := f.declare(b.expression(at, f.label, text, find, func() []string { return b.names(i) }), "", t, typeOf)
	if p == nil {
		return
	}
	out.Type, out.Program = p.Type(), p
	for _, column := range p.Columns() {
		in, _ := b.input(i, column)
		out.Inputs = append(out.Inputs, in.Input)
	}
	f.setDefault(&out.Feature)
}

// typedInput is an input of a feature with its type.
type typedInput struct {
	feature.Input
	typ feature.Type
}

// input returns what an expression of feature i means by a column.
func (b *onDemandBuilder) input(i int, column string) (typedInput, *misnamed) {
	in := typedInput{Input: feature.Input{Column: column}}
	group, name, qualified := strings.Cut(column, ".")
	if !qualified {
		if t, known := b.fields[column]; known {
			in.typ = t
			return in, nil
		}
		switch at := b.group.Feature(column); {
		case at > i:
			return in, &misnamed{message: "feature " + column + " comes later", hint: "put it before " + b.items[i].name}
		case at >= 0:
			return b.computed(in, b, at)
		}
		return in, &misnamed{told: b.mentions("request", column)}
	}
	if other := b.groupOf[group]; other != nil {
		at := other.group.Feature(name)
		if at < 0 {
			return in, b.noFeature("on_demand "+group, name, featureNames(other.group.OnDemand))
		}
		return b.computed(in, other, at)
	}
	view := b.viewOf[group]
	if named := b.views[group]; named != nil {
		view = named
	}
	if view == nil {
		if b.partial || b.mentions("views", group) {
			return in, &misnamed{told: true}
		}
		return in, &misnamed{message: "unknown view or on_demand " + group, hint: didYouMean(group, "the views and on_demand", b.groupNames())}
	}
	in.View, in.ViewName, in.Feature = view.View, group, view.Feature(name)
	if in.Feature < 0 {
		return in, b.noFeature("view "+view.Name, name, viewFeatureNames(view.View))
	}
	in.typ = view.Features[in.Feature].Type
	return in, faultyIf(in.typ.Kind == 0)
}

// computed completes an input that is feature at of a group, which it compiles first.
func (b *onDemandBuilder) computed(in typedInput, other *onDemandBuilder, at int) (typedInput, *misnamed) {
	if f := &other.items[at]; f.begun && !f.done {
		name := other.group.Name + "." + f.name
		from := slices.Index(b.underway, name)
		path := strings.Join(append(slices.Clone(b.underway[from:]), name), " -> ")
		return in, &misnamed{message: "it takes itself: " + path, hint: "a feature cannot be among those that it is computed from"}
	}
	other.feature(at)
	in.OnDemand, in.Feature, in.typ = other.group.OnDemand, at, other.group.Features[at].Type
	return in, faultyIf(in.typ.Kind == 0)
}

// faultyIf is why something has no type whose own fault is told.
func faultyIf(faulty bool) *misnamed {
	if faulty {
		return &misnamed{told: true}
	}
	return nil
}

func (b *onDemandBuilder) noFeature(group, name string, names []string) *misnamed {
	return &misnamed{message: group + " has no feature " + name, hint: didYouMean(name, "its features", names)}
}

// names lists what an expression of feature i may refer to.
func (b *onDemandBuilder) names(i int) []string {
	var names []string
	for _, f := range b.group.Request {
		names = append(names, f.Name)
	}
	names = append(names, featureNames(b.group.OnDemand)[:i]...)
	for _, v := range b.model.Views {
		for _, f := range v.Features {
			names = append(names, v.Name+"."+f.Name)
		}
	}
	for name, v := range b.views {
		for _, f := range v.Features {
			names = append(names, name+"."+f.Name)
		}
	}
	for _, other := range b.building {
		for _, f := range featureNames(other.group.OnDemand) {
			if other != b {
				names = append(names, other.group.Name+"."+f)
			}
		}
	}
	return names
}

// groupNames lists what can stand before the dot in an expression.
func (b *onDemandBuilder) groupNames() []string {
	names := slices.Concat(b.loader.views.names, b.groups.names)
	for _, p := range b.pairs("views") {
		names = append(names, p.key.Value)
	}
	return names
}

func featureNames(o *feature.OnDemand) []string {
	names := make([]string, len(o.Features))
	for i := range names {
		names[i] = o.Features[i].Name
	}
	return names
}

func viewFeatureNames(v *feature.View) []string {
	names := make([]string, len(v.Features))
	for i := range names {
		names[i] = v.Features[i].Name
	}
	return names
}
