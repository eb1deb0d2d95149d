package ondemand

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
)

// twin is a feature beside its naive twin: one expression over request fields and features of views alone, in which everything that the feature takes is written out.
type twin struct {
	name, inlined string
	group         *feature.OnDemand
	at            int
	views, fields []string // what it takes, also by others
}

// model is a random set of views and on-demand features over them, all float64.
type model struct {
	views  []*feature.View
	groups []*feature.OnDemand
	twins  []twin
}

func field(name string) feature.Field {
	return feature.Field{Name: name, Type: feature.Scalar(feature.Float64)}
}

func float(string) (feature.Type, bool) { return feature.Scalar(feature.Float64), true }

func randomModel(t *rapid.T) *model {
	m := &model{views: []*feature.View{
		{Name: "v", Keys: []feature.Field{field("k")}, Features: []feature.Feature{{Field: field("a")}, {Field: field("b")}}},
		{Name: "w", Keys: []feature.Field{field("k"), field("l")}, Features: []feature.Feature{{Field: field("a")}}},
	}}
	m.groups = []*feature.OnDemand{{Name: "g", Request: []feature.Field{field("x"), field("y")}}, {Name: "h", Request: []feature.Field{field("x")}}}
	for range rapid.IntRange(1, 6).Draw(t, "features") {
		m.add(t, m.groups[rapid.IntRange(0, 1).Draw(t, "group")])
	}
	return m
}

// add adds a feature to a group, computed from up to three things that are there.
func (m *model) add(t *rapid.T, group *feature.OnDemand) {
	f := feature.OnDemandFeature{Feature: feature.Feature{Field: field(fmt.Sprint("f", len(m.twins)))}}
	own := twin{name: group.Name + "." + f.Name, group: group, at: len(group.Features)}
	text, inlined := "0.5", "0.5"
	for range rapid.IntRange(1, 3).Draw(t, "terms") {
		in, term := feature.Input{}, ""
		switch kind := rapid.IntRange(0, 2).Draw(t, "term"); {
		case kind == 0:
			in.Column = rapid.SampledFrom(group.Request).Draw(t, "field").Name
			term, own.fields = in.Column, append(own.fields, in.Column)
		case kind == 1 || len(m.twins) == 0:
			in.View = rapid.SampledFrom(m.views).Draw(t, "view")
			in.ViewName, in.Feature = in.View.Name, rapid.IntRange(0, len(in.View.Features)-1).Draw(t, "feature")
			in.Column = in.ViewName + "." + in.View.Features[in.Feature].Name
			term, own.views = in.Column, append(own.views, in.Column)
		default:
			other := rapid.SampledFrom(m.twins).Draw(t, "other")
			in.Column, in.OnDemand, in.Feature = other.name, other.group, other.at
			term, own.views, own.fields = other.inlined, append(own.views, other.views...), append(own.fields, other.fields...)
		}
		format := rapid.SampledFrom([]string{"(%s - %s)", "coalesce(%s, %s)", "nullif(%s, %s)", "if(%[1]s < %[2]s, %[1]s, %[2]s)"}).Draw(t, "format")
		text, inlined = fmt.Sprintf(format, text, in.Column), fmt.Sprintf(format, inlined, term)
		if !slices.ContainsFunc(f.Inputs, func(known feature.Input) bool { return known.Column == in.Column }) {
			f.Inputs = append(f.Inputs, in)
		}
	}
	if rapid.Bool().Draw(t, "default") {
		f.Default, inlined = 7.0, "coalesce("+inlined+", 7D)"
	}
	own.inlined, f.Program = inlined, compile(t, text)
	slices.SortFunc(f.Inputs, func(a, b feature.Input) int { return strings.Compare(a.Column, b.Column) })
	group.Features, m.twins = append(group.Features, f), append(m.twins, own)
}

