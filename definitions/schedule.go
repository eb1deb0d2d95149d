package definitions

import (
	"strings"
	"time"
	_ "time/tzdata" // CRON_TZ= means the same on machines without a zone database

	"github.com/asof-store/asof/feature"
	"github.com/robfig/cron/v3"
)

// everyMax is the longest time between two ticks of @every: a view that seldom changes has a year, and who looks for the last tick need
// not look back for ever.
const everyMax = 366 * 24 * time.Hour

// ParseSchedule reads a schedule: five cron fields (minute, hour, day of month, month, day of week), or @yearly,
// @monthly, @weekly, @daily, @hourly, or "@every DURATION". Times are UTC unless "CRON_TZ=Zone " comes first; in a zone with
// daylight saving, a local time that is skipped or repeated is a tick skipped or repeated. "@every 15m" ticks at the
// multiples of 15 minutes since 1970, so that its ticks do not depend on when a process began. It fails with
// feature.ErrInvalid, also for a schedule that never ticks.
func ParseSchedule(text string) (feature.Schedule, error) {
	invalid := func(format string, args ...any) error {
		return feature.Errorf(feature.ErrInvalid, format, args...)
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		d, err := ParseDuration(strings.TrimSpace(every))
		switch {
		case err != nil:
			return nil, err
		case d < time.Second || d%time.Second != 0 || d > everyMax:
			return nil, invalid("@every takes whole seconds, at least one and at most 366 days, not %q", strings.TrimSpace(every))
		}
		return everySchedule{d}, nil
	}
	if err := checkZone(text); err != nil {
		return nil, err
	}
	parsed, err := parseCron(text)
	if err != nil {
		return nil, err
	}
	s := cronSchedule{parsed}
	// The calendar repeats every four years but for 1900 and 2100, and cron looks five years ahead.
	if s.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, invalid("the schedule %q never comes: no date is like that", text)
	}
	return s, nil
}

// checkZone refuses what makes the cron parser panic or quietly mean another zone.
func checkZone(text string) error {
	if strings.HasPrefix(text, "TZ=") {
		return feature.Errorf(feature.ErrInvalid, "a zone is given as CRON_TZ=, not as TZ=")
	}
	rest, ok := strings.CutPrefix(text, "CRON_TZ=")
	if !ok {
		return nil
	}
	zone, fields, _ := strings.Cut(rest, " ")
	switch {
	case strings.HasPrefix(strings.TrimSpace(fields), "@every"): // the parser's own, which ticks by when it is asked, also every 0s
		return feature.Errorf(feature.ErrInvalid, "@every has no use for a zone: leave CRON_TZ=%s out", zone)
	case strings.TrimSpace(fields) == "":
		return feature.Errorf(feature.ErrInvalid, "the schedule %q has a zone and no times", text)
	case zone == "" || zone == "Local":
		return feature.Errorf(feature.ErrInvalid, "CRON_TZ=%s names no zone: write one such as CRON_TZ=Europe/Berlin", zone)
	}
	if _, err := time.LoadLocation(zone); err != nil {
		return feature.Errorf(feature.ErrInvalid, "there is no time zone %q: write one such as Europe/Berlin", zone)
	}
	return nil
}

// parseCron runs the cron library's parser, whose panics on odd texts become errors.
func parseCron(text string) (s cron.Schedule, err error) {
	defer func() {
		if p := recover(); p != nil {
			s, err = nil, feature.Errorf(feature.ErrInvalid, "%q is not a schedule", text)
		}
	}()
	s, err = cron.ParseStandard(text)
	if err != nil {
		return nil, feature.Errorf(feature.ErrInvalid, "%q is not a schedule: %w", text, err)
	}
	return s, nil
}

// cronSchedule evaluates a cron schedule in UTC where it names no zone of its own.
type cronSchedule struct{ inner cron.Schedule }

// Next returns the first tick after t, in UTC.
func (s cronSchedule) Next(t time.Time) time.Time {
	next := s.inner.Next(t.UTC())
	if next.IsZero() {
		return next
	}
	return next.UTC()
}

// everySchedule ticks at the multiples of a duration since 1970.
type everySchedule struct{ every time.Duration }

// Next returns the first tick after t, in UTC.
func (s everySchedule) Next(t time.Time) time.Time {
	seconds := int64(s.every / time.Second)
	n := t.Unix() / seconds
	if t.Unix()%seconds < 0 {
		n-- // rounds down before 1970 too
	}
	return time.Unix((n+1)*seconds, 0).UTC()
}
