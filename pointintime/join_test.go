package pointintime

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/offline"
)

// testRow is a row of history, in plain values. A nil feature is NULL.
type testRow struct {
	key      []any
	encoded  feature.Key
	event    feature.Time
	created  feature.Time // feature.MinTime: NULL
	features []any
}

// memoryRun is a Run over rows in memory, with pages of pageRows rows.
type memoryRun struct {
	columns  map[string]arrow.Array
	keys     []string
	pages    []offline.Page
	rows     int
	events   feature.Range
	pageless bool
}

func newMemoryRun(view *feature.View, rows []testRow, pageRows int) *memoryRun {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b testRow) int {
		return cmp.Or(bytes.Compare(a.encoded, b.encoded), cmp.Compare(a.event, b.event), cmp.Compare(a.created, b.created))
	})
	run := &memoryRun{columns: map[string]arrow.Array{}, rows: len(rows), events: feature.Range{From: feature.MaxTime, To: feature.MinTime}, pageless: pageRows == 0}
	for _, k := range view.Keys {
		run.keys = append(run.keys, k.Name)
	}
	values := map[string][]any{}
	for _, r := range rows {
		for i, k := range view.Keys {
			values[k.Name] = append(values[k.Name], r.key[i])
		}
		values[feature.EventTimeColumn] = append(values[feature.EventTimeColumn], r.event)
		var created any
		if r.created != feature.MinTime {
			created = r.created
		}
		values[feature.CreatedTimeColumn] = append(values[feature.CreatedTimeColumn], created)
		for i, f := range view.Features {
			values[f.Name] = append(values[f.Name], r.features[i])
		}
		run.events = feature.Range{From: min(run.events.From, r.event), To: max(run.events.To, r.event)}
	}
	for _, c := range view.Columns() {
		run.columns[c.Name] = arrayOf(c.Type, values[c.Name])
	}
	for from := 0; pageRows > 0 && from < len(rows); from += pageRows {
		to := min(from+pageRows, len(rows))
		page := offline.Page{From: from, To: to}
		if len(view.Keys) > 0 {
			first, last := run.columns[view.Keys[0].Name], to-1
			page.Min, _ = feature.AppendKeyPart(nil, first, from)
			page.Max, _ = feature.AppendKeyPart(nil, first, last)
		}
		run.pages = append(run.pages, page)
	}
	return run
}

func (r *memoryRun) Rows() int             { return r.rows }
func (r *memoryRun) Events() feature.Range { return r.events }
func (r *memoryRun) Pages() []offline.Page { return r.pages }

func (r *memoryRun) FirstKeyBounds() (min, max feature.Key, ok bool) {
	if len(r.pages) == 0 || len(r.keys) == 0 {
		return nil, nil, false
	}
	return r.pages[0].Min, r.pages[len(r.pages)-1].Max, true
}

func (r *memoryRun) Read(_ context.Context, columns []string, spans []offline.Span) ([]arrow.Array, error) {
	var rows []int32
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			rows = append(rows, int32(i))
		}
	}
	out := make([]arrow.Array, len(columns))
	for i, name := range columns {
		column, ok := r.columns[name]
		if !ok {
			return nil, fmt.Errorf("no column %s", name)
		}
		out[i] = spoiling(interleave.Rows([]arrow.Array{column}, make([]int32, len(rows)), rows))
	}
	return out, nil
}

// Keys returns runs of the first part, and of others each row's value.
func (r *memoryRun) Keys(ctx context.Context, spans []offline.Span) ([]offline.Runs, error) {
	arrays, err := r.Read(ctx, r.keys, spans)
	if err != nil || len(arrays) == 0 {
		return nil, err
	}
	parts := make([]offline.Runs, len(arrays))
	for i, a := range arrays {
		parts[i].Values = a
	}
	var firsts []int32
	for i := range arrays[0].Len() {
		if i == 0 || arrays[0].ValueStr(i) != arrays[0].ValueStr(i-1) {
			firsts = append(firsts, int32(i))
		}
	}
	parts[0].Values = interleave.Rows(arrays[:1], make([]int32, len(firsts)), firsts)
	parts[0].Ends = append(append([]int32{}, firsts[min(1, len(firsts)):]...), int32(arrays[0].Len()))
	return parts, nil
}