func compile(t *rapid.T, text string) *expr.Program {
	p, err := expr.Compile(text, float, expr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// service returns a service of v, and of w at times, in part, and of some on-demand features, one by one, in any order, some of them twice; asked are those.
func (m *model) service(t *rapid.T) (svc *feature.Service, asked []twin) {
	svc = &feature.Service{Name: "s"}
	for _, v := range m.views[:rapid.IntRange(0, 2).Draw(t, "listed")] {
		r := feature.Ref{View: v, Features: []int{rapid.IntRange(0, len(v.Features)-1).Draw(t, "listed feature")}}
		for _, k := range v.Keys {
			r.KeyColumns = append(r.KeyColumns, k.Name)
		}
		svc.Refs = append(svc.Refs, r)
	}
	asked = rapid.SliceOfN(rapid.SampledFrom(m.twins), 1, 6).Draw(t, "asked")
	place := rapid.IntRange(0, len(svc.Refs)).Draw(t, "place")
	for i, a := range asked {
		if err := Bind(svc, Binding{OnDemand: a.group, Features: []int{a.at}, Alias: fmt.Sprint("n", i), Place: place + i}); err != nil {
			t.Fatal(err)
		}
	}
	return svc, asked
}

func column(t *rapid.T, label string, rows int) arrow.Array {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	for range rows {
		if n := rapid.IntRange(-1, 3).Draw(t, label); n < 0 {
			b.AppendNull()
		} else {
			b.Append(float64(n))
		}
	}
	return b.NewArray()
}

// TestComputeAgreesWithInlining checks on random chains of features that a feature is what its expression gives with everything that it takes written
// out in it, and that a service takes no column, looks up no feature and computes none that it does not need.
func TestComputeAgreesWithInlining(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := randomModel(t)
		svc, asked := m.service(t)
		const rows = 5
		in, base := Inputs{Rows: rows, Columns: map[string]arrow.Array{}}, map[string]arrow.Array{}
		for _, f := range slices.Concat(svc.KeyFields(), svc.RequestFields()) {
			in.Columns[f.Name] = column(t, f.Name, rows)
			base[f.Name] = in.Columns[f.Name]
		}
		looked := 0
		for i := range svc.Refs {
			r := &svc.Refs[i]
			in.Looked = append(in.Looked, nil)
			for _, f := range r.Lookups() {
				name := r.Name() + "." + r.View.Features[f].Name
				base[name] = column(t, name, rows)
				in.Looked[i] = append(in.Looked[i], base[name])
				listed := slices.Contains(r.Features, f)
				if !listed && !slices.ContainsFunc(asked, func(a twin) bool { return slices.Contains(a.views, name) }) {
					t.Fatalf("%s is looked up for nobody", name)
				}
				looked++
			}
		}
		if len(base) != looked+len(in.Columns) {
			t.Fatalf("a feature is looked up twice: %v", base)
		}
		for _, f := range svc.RequestFields() {
			if !slices.ContainsFunc(asked, func(a twin) bool { return slices.Contains(a.fields, f.Name) }) {
				t.Fatalf("nobody takes %s", f.Name)
			}
		}
		computed, err := Compute(svc, in)
		if err != nil {
			t.Fatal(err)
		}
		once := map[string]bool{}
		for _, a := range asked {
			once[a.name] = true
		}
		if most := len(m.twins) + len(asked) - len(once); len(svc.Computed) > most {
			t.Fatalf("%d features are computed, %d are enough", len(svc.Computed), most)
		}
		columns := svc.Columns(false)
		for i, a := range asked {
			at := slices.IndexFunc(columns, func(c feature.ServiceColumn) bool { return strings.HasPrefix(c.Name, fmt.Sprint("n", i, "__")) })
			if at < 0 || i > 0 && !strings.HasPrefix(columns[at-1].Name, fmt.Sprint("n", i-1, "__")) {
				t.Fatalf("feature %d stands at %d among %v", i, at, columns)
			}
			got := computed[columns[at].Feature]
			want, err := compile(t, a.inlined).Eval(func(name string) arrow.Array { return base[name] }, rows)
			if err != nil {
				t.Fatal(err)
			}
			if !array.Equal(got.Values, want) {
				t.Fatalf("%s is %v, and %s is %v", a.name, got.Values, a.inlined, want)
			}
			for row, s := range got.Statuses {
				if s != feature.Present && s != feature.Null || s == feature.Present && want.IsNull(row) {
					t.Fatalf("%s of %v has the status %s", a.name, want.ValueStr(row), s)
				}
			}
		}
	})
}

// TestBindManyTimes: what two features share is bound once, so that a ladder, in which each rung takes both features of the one below, takes no time.
func TestBindManyTimes(t *testing.T) {
	const rungs = 60
	ladder := &feature.OnDemand{Name: "ladder", Request: []feature.Field{field("x")}}
	for i := range rungs {
		for side := range 2 {
			f := feature.OnDemandFeature{Feature: feature.Feature{Field: field(fmt.Sprint("f", i, "_", side))}}
			text := "x"
			if i > 0 {
				text = fmt.Sprintf("f%d_0 + f%d_1", i-1, i-1)
			}
			p, err := expr.Compile(text, float, expr.Options{})
			if err != nil {
				t.Fatal(err)
			}
			f.Program = p
			for j, name := range p.Columns() {
				in := feature.Input{Column: name}
				if i > 0 {
					in.OnDemand, in.Feature = ladder, 2*(i-1)+j
				}
				f.Inputs = append(f.Inputs, in)
			}
			ladder.Features = append(ladder.Features, f)
		}
	}
	svc := &feature.Service{Name: "s"}
	if err := Bind(svc, Binding{OnDemand: ladder, Features: []int{2*rungs - 1}}); err != nil || len(svc.Computed) != 2*rungs-1 {
		t.Fatalf("%d features are computed, %v", len(svc.Computed), err)
	}
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.Append(1)
	computed, err := Compute(svc, Inputs{Rows: 1, Columns: map[string]arrow.Array{"x": b.NewArray()}})
	if err != nil || computed[len(computed)-1].Values.(*array.Float64).Value(0) != 1<<(rungs-1) {
		t.Fatalf("the top is %v, %v", computed[len(computed)-1].Values, err)
	}
}

// TestBindFaults: every fault is an error of its own, and all come at once.
func TestBindFaults(t *testing.T) {
	v := &feature.View{Name: "v", Features: []feature.Feature{{Field: field("a")}}}
	group := &feature.OnDemand{Name: "g", Request: []feature.Field{{Name: "x", Type: feature.Scalar(feature.Bool)}}, Features: []feature.OnDemandFeature{{
		Feature: feature.Feature{Field: field("f")},
		Inputs:  []feature.Input{{Column: "other.a", View: v, ViewName: "other"}, {Column: "x"}},
	}}}
	svc := &feature.Service{Name: "s", Refs: []feature.Ref{{View: &feature.View{Name: "w", Keys: []feature.Field{field("x")}}, KeyColumns: []string{"x"}}}}
	err := Bind(svc, Binding{OnDemand: group, Features: []int{0}, Views: map[string]string{"v": "w"}})
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) || len(all.Unwrap()) != 3 || !errors.Is(err, feature.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{"list view v with as: other", "its request field x is bool, and the service has a column of that name that is float64", "it takes nothing of a view that it calls v"} {
		if got := all.Unwrap()[i].Error(); !strings.HasPrefix(got, "on_demand g: ") || !strings.Contains(got, want) {
			t.Errorf("fault %d is %q, not %q", i, got, want)
		}
	}
}
