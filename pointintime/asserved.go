package pointintime

import (
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// servedTimes returns, for each time, the schedule's last tick at or before it; feature.MinTime where there was none.
func servedTimes(schedule feature.Schedule, times []int64) []int64 {
	served, order := make([]int64, len(times)), make([]uint32, len(times))
	for i := range order {
		order[i] = uint32(i)
	}
	var last, next feature.Time // the tick found and the one after it
	for i, r := range keysort.ByTime(order, times) {
		q := feature.Time(times[r])
		if i == 0 || q >= next {
			last, next = LastTick(schedule, q)
		}
		served[r] = int64(last)
	}
	return served
}

// LastTick returns the last tick of a schedule at or before q and the first after it; feature.MinTime and feature.MaxTime where
// there is none. Cron schedules only step forward, so it steps from
// ever farther back until it passes a tick that is not after q.
func LastTick(schedule feature.Schedule, q feature.Time) (last, next feature.Time) {
	const farthest = 8 * 366 * 24 * time.Hour // a schedule for 29 February ticks at least this often
	for back := time.Minute; ; back *= 4 {
		start := q.Add(-min(back, farthest)).Std()
		tick := schedule.Next(start)
		if tick.IsZero() || feature.TimeOf(tick) > q {
			if back < farthest {
				continue
			}
			next = feature.MaxTime
			if !tick.IsZero() {
				next = feature.TimeOf(tick)
			}
			return feature.MinTime, next
		}
		for {
			following := schedule.Next(tick)
			if following.IsZero() {
				return feature.TimeOf(tick), feature.MaxTime
			}
			if feature.TimeOf(following) > q {
				return feature.TimeOf(tick), feature.TimeOf(following)
			}
			tick = following
		}
	}
}
