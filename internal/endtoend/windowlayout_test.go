package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// TestWindowLayoutDoesNotMatter gives the same rows to several worlds, shuffled and cut into files in other ways, with other memory,
// workers, row groups, spine chunks and runs, and merges files in the end, and expects the same bits from all, of every function, in training and online. Rows
// tie in time, a key in ten rows has half of them, and the sums have all magnitudes, NaNs and infinities.
func TestWindowLayoutDoesNotMatter(t *testing.T) {
	for _, granularity := range []time.Duration{0, time.Minute} {
		t.Run(fmt.Sprint(granularity), func(t *testing.T) { checkWindowLayout(t, granularity) })
	}
}

func checkWindowLayout(t *testing.T, granularity time.Duration) {
	const seed, end = 11, 3200
	random := rand.New(rand.NewPCG(seed, uint64(granularity)))
	v := &windowView{keys: []feature.Field{{Name: "k0", Type: feature.Scalar(feature.Int64)}}, created: true, granularity: granularity, delay: 7 * time.Second}
	for _, f := range aggregate.Names() {
		for _, column := range []string{"x", "n"} {
			v.calls = append(v.calls, windowCall{function: f, column: column, windows: []time.Duration{0, time.Minute, 10 * time.Minute}})
		}
	}
	key := func() []any {
		if random.IntN(2) == 0 {
			return []any{int64(0)}
		}
		return []any{random.Int64N(9)}
	}
	var rows, spine []windowRow
	for range 2000 {
		r := windowRow{key: key(), event: feature.Time(random.IntN(end/2)) * 2 * second, n: random.Int64N(100), x: math.Ldexp(random.NormFloat64(), random.IntN(120)-60)}
		r.created = r.event + feature.Time(random.IntN(3))*second
		switch random.IntN(1000) {
		case 0:
			r.x = math.NaN()
		case 1:
			r.x = math.Inf(1)
		case 2:
			r.x = math.Inf(-1)
		}
		rows = append(rows, r)
	}
	for range 1500 {
		spine = append(spine, windowRow{key: key(), event: feature.Time(random.IntN(end)) * second})
	}
	var wantSet, wantLeaks string
	merges := 0
	var wantOnline map[string]string
	for variant := range 5 {
		w := &windowWorld{view: v, world: newWorld(t, t.TempDir(), worldOptions{
			memory: []int64{0, 1, 50_000}[variant%3], workers: 1 + variant%3, chunk: []int{0, 70, 1000}[variant%3],
			offline: offline.Options{RowGroupRows: []int{0, 100, 33}[variant%3], FileBytes: []int64{0, 500}[variant%2]},
		})}
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		files := 1 + variant*3
		for f := range files {
			w.write(fmt.Sprintf("src/%d.parquet", f), windowTable(v, rows[f*len(rows)/files:(f+1)*len(rows)/files]))
		}
		w.must(w.define(v.yaml()))
		for run := range variant + 1 {
			w.now = feature.Time(end*(run+1)/(variant+1)) * second
			_, err := w.materialize(materialize.Request{})
			w.must(err)
		}
		for _, merged := range []bool{false, true} {
			if merged {
				merges += w.compact("w", true).Commits
			}
			set, online := w.bits(t, spine), w.stored()
			leaks, err := json.Marshal(w.last.Leaks)
			w.must(err)
			if wantSet == "" {
				wantSet, wantOnline = set, online
			}
			if !merged {
				wantLeaks = string(leaks)
			}
			if set != wantSet || !maps.Equal(online, wantOnline) || string(leaks) != wantLeaks {
				t.Fatalf("seed %d, variant %d, merged %v gives another training set, leak report or other online values", seed, variant, merged)
			}
		}
		verified, err := w.engine.Verify(context.Background(), w.model.Views[0].View, materialize.VerifyRequest{})
		if err != nil || !verified.OK() || verified.Keys == 0 {
			t.Fatalf("verifying says %+v, %v", verified, err)
		}
		w.close()
	}
	if merges == 0 {
		t.Error("nothing was merged")
	}
}

// bits exports a spine and returns all its values.
func (w *windowWorld) bits(t tester, spine []windowRow) string {
	w.write("spine.arrow", windowTable(w.view, spine).only(append(keyNames(w.view.keys), "at")...))
	w.must(w.export("svc", "spine.arrow", "out.arrow", pointintime.ExportOptions{TimeColumn: "at"}))
	set := concatenated(t, readTable(t, w.path("out.arrow")))
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(set)) {
		for i := range spine {
			text.WriteString(bitsAt(set[name], i) + "\n")
		}
	}
	return text.String()
}