func (r *memoryRun) Take(ctx context.Context, columns []string, rows []int32) ([]arrow.Array, error) {
	spans := make([]offline.Span, len(rows))
	for i, row := range rows {
		if i > 0 && row <= rows[i-1] {
			return nil, fmt.Errorf("row %d is taken after row %d", row, rows[i-1])
		}
		spans[i] = offline.Span{From: int(row), To: int(row) + 1}
	}
	return r.Read(ctx, columns, spans)
}

// spoiling returns a column as it is, or a copy of one of fixed width whose values are overwritten when it is released, as those of a stored
// run are by later reads.
func spoiling(a arrow.Array) arrow.Array {
	d := a.Data()
	if _, ok := d.DataType().(arrow.FixedWidthDataType); !ok {
		return a
	}
	values := memory.NewBufferWithAllocator(bytes.Clone(d.Buffers()[1].Bytes()), &spoiler{})
	defer values.Release()
	data := array.NewData(d.DataType(), d.Len(), []*memory.Buffer{d.Buffers()[0], values}, nil, d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

// spoiler is an allocator that overwrites what it gets back.
type spoiler struct{ memory.GoAllocator }

func (*spoiler) Free(b []byte) {
	for i := range b {
		b[i] = 0xa5
	}
}

func arrayOf(t feature.Type, values []any) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t.Arrow())
	for _, v := range values {
		if err := feature.AppendValue(b, v); err != nil {
			panic(err)
		}
	}
	return b.NewArray()
}

// naive answers one spine row by looking at all rows: semantics sections 2 and 3, to the letter.
func naive(view *feature.View, rows []testRow, key feature.Key, q feature.Time, asKnown bool) (best *testRow, status feature.Status) {
	delay, ttl := feature.Time(view.Delay.Microseconds()), feature.Time(view.TTL.Microseconds())
	for i := range rows {
		r := &rows[i]
		visible := r.event <= q-delay
		if view.StrictlyBefore {
			visible = r.event < q-delay
		}
		if asKnown && view.HasCreatedTime && (r.created == feature.MinTime || r.created > q) {
			visible = false
		}
		if !visible || !bytes.Equal(r.encoded, key) {
			continue
		}
		if best == nil || r.event > best.event || (r.event == best.event && r.created >= best.created) {
			best = r
		}
	}
	switch {
	case best == nil:
		return nil, feature.NotFound
	case ttl > 0 && best.event < q-delay-ttl:
		return best, feature.Expired
	}
	return best, feature.Present
}

// TestJoinAgreesWithNaive joins random spines with random histories in random runs and pages.
func TestJoinAgreesWithNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		view := randomView(t)
		rows := randomRows(t, view)
		runs := randomRuns(t, view, rows)
		options := Options{AsKnown: rapid.Bool().Draw(t, "as known"), Workers: rapid.IntRange(1, 3).Draw(t, "workers"), pieceRows: rapid.IntRange(0, 20).Draw(t, "rows of a piece")}
		question := randomQuestion(t, view)
		if rapid.Bool().Draw(t, "order shared") {
			askBefore(t, &question, runs)
		}
		answer, err := Join(context.Background(), question, runs, options)
		if err != nil {
			t.Fatal(err)
		}
		for i := range question.Times.Len() {
			checkAnswer(t, view, rows, question, answer, i, options.AsKnown)
		}
		checkTally(t, question, runs, options, answer)
	})
}

// randomQuestion asks for some of the view's features, for random keys and times.
func randomQuestion(t *rapid.T, view *feature.View) Question {
	keys, times := randomSpine(t, view)
	q := Question{View: view, Times: arrayOf(feature.Scalar(feature.Timestamp), times).(*array.Timestamp)}
	for i, k := range view.Keys {
		column := make([]any, len(keys))
		for r := range keys {
			column[r] = keys[r][i]
		}
		q.Keys = append(q.Keys, arrayOf(k.Type, column))
	}
	for i := range view.Features {
		if rapid.IntRange(0, 3).Draw(t, "ask") > 0 {
			q.Features = append(q.Features, i)
		}
	}
	return q
}

