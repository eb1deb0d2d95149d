package feature

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

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
	Default any
	// Aggregation is how the feature comes from the tiles of a windowed view; nil in a latest-value view.
	Aggregation *Aggregation
	Description string
	Owner       string
	Tags        map[string]string
}

// View is what every engine has to know of a view: its columns and its rules of visibility. Where its rows come
// from is the business of package definitions.
//
// A latest-value view stores rows and answers with the newest visible one. A windowed view stores tiles, which are the
// partial states of its aggregations over the rows of a key in a stretch of time, and answers with what its functions make of the
// tiles of a window.
type View struct {
	Name     string
	Keys     []Field   // the entity's key parts in order; empty for a global entity
	Features []Feature // in the order of the definition
	// HasCreatedTime tells whether stored rows know when they became known. Tiles with a granularity do not.
	HasCreatedTime bool
	TTL            time.Duration // oldest age that still counts, inclusive; 0 is no limit
	Delay          time.Duration // how late the data arrives; at least 0
	// StrictlyBefore is `allow_exact_matches: false`: a row at exactly q - delay is not visible.
	StrictlyBefore bool
	// States are the columns of a windowed view's tiles, in the order in which they are stored; nil makes a latest-value view.
	States []Field
	// Granularity is the length of a windowed view's tiles; 0 is exact: a tile for each distinct time of a key's rows.
	Granularity time.Duration
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
// at q iff its event time <= Horizon(q), and a window of length W covers the event times in (Horizon(q) - W, Horizon(q)]. The
// result never decreases as q grows. The event time of a tile is the last instant that it includes, so that the law holds for
// tiles as it does for rows.
func (v *View) Horizon(q Time) Time {
	h := q.Add(-v.Delay)
	if v.Granularity > 0 {
		h = h.floor(v.Granularity)
	}
	if v.StrictlyBefore {
		return h.Add(-time.Microsecond)
	}
	return h
}

// Immediate reports whether rows are visible from their own event time on: Horizon(q) is q for every q.
func (v *View) Immediate() bool { return v.Delay == 0 && v.Granularity == 0 && !v.StrictlyBefore }

// VisibleFrom returns the earliest as-of time at which a row, or a tile, with the given event time is visible: the least q with
// event <= Horizon(q); [MaxTime] where that lies beyond the end of time.
func (v *View) VisibleFrom(event Time) Time {
	if v.StrictlyBefore {
		event = event.Add(time.Microsecond)
	}
	if v.Granularity > 0 {
		if at := event.floor(v.Granularity); at != event {
			event = at.Add(v.Granularity)
		}
	}
	return event.Add(v.Delay)
}

// Windowed reports whether v stores tiles rather than rows.
func (v *View) Windowed() bool { return len(v.States) > 0 }

// Windows returns the different lengths of the features' windows that are bounded, in order of first use.
func (v *View) Windows() []time.Duration {
	var lengths []time.Duration
	for i := range v.Features {
		if a := v.Features[i].Aggregation; a != nil && a.Window > 0 && !slices.Contains(lengths, a.Window) {
			lengths = append(lengths, a.Window)
		}
	}
	return lengths
}

// ServedHash identifies what determines the values that are published from the view's history at a horizon: Hash, and for a
// windowed view what its features make of tiles.
func (v *View) ServedHash() string {
	if !v.Windowed() {
		return v.Hash
	}
	h := sha256.New()
	fmt.Fprintf(h, "asof served 1\n%q\n", v.Hash)
	for _, f := range v.Features {
		fmt.Fprintf(h, "%q %s %+v\n", f.Name, f.Type, *f.Aggregation)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TileOf returns the event times of the tile that a row with the given event time is in: just that time where v is exact or no
// windowed view. Tiles include the end that windows include: the later one, or under StrictlyBefore the earlier one.
func (v *View) TileOf(event Time) Range {
	if v.Granularity == 0 {
		return Range{event, event}
	}
	if v.StrictlyBefore {
		from := event.floor(v.Granularity)
		return Range{from, from.Add(v.Granularity - time.Microsecond)}
	}
	from := event.Add(-time.Microsecond).floor(v.Granularity)
	return Range{from.Add(time.Microsecond), from.Add(v.Granularity)}
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
// view has one, then the features of a latest-value view, or the states of a windowed one.
func (v *View) Columns() []Field {
	cols := append([]Field(nil), v.Keys...)
	cols = append(cols, Field{EventTimeColumn, Scalar(Timestamp)})
	if v.HasCreatedTime {
		cols = append(cols, Field{CreatedTimeColumn, Scalar(Timestamp)})
	}
	if v.Windowed() {
		return append(cols, v.States...)
	}
	for i := range v.Features {
		cols = append(cols, v.Features[i].Field)
	}
	return cols
}
