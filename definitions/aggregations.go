package definitions

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"go.yaml.in/yaml/v4"
)

// granularityMax is the longest granularity: tiles of more than a year help nobody.
const granularityMax = 366 * day

// granularity checks the fields of a view that go with aggregations, or do not.
func (o object) granularity(v *View) {
	if n := o.get("granularity"); n != nil {
		switch {
		case !o.has("aggregations"):
			o.c.fault(n, "leave it out: the latest value has no tiles", "%s: granularity is for aggregations", o.label)
		case v.Granularity == 0:
			o.c.fault(n, "leave granularity out for exact windows", "%s: granularity is zero", o.label)
		case v.Granularity > granularityMax:
			o.c.fault(n, "", "%s: granularity is longer than %s", o.label, FormatDuration(granularityMax))
		}
	}
	if n := o.get("ttl"); n != nil && o.has("aggregations") {
		o.c.fault(n, "leave ttl out: what is older than its window does not count anyway", "%s: ttl is for features, not for aggregations", o.label)
	}
}

// input is what goes into aggregations of a view.
type input struct {
	feature.Field
	program *expr.Program // nil: rows are counted
}

// aggregationItem is the record of an aggregation.
type aggregationItem struct {
	object
	function string
	name     string
	nameAt   *yaml.Node // nil without a name
	at       *yaml.Node // what stands for the input in faults: column, expr or function
}

// aggregation adds a feature for each window of the i-th aggregation.
func (b *rowBuilder) aggregation(n *yaml.Node, i int) {
	a := aggregationItem{object: object{c: b.c, node: n, label: fmt.Sprintf("aggregation %d of %s", i+1, b.label)}}
	function, at := a.text("function")
	a.function, a.at = function, at
	if a.name, a.nameAt = a.text("name"); a.nameAt != nil {
		a.label = "aggregation " + a.name + " of " + b.label
		if strings.Contains(a.name, "__") {
			b.c.fault(a.nameAt, "use single underscores", "%s contains __, which separates view and feature in column names", a.label)
			return
		}
	}
	if at != nil {
		b.windows(a, b.call(&a))
	}
}

// readyCall is an aggregation but for its window, with its function made ready.
type readyCall struct {
	feature.Aggregation
	*aggregate.Call
	fallback any
}

// call returns the aggregation without its window; nil where that is at fault.
func (b *rowBuilder) call(a *aggregationItem) *readyCall {
	if !b.schemaKnown() {
		return nil
	}
	in, ok := b.input(a)
	if !ok {
		return nil
	}
	parameters, ok := a.parameters()
	if !ok {
		return nil
	}
	r := &readyCall{Aggregation: feature.Aggregation{Function: a.function, Input: in.Field, Parameters: parameters}}
	var err error
	if r.Call, err = aggregate.New(r.Aggregation); err != nil {
		b.c.fault(a.at, inputHint(in.Type), "%s: %s", a.label, err)
		return nil
	}
	if r.fallback, ok = a.fallback(r.Call); !ok {
		return nil
	}
	return r
}

func inputHint(t feature.Type) string {
	if t == feature.Scalar(feature.Bool) {
		return "make it a number with expr: if(CONDITION, 1, 0)"
	}
	return ""
}

// input returns what goes into an aggregation, which is compiled when it is met first.
func (b *rowBuilder) input(a *aggregationItem) (input, bool) {
	column, columnAt := a.text("column")
	text, exprAt := a.text("expr")
	where, whereAt := a.text("where")
	stem := a.name
	switch {
	case a.has("column") && columnAt == nil, a.has("expr") && exprAt == nil, a.has("where") && whereAt == nil, a.has("name") && a.nameAt == nil:
		return input{}, false // faulty
	case columnAt != nil:
		a.at = columnAt
		if !b.columnKnown(featureItem{object: a.object, name: column, nameAt: columnAt}, column, columnAt) {
			return input{}, false
		}
		text = quoted(column)
		if stem == "" {
			stem = plainName(column)
		}
	case exprAt != nil:
		a.at = exprAt
		if stem == "" {
			b.c.fault(exprAt, "add name: what to call it", "%s has an expr and no name", a.label)
			return input{}, false
		}
	case !aggregate.TakesRows(a.function):
		b.c.fault(a.at, "add column: or expr:", "%s: function %s needs a column or an expression", a.label, a.function)
		return input{}, false
	case stem == "":
		stem = "rows"
	}
	if !nameShape().matches(stem) || strings.Contains(stem, "__") {
		b.c.fault(a.at, "give the aggregation a name", "%s: no feature can be called after %s", a.label, column)
		return input{}, false
	}
	program, ok := b.inputProgram(a, text, where, whereAt)
	if !ok {
		return input{}, false
	}
	return b.known(a, stem, program)
}

// plainName returns a column's path as a name.
func plainName(path string) string { return strings.ReplaceAll(path, ".", "_") }

