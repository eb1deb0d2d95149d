package expr

import (
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
)

// parseTimestamp reads 2026-01-31, perhaps a T or a space and 12:34, 12:34:56 or 12:34:56.123456789, perhaps Z or +01:00; without
// a zone it is UTC. Digits below the microsecond round up, as the time of an event does, and exact is then false.
func parseTimestamp(s string) (micros int64, exact, ok bool) {
	date, clock, hasClock := cutClock(s)
	day, err := time.Parse("2006-01-02", date)
	if err != nil {
		return 0, false, false
	}
	micros = day.UnixMicro()
	if !hasClock {
		return micros, true, true
	}
	clock, offset, ok := cutZone(clock)
	if !ok {
		return 0, false, false
	}
	seconds, fraction, hasFraction := strings.Cut(clock, ".")
	layout := "15:04:05"
	if len(seconds) == len("15:04") && !hasFraction {
		layout = "15:04"
	}
	at, err := time.Parse(layout, seconds)
	if err != nil || len(seconds) != len(layout) {
		return 0, false, false
	}
	below, exact, ok := fractionMicros(fraction, hasFraction)
	midnight := at.Truncate(24 * time.Hour)
	return micros + at.Sub(midnight).Microseconds() + below - offset, exact, ok
}

func cutClock(s string) (date, clock string, found bool) {
	if i := strings.IndexAny(s, "T "); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// cutZone removes the zone from the end of a clock time and returns it in microseconds east of UTC.
func cutZone(clock string) (rest string, offset int64, ok bool) {
	if rest, utc := strings.CutSuffix(clock, "Z"); utc {
		return rest, 0, true
	}
	i := strings.LastIndexAny(clock, "+-")
	if i < 0 {
		return clock, 0, true
	}
	zone := clock[i+1:]
	at, err := time.Parse("15:04", zone)
	if err != nil || len(zone) != len("15:04") || at.Hour() > 18 {
		return "", 0, false
	}
	offset = int64(at.Hour()*60+at.Minute()) * 60 * microsPerSecond
	if clock[i] == '-' {
		offset = -offset
	}
	return clock[:i], offset, true
}

// fractionMicros reads up to nine digits after the point of a second.
func fractionMicros(digits string, has bool) (micros int64, exact, ok bool) {
	if !has {
		return 0, true, true
	}
	if digits == "" || len(digits) > 9 || strings.Trim(digits, "0123456789") != "" {
		return 0, false, false
	}
	nanos, _ := strconv.ParseInt(digits+"000000000"[len(digits):], 10, 64)
	return (nanos + 999) / 1000, nanos%1000 == 0, true
}

// appendTimestamp writes an instant as Spark does in UTC: 2026-01-31 12:00:00.5. A year beyond 9999 has a sign.
func appendTimestamp(dst []byte, micros int64) []byte {
	t := feature.Time(micros).Std()
	year := t.Year()
	switch {
	case year < 0:
		dst, year = append(dst, '-'), -year
	case year > 9999:
		dst = append(dst, '+')
	}
	for limit := 1000; limit > 1 && year < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	dst = strconv.AppendInt(dst, int64(year), 10)
	return t.AppendFormat(dst, "-01-02 15:04:05.999999")
}

// floorDivide returns a / b rounded down, for positive b.
func floorDivide(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// floorModulo returns what floorDivide leaves, between 0 and b.
func floorModulo(a, b int64) int64 {
	if r := a % b; r < 0 {
		return r + b
	} else {
		return r
	}
}
