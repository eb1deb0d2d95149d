package server

import (
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/asof-store/asof/expr"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
	"github.com/asof-store/asof/online"
)

// beyond is an integer that no float64 is.
const beyond = 1<<53 + 1

// protocolModel has a service of each thing in which protocols could differ.
func protocolModel(t testing.TB) *Model {
	t.Helper()
	m := &Model{Services: map[string]*feature.Service{}, Views: map[string]*feature.View{}, OnDemand: map[string]*feature.OnDemand{}}
	id := []feature.Field{{Name: "id", Type: feature.Scalar(feature.Int64)}}
	view := func(name string, keys []feature.Field, features ...feature.Feature) *feature.View {
		m.Views[name] = &feature.View{Name: name, Online: true, Hash: name, Keys: keys, TTL: 48 * time.Hour, Features: features}
		return m.Views[name]
	}
	of := func(name string, t feature.Type, fallback any) feature.Feature {
		return feature.Feature{Field: feature.Field{Name: name, Type: t}, Default: fallback}
	}
	var scalars, lists []feature.Feature
	for k := feature.Bool; k <= feature.Timestamp; k++ {
		scalars, lists = append(scalars, of(k.String(), feature.Scalar(k), nil)), append(lists, of(k.String()+"s", feature.ListOf(k), nil))
	}
	types, many := view("types", id, scalars...), view("lists", id, lists...)
	defaults := view("defaults", id, of("n", feature.Scalar(feature.Int64), int64(-1)), of("tags", feature.ListOf(feature.String), []string{"none"}))
	terminal := view("terminal", []feature.Field{{Name: "country", Type: feature.Scalar(feature.String)}, {Name: "number", Type: feature.Scalar(feature.Int32)}}, of("risk", feature.Scalar(feature.Float32), nil))
	world := view("world", nil, of("rate", feature.Scalar(feature.Float64), nil))
	moments := view("moments", []feature.Field{{Name: "at", Type: feature.Scalar(feature.Timestamp)}, {Name: "open", Type: feature.Scalar(feature.Bool)}, {Name: "code", Type: feature.Scalar(feature.Bytes)}},
		of("x", feature.Scalar(feature.Int32), nil))
	all := func(v *feature.View, alias string, keys ...string) feature.Ref {
		r := feature.Ref{View: v, Alias: alias, KeyColumns: keys}
		for i := range v.Features {
			r.Features = append(r.Features, i)
		}
		return r
	}
	service := func(name string, refs ...feature.Ref) *feature.Service {
		m.Services[name] = &feature.Service{Name: name, Refs: refs}
		return m.Services[name]
	}
	service("types", all(types, "", "id"))
	service("lists", all(many, "", "id"))
	service("defaults", all(defaults, "", "id"))
	service("alias", all(world, ""), all(defaults, "to", "to_id"), all(defaults, "from", "from_id"))
	service("terminal", all(terminal, "", "country", "number"))
	service("world", all(world, ""))
	service("moments", all(moments, "", "at", "open", "code"))
	m.OnDemand["sums"] = bind(t, service("sums", all(defaults, "", "id")), defaults)
	return m
}

