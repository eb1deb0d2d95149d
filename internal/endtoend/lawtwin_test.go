package endtoend

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// second is the unit of time in these tests; the clock starts at epoch.
const second = feature.Time(1_000_000)

// lawRow is a source row, or a spine row, of the law's tests. A nil x, s or key part is NULL, an event or created time of
// feature.MinTime too.
type lawRow struct {
	key            []any
	event, created feature.Time
	x, s           any
}

// lawDefinition is a random definition: two views over one source, the second of which has fewer keys, and a service that asks for
// the first one twice.
type lawDefinition struct {
	keys      []feature.Field // of the source
	created   bool
	skip      bool // bad rows, which the source then has
	scheduled bool
	views     [2]*lawView
	onDemand  lawOnDemand
}

// lawView is a view's definition beside its naive twin: the rows that have been materialized.
type lawView struct {
	name       string
	keys       []int // its keys among the source's
	delay, ttl int
	strict     bool
	online     bool
	dflt       any // of y
	stored     lawStored

	history   []lawRow
	of        lawStored // what the history was made by
	started   bool
	watermark feature.Time
	current   bool // online has been told of everything
}

// lawStored is what a view's stored rows depend on.
type lawStored struct{ where, factor int } // x > where, unless it is -1; y is x * factor

// matches tells whether the stored rows are those of the definition.
func (v *lawView) matches() bool { return v.started && v.of == v.stored }

func randomDefinition(t *rapid.T) *lawDefinition {
	kinds := rapid.SampledFrom([][]feature.Kind{nil, {feature.Int64}, {feature.String}, {feature.String, feature.Int64}}).Draw(t, "kinds")
	d := &lawDefinition{created: rapid.Bool().Draw(t, "created"), skip: rapid.Bool().Draw(t, "skip"), scheduled: rapid.Bool().Draw(t, "scheduled")}
	first, second := &lawView{name: "v"}, &lawView{name: "u"}
	for i, k := range kinds {
		d.keys = append(d.keys, feature.Field{Name: fmt.Sprintf("k%d", i), Type: feature.Scalar(k)})
		first.keys = append(first.keys, i)
	}
	if len(kinds) > 1 {
		second.keys = []int{1}
	}
	d.views = [2]*lawView{first, second}
	for _, v := range d.views {
		v.online = true
		v.redefineReading(t)
		v.redefineRows(t)
	}
	d.onDemand = randomOnDemand(t)
	return d
}

// redefineReading draws what acts on reading.
func (v *lawView) redefineReading(t *rapid.T) {
	v.delay, v.ttl, v.strict = rapid.IntRange(0, 8).Draw(t, "delay"), rapid.IntRange(0, 12).Draw(t, "ttl"), rapid.Bool().Draw(t, "strict")
	v.dflt = nil
	if rapid.Bool().Draw(t, "default") {
		v.dflt = int64(-1)
	}
}

// redefineRows draws what the stored rows depend on.
func (v *lawView) redefineRows(t *rapid.T) {
	v.stored = lawStored{where: rapid.SampledFrom([]int{-1, 2, 5}).Draw(t, "where"), factor: rapid.IntRange(1, 2).Draw(t, "factor")}
}

func (d *lawDefinition) yaml() string {
	var y strings.Builder
	y.WriteString("entities:\n")
	for _, v := range d.views {
		var keys []string
		for _, k := range v.keys {
			keys = append(keys, d.keys[k].Name+": "+d.keys[k].Type.String())
		}
		fmt.Fprintf(&y, "  - {name: of_%s, keys: {%s}}\n", v.name, strings.Join(keys, ", "))
	}
	y.WriteString("sources:\n  - {name: src, parquet: 'src/*.parquet', event_time: at")
	if d.created {
		y.WriteString(", created_time: known")
	}
	if d.skip {
		y.WriteString(", bad_rows: skip")
	}
	y.WriteString("}\nviews:\n")
	for _, v := range d.views {
		fmt.Fprintf(&y, "  - name: %s\n    entity: of_%s\n    source: src\n    delay: %ds\n    allow_exact_matches: %v\n    online: %v\n", v.name, v.name, v.delay, !v.strict, v.online)
		if v.ttl > 0 {
			fmt.Fprintf(&y, "    ttl: %ds\n", v.ttl)
		}
		if d.scheduled {
			y.WriteString("    schedule: '* * * * *'\n")
		}
		if v.stored.where >= 0 {
			fmt.Fprintf(&y, "    where: x > %d\n", v.stored.where)
		}
		fmt.Fprintf(&y, "    features:\n      - {name: y, expr: x * %d", v.stored.factor)
		if v.dflt != nil {
			fmt.Fprintf(&y, ", default: %d", v.dflt)
		}
		y.WriteString("}\n      - {name: s, type: string}\n")
	}
	var other []string
	for _, k := range d.keys {
		other = append(other, k.Name+": other_"+k.Name)
	}
	y.WriteString(d.onDemand.yaml() + lawServices(d.onDemand, strings.Join(other, ", ")))
	return y.String()
}

// lawRef is a view's part in the service.
type lawRef struct {
	view   *lawView
	prefix string
	keys   []int // among the key columns of a spine
}

// refs returns the service's parts, and spineKeys the key columns that it takes.
func (d *lawDefinition) refs() []lawRef {
	other := lawRef{view: d.views[0], prefix: "other__"}
	for i := range d.keys {
		other.keys = append(other.keys, len(d.keys)+i)
	}
	return []lawRef{{view: d.views[0], keys: d.views[0].keys}, {view: d.views[1], prefix: "u__", keys: d.views[1].keys}, other}
}

func (d *lawDefinition) spineKeys() []feature.Field {
	fields := slices.Clone(d.keys)
	for _, k := range d.keys {
		fields = append(fields, feature.Field{Name: "other_" + k.Name, Type: k.Type})
	}
	return fields
}

