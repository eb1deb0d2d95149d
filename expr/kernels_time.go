package expr

import (
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
)

const (
	microsPerHour = 3600 * microsPerSecond
	microsPerDay  = 24 * microsPerHour
)

func planInt32OfTime(loop func(a []int64, r []int32)) func(*planner, *node) kernel {
	return func(p *planner, n *node) kernel { return monadic(n, n.typ, p.node(n.args[0]), safe(loop)) }
}

func hours(a []int64, r []int32) {
	for i, t := range a {
		r[i] = int32(floorModulo(t, microsPerDay) / microsPerHour)
	}
}

// daysOfWeek counts from 1 for Sunday. The epoch was a Thursday.
func daysOfWeek(a []int64, r []int32) {
	for i, t := range a {
		r[i] = int32(floorModulo(floorDivide(t, microsPerDay)+4, 7)) + 1
	}
}

// planUnixMicros changes the type alone: a timestamp is its microseconds.
func planUnixMicros(p *planner, n *node) kernel { return p.node(n.args[0]) }

// truncUnit is a unit of date_trunc: a length in microseconds, or one of the units that calendars know.
type truncUnit int64

const (
	truncWeek truncUnit = -1 - iota
	truncMonth
	truncQuarter
	truncYear
)

// truncUnitOf returns the unit of a name, 0 when there is none.
func truncUnitOf(name string) truncUnit {
	switch strings.ToLower(name) {
	case "year", "yyyy", "yy":
		return truncYear
	case "quarter":
		return truncQuarter
	case "month", "mon", "mm":
		return truncMonth
	case "week":
		return truncWeek
	case "day", "dd":
		return microsPerDay
	case "hour":
		return microsPerHour
	case "minute":
		return 60 * microsPerSecond
	case "second":
		return microsPerSecond
	case "millisecond":
		return 1000
	case "microsecond":
		return 1
	}
	return 0
}

// planDateTrunc returns the kernel of date_trunc. Truncating only goes back in time, so that a later result has wrapped.
func planDateTrunc(p *planner, n *node) kernel {
	unit := truncUnitOf(n.args[0].value.(string))
	return monadic(n, n.typ, p.node(n.args[1]), func(a, r []int64, _ bitmap) bool {
		over := false
		for i, t := range a {
			r[i] = unit.truncate(t)
			over = over || r[i] > t
		}
		return over
	})
}

func (u truncUnit) truncate(t int64) int64 {
	switch u {
	case truncWeek: // weeks begin on Monday, as ISO 8601 has them; the epoch was a Thursday
		days := floorDivide(t, microsPerDay)
		return t - floorModulo(t, microsPerDay) - floorModulo(days+3, 7)*microsPerDay
	case truncMonth, truncQuarter, truncYear:
		year, month, _ := feature.Time(t).Std().Date()
		switch u {
		case truncQuarter:
			month -= (month - 1) % 3
		case truncYear:
			month = time.January
		}
		return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	}
	return t - floorModulo(t, int64(u))
}
