package pointintime

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// TestServedTimes compares the last ticks with stepping through all ticks of the years in question.
func TestServedTimes(t *testing.T) {
	epoch := time.Date(2024, 2, 27, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		years := map[string]int{"*/15 * * * *": 0, "0 3 * * *": 0, "0 0 29 2 *": 4, "30 4 1 1 *": 1, "0 0 * * 0": 1} // back to a tick
		text := rapid.SampledFrom(slices.Sorted(maps.Keys(years))).Draw(t, "schedule")
		schedule, err := cron.ParseStandard(text)
		if err != nil {
			t.Fatal(err)
		}
		minutes := rapid.SliceOfN(rapid.IntRange(0, 3*24*60), 1, 20).Draw(t, "minutes")
		times := make([]int64, len(minutes))
		for i, m := range minutes {
			times[i] = int64(feature.TimeOf(epoch.Add(time.Duration(m) * time.Minute)))
		}
		served := servedTimes(schedule, times)
		last := time.UnixMicro(slices.Max(times)).UTC()
		tick := schedule.Next(epoch.AddDate(-years[text], 0, -2))
		want := make([]int64, len(times))
		for ; !tick.After(last); tick = schedule.Next(tick) {
			for i, q := range times {
				if tick.UnixMicro() <= q {
					want[i] = tick.UnixMicro()
				}
			}
		}
		if !slices.Equal(served, want) {
			t.Fatalf("%s: times %v are served as of %v, want %v", text, times, served, want)
		}
	})
}

// oneTick is a schedule that ticked once and never again.
type oneTick struct{ at time.Time }

func (s oneTick) Next(t time.Time) time.Time {
	if t.Before(s.at) {
		return s.at
	}
	return time.Time{}
}

// TestServedTimesOfFewTicks checks the times before the first and after the last tick.
func TestServedTimesOfFewTicks(t *testing.T) {
	at := feature.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	times := []int64{int64(at) + 5, int64(at) - 1, int64(at)}
	want := []int64{int64(at), int64(feature.MinTime), int64(at)}
	if got := servedTimes(oneTick{at.Std()}, times); !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}
