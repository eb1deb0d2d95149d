package endtoend

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// second is the unit of time in these tests; the clock starts at epoch.
const second = feature.Time(1_000_000)

// lawRow is a source row of the law's tests. A nil x or s is NULL, a created time of feature.MinTime too.
type lawRow struct {
	key            []any
	encoded        feature.Key
	event, created feature.Time
	x, s           any
}

// lawDefinition is a random definition and what it means in plain values.
type lawDefinition struct {
	yaml    string
	keys    []feature.Field
	delay   int
	ttl     int
	strict  bool
	created bool
	where   bool // x > 2
	dflt    any  // of y
}

// lawWorld is a world beside its naive twin: the source's files, and the rows that have been materialized.
type lawWorld struct {
	*world
	def       lawDefinition
	files     map[string][]lawRow
	history   []lawRow
	watermark feature.Time
	started   bool
}

// TestLaw checks on random definitions, rows, files and runs, with restarts between any two steps, that the export agrees with
// a naive twin, and that what the online store answers at the watermark W is what the export answers for (key, W).
func TestLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "asof-law-*")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		w := &lawWorld{files: map[string][]lawRow{}, def: randomDefinition(t)}
		w.world = newWorld(t, dir, worldOptions{
			offline: offline.Options{RowGroupRows: rapid.IntRange(1, 20).Draw(t, "row group rows"), PageRows: rapid.IntRange(1, 10).Draw(t, "page rows"), FileBytes: rapid.SampledFrom([]int64{1, 1 << 20}).Draw(t, "file bytes")},
			memory:  rapid.SampledFrom([]int64{1, 4000, 0}).Draw(t, "memory"),
			workers: rapid.IntRange(1, 3).Draw(t, "workers"),
			chunk:   rapid.IntRange(0, 5).Draw(t, "chunk"),
		})
		defer func() { w.close() }()
		w.now = 20 * second
		w.addFile(t, "a.parquet")
		w.must(w.define(w.def.yaml))
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			w.step(t)
		}
	})
}

func randomDefinition(t *rapid.T) lawDefinition {
	kinds := rapid.SampledFrom([][]feature.Kind{nil, {feature.Int64}, {feature.String}, {feature.String, feature.Int64}}).Draw(t, "kinds")
	d := lawDefinition{delay: rapid.IntRange(0, 4).Draw(t, "delay"), ttl: rapid.IntRange(0, 12).Draw(t, "ttl"), strict: rapid.Bool().Draw(t, "strict"),
		created: rapid.Bool().Draw(t, "created"), where: rapid.Bool().Draw(t, "where")}
	var keys []string
	for i, k := range kinds {
		d.keys = append(d.keys, feature.Field{Name: fmt.Sprintf("k%d", i), Type: feature.Scalar(k)})
		keys = append(keys, fmt.Sprintf("k%d: %s", i, k))
	}
	var y strings.Builder
	fmt.Fprintf(&y, "entities:\n  - {name: e, keys: {%s}}\nsources:\n  - {name: src, parquet: 'src/*.parquet', event_time: at", strings.Join(keys, ", "))
	if d.created {
		fmt.Fprint(&y, ", created_time: known")
	}
	fmt.Fprintf(&y, "}\nviews:\n  - name: v\n    entity: e\n    source: src\n    delay: %ds\n    allow_exact_matches: %v\n", d.delay, !d.strict)
	if d.ttl > 0 {
		fmt.Fprintf(&y, "    ttl: %ds\n", d.ttl)
	}
	if d.where {
		fmt.Fprint(&y, "    where: x > 2\n")
	}
	fmt.Fprint(&y, "    features:\n      - {name: y, expr: x * 2")
	if rapid.Bool().Draw(t, "default") {
		d.dflt = int64(-1)
		fmt.Fprint(&y, ", default: -1")
	}
	fmt.Fprint(&y, "}\n      - {name: s, type: string}\nservices:\n  - {name: svc, features: [{view: v}]}\n")
	d.yaml = y.String()
	return d
}

func (w *lawWorld) step(t *rapid.T) {
	switch rapid.IntRange(0, 5).Draw(t, "step") {
	case 0:
		w.addFile(t, rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "file")+".parquet")
	case 1:
		w.restart()
	case 2:
		w.runRange(t)
	default:
		w.now += feature.Time(rapid.IntRange(0, 10).Draw(t, "advance")) * second
		w.run(t, materialize.Request{}, feature.Range{From: w.watermark + 1, To: w.now})
	}
	if w.started {
		w.checkExport(t)
		w.checkOnline(t)
	}
}

