package expr

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// BenchmarkEval measures expressions over batches of 64 Ki rows with a tenth of NULLs.
//
//	go test -run '^$' -bench BenchmarkEval ./expr
func BenchmarkEval(b *testing.B) {
	const rows = 64 << 10
	data := benchTable(rows)
	for _, src := range []string{
		"i + 1", "i * j", "i % 7", "x * 2 + y", "x / y", "x > y", "x > 100 and i < 0 or s is null", "i in (1, 2, 3)",
		"i in (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31)", "if(i > 0, x, y)", "coalesce(x, y, 0)", "case when i < -50 then 'low' when i > 50 then 'high' else s end",
		"round(x, 2)", "sqrt(x)", "cast(x as int64)", "cast(i as string)", "lower(s)", "concat(s, '-', s)", "substring(s, 2, 3)", "s like '%bc%'",
		"hour(t)", "date_trunc('day', t)", "date_trunc('month', t)", "l[3]",
	} {
		b.Run(src, func(b *testing.B) {
			p, err := Compile(src, data.typeOf, Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Eval(data.column, rows); err != nil {
					b.Fatal(err)
				}
			}
			perRow := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / rows
			b.ReportMetric(perRow, "ns/row")
			b.ReportMetric(1e3/perRow, "Mrows/s")
		})
	}
}

// BenchmarkEvalOneRow measures what a single on-demand request pays.
func BenchmarkEvalOneRow(b *testing.B) {
	data := benchTable(1)
	p, err := Compile("if(x > 100, x / nullif(y, 0), coalesce(y, 0))", data.typeOf, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Eval(data.column, 1); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompile measures loading a definition.
func BenchmarkCompile(b *testing.B) {
	data := benchTable(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile("case when x > 100 and i between 1 and 5 then x / nullif(y, 0) else coalesce(y, 0) end", data.typeOf, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchTable(rows int) *table {
	r := rand.New(rand.NewPCG(1, 2))
	data := &table{}
	fill := func(name string, t feature.Type, value func() any) {
		values := make([]any, rows)
		for i := range values {
			if r.IntN(10) > 0 {
				values[i] = value()
			}
		}
		data.add(name, t, values, 0)
	}
	fill("i", feature.Scalar(feature.Int64), func() any { return int64(r.IntN(200) - 100) })
	fill("j", feature.Scalar(feature.Int64), func() any { return int64(r.IntN(200) - 100) })
	fill("x", feature.Scalar(feature.Float64), func() any { return r.Float64() * 1000 })
	fill("y", feature.Scalar(feature.Float64), func() any { return r.Float64() * 1000 })
	fill("s", feature.Scalar(feature.String), func() any { return pick(r, "abcdef", "Bcd", "hello world", "zz") })
	fill("t", feature.Scalar(feature.Timestamp), func() any { return feature.Time(r.Int64N(2e15)) })
	fill("l", feature.ListOf(feature.Float32), func() any { return []any{float32(1), float32(2), float32(3), float32(4)} })
	return data
}

// BenchmarkTwoLoops is the floor: the loop of x * 2 + y written by hand over whole columns.
func BenchmarkTwoLoops(b *testing.B) {
	const rows = 64 << 10
	data := benchTable(rows)
	x, y := data.arrays["x"].(*array.Float64).Float64Values(), data.arrays["y"].(*array.Float64).Float64Values()
	b.ReportAllocs()
	for b.Loop() {
		out := make([]float64, rows)
		for i := range out {
			out[i] = x[i]*2 + y[i]
		}
		sinkOf(arrow.Array(array.NewFloat64Data(array.NewData(arrow.PrimitiveTypes.Float64, rows, []*memory.Buffer{nil, bufferOf(out)}, nil, 0, 0))))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

//go:noinline
func sinkOf(arrow.Array) {}
