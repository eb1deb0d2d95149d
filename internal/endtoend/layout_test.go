package endtoend

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// TestLayoutDoesNotMatter gives the same rows to several worlds, shuffled and cut into files in other ways, with other memory, workers,
// row groups and runs, and expects the same training set and the same online values from all, and again
// when files have been merged.
func TestLayoutDoesNotMatter(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	fields := []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}
	var rows, spine, keys []lawRow
	for i := range 3000 { // event times differ, so that source order decides nothing
		event := feature.Time(i) * second
		rows = append(rows, lawRow{key: []any{random.Int64N(50)}, event: event, created: event + second, x: random.Int64N(1000), s: fmt.Sprint(i)})
		spine = append(spine, lawRow{key: []any{random.Int64N(55)}, event: feature.Time(random.Int64N(3200)) * second})
	}
	for k := range int64(55) {
		keys = append(keys, lawRow{key: []any{k}})
	}
	var wantSet, wantOnline string
	merges := 0
	for variant := range 6 {
		w := newWorld(t, t.TempDir(), worldOptions{
			memory: []int64{0, 1, 50_000}[variant%3], workers: 1 + variant%3, chunk: []int{0, 7, 1000}[variant%3],
			offline: offline.Options{RowGroupRows: []int{0, 100, 33}[variant%3], FileBytes: []int64{0, 500}[variant%2]},
		})
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		files := 1 + variant*3
		for f := range files {
			w.write(fmt.Sprintf("src/%d.parquet", f), lawTable(fields, rows[f*len(rows)/files:(f+1)*len(rows)/files]))
		}
		w.must(w.define(fmt.Sprintf(killYAML, "")))
		for run := range variant + 1 {
			w.now = feature.Time(3200*(run+1)/(variant+1)) * second
			if _, err := w.materialize(materialize.Request{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, merged := range []bool{false, true} {
			if merged {
				merges += w.compact("v", true).Commits
			}
			set, err := w.exportText("svc", lawTable(fields, spine).only("k", "at"), pointintime.ExportOptions{TimeColumn: "at"})
			w.must(err)
			served, err := w.get("svc", lawTable(fields, keys).only("k"), w.now)
			w.must(err)
			if wantSet == "" {
				wantSet, wantOnline = set, served
			}
			if set != wantSet || served != wantOnline {
				t.Fatalf("seed %d, variant %d, merged %v gives another training set or other online values", seed, variant, merged)
			}
		}
		w.close()
	}
	if merges == 0 {
		t.Error("nothing was merged")
	}
}