// inputProgram compiles what goes into an aggregation: nil where all rows are counted.
func (b *rowBuilder) inputProgram(a *aggregationItem, text, where string, whereAt *yaml.Node) (_ *expr.Program, ok bool) {
	value := "true"
	var p *expr.Program
	if text != "" {
		if p = b.compile(a.at, a.label, text); p == nil {
			return nil, false
		}
		value = p.SparkSQL()
	}
	if whereAt == nil {
		return p, true
	}
	condition := b.compile(whereAt, a.label, where)
	if condition == nil {
		return nil, false
	}
	if condition.Type() != feature.Scalar(feature.Bool) {
		b.c.fault(whereAt, "write a condition, such as amount > 0", "%s: where is %s, not true or false", a.label, condition.Type())
		return nil, false
	}
	filtered := "case when " + condition.SparkSQL() + " then " + value + " end"
	p, err := expr.Compile(filtered, b.typeOf, expr.Options{})
	if err != nil {
		b.c.fault(whereAt, "make the expressions shorter", "%s: %s", a.label, err)
		return nil, false
	}
	return p, true
}

// known returns the view's input of that name, adding it if it is new. Another one of the same name is a fault.
func (b *rowBuilder) known(a *aggregationItem, stem string, p *expr.Program) (input, bool) {
	in := input{Field: feature.Field{Name: stem}, program: p}
	if p != nil {
		in.Type = p.Type()
	}
	before, there := b.inputs[strings.ToLower(stem)]
	if !there {
		if b.inputs == nil {
			b.inputs = map[string]input{}
		}
		b.inputs[strings.ToLower(stem)] = in
		if p != nil {
			b.view.Inputs, b.view.InputPrograms = append(b.view.Inputs, in.Field), append(b.view.InputPrograms, p)
		}
		return in, true
	}
	if before.Name != in.Name || before.Type != in.Type || (before.program == nil) != (p == nil) || p != nil && before.program.SparkSQL() != p.SparkSQL() {
		at := a.nameAt
		if at == nil {
			at = a.at
		}
		b.c.fault(at, "give one of them another name", "%s: another aggregation of the view has values of the same name, %s, which are not the same", a.label, stem)
		return input{}, false
	}
	return before, true
}

// windows adds the features of an aggregation. Those of a faulty one have their names alone, so that to refer to them is no
// second fault.
func (b *rowBuilder) windows(a aggregationItem, call *readyCall) {
	notes := a.notes()
	var seen []time.Duration
	for _, n := range a.items("windows") {
		length, text, ok := b.window(a, n)
		if !ok {
			continue
		}
		if slices.Contains(seen, length) {
			b.c.fault(n, "", "%s: window %s is listed twice", a.label, text)
			continue
		}
		seen = append(seen, length)
		name := a.featureName() + "_" + text
		at := *n // a fault of the name is one of the window, or of the name that is given
		if a.nameAt != nil {
			at = *a.nameAt
		}
		at.Value = name
		if len(name) > nameBytesMax {
			b.c.fault(&at, "give the aggregation a shorter name", "%s: the name %s is longer than %d", a.label, name, nameBytesMax)
			continue
		}
		if !a.columnName(&at, "feature", b.taken) {
			continue
		}
		f := feature.Feature{Field: feature.Field{Name: name}, Description: notes.Description, Owner: notes.Owner, Tags: notes.Tags}
		if call != nil {
			own := call.Aggregation
			own.Window = length
			f.Type, f.Default, f.Aggregation = call.Type, call.fallback, &own
		}
		b.view.Features = append(b.view.Features, f)
	}
}

// featureName returns what the features of an aggregation are called, before _WINDOW.
func (a aggregationItem) featureName() string {
	column, _ := a.text("column")
	switch {
	case a.name != "":
		return a.name
	case column != "":
		return plainName(column) + "_" + a.function
	}
	return a.function
}

// window reads a window: its length, 0 for one that is unbounded, and its text in features' names.
func (b *rowBuilder) window(a aggregationItem, n *yaml.Node) (length time.Duration, text string, ok bool) {
	if n.Value == "unbounded" {
		return 0, n.Value, true
	}
	length, err := ParseDuration(n.Value)
	g := b.view.Granularity
	switch {
	case err != nil:
		b.c.fault(n, "write unbounded for a window without end", "%s: window: %s", a.label, err)
	case length == 0:
		b.c.fault(n, "write unbounded for a window without end", "%s: a window of %s holds nothing", a.label, n.Value)
	case g > 0 && length%g != 0:
		hint := "take a multiple, or another granularity"
		if up := (length/g + 1) * g; up <= durationMax {
			hint = fmt.Sprintf("take %s, or another granularity", FormatDuration(up))
		}
		b.c.fault(n, hint, "%s: window %s is no multiple of the granularity, %s", a.label, n.Value, FormatDuration(g))
	default:
		return length, FormatDuration(length), true
	}
	return 0, "", false
}

