package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
)

// TestMain makes the test's own program the process of a task, as bench starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childFlag {
		main()
		return
	}
	os.Exit(m.Run())
}

// peers is the Python that make bench-peers installs; "" where it is not.
func peers(t *testing.T) string {
	path, err := filepath.Abs(filepath.Join(".venv", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Log("without peers: make bench-peers has not installed them")
		return ""
	}
	return path
}

// TestSuites runs every suite with a thousandth of its data, once, and holds what it prints against the form that is promised. That results
// are equal is a part of it: a suite fails where they are not.
func TestSuites(t *testing.T) {
	python := peers(t)
	against := regexp.MustCompile(`^bench \S+ ratio_time=\d+\.\d\d ratio_memory=\d+\.\d\d equal=true$`)
	echo := regexp.MustCompile(`^bench \S+ ratio_echo=\d+\.\d\d p50_ms=\d+\.\d\d p99_ms=\d+\.\d\d$`)
	alone := []string{"memory-flat", "incremental", "publish"} // whose peer is in Go
	for _, s := range suites() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			docs := t.TempDir()
			page := filepath.Join(docs, "page.md")
			if err := os.WriteFile(page, []byte("before\n"+begins(s.name)+"\nold\n"+ends(s.name)+"\nafter\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			args := []string{"-only", s.name, "-dir", t.TempDir(), "-scale", "1000", "-repeat", "0", "-docs", docs}
			// linear does what export-asof does, with other sizes.
			if python != "" && s.name != "linear" {
				args = append(args, "-python", python)
			}
			if err := run(t.Context(), args, strings.NewReader(""), &out); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			last := lines[len(lines)-1]
			switch {
			case strings.HasPrefix(s.name, "serve-"):
				if !echo.MatchString(last) || !strings.HasPrefix(last, "bench "+s.name+" ") {
					t.Errorf("it closes with %q", last)
				}
			case s.name == "limits" || s.name == "linear" || python == "" && !slices.Contains(alone, s.name):
				if len(lines) < 3 {
					t.Errorf("it has nothing to say:\n%s", &out)
				}
			case !against.MatchString(last) || !strings.HasPrefix(last, "bench "+s.name+" "):
				t.Errorf("it closes with %q", last)
			}
			written, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(written); !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "\nafter\n") || strings.Contains(text, "old") || !strings.Contains(text, last) {
				t.Errorf("the document became\n%s", text)
			}
		})
	}
}

// TestUnequal has results differ in each place that is looked at, and sees that no suite calls them equal.
func TestUnequal(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := shape{Kind: pairKeys, Keys: 10, Rows: 40, Days: 4, Views: 2, Features: 2, Commits: 2}
	given := task{Shape: s, Spine: 200, Data: filepath.Join(dir, "history"), Out: filepath.Join(dir, trainingName)}
	history, spine := given, given
	history.Out, spine.Out = given.Data, dir
	for _, made := range []struct {
		do func(context.Context, task) (outcome, error)
		t  task
	}{{makeHistory, history}, {makeSpine, spine}, {taskExport, given}} {
		if _, err := made.do(ctx, made.t); err != nil {
			t.Fatal(err)
		}
	}
	if o, err := taskCheckExport(ctx, given); err != nil || o.Unequal != "" || o.Count != 200 {
		t.Fatalf("the training set as it is: %+v, %v", o, err)
	}
	for what, change := range map[string]func(*task){
		"another spine":    func(t *task) { t.Near = 5 },
		"a longer history": func(t *task) { t.Shape.Rows = 80 },
		"fewer rows":       func(t *task) { t.Spine = 100 },
		"other keys":       func(t *task) { t.Shape.Keys = 8; t.Shape.Rows = 32 },
	} {
		other := given
		change(&other)
		if o, err := taskCheckExport(ctx, other); err != nil || o.Unequal == "" {
			t.Errorf("%s: %+v, %v", what, o, err)
		}
	}
	more := given
	more.Spine = 300
	if _, err := taskCheckExport(ctx, more); err == nil {
		t.Error("a training set that lacks rows passes")
	}
	c := contender{check: func(context.Context) (figure, error) { return figure{outcome: outcome{Unequal: "3 rows"}}, nil }}
	if err := c.compare(ctx); !errors.Is(err, errUnequal) || !strings.Contains(err.Error(), "3 rows") {
		t.Errorf("a difference that was found is %v", err)
	}
}

