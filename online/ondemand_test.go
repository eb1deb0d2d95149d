package online

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
)

// doubled is an on-demand feature over the age of profile and a field of the request.
func doubled(t testing.TB, v *feature.View) *feature.OnDemand {
	t.Helper()
	p, err := expr.Compile("profile.age * times", func(string) (feature.Type, bool) { return feature.Scalar(feature.Int64), true }, expr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &feature.OnDemand{Name: "d", Request: []feature.Field{{Name: "times", Type: feature.Scalar(feature.Int64)}}, Features: []feature.OnDemandFeature{{
		Feature: feature.Feature{Field: feature.Field{Name: "age_times", Type: feature.Scalar(feature.Int64)}, Default: int64(-1)}, Program: p,
		Inputs: []feature.Input{{Column: "profile.age", View: v, ViewName: "profile", Feature: 0}, {Column: "times"}},
	}}}
}

// TestLookupOnDemand looks up a feature that is computed from a field of the request and from a value that the service does not list.
func TestLookupOnDemand(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	publish(t, s, v, true, State{}, func(p *Publish) error {
		return errors.Join(p.Put(key(1), row(t, v, hour, int64(1), "one")), p.Put(key(2), row(t, v, 2*hour, nil, "two")))
	})
	svc := &feature.Service{Name: "svc", Refs: []feature.Ref{{View: v, KeyColumns: []string{v.Keys[0].Name}, Features: []int{1}}}}
	if err := ondemand.Bind(svc, ondemand.Binding{OnDemand: doubled(t, v), Features: []int{0}}); err != nil {
		t.Fatal(err)
	}
	given := map[string]arrow.Array{
		v.Keys[0].Name: column(t, feature.Scalar(feature.Int64), int64(1), int64(1), int64(2), int64(3), nil),
		"times":        column(t, feature.Scalar(feature.Int64), int64(21), nil, int64(4), int64(5), int64(6)),
	}
	a, err := s.Lookup(context.Background(), svc, given, hour, true)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"21 PRESENT", "one PRESENT@01:00"}, {"-1 NULL", "one PRESENT@01:00"}, {"-1 NULL", "two PRESENT@02:00"}, {"-1 NULL", "? NOT_FOUND"}, {"-1 NULL", "? NOT_FOUND"}}
	if d := cmp.Diff(want, show(a.Columns)); d != "" {
		t.Error(d)
	}
	if c := a.Columns[0]; c.Name != "d__age_times" || c.Ref != -1 || c.Type != feature.Scalar(feature.Int64) || a.Columns[1].Ref != 0 {
		t.Errorf("%+v", c)
	}
	lookup := func(change func(map[string]arrow.Array)) error {
		changed := maps.Clone(given)
		change(changed)
		_, err := s.Lookup(context.Background(), svc, changed, hour, false)
		return err
	}
	wantKind(t, lookup(func(m map[string]arrow.Array) { delete(m, "times") }), feature.ErrInvalid, "service svc needs the request field times (int64)")
	wantKind(t, lookup(func(m map[string]arrow.Array) { m["x"] = m["times"] }), feature.ErrInvalid, "takes no column x", "times (int64)")
	wantKind(t, lookup(func(m map[string]arrow.Array) { m["times"] = column(t, feature.Scalar(feature.Float64), 1.0) }), feature.ErrInvalid, "request field times holds float64, service svc needs int64")
	wantKind(t, lookup(func(m map[string]arrow.Array) { m["times"] = column(t, feature.Scalar(feature.Int64), int64(1)) }), feature.ErrInvalid, "request field times has 1 values", "has 5")
	wantKind(t, lookup(func(m map[string]arrow.Array) {
		m[v.Keys[0].Name] = column(t, feature.Scalar(feature.Int64), int64(1), int64(1), int64(1), int64(1), int64(1))
		m["times"] = column(t, feature.Scalar(feature.Int64), int64(1)<<62, nil, nil, nil, nil)
	}), nil)
	publish(t, s, v, true, State{}, func(p *Publish) error { return p.Put(key(1), row(t, v, hour, int64(4), "one")) })
	wantKind(t, lookup(func(m map[string]arrow.Array) {
		m["times"] = column(t, feature.Scalar(feature.Int64), int64(1), int64(1)<<61, nil, nil, nil)
	}), feature.ErrInvalid, "service svc, on-demand feature d.age_times: row 1: profile.age * times: integer overflow")
}

// TestLookupFieldsAlone: without keys the fields of the request give the number of rows.
func TestLookupFieldsAlone(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	v.Keys = nil
	publish(t, s, v, true, State{}, func(p *Publish) error { return p.Put(nil, row(t, v, hour, int64(2), "two")) })
	svc := &feature.Service{Name: "svc"}
	if err := ondemand.Bind(svc, ondemand.Binding{OnDemand: doubled(t, v), Features: []int{0}, Alias: "z"}); err != nil {
		t.Fatal(err)
	}
	a, err := s.Lookup(context.Background(), svc, map[string]arrow.Array{"times": column(t, feature.Scalar(feature.Int64), int64(1), int64(2), int64(3))}, hour, false)
	if err != nil || a.Rows != 3 {
		t.Fatalf("%+v, %v", a, err)
	}
	if d := cmp.Diff([][]string{{"2 PRESENT"}, {"4 PRESENT"}, {"6 PRESENT"}}, show(a.Columns)); d != "" || a.Columns[0].Name != "z__age_times" {
		t.Error(d, a.Columns[0].Name)
	}
}

// BenchmarkLookupOnDemand looks one key up, for a feature that is computed from a field of the request:
//
//	go test ./online -run='^$' -bench=LookupOnDemand -benchmem
func BenchmarkLookupOnDemand(b *testing.B) {
	s := openTemp(b, b.TempDir(), Options{})
	v := profile()
	p, err := s.Begin(v, true)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(p.Put(key(1), row(b, v, hour, int64(1), "one")), p.Commit(State{})); err != nil {
		b.Fatal(err)
	}
	svc := &feature.Service{Name: "svc"}
	if err := ondemand.Bind(svc, ondemand.Binding{OnDemand: doubled(b, v), Features: []int{0}}); err != nil {
		b.Fatal(err)
	}
	given := map[string]arrow.Array{v.Keys[0].Name: column(b, feature.Scalar(feature.Int64), int64(1)), "times": column(b, feature.Scalar(feature.Int64), int64(2))}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Lookup(context.Background(), svc, given, hour, false); err != nil {
			b.Fatal(err)
		}
	}
}