// runRange materializes a range that leaves no hole.
func (w *lawWorld) runRange(t *rapid.T) {
	if !w.started {
		return
	}
	from := feature.Time(rapid.IntRange(0, int(w.watermark/second)).Draw(t, "from")) * second
	to := from + feature.Time(rapid.IntRange(0, int((w.now-from)/second)).Draw(t, "length"))*second
	w.run(t, materialize.Request{From: &from, To: &to}, feature.Range{From: from, To: to})
}

// run materializes in the world and in the twin.
func (w *lawWorld) run(t *rapid.T, r materialize.Request, events feature.Range) {
	if !w.started {
		events.From = feature.MinTime
	}
	if _, err := w.materialize(r); err != nil {
		t.Fatal(err)
	}
	w.started, w.watermark = true, max(w.watermark, events.To)
	w.history = slices.DeleteFunc(w.history, func(r lawRow) bool { return events.Contains(r.event) })
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		for _, row := range w.files[name] {
			wanted := !w.def.where || (row.x != nil && row.x.(int64) > 2)
			if wanted && events.Contains(row.event) {
				w.history = append(w.history, row)
			}
		}
	}
}

// addFile writes a file of random rows, or another in its place.
func (w *lawWorld) addFile(t *rapid.T, name string) {
	rows := make([]lawRow, rapid.IntRange(0, 25).Draw(t, "rows"))
	for i := range rows {
		r := &rows[i]
		r.key = randomLawKey(t, w.def.keys)
		r.encoded = encodeKey(w.def.keys, r.key)
		r.event = feature.Time(rapid.IntRange(0, 60).Draw(t, "event")) * second
		r.created = feature.MinTime
		if rapid.IntRange(0, 4).Draw(t, "known") > 0 {
			r.created = feature.Time(rapid.IntRange(0, 80).Draw(t, "created")) * second
		}
		if rapid.IntRange(0, 4).Draw(t, "x") > 0 {
			r.x = int64(rapid.IntRange(0, 9).Draw(t, "x"))
		}
		if rapid.IntRange(0, 4).Draw(t, "s") > 0 {
			r.s = fmt.Sprint("row", i, name)
		}
	}
	w.files[name] = rows
	w.write("src/"+name, lawTable(w.def.keys, rows))
}

func randomLawKey(t *rapid.T, keys []feature.Field) []any {
	out := make([]any, len(keys))
	for i, k := range keys {
		n := rapid.IntRange(0, 3).Draw(t, "key")
		out[i] = any(int64(n - 1))
		if k.Type.Kind == feature.String {
			out[i] = []string{"", "a", "a\x00b", "ab"}[n]
		}
	}
	return out
}

func encodeKey(keys []feature.Field, parts []any) (encoded feature.Key) {
	for i, p := range parts {
		encoded, _ = feature.AppendKeyPart(encoded, arrayOf(keys[i].Type, p), 0)
	}
	return encoded
}

func arrayOf(t feature.Type, values ...any) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t.Arrow())
	for _, v := range values {
		if err := feature.AppendValue(b, v); err != nil {
			panic(err)
		}
	}
	return b.NewArray()
}

func lawTable(keys []feature.Field, rows []lawRow) table {
	var fields []arrow.Field
	var columns []arrow.Array
	add := func(name string, t feature.Type, value func(lawRow) any) {
		values := make([]any, len(rows))
		for i, r := range rows {
			values[i] = value(r)
		}
		fields = append(fields, arrow.Field{Name: name, Type: t.Arrow(), Nullable: true})
		columns = append(columns, arrayOf(t, values...))
	}
	for i, k := range keys {
		add(k.Name, k.Type, func(r lawRow) any { return r.key[i] })
	}
	add("at", feature.Scalar(feature.Timestamp), func(r lawRow) any { return r.event })
	add("known", feature.Scalar(feature.Timestamp), func(r lawRow) any {
		if r.created == feature.MinTime {
			return nil
		}
		return r.created
	})
	add("x", feature.Scalar(feature.Int64), func(r lawRow) any { return r.x })
	add("s", feature.Scalar(feature.String), func(r lawRow) any { return r.s })
	schema := arrow.NewSchema(fields, nil)
	return table{schema, array.NewRecordBatch(schema, columns, int64(len(rows)))}
}

