package feature

import "time"

// The names of the time columns of stored and exported history. No key and no feature may take them.
const (
	EventTimeColumn   = "event_time"
	CreatedTimeColumn = "created_time"
)

// Field is a named, typed column.
type Field struct {
	Name string
	Type Type
}

// Feature is one column of a view.
type Feature struct {
	Field
	// Default replaces NULL in training and serving alike; nil means none. Its Go type is that of
	// the column's values: bool, int32, int64, float32, float64, string, []byte, Time, or a slice of them
	// for a list.
	Default     any
	Description string
	Owner       string
	Tags        map[string]string
}

// View is what every engine has to know of a view: its columns and its rules of visibility. Where its rows come
// from is the business of package definitions.
type View struct {
	Name     string
	Keys     []Field   // the entity's key parts in order; empty for a global entity
	Features []Feature // in the order of the definition
	// HasCreatedTime tells whether rows know when they became known.
	HasCreatedTime bool
	TTL            time.Duration // oldest age that still counts, inclusive; 0 is no limit
	Delay          time.Duration // how late the data arrives; at least 0
	// StrictlyBefore is `allow_exact_matches: false`: a row at exactly q - delay is not visible.
	StrictlyBefore bool
	// Schedule is when the view is materialized; nil when it has no schedule.
	Schedule Schedule
	// Online tells whether the view is published to the online store.
	Online bool
	// Hash identifies what determines the stored rows: source, filter, keys, features and their expressions.
	// It does not change with ttl, delay, defaults, schedules or descriptions, which act on reading.
	Hash string
}

// Schedule gives the ticks of a view's schedule, as robfig/cron's Schedule does.
type Schedule interface {
	// Next returns the first tick after t, or the zero time when there is none.
	Next(t time.Time) time.Time
}

// Horizon returns the greatest event time that is visible at q. It is the one law of visibility: a row is visible
// at q iff its event time <= Horizon(q). The result never decreases as q grows.
func (v *View) Horizon(q Time) Time {
	h := q.Add(-v.Delay)
	if v.StrictlyBefore {
		return h.Add(-time.Microsecond)
	}
	return h
}

// Expired reports whether a row with the given event time is too old for an answer at q: older than q - delay - ttl.
func (v *View) Expired(event, q Time) bool {
	return v.TTL > 0 && event < q.Add(-v.Delay).Add(-v.TTL)
}

// Feature returns the index of the named feature, or -1.
func (v *View) Feature(name string) int {
	for i := range v.Features {
		if v.Features[i].Name == name {
			return i
		}
	}
	return -1
}

// Columns returns the columns of the view's stored history in order: keys, event time, created time where the
// view has one, features.
func (v *View) Columns() []Field {
	cols := append([]Field(nil), v.Keys...)
	cols = append(cols, Field{EventTimeColumn, Scalar(Timestamp)})
	if v.HasCreatedTime {
		cols = append(cols, Field{CreatedTimeColumn, Scalar(Timestamp)})
	}
	for i := range v.Features {
		cols = append(cols, v.Features[i].Field)
	}
	return cols
}
