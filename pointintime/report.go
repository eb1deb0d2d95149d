package pointintime

import (
	"fmt"
	"io"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/ondemand"
)

// ageAccuracy is the relative error of age percentiles.
const ageAccuracy = 0.01

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

// AgeReport gives percentiles of ages in seconds, to a relative error of 1 %.
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

// leakedRows marks rows of a chunk.
type leakedRows struct{ exact, unknown, after []bool }

// report gathers what a manifest says about the values of an export.
type report struct {
	svc      *feature.Service
	rows     int64
	features [][]FeatureReport // for each ref
	ages     [][]*ddsketch.DDSketch
	computed []FeatureReport // for each on-demand feature
	leaks    LeakReport

	times  *array.Timestamp // of the current chunk
	leaked leakedRows
}

func newReport(svc *feature.Service, fullNames bool) *report {
	r := &report{svc: svc}
	for i := range svc.Refs {
		ref := &svc.Refs[i]
		features := make([]FeatureReport, len(ref.Features))
		ages := make([]*ddsketch.DDSketch, len(ref.Features))
		for j, f := range ref.Features {
			field := ref.View.Features[f].Field
			features[j] = FeatureReport{Column: ref.ColumnName(j, fullNames), View: ref.View.Name, Feature: field.Name, Type: field.Type.String()}
		}
		r.features, r.ages = append(r.features, features), append(r.ages, ages)
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
	r.leaked = leakedRows{exact: make([]bool, n), unknown: make([]bool, n), after: make([]bool, n)}
}

// end closes the chunk: a row counts once, however many views it has leaked from.
func (r *report) end() {
	for i := range r.leaked.exact {
		r.leaks.ExactTime += count(r.leaked.exact[i])
		r.leaks.AsKnown += count(r.leaked.unknown[i])
		r.leaks.AfterWatermark += count(r.leaked.after[i])
	}
	r.leaked = leakedRows{}
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// add counts the answer of one ref for the current chunk.
func (r *report) add(ref int, a *Answer, watermark feature.Time) error {
	view := r.svc.Refs[ref].View
	leaks := &r.leaks.Views[ref]
	taken := make([]int64, 0, len(a.Found)) // ages of the rows that were taken, microseconds
	for i, q := range keysort.Timestamps(r.times) {
		if r.times.IsNull(i) {
			continue
		}
		if feature.Time(q) > watermark {
			leaks.AfterWatermark++
			r.leaked.after[i] = true
		}
		if !a.Found[i] || a.Expired[i] {
			continue
		}
		taken = append(taken, q-int64(a.EventTimes[i]))
		if int64(a.EventTimes[i]) == q {
			leaks.ExactTime++
			r.leaked.exact[i] = true
		}
		if view.HasCreatedTime && !a.Known[i] {
			*leaks.AsKnown++
			r.leaked.unknown[i] = true
		}
	}
	shared, err := sketchOf(taken)
	if err != nil {
		return err
	}
	for j, column := range a.Columns[:len(r.features[ref])] {
		if err := r.addColumn(ref, j, a, column, shared); err != nil {
			return err
		}
	}
	return nil
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

// addColumn counts one feature's statuses and ages; shared are the ages of all rows of the view that were taken.
func (r *report) addColumn(ref, j int, a *Answer, column Column, shared *ddsketch.DDSketch) error {
	f := &r.features[ref][j]
	nulls := int64(0)
	for _, s := range column.Statuses {
		switch s {
		case feature.Present:
			f.Present++
		case feature.Null:
			nulls++
		case feature.NotFound:
			f.NotFound++
		case feature.Expired:
			f.Expired++
		}
	}
	f.Null += nulls
	sketch := shared
	if nulls > 0 {
		var ages []int64
		for i, s := range column.Statuses {
			if s == feature.Present {
				ages = append(ages, int64(r.times.Value(i))-int64(a.EventTimes[i]))
			}
		}
		own, err := sketchOf(ages)
		if err != nil {
			return err
		}
		sketch = own
	}
	if r.ages[ref][j] == nil {
		r.ages[ref][j] = sketch.Copy()
		return nil
	}
	return r.ages[ref][j].MergeWith(sketch)
}

// sketchOf returns the distribution of ages, which are microseconds, in seconds.
func sketchOf(ages []int64) (*ddsketch.DDSketch, error) {
	sketch, err := ddsketch.NewDefaultDDSketch(ageAccuracy)
	if err != nil {
		return nil, err
	}
	for _, age := range ages {
		if err := sketch.Add(float64(age) / 1e6); err != nil {
			return nil, fmt.Errorf("feature age %d us: %w", age, err)
		}
	}
	return sketch, nil
}

// finish returns the counts of all features in output order, with their ages.
func (r *report) finish() ([]FeatureReport, error) {
	var all []FeatureReport
	for _, c := range r.svc.Columns(false) {
		if c.Ref < 0 {
			all = append(all, r.computed[c.Feature])
			continue
		}
		f := r.features[c.Ref][c.Feature]
		if f.Present > 0 {
			q, err := r.ages[c.Ref][c.Feature].GetValuesAtQuantiles([]float64{0.5, 0.9, 0.99, 1})
			if err != nil {
				return nil, fmt.Errorf("ages of %s: %w", f.Column, err)
			}
			f.Age = &AgeReport{P50: q[0], P90: q[1], P99: q[2], Max: q[3]}
		}
		all = append(all, f)
	}
	return all, nil
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
