package definitions

import (
	"github.com/asof-store/asof/feature"
	"go.yaml.in/yaml/v4"
)

// service builds a service of the model.
func (l *loader) service(o object) {
	name := l.services.define(o)
	s := &Service{Notes: o.notes(), Service: &feature.Service{Name: name}}
	b := &serviceBuilder{loader: l, object: o, service: s, columns: map[string]string{}, keyTypes: map[string]keyUse{},
		refs: map[string]bool{}}
	for _, n := range o.records("features") {
		b.ref(object{c: o.c, node: n, label: o.label})
	}
	b.checkColumns()
	l.model.Services = append(l.model.Services, s)
}

// serviceBuilder gathers the parts of a service and knows which names they have taken.
type serviceBuilder struct {
	*loader
	object
	service  *Service
	nodes    []*yaml.Node      // of each ref, the node for faults that concern it as a whole
	columns  map[string]string // by output column, the view it is from
	keyTypes map[string]keyUse
	refs     map[string]bool // names and aliases
}

// keyUse is the first use of a key column.
type keyUse struct {
	view string
	typ  feature.Type
}

// ref adds a view's part in the service.
func (b *serviceBuilder) ref(o object) {
	v := b.viewOf[b.views.refer(o, "view", b.partial)]
	alias, aliasNode := o.text("as")
	o.separable(aliasNode, "alias")
	if v == nil {
		return
	}
	r := feature.Ref{View: v.View, Alias: alias}
	at := aliasNode
	if at == nil {
		at = o.get("view")
	}
	if b.refs[r.Name()] {
		o.c.fault(at, "list all its features in one item, or give one an alias (as: NAME)", "%s: %s is listed twice", o.label, r.Name())
		return
	}
	b.refs[r.Name()] = true
	if !b.chosen(o, &r) {
		return
	}
	if v.Entity == nil {
		return // the view's fault
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
	b.service.Refs, b.nodes = append(b.service.Refs, r), append(b.nodes, at)
}

// chosen fills in the features that a ref takes: those listed, or all. It reports whether they are known.
func (b *serviceBuilder) chosen(o object, r *feature.Ref) bool {
	if !o.has("features") {
		for i := range r.View.Features {
			r.Features = append(r.Features, i)
		}
		return true
	}
	var names []string
	for _, f := range r.View.Features {
		names = append(names, f.Name)
	}
	seen, known := map[string]bool{}, true
	for _, n := range o.items("features") {
		i := r.View.Feature(n.Value)
		switch {
		case i < 0:
			known = false
			o.c.fault(n, didYouMean(n.Value, "its features", names), "%s: view %s has no feature %s", o.label, r.View.Name, n.Value)
		case seen[n.Value]:
			o.c.fault(n, "", "%s: feature %s of view %s is listed twice", o.label, n.Value, r.View.Name)
		default:
			seen[n.Value] = true
			r.Features = append(r.Features, i)
		}
	}
	return known
}

// checkColumns checks that every column of the service, the keys among them, has a name of its own.
func (b *serviceBuilder) checkColumns() {
	for _, k := range b.service.KeyFields() {
		b.columns[k.Name] = "the keys"
	}
	for i := range b.service.Refs {
		r := &b.service.Refs[i]
		for j := range r.Features {
			name := r.ColumnName(j, false)
			if other, taken := b.columns[name]; taken {
				b.c.fault(b.nodes[i], "give one of the views an alias (as: NAME), whose columns are NAME__feature",
					"%s: the name %s is taken twice, by %s and by view %s", b.label, name, other, r.Name())
				continue
			}
			b.columns[name] = "view " + r.Name()
		}
	}
}