// TestPeerUnequal has a peer compare results that differ by a value, by a row, and by their order.
func TestPeerUnequal(t *testing.T) {
	python := peers(t)
	if python == "" { // peers are for comparison alone, and make test has to pass where there is no Python
		t.Skip("DuckDB and Polars, which compare, are not here: make bench-peers installs them")
	}
	b := &bench{dir: t.TempDir(), python: python, has: map[string]bool{}}
	for _, c := range []struct {
		what, query string
		equal       bool
	}{
		{"the same", "SELECT range AS row, range * 0.5 AS f0 FROM range(10)", true},
		{"a value", "SELECT range AS row, CASE WHEN range = 7 THEN NULL ELSE range * 0.5 END AS f0 FROM range(10)", false},
		{"a row less", "SELECT range AS row, range * 0.5 AS f0 FROM range(9)", false},
		{"a row more", "SELECT range AS row, range * 0.5 AS f0 FROM range(11)", false},
	} {
		t.Run(c.what, func(t *testing.T) {
			ours, theirs := b.path("ours.parquet"), b.path("theirs.parquet")
			for path, query := range map[string]string{ours: "SELECT range AS row, range * 0.5 AS f0 FROM range(10)", theirs: c.query} {
				if out, err := exec.Command(python, "-c", `import duckdb, sys; duckdb.sql(sys.argv[1]).write_parquet(sys.argv[2])`, query, path).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			for how, q := range map[string]question{"by row": {Ours: ours}, "in order": {Order: []string{ours}}} {
				q.Peer, q.Do, q.Out, q.Columns = peerDuckDB, "compare", theirs, []string{"f0"}
				f, err := b.asking(q)(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if (f.Unequal == "") != c.equal {
					t.Errorf("%s, %s: %q", c.what, how, f.Unequal)
				}
			}
		})
	}
}

// TestGenerator holds the generator's rows against what a search through all of them finds, and its keys against their order.
func TestGenerator(t *testing.T) {
	for _, kind := range []keyKind{intKeys, uuidKeys, pairKeys} {
		s := shape{Kind: kind, Keys: 2000, Rows: 14000, Days: 30, Views: 2, Features: 1}
		before := ""
		for k := range s.Keys {
			known, unknown := keyText(s.key(k, true)), keyText(s.key(k, false))
			if known <= before || known == unknown {
				t.Fatalf("%s key %d is %s after %s, beside %s", kind, k, known, before, unknown)
			}
			before = known
			for _, at := range []int64{-1, 0, 5 * dayMicros, 30*dayMicros - 1, 40 * dayMicros} {
				newest := -1
				for i := range s.perKey() {
					if s.event(1, k, i) <= start()+feature.Time(at) {
						newest = i
					}
				}
				if got := s.newest(1, k, start()+feature.Time(at)); got != newest {
					t.Fatalf("the newest row of key %d at %d is %d, not %d", k, at, newest, got)
				}
			}
		}
	}
}

// keyText is a text that orders as keys do.
func keyText(parts []any) string {
	var k feature.Key
	for _, p := range parts {
		switch p := p.(type) {
		case int64:
			k = feature.AppendKeyInt64(k, p)
		case string:
			k = feature.AppendKeyString(k, p)
		}
	}
	return string(k)
}

// TestPlot draws a plot and reads it again: it is XML, and lines are as high as their values.
func TestPlot(t *testing.T) {
	p := plot{title: "a < b", unit: "seconds", x: []float64{1e6, 2e6, 4e6}, series: []series{{"asof", []float64{1, 2, 4}}, {"peer & co", []float64{4, 4, 4}}}}
	text := p.svg()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
	}
	for _, want := range []string{"a &lt; b", "peer &amp; co", "4 M"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing from\n%s", want, text)
		}
	}
	if circles := regexp.MustCompile(`<circle cx="([\d.]+)" cy="([\d.]+)"`).FindAllStringSubmatch(text, -1); len(circles) != 6 || circles[2][2] != circles[5][2] || circles[0][2] == circles[1][2] {
		t.Errorf("points are at %v", circles)
	}
	for v, want := range map[float64]float64{0: 1, 0.9: 0.2, 4: 1, 55: 10, 1000: 200, 1664: 500} {
		if got := niceStep(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("the step up to %v is %v, not %v", v, got, want)
		}
	}
}

// TestMedian takes medians of each number apart.
func TestMedian(t *testing.T) {
	f := medianOf([]figure{{outcome{Seconds: 3, P99: 1}, 7, 10}, {outcome{Seconds: 1, P99: 3}, 9, 30}, {outcome{Seconds: 2, P99: 2}, 8, 20}})
	if f.Seconds != 2 || f.P99 != 2 || f.CPU != 8 || f.Peak != 20 {
		t.Errorf("%+v", f)
	}
}

// TestCheckAnswer has answers of a server differ from what the generator knows, by a value, by a row and by a column.
func TestCheckAnswer(t *testing.T) {
	given := task{Shape: shape{Kind: intKeys, Keys: 9, Rows: 9, Days: 3, Views: 3, Features: 2}, Load: load{Features: 5}}
	keys := []int{4, 0, 8}
	answer := func() (columns [][]float64) {
		for v, n := range []int{2, 2, 1} {
			for f := range n {
				var values []float64
				for _, k := range keys {
					values = append(values, given.Shape.value(v, k, 0, f))
				}
				columns = append(columns, values)
			}
		}
		return columns
	}
	for what, change := range map[string]func([][]float64) [][]float64{
		"":         func(c [][]float64) [][]float64 { return c },
		"a value":  func(c [][]float64) [][]float64 { c[4][2]++; return c },
		"a row":    func(c [][]float64) [][]float64 { c[0] = c[0][:2]; return c },
		"a column": func(c [][]float64) [][]float64 { return c[:4] },
	} {
		err := given.checkAnswer(keys, nil, func([]byte) ([][]float64, error) { return change(answer()), nil })
		if errors.Is(err, errUnequal) != (what != "") || err != nil && what == "" {
			t.Errorf("%q: %v", what, err)
		}
	}
}
