package definitions

import (
	"slices"
	"strings"

	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"go.yaml.in/yaml/v4"
)

// rowBuilder compiles what a view makes of a source row: its filter and its features.
type rowBuilder struct {
	object
	view  *View
	taken map[string]string // who has a column's name, by the name in lower case
	// wide are the columns that are read as the type that a feature declares instead of their own.
	wide map[string]feature.Type
	// inputs are those of aggregations, by their names in lower case.
	inputs map[string]input
}

// build fills in Where, Features, Programs and the source columns that they need.
func (b *rowBuilder) build() {
	items := b.records("features")
	var filter *yaml.Node
	var where string
	if where, filter = b.text("where"); filter != nil && b.schemaKnown() {
		b.view.Where = b.compile(filter, b.label, where)
		if p := b.view.Where; p != nil && p.Type() != feature.Scalar(feature.Bool) {
			b.c.fault(filter, "write a condition, such as amount > 0", "%s: where is %s, not true or false", b.label, p.Type())
		}
	}
	b.findWide(items)
	for _, n := range items {
		b.feature(n)
	}
	for i, n := range b.records("aggregations") {
		b.aggregation(n, i)
	}
	b.states()
	used := map[string]bool{}
	for _, p := range slices.Concat([]*expr.Program{b.view.Where}, b.view.Programs, b.view.InputPrograms) {
		if p == nil {
			continue
		}
		for _, c := range p.Columns() {
			if t, ok := b.typeOf(c); ok && !used[c] {
				used[c] = true
				b.view.columns = append(b.view.columns, feature.Field{Name: c, Type: t})
			}
		}
	}
	slices.SortFunc(b.view.columns, func(x, y feature.Field) int { return strings.Compare(x.Name, y.Name) })
}

func (b *rowBuilder) schemaKnown() bool { return b.view.Source != nil && b.view.Source.Schema != nil }

// typeOf gives the type as which the view reads a column of its source. A column of nothing but NULLs has none.
func (b *rowBuilder) typeOf(column string) (feature.Type, bool) {
	if t, ok := b.wide[column]; ok {
		return t, true
	}
	t, ok := b.view.Source.Schema.Type(column)
	return t, ok && t.Kind != 0
}

// findWide finds the columns that plain features declare, all alike, to be of a wider type than they have, and that no
// expression refers to. They are read as that type, so that a later file which really has it changes nothing.
func (b *rowBuilder) findWide(items []*yaml.Node) {
	if !b.schemaKnown() {
		return
	}
	wide := map[string]feature.Type{}
	narrow := map[string]bool{} // columns that must be read as what they are
	if b.view.Where != nil {
		b.mark(narrow, b.view.Where)
	}
	for _, n := range items {
		f := b.item(n)
		column, declared := f.column()
		own, known := b.view.Source.Schema.Type(column)
		switch {
		case column == "":
			if text, at := f.text("expr"); at != nil {
				if p, err := expr.Compile(text, b.typeOf, expr.Options{}); err == nil {
					b.mark(narrow, p)
				}
			}
		case own.Kind == 0 && declared.Kind == 0:
		case !known || !readsAs(own, declared) || wide[column].Kind != 0 && wide[column] != declared:
			narrow[column] = true
		default:
			wide[column] = declared
		}
	}
	for column := range narrow {
		if own, _ := b.view.Source.Schema.Type(column); own.Kind != 0 {
			delete(wide, column)
		}
	}
	b.wide = wide
}

func (b *rowBuilder) mark(columns map[string]bool, p *expr.Program) {
	for _, c := range p.Columns() {
		columns[c] = true
	}
}

// item returns the record of a feature of o.
func (o object) item(n *yaml.Node) featureItem {
	f := featureItem{object: object{c: o.c, node: n, label: "feature of " + o.label}}
	if f.name, f.nameAt = f.text("name"); f.nameAt != nil {
		f.label = "feature " + f.name + " of " + o.label
	}
	return f
}

// featureItem is the record of one feature.
type featureItem struct {
	object
	name   string
	nameAt *yaml.Node // nil where it has no sound name
}

