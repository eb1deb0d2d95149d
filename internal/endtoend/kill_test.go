package endtoend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// The environment of the child of TestKill: its directory, the number of the durable step at which it dies, and
// the kind of its view.
const (
	killDir  = "ASOF_TEST_KILL_DIR"
	killStep = "ASOF_TEST_KILL_STEP"
	killView = "ASOF_TEST_KILL_VIEW" // tiles, or nothing
)

const killYAML = `
entities:
  - {name: e, keys: {k: int64}}
sources:
  - {name: src, parquet: 'src/*.parquet', event_time: at, created_time: known}
views:
  - {name: v, entity: e, source: src, delay: 2s, features: [{name: x, type: int64}, {name: s, type: string}%s]}
services:
  - {name: svc, features: [{view: v}]}
`

// killTiles is killYAML with a windowed view.
const killTiles = `
entities:
  - {name: e, keys: {k: int64}}
sources:
  - {name: src, parquet: 'src/*.parquet', event_time: at, created_time: known}
views:
  - name: v
    entity: e
    source: src
    delay: 2s
    granularity: 2s
    aggregations:
      - {function: count, windows: [4s]}
      - {function: sum, column: x, windows: [6s, unbounded]}%s
services:
  - {name: svc, features: [{view: v}]}
`

// killDefinition returns the definitions of w at first, or after they have changed.
func (w *world) killDefinition(changed bool) string {
	yaml, more := killYAML, ", {name: twice, expr: x * 2}"
	if w.options.tiles {
		yaml, more = killTiles, "\n      - {function: max, column: x, windows: [4s]}"
	}
	if !changed {
		more = ""
	}
	return fmt.Sprintf(yaml, more)
}

// killOperations is what the child does, one after another: a first run, an incremental one, one that computes a range again
// after its source has changed, and one after the definition has changed.
var killOperations = []func(w *world) error{
	func(w *world) error {
		w.write("src/a.parquet", killRows(0, 12, 1))
		return w.killRun(10*second, false, materialize.Request{})
	},
	func(w *world) error {
		w.write("src/b.parquet", killRows(8, 24, 2))
		return w.killRun(20*second, false, materialize.Request{})
	},
	func(w *world) error {
		w.write("src/a.parquet", killRows(4, 7, 3))
		from, to := 3*second, 15*second
		return w.killRun(20*second, false, materialize.Request{From: &from, To: &to})
	},
	func(w *world) error {
		return w.killRun(26*second, true, materialize.Request{})
	},
}

func (w *world) killRun(now feature.Time, changed bool, r materialize.Request) error {
	w.now = now
	if err := w.define(w.killDefinition(changed)); err != nil {
		return err
	}
	_, err := w.materialize(r)
	return err
}

// killRows has a row of each of four keys for each second from from to to.
func killRows(from, to, salt int) table {
	var rows []lawRow
	for at := from; at < to; at++ {
		for k := range 4 {
			if (at+k+salt)%3 > 0 {
				continue
			}
			event := feature.Time(at) * second
			rows = append(rows, lawRow{key: []any{int64(k)}, event: event, created: event, x: int64(at * salt), s: fmt.Sprint("s", at)})
		}
	}
	return lawTable([]feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}, rows)
}

var killOptions = worldOptions{memory: 2000, offline: offline.Options{RowGroupRows: 7, FileBytes: 400}}

// TestKillChild is the process that TestKill kills. It notes the operation that it is at, so that the parent knows where to go on.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("skipped: it is the child process of TestKill")
	}
	at, err := strconv.Atoi(os.Getenv(killStep))
	if err != nil {
		t.Fatal(err)
	}
	options := killOptions
	options.tiles = os.Getenv(killView) == "tiles"
	options.step = func(string, bool) error {
		if at--; at < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	w := newWorld(t, dir, options)
	for i, operation := range killOperations {
		w.must(os.WriteFile(w.path("operation"), []byte(strconv.Itoa(i)), 0o644))
		w.must(operation(w))
	}
	w.close()
}

// TestKill lets a process die by SIGKILL at every durable step in turn, just before and just after its effect. Whatever the
// moment, a restart makes online agree with offline, and going on ends in the state of an undisturbed run.
func TestKill(t *testing.T) {
	t.Run("rows", func(t *testing.T) { testKill(t, killOptions, 1) })
	t.Run("tiles", func(t *testing.T) {
		options := killOptions
		options.tiles = true
		testKill(t, options, 3) // the steps are those of rows
	})
}