// bind adds on-demand features to a service: double = n * 2 + bonus, and its negative.
func bind(t testing.TB, svc *feature.Service, view *feature.View) *feature.OnDemand {
	t.Helper()
	type32, type64 := feature.Scalar(feature.Int32), feature.Scalar(feature.Int64)
	o := &feature.OnDemand{Name: "sums", Request: []feature.Field{{Name: "bonus", Type: type32}}}
	compile := func(text string) *expr.Program {
		p, err := expr.Compile(text, func(name string) (feature.Type, bool) {
			return map[string]feature.Type{"defaults.n": type64, "bonus": type32, "double": type64}[name], true
		}, expr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	field := func(name string) feature.Feature {
		return feature.Feature{Field: feature.Field{Name: name, Type: type64}}
	}
	o.Features = []feature.OnDemandFeature{
		{Feature: field("double"), Program: compile("defaults.n * 2 + bonus"), Inputs: []feature.Input{{Column: "bonus"}, {Column: "defaults.n", View: view, ViewName: "defaults"}}},
		{Feature: field("negative"), Program: compile("-double"), Inputs: []feature.Input{{Column: "double", OnDemand: o}}},
	}
	if err := ondemand.Bind(svc, ondemand.Binding{OnDemand: o, Features: []int{0, 1}, Place: len(view.Features)}); err != nil {
		t.Fatal(err)
	}
	return o
}

// protocolStore has rows of protocolModel. Their event times are hours before the clock of the tests, which is at 100.
func protocolStore(t testing.TB, m *Model) *online.Store {
	t.Helper()
	s, err := online.Open(t.TempDir(), online.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	at := feature.Time(1_700_000_000_999_999)
	put(t, s, m.Views["types"], 1, [][]any{
		{int64(1), 90 * hour, true, int32(-7), int64(beyond), float32(0.1), 0.1, "Köln \"\\\n\u2028", []byte{0, 255}, at},
		{int64(2), 90 * hour, false, int32(math.MinInt32), int64(math.MinInt64), float32(math.Inf(-1)), math.NaN(), "", []byte{}, feature.Time(-1)},
		{int64(3), 90 * hour, nil, nil, nil, nil, nil, nil, nil, nil},
		{int64(4), 1 * hour, true, int32(1), int64(1), float32(1), 1.0, "old", []byte{1}, at},
		{int64(beyond), 90*hour + 1_500_000, true, int32(math.MaxInt32), int64(math.MaxInt64), float32(math.MaxFloat32), math.Inf(1), "x\xffy", []byte("abc"), feature.Time(0)},
		{int64(6), 90*hour + 1, true, int32(0), int64(-beyond), float32(1e-45), 5e-324, "\x00", []byte{0}, feature.Time(1_000_000)},
	})
	put(t, s, m.Views["lists"], 1, [][]any{
		{int64(1), 90 * hour, []bool{true, false}, []int32{1, -1}, []int64{beyond, -beyond}, []float32{1, 0.1}, []float64{2, math.NaN(), math.Inf(1)}, []string{"a", ""}, [][]byte{{255}, {}}, []feature.Time{at, -1}},
		{int64(2), 90 * hour, []bool{}, []int32{}, []int64{}, []float32{}, []float64{}, []string{}, [][]byte{}, []feature.Time{}},
		{int64(3), 90 * hour, nil, nil, nil, nil, nil, nil, nil, nil},
	})
	put(t, s, m.Views["defaults"], 1, [][]any{{int64(1), 90 * hour, int64(5), []string{"a"}}, {int64(2), 90 * hour, nil, nil}, {int64(3), 1 * hour, int64(9), []string{"b"}}})
	put(t, s, m.Views["terminal"], 1, [][]any{{"IT", int32(7), 90 * hour, float32(0.25)}, {"I", int32(7), 90 * hour, float32(16777216)}})
	put(t, s, m.Views["world"], 1, [][]any{{90 * hour, 100.0}})
	put(t, s, m.Views["moments"], 1, [][]any{{feature.Time(1_700_000_000_000_000), true, []byte{1, 2}, 90 * hour, int32(8)}})
	return s
}

// protocolCase is a request and its answer, which every protocol has to give.
type protocolCase struct {
	name     string
	service  string
	features []string // for want of a service: view.feature
	full     bool
	inputs   []protocolInput
	rows     int
	want     []string // for each column: name: value STATUS, value STATUS, ...
}

// protocolInput is a column of a request.
type protocolInput struct {
	name   string
	kind   feature.Kind
	field  bool // a request field, not a key
	values []any
}

func protocolCases() []protocolCase {
	ids := func(name string, values ...any) protocolInput {
		return protocolInput{name: name, kind: feature.Int64, values: values}
	}
	return []protocolCase{
		{name: "every type", service: "types", inputs: []protocolInput{ids("id", int64(1), int64(2), int64(3), int64(4), int64(5), int64(beyond), int64(6), nil)}, rows: 8, want: []string{
			"bool: true PRESENT, false PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, true PRESENT, true PRESENT, NULL NOT_FOUND",
			"int32: -7 PRESENT, -2147483648 PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, 2147483647 PRESENT, 0 PRESENT, NULL NOT_FOUND",
			"int64: 9007199254740993 PRESENT, -9223372036854775808 PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, 9223372036854775807 PRESENT, -9007199254740993 PRESENT, NULL NOT_FOUND",
			"float32: 0.1 PRESENT, -Inf PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, 3.4028235e+38 PRESENT, 1e-45 PRESENT, NULL NOT_FOUND",
			"float64: 0.1 PRESENT, NaN PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, +Inf PRESENT, 5e-324 PRESENT, NULL NOT_FOUND",
			"string: Köln \"\\\n\u2028 PRESENT,  PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, x\ufffdy PRESENT, \x00 PRESENT, NULL NOT_FOUND",
			"bytes: 00ff PRESENT,  PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, 616263 PRESENT, 00 PRESENT, NULL NOT_FOUND",
			"timestamp: 1700000000999999 PRESENT, -1 PRESENT, NULL NULL, NULL EXPIRED, NULL NOT_FOUND, 0 PRESENT, 1000000 PRESENT, NULL NOT_FOUND",
		}},
		{name: "lists", service: "lists", inputs: []protocolInput{ids("id", int64(1), int64(2), int64(3), int64(4))}, rows: 4, want: []string{
			"bools: [true false] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
			"int32s: [1 -1] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
			"int64s: [9007199254740993 -9007199254740993] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
			"float32s: [1 0.1] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
			"float64s: [2 NaN +Inf] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
			"strings: [a ] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
			"bytess: [ff ] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
			"timestamps: [1700000000999999 -1] PRESENT, [] PRESENT, NULL NULL, NULL NOT_FOUND",
		}},
		{name: "defaults", service: "defaults", inputs: []protocolInput{ids("id", int64(1), int64(2), int64(3), int64(4), int64(1))}, rows: 5, want: []string{
			"n: 5 PRESENT, -1 NULL, -1 EXPIRED, -1 NOT_FOUND, 5 PRESENT",
			"tags: [a] PRESENT, [none] NULL, [none] EXPIRED, [none] NOT_FOUND, [a] PRESENT"}},
		{name: "full names", service: "defaults", full: true, inputs: []protocolInput{ids("id", int64(1))}, rows: 1, want: []string{"defaults__n: 5 PRESENT", "defaults__tags: [a] PRESENT"}},
		{name: "aliases and a global view", service: "alias", inputs: []protocolInput{ids("from_id", int64(1), int64(2)), ids("to_id", int64(4), int64(1))}, rows: 2, want: []string{
			"rate: 100 PRESENT, 100 PRESENT", "to__n: -1 NOT_FOUND, 5 PRESENT", "to__tags: [none] NOT_FOUND, [a] PRESENT", "from__n: 5 PRESENT, -1 NULL", "from__tags: [a] PRESENT, [none] NULL"}},
		{name: "a composite key", service: "terminal", inputs: []protocolInput{
			{name: "number", kind: feature.Int32, values: []any{int32(7), int32(7), int32(7), nil}}, {name: "country", kind: feature.String, values: []any{"IT", "I", "T7", "IT"}}},
			rows: 4, want: []string{"risk: 0.25 PRESENT, 1.6777216e+07 PRESENT, NULL NOT_FOUND, NULL NOT_FOUND"}},
		{name: "keys of other types", service: "moments", inputs: []protocolInput{
			{name: "at", kind: feature.Timestamp, values: []any{feature.Time(1_700_000_000_000_000), feature.Time(1_700_000_000_000_000)}}, {name: "open", kind: feature.Bool, values: []any{true, false}},
			{name: "code", kind: feature.Bytes, values: []any{[]byte{1, 2}, []byte{1, 2}}}}, rows: 2, want: []string{"x: 8 PRESENT, NULL NOT_FOUND"}},
		{name: "a global entity", service: "world", rows: 1, want: []string{"rate: 100 PRESENT"}},
		{name: "on demand", service: "sums", inputs: []protocolInput{ids("id", int64(1), int64(2), int64(4)), {name: "bonus", kind: feature.Int32, field: true, values: []any{int32(1), int32(-3), nil}}}, rows: 3, want: []string{
			"n: 5 PRESENT, -1 NULL, -1 NOT_FOUND", "tags: [a] PRESENT, [none] NULL, [none] NOT_FOUND", "double: 11 PRESENT, -5 PRESENT, NULL NULL", "negative: -11 PRESENT, 5 PRESENT, NULL NULL"}},
		{name: "no rows", service: "defaults", inputs: []protocolInput{ids("id")}, want: []string{"n:", "tags:"}},
		{name: "features by name", features: []string{"types.int64", "defaults.n", "world.rate"}, inputs: []protocolInput{ids("id", int64(2), int64(3))}, rows: 2, want: []string{
			"types.int64: -9223372036854775808 PRESENT, NULL NULL", "defaults.n: -1 NULL, -1 EXPIRED", "world.rate: 100 PRESENT, 100 PRESENT"}},
		{name: "on demand by name", features: []string{"sums.negative", "world.rate"}, inputs: []protocolInput{ids("id", int64(1)), {name: "bonus", kind: feature.Int32, field: true, values: []any{int32(4)}}}, rows: 1, want: []string{
			"sums.negative: -14 PRESENT", "world.rate: 100 PRESENT"}},
	}
}

// answered is a column of an answer, as texts.
type answered struct {
	name     string
	values   []string
	statuses []string // nil where the protocol has none
	times    []string
}

// protocol is a way to ask.
type protocol struct {
	name    string
	seconds bool // a timestamp is the second in which it lies
	ask     func(c protocolCase) ([]answered, error)
	skips   func(c protocolCase) bool
}

// TestProtocolsAgree asks for the same by every protocol: all give the same values, to the bit.
func TestProtocolsAgree(t *testing.T) {
	m := protocolModel(t)
	store, options := protocolStore(t, m), Options{Now: clockAt(100 * hour)}
	s := start(t, store, func() *Model { return m }, options)
	h := web(t, store, m, options)
	asks := asker{model: m, running: s, feast: newFeastClient(t, s.conn), http: h}
	for _, p := range []protocol{
		{name: "asof.v1 over gRPC", ask: asks.grpc},
		{name: "asof.v1 over HTTP", ask: asks.json},
		{name: "Feast over gRPC", seconds: true, ask: asks.feastGRPC},
		{name: "Feast over HTTP", seconds: true, ask: asks.feastHTTP},
		{name: "Databricks records", ask: asks.databricksRecords, skips: func(c protocolCase) bool { return c.features != nil || c.full }},
		{name: "Databricks split", ask: asks.databricksSplit, skips: func(c protocolCase) bool { return c.features != nil || c.full }},
	} {
		t.Run(p.name, func(t *testing.T) {
			for _, c := range protocolCases() {
				if p.skips != nil && p.skips(c) {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					columns, err := p.ask(c)
					if err != nil {
						t.Fatal(err)
					}
					var got []string
					for i, column := range columns {
						got = append(got, column.text(c.want[min(i, len(c.want)-1)]))
					}
					if d := cmp.Diff(wantOf(c, p), got); d != "" {
						t.Error(d)
					}
				})
			}
		})
	}
}

// text returns the column as the table of cases has it. A protocol without statuses is lent those of want.
func (a answered) text(want string) string {
	_, cells, _ := strings.Cut(want, ":")
	lent := strings.Split(cells, ", ")
	text := a.name + ":"
	for row, value := range a.values {
		status := lent[min(row, len(lent)-1)]
		status = status[strings.LastIndexByte(status, ' ')+1:]
		if a.statuses != nil {
			status = a.statuses[row]
		}
		if row > 0 {
			text += ","
		}
		text += " " + value + " " + status
	}
	return text
}

// wantOf returns what is wanted of c in the words of a protocol.
func wantOf(c protocolCase, p protocol) []string {
	want := slices.Clone(c.want)
	for i, line := range want {
		if p.seconds && strings.HasPrefix(line, "timestamp") {
			want[i] = strings.NewReplacer("1700000000999999", "1700000000", "-1", "-1", "1000000", "1").Replace(line)
		}
		if name, cells, _ := strings.Cut(line, ":"); c.features != nil && p.seconds { // Feast answers with the feature's own name
			want[i] = name[strings.IndexByte(name, '.')+1:] + ":" + cells
		}
	}
	return want
}
