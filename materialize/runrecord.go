package materialize

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
)

// Outcome is how a run ended.
type Outcome string

// The outcomes of runs.
const (
	RunOK          Outcome = "ok"
	RunFailed      Outcome = "failed"      // and is not tried again before the next tick, or call
	RunRetried     Outcome = "retried"     // it failed in a way that may pass: the scheduler tries again
	RunTimeout     Outcome = "timeout"     // it took longer than the scheduler allows, which tries again
	RunInterrupted Outcome = "interrupted" // its process was told to stop
	RunDied        Outcome = "died"        // its process died
	RunRunning     Outcome = "running"     // it is going on
)

// Bad reports whether a run that ended so has not done what it should.
func (o Outcome) Bad() bool {
	return o == RunFailed || o == RunRetried || o == RunTimeout || o == RunDied
}

// Starter is who started a run.
type Starter string

// The starters of runs.
const (
	ByScheduler Starter = "scheduler"
	ByCommand   Starter = "command line"
)

// RunRecord is what is kept of a run. Its JSON is that of the run log, of asof runs and of webhooks.
type RunRecord struct {
	RunID   string    `json:"run"` // also in the offline snapshots that the run made
	View    string    `json:"view"`
	By      Starter   `json:"by"`
	Attempt int       `json:"attempt"` // from 1, in a row without success
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"` // that it took
	Outcome Outcome   `json:"outcome,omitempty"`
	// From and To are the event times that it computed; From is nil for the beginning of time, and both where there was nothing to do
	// or it did not get so far.
	From    *time.Time `json:"from,omitempty"`
	To      *time.Time `json:"to,omitempty"`
	Rebuilt bool       `json:"rebuilt,omitempty"`
	Rows    int64      `json:"rows"`    // stored
	Skipped int64      `json:"skipped"` // bad rows left out
	Keys    int64      `json:"keys"`    // published by the run's own process
	Error   string     `json:"error,omitempty"`
	// Stages tells where the time went; several of them go on at once.
	Stages []stages.Work `json:"stages,omitempty"`
}

// errorBytesMax bounds the message that is kept of an error.
const errorBytesMax = 2 << 10

// finish notes how the run ended.
func (r *RunRecord) finish(result Result, outcome Outcome, err error, took time.Duration) {
	r.Outcome, r.Seconds = outcome, took.Round(time.Microsecond).Seconds()
	r.Rebuilt, r.Rows, r.Skipped, r.Keys = result.Rebuilt, result.Rows, result.Skipped, result.Published.Keys
	r.Stages = result.Stages
	if computed := result.Range; computed != (feature.Range{}) && !computed.Empty() {
		r.From, r.To = instant(computed.From), instant(computed.To)
	}
	if err != nil {
		r.Error = err.Error()
		r.Error = strings.ToValidUTF8(r.Error[:min(len(r.Error), errorBytesMax)], "")
	}
}

// instant returns t for JSON, which writes no years beyond 9999; nil where it lies outside.
func instant(t feature.Time) *time.Time {
	std := t.Std()
	if std.Year() < 0 || std.Year() > 9999 {
		return nil
	}
	return &std
}

// errTimeout is the cause for which the context of a run that takes too long ends.
var errTimeout = errors.New("the run takes longer than it may")

// outcomeOf tells how a run ended that had ctx and was started by starter.
func outcomeOf(ctx context.Context, err error, starter Starter) Outcome {
	switch {
	case err == nil:
		return RunOK
	case errors.Is(context.Cause(ctx), errTimeout):
		return RunTimeout
	case ctx.Err() != nil:
		return RunInterrupted
	case starter == ByScheduler && mayPass(err):
		return RunRetried
	}
	return RunFailed
}

// mayPass reports whether what failed with err may succeed when it is tried again.
func mayPass(err error) bool {
	kind := feature.KindOf(err)
	return kind == feature.ErrUnavailable || kind == feature.ErrConflict
}

// runLineMax bounds a line of the log: the escaped message of an error is its longest part by far.
const runLineMax = 32 << 10

// line returns r as a line of the log: the CRC-32C of its JSON in hexadecimal, a space, and the JSON.
func (r *RunRecord) line() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, feature.Errorf(feature.ErrInternal, "encoding run %s of view %s: %w", r.RunID, r.View, err)
	}
	return fmt.Appendf(nil, "%08x %s\n", checksum(text), text), nil
}

func checksum(text []byte) uint32 { return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)) }

// parseRuns reads lines of the log. It leaves out those that are torn or damaged, and counts them.
func parseRuns(text []byte) (runs []RunRecord, damaged int) {
	for line := range bytes.Lines(text) {
		if r, ok := parseRun(line); ok {
			runs = append(runs, r)
		} else {
			damaged++
		}
	}
	return runs, damaged
}

// parseRun reads a line of the log with its end.
func parseRun(line []byte) (r RunRecord, ok bool) {
	sum, text, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !ok || len(line) > runLineMax || line[len(line)-1] != '\n' {
		return r, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || uint32(want) != checksum(text) || json.Unmarshal(text, &r) != nil {
		return r, false
	}
	return r, r.RunID != "" && r.View != ""
}
