package offline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/asof-store/asof/feature"
)

// smallFiles makes several files, pages and row groups of a few rows.
var smallFiles = Options{FileBytes: 1000, RowGroupRows: 8, PageRows: 4}

// numbered returns rows with event times [from, to) of a few keys.
func numbered(from, to int, amount float64) []row {
	var rows []row
	for i := from; i < to; i++ {
		rows = append(rows, row{int64(i % 5), feature.Time(i), feature.Time(i + 1), amount, "shop"})
	}
	return rows
}

// first and second are two runs, of which the second cuts into the files of the first.
func first(s *Store) (*Snapshot, error) {
	return replace(s, purchases(), commitFor(feature.Range{From: 0, To: 99}), numbered(0, 100, 1), 30)
}

func second(s *Store) (*Snapshot, error) {
	c := commitFor(feature.Range{From: 40, To: 150})
	c.Progress.Start = 0
	return replace(s, purchases(), c, numbered(50, 120, 2), 30)
}

// third merges the files of both.
func third(s *Store) (*Snapshot, error) {
	large := *s
	large.opts.FileBytes = 1 << 20
	done, err := large.Compact(context.Background(), "purchases", pairs)
	if err != nil {
		return nil, err
	}
	snapshot, err := s.Snapshot(context.Background(), "purchases")
	if err == nil && len(snapshot.Files()) != 1 {
		err = fmt.Errorf("%d files are left after %+v", len(snapshot.Files()), done)
	}
	return snapshot, err
}

func rowsAfter(runs int) []row {
	switch runs {
	case 0:
		return nil
	case 1:
		return numbered(0, 100, 1)
	}
	return append(numbered(0, 40, 1), numbered(50, 120, 2)...)
}

// stepCall is a call of Options.Step.
type stepCall struct {
	name string
	done bool
}

// trace returns the calls of Step that run makes on a store in dir.
func trace(t *testing.T, dir string, run func(*Store) (*Snapshot, error)) []stepCall {
	t.Helper()
	var calls []stepCall
	o := smallFiles
	o.Step = func(name string, done bool) error {
		calls = append(calls, stepCall{name, done})
		return nil
	}
	snapshot, err := run(openStore(t, dir, o))
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	return calls
}

// faultCase is a place where a run fails or dies.
type faultCase struct {
	runs int // runs before
	at   int // call of Step
	call stepCall
	// visible tells whether the run is to be seen afterwards.
	visible bool
}

func faultCases(t *testing.T) []faultCase {
	dir := tempDir(t)
	var cases []faultCase
	for runs := range 3 {
		run := runNumber(runs)
		calls := trace(t, dir, run)
		commit := slices.Index(calls, stepCall{stepCommit, true})
		for _, kind := range []string{stepDataFile, stepManifest, stepManifestList, stepMetadata, stepCommit, stepHint} {
			if !slices.Contains(calls, stepCall{kind, true}) {
				t.Fatalf("run %d makes no step %s: %v", runs+1, kind, calls)
			}
		}
		for i, call := range calls {
			cases = append(cases, faultCase{runs: runs, at: i, call: call, visible: i >= commit})
		}
	}
	return cases
}

// TestFaults fails every durable step of a first run, of one that rewrites files, and of merging files, before it is done and after. The history is then
// the old one, or the new one if the commit was made; nothing is left behind, and the run can be repeated.
func TestFaults(t *testing.T) {
	broken := errors.New("broken on purpose")
	for _, c := range faultCases(t) {
		t.Run(fmt.Sprintf("%d runs before/%02d %s %v", c.runs, c.at, c.call.name, c.call.done), func(t *testing.T) {
			dir := tempDir(t)
			prepareRuns(t, dir, c.runs)
			calls, o := 0, smallFiles
			o.Step = func(string, bool) error {
				calls++
				if calls-1 == c.at {
					return broken
				}
				return nil
			}
			if _, err := runNumber(c.runs)(openStore(t, dir, o)); !errors.Is(err, broken) {
				t.Fatalf("the error is %v", err)
			}
			checkOrphans(t, dir)
			checkAfterFault(t, dir, c)
		})
	}
}

func runNumber(i int) func(*Store) (*Snapshot, error) {
	return []func(*Store) (*Snapshot, error){first, second, third}[i]
}

