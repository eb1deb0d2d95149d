// Package stages adds up where the time of a run goes: for each stage the seconds of work, the rows and the bytes.
package stages

import (
	"fmt"
	"io"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// Stage is a part of what a run does.
type Stage uint8

// The stages, in the order in which rows pass through them.
const (
	Read    Stage = iota // from files, as they are stored
	Decode               // of what was read, to columns
	Compute              // filters, expressions and tiles
	Sort
	Spill // to temporary files what memory does not hold, and back
	Join
	Write   // encoding, and handing it to the system
	Commit  // making it durable and visible
	Publish // to the online store
	stageCount
)

func stageNames() [stageCount]string {
	return [...]string{"read", "decode", "compute", "sort", "spill", "join", "write", "commit", "publish"}
}

// String returns the stage's name.
func (s Stage) String() string {
	if s >= stageCount {
		return fmt.Sprintf("stage %d", uint8(s))
	}
	return stageNames()[s]
}

// MarshalText writes the stage's name.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name of a stage.
func (s *Stage) UnmarshalText(text []byte) error {
	for i, name := range stageNames() {
		if name == string(text) {
			*s = Stage(i)
			return nil
		}
	}
	return fmt.Errorf("there is no stage %q", text)
}

// Stats adds work up. Its methods may be called by several goroutines at once, and do nothing on nil. The zero value has no work.
//
// A batch of rows is a call: stages are told of as they end, not row by row.
type Stats struct{ stages [stageCount]sum }

// sum is the work of a stage. It fills a cache line, so that workers of different stages do not wait for each other.
type sum struct {
	nanos, rows, bytes atomic.Int64
	_                  [40]byte
}

// Add notes that so much was done in a stage.
func (s *Stats) Add(stage Stage, took time.Duration, rows, bytes int64) {
	if s == nil {
		return
	}
	at := &s.stages[stage]
	at.nanos.Add(int64(took))
	at.rows.Add(rows)
	at.bytes.Add(bytes)
}

// Within notes work in a stage whose time another one, which goes on around it, measures too: it is taken from that.
func (s *Stats) Within(outer, stage Stage, took time.Duration, rows, bytes int64) {
	s.Add(stage, took, rows, bytes)
	s.Add(outer, -took, 0, 0)
}

// Clock measures the time of one piece of work.
type Clock struct {
	stats *Stats
	stage Stage
	begun time.Time
}

// Start starts a clock, which one call of Stop ends.
func (s *Stats) Start(stage Stage) Clock {
	if s == nil {
		return Clock{}
	}
	return Clock{s, stage, time.Now()}
}

// Stop adds the time since the clock's start to its stage.
func (c Clock) Stop(rows, bytes int64) {
	if c.stats != nil {
		c.stats.Add(c.stage, time.Since(c.begun), rows, bytes)
	}
}

// Work is what was done in a stage. Stages of several goroutines go on at the same time, so that the seconds of a run's work are more
// than it took.
type Work struct {
	Stage   Stage   `json:"stage"`
	Seconds float64 `json:"seconds"`
	Rows    int64   `json:"rows,omitempty"`  // 0: they were not counted
	Bytes   int64   `json:"bytes,omitempty"` // likewise
}

// Work returns what was done so far, in the order of stages; those without any work are left out.
func (s *Stats) Work() []Work {
	if s == nil {
		return nil
	}
	var all []Work
	for i := range s.stages {
		at := &s.stages[i]
		w := Work{Stage(i), max(0, time.Duration(at.nanos.Load()).Seconds()), at.rows.Load(), at.bytes.Load()}
		if w != (Work{Stage: w.Stage}) {
			all = append(all, w)
		}
	}
	return all
}

// Print writes work as a table. number shows counts of rows, and size those of bytes.
func Print(w io.Writer, work []Work, number, size func(int64) string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	shown := func(n int64, show func(int64) string) string {
		if n == 0 {
			return "-"
		}
		return show(n)
	}
	fmt.Fprintf(t, "stage\tseconds\trows\tbytes\n")
	for _, s := range work {
		fmt.Fprintf(t, "%s\t%.3f\t%s\t%s\n", s.Stage, s.Seconds, shown(s.Rows, number), shown(s.Bytes, size))
	}
	return t.Flush()
}