func testKill(t *testing.T, options worldOptions, stride int) {
	steps, counted := 0, options
	counted.step = func(string, bool) error {
		steps++
		return nil
	}
	undisturbed := newWorld(t, memoryDir(t), counted)
	for _, operation := range killOperations {
		undisturbed.must(operation(undisturbed))
	}
	want := undisturbed.killState()
	undisturbed.close()
	if strings.Count(want, "PRESENT") < 8 {
		t.Fatalf("the undisturbed run has too little to compare:\n%s", want)
	}
	if steps < 80 {
		t.Fatalf("only %d times before or after a durable step: some are not announced", steps)
	}
	if testing.Short() {
		stride *= 7
	}
	for step := 0; step < steps; step += stride {
		t.Run(strconv.Itoa(step), func(t *testing.T) {
			t.Parallel()
			dir := memoryDir(t)
			killAt(t, dir, step, options)
			if got := recoverKilled(t, dir, options); got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// killAt runs the child in dir, which dies at the given step.
func killAt(t *testing.T, dir string, step int, options worldOptions) {
	t.Helper()
	view := ""
	if options.tiles {
		view = "tiles"
	}
	command := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
	command.Env = append(os.Environ(), killDir+"="+dir, killStep+"="+strconv.Itoa(step), killView+"="+view)
	out, err := command.CombinedOutput()
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child did not die by the signal: %v\n%s", err, out)
	}
}

// recoverKilled starts again where a killed process has left off, goes on to the end, and returns the state.
func recoverKilled(t *testing.T, dir string, options worldOptions) string {
	t.Helper()
	w := newWorld(t, dir, options)
	defer w.close()
	at := 0
	if text, err := os.ReadFile(filepath.Join(dir, "operation")); err == nil {
		at, err = strconv.Atoi(string(text))
		w.must(err)
	}
	if w.killDefined() {
		if _, err := w.engine.Sync(context.Background(), w.model.Views); err != nil {
			t.Fatalf("repairing after operation %d: %v", at, err)
		}
		w.killState() // checks that online agrees with offline
	}
	for _, operation := range killOperations[at:] {
		w.must(operation(w))
	}
	return w.killState()
}

// killDefined loads the definitions that the child was at, if they match what is stored.
func (w *world) killDefined() bool {
	s, err := w.offline.Snapshot(context.Background(), "v")
	if err != nil {
		return false // nothing was committed
	}
	defer func() { _ = s.Close() }()
	for _, changed := range []bool{false, true} {
		w.must(w.define(w.killDefinition(changed)))
		if w.model.Views[0].Hash == s.Progress().Hash {
			return true
		}
	}
	w.t.Fatalf("the stored history is of no definition that there was")
	return false
}

// killState renders what is stored: the history at every second, and the online values, which must agree with it at the
// watermark.
func (w *world) killState() string {
	w.t.Helper()
	w.checkHistory()
	s, err := w.offline.Snapshot(context.Background(), "v")
	w.must(err)
	watermark := s.Progress().Watermark
	w.must(s.Close())
	var spine, keys []lawRow
	for k := range 4 {
		for at := range 30 {
			spine = append(spine, lawRow{key: []any{int64(k)}, event: feature.Time(at) * second})
		}
		keys = append(keys, lawRow{key: []any{int64(k)}, event: watermark})
	}
	fields := []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}
	history, err := w.exportText("svc", lawTable(fields, spine).only("k", "at"), pointintime.ExportOptions{TimeColumn: "at", WithFeatureTimes: true})
	w.must(err)
	at, err := w.exportText("svc", lawTable(fields, keys).only("k", "at"), pointintime.ExportOptions{TimeColumn: "at"})
	w.must(err)
	served, err := w.get("svc", lawTable(fields, keys).only("k"), watermark)
	w.must(err)
	for i, line := range strings.Split(strings.TrimSpace(served), "\n") {
		exported := strings.Fields(strings.Split(at, "\n")[i+1])
		for c, part := range strings.Split(line, "  ") {
			_, value, _ := strings.Cut(strings.Fields(part)[0], "=")
			if value != exported[2+c] {
				w.t.Fatalf("online and offline disagree at the watermark %s:\n%s\n%s", watermark, served, at)
			}
		}
	}
	return fmt.Sprintf("watermark %s\n%s%s", watermark, history, served)
}

// TestUnfinishedPublication lets a publication fail after its values are written and before its state is, then takes the rows
// it came from out of the history: nothing of them may stay online, although no commit since then has touched what the state says
// was published.
func TestUnfinishedPublication(t *testing.T) {
	disk := errors.New("the disk is gone")
	fail, options := false, killOptions
	options.step = func(name string, done bool) error {
		if fail && name == "state" && !done {
			return disk
		}
		return nil
	}
	w := newWorld(t, memoryDir(t), options)
	defer func() { w.close() }()
	w.write("src/a.parquet", killRows(0, 9, 1))
	w.must(w.killRun(10*second, false, materialize.Request{}))
	w.write("src/b.parquet", killRows(9, 18, 2))
	fail = true
	if err := w.killRun(20*second, false, materialize.Request{}); !errors.Is(err, disk) {
		t.Fatalf("got %v", err)
	}
	fail = false
	w.write("src/b.parquet", killRows(0, 0, 2))
	from := 9 * second
	w.must(w.killRun(20*second, false, materialize.Request{From: &from}))
	w.killState() // compares online with offline
}
