package expr

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// TestKernelsAgreeWithTwin compares the kernels with the row-at-a-time twin on random expressions and data, and the printed
// program with itself. rapid prints the seed of a failure.
func TestKernelsAgreeWithTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SampledFrom([]int{0, 1, 5, 63, 64, 65, 200, chunkRows - 1, chunkRows, 2*chunkRows + 1}).Draw(t, "rows")
		src := drawExpression(t, rapid.SampledFrom(drawnTypes()).Draw(t, "type"), rapid.IntRange(1, 4).Draw(t, "depth"))
		p, err := Compile(src, randomTypeOf, Options{})
		if err != nil && (strings.Contains(err.Error(), "overflow") || strings.Contains(err.Error(), "range of timestamps")) {
			return // between constants
		}
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		data := randomTable(p.Columns(), rapid.Uint64().Draw(t, "seed"), rows, rapid.IntRange(0, 9).Draw(t, "offset"))
		agree(t, p, data)
		again, err := Compile(p.SparkSQL(), randomTypeOf, Options{})
		if err != nil {
			t.Fatalf("%s is printed as %s: %v", src, p.SparkSQL(), err)
		}
		if again.SparkSQL() != p.SparkSQL() || again.Type() != p.Type() {
			t.Fatalf("%s is printed as\n%s, that as\n%s", src, p.SparkSQL(), again.SparkSQL())
		}
		agree(t, again, data)
	})
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// agree fails unless the program's result on the data is its twin's, faults included.
func agree(t failer, p *Program, data *table) {
	t.Helper()
	var twinErr error
	want := make([]any, data.rows)
	for i := 0; i < data.rows && twinErr == nil; i++ {
		want[i], twinErr = twin(p.tree, data.row(i))
	}
	got, err := p.Eval(data.column, data.rows)
	if (err != nil) != (twinErr != nil) {
		t.Fatalf("%s: kernels: %v, twin: %v", p, err, twinErr)
	}
	var fault *RowError
	if err != nil {
		if !errors.As(err, &fault) || !errors.Is(err, feature.ErrInvalid) {
			t.Fatalf("%s: %v is no RowError", p, err)
		}
		if _, err := twin(p.tree, data.row(fault.Row)); err == nil {
			t.Fatalf("%s: %v, but the twin computes that row", p, fault)
		}
		return
	}
	if typ, _ := feature.TypeOfArrow(got.DataType()); typ != p.Type() || got.Len() != data.rows {
		t.Fatalf("%s: got %d rows of %s, want %d of %s", p, got.Len(), got.DataType(), data.rows, p.Type())
	}
	nulls := 0
	for i, w := range want {
		if g := valueOf(got, i); !same(g, w) {
			t.Fatalf("%s: row %d %v: got %v (%T), want %v (%T)", p, i, data.row(i), g, g, w, w)
		}
		if w == nil {
			nulls++
		}
	}
	if got.NullN() != nulls {
		t.Fatalf("%s: NullN is %d, want %d", p, got.NullN(), nulls)
	}
}

// String makes a program readable in failures.
func (p *Program) String() string { return p.source + " [" + p.tree.String() + "]" }

func drawnTypes() []feature.Type {
	var types []feature.Type
	for k := feature.Bool; k <= feature.Timestamp; k++ {
		types = append(types, feature.Scalar(k))
	}
	for k := feature.Bool; k <= feature.Timestamp; k++ {
		types = append(types, feature.ListOf(k))
	}
	return types
}

// columnName returns the name of the n-th column of a type in a random table.
func columnName(t feature.Type, n int) string {
	if t.List {
		return fmt.Sprintf("lists.%s%d", t.Kind, n)
	}
	return fmt.Sprintf("%s%d", t.Kind, n)
}

// randomTypeOf is the schema of random tables: two columns of every type.
func randomTypeOf(name string) (feature.Type, bool) {
	for _, typ := range drawnTypes() {
		if name == columnName(typ, 0) || name == columnName(typ, 1) {
			return typ, true
		}
	}
	return feature.Type{}, false
}

