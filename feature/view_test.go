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

// TestTiles gives the tiles of a granularity by example, their ends and times before the epoch included: a tile's label is the last instant
// that it includes, and is visible exactly when the whole tile is.
func TestTiles(t *testing.T) {
	ten := View{Granularity: 10 * time.Microsecond}
	strict := View{Granularity: 10 * time.Microsecond, StrictlyBefore: true}
	for _, c := range []struct {
		view  View
		event Time
		want  Range
	}{
		{View{}, 7, Range{7, 7}},
		{ten, 10, Range{1, 10}},
		{ten, 11, Range{11, 20}},
		{ten, 0, Range{-9, 0}},
		{ten, -10, Range{-19, -10}},
		{strict, 10, Range{10, 19}},
		{strict, 9, Range{0, 9}},
		{strict, -1, Range{-10, -1}},
	} {
		if got := c.view.TileOf(c.event); got != c.want {
			t.Errorf("granularity %s, strictly %v: %d is in the tile %v, want %v", c.view.Granularity, c.view.StrictlyBefore, c.event, got, c.want)
		}
	}
	for q, want := range map[Time]Time{9: 0, 10: 10, 19: 10, 20: 20, -1: -10, -10: -10} {
		if got := ten.Horizon(q); got != want {
			t.Errorf("granularity 10: the horizon of %d is %d, want %d", q, got, want)
		}
		if got := strict.Horizon(q); got != want-1 {
			t.Errorf("granularity 10, strictly: the horizon of %d is %d, want %d", q, got, want-1)
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

// TestVisibleFrom holds it against the law, of which it is the inverse: a row is visible then, and not a microsecond earlier.
func TestVisibleFrom(t *testing.T) {
	for _, granularity := range []time.Duration{0, 10 * time.Microsecond} {
		for _, delay := range []time.Duration{0, 7 * time.Microsecond} {
			for _, strict := range []bool{false, true} {
				v := View{Granularity: granularity, Delay: delay, StrictlyBefore: strict}
				for event := Time(-31); event < 31; event++ {
					if v.Immediate() && v.Horizon(event) != event {
						t.Errorf("%+v: rows are said to be visible immediately, and the horizon of %d is %d", v, event, v.Horizon(event))
					}
					if q := v.VisibleFrom(event); event > v.Horizon(q) || event <= v.Horizon(q-1) {
						t.Errorf("%+v: event %d is said to be visible from %d, whose horizon is %d, and %d before", v, event, q, v.Horizon(q), v.Horizon(q-1))
					}
				}
				if got := v.VisibleFrom(MaxTime); got != MaxTime {
					t.Errorf("%+v: the end of time is visible from %d", v, got)
				}
			}
		}
	}
}
