package definitions

import (
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
	"go.yaml.in/yaml/v4"
)

// view builds a view of the model.
func (l *loader) view(o object) {
	name := l.views.define(o)
	_, nameNode := o.text("name")
	o.separable(nameNode, "view")
	v := &View{Notes: o.notes(), File: o.c.file.name, Line: o.node.Line, View: &feature.View{
		Name:           name,
		TTL:            o.duration("ttl"),
		Delay:          o.duration("delay"),
		StrictlyBefore: !o.flag("allow_exact_matches", true),
		Online:         o.flag("online", true),
		Granularity:    o.duration("granularity"),
	}}
	if n := o.get("ttl"); n != nil && v.TTL == 0 {
		o.c.fault(n, "leave ttl out for values that count at any age", "%s: ttl is zero, so that nothing would ever count", o.label)
	}
	o.schedule(v)
	v.Entity = l.entityOf[l.entities.refer(o, "entity", l.partial)]
	v.Source = l.sourceOf[l.sources.refer(o, "source", l.partial)]
	// In a tile of a length, rows that became known at different times are one.
	v.HasCreatedTime = v.Source != nil && v.Source.CreatedTime != "" && v.Granularity == 0
	taken := map[string]string{}
	if v.Entity != nil {
		v.Keys = v.Entity.Keys
		o.keyColumns(v)
		for _, k := range v.Keys {
			taken[strings.ToLower(k.Name)] = "key " + k.Name
		}
	}
	o.granularity(v)
	b := &rowBuilder{object: o, view: v, taken: taken}
	b.build()
	define(l.viewOf, name, v)
	l.model.Views = append(l.model.Views, v)
}

// duration returns a duration field, 0 where it is absent or no duration.
func (o object) duration(field string) time.Duration {
	text, n := o.text(field)
	if n == nil {
		return 0
	}
	d, err := ParseDuration(text)
	if err != nil {
		o.c.fault(n, "", "%s: %s: %s", o.label, field, err)
	}
	return d
}

func (o object) schedule(v *View) {
	text, n := o.text("schedule")
	if n == nil {
		return
	}
	s, err := ParseSchedule(text)
	if err != nil {
		o.c.fault(n, `write five cron fields such as "*/15 * * * *", or @hourly, @daily, @every 15m`, "%s: %s", o.label, err)
		return
	}
	v.Schedule, v.ScheduleText = s, text
}

// keyColumns finds the source column of each of the view's keys and checks its type.
func (o object) keyColumns(v *View) {
	named := o.keyMap("keys", v.Entity)
	for _, k := range v.Keys {
		column, at := k.Name, o.get("source")
		if n := named[k.Name]; n != nil {
			column, at = n.Value, n
		}
		v.KeyColumns = append(v.KeyColumns, column)
		if v.Source == nil || v.Source.Schema == nil || at == nil {
			continue
		}
		switch t, ok := v.Source.Schema.Type(column); {
		case !ok && problemOf(v.Source, column) != "":
			o.c.fault(at, "", "%s: %s", o.label, problemOf(v.Source, column))
		case !ok:
			hint := didYouMean(column, "its columns", v.Source.Schema.Names())
			if named[k.Name] == nil {
				hint = "say which column it is with keys: {" + k.Name + ": COLUMN}; " + hint
			}
			o.c.fault(at, hint, "%s: source %s has no column %s for the key of entity %s", o.label, v.Source.Name, column, v.Entity.Name)
		case !readsAs(t, k.Type):
			o.c.fault(at, "declare the key with the column's type, or take another column", "%s: column %s of source %s is %s, and key %s of entity %s is %s",
				o.label, column, v.Source.Name, typeName(t), k.Name, v.Entity.Name, k.Type)
		}
	}
}

// keyMap returns the entries of a keys map by the entity's key that they are for; a key that the entity does not have
// is a fault.
func (o object) keyMap(field string, entity *Entity) map[string]*yaml.Node {
	named := map[string]*yaml.Node{}
	var names []string
	for _, k := range entity.Keys {
		names = append(names, k.Name)
	}
	for _, p := range o.pairs(field) {
		known := false
		for _, name := range names {
			known = known || name == p.key.Value
		}
		if !known {
			hint := didYouMean(p.key.Value, "its keys", names)
			if hint == "" {
				hint = "a global entity has no keys"
			}
			o.c.fault(p.key, hint, "%s: entity %s has no key %s", o.label, entity.Name, p.key.Value)
			continue
		}
		named[p.key.Value] = p.value
	}
	return named
}