func randomTable(columns []string, seed uint64, rows, offset int) *table {
	data := &table{rows: rows}
	for i, name := range columns {
		r, values := rand.New(rand.NewPCG(seed, uint64(i))), make([]any, rows)
		typ, _ := randomTypeOf(name)
		for i := range values {
			values[i] = randomValue(r, typ)
		}
		data.add(name, typ, values, offset)
	}
	return data
}

// drawExpression draws the text of an expression of the type: a leaf, or one of the templates of the type with its
// holes filled. {x} is an expression of type x, {=} and {^} are of the type itself.
func drawExpression(t *rapid.T, typ feature.Type, depth int) string {
	if depth == 0 {
		return drawLeaf(t, typ)
	}
	template := rapid.SampledFrom(templates(typ)).Draw(t, "template")
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		hole, after, _ := strings.Cut(rest, "}")
		template = after
		out.WriteString("(" + drawExpression(t, holeType(t, hole, typ), rapid.IntRange(0, depth-1).Draw(t, "depth")) + ")")
	}
}

func holeType(t *rapid.T, hole string, typ feature.Type) feature.Type {
	switch hole {
	case "=":
		return typ
	case "number":
		return feature.Scalar(rapid.SampledFrom([]feature.Kind{feature.Int32, feature.Int64, feature.Float32, feature.Float64}).Draw(t, "number"))
	case "list":
		return feature.ListOf(typ.Kind)
	case "any":
		return rapid.SampledFrom(drawnTypes()[:8]).Draw(t, "any")
	}
	found, err := feature.ParseType(hole)
	if err != nil {
		t.Fatalf("hole %s: %v", hole, err)
	}
	return found
}

func drawLeaf(t *rapid.T, typ feature.Type) string {
	column := columnName(typ, rapid.IntRange(0, 1).Draw(t, "column"))
	if typ.List || rapid.IntRange(0, 2).Draw(t, "leaf") > 0 {
		return column
	}
	texts := map[feature.Kind][]string{
		feature.Bool:      {"true", "false"},
		feature.Int32:     {"0", "1", "-1", "7", "2147483647", "-2147483648"},
		feature.Int64:     {"0L", "-1L", "3L", "9223372036854775807", "-9223372036854775808", "2147483648"},
		feature.Float32:   {"0F", "1.5F", "-0F", "1e30F"},
		feature.Float64:   {"0.0", "-0.0", "1.5", "2.", "1e308", "-.5D", "cast('NaN' as double)", "cast('-inf' as double)"},
		feature.String:    {"''", "'ab'", `'a\'b'`, "'ä%'", "' x '"},
		feature.Bytes:     {"cast('ab' as binary)"},
		feature.Timestamp: {"timestamp '2026-03-01'", "timestamp '1969-12-31 23:59:59.999999Z'"},
	}
	return rapid.SampledFrom(append(texts[typ.Kind], "cast(null as "+typ.String()+")")).Draw(t, "literal")
}