// named returns the feature with its name, which must have no __, and its notes.
func (f featureItem) named() feature.Feature {
	if strings.Contains(f.name, "__") {
		f.c.fault(f.nameAt, "use single underscores", "%s contains __, which separates view and feature in column names", f.label)
	}
	notes := f.notes()
	return feature.Feature{Field: feature.Field{Name: f.name}, Description: notes.Description, Owner: notes.Owner, Tags: notes.Tags}
}

// column returns the source column that a plain feature takes, "" for an expression, and the type that it declares.
func (f featureItem) column() (column string, declared feature.Type) {
	text, _ := f.text("type")
	declared, _ = feature.ParseType(text) // the zero Type where there is none
	if f.has("expr") {
		return "", declared
	}
	if f.has("column") {
		column, _ = f.text("column")
		return column, declared
	}
	return f.name, declared
}

// feature compiles one feature and appends it to the view.
func (b *rowBuilder) feature(n *yaml.Node) {
	f := b.item(n)
	if f.nameAt == nil || !b.columnName(f.nameAt, "feature", b.taken) {
		return
	}
	out := f.named()
	var p *expr.Program
	if b.schemaKnown() {
		p = b.program(f)
	}
	if p != nil {
		out.Type = p.Type()
		f.setDefault(&out)
	}
	b.view.Features = append(b.view.Features, out)
	b.view.Programs = append(b.view.Programs, p)
}

// program compiles what a feature is computed from, as the type that it declares; nil where that is at fault.
func (b *rowBuilder) program(f featureItem) *expr.Program {
	column, declared := f.column()
	text, at := f.text("expr")
	if column != "" {
		if at = f.get("column"); at == nil {
			at = f.nameAt
		}
		if at == nil || !b.columnKnown(f, column, at) {
			return nil
		}
		text = quoted(column)
	}
	if at == nil {
		return nil
	}
	return f.declare(b.compile(at, f.label, text), column, declared, b.typeOf)
}

// columnKnown checks that the source has the column of a plain feature, and of which type.
func (b *rowBuilder) columnKnown(f featureItem, column string, at *yaml.Node) bool {
	if _, ok := b.typeOf(column); ok {
		return true
	}
	if _, ok := b.view.Source.Schema.Type(column); ok {
		b.c.fault(at, "declare with type: what it will be", "%s: column %s is NULL in every row, so that its type is not known", f.label, column)
	} else if problem := problemOf(b.view.Source, column); problem != "" {
		b.c.fault(at, "", "%s: %s", f.label, problem)
	} else {
		b.c.fault(at, b.columnHint(f, column), "%s: source %s has no column %s", f.label, b.view.Source.Name, column)
	}
	return false
}

// quoted returns a column's path as an expression.
func quoted(path string) string {
	parts := strings.Split(strings.ReplaceAll(path, "`", "``"), ".")
	if slices.Contains(parts, "") { // dots that separate nothing belong to the name
		return "`" + strings.Join(parts, ".") + "`"
	}
	return "`" + strings.Join(parts, "`.`") + "`"
}

func (b *rowBuilder) columnHint(f featureItem, column string) string {
	hint := didYouMean(column, "its columns", b.view.Source.Schema.Names())
	if !f.has("column") && nearest.Name(column, b.view.Source.Schema.Names()) == "" {
		return "say where it comes from with column: or expr:; " + hint
	}
	return hint
}

// compile compiles an expression over the source's columns that stands at n.
func (b *rowBuilder) compile(n *yaml.Node, label, text string) *expr.Program {
	find := func(column string) (feature.Type, *misnamed) {
		t, ok := b.typeOf(column)
		if ok {
			return t, nil
		}
		if _, there := b.view.Source.Schema.Type(column); there {
			return t, &misnamed{message: "column " + column + " is NULL in every row, so that its type is not known", hint: "leave it out until it has values"}
		}
		return t, &misnamed{message: problemOf(b.view.Source, column)}
	}
	return b.expression(n, label, text, find, b.view.Source.Schema.Names)
}
