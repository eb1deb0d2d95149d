package pointintime

import (
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/ondemand"
)

// FeatureReport counts what a feature's column of a training set holds.
type FeatureReport struct {
	Column   string `json:"column"`
	View     string `json:"view,omitempty"`
	OnDemand string `json:"on_demand,omitempty"` // in place of a view
	Feature  string `json:"feature"`
	Type     string `json:"type"`
	Present  int64  `json:"present"`
	Null     int64  `json:"null"`
	NotFound int64  `json:"not_found"`
	Expired  int64  `json:"expired"`
	// Age is how old present values were at their rows' times; nil without present values.
	Age *AgeReport `json:"age_seconds,omitempty"`
}

// AgeReport gives percentiles of ages in seconds, to a relative error of 1 %, and the greatest age.
type AgeReport struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// LeakReport counts the spine rows whose values deserve a second look.
type LeakReport struct {
	// ExactTime counts rows that took a value stamped at exactly their own time: the result of an event may be
	// among its own features.
	ExactTime int64 `json:"exact_time"`
	// AsKnown counts rows that took a value which was not known yet at their time, or not known when: they would change
	// under --as-known. Views without created times cannot tell, and count none.
	AsKnown int64 `json:"would_change_as_known"`
	// AfterWatermark counts rows that lie after the time up to which a view is materialized: they miss what came since.
	AfterWatermark int64       `json:"after_watermark"`
	Views          []ViewLeaks `json:"views"`
}

// ViewLeaks are the counts of a [LeakReport] for one view of the service.
type ViewLeaks struct {
	View           string `json:"view"`
	ExactTime      int64  `json:"exact_time"`
	AsKnown        *int64 `json:"would_change_as_known"` // nil: the view has no created times
	AfterWatermark int64  `json:"after_watermark"`
}

// leak marks what is to be said of a row of a chunk.
type leak uint8

const (
	exactTime leak = 1 << iota
	notKnown
	afterWatermark
)

// report gathers what a manifest says about the values of an export.
type report struct {
	svc      *feature.Service
	rows     int64
	features [][]FeatureReport // for each ref
	ages     [][]ages
	computed []FeatureReport // for each on-demand feature
	leaks    LeakReport

	times  *array.Timestamp // of the current chunk
	leaked []leak
}

func newReport(svc *feature.Service, fullNames bool) *report {
	r := &report{svc: svc}
	for i := range svc.Refs {
		ref := &svc.Refs[i]
		features := make([]FeatureReport, len(ref.Features))
		for j, f := range ref.Features {
			field := ref.View.Features[f].Field
			features[j] = FeatureReport{Column: ref.ColumnName(j, fullNames), View: ref.View.Name, Feature: field.Name, Type: field.Type.String()}
		}
		r.features, r.ages = append(r.features, features), append(r.ages, make([]ages, len(ref.Features)))
		leaks := ViewLeaks{View: ref.Name()}
		if ref.View.HasCreatedTime {
			leaks.AsKnown = new(int64)
		}
		r.leaks.Views = append(r.leaks.Views, leaks)
	}
	for i := range svc.Computed {
		c := &svc.Computed[i]
		field := c.Definition().Field
		r.computed = append(r.computed, FeatureReport{Column: c.ColumnName(fullNames), OnDemand: c.OnDemand.Name, Feature: field.Name, Type: field.Type.String()})
	}
	return r
}

// begin starts a chunk with the given as-of times.
func (r *report) begin(times *array.Timestamp) {
	n := times.Len()
	r.times, r.rows = times, r.rows+int64(n)
	r.leaked = slices.Grow(r.leaked[:0], n)[:n]
	clear(r.leaked) // also when it is new: the system gives memory that is read first twice, once to be read
}

