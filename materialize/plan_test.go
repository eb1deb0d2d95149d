package materialize

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/source"
)

// oneStep is a plan of one step, of which nothing is left.
func oneStep(events, rows feature.Range, start, watermark feature.Time) plan {
	return plan{steps: []step{{events: events, rows: rows, start: start, watermark: watermark}}}
}

var comparePlans = cmp.AllowUnexported(plan{}, step{})

// TestPlanRun gives the rules of a run's range by example.
func TestPlanRun(t *testing.T) {
	const now, past = feature.Time(100), feature.MinTime
	done := &offline.Progress{Start: 20, Watermark: 60, Hash: "h"}
	whole := &offline.Progress{Start: past, Watermark: 60, Hash: "h"}
	changed := &offline.Progress{Start: 20, Watermark: 60, Hash: "other"}
	at := func(t feature.Time) *feature.Time { return &t }
	one := func(from, to, start, watermark feature.Time) plan {
		events := feature.Range{From: from, To: to}
		return oneStep(events, events, start, watermark)
	}
	rebuild := one(20, 100, 20, 100)
	rebuild.rebuild = true
	for _, c := range []struct {
		name    string
		done    *offline.Progress
		request Request
		want    plan
		err     string
	}{
		{"first run", nil, Request{}, one(past, 100, past, 100), ""},
		{"first run of a range", nil, Request{From: at(10), To: at(50)}, one(10, 50, 10, 50), ""},
		{"incremental", done, Request{}, one(61, 100, 20, 100), ""},
		{"incremental to a time", done, Request{To: at(80)}, one(61, 80, 20, 80), ""},
		{"again, inside", done, Request{From: at(30), To: at(40)}, one(30, 40, 20, 60), ""},
		{"again and on", done, Request{From: at(30)}, one(30, 100, 20, 100), ""},
		{"earlier, touching", done, Request{From: at(5), To: at(19)}, one(5, 19, 5, 60), ""},
		{"earlier, with a hole", done, Request{From: at(5), To: at(18)}, plan{}, "hole before"},
		{"earlier, of a whole history", whole, Request{From: at(5), To: at(18)}, one(5, 18, past, 60), ""},
		{"later, with a hole", done, Request{From: at(62), To: at(70)}, plan{}, "hole after"},
		{"future", done, Request{To: at(101)}, plan{}, "future"},
		{"backwards", done, Request{From: at(40), To: at(30)}, plan{}, "is after --to"},
		{"to alone, done already", done, Request{To: at(60)}, plan{}, "already"},
		{"changed", changed, Request{}, rebuild, ""},
		{"changed, with a range", changed, Request{From: at(30)}, plan{}, "definition has changed"},
		{"up to date", &offline.Progress{Start: past, Watermark: now, Hash: "h"}, Request{}, plan{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := planRun(&feature.View{Name: "v", Hash: "h"}, c.done, nil, c.request, now, nil)
			if got.why = ""; c.err == "" && (err != nil || !cmp.Equal(got, c.want, comparePlans)) {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
			if c.err != "" && (!errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("got error %v, want one about %q", err, c.err)
			}
		})
	}
}

// TestPlanTiles: tiles of 10 us, (0, 10], (10, 20], ..., are computed whole.
func TestPlanTiles(t *testing.T) {
	at := func(micros int64) *feature.Time { v := feature.Time(micros); return &v }
	done := &offline.Progress{Start: 1, Watermark: 60, Hash: "h"}
	between := &offline.Progress{Start: 1, Watermark: 64, Hash: "h"}
	between.Sources = []offline.SourceFile{{Path: "gone", From: 15, To: 63}}
	late := oneStep(feature.Range{From: 11, To: 75}, feature.Range{From: 11, To: 70}, 1, 75)
	late.stale = []offline.Stale{{From: 15, To: 60, Why: "gone is gone"}}
	for _, c := range []struct {
		name    string
		strict  bool
		done    *offline.Progress
		files   []offline.SourceFile
		request Request
		now     feature.Time
		want    plan
	}{
		{"first, the last tile is not complete", false, nil, nil, Request{}, 104,
			oneStep(feature.Range{From: feature.MinTime, To: 104}, feature.Range{From: feature.MinTime, To: 100}, feature.MinTime, 104)},
		{"first, complete to the end", false, nil, nil, Request{}, 100,
			oneStep(feature.Range{From: feature.MinTime, To: 100}, feature.Range{From: feature.MinTime, To: 100}, feature.MinTime, 100)},
		{"on, from the end of a tile", false, done, nil, Request{}, 75, oneStep(feature.Range{From: 61, To: 75}, feature.Range{From: 61, To: 70}, 1, 75)},
		{"on, from the middle of one", false, between, between.Sources, Request{}, 75, oneStep(feature.Range{From: 61, To: 75}, feature.Range{From: 61, To: 70}, 1, 75)},
		{"on, and none is complete", false, between, between.Sources, Request{}, 67, oneStep(feature.Range{From: 61, To: 67}, feature.Range{From: 61, To: 60}, 1, 67)},
		{"again, inside", false, done, nil, Request{From: at(25), To: at(35)}, 75, oneStep(feature.Range{From: 21, To: 40}, feature.Range{From: 21, To: 40}, 1, 60)},
		{"again, the last one is not complete", false, between, between.Sources, Request{From: at(25), To: at(62)}, 75,
			oneStep(feature.Range{From: 21, To: 62}, feature.Range{From: 21, To: 60}, 1, 64)},
		{"the earlier end is included", true, between, between.Sources, Request{}, 79, oneStep(feature.Range{From: 60, To: 79}, feature.Range{From: 60, To: 79}, 1, 79)},
		{"and the later one is not", true, between, between.Sources, Request{}, 78, oneStep(feature.Range{From: 60, To: 78}, feature.Range{From: 60, To: 69}, 1, 78)},
		{"stale tiles are whole, and those that were not complete are none", false, between, nil, Request{}, 75, late},
	} {
		t.Run(c.name, func(t *testing.T) {
			view := &feature.View{Name: "v", Hash: "h", Granularity: 10 * time.Microsecond, StrictlyBefore: c.strict}
			got, err := planRun(view, c.done, c.files, c.request, c.now, nil)
			if got.why = ""; err != nil || !cmp.Equal(got, c.want, comparePlans) {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestPlanStale gives by example what late, changed and lost files make stale.
func TestPlanStale(t *testing.T) {
	file := func(path string, version, from, to feature.Time) offline.SourceFile {
		return offline.SourceFile{Path: path, ModTime: version, From: from, To: to}
	}
	unknown := file("a", 1, feature.MinTime, feature.MaxTime)
	for _, c := range []struct {
		name     string
		was, now []offline.SourceFile
		left     []offline.Stale // by the last run
		want     string
		steps    string
	}{
		{"nothing", []offline.SourceFile{file("a", 1, 20, 30)}, []offline.SourceFile{file("a", 1, 20, 30)}, nil, "", "[61 100]"},
		{"a new file", nil, []offline.SourceFile{file("a", 1, 30, 40)}, nil, "30-40 a is new", "[61 100] [30 40]"},
		{"a new file before the start", nil, []offline.SourceFile{file("a", 1, 2, 19)}, nil, "", "[61 100]"},
		{"a new file after the end", nil, []offline.SourceFile{file("a", 1, 61, 70)}, nil, "", "[61 100]"},
		{"a new file over both ends", nil, []offline.SourceFile{file("a", 1, 2, 70)}, nil, "20-60 a is new", "[20 100]"},
		{"a file without rows", nil, []offline.SourceFile{file("a", 1, feature.MaxTime, feature.MinTime)}, nil, "", "[61 100]"},
		{"a changed file", []offline.SourceFile{file("a", 1, 30, 33)}, []offline.SourceFile{file("a", 2, 40, 42)}, nil, "30-33 a has changed, 40-42 a has changed", "[61 100] [40 42] [30 33]"},
		{"a lost file", []offline.SourceFile{file("a", 1, 30, 33)}, nil, nil, "30-33 a is gone", "[61 100] [30 33]"},
		{"a file of unknown bounds has changed", []offline.SourceFile{unknown}, []offline.SourceFile{file("a", 2, 40, 42)}, nil, "20-60 a has changed, 40-42 a has changed", "[20 100]"},
		{"neighbours and overlaps", nil, []offline.SourceFile{file("a", 1, 22, 25), file("b", 1, 26, 27), file("c", 1, 27, 30), file("d", 1, 32, 32)}, nil,
			"22-25 a is new, 26-27 b is new, 27-30 c is new, 32-32 d is new", "[61 100] [32 32] [22 30]"},
		{"what an earlier run has left", nil, nil, []offline.Stale{{From: 50, To: 60, Why: "x is new"}}, "50-60 x is new", "[50 100]"},
		{"beyond both ends", nil, nil, []offline.Stale{{From: 1, To: 19, Why: "w"}, {From: 61, To: 90, Why: "w"}}, "1-19 w, 61-90 w", "[61 100] [1 19]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := &offline.Progress{Start: 20, Watermark: 60, Hash: "h", Sources: c.was, Stale: c.left}
			p, err := planRun(&feature.View{Name: "v", Hash: "h"}, done, c.now, Request{}, 100, nil)
			if err != nil {
				t.Fatal(err)
			}
			var stale, steps []string
			for _, s := range p.stale {
				stale = append(stale, fmt.Sprintf("%d-%d %s", int64(s.From), int64(s.To), s.Why))
			}
			for _, s := range p.steps {
				steps = append(steps, fmt.Sprintf("[%d %d]", int64(s.events.From), int64(s.events.To)))
			}
			if got := strings.Join(stale, ", "); got != c.want {
				t.Errorf("stale is %q, want %q", got, c.want)
			}
			if got := strings.Join(steps, " "); got != c.steps {
				t.Errorf("the steps are %s, want %s", got, c.steps)
			}
			if left := p.steps[len(p.steps)-1].left; len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// TestPlanManyStale: many stale ranges are computed in few commits, which close the smallest gaps between them.
func TestPlanManyStale(t *testing.T) {
	done := &offline.Progress{Start: 0, Watermark: 10_000, Hash: "h"}
	var files []offline.SourceFile
	for i := range feature.Time(100) {
		files = append(files, offline.SourceFile{Path: fmt.Sprint(i), From: i * i, To: i * i})
	}
	p, err := planRun(&feature.View{Name: "v", Hash: "h"}, done, files, Request{}, 10_000, nil)
	if err != nil || len(p.stale) != 100 || len(p.steps) != stepsMax {
		t.Fatalf("%d stale parts, %d steps, %v; want 100 and %d", len(p.stale), len(p.steps), err, stepsMax)
	}
	for i, s := range p.steps[:stepsMax-1] {
		if s.events.From != s.events.To || s.events.From != feature.Time((99-i)*(99-i)) {
			t.Errorf("step %d computes %v; the widest gaps are at the end", i, s.events)
		}
	}
}

// planWorld is a view's history as a set of versions of files for each instant: what was read when the instant was computed last.
type planWorld struct {
	view     *feature.View
	now      feature.Time
	done     *offline.Progress
	files    []offline.SourceFile
	read     map[feature.Time]string
	versions feature.Time // of files, so far
}

// contents names the files that have rows at an instant.
func (w *planWorld) contents(at feature.Time) string {
	var names []string
	for _, f := range w.files {
		if f.From <= at && at <= f.To {
			names = append(names, fmt.Sprint(f.Path, f.ModTime))
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// change lets time pass, and files come, change and go.
func (w *planWorld) change(t *rapid.T) {
	w.now += feature.Time(rapid.IntRange(0, 9).Draw(t, "time passes"))
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		from := feature.Time(rapid.IntRange(0, int(w.now)+3).Draw(t, "from"))
		f := offline.SourceFile{Path: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "path"), From: from, To: from + feature.Time(rapid.IntRange(0, 12).Draw(t, "length"))}
		w.versions++
		f.ModTime = w.versions
		w.files = slices.DeleteFunc(slices.Clone(w.files), func(old offline.SourceFile) bool { return old.Path == f.Path })
		if rapid.IntRange(0, 3).Draw(t, "goes") > 0 {
			w.files = append(w.files, f)
		}
	}
}

// request draws a request, with a way to cut.
func (w *planWorld) request(t *rapid.T) (r Request, cut func(feature.Range) []feature.Range) {
	if rapid.Bool().Draw(t, "ranged") {
		from := feature.Time(rapid.IntRange(0, int(w.now)).Draw(t, "from"))
		r.From = &from
	}
	if rapid.IntRange(0, 3).Draw(t, "to") == 0 {
		to := feature.Time(rapid.IntRange(0, int(w.now)).Draw(t, "to"))
		r.To = &to
	}
	r.NewestFirst = rapid.Bool().Draw(t, "newest first")
	if r.Chunk = time.Duration(rapid.IntRange(0, 7).Draw(t, "chunk")) * time.Microsecond; r.Chunk == 0 {
		return r, nil
	}
	cut, err := cutter(w.view, []source.Piece{{Events: feature.Range{From: 0, To: w.now}, Rows: 1}}, r)
	if err != nil {
		t.Fatal(err)
	}
	return r, cut
}

// run takes the first steps of a plan, all of them if it is not cut short, and holds each against what a history may be.
func (w *planWorld) run(t *rapid.T, p plan, cutShort bool) {
	steps := p.steps
	if cutShort {
		steps = steps[:rapid.IntRange(0, len(steps)).Draw(t, "steps taken")]
	}
	for i, s := range steps {
		if w.done != nil && !p.rebuild {
			if s.start > w.done.Start || s.watermark < w.done.Watermark {
				t.Fatalf("step %d of %+v shrinks the history %v to %v", i, p, w.done.Start, w.done.Watermark)
			}
			if w.done.Start != feature.MinTime && s.events.To < w.done.Start-1 || s.events.From > w.done.Watermark+1 {
				t.Fatalf("step %d of %+v leaves a hole: the history goes from %d to %d", i, p, w.done.Start, w.done.Watermark)
			}
		}
		for at := max(0, s.rows.From); at <= s.rows.To; at++ {
			w.read[at] = w.contents(at)
		}
		w.done = &offline.Progress{Start: s.start, Watermark: s.watermark, Hash: "h", Sources: w.files, Stale: s.left}
	}
}

// check compares the history with the files: what is not as they say must be stale.
func (w *planWorld) check(t *rapid.T) {
	if w.done == nil {
		return
	}
	stale := staleParts(w.view, w.done, w.files)
	for at := max(0, w.done.Start); at <= storedEnd(w.view, w.done.Watermark); at++ {
		if w.read[at] != w.contents(at) && !slices.ContainsFunc(stale, func(s offline.Stale) bool { return s.Range().Contains(at) }) {
			t.Fatalf("at %d the history is of %q and the files are %q, and nobody knows: %+v", at, w.read[at], w.contents(at), w.done)
		}
	}
}

// TestPlanLosesNothing runs random requests, some of them cut short, over files that come, change and go: whatever is not as the files say is
// known to be stale, and a run without a range leaves nothing so.
func TestPlanLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &planWorld{view: &feature.View{Name: "v", Hash: "h"}, now: 5, read: map[feature.Time]string{}}
		if w.view.Granularity = time.Duration(rapid.SampledFrom([]int{0, 4}).Draw(t, "granularity")) * time.Microsecond; w.view.Granularity > 0 {
			w.view.StrictlyBefore = rapid.Bool().Draw(t, "strict")
		}
		for range rapid.IntRange(1, 8).Draw(t, "runs") {
			w.change(t)
			w.check(t)
			r, cut := w.request(t)
			p, err := planRun(w.view, w.done, w.files, r, w.now, cut)
			if errors.Is(err, feature.ErrInvalid) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			cutShort := rapid.Bool().Draw(t, "cut short")
			w.run(t, p, cutShort)
			w.check(t)
			if r.ranged() || cutShort {
				continue
			}
			if left := staleParts(w.view, w.done, w.files); len(left) > 0 || w.done.Watermark != max(w.now, w.done.Watermark) {
				t.Fatalf("after a whole run to %d, the watermark is %d and %v is stale", w.now, w.done.Watermark, left)
			}
		}
	})
}

// TestResume: a backfill that was cut short goes on where it stopped when it is asked for again, or with the next run.
func TestResume(t *testing.T) {
	view, from, to := &feature.View{Name: "v", Hash: "h"}, feature.Time(10), feature.Time(49)
	cut := func(r feature.Range) (chunks []feature.Range) {
		for ; r.From < r.To; r.From += 10 {
			chunks = append(chunks, feature.Range{From: r.From, To: min(r.To, r.From+9)})
		}
		return chunks
	}
	events := func(p plan) (list string) {
		for _, s := range p.steps {
			list += fmt.Sprintf("[%d %d]", int64(s.events.From), int64(s.events.To))
		}
		return list
	}
	for _, newest := range []bool{false, true} {
		for _, done := range []*offline.Progress{nil, {Start: 0, Watermark: 60, Hash: "h"}} {
			r := Request{From: &from, To: &to, NewestFirst: newest}
			p, err := planRun(view, done, nil, r, 60, cut)
			if err != nil || len(p.steps) != 4 {
				t.Fatal(p, err)
			}
			second := p.steps[1]
			stopped := &offline.Progress{Start: second.start, Watermark: second.watermark, Hash: "h", Stale: second.left}
			want := map[bool]string{false: "[30 39][40 49]", true: "[20 29][10 19]"}[newest]
			if again, err := planRun(view, stopped, nil, r, 60, cut); err != nil || events(again) != want {
				t.Errorf("newest first %v, history %v: asked for again, it computes %s, %v; want %s", newest, done, events(again), err, want)
			}
			next, err := planRun(view, stopped, nil, Request{}, 60, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range second.left {
				if !slices.ContainsFunc(next.steps, func(st step) bool { return st.events.From <= s.From && s.To <= st.events.To }) {
					t.Errorf("newest first %v, history %v: the next run computes %s, without %v", newest, done, events(next), s)
				}
			}
		}
	}
}