// randomRuns deals rows, in their order, to runs of the view's stored rows.
func randomRuns(t *rapid.T, view *feature.View, rows []testRow) (runs []Run) {
	for from := 0; from < len(rows); {
		n := rapid.IntRange(1, len(rows)-from).Draw(t, "run rows")
		runs = append(runs, newMemoryRun(view, rows[from:from+n], rapid.IntRange(0, 5).Draw(t, "page rows")))
		from += n
	}
	return runs
}

func checkAnswer(t *rapid.T, view *feature.View, rows []testRow, q Question, a *Answer, i int, asKnown bool) {
	var key feature.Key
	matchable := q.Times.IsValid(i)
	for _, k := range q.Keys {
		var ok bool
		key, ok = feature.AppendKeyPart(key, k, i)
		matchable = matchable && ok
	}
	var best *testRow
	status := feature.NotFound
	if matchable {
		best, status = naive(view, rows, key, feature.Time(q.Times.Value(i)), asKnown)
	}
	if a.Found(i) != (best != nil) {
		t.Fatalf("row %d: found is %v, want %v", i, a.Found(i), best != nil)
	}
	if best != nil && (a.EventTimes[i] != best.event || (view.HasCreatedTime && a.CreatedTimes[i] != best.created)) {
		t.Fatalf("row %d: got times %v %v, want %v %v", i, a.EventTimes[i], a.CreatedTimes, best.event, best.created)
	}
	if best != nil && view.HasCreatedTime {
		if known := best.created != feature.MinTime && best.created <= feature.Time(q.Times.Value(i)); a.Known[i] != known {
			t.Fatalf("row %d, created at %v: known is %v", i, best.created, a.Known[i])
		}
	}
	for c, f := range q.Features {
		want, wantStatus := view.Features[f].Default, status
		if status == feature.Present {
			if best.features[f] == nil {
				wantStatus = feature.Null
			} else {
				want = best.features[f]
			}
		}
		if a.Columns[c].Statuses[i] != wantStatus {
			t.Fatalf("row %d, feature %s: status %s, want %s", i, view.Features[f].Name, a.Columns[c].Statuses[i], wantStatus)
		}
		expected := arrayOf(view.Features[f].Type, []any{want})
		if got := a.Columns[c].Values; got.IsNull(i) != expected.IsNull(0) || got.ValueStr(i) != expected.ValueStr(0) {
			t.Fatalf("row %d, feature %s: got %s, want %s", i, view.Features[f].Name, got.ValueStr(i), expected.ValueStr(0))
		}
	}
}

var featureTypes = []feature.Type{feature.Scalar(feature.Bool), feature.Scalar(feature.Int32), feature.Scalar(feature.Int64), feature.Scalar(feature.Float32),
	feature.Scalar(feature.Float64), feature.Scalar(feature.String), feature.Scalar(feature.Bytes), feature.Scalar(feature.Timestamp),
	feature.ListOf(feature.Float32), feature.ListOf(feature.String)}

func randomView(t *rapid.T) *feature.View {
	kinds := rapid.SampledFrom([][]feature.Kind{nil, {feature.Int64}, {feature.Int32}, {feature.Bool}, {feature.String}, {feature.Bytes}, {feature.Timestamp},
		{feature.String, feature.Int64}, {feature.Int32, feature.String}, {feature.Bytes, feature.Bytes}}).Draw(t, "kinds")
	v := &feature.View{Name: "v", HasCreatedTime: rapid.Bool().Draw(t, "created"), StrictlyBefore: rapid.Bool().Draw(t, "strict")}
	v.Delay = time.Duration(rapid.IntRange(0, 3).Draw(t, "delay")) * time.Microsecond
	v.TTL = time.Duration(rapid.IntRange(0, 10).Draw(t, "ttl")) * time.Microsecond
	name := rapid.SampledFrom([]string{"k", wideKeys, longKeys}).Draw(t, "key name")
	for i, k := range kinds {
		v.Keys = append(v.Keys, feature.Field{Name: fmt.Sprint(name, i), Type: feature.Scalar(k)})
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "features") {
		f := feature.Feature{Field: feature.Field{Name: fmt.Sprintf("f%d", i), Type: rapid.SampledFrom(featureTypes).Draw(t, "type")}}
		if rapid.Bool().Draw(t, "default") {
			f.Default = randomValue(t, f.Type)
		}
		v.Features = append(v.Features, f)
	}
	return v
}