// end closes the chunk: a row counts once, however many views it has leaked from.
func (r *report) end() {
	for _, l := range r.leaked {
		if l == 0 {
			continue
		}
		r.leaks.ExactTime += count(l&exactTime != 0)
		r.leaks.AsKnown += count(l&notKnown != 0)
		r.leaks.AfterWatermark += count(l&afterWatermark != 0)
	}
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// add counts the answer of one ref for the current chunk.
func (r *report) add(ref int, a *Answer, watermark feature.Time) error {
	times, whole := keysort.Timestamps(r.times), r.addRows(ref, a, watermark)
	for j, column := range a.Columns[:len(r.features[ref])] {
		of := whole
		if len(a.Rows) > 0 && &column.Statuses[0] != &a.Rows[0] {
			of = newCounted(column.Statuses, times, a.EventTimes)
		}
		f := &r.features[ref][j]
		f.Present += of.rows[feature.Present]
		f.Null += of.rows[feature.Null]
		f.NotFound += of.rows[feature.NotFound]
		f.Expired += of.rows[feature.Expired]
		r.ages[ref][j].add(&of.ages)
	}
	return nil
}

// addRows counts the rows of an answer, and what they have leaked.
func (r *report) addRows(ref int, a *Answer, watermark feature.Time) *counted {
	created, leaks := r.svc.Refs[ref].View.HasCreatedTime, &r.leaks.Views[ref]
	c := &counted{}
	for i, q := range keysort.Timestamps(r.times) {
		var l leak
		if feature.Time(q) > watermark && r.times.IsValid(i) {
			leaks.AfterWatermark++
			l |= afterWatermark
		}
		status := a.Rows[i]
		c.rows[status]++
		if status == feature.Present {
			age := q - int64(a.EventTimes[i])
			c.ages.note(age)
			if age == 0 {
				leaks.ExactTime++
				l |= exactTime
			}
			if created && !a.Known[i] {
				*leaks.AsKnown++
				l |= notKnown
			}
		}
		if l != 0 {
			r.leaked[i] |= l
		}
	}
	return c
}

// addComputed counts the on-demand features of the current chunk. They have no ages, and what they leak is counted as leaks of the views
// that they are computed from.
func (r *report) addComputed(columns []ondemand.Column) {
	for i, c := range columns {
		for _, s := range c.Statuses {
			if s == feature.Present {
				r.computed[i].Present++
			} else {
				r.computed[i].Null++
			}
		}
	}
}

// counted tells of rows how many have which status, and how old those are that are present.
type counted struct {
	rows [feature.Expired + 1]int64
	ages ages
}

func newCounted(statuses []feature.Status, times []int64, events []feature.Time) *counted {
	c := &counted{}
	for i, s := range statuses {
		c.rows[s]++
		if s == feature.Present {
			c.ages.note(times[i] - int64(events[i]))
		}
	}
	return c
}

// ages counts ages in classes that grow with the age, so that each has its ages to one part in 128.
type ages struct {
	counts   [(64 - agesBits + 1) << agesBits]int64
	greatest int64
}

// agesBits is how many bits of an age, after its first, tell its class.
const agesBits = 7

// note counts an age in microseconds. No visible row is in the future.
func (a *ages) note(age int64) {
	a.greatest = max(a.greatest, age)
	shift := max(0, bits.Len64(uint64(age))-agesBits-1)
	a.counts[shift<<agesBits+int(uint64(age)>>shift)]++
}

func (a *ages) add(b *ages) {
	a.greatest = max(a.greatest, b.greatest)
	for i, n := range b.counts {
		a.counts[i] += n
	}
}

// quantile returns the age, in seconds, that a part of n ages do not exceed.
func (a *ages) quantile(part float64, n int64) float64 {
	left := int64(part * float64(n-1))
	for i, count := range a.counts {
		if left -= count; left < 0 {
			shift := max(0, i>>agesBits-1)
			least := uint64(i-shift<<agesBits) << shift
			return min(float64(least)+float64(uint64(1)<<shift-1)/2, float64(a.greatest)) / 1e6
		}
	}
	return float64(a.greatest) / 1e6
}

// finish returns the counts of all features in output order, with their ages.
func (r *report) finish() []FeatureReport {
	var all []FeatureReport
	for _, c := range r.svc.Columns(false) {
		if c.Ref < 0 {
			all = append(all, r.computed[c.Feature])
			continue
		}
		f, a := r.features[c.Ref][c.Feature], &r.ages[c.Ref][c.Feature]
		if f.Present > 0 {
			f.Age = &AgeReport{P50: a.quantile(0.5, f.Present), P90: a.quantile(0.9, f.Present), P99: a.quantile(0.99, f.Present), Max: float64(a.greatest) / 1e6}
		}
		all = append(all, f)
	}
	return all
}

// Print writes the report in words.
func (l *LeakReport) Print(w io.Writer, rows int64) error {
	line := func(n int64, what string) error {
		_, err := fmt.Fprintf(w, "  %d of %d rows %s\n", n, rows, what)
		return err
	}
	if err := line(l.ExactTime, "took a value stamped at exactly their own time (allow_exact_matches: false on the view excludes those)"); err != nil {
		return err
	}
	if err := line(l.AsKnown, "took a value that was not known yet at their time, and would change under --as-known"); err != nil {
		return err
	}
	if l.AfterWatermark > 0 {
		return line(l.AfterWatermark, "lie after the time to which a view is materialized (run asof materialize first)")
	}
	return nil
}
