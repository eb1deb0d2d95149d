package endtoend

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
)

// windowRow is a source row of the windows' tests: x is a float64, n an int64, s a text; nil is NULL, as is a created time of
// feature.MinTime.
type windowRow struct {
	key            []any
	event, created feature.Time
	x, n, s        any
}

// windowView is a random windowed view beside its naive twin: the rows that have been materialized.
type windowView struct {
	keys        []feature.Field
	created     bool
	strict      bool
	scheduled   bool
	granularity time.Duration
	unit        time.Duration // what times are drawn in
	delay       time.Duration
	calls       []windowCall

	history   []windowRow
	started   bool
	watermark feature.Time
	current   bool // online has been told of everything
}

// windowCall is one of its aggregations; its features are called c0_1d, c0_7d, ...
type windowCall struct {
	function, column string // no column: rows
	where            bool   // n > 2
	windows          []time.Duration
}

func (c windowCall) parameters() feature.Parameters {
	return map[string]feature.Parameters{"first_n": {N: 3}, "last_n": {N: 2}, "approx_count_distinct": {Precision: 4},
		"approx_percentile": {P: []float64{0, 0.5, 1}, PList: true, Accuracy: 0.05}}[c.function]
}

func randomWindowView(t *rapid.T) *windowView {
	kinds := rapid.SampledFrom([][]feature.Kind{nil, {feature.Int64}, {feature.String, feature.Int64}}).Draw(t, "kinds")
	v := &windowView{created: rapid.Bool().Draw(t, "created"), strict: rapid.Bool().Draw(t, "strict"), scheduled: rapid.Bool().Draw(t, "scheduled")}
	for i, k := range kinds {
		v.keys = append(v.keys, feature.Field{Name: fmt.Sprintf("k%d", i), Type: feature.Scalar(k)})
	}
	v.granularity = rapid.SampledFrom([]time.Duration{0, 0, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "granularity")
	v.unit = time.Second
	if v.granularity > 0 {
		v.unit = v.granularity / 4
	}
	for range rapid.IntRange(1, 4).Draw(t, "calls") {
		c := windowCall{function: rapid.SampledFrom(aggregate.Names()).Draw(t, "function"), where: rapid.IntRange(0, 3).Draw(t, "where") == 0}
		columns := map[string][]string{"count": {"", "x", "s"}, "min": {"x", "n", "s"}, "max": {"x", "n", "s"}, "first": {"x", "n", "s"}, "last": {"x", "n", "s"},
			"first_n": {"x", "s"}, "last_n": {"n", "s"}, "approx_count_distinct": {"x", "n", "s"}}[c.function]
		if columns == nil {
			columns = []string{"x", "n"}
		}
		c.column = rapid.SampledFrom(columns).Draw(t, "column")
		v.calls = append(v.calls, c)
	}
	v.redefine(t)
	return v
}

// redefine draws what acts on reading: the delay and the windows.
func (v *windowView) redefine(t *rapid.T) {
	v.delay = time.Duration(rapid.IntRange(0, 6).Draw(t, "delay"))*v.unit + time.Duration(rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "odd"))*time.Microsecond
	for i := range v.calls {
		v.calls[i].windows = nil
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 1, 3, rapid.ID).Draw(t, "windows") {
			length := time.Duration(n) * v.unit // 0: unbounded
			if v.granularity > 0 {
				length *= 4
			} else if n == 5 {
				length += time.Microsecond
			}
			v.calls[i].windows = append(v.calls[i].windows, length)
		}
	}
}

func windowText(length time.Duration) string {
	if length == 0 {
		return "unbounded"
	}
	return definitions.FormatDuration(length)
}

func (v *windowView) yaml() string {
	var keys []string
	for _, k := range v.keys {
		keys = append(keys, k.Name+": "+k.Type.String())
	}
	var y strings.Builder
	fmt.Fprintf(&y, "entities:\n  - {name: e, keys: {%s}}\nsources:\n  - {name: src, parquet: 'src/*.parquet', event_time: at", strings.Join(keys, ", "))
	if v.created {
		y.WriteString(", created_time: known")
	}
	fmt.Fprintf(&y, "}\nviews:\n  - name: w\n    entity: e\n    source: src\n    delay: %s\n    allow_exact_matches: %v\n", definitions.FormatDuration(v.delay), !v.strict)
	if v.scheduled {
		y.WriteString("    schedule: '* * * * *'\n")
	}
	if v.granularity > 0 {
		fmt.Fprintf(&y, "    granularity: %s\n", definitions.FormatDuration(v.granularity))
	}
	y.WriteString("    aggregations:\n")
	for i, c := range v.calls {
		var windows []string
		for _, w := range c.windows {
			windows = append(windows, windowText(w))
		}
		fmt.Fprintf(&y, "      - {name: c%d, function: %s, windows: [%s]", i, c.function, strings.Join(windows, ", "))
		if c.column != "" {
			fmt.Fprintf(&y, ", column: %s", c.column)
		}
		if c.where {
			y.WriteString(", where: n > 2")
		}
		y.WriteString(map[string]string{"first_n": ", n: 3", "last_n": ", n: 2", "approx_count_distinct": ", precision: 4", "approx_percentile": ", p: [0, 0.5, 1], accuracy: 0.05"}[c.function] + "}\n")
	}
	y.WriteString("services:\n  - name: svc\n    features: [{view: w}]\n")
	return y.String()
}

