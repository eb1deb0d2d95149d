package expr

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
)

func TestProgramTellsItsColumns(t *testing.T) {
	p := mustCompile(t, "if(b > a.c or a.c is null, `x y`, b)", func(string) (feature.Type, bool) { return feature.Scalar(feature.Int64), true })
	if diff := cmp.Diff([]string{"a.c", "b", "x y"}, p.Columns()); diff != "" {
		t.Error(diff)
	}
	if !p.Uses("b") || p.Uses("c") {
		t.Error("Uses must know b and not c")
	}
	if _, ok := p.IsColumn(); ok {
		t.Error("a call is no plain column")
	}
	if want := "if(b > a.c OR a.c IS NULL, `x y`, b)"; p.SparkSQL() != want {
		t.Errorf("SparkSQL is %s, want %s", p.SparkSQL(), want)
	}
}

func TestPlainColumnIsPassedThrough(t *testing.T) {
	data := &table{}
	data.add("l", feature.ListOf(feature.Float32), []any{[]any{float32(1)}, nil}, 2)
	p := mustCompile(t, "(l)", data.typeOf)
	if name, ok := p.IsColumn(); !ok || name != "l" {
		t.Errorf("IsColumn is %q, %v", name, ok)
	}
	got, err := p.Eval(data.column, 2)
	if err != nil || got != data.arrays["l"] {
		t.Errorf("got another array, error %v", err)
	}
}

// TestSparkSQL: what Spark would take otherwise is written out.
func TestSparkSQL(t *testing.T) {
	for src, want := range map[string]string{
		"x > 0":                       "x > 0.0",
		"a + 1":                       "a + 1",
		"b + 1":                       "b + 1L",
		"f * a":                       "CAST(f AS DOUBLE) * CAST(a AS DOUBLE)",
		"a / b":                       "a / b",
		"not (a = 1 and b = 2)":       "NOT (a = 1 AND b = 2L)",
		"(a = 1) is null":             "(a = 1) IS NULL",
		"a - (b - 1)":                 "a - (b - 1L)",
		"(a - b) - 1":                 "a - b - 1L",
		"-(-a)":                       "- -a",
		"size(l) = 0":                 "array_size(l) = 0",
		"not p is null":               "p IS NOT NULL",
		"s like 'a!%' escape '!'":     `s LIKE 'a\%'`,
		"cast(s as list<x>)":          "",
		"cast(l as list<float32>)[0]": "CAST(l AS ARRAY<FLOAT>)[0]",
		"t > timestamp '2026-01-01'":  "t > TIMESTAMP '2026-01-01T00:00:00Z'",
		"x + null":                    "x + NULL",
	} {
		p, err := Compile(src, fuzzTypeOf, Options{})
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", src, err)
			}
			continue
		}
		if got := strings.ReplaceAll(p.SparkSQL(), "0D", "0.0"); got != want {
			t.Errorf("%s is printed as %s, want %s", src, got, want)
		}
	}
}

func TestErrorsHaveTheirKind(t *testing.T) {
	_, err := Compile("a +\n  nme", fuzzTypeOf, Options{Names: func() []string { return []string{"name"} }})
	var fault *Error
	if !errors.As(err, &fault) || feature.KindOf(err) != feature.ErrInvalid {
		t.Fatalf("%v is of kind %v", err, feature.KindOf(err))
	}
	if diff := cmp.Diff(&Error{2, 3, "unknown column nme", "did you mean name?"}, fault); diff != "" {
		t.Error(diff)
	}
	data := &table{}
	values := make([]any, 3*chunkRows)
	for i := range values {
		values[i] = int64(i)
	}
	data.add("b", feature.Scalar(feature.Int64), values, 1)
	_, err = mustCompile(t, "b + 9223372036854773000", data.typeOf).Eval(data.column, len(values))
	var row *RowError
	if !errors.As(err, &row) || row.Row != 2808 || feature.KindOf(err) != feature.ErrInvalid {
		t.Fatalf("%v is of kind %v", err, feature.KindOf(err))
	}
}

func TestEvalRefusesWrongColumns(t *testing.T) {
	data := &table{}
	data.add("b", feature.Scalar(feature.Int32), []any{int32(1)}, 0)
	p := mustCompile(t, "b + 1", fuzzTypeOf)
	for name, cols := range map[string]func(string) arrow.Array{
		"missing":    func(string) arrow.Array { return nil },
		"wrong type": data.column,
	} {
		if _, err := p.Eval(cols, 1); feature.KindOf(err) != feature.ErrInternal || !strings.Contains(err.Error(), "column b") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p = mustCompile(t, "b + 1", data.typeOf)
	if _, err := p.Eval(data.column, 2); feature.KindOf(err) != feature.ErrInternal {
		t.Errorf("wrong number of rows: %v", err)
	}
}

// TestSizeIsBounded: what is too long or too deep is refused, and what is just within the bounds runs, repeated evaluation of
// shared operands included.
func TestSizeIsBounded(t *testing.T) {
	nested := func(open, inner, end string, depth int) string {
		return strings.Repeat(open, depth) + inner + strings.Repeat(end, depth)
	}
	for message, src := range map[string]string{
		"bytes, more than":  strings.Repeat(" ", sourceBytesMax) + "a",
		"nested more than":  nested("(", "a", ")", nestingDepthMax+1),
		"nested more than ": nested("case when p then ", "a", " end", nestingDepthMax+1),
		"not UTF-8":         "a = '\xff'",
	} {
		if _, err := Compile(src, fuzzTypeOf, Options{}); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(message)) {
			t.Errorf("want %q, got %v", message, err)
		}
	}
	data := fuzzTable([]string{"a", "p", "x"})
	for _, src := range []string{
		nested("(", "a", ")", nestingDepthMax),
		nested("nullif(", "a", ", 7)", nestingDepthMax),
		nested("(", "x", " between 0 and 1) is null", 1),
		nested("case ", "a", " when 1 then 2 else 3 end", nestingDepthMax),
		"x" + strings.Repeat("+x", (sourceBytesMax-1)/2),
		strings.Repeat("-", 1) + strings.Repeat(" -", sourceBytesMax/2-8) + " x",
		strings.Repeat("not ", sourceBytesMax/4-8) + "p",
		"p" + strings.Repeat(" or p", sourceBytesMax/5-8),
	} {
		p, err := Compile(src, fuzzTypeOf, Options{})
		if err != nil {
			t.Errorf("%.60s...: %v", src, err)
			continue
		}
		if _, err := p.Eval(data.column, data.rows); err != nil {
			t.Errorf("%.60s...: %v", src, err)
		}
	}
}

// TestProgramIsSafeForConcurrentUse is for the race detector, and for wrong values.
func TestProgramIsSafeForConcurrentUse(t *testing.T) {
	data := fuzzTable([]string{"a", "b", "s"})
	p := mustCompile(t, "case a when 1 then concat(s, 'x') when b then lower(s) else coalesce(s, cast(b as string), 'none') end", data.typeOf)
	agree(t, p, data)
	want, err := p.Eval(data.column, data.rows)
	if err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	g.SetLimit(4)
	for range 16 {
		g.Go(func() error {
			got, err := p.Eval(data.column, data.rows)
			if err == nil && !array.Equal(got, want) {
				err = fmt.Errorf("got %v, want %v", got, want)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func mustCompile(t *testing.T, src string, typeOf func(string) (feature.Type, bool)) *Program {
	t.Helper()
	p, err := Compile(src, typeOf, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