// answer is what the twin says of a key at q, by looking at all rows.
func (w *lawWorld) answer(key feature.Key, q feature.Time, asKnown bool) (y, s any, status feature.Status) {
	delay, ttl := feature.Time(w.def.delay)*second, feature.Time(w.def.ttl)*second
	var best *lawRow
	for i := range w.history {
		r := &w.history[i]
		visible := r.event <= q-delay && (!w.def.strict || r.event < q-delay)
		if asKnown && w.def.created && (r.created == feature.MinTime || r.created > q) {
			visible = false
		}
		if !visible || !bytes.Equal(r.encoded, key) {
			continue
		}
		newer := best == nil || r.event > best.event
		if !newer && r.event == best.event {
			newer = !w.def.created || r.created >= best.created
		}
		if newer {
			best = r
		}
	}
	y, status = w.def.dflt, feature.NotFound
	switch {
	case best == nil:
	case ttl > 0 && best.event < q-delay-ttl:
		status = feature.Expired
	default:
		status = feature.Present
		if best.x != nil {
			y = best.x.(int64) * 2
		}
		s = best.s
	}
	return y, s, status
}

// checkExport exports a random spine and compares it with the twin, row by row.
func (w *lawWorld) checkExport(t *rapid.T) {
	spine := make([]lawRow, rapid.IntRange(1, 12).Draw(t, "spine"))
	for i := range spine {
		spine[i].key = randomLawKey(t, w.def.keys)
		spine[i].event = feature.Time(rapid.IntRange(0, 90).Draw(t, "q")) * second
	}
	asKnown := rapid.Bool().Draw(t, "as known")
	o := pointintime.ExportOptions{TimeColumn: "at"}
	o.AsKnown = asKnown
	set := w.exportRows(spine, o)
	for i, row := range spine {
		y, s, _ := w.answer(encodeKey(w.def.keys, row.key), row.event, asKnown)
		if gotY, gotS := cell(set["y"], i), cell(set["s"], i); gotY != y || gotS != s {
			t.Fatalf("export of %v at %s: got (%v, %v), the twin says (%v, %v)", row.key, row.event, gotY, gotS, y, s)
		}
	}
}

// exportRows exports a spine of the keys and event times of rows.
func (w *lawWorld) exportRows(rows []lawRow, o pointintime.ExportOptions) map[string]arrow.Array {
	spine := lawTable(w.def.keys, rows)
	w.write("spine.arrow", spine.only(append(keyNames(w.def.keys), "at")...))
	w.must(w.export("svc", "spine.arrow", "out.arrow", o))
	out := map[string]arrow.Array{}
	for name, pieces := range readTable(w.t, w.path("out.arrow")) {
		joined, err := array.Concatenate(pieces, memory.DefaultAllocator)
		w.must(err)
		out[name] = joined
	}
	return out
}

func keyNames(keys []feature.Field) []string {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return names
}

func cell(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	if c, ok := a.(*array.Int64); ok {
		return c.Value(i)
	}
	return a.(*array.String).Value(i)
}

// checkOnline compares every key's online answer at the watermark with the twin and with the export for (key, watermark).
func (w *lawWorld) checkOnline(t *rapid.T) {
	byKey := map[string]lawRow{}
	for _, rows := range w.files {
		for _, r := range append(rows, w.history...) {
			byKey[string(r.encoded)] = lawRow{key: r.key, encoded: r.encoded, event: w.watermark}
		}
	}
	extra := lawRow{key: randomLawKey(t, w.def.keys), event: w.watermark}
	extra.encoded = encodeKey(w.def.keys, extra.key)
	byKey[string(extra.encoded)] = extra
	var rows []lawRow
	for _, r := range byKey {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b lawRow) int { return cmp.Compare(string(a.encoded), string(b.encoded)) })
	columns := lawTable(w.def.keys, rows).only(keyNames(w.def.keys)...).columns()
	answer, err := w.online.Lookup(context.Background(), w.service("svc"), columns, w.watermark, false)
	if err != nil {
		t.Fatal(err)
	}
	set := w.exportRows(rows, pointintime.ExportOptions{TimeColumn: "at"})
	for i, r := range rows {
		y, s, status := w.answer(r.encoded, w.watermark, false)
		gotY, gotS := cell(answer.Columns[0].Values, i), cell(answer.Columns[1].Values, i)
		if gotY != y || gotS != s {
			t.Fatalf("online %v at %s: got (%v, %v), the twin says (%v, %v)", r.key, w.watermark, gotY, gotS, y, s)
		}
		if gotY != cell(set["y"], i) || gotS != cell(set["s"], i) {
			t.Fatalf("online %v at %s: got (%v, %v), the export says (%v, %v)", r.key, w.watermark, gotY, gotS, cell(set["y"], i), cell(set["s"], i))
		}
		if status == feature.Present && s == nil {
			status = feature.Null
		}
		if answer.Columns[1].Statuses[i] != status {
			t.Fatalf("online %v at %s: status %s, want %s", r.key, w.watermark, answer.Columns[1].Statuses[i], status)
		}
	}
}
