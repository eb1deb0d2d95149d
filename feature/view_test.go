package feature

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHorizon gives the law of visibility by example, its ends included.
func TestHorizon(t *testing.T) {
	for _, c := range []struct {
		view  View
		q     Time
		event Time
		want  bool
	}{
		{View{}, 100, 100, true},
		{View{}, 100, 101, false},
		{View{StrictlyBefore: true}, 100, 100, false},
		{View{StrictlyBefore: true}, 100, 99, true},
		{View{Delay: 5 * time.Microsecond}, 100, 95, true},
		{View{Delay: 5 * time.Microsecond}, 100, 96, false},
		{View{Delay: 5 * time.Microsecond, StrictlyBefore: true}, 100, 95, false},
		{View{Delay: 5 * time.Microsecond, StrictlyBefore: true}, 100, 94, true},
		{View{Delay: time.Hour, StrictlyBefore: true}, MinTime, MinTime, true}, // time does not wrap
	} {
		if got := c.event <= c.view.Horizon(c.q); got != c.want {
			t.Errorf("%+v: event %d at q %d: visible is %v, want %v", c.view, c.event, c.q, got, c.want)
		}
	}
}

// TestExpired gives the law of ttl by example: the age counts from q - delay, and is inclusive.
func TestExpired(t *testing.T) {
	v := View{Delay: 5 * time.Microsecond, TTL: 10 * time.Microsecond}
	if v.Expired(85, 100) || !v.Expired(84, 100) {
		t.Errorf("at q 100, delay 5, ttl 10: 85 must count and 84 must not")
	}
	if (&View{}).Expired(MinTime, MaxTime) {
		t.Errorf("without a ttl nothing expires")
	}
}

// TestCheckNames checks that a name taken twice is refused with a way out, and that the way out works.
func TestCheckNames(t *testing.T) {
	view := &View{Name: "v", Features: []Feature{{Field: Field{Name: "x", Type: Scalar(Int64)}}}}
	service := Service{Name: "s", Refs: []Ref{{View: view, Features: []int{0}}, {View: view, Features: []int{0}}}}
	for _, full := range []bool{false, true} {
		err := service.CheckNames(full)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(fmt.Sprint(err), "as: NAME") {
			t.Errorf("full names %v: got %v", full, err)
		}
	}
	service.Refs[1].Alias = "other"
	if err := service.CheckNames(false); err != nil {
		t.Errorf("with an alias: %v", err)
	}
	if err := service.CheckNames(false, "x"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a name of the spine: got %v", err)
	}
	if err := service.CheckNames(true, "x"); err != nil {
		t.Errorf("full names beside a column of the spine: %v", err)
	}
}

// TestKindOf checks that the outermost kind counts, and that no kind is internal.
func TestKindOf(t *testing.T) {
	inner := Errorf(ErrNotFound, "inner")
	for _, c := range []struct{ err, want error }{
		{nil, nil}, {errors.New("x"), ErrInternal}, {inner, ErrNotFound}, {fmt.Errorf("outer: %w", inner), ErrNotFound},
		{Errorf(ErrInvalid, "outer: %w", inner), ErrInvalid}, {errors.Join(errors.New("x"), inner), ErrNotFound},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%v: got %v, want %v", c.err, got, c.want)
		}
	}
}

// TestTypeNames checks that every type reads back from its name and its Arrow type.
func TestTypeNames(t *testing.T) {
	for k := Bool; k <= Timestamp; k++ {
		for _, typ := range []Type{Scalar(k), ListOf(k)} {
			if got, err := ParseType(typ.String()); err != nil || got != typ {
				t.Errorf("%s reads as %v, %v", typ, got, err)
			}
			if got, ok := TypeOfArrow(typ.Arrow()); !ok || got != typ {
				t.Errorf("the Arrow type of %s is taken for %v", typ, got)
			}
		}
	}
	for _, bad := range []string{"", "int", "list<list<int32>>", "list<>"} {
		if _, err := ParseType(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
