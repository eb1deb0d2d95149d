package expr

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
)

// FuzzCompile: no text makes the compiler panic; every error has a position in the text; what compiles runs, agrees
// with its twin, and is printed as Spark SQL that compiles to an equal program.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(script)) {
			if src, _, found := strings.Cut(line, resultMark); found {
				f.Add(strings.TrimSpace(src))
			}
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		p, err := Compile(src, fuzzTypeOf, Options{Names: func() []string { return []string{"amount", "name"} }})
		var fault *Error
		if err != nil {
			if lines := strings.Count(src, "\n") + 1; !errors.As(err, &fault) || fault.Line < 1 || fault.Line > lines || fault.Column < 1 {
				t.Fatalf("%q: %v has no position in %d lines", src, err, lines)
			}
			return
		}
		data := fuzzTable(p.Columns())
		if _, err := p.Eval(data.column, data.rows); err != nil && !errors.As(err, new(*RowError)) {
			t.Fatalf("%q: %v", src, err)
		}
		if len(src) < 50 { // the twin takes time that is exponential in the depth
			agree(t, p, data)
		}
		printed := p.SparkSQL()
		again, err := Compile(printed, fuzzTypeOf, Options{})
		if errors.As(err, &fault) && (strings.Contains(fault.Message, "nested more") || strings.Contains(fault.Message, "bytes, more")) {
			return // written out, it is longer than an expression may be
		}
		if err != nil {
			t.Fatalf("%q is printed as %q: %v", src, printed, err)
		}
		if again.SparkSQL() != printed || again.Type() != p.Type() {
			t.Fatalf("%q is printed as\n%q, that as\n%q", src, printed, again.SparkSQL())
		}
	})
}

// fuzzTypeOf gives every name a type, by its first letter.
func fuzzTypeOf(name string) (feature.Type, bool) {
	switch name[0] {
	case 'a', 'i':
		return feature.Scalar(feature.Int32), true
	case 'b':
		return feature.Scalar(feature.Int64), true
	case 'f':
		return feature.Scalar(feature.Float32), true
	case 'x':
		return feature.Scalar(feature.Float64), true
	case 'p', 'q':
		return feature.Scalar(feature.Bool), true
	case 's':
		return feature.Scalar(feature.String), true
	case 't':
		return feature.Scalar(feature.Timestamp), true
	case 'v':
		return feature.Scalar(feature.Bytes), true
	case 'l':
		return feature.ListOf(feature.Float64), true
	}
	return feature.Type{}, false
}

func fuzzTable(columns []string) *table {
	data := &table{rows: 70}
	for i, name := range columns {
		r, values := rand.New(rand.NewPCG(7, uint64(i))), make([]any, data.rows)
		typ, _ := fuzzTypeOf(name)
		for j := range values {
			values[j] = randomValue(r, typ)
		}
		data.add(name, typ, values, 0)
	}
	return data
}