func prepareRuns(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		snapshot, err := runNumber(i)(openStore(t, dir, smallFiles))
		if err != nil {
			t.Fatal(err)
		}
		if err := snapshot.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func checkAfterFault(t *testing.T, dir string, c faultCase) {
	t.Helper()
	seen := c.runs
	if c.visible {
		seen++
	}
	checkHistory(t, dir, seen)
	for _, repeat := range []int{c.runs, min(c.runs, 1)} { // where there is nothing left to merge, only a run clears up
		snapshot, err := runNumber(repeat)(openStore(t, dir, smallFiles))
		if err != nil {
			t.Fatalf("repeating the run: %v", err)
		}
		if err := snapshot.Close(); err != nil {
			t.Fatal(err)
		}
	}
	checkHistory(t, dir, c.runs+1)
	checkOrphans(t, dir)
}

func checkHistory(t *testing.T, dir string, runs int) {
	t.Helper()
	snapshot, err := openStore(t, dir, smallFiles).Snapshot(context.Background(), "purchases")
	if runs == 0 {
		if !errors.Is(err, feature.ErrNotFound) {
			t.Fatalf("a view that was never materialized: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	sameRows(t, purchases(), readAll(t, snapshot, purchases()), rowsAfter(runs))
	if faults, _ := checkTable(t, openStore(t, dir, smallFiles), purchases()); len(faults) > 0 {
		t.Fatalf("a check finds %+v", faults)
	}
}

// checkOrphans fails for files in the table's directory that the table does not refer to.
func checkOrphans(t *testing.T, dir string) {
	t.Helper()
	s := openStore(t, dir, smallFiles)
	known := map[string]bool{}
	v, err := s.load(context.Background(), "purchases")
	if err == nil {
		for _, snapshot := range v.meta.Snapshots() {
			known[filepath.Base(snapshot.ManifestList)] = true
			manifests, err := snapshot.Manifests(filesystem{store: s})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range manifests {
				known[filepath.Base(m.FilePath())] = true
				for entry, err := range m.Entries(filesystem{store: s}, false) {
					if err != nil {
						t.Fatal(err)
					}
					known[filepath.Base(entry.DataFile().FilePath())] = true
				}
			}
		}
	} else if !errors.Is(err, feature.ErrNotFound) {
		t.Fatal(err)
	}
	for _, pattern := range []string{"data/*", "metadata/*"} {
		paths, err := filepath.Glob(filepath.Join(s.tableDir("purchases"), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := filepath.Base(path)
			if !known[name] && name != "version-hint.text" && !(strings.HasPrefix(name, "v") && strings.HasSuffix(name, ".metadata.json")) {
				t.Errorf("%s is left over", path)
			}
		}
	}
}

// The environment that tells a test process to run until it kills itself.
const killEnv = "ASOF_OFFLINE_TEST_KILL"

// TestKill kills a process at every durable step, before and after, and checks as TestFaults does.
func TestKill(t *testing.T) {
	if arg := os.Getenv(killEnv); arg != "" {
		runAndDie(t, arg)
		return
	}
	seen := map[string]bool{}
	for _, c := range faultCases(t) {
		name := fmt.Sprintf("%d runs before/%s %v", c.runs, c.call.name, c.call.done)
		if seen[name] || c.runs == 0 && c.call.name != stepDataFile && c.call.name != stepCommit {
			continue // a process costs more than a fault; TestFaults has them all
		}
		seen[name] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			prepareRuns(t, dir, c.runs)
			child := exec.Command(os.Args[0], "-test.run=^TestKill$")
			child.Env = append(os.Environ(), fmt.Sprintf("%s=%d,%d,%s", killEnv, c.runs, c.at, dir))
			out, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the child ended with %v: %s", err, out)
			}
			checkAfterFault(t, dir, c)
		})
	}
}

func runAndDie(t *testing.T, arg string) {
	parts := strings.SplitN(arg, ",", 3)
	run, err1 := strconv.Atoi(parts[0])
	at, err2 := strconv.Atoi(parts[1])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	o := smallFiles
	o.Step = func(string, bool) error {
		if at--; at < 0 {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	_, err := runNumber(run)(openStore(t, parts[2], o))
	t.Fatalf("still alive: %v", err)
}
