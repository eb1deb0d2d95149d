package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"

	"github.com/asof-store/asof/internal/memlimit"
	"github.com/asof-store/asof/materialize"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// suite is one part of the benchmarks.
type suite struct {
	name string
	run  func(context.Context, *bench) error
}

func suites() []suite {
	return []suite{{"join", benchJoin}, {"linear", benchLinear}, {"memory", benchMemory}, {"materialize-sort", benchMaterialize}, {"materialize-tiles", benchTiles}, {"incremental", benchIncremental}, {"online", benchOnline},
		{"windows-dense", benchWindowsDense}}
}

// bench is what the suites work with.
type bench struct {
	dir    string // of data and results
	peer   string // Python with DuckDB; "" leaves the peer out
	repeat int
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "a part to run: join, linear, memory, materialize-sort, materialize-tiles, incremental, online or windows-dense (default: all)")
	dir := flags.String("dir", filepath.Join("build", "bench"), "`directory` of generated data, about 8 GB")
	peer := flags.String("peer", "", "`python` with DuckDB, to run beside the join (see make bench-peers)")
	repeat := flags.Int("repeat", 3, "runs of each measurement, of which the median is shown")
	child := flags.String("child", "", "the `task` to measure in this process: what bench starts itself with")
	profile := flags.String("cpuprofile", "", "with -child: `file` for a processor profile of the task")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *child != "" {
		return runTask(ctx, *child, *profile)
	}
	b := &bench{dir: *dir, peer: *peer, repeat: max(1, *repeat)}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	fmt.Printf("%s %s/%s, %d processors, median of %d\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), b.repeat)
	var names []string
	ran := false
	for _, s := range suites() {
		names = append(names, s.name)
		if *only != "" && *only != s.name {
			continue
		}
		ran = true
		fmt.Println()
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if !ran {
		return fmt.Errorf("there is no part %q: choose one of %s", *only, strings.Join(names, ", "))
	}
	return nil
}

// runTask does one task in this process and prints its outcome for the parent.
func runTask(ctx context.Context, text, profile string) (err error) {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	do, ok := tasks()[t.Do]
	if !ok {
		return errors.New("no task " + t.Do)
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
	return json.NewEncoder(os.Stdout).Encode(o)
}