func randomRows(t *rapid.T, view *feature.View) []testRow {
	rows := make([]testRow, rapid.IntRange(0, 60).Draw(t, "rows"))
	for i := range rows {
		r := &rows[i]
		r.key, r.created = randomKey(t, view), feature.MinTime
		for k, part := range r.key {
			r.encoded, _ = feature.AppendKeyPart(r.encoded, arrayOf(view.Keys[k].Type, []any{part}), 0)
		}
		r.features = make([]any, len(view.Features))
		r.event = feature.Time(rapid.IntRange(0, 12).Draw(t, "event"))
		if view.HasCreatedTime && rapid.IntRange(0, 4).Draw(t, "known") > 0 {
			r.created = r.event + feature.Time(rapid.IntRange(-1, 6).Draw(t, "created"))
		}
		for f := range view.Features {
			if rapid.IntRange(0, 3).Draw(t, "null") > 0 {
				r.features[f] = randomValue(t, view.Features[f].Type)
			}
		}
	}
	switch rapid.IntRange(0, 3).Draw(t, "order") {
	case 0: // runs of a history that grows
		slices.SortStableFunc(rows, func(a, b testRow) int { return cmp.Compare(a.event, b.event) })
	case 1: // of one that was filled in backwards
		slices.SortStableFunc(rows, func(a, b testRow) int { return cmp.Compare(b.event, a.event) })
	}
	return rows
}

func randomSpine(t *rapid.T, view *feature.View) (keys [][]any, times []any) {
	for range rapid.IntRange(0, 30).Draw(t, "spine") {
		key := randomKey(t, view)
		if len(key) > 0 && rapid.IntRange(0, 9).Draw(t, "null key") == 0 {
			key[len(key)-1] = nil
		}
		var q any
		if rapid.IntRange(0, 9).Draw(t, "null time") > 0 {
			q = feature.Time(rapid.IntRange(-2, 20).Draw(t, "q"))
		}
		keys, times = append(keys, key), append(times, q)
	}
	return keys, times
}

// Names of keys that are texts, of which a keysort.Packing takes several words, and which have none.
const (
	wideKeys = "wide"
	longKeys = "long"
)

func randomKey(t *rapid.T, view *feature.View) []any {
	key := make([]any, len(view.Keys))
	for i, k := range view.Keys {
		n := rapid.IntRange(-1, 2).Draw(t, "key")
		text := []string{"", "a", "a\x00", "ab"}[n+1]
		switch {
		case strings.HasPrefix(k.Name, wideKeys):
			text = strings.Repeat(string(rune('b'+n)), 64) + text
		case strings.HasPrefix(k.Name, longKeys):
			text = strings.Repeat("b", 200) + text
		}
		key[i] = map[feature.Kind]any{feature.Int64: int64(n), feature.Int32: int32(n), feature.Bool: n > 0, feature.Timestamp: feature.Time(n),
			feature.String: text, feature.Bytes: []byte(text)}[k.Type.Kind]
	}
	return key
}

func randomValue(t *rapid.T, typ feature.Type) any {
	n := rapid.IntRange(0, 50).Draw(t, "value")
	if typ.List {
		switch typ.Kind {
		case feature.Float32:
			return make([]float32, n%4)
		default:
			return []string{fmt.Sprint(n), "x"}[:n%3]
		}
	}
	return map[feature.Kind]any{feature.Bool: n%2 == 0, feature.Int32: int32(n), feature.Int64: int64(n), feature.Float32: float32(n) / 4, feature.Float64: float64(n) / 8,
		feature.String: fmt.Sprint(n), feature.Bytes: []byte(fmt.Sprint(n)), feature.Timestamp: feature.Time(n)}[typ.Kind]
}
