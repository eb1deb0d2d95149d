package main

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
)

// explainedOnDemand is an on-demand feature, its expression, and what that was computed from.
type explainedOnDemand struct {
	OnDemand string           `json:"on_demand"`
	Feature  string           `json:"feature"`
	Name     string           `json:"column,omitempty"` // none where other on-demand features alone take it
	Expr     string           `json:"expr"`             // as Spark SQL
	Inputs   []explainedInput `json:"inputs"`
	Answer   *explainedAnswer `json:"answer,omitempty"` // nil where it cannot be computed
}

// explainedInput is what a name in an expression stands for.
type explainedInput struct {
	Name  string `json:"name"`  // in the expression
	Is    string `json:"is"`    // in the service: a field or key, view.feature by the view's alias, or on_demand.feature
	Known bool   `json:"known"` // whether it has a value, which may be NULL
	Value any    `json:"value"`
}

// explainedAnswer is a value that was computed.
type explainedAnswer struct {
	Value  any    `json:"value"`
	Status string `json:"status"`
}

// explainOnDemand adds the service's on-demand features, computed from columns and from what was looked up of each ref, as far as fields are given.
func (e *explained) explainOnDemand(svc *feature.Service, columns map[string]arrow.Array, looked [][]arrow.Array) {
	if len(svc.Computed) == 0 {
		return
	}
	var computed []ondemand.Column
	err := fieldsOf(svc).complete(svc.Name, columns)
	if err == nil {
		computed, err = ondemand.Compute(svc, ondemand.Inputs{Rows: 1, Columns: columns, Looked: looked})
	}
	if err != nil {
		e.Notes = append(e.Notes, "on-demand features are not computed: "+err.Error())
		computed = make([]ondemand.Column, len(svc.Computed))
	}
	for i := range svc.Computed {
		c := &svc.Computed[i]
		f := c.Definition()
		o := explainedOnDemand{OnDemand: c.OnDemand.Name, Feature: f.Name, Expr: f.Program.SparkSQL(), Inputs: []explainedInput{}}
		if c.Place >= 0 {
			o.Name = c.ColumnName(false)
		}
		for j, in := range f.Inputs {
			from := c.Sources[j]
			value := columns[from.Column]
			switch {
			case from.Ref >= 0:
				value = looked[from.Ref][from.Feature]
			case from.Column == "":
				value = computed[from.Feature].Values
			}
			x := explainedInput{Name: in.Column, Is: svc.SourceName(from), Known: value != nil}
			if x.Known {
				x.Value = jsonValue(value)
			}
			o.Inputs = append(o.Inputs, x)
		}
		if v := computed[i]; v.Values != nil {
			o.Answer = &explainedAnswer{jsonValue(v.Values), v.Statuses[0].String()}
		}
		e.OnDemand = append(e.OnDemand, o)
	}
}

// title names the feature and its value.
func (o *explainedOnDemand) title() string {
	title := o.OnDemand + "." + o.Feature
	if o.Name != "" && o.Name != o.Feature {
		title += " as " + o.Name
	}
	if o.Answer == nil {
		return title
	}
	return title + " = " + valueText(o.Answer.Value) + " " + o.Answer.Status
}

// lines says how the value is computed.
func (o *explainedOnDemand) lines() (l lines) {
	l.add("expr", "%s", o.Expr)
	for i, in := range o.Inputs {
		text := in.Name + " is not known"
		if in.Known {
			text = in.Name + " = " + valueText(in.Value)
		}
		if in.Is != in.Name {
			text += ", which is " + in.Is
		}
		l.add(labelOf("inputs", i), "%s", text)
	}
	return l
}
