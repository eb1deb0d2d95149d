package materialize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
)

var runStart = time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC)

// newRunLog returns a log whose clock advances by a second with every look at it.
func newRunLog(t *testing.T, warehouse string, o RunLogOptions) *RunLog {
	t.Helper()
	now := runStart
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(failing{t}, nil))
	}
	return OpenRunLog(warehouse, o)
}

// failing fails the test when something is logged.
type failing struct{ t *testing.T }

func (f failing) Write(line []byte) (int, error) {
	f.t.Errorf("logged: %s", line)
	return len(line), nil
}

// runs returns the runs of a log, of which so many lines are damaged.
func runs(t *testing.T, l *RunLog, damaged int) []RunRecord {
	t.Helper()
	all, bad, err := l.Runs()
	if err != nil || bad != damaged {
		t.Fatalf("%d lines are damaged, want %d; %v", bad, damaged, err)
	}
	return all
}

func TestRunLog(t *testing.T) {
	var told []RunRecord
	l := newRunLog(t, t.TempDir(), RunLogOptions{Ended: func(r RunRecord) { told = append(told, r) }})
	if all := runs(t, l, 0); len(all) != 0 {
		t.Errorf("a warehouse without runs has %v", all)
	}
	first := l.By(ByScheduler, 3).Begin("v", "run-1")
	second := l.By(ByCommand, 1).Begin("w", "run-2")
	all := runs(t, l, 0)
	if len(all) != 2 || all[0].RunID != "run-2" || all[0].Outcome != RunRunning || all[1].Outcome != RunRunning {
		t.Errorf("two runs that are going on are %+v", all)
	}
	second(t.Context(), Result{}, feature.Errorf(feature.ErrInvalid, "no column %q\nin the source", "x"))
	first(t.Context(), Result{Range: feature.Range{From: feature.MinTime, To: feature.TimeOf(runStart)}, Rebuilt: true, Rows: 7, Skipped: 2, Published: Published{Keys: 5}}, nil)
	at := func(seconds int) time.Time { return runStart.Add(time.Duration(seconds) * time.Second) }
	to := runStart
	want := []RunRecord{
		{RunID: "run-2", View: "w", By: ByCommand, Attempt: 1, PID: os.Getpid(), Started: at(2), Seconds: 1, Outcome: RunFailed, Error: "no column \"x\"\nin the source"},
		{RunID: "run-1", View: "v", By: ByScheduler, Attempt: 3, PID: os.Getpid(), Started: at(1), Seconds: 3, Outcome: RunOK, To: &to, Rebuilt: true, Rows: 7, Skipped: 2, Keys: 5},
	}
	if diff := cmp.Diff(want, runs(t, l, 0)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told when they were over: %s", diff)
	}
	if left, err := os.ReadDir(filepath.Join(l.dir, runRunning)); err != nil || len(left) > 0 {
		t.Errorf("the files of runs that are over: %v, %v", left, err)
	}
}

