package endtoend

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// lawWorld is a world beside its naive twin.
type lawWorld struct {
	*world
	def   *lawDefinition
	files map[string][]lawRow
}

// TestLaw checks on random definitions, rows, files and runs, with restarts between any two steps, late data, merged files, and definitions that
// change, that the export agrees with a naive twin in values and counts, and that what the online store answers at the
// watermark W is what the export answers for (key, W). More: go test -run Law -rapid.checks=3000
func TestLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &lawWorld{files: map[string][]lawRow{}, def: randomDefinition(t)}
		w.world = newWorld(t, memoryDir(t), randomOptions(t))
		defer func() { w.close() }()
		w.now = 20 * second
		w.addFile(t, "a.parquet")
		w.must(w.define(w.def.yaml()))
		w.run(t)
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			w.step(t)
		}
	})
}

// randomOptions draws sizes at which files, row groups, pages, spills and chunks of a spine end in the midst of small tables.
func randomOptions(t *rapid.T) worldOptions {
	return worldOptions{
		offline: offline.Options{RowGroupRows: rapid.IntRange(1, 20).Draw(t, "row group rows"), PageRows: rapid.IntRange(1, 10).Draw(t, "page rows"), FileBytes: rapid.SampledFrom([]int64{1, 1 << 20}).Draw(t, "file bytes")},
		cache:   rapid.SampledFrom([]int64{0, 32 << 20}).Draw(t, "cache"),
		rest:    rapid.SampledFrom([]float64{0, 1}).Draw(t, "rest"),
		bulk:    rapid.SampledFrom([]int64{0, 1}).Draw(t, "bulk"),
		memory:  rapid.SampledFrom([]int64{1, 4000, 0}).Draw(t, "memory"),
		workers: rapid.IntRange(1, 3).Draw(t, "workers"),
		chunk:   rapid.IntRange(0, 5).Draw(t, "chunk"),
		compact: rapid.SampledFrom([]offline.CompactOptions{{}, pairs}).Draw(t, "compact"),
	}
}

func (w *lawWorld) step(t *rapid.T) {
	v := w.def.views[rapid.IntRange(0, 1).Draw(t, "view")]
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0:
		w.addFile(t, rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "file")+".parquet")
	case 1:
		w.restart()
	case 2:
		w.runRange(t, v)
	case 3, 4:
		v.redefineReading(t)
		v.current = false
		w.must(w.define(w.def.yaml()))
		if rapid.Bool().Draw(t, "published") {
			w.sync(t)
		}
	case 5:
		if rapid.Bool().Draw(t, "rows") {
			v.redefineRows(t)
		} else {
			v.online, v.current = !v.online, false
		}
		w.must(w.define(w.def.yaml()))
	case 6:
		w.sync(t)
	case 7:
		w.compact(v.name, v.current && v.matches() && rapid.Bool().Draw(t, "published"))
	default:
		w.now += randomTime(t, "advance", 0, 10)
		w.run(t)
	}
	w.checkExport(t)
	w.checkOnline(t)
	w.checkHistory()
	w.checkExplain(t)
}

// addFile writes a file of random rows, or another in its place.
func (w *lawWorld) addFile(t *rapid.T, name string) {
	if w.files[name] != nil && len(w.files) > 1 && rapid.IntRange(0, 3).Draw(t, "goes") == 0 {
		delete(w.files, name)
		w.must(os.Remove(w.path("src/" + name)))
		return
	}
	w.files[name] = randomLawRows(t, w.def, name)
	w.write("src/"+name, lawTable(w.def.keys, w.files[name]))
}

// rows returns the source's rows in source order.
func (w *lawWorld) rows() (files [][]lawRow) {
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		files = append(files, w.files[name])
	}
	return files
}

// run brings all views up to now, in the world and in the twin.
func (w *lawWorld) run(t *rapid.T) {
	if _, err := w.materialize(materialize.Request{}); err != nil {
		t.Fatal(err)
	}
	for _, v := range w.def.views {
		// Whatever has come late, changed or gone is as the files say now.
		v.take(feature.Range{From: feature.MinTime, To: max(w.now, v.watermark)}, w.rows())
		v.current = v.online
	}
}

