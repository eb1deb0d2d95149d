package endtoend

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// windowWorld is a world beside its naive twin.
type windowWorld struct {
	*world
	view  *windowView
	files map[string][]windowRow
}

// TestWindowLaw is TestLaw for windowed views: random functions, granularities, delays, windows, rows at the edges of windows and tiles,
// late files, restarts, merged files, and runs without new rows. The export agrees with a naive twin, online values at the watermark W are what the
// export says for (key, W), bit for bit, and publishing what may have changed leaves what publishing everything would.
// More: go test -run WindowLaw -rapid.checks=3000
func TestWindowLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &windowWorld{files: map[string][]windowRow{}, view: randomWindowView(t)}
		w.world = newWorld(t, memoryDir(t), randomOptions(t))
		defer func() { w.close() }()
		w.now = w.at(t, "now", 8, 20)
		w.addFile(t, "a.parquet")
		w.must(w.define(w.view.yaml()))
		w.run(t)
		for range rapid.IntRange(0, 5).Draw(t, "steps") {
			w.step(t)
		}
	})
}

// at draws a time in units, of which some miss the unit by the least that there is.
func (w *windowWorld) at(t *rapid.T, label string, from, to int) feature.Time {
	at := feature.Time(0).Add(time.Duration(rapid.IntRange(from, to).Draw(t, label)) * w.view.unit)
	return at + feature.Time(rapid.SampledFrom([]int{0, 0, 0, 1, -1}).Draw(t, "off"))
}

func (w *windowWorld) step(t *rapid.T) {
	switch rapid.IntRange(0, 7).Draw(t, "step") {
	case 0:
		w.addFile(t, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "file")+".parquet")
	case 1:
		w.restart()
	case 2:
		w.runRange(t)
	case 3:
		w.view.redefine(t)
		w.view.current = false
		w.must(w.define(w.view.yaml()))
	case 4:
		_, err := w.engine.Sync(context.Background(), w.model.Views)
		w.must(err)
		w.view.current = true
	case 5:
		w.compact("w", w.view.current && rapid.Bool().Draw(t, "published"))
	default:
		w.now = max(w.now, w.now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "advance"))*w.view.unit)+feature.Time(rapid.IntRange(0, 1).Draw(t, "more")))
		w.run(t)
	}
	w.checkExport(t)
	w.checkOnline(t)
	w.checkHistory()
	w.checkExplain(t)
}

func (w *windowWorld) addFile(t *rapid.T, name string) {
	if w.files[name] != nil && len(w.files) > 1 && rapid.IntRange(0, 3).Draw(t, "goes") == 0 {
		delete(w.files, name)
		w.must(os.Remove(w.path("src/" + name)))
		return
	}
	rows := make([]windowRow, rapid.IntRange(0, 20).Draw(t, "rows"))
	for i := range rows {
		r := &rows[i]
		*r = windowRow{key: randomLawKey(t, w.view.keys, false), event: w.at(t, "event", -4, 30), created: feature.MinTime}
		if w.view.created && rapid.IntRange(0, 4).Draw(t, "known") > 0 {
			r.created = w.at(t, "created", 0, 35)
		}
		if rapid.IntRange(0, 4).Draw(t, "x") > 0 {
			r.x = rapid.OneOf(rapid.SampledFrom([]float64{1e16, 1, -1e16, 0.1, 0.2, math.Copysign(0, -1), 0, 1e300, 5e-324, math.NaN(), math.Inf(1), math.Inf(-1)}),
				rapid.Float64Range(-10, 10), rapid.Float64Range(-10, 10)).Draw(t, "x")
		}
		if rapid.IntRange(0, 4).Draw(t, "n") > 0 {
			r.n = int64(rapid.IntRange(-3, 9).Draw(t, "n"))
		}
		if rapid.IntRange(0, 4).Draw(t, "s") > 0 {
			r.s = rapid.SampledFrom([]string{"", "a", "b", "ab"}).Draw(t, "s")
		}
	}
	w.files[name] = rows
	w.write("src/"+name, windowTable(w.view, rows))
}

func (w *windowWorld) rows() (files [][]windowRow) {
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		files = append(files, w.files[name])
	}
	return files
}

func (w *windowWorld) run(t *rapid.T) {
	_, err := w.materialize(materialize.Request{})
	w.must(err)
	// Whatever has come late, changed or gone is as the files say now.
	w.view.take(feature.Range{From: feature.MinTime, To: max(w.now, w.view.watermark)}, w.rows())
	w.view.current = true
}

// runRange materializes a range again.
func (w *windowWorld) runRange(t *rapid.T) {
	from := min(w.view.watermark, w.at(t, "from", 0, 20))
	to := max(from, min(w.now, w.at(t, "to", 0, 30)))
	_, err := w.materialize(materialize.Request{From: &from, To: &to})
	w.must(err)
	w.view.take(feature.Range{From: from, To: to}, w.rows())
	w.view.current = true
}

