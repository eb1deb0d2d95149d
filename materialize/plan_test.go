package materialize

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/offline"
)

// TestPlanRun gives the rules of a run's range by example.
func TestPlanRun(t *testing.T) {
	const now, past = feature.Time(100), feature.MinTime
	done := &offline.Progress{Start: 20, Watermark: 60, Hash: "h"}
	whole := &offline.Progress{Start: past, Watermark: 60, Hash: "h"}
	changed := &offline.Progress{Start: 20, Watermark: 60, Hash: "other"}
	at := func(t feature.Time) *feature.Time { return &t }
	for _, c := range []struct {
		name    string
		done    *offline.Progress
		request Request
		want    plan
		err     string
	}{
		{"first run", nil, Request{}, plan{events: feature.Range{From: past, To: 100}, start: past, watermark: 100}, ""},
		{"first run of a range", nil, Request{From: at(10), To: at(50)}, plan{events: feature.Range{From: 10, To: 50}, start: 10, watermark: 50}, ""},
		{"incremental", done, Request{}, plan{events: feature.Range{From: 61, To: 100}, start: 20, watermark: 100}, ""},
		{"incremental to a time", done, Request{To: at(80)}, plan{events: feature.Range{From: 61, To: 80}, start: 20, watermark: 80}, ""},
		{"again, inside", done, Request{From: at(30), To: at(40)}, plan{events: feature.Range{From: 30, To: 40}, start: 20, watermark: 60}, ""},
		{"again and on", done, Request{From: at(30)}, plan{events: feature.Range{From: 30, To: 100}, start: 20, watermark: 100}, ""},
		{"earlier, touching", done, Request{From: at(5), To: at(19)}, plan{events: feature.Range{From: 5, To: 19}, start: 5, watermark: 60}, ""},
		{"earlier, with a hole", done, Request{From: at(5), To: at(18)}, plan{}, "hole before"},
		{"earlier, of a whole history", whole, Request{From: at(5), To: at(18)}, plan{events: feature.Range{From: 5, To: 18}, start: past, watermark: 60}, ""},
		{"later, with a hole", done, Request{From: at(62), To: at(70)}, plan{}, "hole after"},
		{"future", done, Request{To: at(101)}, plan{}, "future"},
		{"backwards", done, Request{From: at(40), To: at(30)}, plan{}, "is after --to"},
		{"to alone, done already", done, Request{To: at(60)}, plan{}, "already"},
		{"changed", changed, Request{}, plan{events: feature.Range{From: 20, To: 100}, rebuild: true, start: 20, watermark: 100}, ""},
		{"changed, with a range", changed, Request{From: at(30)}, plan{}, "definition has changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.rows = c.want.events // rows are stored as they are
			got, err := planRun(&feature.View{Name: "v", Hash: "h"}, c.done, c.request, now)
			if c.err == "" && (err != nil || got != c.want) {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
			if c.err != "" && (!errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("got error %v, want one about %q", err, c.err)
			}
		})
	}
	p, err := planRun(&feature.View{Name: "v", Hash: "h"}, &offline.Progress{Start: past, Watermark: now, Hash: "h"}, Request{}, now)
	if err != nil || !p.events.Empty() {
		t.Fatalf("up to date: got %+v, %v; want an empty range", p, err)
	}
}

// TestPlanTiles: tiles of 10 us, (0, 10], (10, 20], ..., are computed whole.
func TestPlanTiles(t *testing.T) {
	at := func(micros int64) *feature.Time { v := feature.Time(micros); return &v }
	done := &offline.Progress{Start: 1, Watermark: 60, Hash: "h"}
	between := &offline.Progress{Start: 1, Watermark: 64, Hash: "h"}
	for _, c := range []struct {
		name    string
		strict  bool
		done    *offline.Progress
		request Request
		now     feature.Time
		want    plan
	}{
		{"first, the last tile is not complete", false, nil, Request{}, 104,
			plan{events: feature.Range{From: feature.MinTime, To: 104}, rows: feature.Range{From: feature.MinTime, To: 100}, start: feature.MinTime, watermark: 104}},
		{"first, complete to the end", false, nil, Request{}, 100,
			plan{events: feature.Range{From: feature.MinTime, To: 100}, rows: feature.Range{From: feature.MinTime, To: 100}, start: feature.MinTime, watermark: 100}},
		{"on, from the end of a tile", false, done, Request{}, 75, plan{events: feature.Range{From: 61, To: 75}, rows: feature.Range{From: 61, To: 70}, start: 1, watermark: 75}},
		{"on, from the middle of one", false, between, Request{}, 75, plan{events: feature.Range{From: 61, To: 75}, rows: feature.Range{From: 61, To: 70}, start: 1, watermark: 75}},
		{"on, and none is complete", false, between, Request{}, 67, plan{events: feature.Range{From: 61, To: 67}, rows: feature.Range{From: 61, To: 60}, start: 1, watermark: 67}},
		{"again, inside", false, done, Request{From: at(25), To: at(35)}, 75, plan{events: feature.Range{From: 21, To: 40}, rows: feature.Range{From: 21, To: 40}, start: 1, watermark: 60}},
		{"again, the last one is not complete", false, between, Request{From: at(25), To: at(62)}, 75,
			plan{events: feature.Range{From: 21, To: 62}, rows: feature.Range{From: 21, To: 60}, start: 1, watermark: 64}},
		{"the earlier end is included", true, between, Request{}, 79, plan{events: feature.Range{From: 60, To: 79}, rows: feature.Range{From: 60, To: 79}, start: 1, watermark: 79}},
		{"and the later one is not", true, between, Request{}, 78, plan{events: feature.Range{From: 60, To: 78}, rows: feature.Range{From: 60, To: 69}, start: 1, watermark: 78}},
	} {
		t.Run(c.name, func(t *testing.T) {
			view := &feature.View{Name: "v", Hash: "h", Granularity: 10 * time.Microsecond, StrictlyBefore: c.strict}
			if got, err := planRun(view, c.done, c.request, c.now); err != nil || got != c.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}
