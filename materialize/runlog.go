package materialize

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/filelock"
)

// Recorder is told of every run of a view that an Engine makes.
type Recorder interface {
	// Begin is called before a run, and the function that it returns when the run is over, with the context that the run had.
	Begin(view, runID string) (end func(ctx context.Context, r Result, err error))
}

// recorded is run, with the run told to the engine's recorder.
func (e *Engine) recorded(ctx context.Context, view *definitions.View, r Request, memory int64) (Result, error) {
	r.runID = uuid.NewString()
	if e.Runs == nil || outcomeOf(ctx, ctx.Err(), "") == RunInterrupted { // what is over before it begins is no run
		return e.run(ctx, view, r, memory)
	}
	end := e.Runs.Begin(view.Name, r.runID)
	result, err := e.run(ctx, view, r, memory)
	end(ctx, result, err)
	return result, err
}

// RunLog is the history of runs of a warehouse (docs/format/runs.md), for people to read: progress stands in the offline store's snapshots
// alone. Any number of processes may use it at once. A run outlives the death of its process there, as one that died.
type RunLog struct {
	dir     string
	options RunLogOptions
}

// RunLogOptions are the options of OpenRunLog; the zero value works.
type RunLogOptions struct {
	Now func() time.Time // default: time.Now
	// Log hears of what could not be recorded, which fails no run; default: slog.Default().
	Log *slog.Logger
	// Ended is called when a run that this RunLog has recorded is over; nil: nobody is told. It must not wait.
	Ended func(RunRecord)
	// MaxBytes is the size at which a new file is begun and the one before the last is given up; default: 4 MiB, which is some
	// 12,000 runs.
	MaxBytes int64
}

// The files of the log, in the warehouse's directory runs.
const (
	runLock    = "lock"    // is locked by who writes or reads the others
	runLines   = "log"     // a line for each run that is over
	runOlder   = "log.1"   // the lines before those
	runRunning = "running" // a directory of files, called by run id, each locked by the process whose run it is
)

// OpenRunLog returns the history of runs of a warehouse. It does no I/O: where there is nothing yet, nothing has run.
func OpenRunLog(warehouse string, o RunLogOptions) *RunLog {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Ended == nil {
		o.Ended = func(RunRecord) {}
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 4 << 20
	}
	return &RunLog{dir: filepath.Join(warehouse, "runs"), options: o}
}

// By returns a recorder of runs that somebody starts, for the given time in a row, from 1, without success.
func (l *RunLog) By(starter Starter, attempt int) Recorder { return &recorder{l, starter, attempt} }