// label is the end of the tile that a time is in, by which it is stored: the time itself in an exact view.
func (v *windowView) label(at feature.Time) feature.Time {
	g := feature.Time(v.granularity.Microseconds())
	if g == 0 {
		return at
	}
	down := at - ((at%g)+g)%g
	switch {
	case v.strict:
		return down + g - 1
	case down == at:
		return at
	}
	return down + g
}

// take replaces the tiles of a range of the view's history by the rows of files.
func (v *windowView) take(events feature.Range, files [][]windowRow) {
	v.started, v.watermark = true, max(v.watermark, events.To)
	from, to := events.From, min(v.label(events.To), v.watermark)
	if from != feature.MinTime {
		from = v.label(from)
	}
	taken := func(r windowRow) bool { return from <= v.label(r.event) && v.label(r.event) <= to }
	v.history = slices.DeleteFunc(v.history, taken)
	for _, rows := range files {
		for _, r := range rows {
			if taken(r) {
				v.history = append(v.history, r)
			}
		}
	}
}

// window returns the rows in a window of the key at q: semantics sections 2 and 4, to the letter.
func (v *windowView) window(key []any, q feature.Time, length time.Duration, asKnown bool) (rows []windowRow) {
	end := q.Add(-v.delay)
	if g := feature.Time(v.granularity.Microseconds()); g > 0 {
		end -= ((end % g) + g) % g
	}
	begin := end.Add(-length)
	for _, r := range v.history {
		inside := r.event <= end && (length == 0 || r.event > begin)
		if v.strict {
			inside = r.event < end && (length == 0 || r.event >= begin)
		}
		if asKnown && (r.created == feature.MinTime || r.created > q) {
			inside = false
		}
		if inside && slices.Equal(r.key, key) && !slices.Contains(key, nil) {
			rows = append(rows, r)
		}
	}
	return rows
}

// value is what a call makes of the rows of a window, as bitsOf shows it.
func (c windowCall) value(rows []windowRow) string {
	var kept []windowRow
	var values []any
	for _, r := range rows {
		if n, ok := r.n.(int64); c.where && (!ok || n <= 2) {
			continue
		}
		if value := map[string]any{"": true, "x": r.x, "n": r.n, "s": r.s}[c.column]; value != nil {
			kept, values = append(kept, r), append(values, value)
		}
	}
	switch c.function {
	case "count":
		return fmt.Sprint(len(values))
	case "approx_count_distinct", "approx_percentile":
		return c.sketch(values)
	}
	if len(values) == 0 {
		return "NULL"
	}
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { // by time, or by value alone
		if c.function == "min" || c.function == "max" {
			return compareValues(values[a], values[b])
		}
		return cmp.Or(cmp.Compare(kept[a].event, kept[b].event), cmp.Compare(kept[a].created, kept[b].created), compareValues(values[a], values[b]))
	})
	var sorted []string
	for _, i := range order {
		sorted = append(sorted, bitsOf(values[i]))
	}
	switch c.function {
	case "min", "first":
		return sorted[0]
	case "max", "last":
		return sorted[len(sorted)-1]
	case "first_n":
		return fmt.Sprint(sorted[:min(3, len(sorted))])
	case "last_n":
		return fmt.Sprint(sorted[max(0, len(sorted)-2):])
	}
	return naiveMoment(c.function, values)
}

// naiveMoment is sum, avg and the variances by rational numbers, rounded once.
func naiveMoment(function string, values []any) string {
	sum, squares, n := new(big.Rat), new(big.Rat), big.NewRat(int64(len(values)), 1)
	special, whole := 0.0, false
	for _, v := range values {
		r := new(big.Rat)
		if i, ok := v.(int64); ok {
			whole = true
			r.SetInt64(i)
		} else if f := v.(float64); math.IsNaN(f) || math.IsInf(f, 0) {
			special += f
			continue
		} else {
			r.SetFloat64(f)
		}
		sum.Add(sum, r)
		squares.Add(squares, new(big.Rat).Mul(r, r))
	}
	if function == "sum" && whole {
		return sum.Num().String()
	}
	divisor := n
	if strings.HasSuffix(function, "_samp") {
		if divisor = new(big.Rat).Sub(n, big.NewRat(1, 1)); divisor.Sign() == 0 {
			return "NULL"
		}
	}
	result := sum
	if function == "avg" {
		result = new(big.Rat).Quo(sum, n)
	} else if function != "sum" {
		result = new(big.Rat).Quo(new(big.Rat).Sub(squares, new(big.Rat).Quo(new(big.Rat).Mul(sum, sum), n)), divisor)
		if special != 0 {
			special = math.NaN()
		}
	}
	f, _ := result.Float64()
	if strings.HasPrefix(function, "stddev") {
		f = math.Sqrt(f)
	}
	if special != 0 {
		f = special
	}
	return bitsOf(f)
}

