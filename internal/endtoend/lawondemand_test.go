package endtoend

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// lawExpr is a random expression over int64 beside its naive twin, which gets the values of names; nil is NULL.
type lawExpr struct {
	text  string
	value func(names map[string]any) any
}

// lawOnDemand is a random chain of on-demand features.
type lawOnDemand struct {
	features []lawExpr
	defaults []any
	place    int // of its item among those of the service
}

func randomOnDemand(t *rapid.T) lawOnDemand {
	d := lawOnDemand{place: rapid.IntRange(0, 3).Draw(t, "place")}
	names := []string{"v.y", "other.y", "u.y", "x"}
	for i := range rapid.IntRange(1, 3).Draw(t, "on-demand features") {
		d.features = append(d.features, randomLawExpr(t, names, 3))
		d.defaults = append(d.defaults, rapid.SampledFrom([]any{nil, int64(-7)}).Draw(t, "on-demand default"))
		names = append(names, fmt.Sprint("f", i), fmt.Sprint("d.f", i))
	}
	return d
}

func randomLawExpr(t *rapid.T, names []string, depth int) lawExpr {
	kind := rapid.IntRange(-2, 4).Draw(t, "expression")
	if depth == 0 || kind < 0 {
		name := rapid.SampledFrom(names).Draw(t, "name")
		return lawExpr{name, func(values map[string]any) any { return values[name] }}
	}
	a, b := randomLawExpr(t, names, depth-1), randomLawExpr(t, names, depth-1)
	of := func(format string, value func(a, b any) any) lawExpr {
		return lawExpr{fmt.Sprintf(format, a.text, b.text), func(values map[string]any) any { return value(a.value(values), b.value(values)) }}
	}
	switch kind {
	case 0:
		return of("(%s + %s)", func(a, b any) any {
			if a == nil || b == nil {
				return nil
			}
			return a.(int64) + b.(int64)
		})
	case 1:
		return of("coalesce(%s, %s)", func(a, b any) any {
			if a == nil {
				return b
			}
			return a
		})
	case 2:
		return of("nullif(%s, %s)", func(a, b any) any {
			if a == b {
				return nil
			}
			return a
		})
	case 3:
		return of("if(%[1]s < %[2]s, 3L, %[1]s)", func(a, b any) any {
			if a != nil && b != nil && a.(int64) < b.(int64) {
				return int64(3)
			}
			return a
		})
	}
	return of("case when %s is null then 5L else %s end", func(a, b any) any {
		if a == nil {
			return int64(5)
		}
		return b
	})
}

// yaml returns the entry, and services the item that takes it in svc, where all that it takes is listed, and a service in which little is.
func (d lawOnDemand) yaml() string {
	var y strings.Builder
	y.WriteString("on_demand:\n  - name: d\n    request: {x: int64}\n    views: {other: v}\n    features:\n")
	for i, f := range d.features {
		fmt.Fprintf(&y, "      - {name: f%d, expr: %q", i, f.text)
		if d.defaults[i] != nil {
			fmt.Fprintf(&y, ", default: %d", d.defaults[i])
		}
		y.WriteString("}\n")
	}
	return y.String()
}

// lawServices are the law's two services: in svc every view is listed with all its features, in alone little is, so that what on-demand features take is
// looked up for them. other has v once more, with other keys.
func lawServices(d lawOnDemand, other string) string {
	items := []string{"{view: v}", "{view: u, as: u}", "{view: v, as: other, keys: {" + other + "}}"}
	items = slices.Insert(items, d.place, "{on_demand: d}")
	return "services:\n  - name: svc\n    features:\n      - " + strings.Join(items, "\n      - ") +
		"\n  - name: alone\n    features: [{view: v, features: [s]}, {on_demand: d, as: d, features: [f0]}, {view: v, as: other, keys: {" + other + "}, features: [s]}]\n"
}

// values returns what the features are for the y of each ref and the request's x.
func (d lawOnDemand) values(y, u, other, x any) []any {
	names := map[string]any{"v.y": y, "u.y": u, "other.y": other, "x": x}
	var values []any
	for i, f := range d.features {
		value := f.value(names)
		if value == nil {
			value = d.defaults[i]
		}
		names[fmt.Sprint("f", i)], names[fmt.Sprint("d.f", i)] = value, value
		values = append(values, value)
	}
	return values
}