// fallback returns what stands in for NULL: for a count, which is never NULL, what a key that was never seen has.
func (a aggregationItem) fallback(call *aggregate.Call) (_ any, ok bool) {
	n := a.get("default")
	switch {
	case n == nil:
		return call.Empty, !a.has("default")
	case call.Empty != nil:
		a.c.fault(n, "leave it out", "%s: %s is never NULL, so that it needs no default: for a window without values it is %v", a.label, a.function, call.Empty)
		return nil, false
	}
	value, misfit := parseDefault(n, call.Type)
	if misfit != nil {
		a.c.fault(n, misfit.hint, "%s: its default must be %s, not %s", a.label, call.Type, misfit.got)
		return nil, false
	}
	return value, true
}

// states fills in the columns of the view's tiles.
func (b *rowBuilder) states() {
	if !b.has("aggregations") || slices.ContainsFunc(b.view.Features, func(f feature.Feature) bool { return f.Aggregation == nil }) {
		return
	}
	specs, err := aggregate.Specs(b.view.Features)
	if err != nil {
		b.c.fault(b.node, "", "%s: %s", b.label, err)
		return
	}
	for _, s := range specs {
		b.view.States = append(b.view.States, s.Columns...)
	}
	for _, s := range b.view.States {
		if other := b.taken[strings.ToLower(s.Name)]; other != "" {
			b.c.fault(b.get("aggregations"), "give the aggregation another name", "%s: a column of its tiles would be called %s, a name that is taken by %s", b.label, s.Name, other)
		}
	}
}

// number is a parameter of functions that is a number.
type number struct {
	field    string
	min, max float64
	whole    bool
	standard float64 // 0: it must be given
}

func numberParameters() []number {
	return []number{{field: "n", min: 1, max: 1000, whole: true}, {field: "precision", min: 4, max: 16, whole: true, standard: 12}, {field: "accuracy", min: 0.001, max: 0.2, standard: 0.01}}
}

// parameters reads the parameters of an aggregation's function.
func (a aggregationItem) parameters() (p feature.Parameters, ok bool) {
	ok = true
	takes := aggregate.Parameters(a.function)
	values := map[string]float64{}
	for _, number := range numberParameters() {
		v, sound := a.number(number, takes)
		values[number.field], ok = v, ok && sound
	}
	p.N, p.Precision, p.Accuracy = int(values["n"]), int(values["precision"]), values["accuracy"]
	at := a.get("p")
	switch {
	case !slices.Contains(takes, "p"):
		return p, a.refuse("p") && ok
	case at == nil:
		if !a.has("p") {
			a.c.fault(a.node, "add p: 0.5, or a list", "%s: function %s needs p", a.label, a.function)
		}
		return p, false
	}
	items := []*yaml.Node{at}
	if fits(at, listShape) {
		items, p.PList = at.Content, true
	}
	for _, item := range items {
		v, sound := a.inRange(deref(item), number{field: "p", min: 0, max: 1})
		p.P, ok = append(p.P, v), ok && sound
	}
	if len(items) > percentilesMax {
		a.c.fault(at, "", "%s: p has %d values: at most %d are possible", a.label, len(items), percentilesMax)
		return p, false
	}
	return p, ok
}

// percentilesMax bounds the values of p.
const percentilesMax = 100

// refuse notes a fault where a parameter is given that the function does not take; ok is false then.
func (a aggregationItem) refuse(field string) (ok bool) {
	if n := a.get(field); n != nil {
		a.c.fault(n, "leave it out", "%s: function %s takes no %s", a.label, a.function, field)
	}
	return !a.has(field)
}

// number reads one parameter.
func (a aggregationItem) number(p number, takes []string) (v float64, ok bool) {
	if !slices.Contains(takes, p.field) {
		return 0, a.refuse(p.field)
	}
	n := a.get(p.field)
	switch {
	case n != nil:
		return a.inRange(n, p)
	case a.has(p.field):
		return 0, false
	case p.standard == 0:
		a.c.fault(a.node, "add "+p.field+":", "%s: function %s needs %s", a.label, a.function, p.field)
		return 0, false
	}
	return p.standard, true
}

// inRange reads a number within the bounds of a parameter.
func (a aggregationItem) inRange(n *yaml.Node, p number) (v float64, ok bool) {
	err := n.Decode(&v)
	if err == nil && v >= p.min && v <= p.max && (!p.whole || v == math.Trunc(v)) {
		return v, true
	}
	what := "a number"
	if p.whole {
		what = "a whole number"
	}
	a.c.fault(n, "", "%s: %s must be %s from %s to %s, not %s", a.label, p.field, what, plain(p.min), plain(p.max), n.Value)
	return 0, false
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
