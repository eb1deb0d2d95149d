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
)

// report gathers what a manifest says about the values of an export.
type report struct {
	svc      *feature.Service
	rows     int64
	features [][]FeatureReport // for each ref
	ages     [][]ages
	computed []FeatureReport // for each on-demand feature
	leaks    LeakReport

	// Of the current chunk:
	times     *array.Timestamp
	last      feature.Time // of times
	watermark feature.Time // the least of the views
	leaked    []leak
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
	r.last, r.watermark = feature.MinTime, feature.MaxTime
	for _, q := range keysort.Timestamps(times) {
		r.last = max(r.last, feature.Time(q)) // of a NULL, any: it only is looked at then
	}
}

// end closes the chunk: a row counts once, however many views it has leaked from.
func (r *report) end() {
	for _, l := range r.leaked {
		if l == 0 {
			continue
		}
		r.leaks.ExactTime += count(l&exactTime != 0)
		r.leaks.AsKnown += count(l&notKnown != 0)
	}
	r.leaks.AfterWatermark += r.after(r.watermark)
}

// after returns how many rows of the chunk lie after a time.
func (r *report) after(watermark feature.Time) (n int64) {
	if r.last <= watermark {
		return 0
	}
	for i, q := range keysort.Timestamps(r.times) {
		n += count(feature.Time(q) > watermark && r.times.IsValid(i))
	}
	return n
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// tallyFor returns what a question to a ref is to be counted by.
func (r *report) tallyFor(ref int, withTimes bool) *tally {
	return &tally{withTimes: withTimes, leaked: r.leaked, columns: make([]*counted, len(r.svc.Refs[ref].Lookups()))}
}

// add takes in what was counted of one ref for the current chunk.
func (r *report) add(ref int, t *tally, watermark feature.Time) {
	leaks := &r.leaks.Views[ref]
	leaks.ExactTime += t.exactTime
	if leaks.AsKnown != nil {
		*leaks.AsKnown += t.notKnown
	}
	leaks.AfterWatermark += r.after(watermark)
	r.watermark = min(r.watermark, watermark)
	for j := range r.features[ref] {
		f, rows := &r.features[ref][j], &t.columns[j].rows
		f.Present += rows[feature.Present]
		f.Null += rows[feature.Null]
		f.Expired += rows[feature.Expired]
		f.NotFound += int64(r.times.Len()) - rows[feature.Present] - rows[feature.Null] - rows[feature.Expired]
		r.ages[ref][j].add(&t.columns[j].ages)
	}
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
