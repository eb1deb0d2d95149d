// Package progress shows how far long work has come: one bar for all of it on a terminal, plain lines elsewhere.
package progress

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Options are the options of [New]; the zero value works.
type Options struct {
	// Terminal tells whether the output is a terminal, which can show a bar.
	Terminal bool
	// Every is the time between two lines of one task where there is no bar; 0 means 5 seconds.
	Every time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Display shows tasks that run at the same time. Its methods, and those of its tasks, may be called from several goroutines.
type Display struct {
	out  io.Writer
	opts Options

	mu      sync.Mutex
	running []*Task
	rows    int64 // of the tasks that are done since nothing ran
	bar     *progressbar.ProgressBar
	drawn   time.Time // when the bar was drawn last
}

// New returns a display on out. Nothing is shown before the first task starts.
func New(out io.Writer, opts Options) *Display {
	if opts.Every == 0 {
		opts.Every = 5 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Display{out: out, opts: opts}
}

// Task is one piece of work, counted in rows.
type Task struct {
	d       *Display
	name    string
	total   int64 // 0 where it is not known
	rows    int64
	started time.Time
	shown   time.Time // when its last line was written
	done    bool
}

// Start begins a task of so many rows; 0 or less says that nobody knows how many. Every task that starts must end by
// Done or Fail.
func (d *Display) Start(name string, totalRows int64) *Task {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	t := &Task{d: d, name: name, total: max(0, totalRows), started: now, shown: now}
	d.running = append(d.running, t)
	d.draw()
	return t
}

// Add counts rows that are done.
func (t *Task) Add(rows int64) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	t.rows += rows
	if t.done {
		return
	}
	now := t.d.opts.Now()
	if t.d.opts.Terminal {
		if now.Sub(t.d.drawn) >= redrawEvery {
			t.d.draw()
		}
		return
	}
	if now.Sub(t.shown) >= t.d.opts.Every {
		t.shown = now
		t.d.line(t.name + ": " + t.state(now))
	}
}

// Done ends the task and shows its summary, or its rows and their rate where the summary is empty.
func (t *Task) Done(summary string) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if t.done {
		return
	}
	if summary == "" {
		took := t.d.opts.Now().Sub(t.started)
		summary = fmt.Sprintf("%s rows in %s%s", Count(t.rows), Took(took), rate(t.rows, took))
	}
	t.end(t.name + ": " + summary)
}

// Fail ends the task without a word: the error is told by whoever gets it. It does nothing after Done, so that it can be deferred.
func (t *Task) Fail() {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if !t.done {
		t.end("")
	}
}

func (t *Task) end(line string) {
	d := t.d
	t.done = true
	for i, r := range d.running {
		if r == t {
			d.running = append(d.running[:i], d.running[i+1:]...)
			break
		}
	}
	d.rows += t.rows
	if len(d.running) == 0 {
		d.rows = 0
	}
	if line != "" {
		d.line(line)
	}
	d.draw()
}

// state tells how far t is: "120,000 of 300,000 rows (40%), 55,000 rows/s, 3s left".
func (t *Task) state(now time.Time) string {
	took := now.Sub(t.started)
	if t.total < t.rows || t.total == 0 {
		return Count(t.rows) + " rows" + rate(t.rows, took)
	}
	s := fmt.Sprintf("%s of %s rows (%d%%)%s", Count(t.rows), Count(t.total), int(100*float64(t.rows)/float64(t.total)), rate(t.rows, took))
	if t.rows > 0 {
		left := time.Duration(float64(took) / float64(t.rows) * float64(t.total-t.rows))
		s += ", " + Took(left) + " left"
	}
	return s
}

func rate(rows int64, took time.Duration) string {
	if rows == 0 || took < time.Millisecond {
		return ""
	}
	return ", " + Count(int64(float64(rows)/took.Seconds())) + " rows/s"
}

// Write writes a log's lines so that they do not run into the bar. It implements io.Writer.
func (d *Display) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	n, err := d.out.Write(p)
	d.draw()
	return n, err
}

func (d *Display) line(text string) {
	d.clear()
	fmt.Fprintln(d.out, text) // a lost line of progress is no reason to stop
}

func (d *Display) clear() {
	if d.bar != nil {
		_ = d.bar.Clear() // as above
	}
}

const redrawEvery = 100 * time.Millisecond

// draw shows the bar of all running tasks together.
func (d *Display) draw() {
	if !d.opts.Terminal {
		return
	}
	if len(d.running) == 0 {
		d.clear()
		d.bar = nil
		return
	}
	d.drawn = d.opts.Now()
	if d.bar == nil {
		d.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(d.out), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("rows"), progressbar.OptionFullWidth())
	}
	names := make([]string, len(d.running))
	rows, total, known := d.rows, d.rows, true
	for i, t := range d.running {
		names[i] = t.name
		rows += t.rows
		total += max(t.total, t.rows)
		known = known && t.total > 0
	}
	if !known {
		total = -1
	} else {
		total = max(total, rows+1) // a bar that is full has ended, and cannot go on
	}
	if d.bar.GetMax64() != total {
		d.bar.ChangeMax64(total)
	}
	if label := shorten(strings.Join(names, ", ")); d.bar.State().Description != label {
		d.bar.Describe(label)
	}
	_ = d.bar.Set64(rows) // as above
}

// shorten keeps room for the bar on a narrow terminal.
func shorten(names string) string {
	const most = 24
	if r := []rune(names); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return names
}

// Count returns n as people read it: 1,234,567.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Took returns d as people read it, with about two digits: 340ms, 2.4s, 1m40s.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