// Runs returns the runs that are kept, the newest first. Lines that are torn or damaged are left out, and damaged tells how many.
func (l *RunLog) Runs() (runs []RunRecord, damaged int, err error) {
	err = l.locked(os.O_RDONLY, func() error {
		runs, damaged, err = l.read()
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, feature.Errorf(feature.ErrUnavailable, "reading the history of runs in %s: %w", l.dir, err)
	}
	slices.Reverse(runs) // of those that began together, the one that ended last comes first
	slices.SortStableFunc(runs, func(a, b RunRecord) int { return b.Started.Compare(a.Started) })
	return runs, damaged, nil
}

// read returns the runs of all files, each once.
func (l *RunLog) read() (runs []RunRecord, damaged int, err error) {
	seen := map[string]bool{}
	add := func(r RunRecord) {
		if !seen[r.RunID] { // a process may have died between its line and the removal of its file
			seen[r.RunID] = true
			runs = append(runs, r)
		}
	}
	for _, name := range []string{runOlder, runLines} {
		text, err := os.ReadFile(filepath.Join(l.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, err
		}
		records, bad := parseRuns(text)
		damaged += bad
		for _, r := range records {
			add(r)
		}
	}
	err = l.going(func(_ *os.File, r RunRecord, dead bool) error {
		r.Outcome = RunRunning
		if dead {
			r.Outcome = RunDied
		}
		add(r)
		return nil
	})
	return runs, damaged, err
}

// going calls do for each run that has a file of its own; those whose process has died are locked meanwhile.
func (l *RunLog) going(do func(f *os.File, r RunRecord, dead bool) error) error {
	entries, err := os.ReadDir(filepath.Join(l.dir, runRunning))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		f, err := os.Open(filepath.Join(l.dir, runRunning, entry.Name()))
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(f, runLineMax))
		if err != nil {
			return errors.Join(err, f.Close())
		}
		dead := filelock.Try(f) == nil
		records, _ := parseRuns(text)
		if len(records) == 0 && dead { // it died before it had begun
			records = []RunRecord{{RunID: entry.Name()}}
		}
		for _, r := range records[:min(1, len(records))] {
			err = errors.Join(err, do(f, r, dead))
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// locked calls do while this process alone uses the log's files. The lock is never held for longer than it takes to write or to read
// them.
func (l *RunLog) locked(flag int, do func() error) error {
	lock, err := os.OpenFile(filepath.Join(l.dir, runLock), flag, 0o644)
	if err != nil {
		return err
	}
	if err := filelock.Wait(lock); err != nil {
		return errors.Join(err, lock.Close())
	}
	return errors.Join(do(), filelock.Release(lock))
}

// begin makes the file of a run, locked.
func (l *RunLog) begin(r RunRecord) (f *os.File, err error) {
	if err := os.MkdirAll(filepath.Join(l.dir, runRunning), 0o755); err != nil {
		return nil, err
	}
	err = l.locked(os.O_RDWR|os.O_CREATE, func() error {
		if err := l.bury(); err != nil {
			return err
		}
		// A crash from here on leaves a file that nobody has locked: the next run notes that this one died.
		f, err = os.OpenFile(l.runningPath(r.RunID), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		if err := filelock.Try(f); err != nil {
			return err
		}
		line, err := r.line()
		if err != nil {
			return err
		}
		_, err = f.Write(line)
		return err
	})
	if err != nil && f != nil {
		err = errors.Join(err, os.Remove(f.Name()), f.Close())
	}
	return f, err
}

func (l *RunLog) runningPath(runID string) string { return filepath.Join(l.dir, runRunning, runID) }

// bury notes the runs whose process has died.
func (l *RunLog) bury() error {
	return l.going(func(f *os.File, r RunRecord, dead bool) error {
		if !dead {
			return nil
		}
		r.Outcome = RunDied
		if r.View != "" {
			if err := l.append(r); err != nil {
				return err
			}
		}
		return os.Remove(f.Name())
	})
}

// end notes how a run ended, and gives up its file.
func (l *RunLog) end(f *os.File, r RunRecord) error {
	return l.locked(os.O_RDWR|os.O_CREATE, func() error {
		err := l.append(r)
		// A crash here leaves a file of a run that has a line: readers go by the line.
		return errors.Join(err, os.Remove(f.Name()), filelock.Release(f))
	})
}

// append adds a line, and begins a new file where the current one is full. It is not synced: a process that dies loses nothing by that,
// and a machine that does the newest lines.
func (l *RunLog) append(r RunRecord) (err error) {
	line, err := r.line()
	if err != nil {
		return err
	}
	path := filepath.Join(l.dir, runLines)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' { // what a full disk or a crash has torn stays a line of its own
			line = append([]byte{'\n'}, line...)
		}
		if size+int64(len(line)) > l.options.MaxBytes {
			return errors.Join(os.Rename(path, filepath.Join(l.dir, runOlder)), l.append(r))
		}
	}
	_, err = f.Write(line)
	return err
}

// recorder records runs of one starter.
type recorder struct {
	log     *RunLog
	starter Starter
	attempt int
}

// Begin implements Recorder. What cannot be written is told to the log alone.
func (c *recorder) Begin(view, runID string) (end func(ctx context.Context, r Result, err error)) {
	started := c.log.options.Now()
	record := RunRecord{RunID: runID, View: view, By: c.starter, Attempt: c.attempt, PID: os.Getpid(), Started: started.UTC().Truncate(time.Microsecond)}
	fault := func(err error) {
		if err != nil {
			c.log.options.Log.Warn("a run could not be recorded; asof runs will not show it as it was", "view", view, "run", runID, "error", err)
		}
	}
	file, beginErr := c.log.begin(record)
	fault(beginErr)
	return func(ctx context.Context, r Result, err error) {
		record.finish(r, outcomeOf(ctx, err, c.starter), err, c.log.options.Now().Sub(started))
		if beginErr == nil {
			fault(c.log.end(file, record))
		}
		c.log.options.Ended(record)
	}
}