// sketch is a sketch that takes in all values at once, in the order of the source.
func (c windowCall) sketch(values []any) string {
	t := map[string]feature.Type{"x": feature.Scalar(feature.Float64), "n": feature.Scalar(feature.Int64), "s": feature.Scalar(feature.String)}[c.column]
	call, err := aggregate.New(feature.Aggregation{Function: c.function, Input: feature.Field{Name: "v", Type: t}, Parameters: c.parameters()})
	if err != nil {
		panic(err)
	}
	states := call.Specs[0].New()
	states.Reset(1)
	states.Add(arrayOf(t, values...), aggregate.Times{}, []aggregate.Span{{To: int32(len(values))}})
	result, err := call.Finish([]aggregate.States{states})
	if err != nil {
		panic(err)
	}
	return bitsAt(result, 0)
}

func compareValues(a, b any) int {
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case string:
		return cmp.Compare(a, b.(string))
	case bool:
		return 0
	}
	x, y := a.(float64), b.(float64)
	rank := func(f float64) (bool, bool) { return math.IsNaN(f), !math.Signbit(f) }
	xNaN, xPositive := rank(x)
	yNaN, yPositive := rank(y)
	number := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	if xNaN || yNaN {
		return number(xNaN) - number(yNaN)
	}
	return cmp.Or(cmp.Compare(x, y), number(xPositive)-number(yPositive))
}

// bitsOf shows a value so that two values look alike only if they are the same to the bit.
func bitsOf(v any) string {
	if f, ok := v.(float64); ok {
		if math.IsNaN(f) {
			f = math.NaN()
		}
		return fmt.Sprintf("%v(%x)", f, math.Float64bits(f))
	}
	return fmt.Sprint(v)
}

// bitsAt is bitsOf for a value of a column.
func bitsAt(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "NULL"
	}
	switch c := a.(type) {
	case *array.Float64:
		return fmt.Sprintf("%v(%x)", c.Value(i), math.Float64bits(c.Value(i)))
	case *array.List:
		from, to := c.ValueOffsets(i)
		parts := []string{}
		for j := from; j < to; j++ {
			parts = append(parts, bitsAt(c.ListValues(), int(j)))
		}
		return fmt.Sprint(parts)
	case *array.Int64:
		return fmt.Sprint(c.Value(i))
	}
	return a.ValueStr(i)
}

func windowTable(v *windowView, rows []windowRow) table {
	var fields []arrow.Field
	var columns []arrow.Array
	add := func(name string, t feature.Type, value func(windowRow) any) {
		values := make([]any, len(rows))
		for i, r := range rows {
			if values[i] = value(r); values[i] == feature.MinTime {
				values[i] = nil
			}
		}
		fields, columns = append(fields, arrow.Field{Name: name, Type: t.Arrow(), Nullable: true}), append(columns, arrayOf(t, values...))
	}
	for i, k := range v.keys {
		add(k.Name, k.Type, func(r windowRow) any { return r.key[i] })
	}
	add("at", feature.Scalar(feature.Timestamp), func(r windowRow) any { return r.event })
	add("known", feature.Scalar(feature.Timestamp), func(r windowRow) any { return r.created })
	add("x", feature.Scalar(feature.Float64), func(r windowRow) any { return r.x })
	add("n", feature.Scalar(feature.Int64), func(r windowRow) any { return r.n })
	add("s", feature.Scalar(feature.String), func(r windowRow) any { return r.s })
	schema := arrow.NewSchema(fields, nil)
	return table{schema, array.NewRecordBatch(schema, columns, int64(len(rows)))}
}

// concatenated joins the pieces of a table's columns.
func concatenated(t tester, columns map[string][]arrow.Array) map[string]arrow.Array {
	t.Helper()
	out := map[string]arrow.Array{}
	for name, pieces := range columns {
		joined, err := array.Concatenate(pieces, memory.DefaultAllocator)
		if err != nil {
			t.Fatalf("%v", err)
		}
		out[name] = joined
	}
	return out
}
