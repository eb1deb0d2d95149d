package feature

import (
	"math"
	"time"
)

// Time is an instant in UTC microseconds since the Unix epoch.
type Time int64

// The ends of time: no instant lies outside.
const (
	MinTime Time = math.MinInt64
	MaxTime Time = math.MaxInt64
)

// TimeOf returns the instant of t, rounded down to the microsecond as an as-of time is.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// String returns t in RFC 3339 with as many fraction digits as it has, or "-inf" and "+inf" for the ends of time.
func (t Time) String() string {
	switch t {
	case MinTime:
		return "-inf"
	case MaxTime:
		return "+inf"
	}
	return t.Std().Format(time.RFC3339Nano)
}

// Add returns t + d, staying at the ends of time where the sum lies beyond. What is below a microsecond in d
// is dropped.
func (t Time) Add(d time.Duration) Time {
	micros := Time(d.Microseconds())
	sum := t + micros
	switch {
	case micros > 0 && sum < t:
		return MaxTime
	case micros < 0 && sum > t:
		return MinTime
	}
	return sum
}

// floor returns the last multiple of d since the epoch that is at or before t; the ends of time stay.
func (t Time) floor(d time.Duration) Time {
	if t == MinTime || t == MaxTime {
		return t
	}
	past := t % Time(d.Microseconds())
	if past < 0 {
		past += Time(d.Microseconds())
	}
	return t.Add(-time.Duration(past) * time.Microsecond)
}

// Range is a closed interval of event times, [From, To]. It is empty when From > To.
type Range struct{ From, To Time }

// Empty reports whether r holds no instant.
func (r Range) Empty() bool { return r.From > r.To }

// Contains reports whether t lies in r.
func (r Range) Contains(t Time) bool { return r.From <= t && t <= r.To }

// Overlaps reports whether r and s have an instant in common.
func (r Range) Overlaps(s Range) bool {
	return !r.Empty() && !s.Empty() && r.From <= s.To && s.From <= r.To
}

// String returns r as "[from, to]".
func (r Range) String() string { return "[" + r.From.String() + ", " + r.To.String() + "]" }