// TestRunLogIsBounded: the oldest runs go, the newest stay, and messages are cut.
func TestRunLogIsBounded(t *testing.T) {
	const most = 20_000
	l := newRunLog(t, t.TempDir(), RunLogOptions{MaxBytes: most})
	message := strings.Repeat("é", 5000)
	for i := range 100 {
		l.By(ByScheduler, 1).Begin("v", fmt.Sprint("run-", i))(t.Context(), Result{}, errors.New(message))
	}
	size := int64(0)
	for _, name := range []string{runLines, runOlder} {
		info, err := os.Stat(filepath.Join(l.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most {
			t.Errorf("%s has %d bytes, more than %d", name, info.Size(), most)
		}
		size += info.Size()
	}
	all := runs(t, l, 0)
	if len(all) < 8 || size < most {
		t.Errorf("%d runs in %d bytes are kept, of 100", len(all), size)
	}
	for i, r := range all {
		if want := fmt.Sprint("run-", 99-i); r.RunID != want || r.Error != message[:errorBytesMax] {
			t.Errorf("run %d is %s with an error of %d bytes, want %s", i, r.RunID, len(r.Error), want)
		}
	}
}

// TestRunLogOfSeveralProcesses appends from several openings of a log at once, which are as strange to each other as processes.
func TestRunLogOfSeveralProcesses(t *testing.T) {
	warehouse := t.TempDir()
	var group errgroup.Group
	for p := range 4 {
		group.Go(func() error {
			for i := range 50 {
				l := newRunLog(t, warehouse, RunLogOptions{MaxBytes: 8 << 10})
				l.By(ByScheduler, 1).Begin("v", fmt.Sprintf("run-%d-%d", p, i))(t.Context(), Result{}, nil)
				if _, damaged, err := l.Runs(); damaged > 0 || err != nil {
					return fmt.Errorf("%d lines are damaged, %w", damaged, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if all := runs(t, newRunLog(t, warehouse, RunLogOptions{}), 0); len(all) < 40 {
		t.Errorf("%d runs are left", len(all))
	}
}

// TestTornLines tears the last line at every byte: the runs before it stay, and the next run is recorded on a line of its own.
func TestTornLines(t *testing.T) {
	l := newRunLog(t, t.TempDir(), RunLogOptions{})
	path := filepath.Join(l.dir, runLines)
	for i := range 2 {
		l.By(ByScheduler, 1).Begin("v", fmt.Sprint("run-", i))(t.Context(), Result{}, nil)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	second := bytes.IndexByte(whole, '\n') + 1
	for end := second; end < len(whole); end++ {
		if err := os.WriteFile(path, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		damaged := 1
		if end == second {
			damaged = 0
		}
		if all := runs(t, l, damaged); len(all) != 1 || all[0].RunID != "run-0" {
			t.Fatalf("torn at byte %d the log has %+v", end, all)
		}
		l.By(ByScheduler, 1).Begin("v", "run-2")(t.Context(), Result{}, nil)
		kept := 2
		if end == len(whole)-1 { // only the end of the line was missing
			damaged, kept = 0, 3
		}
		if all := runs(t, l, damaged); len(all) != kept || all[0].RunID != "run-2" {
			t.Fatalf("torn at byte %d and continued the log has %+v", end, all)
		}
	}
	for i := range second { // of the first line
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		all, damaged, err := l.Runs()
		if i == second-1 { // two lines have become one
			damaged++
		}
		if err != nil || damaged < 1 || len(all) != max(0, 2-damaged) || len(all) > 0 && all[0].RunID != "run-1" {
			t.Fatalf("with bit 0 of byte %d flipped the log has %+v, %d damaged, %v", i, all, damaged, err)
		}
	}
}

// runLogDir names the warehouse to the child of TestRunThatDied.
const runLogDir = "ASOF_TEST_RUN_LOG_DIR"

// TestRunThatDied lets a process begin a run and die, at once or, as far as others can tell, just after its line was written.
func TestRunThatDied(t *testing.T) {
	if dir := os.Getenv(runLogDir); dir != "" {
		l := newRunLog(t, dir, RunLogOptions{})
		l.By(ByScheduler, 2).Begin("v", "run-1")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	warehouse := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestRunThatDied$")
	child.Env = append(os.Environ(), runLogDir+"="+warehouse)
	if out, err := child.CombinedOutput(); child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child: %v\n%s", err, out)
	}
	l := newRunLog(t, warehouse, RunLogOptions{})
	l.options.Now() // so that its runs are later
	died := func(all []RunRecord) {
		t.Helper()
		last := all[len(all)-1]
		if last.RunID != "run-1" || last.Outcome != RunDied || last.PID != child.Process.Pid || last.Attempt != 2 || last.View != "v" {
			t.Errorf("the run that died is %+v", last)
		}
	}
	all := runs(t, l, 0)
	if len(all) != 1 {
		t.Fatalf("the runs are %+v", all)
	}
	died(all)
	// A file that says nothing is of a run that had not begun.
	nothing := l.runningPath("run-0")
	if err := os.WriteFile(nothing, []byte("00000000 {"), 0o600); err != nil {
		t.Fatal(err)
	}
	died(runs(t, l, 0)[:1])
	ended := l.By(ByScheduler, 3).Begin("v", "run-2") // notes the death
	if _, err := os.Stat(nothing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file that says nothing: %v", err)
	}
	all = runs(t, l, 0)
	if len(all) != 2 || all[0].Outcome != RunRunning {
		t.Fatalf("the runs are %+v", all)
	}
	died(all)
	running, err := os.ReadFile(l.runningPath("run-2"))
	if err != nil {
		t.Fatal(err)
	}
	ended(t.Context(), Result{}, nil)
	if err := os.WriteFile(l.runningPath("run-2"), running, 0o600); err != nil { // as if it had died before it removed its file
		t.Fatal(err)
	}
	l.By(ByScheduler, 1).Begin("v", "run-3")(t.Context(), Result{}, nil)
	if all := runs(t, l, 0); len(all) != 3 || all[1].RunID != "run-2" || all[1].Outcome != RunOK {
		t.Errorf("the runs are %+v", all)
	}
}

// TestRunLogThatCannotBeWritten fails no run, and is told once for the run.
func TestRunLogThatCannotBeWritten(t *testing.T) {
	warehouse := t.TempDir()
	if err := os.WriteFile(filepath.Join(warehouse, "runs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	told := 0
	l := newRunLog(t, warehouse, RunLogOptions{Log: slog.New(slog.NewTextHandler(&said, nil)), Ended: func(RunRecord) { told++ }})
	l.By(ByScheduler, 1).Begin("v", "run-1")(context.Background(), Result{}, nil)
	if strings.Count(said.String(), "could not be recorded") != 1 || !strings.Contains(said.String(), "view=v") || told != 1 {
		t.Errorf("told %d times; the log is\n%s", told, &said)
	}
	if _, _, err := l.Runs(); feature.KindOf(err) != feature.ErrUnavailable || !strings.Contains(err.Error(), l.dir) {
		t.Errorf("reading gives %v", err)
	}
}