// templates lists the expressions of a type, one hole deep.
func templates(typ feature.Type) []string {
	all := []string{"{=}", "if({bool}, {=}, {=})", "if({bool}, null, {=})", "coalesce({=}, {=})", "coalesce(null, {=}, {=}, {=})",
		"case when {bool} then {=} when {bool} then {=} else {=} end", "case when {bool} then {=} end",
		"case {any} when null then {=} else {=} end", "case {int64} when {int32} then {=} when {int64} then {=} else {=} end"}
	if typ.List {
		all = append(all, "array({T})", "array({T}, {T}, {T})")
		for i := range all {
			all[i] = strings.ReplaceAll(all[i], "{T}", "{"+typ.Kind.String()+"}")
		}
		switch typ.Kind {
		case feature.Int64:
			all = append(all, "cast({list<int32>} as list<int64>)")
		case feature.Float32:
			all = append(all, "cast({list<int64>} as list<float32>)", "cast({list<float64>} as array<float>)")
		case feature.Float64:
			all = append(all, "cast({list<int32>} as list<double>)", "cast({list<float32>} as list<double>)")
		}
		return all
	}
	all = append(all, "{list}[{int32}]", "{list}[{int64}]", "array({=}, {=})[1]", "nullif({=}, {=})", "least({=}, {=}, {=})", "greatest({=}, {=})")
	arithmetic := []string{"{=} + {=}", "{=} - {=}", "{=} * {=}", "{=} % {=}", "-{=}", "+{=}", "- -{=}", "abs({=})", "round({=})"}
	switch typ.Kind {
	case feature.Bool:
		all = append(all, "{bool} and {bool}", "{bool} or {bool}", "not {bool}", "{any} is null", "{any} is not null",
			"{int32} = {int64}", "{int64} <> {int64}", "{number} < {number}", "{number} <= {number}", "{number} > {number}", "{number} >= {number}",
			"{string} < {string}", "{timestamp} >= {timestamp}", "{bool} <> {bool}", "{bool} < {bool}", "{bytes} = {bytes}", "{float64} = {float64}",
			"{int32} <=> {int32}", "{float32} <=> {float64}", "{number} between {number} and {number}", "{string} not between {string} and {string}",
			"{int64} in ({int32}, {int64}, 3)", "{number} in ({number}, null)", "{string} not in ('ab', {string})",
			"{int32} in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)", "{float64} in (1.5, 2, 3, 4, 5, 6, 7, 8, 9, 0, 11, null, 1.005)",
			"{string} in ('ab', 'b', 'c', 'd', 'e', 'f', 'g', '', 'i', 'j', 'k', 'l', '12')",
			"{string} like 'a%'", "{string} like '%b_%'", "{string} not like '%\\%%'", "{string} like '_'", "{string} like '%a%b'",
			"cast({number} as bool)", "cast({string} as bool)")
	case feature.Int32:
		all = append(append(all, arithmetic...), "length({string})", "length({bytes})", "hour({timestamp})", "dayofweek({timestamp})",
			"size({list<float64>})", "size(array({any}))", "round({int32}, -2)", "cast({any} as int32)", "cast({number} as int)")
	case feature.Int64:
		all = append(append(all, arithmetic...), "{int64} + {int32}", "unix_micros({timestamp})", "ceil({number})", "floor({number})",
			"round({int64}, -18)", "cast({any} as int64)", "cast({number} as bigint)")
	case feature.Float32:
		all = append(append(all, arithmetic...), "cast({number} as float)", "cast({string} as float32)", "round({float32}, 1)", "cast({timestamp} as float)")
	case feature.Float64:
		all = append(append(all, arithmetic...), "{number} / {number}", "{float64} + {number}", "{float32} * {int32}", "sqrt({number})", "ln({number})",
			"log10({number})", "exp({number})", "pow({number}, {number})", "cast({number} as double)", "cast({string} as double)", "cast({timestamp} as double)",
			"round({float64}, 2)", "round({float64}, -1)", "round({float64}, 25)")
	case feature.String:
		all = append(all, "lower({string})", "upper({string})", "trim({string})", "concat({string}, {string}, {string})", "substring({string}, {int32})",
			"substring({string}, {int64}, {int32})", "substring({string}, 2, 2)", "cast({any} as string)")
	case feature.Bytes:
		all = append(all, "concat({bytes}, {bytes})", "substring({bytes}, {int32}, {int64})", "cast({string} as bytes)")
	case feature.Timestamp:
		all = append(all, "cast({number} as timestamp)", "cast({string} as timestamp)")
		for _, unit := range []string{"year", "quarter", "MONTH", "week", "day", "hour"} {
			all = append(all, "date_trunc('"+unit+"', {timestamp})")
		}
	}
	if typ.Kind == feature.String {
		return all
	}
	for i, s := range all { // casts of bytes lead to texts alone
		all[i] = strings.Replace(s, "cast({any} as int", "cast({number} as int", 1)
	}
	return all
}
