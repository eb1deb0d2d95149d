package definitions

import (
	"slices"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
	"go.yaml.in/yaml/v4"
)

// service builds a service of the model.
func (l *loader) service(o object) {
	name := l.services.define(o)
	s := &Service{Notes: o.notes(), Service: &feature.Service{Name: name}, views: map[string]map[string]string{}}
	b := &serviceBuilder{loader: l, object: o, service: s, columns: map[string]string{}, keyTypes: map[string]keyUse{},
		nodes: map[string]*yaml.Node{}}
	for _, n := range o.records("features") {
		item := object{c: o.c, node: n, label: o.label}
		switch {
		case item.has("view") && item.has("on_demand"): // a fault of shape
			b.faulty = true
		case item.has("on_demand"):
			b.onDemand(item)
		default:
			b.ref(item)
		}
	}
	if b.bind() {
		b.checkColumns()
	}
	l.model.Services = append(l.model.Services, s)
}

// serviceBuilder gathers the parts of a service and knows which names they have taken.
type serviceBuilder struct {
	*loader
	object
	service  *Service
	nodes    map[string]*yaml.Node // by view, on_demand or alias: the node for faults that concern it as a whole
	columns  map[string]string     // by output column, what it is from
	keyTypes map[string]keyUse
	places   int // columns of the parts so far
	bindings []ondemand.Binding
	faulty   bool // a part was left out for its faults
}

// keyUse is the first use of a key column.
type keyUse struct {
	view string
	typ  feature.Type
}

// part takes the name of an item, which is that of what it names in a field unless it has an alias; at is where that stands. It reports
// whether the name is free.
func (b *serviceBuilder) part(o object, field, name string) (alias string, at *yaml.Node, ok bool) {
	alias, at = o.text("as")
	o.separable(at, "alias")
	if name == "" {
		return alias, at, false
	}
	if at == nil {
		at = o.get(field)
	} else {
		name = alias
	}
	if b.nodes[name] != nil {
		o.c.fault(at, "list all its features in one item, or give one an alias (as: NAME)", "%s: %s is listed twice", o.label, name)
		return alias, at, false
	}
	b.nodes[name] = at
	return alias, at, true
}

// ref adds a view's part in the service.
func (b *serviceBuilder) ref(o object) {
	name := b.loader.views.refer(o, "view", b.partial)
	alias, at, ok := b.part(o, "view", name)
	if n := o.get("views"); n != nil {
		o.c.fault(n, "map the keys of a view with keys:", "%s: views is for on_demand", o.label)
	}
	v := b.viewOf[name]
	if !ok || v == nil {
		b.faulty = true
		return
	}
	r := feature.Ref{View: v.View, Alias: alias}
	if r.Features, ok = chosen(o, "view "+v.Name, viewFeatureNames(v.View)); !ok || v.Entity == nil {
		b.faulty = true
		return
	}
	named := o.keyMap("keys", v.Entity)
	for _, k := range v.Keys {
		column, keyAt := k.Name, at
		if n := named[k.Name]; n != nil {
			column, keyAt = n.Value, n
		}
		use, used := b.keyTypes[column]
		if used && use.typ != k.Type {
			o.c.fault(keyAt, "map one of them to another column with keys:", "%s: key column %s is %s for %s, and %s for %s",
				o.label, column, use.typ, use.view, k.Type, r.Name())
		}
		if !used {
			b.keyTypes[column] = keyUse{r.Name(), k.Type}
		}
		r.KeyColumns = append(r.KeyColumns, column)
	}
	b.service.Refs = append(b.service.Refs, r)
	b.places += len(r.Features)
}

// onDemand notes the part of on-demand features, to be bound when all views are there.
func (b *serviceBuilder) onDemand(o object) {
	name := b.groups.refer(o, "on_demand", b.partial)
	alias, _, ok := b.part(o, "on_demand", name)
	if n := o.get("keys"); n != nil {
		o.c.fault(n, "list the view with keys: and an alias, and say that it is meant with views:", "%s: keys is for views", o.label)
	}
	if !ok || b.groupOf[name] == nil {
		b.faulty = true
		return
	}
	group := b.groupOf[name].group
	binding := ondemand.Binding{OnDemand: group.OnDemand, Alias: alias, Views: map[string]string{}, Place: b.places}
	if binding.Features, ok = chosen(o, "on_demand "+name, featureNames(group.OnDemand)); !ok {
		b.faulty = true
		return
	}
	for _, p := range o.pairs("views") {
		binding.Views[p.key.Value] = p.value.Value
	}
	b.bindings = append(b.bindings, binding)
	b.places += len(binding.Features)
}

// bind finds what on-demand features take in the service. It reports whether all of them did.
func (b *serviceBuilder) bind() bool {
	if b.faulty {
		return len(b.bindings) == 0
	}
	sound := true
	for _, binding := range b.bindings {
		name := binding.OnDemand.Name
		if binding.Alias != "" {
			name = binding.Alias
		}
		b.service.views[name] = binding.Views
		err := ondemand.Bind(b.service.Service, binding)
		if err == nil {
			continue
		}
		sound = false
		for _, err := range err.(interface{ Unwrap() []error }).Unwrap() {
			b.c.fault(b.nodes[name], "", "%s: %s", b.label, err)
		}
	}
	return sound
}

// chosen returns which of the features of what an item names it takes: those listed, or all. It reports whether they are known.
func chosen(o object, group string, names []string) (features []int, known bool) {
	if !o.has("features") {
		for i := range names {
			features = append(features, i)
		}
		return features, true
	}
	known = true
	for _, n := range o.items("features") {
		i := slices.Index(names, n.Value)
		switch {
		case i < 0:
			known = false
			o.c.fault(n, didYouMean(n.Value, "its features", names), "%s: %s has no feature %s", o.label, group, n.Value)
		case slices.Contains(features, i):
			o.c.fault(n, "", "%s: feature %s of %s is listed twice", o.label, n.Value, group)
		default:
			features = append(features, i)
		}
	}
	return features, known
}

// checkColumns checks that every column of the service, keys and request fields among them, has a name of its own.
func (b *serviceBuilder) checkColumns() {
	for _, k := range b.service.KeyFields() {
		b.columns[k.Name] = "the keys"
	}
	for _, f := range b.service.RequestFields() {
		b.columns[f.Name] = "the request's fields"
	}
	for _, c := range b.service.Columns(false) {
		origin := b.service.Origin(c)
		if other, taken := b.columns[c.Name]; taken {
			b.c.fault(b.nodes[b.service.PartName(c)], "give one of them an alias (as: NAME), whose columns are NAME__feature",
				"%s: the name %s is taken twice, by %s and by %s", b.label, c.Name, other, origin)
			continue
		}
		b.columns[c.Name] = origin
	}
}