// take replaces a range of the view's history by the rows of files, in source order.
func (v *lawView) take(events feature.Range, files [][]lawRow) {
	v.history = slices.DeleteFunc(v.history, func(r lawRow) bool { return events.Contains(r.event) })
	for _, rows := range files {
		for _, r := range rows {
			bad := r.event == feature.MinTime
			for _, k := range v.keys {
				bad = bad || r.key[k] == nil
			}
			wanted := v.stored.where < 0 || (r.x != nil && r.x.(int64) > int64(v.stored.where))
			if wanted && !bad && events.Contains(r.event) {
				v.history = append(v.history, r)
			}
		}
	}
	v.started, v.of, v.watermark = true, v.stored, max(v.watermark, events.To)
}

// lawAnswer is what the twin says.
type lawAnswer struct {
	row              *lawRow // nil where nothing is visible
	y, s             any
	yStatus, sStatus feature.Status
}

// answer looks at all rows of the history for a key at q: semantics sections 2 and 3, to the letter.
func (v *lawView) answer(key []any, q feature.Time, asKnown bool) (a lawAnswer) {
	delay, ttl := feature.Time(v.delay)*second, feature.Time(v.ttl)*second
	for i := range v.history {
		r := &v.history[i]
		same := !slices.Contains(key, nil) && q != feature.MinTime
		for j, k := range v.keys {
			same = same && r.key[k] == key[j]
		}
		visible := r.event < q-delay || (!v.strict && r.event == q-delay)
		if asKnown && (r.created == feature.MinTime || r.created > q) {
			visible = false
		}
		if same && visible && (a.row == nil || r.event > a.row.event || (r.event == a.row.event && r.created >= a.row.created)) {
			a.row = r
		}
	}
	a.y, a.yStatus, a.sStatus = v.dflt, feature.NotFound, feature.NotFound
	switch {
	case a.row == nil:
	case ttl > 0 && a.row.event < q-delay-ttl:
		a.yStatus, a.sStatus = feature.Expired, feature.Expired
	default:
		a.yStatus, a.sStatus = feature.Null, feature.Null
		if a.row.x != nil {
			a.y, a.yStatus = a.row.x.(int64)*int64(v.of.factor), feature.Present
		}
		if a.row.s != nil {
			a.s, a.sStatus = a.row.s, feature.Present
		}
	}
	return a
}

// randomLawRows draws source rows; s tells every one from every other.
func randomLawRows(t *rapid.T, d *lawDefinition, name string) []lawRow {
	rows := make([]lawRow, rapid.IntRange(0, 25).Draw(t, "rows"))
	for i := range rows {
		r := &rows[i]
		r.key = randomLawKey(t, d.keys, d.skip)
		r.event = randomTime(t, "event", 0, 60)
		if d.skip && rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
			r.event = feature.MinTime
		}
		r.created = feature.MinTime
		if d.created && rapid.IntRange(0, 4).Draw(t, "known") > 0 {
			r.created = randomTime(t, "created", 0, 80)
		}
		if rapid.IntRange(0, 4).Draw(t, "x") > 0 {
			r.x = int64(rapid.IntRange(0, 9).Draw(t, "x"))
		}
		if rapid.IntRange(0, 4).Draw(t, "s") > 0 {
			r.s = fmt.Sprint("row", i, name)
		}
	}
	return rows
}

// randomTime draws a number of seconds, of which some miss the second by the least that there is.
func randomTime(t *rapid.T, label string, from, to int) feature.Time {
	at := feature.Time(rapid.IntRange(from, to).Draw(t, label)) * second
	return max(0, at+feature.Time(rapid.SampledFrom([]int{0, 0, 0, 1, -1}).Draw(t, "off")))
}

// randomLawKey draws a key, with NULL parts now and then if they are wanted.
func randomLawKey(t *rapid.T, keys []feature.Field, nulls bool) []any {
	out := make([]any, len(keys))
	for i, k := range keys {
		n := rapid.IntRange(0, 3).Draw(t, "key")
		out[i] = any(int64(n - 1))
		if k.Type.Kind == feature.String {
			out[i] = []string{"", "a", "a\x00b", "ab"}[n]
		}
		if nulls && rapid.IntRange(0, 9).Draw(t, "null key") == 0 {
			out[i] = nil
		}
	}
	return out
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
			if values[i] = value(r); values[i] == feature.MinTime {
				values[i] = nil
			}
		}
		fields = append(fields, arrow.Field{Name: name, Type: t.Arrow(), Nullable: true})
		columns = append(columns, arrayOf(t, values...))
	}
	for i, k := range keys {
		add(k.Name, k.Type, func(r lawRow) any { return r.key[i] })
	}
	add("at", feature.Scalar(feature.Timestamp), func(r lawRow) any { return r.event })
	add("known", feature.Scalar(feature.Timestamp), func(r lawRow) any { return r.created })
	add("x", feature.Scalar(feature.Int64), func(r lawRow) any { return r.x })
	add("s", feature.Scalar(feature.String), func(r lawRow) any { return r.s })
	schema := arrow.NewSchema(fields, nil)
	return table{schema, array.NewRecordBatch(schema, columns, int64(len(rows)))}
}

func keyNames(keys []feature.Field) []string {
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
	}
	return names
}

func cell(a arrow.Array, i int) any {
	switch c := a.(type) {
	case *array.Int64:
		if c.IsValid(i) {
			return c.Value(i)
		}
	case *array.String:
		if c.IsValid(i) {
			return strings.Clone(c.Value(i))
		}
	case *array.Binary:
		if c.IsValid(i) {
			return bytes.Clone(c.Value(i))
		}
	}
	return nil
}
