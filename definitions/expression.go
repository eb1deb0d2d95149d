package definitions

import (
	"errors"

	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"go.yaml.in/yaml/v4"
)

// misnamed is why a name in an expression has no type.
type misnamed struct {
	message, hint string // no message: there is nothing of that name
	told          bool   // it is a fault of its own elsewhere
}

// expression compiles the text of an expression that stands at n, with the columns that find gives the types of; names lists them for hints. A fault
// is reported at its own place inside n.
func (o object) expression(n *yaml.Node, label, text string, find func(column string) (feature.Type, *misnamed), names func() []string) *expr.Program {
	var wrong *misnamed // the name that the compiler has stopped at
	typeOf := func(column string) (t feature.Type, ok bool) {
		t, wrong = find(column)
		return t, wrong == nil
	}
	p, err := expr.Compile(text, typeOf, expr.Options{Names: names})
	if err == nil || wrong != nil && wrong.told {
		return p
	}
	fault := Fault{File: o.c.file.name, Line: n.Line, Column: n.Column, Message: label + ": " + err.Error()}
	var at *expr.Error
	if errors.As(err, &at) {
		fault.Message, fault.Hint = label+": "+at.Message, at.Hint
		if wrong != nil && wrong.message != "" {
			fault.Message, fault.Hint = label+": "+wrong.message, wrong.hint
		}
		if n.Value == text {
			fault.Line, fault.Column = o.c.file.place(n, at.Line, at.Column)
		}
	}
	o.c.bad[n] = true
	o.c.faults = append(o.c.faults, fault)
	return nil
}

// declare returns p, which computes f, as the type that f declares, the zero Type for none; column is the source column that p is nothing but, if it is.
func (f featureItem) declare(p *expr.Program, column string, declared feature.Type, typeOf func(string) (feature.Type, bool)) *expr.Program {
	if p == nil || declared.Kind == 0 || p.Type() == declared {
		return p
	}
	cast := "cast(" + p.SparkSQL() + " as " + declared.String() + ")"
	typed, err := expr.Compile(cast, typeOf, expr.Options{})
	if err == nil && (widens(p.Type(), declared) || column != "" && readsAs(p.Type(), declared)) {
		return typed
	}
	hint := ""
	if err == nil {
		what := p.Source()
		if column != "" {
			what = p.SparkSQL()
		}
		hint = "convert it with expr: cast(" + what + " as " + declared.String() + ")"
	}
	f.c.fault(f.get("type"), hint, "%s: it is declared as %s, but is %s", f.label, declared, p.Type())
	return nil
}

// setDefault reads the default of a feature whose type is known.
func (f featureItem) setDefault(out *feature.Feature) {
	n := f.get("default")
	if n == nil {
		return
	}
	value, misfit := parseDefault(n, out.Type)
	if misfit != nil {
		f.c.fault(n, misfit.hint, "%s: its default must be %s, not %s", f.label, out.Type, misfit.got)
		return
	}
	out.Default = value
}
