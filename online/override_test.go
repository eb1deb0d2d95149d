package online

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
)

// overridden is a service of profile, with next = age + 1 and after = next + 1.
func overridden(t *testing.T, view *feature.View) *feature.Service {
	t.Helper()
	whole := feature.Scalar(feature.Int64)
	compile := func(text string) *expr.Program {
		p, err := expr.Compile(text, func(string) (feature.Type, bool) { return whole, true }, expr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	o := &feature.OnDemand{Name: "years"}
	o.Features = []feature.OnDemandFeature{
		{Feature: feature.Feature{Field: feature.Field{Name: "next", Type: whole}, Default: int64(-1)}, Program: compile("profile.age + 1"),
			Inputs: []feature.Input{{Column: "profile.age", View: view, ViewName: "profile", Feature: 0}}},
		{Feature: feature.Feature{Field: feature.Field{Name: "after", Type: whole}}, Program: compile("next + 1"), Inputs: []feature.Input{{Column: "next", OnDemand: o}}},
	}
	svc := &feature.Service{Name: "svc", Refs: []feature.Ref{{View: view, KeyColumns: []string{"customer_id"}, Features: []int{1, 0}}}}
	if err := ondemand.Bind(svc, ondemand.Binding{OnDemand: o, Features: []int{0, 1}, Place: 2}); err != nil {
		t.Fatal(err)
	}
	return svc
}

// TestOverride: what a caller gives takes the place of what is stored or computed, row by row, and goes into what is computed of it.
func TestOverride(t *testing.T) {
	s, view := openTemp(t, t.TempDir(), Options{}), profile()
	publish(t, s, view, true, State{Snapshot: 1, Watermark: hour}, func(p *Publish) error {
		return errors.Join(p.Put(key(1), row(t, view, hour, int64(30), "Rome")), p.Put(key(2), row(t, view, hour, int64(40), "Oslo")))
	})
	svc, whole, text := overridden(t, view), feature.Scalar(feature.Int64), feature.Scalar(feature.String)
	keys := map[string]arrow.Array{"customer_id": column(t, whole, int64(1), int64(2), int64(3))}
	for name, c := range map[string]struct {
		overrides []Override
		full      bool
		want      string // or the error
	}{
		"nothing":        {nil, false, "city Rome Oslo ? [PRESENT PRESENT NOT_FOUND]; age 30 40 (null) [PRESENT PRESENT NOT_FOUND]; next 31 41 -1 [PRESENT PRESENT NULL]; after 32 42 0 [PRESENT PRESENT PRESENT]"},
		"all rows":       {[]Override{{Column: "age", Values: column(t, whole, int64(1), int64(2), int64(3))}}, false, "city Rome Oslo ? [PRESENT PRESENT NOT_FOUND]; age 1 2 3 [PRESENT PRESENT PRESENT]; next 2 3 4 [PRESENT PRESENT PRESENT]; after 3 4 5 [PRESENT PRESENT PRESENT]"},
		"some rows":      {[]Override{{Column: "age", Values: column(t, whole, nil, int64(2), int64(3)), Sent: []bool{false, true, false}}}, false, "city Rome Oslo ? [PRESENT PRESENT NOT_FOUND]; age 30 2 (null) [PRESENT PRESENT NOT_FOUND]; next 31 3 -1 [PRESENT PRESENT NULL]; after 32 4 0 [PRESENT PRESENT PRESENT]"},
		"NULL":           {[]Override{{Column: "city", Values: column(t, text, nil, "Bern", nil), Sent: []bool{true, true, false}}}, false, "city ? Bern ? [NULL PRESENT NOT_FOUND]; age 30 40 (null) [PRESENT PRESENT NOT_FOUND]; next 31 41 -1 [PRESENT PRESENT NULL]; after 32 42 0 [PRESENT PRESENT PRESENT]"},
		"computed":       {[]Override{{Column: "next", Values: column(t, whole, int64(7), nil, int64(9)), Sent: []bool{true, true, true}}}, false, "city Rome Oslo ? [PRESENT PRESENT NOT_FOUND]; age 30 40 (null) [PRESENT PRESENT NOT_FOUND]; next 7 -1 9 [PRESENT NULL PRESENT]; after 8 0 10 [PRESENT PRESENT PRESENT]"},
		"full names":     {[]Override{{Column: "profile__age", Values: column(t, whole, int64(1), int64(2), int64(3))}, {Column: "years__after", Values: column(t, whole, int64(0), int64(0), int64(0))}}, true, "profile__city Rome Oslo ? [PRESENT PRESENT NOT_FOUND]; profile__age 1 2 3 [PRESENT PRESENT PRESENT]; years__next 2 3 4 [PRESENT PRESENT PRESENT]; years__after 0 0 0 [PRESENT PRESENT PRESENT]"},
		"no such column": {[]Override{{Column: "agee", Values: column(t, whole, int64(1), int64(2), int64(3))}}, false, "service svc has no column agee to override"},
		"another type":   {[]Override{{Column: "age", Values: column(t, text, "1", "2", "3")}}, false, "column age is overridden by 3 values of utf8, it has 3 of int64"},
		"too few":        {[]Override{{Column: "next", Values: column(t, whole, int64(1))}}, false, "column next is overridden by 1 values of int64, it has 3 of int64"},
		"the same twice": {[]Override{{Column: "age", Values: column(t, whole, int64(1), int64(2), int64(3))}, {Column: "age", Values: column(t, whole, int64(1), int64(2), int64(3))}}, false, "no column age to override"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := s.Lookup(context.Background(), svc, keys, hour, c.full, c.overrides...)
			if err != nil {
				if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			var columns []string
			for i := range a.Columns {
				values := a.Columns[i].Name
				for row := range a.Rows {
					values += " " + a.Columns[i].Values().ValueStr(row)
				}
				columns = append(columns, fmt.Sprintf("%s %v", values, a.Columns[i].Statuses))
			}
			if got := strings.Join(columns, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	global := &feature.View{Name: "world", Online: true, Hash: "w", Features: []feature.Feature{{Field: feature.Field{Name: "rate", Type: whole}}}}
	rates := &feature.Service{Name: "rates", Refs: []feature.Ref{{View: global, Features: []int{0}}}}
	a, err := s.Lookup(context.Background(), rates, nil, hour, false, Override{Column: "rate", Values: column(t, whole, int64(1), int64(2)), Sent: []bool{true, false}})
	if err != nil || a.Rows != 2 || a.Columns[0].Values().String() != "[1 (null)]" {
		t.Errorf("rows that overrides alone tell of: %+v, %v", a, err)
	}
}
