package feature

import (
	"math"
	"testing"
	"time"
)

// TestAdd checks that time stays at its ends and drops what is below a microsecond.
func TestAdd(t *testing.T) {
	for _, c := range []struct {
		t    Time
		d    time.Duration
		want Time
	}{
		{5, 3 * time.Microsecond, 8},
		{5, 3*time.Microsecond + 999, 8},
		{MaxTime - 1, time.Microsecond, MaxTime},
		{MaxTime - 1, time.Hour, MaxTime},
		{MaxTime, math.MinInt64, MaxTime - math.MaxInt64/1000},
		{MinTime + 1, -time.Microsecond, MinTime},
		{MinTime + 1, -time.Hour, MinTime},
		{MinTime, math.MaxInt64, MinTime + math.MaxInt64/1000},
	} {
		if got := c.t.Add(c.d); got != c.want {
			t.Errorf("%d + %s is %d, want %d", c.t, c.d, got, c.want)
		}
	}
}

// TestRange checks that both ends of a range belong to it, and that nothing overlaps an empty one.
func TestRange(t *testing.T) {
	r := Range{From: 10, To: 20}
	if !r.Contains(10) || !r.Contains(20) || r.Contains(9) || r.Contains(21) {
		t.Errorf("%v does not contain what it should", r)
	}
	for other, want := range map[Range]bool{
		{From: 20, To: 30}: true, {From: 0, To: 10}: true, {From: 12, To: 13}: true, {From: MinTime, To: MaxTime}: true,
		{From: 21, To: 30}: false, {From: 0, To: 9}: false,
		{From: 16, To: 15}: false, {From: MaxTime, To: MinTime}: false, // empty
	} {
		if r.Overlaps(other) != want || other.Overlaps(r) != want {
			t.Errorf("%v and %v overlap: want %v", r, other, want)
		}
	}
}