// runRange materializes a range of one view that leaves no hole.
func (w *lawWorld) runRange(t *rapid.T, v *lawView) {
	from := min(v.watermark, randomTime(t, "from", 0, int(v.watermark/second)))
	to := min(w.now, from+randomTime(t, "length", 0, int((w.now-from)/second)))
	_, err := w.materialize(materialize.Request{From: &from, To: &to}, v.name)
	if !v.matches() {
		if !errors.Is(err, feature.ErrInvalid) {
			t.Fatalf("a range of view %s, whose definition has changed: %v", v.name, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	v.take(feature.Range{From: from, To: to}, w.rows())
	v.current = v.online
}

// sync publishes what is behind.
func (w *lawWorld) sync(t *rapid.T) {
	if _, err := w.engine.Sync(context.Background(), w.model.Views); err != nil {
		t.Fatal(err)
	}
	for _, v := range w.def.views {
		v.current = v.online && (v.matches() || v.current)
	}
}

// checkExport exports a random spine and compares it with the twin: every value, and the manifest's counts.
func (w *lawWorld) checkExport(t *rapid.T) {
	keys := w.def.spineKeys()
	spine := make([]lawRow, rapid.IntRange(1, 12).Draw(t, "spine"))
	for i := range spine {
		spine[i].key = randomLawKey(t, keys, true)
		spine[i].event = feature.MinTime
		spine[i].x = randomRequest(t)
		if rapid.IntRange(0, 19).Draw(t, "time") > 0 {
			spine[i].event = randomTime(t, "q", 0, 130)
		}
	}
	o := pointintime.ExportOptions{TimeColumn: "at"}
	o.AsKnown, o.AsServed = rapid.Bool().Draw(t, "as known"), w.def.scheduled && rapid.Bool().Draw(t, "as served")
	set, err := w.exportRows(spine, o)
	if !w.def.views[0].matches() || !w.def.views[1].matches() {
		if !errors.Is(err, feature.ErrInvalid) {
			t.Fatalf("export of a view whose definition has changed: %v", err)
		}
		return
	}
	w.must(err)
	for r, ref := range w.def.refs() {
		counts := map[feature.Status][2]int64{}
		leaks := w.last.Leaks.Views[r]
		exact, unknown, after := int64(0), int64(0), int64(0)
		for i, row := range spine {
			q := row.event
			if o.AsServed && q != feature.MinTime {
				q -= q % (60 * second)
			}
			a := ref.view.answer(keyOf(ref, row), q, o.AsKnown && w.def.created)
			if y, s := cell(set[ref.prefix+"y"], i), cell(set[ref.prefix+"s"], i); y != a.y || s != a.s {
				t.Fatalf("export of %v at %s for %s%s, %+v: got (%v, %v), the twin says (%v, %v)", row.key, row.event, ref.prefix, ref.view.name, o, y, s, a.y, a.s)
			}
			y, s := counts[a.yStatus], counts[a.sStatus]
			y[0]++
			counts[a.yStatus] = y
			s = counts[a.sStatus]
			s[1]++
			counts[a.sStatus] = s
			if row.event > ref.view.watermark {
				after++
			}
			if a.row != nil && a.yStatus != feature.Expired {
				exact += count(a.row.event == row.event)
				unknown += count(a.row.created == feature.MinTime || a.row.created > q)
			}
		}
		for f := range 2 {
			at := slices.IndexFunc(w.last.Features, func(r pointintime.FeatureReport) bool { return r.Column == ref.prefix+[]string{"y", "s"}[f] })
			got := w.last.Features[at]
			if got.Present != counts[feature.Present][f] || got.Null != counts[feature.Null][f] || got.NotFound != counts[feature.NotFound][f] || got.Expired != counts[feature.Expired][f] {
				t.Fatalf("the manifest counts %+v, the twin %v", got, counts)
			}
		}
		if leaks.ExactTime != exact || leaks.AfterWatermark != after || (w.def.created && *leaks.AsKnown != unknown) {
			t.Fatalf("the leak report of %s says %+v, the twin %d, %d and %d", leaks.View, leaks, exact, unknown, after)
		}
	}
	w.checkOnDemandExport(t, spine, set, o)
}

// randomRequest draws a field of a request.
func randomRequest(t *rapid.T) any {
	return rapid.SampledFrom([]any{nil, int64(1), int64(4)}).Draw(t, "request")
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// keyOf returns the key that a spine row asks of a ref.
func keyOf(ref lawRef, row lawRow) []any {
	key := make([]any, len(ref.keys))
	for i, k := range ref.keys {
		key[i] = row.key[k]
	}
	return key
}

// exportRows exports a spine of the keys, event times and x of rows.
func (w *lawWorld) exportRows(rows []lawRow, o pointintime.ExportOptions) (map[string]arrow.Array, error) {
	return w.exportService("svc", rows, o)
}

func (w *lawWorld) exportService(service string, rows []lawRow, o pointintime.ExportOptions) (map[string]arrow.Array, error) {
	keys := w.def.spineKeys()
	w.write("spine.arrow", lawTable(keys, rows).only(append(keyNames(keys), "at", "x")...))
	if err := w.export(service, "spine.arrow", "out.arrow", o); err != nil {
		return nil, err
	}
	out := map[string]arrow.Array{}
	for name, pieces := range readTable(w.t, w.path("out.arrow")) {
		joined, err := array.Concatenate(pieces, memory.DefaultAllocator)
		w.must(err)
		out[name] = joined
	}
	return out, nil
}

// checkOnline compares online answers at the watermark of each ref's view, of every key and some pairs of keys, with the twin and with
// the export for (key, watermark).
func (w *lawWorld) checkOnline(t *rapid.T) {
	keys := w.def.spineKeys()
	rows := make([]lawRow, 20)
	for i := range rows {
		rows[i].key, rows[i].x = randomLawKey(t, keys, i < 4), randomRequest(t)
	}
	columns := lawTable(keys, rows).only(append(keyNames(keys), "x")...).columns()
	for r, ref := range w.def.refs() {
		for i := range rows {
			rows[i].event = ref.view.watermark
		}
		answer, err := w.lookup("svc", columns, ref.view.watermark)
		if !w.def.views[1].online || !w.def.views[0].online {
			if !errors.Is(err, feature.ErrInvalid) && !errors.Is(err, feature.ErrUnavailable) { // the other view may have changed
				t.Fatalf("lookup of a view that is not online: %v", err)
			}
			return
		}
		if !w.def.views[0].matches() || !w.def.views[1].matches() || !ref.view.current {
			continue // a lookup says so, or what it says is of an earlier state
		}
		if errors.Is(err, feature.ErrUnavailable) && (!w.def.views[0].current || !w.def.views[1].current) {
			continue // what is there of the other view was published before its rows were defined anew
		}
		w.must(err)
		verified, err := w.engine.Verify(context.Background(), w.service("svc").Refs[r].View, materialize.VerifyRequest{})
		if err != nil || !verified.OK() {
			t.Fatalf("verifying says %+v, %v", verified, err)
		}
		set, err := w.exportRows(rows, pointintime.ExportOptions{TimeColumn: "at"})
		w.must(err)
		y, s := columnNamed(answer, ref.prefix+"y"), columnNamed(answer, ref.prefix+"s")
		for i := range answer.Rows { // one where there are neither keys nor request fields
			a := ref.view.answer(keyOf(ref, rows[i]), ref.view.watermark, false)
			gotY, gotS := cell(y.Values(), i), cell(s.Values(), i)
			if gotY != a.y || gotS != a.s || y.Statuses[i] != a.yStatus || s.Statuses[i] != a.sStatus {
				t.Fatalf("online %s%s of %v at %s: got %v %s, %v %s, the twin says %+v", ref.prefix, ref.view.name, rows[i].key, ref.view.watermark, gotY, y.Statuses[i], gotS, s.Statuses[i], a)
			}
			if y.Found[i] != (a.row != nil) || (a.row != nil && y.EventTimes[i] != a.row.event) {
				t.Fatalf("online %s%s of %v: event time %v, the twin says %+v", ref.prefix, ref.view.name, rows[i].key, y.EventTimes[i], a.row)
			}
			if gotY != cell(set[ref.prefix+"y"], i) || gotS != cell(set[ref.prefix+"s"], i) {
				t.Fatalf("online %s%s of %v at %s: got (%v, %v), the export says otherwise", ref.prefix, ref.view.name, rows[i].key, ref.view.watermark, gotY, gotS)
			}
		}
		if v, u := w.def.views[0], w.def.views[1]; !v.current || !u.current || v.watermark != u.watermark {
			set = nil
		}
		w.checkOnDemandOnline(t, columns, answer, ref.view.watermark, set)
	}
}

func columnNamed(a *online.Answer, name string) *online.Column {
	return a.Columns[slices.IndexFunc(a.Columns, func(c *online.Column) bool { return c.Name == name })]
}
