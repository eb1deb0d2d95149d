package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strings"

	"github.com/asof-store/asof/internal/memlimit"
	"github.com/asof-store/asof/materialize"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// suite is one part of the benchmarks.
type suite struct {
	name string
	run  func(context.Context, *bench, *report) error
}

func suites() []suite {
	return []suite{
		{"limits", benchLimits},
		{"export-asof", benchExportAsof}, {"export-five-views", benchExportFiveViews}, {"export-string-keys", benchExportStringKeys},
		{"export-small-spine", benchExportSmallSpine}, {"linear", benchLinear}, {"memory-flat", benchMemoryFlat}, {"windows-dense", benchWindowsDense},
		{"materialize-sort", benchMaterializeSort}, {"materialize-tiles", benchMaterializeTiles}, {"incremental", benchIncremental}, {"publish", benchPublish},
		{"serve-1x20", benchServe1}, {"serve-100x50", benchServe100}, {"serve-500x50", benchServe500}, {"serve-json", benchServeJSON},
		{"serve-while-publishing", benchServeWhilePublishing},
	}
}

// bench is what the suites work with.
type bench struct {
	dir    string // of data and results
	python string // with the peers; "" leaves them out
	repeat int
	scale  int // sizes are divided by it
	out    io.Writer
	has    map[string]bool // data that have been made
}

// path is where generated data of that name lies, for all suites.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// output is where a suite writes what is removed after it.
func (b *bench) output(name string) string { return filepath.Join(b.dir, "output", name) }

// rows is a size of data, in the scale of this run.
func (b *bench) rows(n int) int { return max(1, n/b.scale) }

// childFlag makes a process do one task, which it reads from standard input.
const childFlag = "-child"

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "the `name` of one suite to run (default: all)")
	dir := flags.String("dir", filepath.Join("build", "bench"), "`directory` of generated data, up to 15 GB")
	python := flags.String("python", "", "`python` with DuckDB and Polars, to run beside asof (see make bench-peers)")
	docs := flags.String("docs", "", "`directory` of documents in which the results are brought up to date")
	repeat := flags.Int("repeat", 5, "runs of each measurement, of which the median is shown, after one that does not count; 0: that one counts")
	scale := flags.Int("scale", 1, "divide all sizes by this `number`, to see that the suites work")
	child := flags.Bool(childFlag[1:], false, "do the task on standard input in this process: what bench starts itself with")
	profile := flags.String("cpuprofile", "", "with -child: `file` for a processor profile of the task")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child {
		return runTask(ctx, in, out, *profile)
	}
	b := &bench{dir: *dir, python: *python, repeat: max(0, *repeat), scale: max(1, *scale), out: out, has: map[string]bool{}}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	where, err := b.machine()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s; medians of %d\n", where, max(1, b.repeat))
	if b.python == "" {
		fmt.Fprintln(out, "no peers beside asof: make bench-peers installs them")
	}
	var names []string
	ran := false
	for _, s := range suites() {
		names = append(names, s.name)
		if *only != "" && *only != s.name {
			continue
		}
		ran = true
		fmt.Fprintf(out, "\n%s\n", s.name)
		r := &report{out: out}
		if err := b.run(ctx, s, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if *docs == "" {
			continue
		}
		if err := r.publish(*docs, s.name, where); err != nil {
			return err
		}
	}
	if !ran {
		return fmt.Errorf("there is no suite %q: choose one of %s", *only, strings.Join(names, ", "))
	}
	return nil
}

// run runs a suite in a new directory of outputs.
func (b *bench) run(ctx context.Context, s suite, r *report) (err error) {
	if err := errors.Join(os.RemoveAll(b.output("")), os.MkdirAll(b.output(""), 0o755)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.output(""))) }()
	return s.run(ctx, b, r)
}

// runTask does the task on in, in this process, and prints its outcome for the parent.
func runTask(ctx context.Context, in io.Reader, out io.Writer, profile string) (err error) {
	var t task
	decoder := json.NewDecoder(in)
	if err := decoder.Decode(&t); err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	do, ok := tasks()[t.Do]
	if !ok {
		return fmt.Errorf("there is no task %q", t.Do)
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	memlimit.Set(cmp.Or(t.Memory, materialize.MemoryDefault)) // as asof does
	o, err := do(ctx, t)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(o)
}