// checkOnDemandExport holds the on-demand columns of an export against the twin's expressions of its other columns, and those of a service that lists
// little against them.
func (w *lawWorld) checkOnDemandExport(t *rapid.T, spine []lawRow, set map[string]arrow.Array, o pointintime.ExportOptions) {
	nulls, counted := make([]int64, len(w.def.onDemand.features)), w.last.Features
	for i, row := range spine {
		want := w.def.onDemand.values(cell(set["y"], i), cell(set["u__y"], i), cell(set["other__y"], i), row.x)
		for f := range want {
			if got := cell(set[fmt.Sprint("f", f)], i); got != want[f] {
				t.Fatalf("export of f%d for %+v: got %v, the twin says %v\n%s", f, row, got, want[f], w.def.yaml())
			}
		}
	}
	for f := range nulls {
		at := slices.IndexFunc(counted, func(r pointintime.FeatureReport) bool { return r.Column == fmt.Sprint("f", f) })
		if r := counted[at]; r.OnDemand != "d" || r.Present+r.Null != int64(len(spine)) || w.def.onDemand.defaults[f] == nil && r.Null != int64(set[r.Column].NullN()) {
			t.Fatalf("the manifest counts %+v of %d rows", r, len(spine))
		}
	}
	alone, err := w.exportService("alone", spine, o)
	w.must(err)
	sOf := func(features []pointintime.FeatureReport) pointintime.FeatureReport {
		r := features[slices.IndexFunc(features, func(r pointintime.FeatureReport) bool { return r.Column == "s" })]
		r.Age = nil
		return r
	}
	if got, want := sOf(w.last.Features), sOf(counted); got != want {
		t.Fatalf("the manifest counts %+v beside what is looked up for others, %+v without", got, want)
	}
	for i := range spine {
		if got, want := cell(alone["d__f0"], i), cell(set["f0"], i); got != want {
			t.Fatalf("export of f0 for %+v: got %v by itself, %v beside what it takes\n%s", spine[i], got, want, w.def.yaml())
		}
	}
}

// lookup looks a service up for those of columns that it takes.
func (w *lawWorld) lookup(service string, columns map[string]arrow.Array, now feature.Time) (*online.Answer, error) {
	svc, taken := w.service(service), map[string]arrow.Array{}
	for _, f := range slices.Concat(svc.KeyFields(), svc.RequestFields()) {
		taken[f.Name] = columns[f.Name]
	}
	return w.online.Lookup(context.Background(), svc, taken, now, false)
}

// checkOnDemandOnline holds on-demand columns that were looked up against the twin's expressions of the others, those of a service that lists little
// against them, and all against an export as of the same time, nil where the views are not of one time.
func (w *lawWorld) checkOnDemandOnline(t *rapid.T, columns map[string]arrow.Array, answer *online.Answer, now feature.Time, set map[string]arrow.Array) {
	looked := map[string]*online.Column{}
	for _, c := range answer.Columns {
		looked[c.Name] = c
	}
	only, err := w.lookup("alone", columns, now)
	w.must(err)
	for i := range answer.Rows {
		want := w.def.onDemand.values(cell(looked["y"].Values(), i), cell(looked["u__y"].Values(), i), cell(looked["other__y"].Values(), i), cell(columns["x"], i))
		for f := range want {
			name := fmt.Sprint("f", f)
			c := looked[name]
			if got := cell(c.Values(), i); got != want[f] || c.Found[i] || (c.Statuses[i] == feature.Null) != (got == nil) && w.def.onDemand.defaults[f] == nil {
				t.Fatalf("online %s: got %v %s, the twin says %v\n%s", name, got, c.Statuses[i], want[f], w.def.yaml())
			}
			if set != nil && want[f] != cell(set[name], i) {
				t.Fatalf("online %s: got %v, the export says %v\n%s", name, want[f], cell(set[name], i), w.def.yaml())
			}
		}
		if got := cell(only.Columns[1].Values(), min(i, only.Rows-1)); got != want[0] {
			t.Fatalf("online f0: got %v by itself, %v beside what it takes\n%s", got, want[0], w.def.yaml())
		}
	}
}