// edges draws as-of times, of which most lie where a row enters a window or leaves one.
func (w *windowWorld) edge(t *rapid.T) feature.Time {
	if len(w.view.history) == 0 || rapid.IntRange(0, 3).Draw(t, "anywhere") == 0 {
		return w.at(t, "q", 0, 40)
	}
	event := w.view.history[rapid.IntRange(0, len(w.view.history)-1).Draw(t, "row")].event
	call := w.view.calls[rapid.IntRange(0, len(w.view.calls)-1).Draw(t, "call")]
	length := call.windows[rapid.IntRange(0, len(call.windows)-1).Draw(t, "window")]
	return event.Add(w.view.delay).Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "leaves"))*length) + feature.Time(rapid.IntRange(-1, 1).Draw(t, "off"))
}

func (w *windowWorld) checkExport(t *rapid.T) {
	spine := make([]windowRow, rapid.IntRange(1, 12).Draw(t, "spine"))
	for i := range spine {
		spine[i].key, spine[i].event, spine[i].created = randomLawKey(t, w.view.keys, true), w.edge(t), feature.MinTime
	}
	o := pointintime.ExportOptions{TimeColumn: "at"}
	o.AsKnown = w.view.granularity == 0 && rapid.Bool().Draw(t, "as known")
	o.AsServed = w.view.scheduled && rapid.Bool().Draw(t, "as served")
	w.compare(t, spine, o)
}

// compare exports a spine and holds every value against the twin.
func (w *windowWorld) compare(t *rapid.T, spine []windowRow, o pointintime.ExportOptions) {
	w.write("spine.arrow", windowTable(w.view, spine).only(append(keyNames(w.view.keys), "at")...))
	w.must(w.export("svc", "spine.arrow", "out.arrow", o))
	set := concatenated(t, readTable(t, w.path("out.arrow")))
	unknown := int64(0)
	for i, row := range spine {
		q := row.event
		if o.AsServed {
			q -= ((q % (60 * second)) + 60*second) % (60 * second)
		}
		longest := time.Duration(-1)
		for c, call := range w.view.calls {
			for _, length := range call.windows {
				rows := w.view.window(row.key, q, length, o.AsKnown && w.view.created)
				got, want := bitsAt(set[fmt.Sprintf("c%d_%s", c, windowText(length))], i), call.value(rows)
				if got != want {
					t.Fatalf("key %v at %s, %s of %q over %s, %+v: got %s, the twin says %s of %v\n%s", row.key, row.event, call.function, call.column, windowText(length), o, got, want, rows, w.view.yaml())
				}
				if longest != 0 && (length == 0 || length > longest) {
					longest = length
				}
			}
		}
		unknown += count(slices.ContainsFunc(w.view.window(row.key, q, longest, o.AsKnown), func(r windowRow) bool { return r.created == feature.MinTime || r.created > q }))
	}
	if leaks := w.last.Leaks.Views[0]; w.view.created && w.view.granularity == 0 && *leaks.AsKnown != unknown {
		t.Fatalf("the leak report says that %d rows would change under --as-known, the twin %d", *leaks.AsKnown, unknown)
	}
}

// checkOnline compares online values at the watermark with the export for (key, watermark), and what is stored with what publishing
// everything makes.
func (w *windowWorld) checkOnline(t *rapid.T) {
	if !w.view.current {
		return
	}
	rows := make([]windowRow, 12)
	for i := range rows {
		rows[i].key, rows[i].event, rows[i].created = randomLawKey(t, w.view.keys, i < 3), w.view.watermark, feature.MinTime
	}
	if len(w.view.keys) == 0 {
		rows = rows[:1]
	}
	answer, err := w.online.Lookup(context.Background(), w.service("svc"), windowTable(w.view, rows).only(keyNames(w.view.keys)...).columns(), w.view.watermark, false)
	w.must(err)
	w.compare(t, rows, pointintime.ExportOptions{TimeColumn: "at"})
	set := concatenated(t, readTable(t, w.path("out.arrow")))
	for _, c := range answer.Columns {
		for i := range rows {
			if got, want := bitsAt(c.Values(), i), bitsAt(set[c.Name], i); got != want {
				t.Fatalf("online %s of %v at %s: got %s %s, the export says %s\n%s", c.Name, rows[i].key, w.view.watermark, got, c.Statuses[i], want, w.view.yaml())
			}
		}
	}
	verified, err := w.engine.Verify(context.Background(), w.model.Views[0].View, materialize.VerifyRequest{})
	w.must(err)
	published := w.stored()
	if !verified.OK() || verified.Keys != int64(len(published)) || verified.Equal != verified.Keys {
		t.Fatalf("%d keys are online, and verifying says %+v\n%s", len(published), verified, w.view.yaml())
	}
	_, err = w.engine.Republish(context.Background(), w.model.Views[0].View)
	w.must(err)
	if all := w.stored(); !maps.Equal(published, all) {
		t.Fatalf("online holds\n%v\nafter publishing what may have changed, and\n%v\nafter publishing everything\n%s", published, all, w.view.yaml())
	}
}

// stored returns the online values by key.
func (w *windowWorld) stored() map[string]string {
	values := map[string]string{}
	w.must(w.online.Scan("w", func(s online.Stored) error {
		text := fmt.Sprint(s.Event)
		for _, v := range s.Values {
			text += " " + bitsOf(v)
		}
		values[fmt.Sprintf("%x", s.Key)] = text
		return nil
	}))
	return values
}
